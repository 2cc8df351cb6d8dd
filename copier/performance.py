"""Before and after: which figures of two runs differ by more than a threshold, and by more than chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from copier.documents import NAMES, Benchmarks, Document
from copier.errors import UsageError
from copier.figures import Figure, figures_of
from copier.loadtest_report import LoadTest
from copier.report import Report

THRESHOLD = 0.1
_ERRORS = 3.0
"""Standard errors of the difference within which it is taken for chance: about 1 in 400 by chance alone."""

Judgement = Literal["regression", "better", "same", "unsure"]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both runs. `ratio` is after / before, None where before is 0."""

    name: str
    what: str
    unit: str
    better: Literal["less", "more"]
    before: float
    after: float
    ratio: float | None
    judgement: Judgement
    note: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of two runs. `only_before` and `only_after` are names that have no counterpart."""

    kind: str
    threshold: float
    changes: list[Change]
    only_before: list[str]
    only_after: list[str]
    notes: list[str]

    @property
    def regressions(self) -> list[Change]:
        """Return what got worse."""
        return [c for c in self.changes if c.judgement == "regression"]

    @property
    def exit_code(self) -> int:
        """1 when something got worse."""
        return 1 if self.regressions else 0


def compare(before: Document, after: Document, threshold: float = THRESHOLD) -> Comparison:
    """Compare two documents of one kind; a figure is worse from `threshold` (0.1: a tenth) on.

    Raises UsageError when the kinds differ, when nothing in them is of the same name, and for load tests whose
    generator was the limit: their figures are not the server's.
    """
    if type(before) is not type(after):
        text = f"these cannot be compared: before is {NAMES[type(before)]}, after is {NAMES[type(after)]}"
        raise UsageError(text, hint="give two documents of the same kind")
    for when, one in (("before", before), ("after", after)):
        if isinstance(one, LoadTest) and (one.verdict == "generator-bound" or (one.generator and one.generator.bound)):
            text = f"the load generator was the limit in the run {when}: its figures are not the server's"
            raise UsageError(text, hint="repeat that run with more CPU for the generator")
    old, new = ({f.key: f for f in figures_of(one)} for one in (before, after))
    both = [key for key in new if key in old]
    if not both:
        raise UsageError("the two documents have no figure of the same name", hint="compare runs of the same things")
    amounts = _amounts_differ(before, after)
    changes = [_judge(old[key], new[key], threshold, _unlike(old[key], amounts)) for key in both]
    return Comparison(
        kind=NAMES[type(before)],
        threshold=threshold,
        changes=changes,
        only_before=_names(key for key in old if key not in new),
        only_after=_names(key for key in new if key not in old),
        notes=list(_notes(before, after)),
    )


def _names(keys: Iterator[tuple[str, str]]) -> list[str]:
    return [f"{name}: {what}" for name, what in keys]


def _judge(before: Figure, after: Figure, threshold: float, unlike: str) -> Change:
    ratio = after.value / before.value if before.value > 0 else None
    worse = _worse(before, after)
    judgement: Judgement
    note = ""
    if 1 / (1 + threshold) <= worse <= 1 + threshold:
        judgement = "same"
    elif doubt := unlike or before.doubt or after.doubt:
        judgement, note = "unsure", doubt
    elif abs(after.value - before.value) <= _ERRORS * math.hypot(before.error, after.error):
        judgement, note = "same", "within the noise"
    else:
        judgement = "regression" if worse > 1 else "better"
    return Change(
        before.name, before.what, before.unit, before.better, before.value, after.value, ratio, judgement, note
    )


def _worse(before: Figure, after: Figure) -> float:
    """Return how many times worse it got: 2 is twice as slow."""
    low, high = (before.value, after.value) if before.better == "less" else (after.value, before.value)
    if low <= 0:
        return 1.0 if high <= 0 else math.inf
    return high / low


def _amounts_differ(before: Document, after: Document) -> bool:
    if not (isinstance(before, Report) and isinstance(after, Report)):
        return False
    rows = [sum(t.copied_rows for t in report.tables) for report in (before, after)]
    return abs(rows[0] - rows[1]) > 0.01 * max(rows)


def _unlike(figure: Figure, amounts_differ: bool) -> str:
    return "other amounts of rows" if amounts_differ and figure.unit in ("s", "MB") else ""


def _notes(before: Document, after: Document) -> Iterator[str]:
    match before, after:
        case LoadTest(), LoadTest():
            yield from _of_loads(before, after)
        case Report(), Report():
            yield "One run on either side does not say how much such runs vary; repeat them before you act on a figure."
            if _amounts_differ(before, after):
                yield "The two runs moved different numbers of rows: only rows per second are judged."
            if before.engine != after.engine:
                yield f"The engine differs: {before.engine} before, {after.engine} after."
        case Benchmarks(), Benchmarks() if any(f.doubt for one in (before, after) for f in figures_of(one)):
            yield "Some benchmarks have too few rounds to tell a change from chance; more rounds settle it."


def _of_loads(before: LoadTest, after: LoadTest) -> Iterator[str]:
    old, new = before.rate.intended_per_s, after.rate.intended_per_s
    if old is not None and new is not None and old != new:
        yield f"The load differs: {old:,.0f} operations per second were intended before, {new:,.0f} after."
    if before.shape != after.shape:
        yield f"The shape differs: {before.shape} before, {after.shape} after."
    if before.target.via != after.target.via:
        yield f"The connection differs: {before.target.via} before, {after.target.via} after."
    if after.verdict == "fail":
        yield "The run after failed its own targets."
