"""`rollback` removes what a run made, and nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import asyncpg
import pytest

from copier import migration
from copier.config import Settings
from copier.errors import RollbackRefused, TargetUnusable

SQL = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id), note TEXT DEFAULT 'none');
CREATE INDEX child_parent ON child (parent);
CREATE VIEW names AS SELECT name FROM parent;
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child (parent) VALUES (1), (2), (2);
"""


@pytest.fixture
def family(tmp_path: Path) -> Path:
    path = tmp_path / "family.db"
    with sqlite3.connect(path) as db:
        db.executescript(SQL)
    db.close()
    return path


async def relations(pg: asyncpg.Connection[asyncpg.Record]) -> set[str]:
    rows = await pg.fetch(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
    )
    return {row[0] for row in rows}


async def test_rollback_leaves_the_target_as_it_was(
    family: Path, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    await pg.execute("CREATE TABLE bystander (x int); INSERT INTO bystander VALUES (1)")
    before = await relations(pg)
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    assert (await migration.full(settings)).outcome == "verified"
    dump = tmp_path / "before.sql"
    result = await migration.rollback(settings, dump=dump)
    assert await relations(pg) == before
    assert result.dump == dump
    assert "CREATE TABLE" in dump.read_text()
    assert {"table parent", "table child", "view names", "index child_parent"} <= set(result.dropped)
    assert await pg.fetchval("SELECT count(*) FROM bystander") == 1
    with pytest.raises(RollbackRefused, match="no run is recorded"):
        await migration.rollback(settings, no_dump=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("INSERT INTO child (parent) VALUES (1)", "child: 1 row added or changed"),
        ("UPDATE parent SET name = 'c' WHERE id = 2", "1 of its rows gone or changed"),
        ("DELETE FROM child WHERE id = 3", "child: 1 of its rows gone or changed"),
    ],
)
async def test_changes_since_the_run_are_not_lost(
    family: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record], change: str, words: str
) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    await migration.full(settings)
    await pg.execute(change)
    before = await relations(pg)
    with pytest.raises(RollbackRefused, match=words):
        await migration.rollback(settings, no_dump=True)
    assert await relations(pg) == before
    await migration.rollback(settings, no_dump=True, discard_changes=True)
    assert await relations(pg) == set()


async def test_objects_of_others_that_depend_on_ours_stop_it(
    family: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    await migration.full(settings)
    await pg.execute("CREATE VIEW theirs AS SELECT * FROM child")
    before = await relations(pg)
    with pytest.raises(RollbackRefused, match="depend"):
        await migration.rollback(settings, no_dump=True)
    assert await relations(pg) == before


async def test_appended_rows_are_taken_back_and_others_stay(
    family: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    await pg.execute("CREATE TABLE parent (id bigint PRIMARY KEY, name text)")
    await pg.execute("CREATE TABLE child (id bigint, parent bigint REFERENCES parent, note text)")
    await pg.execute("CREATE INDEX child_note ON child (note)")
    await pg.execute("INSERT INTO parent VALUES (100, 'theirs')")
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    with pytest.raises(TargetUnusable, match="parent"):
        await migration.full(settings)
    appending = Settings(sqlite=family, postgres=pg_dsn, no_backup=True, existing="append")
    report = await migration.full(appending)
    assert [t.verified for t in report.tables] == ["content", "content"]
    assert await pg.fetchval("SELECT count(*) FROM parent") == 3
    assert await pg.fetchval("SELECT to_regclass('child_note') IS NOT NULL"), "set aside, and put back"
    result = await migration.rollback(appending, no_dump=True)
    assert result.deleted_rows == {"parent": 2, "child": 3}
    assert [tuple(r) for r in await pg.fetch("SELECT id, name FROM parent")] == [(100, "theirs")]
    assert await pg.fetchval(
        "SELECT convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid = 'child'::regclass"
    )


async def test_a_run_is_not_rolled_back_from_under_a_later_one(
    family: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    first = await migration.full(settings)
    second = await migration.full(Settings(sqlite=family, postgres=pg_dsn, no_backup=True, existing="replace"))
    assert second.outcome == "verified"
    with pytest.raises(RollbackRefused, match=f"run {second.run} came after"):
        await migration.rollback(settings, run=first.run, no_dump=True)
    assert await pg.fetchval("SELECT count(*) FROM child") == 3
    await migration.rollback(settings, no_dump=True)
    assert await pg.fetchval("SELECT to_regclass('child')") is None
    result = await migration.rollback(settings, no_dump=True)
    assert (result.run, result.dropped) == (first.run, []), "its objects had been replaced, and are gone"
    assert await relations(pg) == set()


async def test_schema_then_data_then_check_then_two_rollbacks(
    family: Path, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, schema="shop", script=tmp_path / "shop.sql")
    made = await migration.schema(settings)
    assert made.exit_code == 0, made.to_json().decode()
    assert 'CREATE TABLE "shop"."parent"' in (tmp_path / "shop.sql").read_text()
    moved = await migration.data(settings)
    assert moved.exit_code == 0, moved.to_json().decode()
    assert (await migration.check(settings)).exit_code == 0
    assert await pg.fetchval("SELECT count(*) FROM shop.names") == 2
    assert await pg.fetchval("INSERT INTO shop.parent (name) VALUES ('c') RETURNING id") == 3
    await pg.execute("DELETE FROM shop.parent WHERE id = 3")
    assert (await migration.rollback(settings, no_dump=True)).deleted_rows == {"parent": 2, "child": 3}
    assert await relations(pg) >= {"shop.parent", "shop.child"}
    await migration.rollback(settings, no_dump=True)
    assert await relations(pg) == set()
    assert not await pg.fetchval("SELECT true FROM pg_namespace WHERE nspname = 'shop'")


ACTING = """
CREATE TABLE parent (id bigint PRIMARY KEY, name text);
CREATE TABLE child (id bigint, parent bigint REFERENCES parent ON DELETE CASCADE, note text);
CREATE SCHEMA other;
CREATE TABLE other.mark (parent bigint REFERENCES parent ON DELETE SET NULL);
"""


async def test_rows_of_others_are_not_dragged_along(
    family: Path, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    await pg.execute(ACTING)
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    await migration.data(settings)
    await pg.execute("INSERT INTO child VALUES (90, 2, 'theirs'); INSERT INTO other.mark VALUES (1), (NULL)")
    with pytest.raises(RollbackRefused) as caught:
        await migration.rollback(settings, no_dump=True)
    assert "child: 1 row by child_parent_fkey (ON DELETE CASCADE)" in str(caught.value)
    assert "mark: 1 row by mark_parent_fkey (ON DELETE SET NULL)" in str(caught.value)
    assert await pg.fetchval("SELECT count(*) FROM child") == 4
    await pg.execute("UPDATE child SET parent = NULL WHERE id = 90; DELETE FROM other.mark")
    dump = tmp_path / "before.sql"
    result = await migration.rollback(settings, dump=dump)
    assert "theirs" in dump.read_text(), "tables that were there before are dumped too"
    assert result.deleted_rows == {"parent": 2, "child": 3}
    assert await pg.fetchval("SELECT note FROM child") == "theirs"


async def test_a_dry_run_says_what_would_go_and_changes_nothing(
    family: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    await migration.full(settings)
    before = await relations(pg)
    tried = await migration.rollback(settings, dry_run=True)
    assert tried.dry
    assert tried.dump is None
    assert await relations(pg) == before
    assert await pg.fetchval("SELECT count(*) FROM child") == 3
    done = await migration.rollback(settings, no_dump=True)
    assert (tried.run, tried.dropped) == (done.run, done.dropped)
    assert await relations(pg) == set()


async def test_a_dry_run_refuses_as_the_rollback_would(
    family: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    await migration.full(settings)
    await pg.execute("CREATE VIEW theirs AS SELECT * FROM child")
    with pytest.raises(RollbackRefused, match="depend"):
        await migration.rollback(settings, dry_run=True)
