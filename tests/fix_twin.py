"""One table twice: as SQLite stores it and as PostgreSQL does, to compare what both make of an expression."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from copier.plan.model import ColumnPlan, TablePlan
from copier.plan.names import qualify, quote
from copier.plan.pgtype import CASTS, parse_type
from copier.plan.translate.scope import Scope, TableScope


def column(name: str, declared: str, pg: str, cast: str = "", **more: Any) -> ColumnPlan:
    """Return a column plan with the usual cast of its type."""
    kind = parse_type(pg)
    return ColumnPlan(name, more.pop("target", name), declared, kind, cast or CASTS[kind.wire][0], **more)


TWIN = TablePlan(
    "t",
    "twin",
    (
        column("id", "INTEGER", "bigint", identity=True),
        column("a", "INTEGER", "bigint"),
        column("b", "INTEGER", "integer"),
        column("f", "REAL", "double precision"),
        column("n", "NUMERIC(10,2)", "numeric(10,2)"),
        column("s", "TEXT", "text"),
        column("s2", "VARCHAR(20)", "varchar(20)"),
        column("ok", "BOOLEAN", "boolean"),
        column("u", "TEXT", "uuid"),
        column("j", "TEXT", "jsonb"),
        column("js", "TEXT", "json"),
        column("ms", "INTEGER", "timestamptz", "epoch_ms"),
        column("sec", "INTEGER", "timestamptz", "epoch_s"),
        column("ts", "DATETIME", "timestamptz", "iso"),
        column("d", "DATE", "date"),
        column("bl", "BLOB", "bytea"),
        column("Mixed Case", "TEXT", "text", target="mixed_case"),
    ),
    identity_columns=("id",),
)
SCOPE = TableScope.of(TWIN)
WORLD = Scope.of("public", [TWIN])

_U1, _U2 = "123e4567-e89b-42d3-a456-426614174000", "00000000-0000-4000-8000-00000000abcd"
_ROWS: tuple[tuple[Any, ...], ...] = (
    (
        *(1, 7, 2, 0.1, 4.99, "abc", "ABC", 1, _U1, '{"a":{"b":"x","n":5},"l":[1,2,3]}', '{"a":1}'),
        *(1700000000123, 1700000000, "2024-01-31 10:20:30", "2024-01-31", b"\x00\xff", "a@b.org"),
    ),
    (
        *(2, -5, 0, -2.5, 3, "", "x", 0, _U2, '{"a":{"b":"y","n":7}}', "[]"),
        *(0, 0, "2023-12-31 23:59:59", "2024-02-29", b"", "5"),
    ),
    (3, *(None,) * 16),
    (
        *(4, 2**40, 3, 2.5, -3, "ABC", "abc", 1, _U1, "[]", "[1, 2]"),
        *(1709210096789, 1709210096, "2024-02-29 12:34:56", "2023-03-01", b"abc", "Äpfel"),
    ),
    (
        *(5, 0, 7, 3.0, 0, "a%b", "a_b", 0, _U2, "{}", "{}"),
        *(-1500, -1, "1999-12-31 00:00:00", "1969-12-31", b"\x7f", "äPFEL"),
    ),
    (
        *(6, 1, -1, 1e20, 0.05, "it's", "a\\b", 1, _U1, '["x"]', '{"k":null}'),
        *(1, 1, "2000-01-01 00:00:00", "2000-01-01", b"a'b", "0 lead"),
    ),
)
_COLUMNS = [f"{quote(c.source)} {c.declared}{' PRIMARY KEY' if c.identity else ''}" for c in TWIN.columns]
SQLITE_DDL = f"CREATE TABLE t ({', '.join(_COLUMNS)})"
PG_DDL = f"CREATE TABLE twin ({', '.join(f'{quote(c.target)} {c.type.sql}' for c in TWIN.columns)})"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


_TO_PG: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "uuid": UUID,
    "numeric": lambda v: Decimal(str(v)),
    "epoch_ms": lambda v: datetime.fromtimestamp(0, UTC) + (datetime.fromtimestamp(1, UTC) - _EPOCH) * v / 1000,
    "epoch_s": lambda v: datetime.fromtimestamp(0, UTC) + (datetime.fromtimestamp(1, UTC) - _EPOCH) * v,
    "iso": _moment,
}
_EPOCH = datetime.fromtimestamp(0, UTC)


def _as_pg(value: Any, plan: ColumnPlan) -> Any:
    if value is None:
        return None
    if plan.type.wire == "jsonb":
        return json.loads(value)
    if plan.type.wire == "date":
        return date.fromisoformat(value)
    return _TO_PG.get(plan.cast, lambda v: v)(value)


class Twin:
    """Both tables, filled alike."""

    def __init__(self, lite: sqlite3.Connection, pg: asyncpg.Connection) -> None:
        self.lite = lite
        self.pg = pg

    def source(self, sql: str) -> list[Any]:
        """Return SQLite's value of an expression for every row."""
        return [row[0] for row in self.lite.execute(f"SELECT ({sql}) FROM t ORDER BY id")]

    async def target(self, sql: str) -> list[Any]:
        """Return PostgreSQL's value of an expression for every row."""
        return [row[0] for row in await self.pg.fetch(f"SELECT ({sql}) FROM twin ORDER BY id")]


def alike(mine: Any, theirs: Any) -> bool:
    """Whether PostgreSQL's value says what SQLite's does."""
    if mine is None or theirs is None:
        return mine is None and theirs is None
    if isinstance(theirs, bool):
        return isinstance(mine, int | float) and (mine != 0) == theirs
    if isinstance(theirs, int | float | Decimal):
        return isinstance(mine, int | float) and math.isclose(float(mine), float(theirs), rel_tol=1e-12, abs_tol=1e-9)
    if isinstance(theirs, UUID | date) and not isinstance(theirs, datetime):
        return str(mine) == str(theirs)
    return bool(mine == theirs)


@pytest.fixture
def lite() -> Iterator[sqlite3.Connection]:
    """The SQLite twin, in memory."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(SQLITE_DDL)
        places = ", ".join("?" * len(TWIN.columns))
        connection.executemany(f"INSERT INTO t VALUES ({places})", _ROWS)
        yield connection


async def filled(lite: sqlite3.Connection, pg: asyncpg.Connection) -> Twin:
    """Make PostgreSQL's twin; its session is in a zone other than UTC, which must change nothing."""
    await pg.execute("SET TIME ZONE 'America/New_York'")
    await pg.set_type_codec("jsonb", encoder=json.dumps, decoder=str, schema="pg_catalog")
    await pg.execute(PG_DDL)
    places = ", ".join(f"${i + 1}" for i in range(len(TWIN.columns)))
    rows = [[_as_pg(v, c) for v, c in zip(row, TWIN.columns, strict=True)] for row in _ROWS]
    await pg.executemany(f"INSERT INTO {qualify('public', 'twin')} VALUES ({places})", rows)
    return Twin(lite, pg)


@pytest.fixture
async def twin(lite: sqlite3.Connection, pg: asyncpg.Connection) -> Twin:
    """Both twins, on PostgreSQL 18."""
    return await filled(lite, pg)


@pytest.fixture
async def twin_any(lite: sqlite3.Connection, pg_any: str) -> AsyncIterator[Twin]:
    """Both twins, once on each server this machine has."""
    connection = await asyncpg.connect(pg_any)
    try:
        yield await filled(lite, connection)
    finally:
        await connection.close()
