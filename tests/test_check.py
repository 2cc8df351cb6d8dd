"""`check` finds what differs, and says where."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import asyncpg
import pytest

from copier import migration
from copier.config import Settings
from copier.errors import UsageError
from copier.report import Report

SQL = """
CREATE TABLE item (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, price DECIMAL(10,2), data BLOB,
                   meta TEXT, uid TEXT, made_at INTEGER, active BOOLEAN);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO item SELECT i, 'item ' || i, i * 1.25, zeroblob(3), '{"a": ' || i || ', "b": [1.50]}',
       printf('%08x-0000-4000-8000-%012x', i, i), 1700000000000 + i, i % 2 FROM n;
CREATE TABLE plain (a TEXT, b TEXT);
INSERT INTO plain VALUES ('x', 'y'), ('x', 'y'), ('z', NULL);
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.executescript(SQL)
    db.close()
    return path


async def migrated(path: Path, dsn: str) -> Settings:
    settings = Settings(sqlite=path, postgres=dsn, no_backup=True)
    report = await migration.full(settings)
    assert report.outcome == "verified", report.to_json().decode()
    return settings


def only_mismatch(report: Report) -> tuple[str, str, str | None, str | None, str | None]:
    assert report.outcome == "mismatch"
    assert report.exit_code == 4
    [found] = report.mismatches
    return found.table, found.key, found.column, found.source, found.target


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("name = 'item 7!'", "name"),
        ("price = price + 0.01", "price"),
        ("data = '\\x000001'", "data"),
        ('meta = \'{"a": 7, "b": [1.51]}\'', "meta"),
        ("uid = '00000007-0000-4000-8000-00000000000f'", "uid"),
        ("made_at = made_at + interval '1 microsecond'", "made_at"),
        ("active = NOT active", "active"),
        ("name = NULL", "name"),
    ],
)
async def test_one_changed_value_is_found_and_named(
    shop: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record], change: str, column: str
) -> None:
    settings = await migrated(shop, pg_dsn)
    await pg.execute("ALTER TABLE item ALTER name DROP NOT NULL")
    await pg.execute(f"UPDATE item SET {change} WHERE id = 7")
    table, key, found, source, target = only_mismatch(await migration.check(settings))
    assert (table, key, found) == ("item", "id=7", column)
    assert source != target


async def test_equal_json_and_numbers_in_other_spelling_are_no_mismatch(
    shop: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    settings = await migrated(shop, pg_dsn)
    await pg.execute("""UPDATE item SET meta = '{"b": [1.5], "a": 7}' WHERE id = 7""")
    await pg.execute("ALTER TABLE item ALTER price TYPE numeric(12,4)")
    report = await migration.check(settings)
    assert report.outcome == "verified"
    assert {t.verified for t in report.tables} == {"content"}


async def test_a_missing_an_extra_and_a_doubled_row_are_found(
    shop: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    settings = await migrated(shop, pg_dsn)
    await pg.execute("DELETE FROM item WHERE id = 9")
    await pg.execute("INSERT INTO item (id, name) VALUES (1000, 'extra')")
    await pg.execute("DELETE FROM plain WHERE ctid = (SELECT min(ctid) FROM plain WHERE a = 'x')")
    report = await migration.check(settings)
    found = {(m.table, m.key, m.source, m.target) for m in report.mismatches}
    assert ("item", "id=9", "present", None) in found
    assert ("item", "id=1000", None, "present") in found
    assert any(m[0] == "plain" and m[3] is None for m in found)
    counted = await migration.check(Settings(sqlite=shop, postgres=pg_dsn, level="count"))
    assert counted.outcome == "mismatch"
    assert {t.source: t.verified for t in counted.tables} == {"item": "count", "plain": None}


async def test_a_sequence_left_behind_is_said(shop: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]) -> None:
    settings = await migrated(shop, pg_dsn)
    assert await pg.fetchval("INSERT INTO item (name) VALUES ('new') RETURNING id") == 501
    await pg.execute("DELETE FROM item WHERE id = 501")
    await pg.execute("SELECT setval(pg_get_serial_sequence('item', 'id'), 10)")
    report = await migration.check(settings)
    [bad] = [c for c in report.checks if not c["ok"]]
    assert bad["name"] == "sequence of item.id"
    assert "setval" in bad["hint"]
    assert report.outcome == "attention"


async def test_another_source_than_the_one_that_was_moved(shop: Path, tmp_path: Path, pg_dsn: str) -> None:
    await migrated(shop, pg_dsn)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE elsewhere (id INTEGER PRIMARY KEY)")
    db.close()
    with pytest.raises(
        UsageError, match=r"which moved .*shop\.db here, does not fit this source: .*table \"item\""
    ) as caught:
        await migration.check(Settings(sqlite=other, postgres=pg_dsn))
    assert "--sqlite" in caught.value.hint
