"""The table of tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from copier.page.view import cut
from copier.report import TableReport
from copier.units import count, plural
from copier.verdict import is_whole

TABLES = 60
"""Shown at once."""
FOLDED = 1000
"""More, behind a click."""
_ADJUSTED = 50
_SHORTEST_S = 0.05
"""A rate over less time than this says nothing."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row, as it is read."""

    name: str
    rows: str
    rejected: str
    verified: str
    tone: str
    seconds: str
    megabytes: str
    rate: str


def in_order(tables: Sequence[TableReport]) -> list[TableReport]:
    """Return what needs a look first, then the largest."""
    return sorted(tables, key=lambda t: (is_whole(t) and t.verified is not None, is_whole(t), -t.copied_rows))


def row_of(t: TableReport) -> TableRow:
    """Return the row of a table."""
    name = t.source if t.source == t.target else f"{t.source} → {t.target}"
    rows = count(t.copied_rows) + ("" if t.copied_rows == t.source_rows else f" of {count(t.source_rows)}")
    verified, tone = (t.verified, "ok") if t.verified else ("not verified", "warn")
    rate = f"{t.bytes / t.seconds / 1e6:.1f}" if t.seconds >= _SHORTEST_S else "–"
    rejected = count(t.rejected_rows) if t.rejected_rows else "–"
    return TableRow(cut(name, 200), rows, rejected, verified, tone, f"{t.seconds:.1f}", f"{t.bytes / 1e6:.1f}", rate)


def unlisted(tables: Sequence[TableReport]) -> str:
    """Return a sentence about tables for which there is no room."""
    if not tables:
        return ""
    rows = plural(sum(t.copied_rows for t in tables), "row")
    return f"And {plural(len(tables), 'table')} more, with {rows}. The JSON report lists all of them."


def adjusted(tables: Sequence[TableReport]) -> list[str]:
    """Return a sentence per column whose values were changed by the plan's policy."""
    found = [
        f"{cut(t.source, 200)}.{cut(column, 200)}: {plural(n, 'value')} changed as the plan says."
        for t in tables
        for column, n in t.adjusted_values.items()
    ]
    more = [f"And {plural(len(found) - _ADJUSTED, 'more column')} like these."] if len(found) > _ADJUSTED else []
    return found[:_ADJUSTED] + more
