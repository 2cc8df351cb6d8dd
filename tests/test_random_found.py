"""Small databases that random ones led to: what each once lost or changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from data.accounting import Accounts
from data.audit import faults
from fix_migrate import full

from copier.report import Report

GENERATED = {
    "text that reads as a number, in a column of numeric affinity": (
        "CREATE TABLE t (a TEXT, g TIMESTAMPTZ AS (hex(a)) STORED);"
        "INSERT INTO t (a) VALUES ('cf'), ('jo'), ('cafe'); INSERT INTO t (a) SELECT a FROM t"
    ),
    "a real in a column of numeric affinity: float8::numeric keeps 15 digits": (
        "CREATE TABLE t (a INT, g NUMERIC AS (CAST(a AS REAL)) STORED);"
        "INSERT INTO t (a) VALUES (9007199254740993), (-4611686018427387905), (9223372036854775807), (1)"
    ),
    "the text of reals among texts": (
        "CREATE TABLE t (a BIGINT, g TEXT AS (CAST(a AS TEXT)) STORED);"
        "INSERT INTO t (a) VALUES (9e999), ('Infinity'), (1e22), ('x')"
    ),
    "integers and texts compare by their class": (
        "CREATE TABLE t (a INT, b TEXT, g TEXT AS (a < b) STORED);"
        "INSERT INTO t (a, b) VALUES (10, '9'), ('x', '9'), (9, '10'), ('a', 'b')"
    ),
    "texts kept as bytes": (
        "CREATE TABLE t (a VARBINARY(16), g TEXT AS (quote(a)) STORED);"
        "INSERT INTO t (a) VALUES ('true'), ('y'), (x'00ff')"
    ),
    "a julian day, which a time keeps to the millisecond": (
        "CREATE TABLE t (a TIMESTAMP, g REAL AS (-a) STORED); INSERT INTO t (a) VALUES (2473979.9179582675)"
    ),
    "words of a boolean, which are no numbers": (
        "CREATE TABLE t (a BOOL, g INT AS (a IN (1, 'a')) STORED); INSERT INTO t (a) VALUES ('true'), ('f'), ('no')"
    ),
    "NOCASE": (
        "CREATE TABLE t (a TEXT COLLATE NOCASE, b TEXT, g INT AS (a = 'abc') STORED, h INT AS (a < 'ABD') STORED,"
        " i INT AS (b = a) STORED, j INT AS (a IN ('ABC', 'x')) STORED, k INT AS (max(a, b) = 'b') STORED,"
        " l INT AS (CASE a WHEN 'abc' THEN 1 ELSE 0 END) STORED, m INT AS (a = 'abc' COLLATE BINARY) STORED,"
        " n INT AS (lower(a) = 'ABC') STORED, CHECK (a <> 'zzz'));"
        "INSERT INTO t (a, b) VALUES ('ABC', 'abc'), ('abc', 'ABC'), ('X', 'x'), ('b', 'A')"
    ),
    "RTRIM": (
        "CREATE TABLE t (a TEXT COLLATE RTRIM, g INT AS (a = 'x') STORED);"
        "INSERT INTO t (a) VALUES ('x  '), ('x'), ('y')"
    ),
}


@pytest.mark.parametrize("sql", GENERATED.values(), ids=GENERATED)
async def test_generated_columns_hold_what_sqlite_computed(
    sql: str, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    report = await moved(tmp_path / "a.db", sql, pg_dsn)
    assert report.outcome in ("verified", "attention"), report.mismatches
    assert report.tables[0].rejected_rows == 0
    assert await faults(tmp_path / "a.db", pg, report, "public") == []


VALUES = (
    "CREATE TABLE t (a COLLATE NOCASE, m JSONB);"
    "INSERT INTO t VALUES ('ABC', '{}'), ('abc', x'7b7d'), ('b', '[]'), ('B', '[]'), ('x', x'ff');"
)
VIEWS = {
    "grouped by a mixed column": "SELECT m, count(*) AS n FROM t GROUP BY m",
    "different values of a mixed column": "SELECT DISTINCT m FROM t",
    "united mixed columns": "SELECT m FROM t UNION SELECT m FROM t",
    "grouped by a NOCASE column": "SELECT a, count(*) AS n FROM t GROUP BY a",
    "grouped by position": "SELECT a, count(*) AS n FROM t GROUP BY 1",
    "different values of a NOCASE column": "SELECT DISTINCT a FROM t",
    "compared by NOCASE": "SELECT a FROM t WHERE a = 'aBc'",
    "compared by the left column's collation": "SELECT x.a FROM t AS x JOIN t AS y ON x.a = y.a",
}


@pytest.mark.parametrize("query", VIEWS.values(), ids=VIEWS)
async def test_views_have_the_rows_they_had(query: str, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    report = await moved(tmp_path / "a.db", f"{VALUES} CREATE VIEW v AS {query}", pg_dsn)
    assert await faults(tmp_path / "a.db", pg, report, "public") == []
    assert Accounts(tmp_path / "a.db", report).faults() == []


async def test_constraints_that_compare_by_nocase_are_kept(tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    sql = "CREATE TABLE t (a TEXT COLLATE NOCASE CHECK (a IN ('yes', 'no'))); INSERT INTO t VALUES ('YES'), ('no')"
    report = await moved(tmp_path / "a.db", sql, pg_dsn)
    assert report.outcome == "verified", report.objects
    with pytest.raises(asyncpg.CheckViolationError):
        await pg.execute("INSERT INTO t VALUES ('maybe')")


async def moved(path: Path, sql: str, dsn: str, **settings: Any) -> Report:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sql)
    return await full(path, dsn, **settings)


JSON_ROWS = (
    "INSERT INTO t (m) WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
    " SELECT json_object('a', i) FROM n; INSERT INTO t (m) VALUES ('{\"a\": 1, \"a\": 2}');"
)
JSON_TABLES = {
    "declared": "CREATE TABLE t (id INTEGER PRIMARY KEY, m JSON)",
    "declared and indexed": "CREATE TABLE t (id INTEGER PRIMARY KEY, m JSON); CREATE INDEX i ON t (m)",
    "by its default": "CREATE TABLE t (id INTEGER PRIMARY KEY, m TEXT DEFAULT '{}')",
    "by what is stored": "CREATE TABLE t (id INTEGER PRIMARY KEY, m TEXT)",
    "unique": "CREATE TABLE t (id INTEGER PRIMARY KEY, m JSON UNIQUE)",
}


@pytest.mark.parametrize("sql", JSON_TABLES.values(), ids=JSON_TABLES)
async def test_a_key_that_occurs_twice_is_not_lost(
    sql: str, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    report = await moved(tmp_path / "a.db", f"{sql}; {JSON_ROWS}", pg_dsn)
    assert await faults(tmp_path / "a.db", pg, report, "public") == []
