"""`rollback --print`: the script does in psql what `rollback` does, and refuses by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from copier import migration
from copier.cli import main
from copier.config import Settings
from copier.errors import RollbackRefused, TargetUnusable
from copier.plan.rollback_script import _block, with_literals
from copier.postgres import binaries
from copier.run.preflight import require_writable
from copier.run.session import open_target

Pg = asyncpg.Connection

SQL = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id), note TEXT DEFAULT 'none');
CREATE TABLE "it's ""odd"" $1 %s" ("a b" TEXT CHECK ("a b" <> ''));
CREATE INDEX child_parent ON child (parent);
CREATE VIEW names AS SELECT name FROM parent;
CREATE TRIGGER touch AFTER UPDATE OF name ON parent BEGIN UPDATE child SET note = 'touched' WHERE parent = NEW.id; END;
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child (parent) VALUES (1), (2), (2);
INSERT INTO "it's ""odd"" $1 %s" VALUES ('x'), ('y');
"""
EVERYTHING = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'schema ' || nspname FROM pg_namespace
"""


@pytest.fixture
def family(tmp_path: Path) -> Path:
    path = tmp_path / "it's\na family.db"
    with sqlite3.connect(path) as db:
        db.executescript(SQL)
    db.close()
    return path


async def everything(pg: Pg) -> list[str]:
    return sorted(row[0] for row in await pg.fetch(EVERYTHING))


async def psql(dsn: str, script: str, directory: Path) -> None:
    """Run a script; TargetUnusable with psql's last words when it fails."""
    path = directory / "rollback.sql"
    path.write_text(script, encoding="utf-8")
    program = binaries.installations()[0].bin_dir / "psql"
    await asyncio.to_thread(binaries.run, [str(program), "-X", "-q", "-d", dsn, "-f", str(path)], None)


async def test_nothing_of_the_run_is_left_and_it_can_run_again(family: Path, tmp_path: Path, pg_any: str) -> None:
    pg = await asyncpg.connect(pg_any)
    try:
        await pg.execute("CREATE TABLE bystander (x int); INSERT INTO bystander VALUES (1)")
        before = await everything(pg)
        for schema in ("public", 'The "shop"'):
            settings = Settings(sqlite=family, postgres=pg_any, no_backup=True, schema=schema)
            for _ in range(2):
                report = await migration.full(settings)
                assert report.outcome == "verified", report.to_json().decode()
                made = await everything(pg)
                script = await migration.print_rollback(settings)
                assert await everything(pg) == made, "printing changes nothing"
                await psql(pg_any, script, tmp_path)
                assert await everything(pg) == before
        assert await pg.fetchval("SELECT count(*) FROM bystander") == 1
    finally:
        await pg.close()


async def test_the_statements_are_those_of_the_rollback(family: Path, pg_dsn: str, pg: Pg) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    run = (await migration.full(settings)).run
    drops = [row[0] for row in await pg.fetch("SELECT drop_sql FROM sqlite2pg.object ORDER BY id DESC") if row[0]]
    script = await migration.print_rollback(settings, run=run)
    places = [script.index(f"\n{statement};\n") for statement in drops]
    assert len(places) >= 10
    assert places == sorted(places)
    head = script.partition("\\set")[0].splitlines()
    assert all(line.startswith("--") for line in head if line), head
    assert f"Takes run {run} back" in head[0]
    assert (await migration.rollback(settings, no_dump=True)).dropped, "printing took nothing away"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("INSERT INTO child (parent) VALUES (1)", "child: 0 of its rows gone or changed, 1 rows added or changed"),
        ("UPDATE parent SET id = id WHERE id = 2", "parent: 1 of its rows gone or changed, 1 rows added or changed"),
        ("DELETE FROM child WHERE id = 3", "child: 1 of its rows gone or changed, 0 rows added"),
        ("""TRUNCATE "it's ""odd"" $1 %s" """, """it's "odd" $1 %s: 2 of its rows gone"""),
        ("CREATE VIEW theirs AS SELECT * FROM child", "depend"),
        ("UPDATE sqlite2pg.run SET attempts = 1", "is not recorded here as it was"),
        ("DROP TABLE child", 'relation "public.child" does not exist'),
    ],
)
async def test_what_changed_makes_it_fail_and_change_nothing(
    family: Path, tmp_path: Path, pg_dsn: str, pg: Pg, change: str, words: str
) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    await migration.full(settings)
    script = await migration.print_rollback(settings)
    await pg.execute(change)
    before = await everything(pg)
    with pytest.raises(TargetUnusable) as caught:
        await psql(pg_dsn, script, tmp_path)
    assert words in caught.value.hint
    assert await everything(pg) == before
    # as a client that goes on after an error: the transaction does not
    await psql(pg_dsn, script.replace("\\set ON_ERROR_STOP on\n", ""), tmp_path)
    assert await everything(pg) == before


async def test_printing_refuses_what_rollback_refuses(family: Path, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    with pytest.raises(RollbackRefused, match="no run is recorded"):
        await migration.print_rollback(settings)
    await migration.full(settings)
    before = await everything(pg)
    await pg.execute("INSERT INTO child (parent) VALUES (1)")
    with pytest.raises(RollbackRefused, match="child: 1 row added or changed"):
        await migration.print_rollback(settings)
    assert await everything(pg) == before
    script = await migration.print_rollback(settings, discard_changes=True)
    await pg.execute("INSERT INTO child (parent) VALUES (2)")
    assert "are lost" in script.partition("\\set")[0]
    await psql(pg_dsn, script, tmp_path)
    assert not set(before) & set(await everything(pg)) & {"public.child", "public.parent", "schema sqlite2pg"}


async def test_somebody_at_work_is_not_disturbed(family: Path, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True)
    first = await migration.full(settings)
    script = await migration.print_rollback(settings)
    await pg.execute("SELECT pg_advisory_lock(hashtextextended('sqlite2pg:public', 0))")
    with pytest.raises(TargetUnusable) as caught:
        await psql(pg_dsn, script, tmp_path)
    assert 'another run is working on schema "public"' in caught.value.hint
    await pg.execute("SELECT pg_advisory_unlock_all()")
    replaced = await migration.full(Settings(sqlite=family, postgres=pg_dsn, no_backup=True, existing="replace"))
    with pytest.raises(TargetUnusable) as caught:
        await psql(pg_dsn, script, tmp_path)
    assert f"a later run than {first.run} worked on the same tables" in caught.value.hint
    script = await migration.print_rollback(settings)
    assert f"run {replaced.run} back" in script
    assert "replaced table child: nothing brings that back" in script
    await psql(pg_dsn, script, tmp_path)
    assert await pg.fetchval("SELECT id FROM sqlite2pg.run") == first.run, "the ledger stays for the other run"
    await psql(pg_dsn, await migration.print_rollback(settings), tmp_path)
    assert await pg.fetchval("SELECT to_regnamespace('sqlite2pg') IS NULL")


THEIRS = """
CREATE TABLE parent (id bigint PRIMARY KEY, name text);
CREATE TABLE child (id bigint, parent bigint REFERENCES parent, note text);
CREATE INDEX child_note ON child (note);
INSERT INTO parent VALUES (100, 'theirs');
CREATE SCHEMA other;
CREATE TABLE other.mark (parent bigint REFERENCES parent ON DELETE SET NULL);
"""


async def test_appended_rows_are_taken_back_and_others_stay(family: Path, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    await pg.execute(THEIRS)
    before = await everything(pg)
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True, existing="append")
    for _ in range(2):
        report = await migration.full(settings)
        assert await pg.fetchval("SELECT count(*) FROM parent") == 3, report.to_json().decode()
        script = await migration.print_rollback(settings)
        # rows of others are no change of a table that was there before
        await pg.execute("INSERT INTO parent VALUES (101, 'later')")
        await psql(pg_dsn, script, tmp_path)
        assert await everything(pg) == before
        assert [row["id"] for row in await pg.fetch("SELECT id FROM parent ORDER BY id")] == [100, 101]
        assert not await pg.fetchval("SELECT count(*) FROM child")
        await pg.execute("DELETE FROM parent WHERE id = 101")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE child SET note = 'mine' WHERE id = 1", "child: 1 of its rows gone or changed"),
        ("INSERT INTO other.mark VALUES (1)", "mark: 1 rows by mark_parent_fkey (ON DELETE SET NULL)"),
        ("INSERT INTO child VALUES (90, 2)", 'violates foreign key constraint "child_parent_fkey"'),
        (
            "CREATE TABLE other.late (parent bigint REFERENCES parent ON DELETE CASCADE)",
            "foreign keys that act ON DELETE were added",
        ),
    ],
)
async def test_rows_of_others_are_not_dragged_along(
    family: Path, tmp_path: Path, pg_dsn: str, pg: Pg, change: str, words: str
) -> None:
    await pg.execute(THEIRS)
    settings = Settings(sqlite=family, postgres=pg_dsn, no_backup=True, existing="append")
    await migration.full(settings)
    script = await migration.print_rollback(settings)
    await pg.execute(change)
    before = (await everything(pg), await pg.fetch("SELECT * FROM child"), await pg.fetch("SELECT * FROM parent"))
    with pytest.raises(TargetUnusable) as caught:
        await psql(pg_dsn, script, tmp_path)
    assert words in caught.value.hint
    after = (await everything(pg), await pg.fetch("SELECT * FROM child"), await pg.fetch("SELECT * FROM parent"))
    assert after == before


async def test_what_an_unfinished_run_set_aside_comes_back(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as db:
        db.executescript(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT);"
            "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 50000)"
            " INSERT INTO t SELECT i, hex(zeroblob(100)) FROM s;"
        )
    db.close()
    await pg.execute("CREATE TABLE t (id bigint PRIMARY KEY, b text); CREATE INDEX t_b ON t (b)")
    before = await everything(pg)
    task = asyncio.create_task(
        migration.full(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, chunk_bytes=64 << 10))
    )
    while not task.done() and not await pg.fetchval("SELECT EXISTS (SELECT FROM t)"):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "public.t_b" not in await everything(pg)
    script = await migration.print_rollback(Settings(postgres=pg_dsn))
    assert "not ended" in script
    await psql(pg_dsn, script, tmp_path)
    assert await everything(pg) == before
    assert not await pg.fetchval("SELECT EXISTS (SELECT FROM t)")


@pytest.mark.usefixtures("bare_environment")
class TestCommand:
    def test_prints_the_script_and_nothing_else(
        self, family: Path, pg_dsn: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        target = ["--postgres", pg_dsn, "--progress", "none"]
        assert main(["full", "--sqlite", str(family), "--no-backup", "--script", "none", *target]) in (0, 3)
        capsys.readouterr()
        for more in (["--dump", "x.sql"], ["--dry-run"], ["--no-dump"]):
            assert main(["rollback", "--print", *more, *target]) == 2
            assert f"--print and {more[0]} exclude each other" in capsys.readouterr().err
        assert main(["rollback", "--print", *target]) == 0
        told = capsys.readouterr()
        assert told.out.startswith("-- Takes run ")
        assert told.out.endswith("\nCOMMIT;\n")
        assert told.err == ""
        assert not list(Path().glob("sqlite2pg_rollback*"))
        assert main(["rollback", "--print", "--run", "none", *target]) == 1
        assert main(["rollback", "--no-dump", *target]) == 0

    @pytest.mark.parametrize("words", [["rollback"], ["rollback", "--print"], ["rejects", "--retry"]])
    async def test_a_read_only_target_is_refused_before_anything(
        self, family: Path, pg_dsn: str, pg: Pg, capsys: pytest.CaptureFixture[str], words: list[str]
    ) -> None:
        await migration.full(Settings(sqlite=family, postgres=pg_dsn, no_backup=True))
        before = await everything(pg)
        database = await pg.fetchval("SELECT current_database()")
        await pg.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
        code = await asyncio.to_thread(main, [*words, "--postgres", pg_dsn, "--progress", "none"])
        told = capsys.readouterr()
        assert code == 5, told.err
        assert told.err.startswith("error: nothing can be written to this target: transactions are read-only\nhint: ")
        assert "default_transaction_read_only = off" in told.err
        assert await everything(pg) == before


async def test_a_standby_is_refused_too(pg_dsn: str) -> None:
    async with open_target(Settings(postgres=pg_dsn)) as target:
        require_writable(target)
        target.info = replace(target.info, in_recovery=True)
        with pytest.raises(TargetUnusable, match="the server is a standby, in recovery") as caught:
            require_writable(target)
    assert (caught.value.exit_code, caught.value.hint) == (5, "name the primary server")


def test_literals_take_the_place_of_parameters_only() -> None:
    sql = """SELECT $1, "a$1""$2", 'it''s $1', $2 WHERE x = ANY ($1)"""
    assert with_literals(sql, "it's $2", ["a", "\\"]) == (
        """SELECT 'it''s $2', "a$1""$2", 'it''s $1', ARRAY['a', E'\\\\']::text[] WHERE x = ANY ('it''s $2')"""
    )


def test_nothing_ends_the_dollar_quotes() -> None:
    block = _block(["PERFORM '$sqlite2pg$ $sqlite2pg1$';"])
    assert block.startswith("DO $sqlite2pg2$\nBEGIN\n")
    assert block.endswith("\n$sqlite2pg2$;")
