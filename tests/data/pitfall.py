"""The shape of one pitfall: a small table or a few, and what must become of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from copier.plan.names import quote

from .expected import Value, format_type

Statement = str | tuple[str, Sequence[Sequence[Value]]]
"""SQL, or SQL with the rows for its parameters."""


LISTED = ("skipped", "failed")
"""Statuses of what PostgreSQL cannot have."""

ANY = ("created", "translated", *LISTED)
"""For what may be translated or listed, as long as it is there."""


class Broken(bytes):
    """Bytes to be stored as text although they are not valid UTF-8."""


@dataclass(frozen=True, slots=True)
class ObjectExpected:
    """A line that must be in the report's `objects`: any of the statuses, `name` somewhere in its name."""

    kind: str
    table: str | None
    name: str = ""
    statuses: tuple[str, ...] = ("created", "translated")


@dataclass(frozen=True, slots=True)
class PitfallCase:
    """One case. Names are the source's, which default settings keep."""

    name: str
    sql: Sequence[Statement]
    tables: Mapping[str, tuple[int, int]]
    """Table -> (rows copied, rows rejected)."""
    types: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(table, column) -> type as format_type() spells it; alternatives that are equally right are split by `|`."""
    objects: Sequence[ObjectExpected] = ()
    probes: Sequence[tuple[str, object]] = ()
    """(query on the target, the one value it must give); each is rolled back."""
    refused: Sequence[str] = ()
    """Statements that the target's constraints must refuse."""
    outcome: Literal["verified", "attention"] | None = "verified"
    """Outcome of a migration of this case alone; None where both are right."""


def column_case(
    name: str,
    declared: str,
    values: Iterable[Value],
    becomes: str,
    *,
    rejected: int = 0,
    column: str = "v",
    probes: Sequence[tuple[str, object]] = (),
) -> PitfallCase:
    """Make a case of one table `name` with the columns `id`, counted from 1, and `column`, which holds the values."""
    held = list(values)
    rows = [(number, value) for number, value in enumerate(held, 1)]
    target = f"INSERT INTO {quote(name)} (id, {quote(column)})"
    plain = [row for row in rows if not isinstance(row[1], Broken)]
    broken = [(number, bytes(value)) for number, value in rows if isinstance(value, Broken)]
    return PitfallCase(
        name,
        (
            f"CREATE TABLE {quote(name)} (id INTEGER PRIMARY KEY, {quote(column)} {declared})",
            (f"{target} VALUES (?, ?)", plain),
            (f"{target} VALUES (?, CAST(? AS TEXT))", broken),
        ),
        {name: (len(held) - rejected, rejected)},
        {(name, "id"): "bigint", (name, column): "|".join(map(format_type, becomes.split("|")))},
        probes=probes,
        outcome="attention" if rejected else "verified",
    )


def run(connection: sqlite3.Connection, statements: Iterable[Statement]) -> None:
    """Run the statements of a case."""
    for statement in statements:
        if isinstance(statement, str):
            connection.execute(statement)
        else:
            connection.executemany(*statement)
