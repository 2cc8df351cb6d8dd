"""Latencies counted in buckets 1% wide: small, exact to 1%, and two of them can be added."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

_PER_E = 100
"""Buckets from one power of e to the next."""
_LEAST_MS = 1e-3


class Histogram:
    """Counts of milliseconds. A percentile is the upper edge of its bucket, so never below the true one."""

    __slots__ = ("counts", "max_ms")

    def __init__(self, counts: Iterable[tuple[int, int]] = (), max_ms: float = 0.0) -> None:
        self.counts: Counter[int] = Counter(dict(counts))
        self.max_ms = max_ms

    def add(self, ms: float) -> None:
        """Count one latency."""
        if ms > self.max_ms:
            self.max_ms = ms
        self.counts[math.floor(math.log(ms if ms > _LEAST_MS else _LEAST_MS) * _PER_E)] += 1

    def merge(self, other: Histogram) -> None:
        """Add the counts of another one."""
        self.counts.update(other.counts)
        self.max_ms = max(self.max_ms, other.max_ms)

    @property
    def count(self) -> int:
        """How many latencies."""
        return self.counts.total()

    def percentile(self, share: float) -> float | None:
        """Return the ms that `share` (0 to 1) of the latencies do not exceed; None when there are none."""
        wanted = math.ceil(share * self.count)
        for bucket in sorted(self.counts):
            wanted -= self.counts[bucket]
            if wanted <= 0:
                return min(math.exp((bucket + 1) / _PER_E), self.max_ms)
        return None

    def to_wire(self) -> list[object]:
        """Return lists and numbers, for Locust's messages."""
        return [[list(pair) for pair in self.counts.items()], self.max_ms]

    @classmethod
    def from_wire(cls, wire: list[object]) -> Histogram:
        """Return what `to_wire` described."""
        pairs, max_ms = wire
        return cls(((bucket, count) for bucket, count in pairs), max_ms)  # type: ignore[attr-defined,arg-type]


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum of them all."""
    total = Histogram()
    for one in histograms:
        total.merge(one)
    return total
