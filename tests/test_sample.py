"""What the kernel writes and digests is read once more without it: a fault of its own does not prove itself right."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fix_engine import Kernel

from copier import migration
from copier.config import Settings
from copier.report import Report
from copier.sqlite import native
from copier.sqlite.engine import Batch
from copier.sqlite.pages import Page
from copier.sqlite.spread import SAMPLE_ROWS, SPOTS
from copier.wire.digest import TableDigest

ROWS = 3000
SQL = f"""
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, at DATETIME);
CREATE TABLE named (name TEXT, part INT, v REAL, PRIMARY KEY (name, part)) WITHOUT ROWID;
CREATE TABLE raw (uid BLOB PRIMARY KEY, v INT);
CREATE TABLE keyless (v TEXT);
CREATE TABLE odd (r REAL PRIMARY KEY, v INT);
CREATE TABLE little (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE empty (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE huge (id INTEGER PRIMARY KEY, v BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
INSERT INTO item SELECT i * 7 - 900, 'item ' || i, '2024-01-01 10:00:00' FROM n;
INSERT INTO named SELECT name || '''\\', id, id / 4.0 FROM item;
INSERT INTO raw SELECT CAST(printf('%016d', id + 5000) AS BLOB), id FROM item;
INSERT INTO keyless SELECT name FROM item;
INSERT INTO odd SELECT id / 8.0, id FROM item;
INSERT INTO little SELECT id, name FROM item LIMIT 50;
INSERT INTO huge SELECT id, zeroblob(100000) FROM item LIMIT 300;
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(SQL)
    return path


@pytest.fixture(autouse=True)
def forced(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE2PG_ENGINE", "native")


async def full(source: Path, dsn: str, **settings: Any) -> Report:
    return await migration.full(Settings(sqlite=source, postgres=dsn, no_backup=True, **settings))


def sample_of(report: Report) -> dict[str, Any] | None:
    return next((check for check in report.checks if check["name"] == "portable sample"), None)


async def test_the_report_says_what_was_read_again(source: Path, pg_dsn: str) -> None:
    report = await full(source, pg_dsn)
    assert report.outcome == "verified", report.to_json().decode()
    check = sample_of(report)
    assert check is not None
    assert check["ok"]
    rows = 3 * SAMPLE_ROWS + SPOTS  # one huge row of each spot
    assert check["detail"].startswith(f"{rows:,} rows of 4 tables compared once more by the portable engine")
    assert "2 tables have no key" in check["detail"]


@pytest.mark.parametrize("settings", [{"level": "count"}, {"tables": ("little", "empty")}])
async def test_nothing_is_said_where_nothing_is_sampled(source: Path, pg_dsn: str, settings: dict[str, Any]) -> None:
    report = await full(source, pg_dsn, **settings)
    assert report.outcome == "verified"
    assert sample_of(report) is None


async def test_the_portable_engine_needs_no_sample(source: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE2PG_ENGINE", "portable")
    report = await full(source, pg_dsn)
    assert report.outcome == "verified"
    assert sample_of(report) is None


@pytest.fixture
def agreeing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digests agree, whatever the rows are: what a fault of the kernel that both sides share looks like."""
    monkeypatch.setattr(TableDigest, "differing", lambda self, other: set())


async def test_a_fault_of_the_kernel_is_found(
    source: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch, agreeing: None
) -> None:
    convert = native.NativeTable.convert

    def faulty(self: native.NativeTable, page: Page) -> Batch:
        batch = convert(self, page)
        return replace(batch, payload=batch.payload.replace(b"item ", b"ltem "))

    monkeypatch.setattr(native.NativeTable, "convert", faulty)
    report = await full(source, pg_dsn, tables=("item",))
    check = sample_of(report)
    assert check is not None
    assert (report.outcome, report.exit_code, check["ok"]) == ("mismatch", 4, False)
    found = report.mismatches[0]
    assert (found.table, found.column) == ("item", "name")
    assert (found.source or "").replace("item", "ltem") == found.target


async def test_check_samples_too(
    source: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record], agreeing: None
) -> None:
    settings = Settings(sqlite=source, postgres=pg_dsn, no_backup=True)
    assert (await migration.full(settings)).outcome == "verified"
    await pg.execute("DELETE FROM item WHERE id % 8 = 0; UPDATE named SET v = v + 1")
    report = await migration.check(settings)
    assert report.outcome == "mismatch"
    assert {(m.table, m.column) for m in report.mismatches} >= {("item", None), ("named", "v")}
