"""What one generator process sees: latencies, failures, message ids, and how well it keeps up itself."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from loadtest.histogram import Histogram


@dataclass(slots=True)
class Cell:
    """One operation in one point of the timeline. Failures count, and have no latency."""

    failures: int = 0
    response: Histogram = field(default_factory=Histogram)
    """From the moment the request was due: what a user waits."""
    service: Histogram = field(default_factory=Histogram)
    """From the moment it was sent: what the server took."""
    unhindered: Histogram = field(default_factory=Histogram)
    """As response, less what the generator was late of its own: never more, and what a faster generator would see."""


class Recorder:
    """Filled by the users of one process; `drain` hands over what came since the last call."""

    def __init__(self, bucket_s: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._bucket_s = bucket_s
        self._clock = clock
        self.started_at = clock()
        """The start of the schedule, by `clock`."""
        self._cells: dict[tuple[int, str], Cell] = {}
        self._errors: Counter[tuple[str, str]] = Counter()
        self._lags: dict[int, Histogram] = {}
        self._acknowledged = bytearray()
        self._unacknowledged = bytearray()
        self._cpu = (clock(), time.process_time())
        self._ticks: list[dict[str, float]] = []
        psutil.cpu_percent()  # the first call only sets the mark the next one counts from

    def start(self) -> None:
        """The schedule begins now."""
        self.started_at = self._clock()
        self._cpu = (self.started_at, time.process_time())

    def success(self, operation: str, response_ms: float, service_ms: float, lag_ms: float) -> None:
        """Count an answered request."""
        cell = self._cell(operation)
        cell.response.add(response_ms)
        cell.service.add(service_ms)
        cell.unhindered.add(response_ms - lag_ms)

    def failure(self, operation: str, error: str) -> None:
        """Count a failed request; `error` is one short line."""
        self._cell(operation).failures += 1
        self._errors[operation, error] += 1

    def lag(self, ms: float) -> None:
        """Count how late a request went out that could have gone: the generator's own delay."""
        bucket = self._bucket()
        lags = self._lags.get(bucket)
        if lags is None:
            lags = self._lags[bucket] = Histogram()
        lags.add(ms)

    def message(self, id_: bytes, *, acknowledged: bool) -> None:
        """Remember a message id (16 bytes): committed for sure, or with unknown outcome."""
        (self._acknowledged if acknowledged else self._unacknowledged).extend(id_)

    def tick(self) -> None:
        """Note the CPU this process took since the last tick, as a share of one core, and that of the machine."""
        wall, cpu = self._clock(), time.process_time()
        share = (cpu - self._cpu[1]) / max(1e-9, wall - self._cpu[0])
        self._cpu = (wall, cpu)
        self._ticks.append({"bucket": self._bucket(), "cpu_share": share, "machine_share": psutil.cpu_percent() / 100})

    def drain(self) -> dict[str, Any]:
        """Return everything since the last call as plain lists, and forget it."""
        message = {
            "cells": [
                [bucket, name, cell.failures, *(h.to_wire() for h in (cell.response, cell.service, cell.unhindered))]
                for (bucket, name), cell in self._cells.items()
            ],
            "errors": [[operation, error, count] for (operation, error), count in self._errors.items()],
            "lags": [[bucket, lags.to_wire()] for bucket, lags in self._lags.items()],
            "ticks": self._ticks,
            "acknowledged": bytes(self._acknowledged),
            "unacknowledged": bytes(self._unacknowledged),
        }
        self._cells, self._errors, self._lags, self._ticks = {}, Counter(), {}, []
        self._acknowledged, self._unacknowledged = bytearray(), bytearray()
        return message

    def _cell(self, operation: str) -> Cell:
        key = self._bucket(), operation
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell()
        return cell

    def _bucket(self) -> int:
        return int((self._clock() - self.started_at) / self._bucket_s)
