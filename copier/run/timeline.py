"""How the rows went, over time: a bounded number of samples for the report."""

from __future__ import annotations

import time
from typing import Any

from copier.events import TableProgress

SAMPLED_PHASES = ("data", "verify")
SAMPLES_PER_PHASE = 150
_FIRST_INTERVAL_S = 0.02


class Timeline:
    """Samples of the phases that move rows: {"t_s", "phase", "rows", "bytes"}.

    `t_s` counts from the beginning of the verb; `rows` and `bytes` from the beginning of the phase, in this run. A
    phase begins with a sample of 0 and ends with its total. When its samples become too many, every second one is
    dropped and they come half as often, so that an hour takes no more memory than a second.
    """

    def __init__(self, samples: list[dict[str, Any]], started_s: float) -> None:
        self._samples = samples
        self._started_s = started_s
        self._phase = ""
        self._first = 0
        self._rows = self._bytes = 0
        self._interval_s = _FIRST_INTERVAL_S
        self._next_s = 0.0

    def begin(self, phase: str) -> None:
        """Begin a phase."""
        if phase not in SAMPLED_PHASES:
            return
        self._phase, self._first = phase, len(self._samples)
        self._rows = self._bytes = 0
        self._interval_s = _FIRST_INTERVAL_S
        self._sample(time.perf_counter())

    def add(self, event: TableProgress) -> None:
        """Count what an event of the phase tells."""
        if event.phase != self._phase:
            return
        self._rows += event.rows
        self._bytes += event.bytes
        now_s = time.perf_counter()
        if now_s >= self._next_s:
            self._sample(now_s)

    def end(self, phase: str) -> None:
        """End a phase with what it came to."""
        if phase == self._phase:
            self._sample(time.perf_counter())
            self._phase = ""

    def _sample(self, now_s: float) -> None:
        if len(self._samples) - self._first >= SAMPLES_PER_PHASE:
            del self._samples[self._first + 1 :: 2]  # the first stays
            self._interval_s *= 2
        t_s = round(now_s - self._started_s, 3)
        self._samples.append({"t_s": t_s, "phase": self._phase, "rows": self._rows, "bytes": self._bytes})
        self._next_s = now_s + self._interval_s
