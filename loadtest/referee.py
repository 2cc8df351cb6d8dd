"""The process that makes the verdict, for one test: it knows the target before and after, and what the others saw."""

from __future__ import annotations

import logging
import tempfile
import time
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
import psycopg
from locust.runners import MasterRunner, Runner
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from copier.errors import ConnectionLost, UsageError
from loadtest.audit import Audit, audit
from loadtest.collector import Collector
from loadtest.document import Measured, build_document
from loadtest.shapes import build_shape
from loadtest.slo import DEFAULT_SLO, Slo, apportion, parse_slo
from loadtest.target import Control, target_dsn
from loadtest.verdict import judge, ramp_over

STOP = "loadtest_stop"
"""The message that makes a worker stop its users and send its last notes."""
_TICK_S = 1.0
_FINALS_PATIENCE_S = 15
_FAILOVER_PATIENCE_S = 60
_NOTES_TRAVEL_S = 2.5
"""What happened this long ago is known to the collector."""
log = logging.getLogger("loadtest")


class Referee:
    """Looks at the target when made: raises CopierError or psycopg.Error when there is nothing to test."""

    def __init__(self, options: Namespace, runner: Runner) -> None:
        self._options = options
        self._runner = runner
        self._slo, text = read_slo(options.slo)
        self._scratch = tempfile.TemporaryDirectory(prefix="loadtest-")
        rate = options.rate or self._slo.rate.messages_per_s
        shape = build_shape(options.shape, rate, options.seconds, self._slo)
        self.users = apportion(runner.target_user_count, self._slo)
        """Users of each class."""
        self.collector = Collector(shape, Path(self._scratch.name))
        self._control = Control(target_dsn(), options.schema)
        self._control.statements()  # is it a chat database?
        self._prepare = options.prepared == "on" or (options.prepared == "auto" and not self._control.pooled())
        self._facts = self._control.facts(options.via)
        self._before = self._control.counts()
        self._processes = len(runner.clients.ready) if isinstance(runner, MasterRunner) else 1
        self._began_at = datetime.now(UTC)
        self._started_s: float | None = None
        self._over = False
        self.plan = {
            "slo": text,
            "users": self.users,
            "shape": options.shape,
            "rate": rate,
            "seconds": options.seconds,
            "schema": options.schema,
            "prepare": self._prepare,
        }
        """What the processes with users need to know, as plain values."""

    def start(self) -> bool:
        """All users are there, the schedule begins; False when it has begun before."""
        first = self._started_s is None
        if first:
            self._started_s = time.perf_counter()
            gevent.spawn(self._watch_standby)
        return first

    def wait_until_over(self) -> bool:
        """Wait for the end of the shape, or for the knee of a ramp; False when the test was ended otherwise."""
        shape = self.collector.shape
        while not self._over:
            elapsed_s = self._elapsed_s()
            self.collector.elapsed_s = min(shape.duration_s, elapsed_s - _NOTES_TRAVEL_S)
            self.collector.users[int(elapsed_s / shape.bucket_s)] = self._runner.user_count
            if elapsed_s >= shape.duration_s or (shape.name == "ramp" and ramp_over(self.collector, self._slo)):
                return True
            gevent.sleep(min(_TICK_S, shape.duration_s - elapsed_s))
        return False

    def finish(self) -> dict[str, Any]:
        """All users of this process have stopped: hear the others, audit, judge; return the document."""
        self._over = True
        self.collector.elapsed_s = min(self.collector.shape.duration_s, self._elapsed_s())
        silent = self._await_finals()
        found = self._audit()
        self._scratch.cleanup()
        verdict = judge(self.collector, self._slo, found, silent)
        return build_document(
            Measured(
                self._began_at,
                self._facts,
                self._slo,
                self.collector,
                found,
                verdict,
                self._prepare,
                self._processes,
            )
        )

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._started_s if self._started_s is not None else 0.0

    def _watch_standby(self) -> None:
        while not self._over:
            try:
                lag_ms = self._control.replication_lag_ms()
                if lag_ms is not None:
                    self.collector.replication_lag_ms.append(lag_ms)
            except psycopg.Error:  # a failover or a killed backend; the users' errors say so
                try:
                    self._control.reconnect()
                except ConnectionLost:
                    log.warning("the target does not answer")
            gevent.sleep(_TICK_S)

    def _await_finals(self) -> int:
        """Wait for the last notes of every generator process; return how many sent none."""
        finished = self.collector.finished
        if isinstance(self._runner, MasterRunner) and len(finished) < self._processes:
            self._runner.send_message(STOP)  # a quitting master does not stop its workers' users first
            deadline_s = time.monotonic() + _FINALS_PATIENCE_S
            while len(finished) < self._processes and time.monotonic() < deadline_s:
                gevent.sleep(0.05)
        return self._processes - len(finished)

    def _audit(self) -> Audit:
        """Audit on a new connection; a failover may be under way."""
        paths = self.collector.acknowledged_path, self.collector.unacknowledged_path
        for attempt in Retrying(
            retry=retry_if_exception_type((ConnectionLost, psycopg.OperationalError)),
            stop=stop_after_delay(_FAILOVER_PATIENCE_S),
            wait=wait_fixed(0.5),
            reraise=True,
        ):
            with attempt:
                self._control.connection.close()
                connection = self._control.reconnect()
                self._control.await_quiet()
                found = audit(connection, self._options.schema, self._before, *paths)
        self._control.connection.close()
        return found


def read_slo(path_text: str) -> tuple[Slo, str]:
    """Return the targets of a file, and its text; '' is the default file. UsageError when it cannot be read."""
    path = Path(path_text or DEFAULT_SLO)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    return parse_slo(text, path.name), text
