"""The figures of a document that can be compared with those of another run, each with how uncertain it is.

The standard error of the p-th percentile of n values is s * sqrt(p (1 - p) / n) / phi(z_p), with s the standard
deviation and phi the density of the normal distribution at its p-th percentile (Stuart and Ord, Kendall's Advanced
Theory of Statistics, vol. 1, 10.10). Latencies have longer tails than that, so the tails are taken with the whole
deviation, and the median with that of the quartiles.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from copier.documents import Benchmark, Benchmarks, Document
from copier.loadtest_report import LoadTest
from copier.report import Report

FEWEST_ROUNDS = 5
"""With fewer rounds a benchmark's deviation says nothing."""
_FEWEST_BEYOND = 5
"""Values that must lie beyond a percentile before it means something."""
_FEWEST_SAMPLES = 10
_SHORTEST_S = 0.5
"""What a migration does in less time than this varies by more than any threshold."""
_TAILS = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
_NORMAL = NormalDist()
_IQR_OF_NORMAL = 2 * _NORMAL.inv_cdf(0.75)
"""Interquartile range / standard deviation of the normal distribution: 1.349."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one run. `error` is its standard error in the same unit, 0 where nothing is known of it."""

    name: str
    """The benchmark, operation, phase or table."""
    what: str
    """median, p95, rate, seconds ..."""
    unit: str
    value: float
    better: Literal["less", "more"] = "less"
    error: float = 0.0
    doubt: str = ""
    """Why this figure alone settles nothing."""

    @property
    def key(self) -> tuple[str, str]:
        """What a figure of another run must have in common to be compared."""
        return self.name, self.what


def figures_of(document: Document) -> Iterator[Figure]:
    """Yield the figures of a document."""
    match document:
        case Benchmarks():
            for one in document.benchmarks:
                yield from _of_benchmark(one)
        case LoadTest():
            yield from _of_loadtest(document)
        case Report():
            yield from _of_migration(document)


def _of_benchmark(one: Benchmark) -> Iterator[Figure]:
    stats = one.stats
    rounds, spread_s = int(_number(stats, "rounds") or 0), _number(stats, "stddev") or 0.0
    few = f"only {rounds} rounds" if rounds < FEWEST_ROUNDS else ""
    if (median_s := _number(stats, "median")) is not None:
        # The quartiles do not feel the few rounds in which the machine did something else.
        middle_s = (_number(stats, "iqr") or 0.0) / _IQR_OF_NORMAL or spread_s
        yield Figure(one.fullname, "median", "ms", median_s * 1e3, "less", _error(middle_s, 0.5, rounds) * 1e3, few)
    for key, share in _TAILS.items():
        if (value := _number(one.extra_info, key)) is None or (share == 0.5 and median_s is not None):
            continue
        beyond = "" if rounds * (1 - share) >= _FEWEST_BEYOND else f"only {rounds} rounds"
        yield Figure(one.fullname, key[:3], "ms", value, "less", _error(spread_s, share, rounds) * 1e3, few or beyond)


def _error(deviation: float, share: float, count: int) -> float:
    if count < 2:
        return 0.0
    return deviation * math.sqrt(share * (1 - share) / count) / _NORMAL.pdf(_NORMAL.inv_cdf(share))


def _of_loadtest(test: LoadTest) -> Iterator[Figure]:
    if (rate := test.rate.achieved_per_s) is not None:
        seen = [s.rate_per_s for s in test.timeline if s.rate_per_s is not None]
        yield Figure("all operations", "rate", "/s", rate, "more", _of_intervals(seen))
    for one in test.operations:
        done = one.count + one.failures
        if done:
            failed = one.failures / done
            # Laplace's estimate keeps the error of "none failed" above 0.
            likely = (one.failures + 1) / (done + 2)
            yield Figure(one.name, "failed", "%", 100 * failed, "less", 100 * math.sqrt(likely * (1 - likely) / done))
        for key, share in _TAILS.items():
            if (value := getattr(one, key)) is None:
                continue
            intervals = [s.operations[one.name] for s in test.timeline if one.name in s.operations]
            seen = [y for interval in intervals if (y := getattr(interval, key)) is not None]
            few = "" if one.count * (1 - share) >= _FEWEST_BEYOND else f"only {one.count} operations"
            error = _of_intervals(seen, quartiles=share == 0.5)
            yield Figure(one.name, key[:3], "ms", value, "less", error, few)


def _of_intervals(values: Sequence[float], quartiles: bool = False) -> float:
    """Return the standard error of what the intervals of a run had in common, 0 where they are too few."""
    if len(values) < _FEWEST_SAMPLES:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    deviation = (high - low) / _IQR_OF_NORMAL if quartiles else statistics.stdev(values)
    return deviation / math.sqrt(len(values))


def _of_migration(report: Report) -> Iterator[Figure]:
    rows = sum(t.copied_rows for t in report.tables)
    for phase in report.phases:
        seconds = phase["seconds"]
        yield Figure(f"phase {phase['name']}", "seconds", "s", seconds, doubt=_short(seconds))
        if phase["name"] in ("data", "verify") and seconds > 0 and rows:
            yield Figure(f"phase {phase['name']}", "rows", "/s", rows / seconds, "more", doubt=_short(seconds))
    for table in report.tables:
        if table.seconds > 0 and table.copied_rows:
            value = table.copied_rows / table.seconds
            yield Figure(f"table {table.source}", "rows", "/s", value, "more", doubt=_short(table.seconds))
    if report.seconds:
        yield Figure("the whole run", "seconds", "s", report.seconds, doubt=_short(report.seconds))
    if report.peak_rss_bytes:
        yield Figure("the whole run", "memory", "MB", report.peak_rss_bytes / 1e6)


def _short(seconds: float) -> str:
    return "" if seconds >= _SHORTEST_S else f"less than {_SHORTEST_S} s"


def _number(values: dict[str, Any], key: str) -> float | None:
    value = values.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
