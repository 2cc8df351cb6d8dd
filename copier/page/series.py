"""Figures over time, made few enough to draw, and the ticks of their axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

Points = list[tuple[float, float | None]]

_TIME_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


def rates(samples: Sequence[dict[str, Any]], phase: str, key: str, points: int = 60) -> Points:
    """Return `key` per second of a phase of `Report.timeline`, over at most `points` intervals.

    The samples are totals at uneven times, since a chunk counts when it is committed; what came between two of them is
    spread evenly over the time between them.
    """
    told = [(float(s["t_s"]), float(s[key])) for s in samples if s["phase"] == phase]
    if len(told) < 3 or told[-1][0] <= told[0][0]:
        return []
    count = max(2, min(points, len(told) // 3))
    first_s, last_s = told[0][0], told[-1][0]
    width_s = (last_s - first_s) / count
    edges = [first_s + n * width_s for n in range(count + 1)]
    totals = [_total_at(told, edge) for edge in edges]
    return [
        ((a + b) / 2, max(0.0, (after - before) / width_s))
        for (a, b), (before, after) in zip(pairwise(edges), pairwise(totals), strict=True)
    ]


def _total_at(told: Sequence[tuple[float, float]], t_s: float) -> float:
    for (a_s, before), (b_s, after) in pairwise(told):
        if t_s <= b_s:
            share = (t_s - a_s) / (b_s - a_s) if b_s > a_s else 1.0
            return before + (after - before) * max(0.0, share)
    return told[-1][1]


def thin(points: Points, most: int, keep: Callable[[list[float]], float]) -> Points:
    """Return at most `most` points: each stands for a stretch of time, with `keep` (max, mean ..) of its values."""
    if len(points) <= most:
        return points
    start, width = points[0][0], (points[-1][0] - points[0][0]) / most or 1.0

    def stretch(point: tuple[float, float | None]) -> int:
        return min(most - 1, int((point[0] - start) / width))

    return [_one(list(group), keep) for _, group in groupby(points, stretch)]


def _one(group: Points, keep: Callable[[list[float]], float]) -> tuple[float, float | None]:
    values = [y for _, y in group if y is not None]
    return group[len(group) // 2][0], keep(values) if values else None


def ticks(highest: float, most: int = 5) -> list[float]:
    """Return round values from 0 to at least `highest`, `most` steps or fewer."""
    if highest <= 0:
        return [0.0, 1.0]
    raw = highest / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= raw * 0.9999)
    return list(_steps(step, math.ceil(highest / step * 0.9999)))


def time_ticks(first_s: float, last_s: float, most: int = 8) -> list[float]:
    """Return round times from `first_s` to `last_s`, in seconds."""
    span_s = last_s - first_s
    step = next((s for s in _TIME_STEPS_S if span_s / s <= most), math.ceil(span_s / most / 86400) * 86400)
    return [round(n * step, 9) for n in range(math.ceil(first_s / step), int(last_s / step) + 1)]


def _steps(step: float, count: int) -> Iterator[float]:
    return (round(n * step, 9) for n in range(count + 1))


def time_label(t_s: float, last_s: float) -> str:
    """Return `t_s` as a tick's label on an axis that ends at `last_s`."""
    if last_s < 180:
        return f"{t_s:g} s"
    if last_s < 3 * 3600:
        return f"{t_s / 60:g} min"
    return f"{t_s / 3600:g} h"


def short(value: float) -> str:
    """Return a figure for an axis: 0, 0.5, 950, 12k, 1.5M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.4g}{unit}"
    return f"{value:.4g}" if value < 1000 else f"{value:,.0f}"
