"""Defaults: the value a new row gets must be what SQLite would have stored."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from fix_twin import alike, column

from copier.plan.model import ColumnPlan
from copier.plan.names import quote
from copier.plan.translate.defaults import constant_default, translate_default
from copier.plan.translate.parse import Untranslatable

UUID4 = (
    "lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-4' || substr(lower(hex(randomblob(2))),2) || "
    "'-' || substr('89ab',abs(random()) % 4 + 1, 1) || substr(lower(hex(randomblob(2))),2) || '-' || "
    "lower(hex(randomblob(6)))"
)
UUID4_UPPER = (
    "hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || '4' || substr(hex(randomblob(2)), 2) || '-' || "
    "substr('AB89', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))"
)

CONSTANTS: list[tuple[str, str, str, str, Any]] = [
    ('"abc"', "TEXT", "text", "", "abc"),
    ("abc", "TEXT", "text", "", "abc"),
    ("'it''s; --x'", "TEXT", "text", "", "it's; --x"),
    (r"'a\b'", "TEXT", "text", "", r"a\b"),
    ("''", "TEXT", "text", "", ""),
    ("5", "TEXT", "text", "", "5"),
    ("5.0", "TEXT", "text", "", "5.0"),
    ("1e20", "TEXT", "text", "", "1.0e+20"),
    ("TRUE", "TEXT", "text", "", "1"),
    ("'a' || 'b'", "TEXT", "varchar(5)", "", "ab"),
    ("(1+2)", "INTEGER", "bigint", "", 3),
    ('"5"', "INTEGER", "bigint", "", 5),
    ("'5'", "INTEGER", "integer", "", 5),
    ("+5", "INTEGER", "smallint", "", 5),
    ("-5", "INTEGER", "bigint", "", -5),
    ("- 5", "INTEGER", "bigint", "", -5),
    ("0x1F", "INTEGER", "bigint", "", 31),
    ("0xFFFFFFFFFFFFFFFF", "INTEGER", "bigint", "", -1),
    ("1e3", "INTEGER", "bigint", "", 1000),
    ("5.0", "INTEGER", "bigint", "", 5),
    ("-9223372036854775808", "INTEGER", "bigint", "", -(2**63)),
    ("TRUE", "INTEGER", "bigint", "", 1),
    ("1e3", "REAL", "double precision", "", 1000.0),
    ("'5'", "REAL", "double precision", "", 5.0),
    (".5", "REAL", "double precision", "", 0.5),
    ("4.99", "DECIMAL(4,2)", "numeric(4,2)", "", Decimal("4.99")),
    ("'4.990'", "NUMERIC", "numeric", "", Decimal("4.99")),
    ("TRUE", "BOOLEAN", "boolean", "", True),
    ("0", "BOOLEAN", "boolean", "", False),
    ("'0'", "BOOLEAN", "boolean", "", False),
    ("'t'", "BOOLEAN", "boolean", "", True),
    ('"FALSE"', "BOOLEAN", "boolean", "", False),
    ("x'00ff'", "BLOB", "bytea", "", b"\x00\xff"),
    ("'ab'", "BLOB", "bytea", "", b"ab"),
    ("'{}'", "TEXT", "jsonb", "", "{}"),
    ('"[]"', "JSON", "json", "", "[]"),
    ("'127.0.0.1'", "TEXT", "inet", "", "127.0.0.1/32"),
    ("'123e4567-e89b-42d3-a456-426614174000'", "TEXT", "uuid", "", UUID("123e4567-e89b-42d3-a456-426614174000")),
    ("'2020-01-02'", "DATE", "date", "", date(2020, 1, 2)),
    ("'2020-01-02 03:04:05.678'", "DATETIME", "timestamptz", "", datetime(2020, 1, 2, 3, 4, 5, 678000, UTC)),
    ("'2020-01-02T03:04:05+02:00'", "DATETIME", "timestamptz", "", datetime(2020, 1, 2, 1, 4, 5, 0, UTC)),
    ("'2020-01-02 03:04:05'", "DATETIME", "timestamp", "", datetime(2020, 1, 2, 3, 4, 5)),
    ("0", "INTEGER", "timestamptz", "epoch_ms", datetime(1970, 1, 1, tzinfo=UTC)),
    ("1700000000123", "INTEGER", "timestamptz", "epoch_ms", datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)),
    ("-1", "INTEGER", "timestamp", "epoch_s", datetime(1969, 12, 31, 23, 59, 59)),
    ("(date('2020-01-31', '+1 month'))", "TEXT", "text", "", "2020-03-02"),
    ("(printf('%03d', 7))", "TEXT", "text", "", "007"),
    ("(round(2.5))", "REAL", "double precision", "", 3.0),
    ("(upper('x') || char(33))", "TEXT", "text", "", "X!"),
]

NOW: list[tuple[str, str, str, str]] = [
    ("CURRENT_TIMESTAMP", "DATETIME", "timestamptz", ""),
    ("current_timestamp", "DATETIME", "timestamp", ""),
    ("CURRENT_TIMESTAMP", "TEXT", "text", ""),
    ("CURRENT_TIMESTAMP", "INTEGER", "timestamptz", "epoch_ms"),
    ("CURRENT_DATE", "DATE", "date", ""),
    ("Current_Time", "TIME", "time", ""),
    ("CURRENT_TIMESTAMP", "DATE", "date", ""),
    ("datetime('now')", "DATETIME", "timestamptz", ""),
    ("datetime()", "DATETIME", "timestamptz", ""),
    ("DATETIME('NOW')", "TEXT", "text", ""),
    ("datetime('now', 'localtime')", "DATETIME", "timestamptz", ""),
    ("datetime(CURRENT_TIMESTAMP, 'localtime')", "DATETIME", "timestamptz", ""),
    ("date('now')", "TEXT", "text", ""),
    ("date('now')", "DATE", "date", ""),
    ("datetime('now', '+7 days')", "DATETIME", "timestamptz", ""),
    ("date('now', 'start of month', '+1 month', '-1 day')", "DATE", "date", ""),
    ("strftime('%s', 'now')", "INTEGER", "bigint", ""),
    ("strftime('%s', 'now')", "TEXT", "text", ""),
    ("(strftime('%s', 'now'))", "INTEGER", "timestamptz", "epoch_s"),
    ("strftime('%s','now') * 1000", "INTEGER", "timestamptz", "epoch_ms"),
    ("(strftime('%s','now') * 1000)", "INTEGER", "bigint", ""),
    ("CAST(strftime('%s', 'now') AS INTEGER)", "INTEGER", "integer", ""),
    ("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", "INTEGER", "bigint", ""),
    ("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", "INTEGER", "timestamptz", "epoch_ms"),
    ("round((julianday('now') - 2440587.5) * 86400.0)", "INTEGER", "bigint", ""),
    ("strftime('%s','now') || substr(strftime('%f','now'),4)", "INTEGER", "bigint", ""),
    ("strftime('%s','now') * 1000 + substr(strftime('%f','now'),4)", "INTEGER", "timestamptz", "epoch_ms"),
    ("unixepoch()", "INTEGER", "bigint", ""),
    ("(unixepoch('now'))", "INTEGER", "timestamptz", "epoch_s"),
    ("julianday('now')", "REAL", "double precision", ""),
    ("julianday('now')", "REAL", "timestamptz", "julian"),
    ("strftime('%Y-%m-%d %H:%M:%f', 'now')", "TEXT", "text", ""),
    ("strftime('%Y-%m-%dT%H:%M:%fZ', 'now')", "TEXT", "timestamptz", ""),
    ("strftime('%Y-%m-%dT%H:%M:%SZ', 'now')", "TEXT", "text", ""),
]

RANDOM: list[tuple[str, str, str, str]] = [
    ("hex(randomblob(16))", "TEXT", "text", "[0-9A-F]{32}"),
    ("lower(hex(randomblob(16)))", "TEXT", "text", "[0-9a-f]{32}"),
    ("lower(hex(randomblob(20)))", "TEXT", "text", "[0-9a-f]{40}"),
    ("hex(randomblob(3))", "TEXT", "text", "[0-9A-F]{6}"),
    ("'r'||lower(hex(randomblob(7)))", "TEXT", "text", "r[0-9a-f]{14}"),
    ("substr(lower(hex(randomblob(8))), 1, 10)", "TEXT", "text", "[0-9a-f]{10}"),
    (UUID4, "TEXT", "text", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
    (UUID4_UPPER, "TEXT", "text", "[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}"),
    (f"lower({UUID4_UPPER})", "TEXT", "text", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
    ("hex(randomblob(16))", "TEXT", "uuid", "[0-9a-f-]{36}"),
    ("lower(hex(randomblob(16)))", "TEXT", "uuid", "[0-9a-f-]{36}"),
    (UUID4, "TEXT", "uuid", "[0-9a-f-]{36}"),
    (UUID4_UPPER, "TEXT", "uuid", "[0-9a-f-]{36}"),
    ("randomblob(16)", "BLOB", "bytea", ""),
    ("random()", "INTEGER", "bigint", "-?[0-9]+"),
    ("abs(random())", "INTEGER", "bigint", "[0-9]+"),
    ("abs(random() % 100)", "INTEGER", "integer", "[0-9]{1,2}"),
]


async def made(pg: asyncpg.Connection, plan: ColumnPlan, default: str) -> Any:
    """Return what a new row of a table with this default holds."""
    await pg.execute("SET TIME ZONE 'Asia/Kolkata'")
    await pg.execute(f"CREATE TEMP TABLE made (id int, {quote(plan.target)} {plan.type.sql} DEFAULT {default})")
    try:
        row = await pg.fetchrow(f"INSERT INTO made VALUES (1) RETURNING {quote(plan.target)} AS v, v::text AS shown")
        return row["v"], row["shown"]
    finally:
        await pg.execute("DROP TABLE made")


async def test_constants(pg: asyncpg.Connection) -> None:
    for sql, declared, kind, cast, expected in CONSTANTS:
        plan = column("v", declared, kind, cast)
        default = translate_default(sql, plan)
        assert default is not None
        value, shown = await made(pg, plan, default)
        assert (shown if kind == "inet" else value) == expected, (sql, default)


async def test_constants_are_what_sqlite_stores(pg: asyncpg.Connection, lite: sqlite3.Connection) -> None:
    plain = [row for row in CONSTANTS if row[2] in ("text", "bigint", "double precision", "numeric", "smallint")]
    for number, (sql, declared, _, _, expected) in enumerate(plain):
        wrapped = sql if sql.startswith("(") or not re.search(r"[(|]", sql) else f"({sql})"
        lite.execute(f"CREATE TABLE d{number} (id INTEGER, v {declared} DEFAULT {wrapped})")
        lite.execute(f"INSERT INTO d{number} (id) VALUES (1)")
        stored = lite.execute(f"SELECT v FROM d{number}").fetchone()[0]
        assert alike(stored, expected), (sql, declared, stored, expected)


async def test_the_present(pg: asyncpg.Connection, lite: sqlite3.Connection) -> None:
    """The moment, as PostgreSQL shows it and as SQLite does, differ by seconds at most; the form not at all."""
    for sql, declared, kind, cast in NOW:
        plan = column("v", declared, kind, cast)
        default = translate_default(sql, plan)
        assert default is not None
        question = f"SELECT {sql.replace(', ' + repr('localtime'), '')}"
        before = lite.execute(question).fetchone()[0]
        value, shown = await made(pg, plan, default)
        after = lite.execute(question).fetchone()[0]
        assert _present(sql, plan, value, shown, before, after), (sql, plan.type.sql, default, value, before)


def _present(sql: str, plan: ColumnPlan, value: Any, shown: str, before: Any, after: Any) -> bool:
    if plan.type.wire == "text":
        return re.sub("[0-9]", "0", after) == re.sub("[0-9]", "0", shown) and ("%s" in sql or before <= shown <= after)
    if plan.type.wire == "time":
        return bool(before <= shown <= after or after < before)  # midnight has passed
    if plan.type.wire == "date":
        return shown in (before[:10], after[:10])
    if isinstance(value, datetime):
        stored = datetime.fromisoformat(after) if plan.cast == "iso" and isinstance(after, str) else datetime.now(UTC)
        return abs((_utc(stored) - _utc(value)).total_seconds()) < 60
    return abs(float(after) - value) < (60_000 if float(after) > 1e12 else 60)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def test_randomness(pg: asyncpg.Connection) -> None:
    for sql, declared, kind, pattern in RANDOM:
        plan = column("v", declared, kind)
        default = translate_default(sql, plan)
        assert default is not None
        found = [await made(pg, plan, default) for _ in range(5)]
        if pattern:
            assert all(re.fullmatch(pattern, shown) for _, shown in found), (sql, found)
        else:
            assert {len(value) for value, _ in found} == {16}
        if "100" not in sql:
            assert len({shown for _, shown in found}) == 5


def test_uuids_are_made_by_the_server_itself() -> None:
    for sql in ("hex(randomblob(16))", "lower(hex(randomblob(16)))", UUID4, UUID4_UPPER):
        assert translate_default(sql, column("v", "TEXT", "uuid")) == "gen_random_uuid()"
    assert translate_default(UUID4, column("v", "TEXT", "text")) == "gen_random_uuid()::text"


@pytest.mark.parametrize(
    ("sql", "declared", "kind", "cast", "expected"),
    [
        ("CURRENT_TIMESTAMP", "DATETIME", "timestamptz", "", "now()"),
        ("(unixepoch())", "INTEGER", "timestamptz", "epoch_s", "now()"),
        ("0", "BOOLEAN", "boolean", "", "FALSE"),
        ("'{}'", "TEXT", "jsonb", "", "'{}'::jsonb"),
        ("0", "INTEGER", "timestamptz", "epoch_ms", "to_timestamp(0)"),
        ("hex(randomblob(16))", "TEXT", "text", "", "upper(replace(gen_random_uuid()::text, '-', ''))"),
    ],
)
def test_spelling(sql: str, declared: str, kind: str, cast: str, expected: str) -> None:
    assert translate_default(sql, column("v", declared, kind, cast)) == expected


@pytest.mark.parametrize("sql", ["NULL", "null", "(NULL)", "-- nothing\n Null"])
def test_null_is_no_default(sql: str) -> None:
    assert translate_default(sql, column("v", "TEXT", "text")) is None


@pytest.mark.parametrize(
    ("sql", "declared", "kind", "cast", "reason"),
    [
        ("'abc'", "INTEGER", "bigint", "", "'abc' is no bigint"),
        ("1.5", "INTEGER", "bigint", "", "1.5 is no bigint"),
        ("70000", "SMALLINT", "smallint", "", "out of the range"),
        ("2", "BOOLEAN", "boolean", "", "is no boolean"),
        ("''", "DATETIME", "timestamptz", "", "is no timestamptz"),
        ("'0000-00-00'", "DATE", "date", "", "is no date"),
        ("'now'", "DATETIME", "timestamptz", "", "is no timestamptz"),
        ("'nope'", "TEXT", "jsonb", "", "is no jsonb"),
        ("''", "TEXT", "uuid", "", "is no uuid"),
        ("'1.2.3.4/255.0.0.0'", "TEXT", "inet", "", "is no inet"),
        ("'999.0.0.1'", "TEXT", "inet", "", "is no inet"),
        ("datetime('now')", "INTEGER", "bigint", "", "of type text"),
        ("unixepoch()", "INTEGER", "timestamptz", "epoch_ms", "another unit"),
        ("hex(randomblob(4))", "TEXT", "uuid", "", "no uuid"),
        ("randomblob(100000)", "BLOB", "bytea", "", "more than 256 bytes"),
        ("changes()", "INTEGER", "bigint", "", "changes()"),
        ("my_function()", "TEXT", "text", "", "my_function() has no counterpart"),
        ("1; DROP TABLE x", "INTEGER", "bigint", "", "more than one statement"),
        ("x'0'", "BLOB", "bytea", "", "blob literal"),
        ("(SELECT 1)", "INTEGER", "bigint", "", "subquery"),
    ],
)
def test_refused_with_a_reason(sql: str, declared: str, kind: str, cast: str, reason: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate_default(sql, column("v", declared, kind, cast))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("'abc'", "abc"),
        ('"abc"', "abc"),
        ("1 + 2", 3),
        ("-1.5", -1.5),
        ("TRUE", 1),
        ("NULL", None),
        ("CURRENT_TIMESTAMP", None),
        ("x'00'", None),
        ("(((", None),
    ],
)
def test_constant_default(sql: str, expected: str | float | None) -> None:
    assert constant_default(sql) == expected
