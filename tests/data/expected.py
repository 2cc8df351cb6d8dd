"""What a migration with default settings must make of a generated database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = int | float | str | bytes | None

_SPELLINGS = {
    "bool": "boolean",
    "int": "integer",
    "double": "double precision",
    "timestamptz": "timestamp with time zone",
    "timestamp": "timestamp without time zone",
    "time": "time without time zone",
}


@dataclass(frozen=True, slots=True)
class Rejected:
    """One row that must be quarantined. `key` holds the values of the primary key, in key order."""

    table: str
    key: tuple[Value, ...]
    column: str
    why: str
    rowid: int
    """The other name of the row: reports may use either."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The whole outcome. Names are source names, which default settings keep."""

    rows: Mapping[str, int]
    """Table -> rows in the source."""
    types: Mapping[str, Mapping[str, str]]
    """Table -> column -> type as PostgreSQL's format_type() spells it."""
    rejected: tuple[Rejected, ...] = ()
    orphans: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(table, column) -> rows of the target whose parent is missing; such a foreign key is left NOT VALID."""

    next_id: Mapping[str, int] = field(default_factory=dict)
    """Table -> the id that the source would give next."""

    def rejected_in(self, table: str) -> int:
        """Return how many rows of the table must be rejected."""
        return Counter(row.table for row in self.rejected)[table]

    def copied_in(self, table: str) -> int:
        """Return how many rows of the table must arrive."""
        return self.rows[table] - self.rejected_in(table)

    @property
    def total(self) -> int:
        """Rows in all tables."""
        return sum(self.rows.values())


def format_type(short: str) -> str:
    """Return `varchar(5)` as format_type() writes it: `character varying(5)`."""
    base, _, rest = short.partition("(")
    name = {"varchar": "character varying", **_SPELLINGS}.get(base, base)
    return f"{name}({rest}" if rest else name


def types(text: str) -> dict[str, dict[str, str]]:
    """Read lines of `table: column type, column type` into table -> column -> format_type spelling.

    A column without a type has the type of the next one that has: `a b c text` gives three.
    """
    result: dict[str, dict[str, str]] = {}
    for line in filter(None, (re.sub(r"\s+", " ", part).strip() for part in text.split(";"))):
        table, _, rest = line.partition(":")
        columns = result.setdefault(table.strip(), {})
        for group in re.split(r",(?![^(]*\))", rest):
            *names, kind = group.split()
            columns.update(dict.fromkeys(names, format_type(kind)))
    return result
