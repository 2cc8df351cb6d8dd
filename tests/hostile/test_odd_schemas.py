"""Schemas at the edges of what either side can hold."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from data.audit import faults
from fix_faults import WHOLE
from fix_migrate import full

from copier.errors import CopierError

MANY_TABLES = 32_766 if WHOLE else 400
MANY_TABLES_S = 900


@pytest.mark.parametrize("columns", [1_000, 1_600])
async def test_as_many_columns_as_postgresql_takes(
    columns: int, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    path = wide(tmp_path / "wide.db", columns)
    report = await full(path, pg_dsn)
    assert report.outcome == ("verified" if columns == 1_000 else "attention")
    # A row of 1,600 bigint does not fit into a page of 8 KiB, in no way: it is a reject in the server's words.
    assert [r.key for r in report.rejects] == ([] if columns == 1_000 else ["id=1"])
    assert all("row is too big" in reject.reason for reject in report.rejects)
    assert await pg.fetchval("SELECT count(*) FROM wide") == 2 - len(report.rejects)
    if not report.rejects:
        assert await faults(path, pg, report, "public") == []


async def test_more_columns_than_postgresql_takes(tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    """2,000 columns, as many as SQLite takes: one sentence before anything is made."""
    path = wide(tmp_path / "wide.db", 2_000)
    with pytest.raises(CopierError, match="2,000 columns; PostgreSQL takes 1,600") as told:
        await full(path, pg_dsn)
    assert told.value.exit_code == 2
    assert told.value.hint
    assert await pg.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def wide(path: Path, columns: int) -> Path:
    """Write a table of that many columns, the key included, and three rows of every storage class."""
    names = ", ".join(f"c{number} INT" for number in range(columns - 1))
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {names})")
        db.execute(f"INSERT INTO wide VALUES (1, {', '.join('1' for _ in range(columns - 1))})")
        db.execute(f"INSERT INTO wide VALUES (2, {', '.join('NULL' for _ in range(columns - 1))})")
        db.commit()
    return path


@pytest.mark.timeout(MANY_TABLES_S)
async def test_many_tables(tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    path = tmp_path / "many.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        for number in range(MANY_TABLES):
            db.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, v TEXT)")
            if number % 100 == 0:
                db.execute(f"INSERT INTO t{number} (v) VALUES ('x')")
        db.execute("COMMIT")
    start_s = time.perf_counter()
    report = await full(path, pg_dsn)
    phases = ", ".join(f"{phase['name']} {phase['seconds']}" for phase in report.phases)
    print(f"{MANY_TABLES} tables: {time.perf_counter() - start_s:.1f} s ({phases})")
    assert report.outcome == "verified"
    assert len(report.tables) == MANY_TABLES
    assert await pg.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == MANY_TABLES
