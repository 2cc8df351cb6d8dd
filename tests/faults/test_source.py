"""The source under somebody else's hands: locked, checkpointed and written to while it is copied and in between."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import asyncpg
import pytest
from fix_faults import Case, assert_clear, make_source, read_source, read_target, run, sha256, try_run

from copier.errors import CopierError, ResumeRefused, SourceBusy
from copier.events import Event, TableProgress
from copier.sqlite.snapshot import open_snapshot

PATIENCE_S = 0.5

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for statement in sys.argv[2].split(";"):
    print("did" if not statement.startswith("COMMIT") else "committing", flush=True)
    db.execute(statement)
print("holds", flush=True)
sys.stdin.readline()
db.close()
"""
"""Another process, as POSIX locks do not stop their own."""


@contextmanager
def holding(path: Path, statements: str, until: str = "holds") -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", HOLD, str(path), statements]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == until:
                break
        try:
            yield process
        finally:
            process.kill()


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return make_source(tmp_path / "app.db", notes=3000)


def case_of(path: Path) -> Case:
    return Case(path, read_source(path), sha256(path), ())


async def assert_rows(case: Case, dsn: str) -> None:
    assert await read_target(dsn, list(case.rows)) == case.rows


@pytest.mark.parametrize("statements", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE; UPDATE note SET score = 0"])
async def test_a_lock_held_for_long_is_a_clear_refusal(
    app: Path, pg_dsn: str, statements: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(open_snapshot.__kwdefaults__, "busy_timeout_s", PATIENCE_S)
    case = case_of(app)
    with holding(app, statements) as holder:
        start_s = time.monotonic()
        error = await try_run(case, pg_dsn)
        assert PATIENCE_S <= time.monotonic() - start_s < 3 * PATIENCE_S + 5
        assert isinstance(error, SourceBusy)
        assert "is locked" in str(error)
        assert f"pid {holder.pid}" in error.hint
    assert await try_run(case, pg_dsn) is None
    await assert_rows(case, pg_dsn)


@pytest.mark.parametrize("statements", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
async def test_a_lock_held_for_a_moment_is_waited_for(app: Path, pg_dsn: str, statements: str) -> None:
    case = case_of(app)
    with holding(app, statements) as holder:
        task = asyncio.create_task(try_run(case, pg_dsn))
        done, _ = await asyncio.wait({task}, timeout=1.0)
        assert not done, "it waits as long as the busy timeout lasts"
        let_go(holder)
        assert await task is None
    await assert_rows(case, pg_dsn)


async def test_a_pending_writer_that_waits_for_a_reader(app: Path, pg_dsn: str) -> None:
    """A reader keeps the writer's COMMIT waiting with a PENDING lock, which keeps new readers out."""
    with closing(sqlite3.connect(app)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM note").fetchall()
        write = "BEGIN IMMEDIATE;UPDATE note SET score = 0 WHERE id = 0;COMMIT"
        with holding(app, write, until="committing") as writer:
            task = asyncio.create_task(try_run(case_of_pending(app), pg_dsn))
            await asyncio.wait({task}, timeout=0.5)
            reader.rollback()
            assert writer.stdout is not None
            assert await asyncio.to_thread(writer.stdout.readline) == "holds\n"
            error = await task
    if error is not None:
        assert isinstance(error, SourceBusy)
        assert await try_run(case_of(app), pg_dsn) is None
    await assert_rows(case_of(app), pg_dsn)


def case_of_pending(path: Path) -> Case:
    """Its rows are read when the writer is done."""
    return Case(path, {}, "", ())


async def test_checkpointed_and_written_to_while_it_is_copied(app: Path, pg_dsn: str) -> None:
    """In WAL mode the application goes on: what is copied is the state at the start, in every table."""
    with closing(sqlite3.connect(app, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("UPDATE note SET score = score + 1")
        case = Case(app, read_source(app), "", ())
        passes = 0

        def listen(event: Event) -> None:
            nonlocal passes
            if isinstance(event, TableProgress) and event.phase == "data":
                passes += 1
                db.execute("INSERT INTO note (author, body) VALUES (1, 'later')")
                db.execute("DELETE FROM scan WHERE _rowid_ = 3")
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        db.execute("PRAGMA busy_timeout = 10")
        report = await run(case, pg_dsn, listener=listen)
        assert passes >= 4
    assert report.outcome == "verified"
    await assert_rows(case, pg_dsn)


async def stopped_midway(case: Case, dsn: str) -> None:
    """Cancel a run when a chunk has been committed."""
    reached = asyncio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, TableProgress) and event.phase == "data":
            reached.set()

    task = asyncio.create_task(run(case, dsn, listener=listen))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_checkpoint_between_a_kill_and_the_next_run_changes_nothing(app: Path, pg_dsn: str) -> None:
    """The log is still there: it says that nobody has committed since."""
    with closing(sqlite3.connect(app, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("UPDATE note SET score = score + 1")
        case = Case(app, read_source(app), "", ())
        before = sha256(app)
        await stopped_midway(case, pg_dsn)
        assert db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1] > 0
        assert sha256(app) != before, "the checkpoint has written to the file"
        assert await try_run(case, pg_dsn) is None
    await assert_rows(case, pg_dsn)


@pytest.mark.parametrize("checkpoint", ["PASSIVE", "TRUNCATE"])
async def test_a_commit_and_a_checkpoint_between_are_a_change(app: Path, pg_dsn: str, checkpoint: str) -> None:
    with closing(sqlite3.connect(app, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("UPDATE note SET score = score + 1")
        case = Case(app, read_source(app), "", ())
        await stopped_midway(case, pg_dsn)
        db.execute(f"PRAGMA wal_checkpoint({checkpoint})")
        db.execute("UPDATE note SET body = 'other' WHERE id = 0")
        db.execute(f"PRAGMA wal_checkpoint({checkpoint})")
        error = await try_run(case, pg_dsn)
    assert isinstance(error, ResumeRefused)
    assert "the SQLite file changed" in str(error)
    assert "rollback" in error.hint


async def test_the_file_replaced_between_a_kill_and_the_next_run(app: Path, tmp_path: Path, pg_dsn: str) -> None:
    """Refused, and the unfinished run stays as it is: with the first file back it goes on."""
    case = case_of(app)
    await stopped_midway(case, pg_dsn)
    kept = tmp_path / "kept.db"
    app.rename(kept)
    make_source(app, notes=3000)
    with closing(sqlite3.connect(app)) as db, db:
        db.execute("UPDATE note SET body = 'other' WHERE id = 0")
    error = await try_run(case, pg_dsn)
    assert isinstance(error, ResumeRefused)
    assert_clear(error)
    kept.replace(app)
    assert await try_run(case, pg_dsn) is None
    await assert_rows(case, pg_dsn)


TARGET = """
CREATE TABLE author (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE note (id bigint PRIMARY KEY, author bigint NOT NULL REFERENCES author, body text NOT NULL,
    score double precision CHECK (score < 400));
CREATE TABLE tag (name text COLLATE "C", note bigint, PRIMARY KEY (name, note));
CREATE TABLE scan ("rowid" text, oid text, _rowid_ bigint);
INSERT INTO author VALUES (1001, 'author 7'), (1002, 'author 8');
INSERT INTO note VALUES (9, 1001, 'theirs', 1), (300000, 1002, 'theirs too', 2);
"""


async def test_rows_of_the_target_that_ours_collide_with(app: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    """`data` into filled tables: unique, check and foreign key violations are rejects; their rows stay as they were."""
    from copier import migration

    await pg.execute(TARGET)
    case = case_of(app)
    before = await read_target(pg_dsn, ["author", "note"])
    # Of notes only, whose authors have no rejects: `scan` has no key to find a refused row by.
    settings = case.settings(pg_dsn, existing="append", tables=("author", "note"))
    report = await migration.data(settings)
    assert report.outcome == "attention"
    after = await read_target(pg_dsn, ["author", "note"])
    rejected = {
        r["source"]: r["count"] for r in await pg.fetch("SELECT source, count(*) FROM sqlite2pg.reject GROUP BY 1")
    }
    assert rejected["author"] == 2
    refused = [r for r in case.rows["note"] if r[0] == 9 or r[3] >= 400]
    assert rejected["note"] == len(refused)
    assert after["author"] == before["author"] + Counter(r for r in case.rows["author"] if r[1][7:] not in ("7", "8"))
    assert after["note"] == before["note"] + Counter(r for r in case.rows["note"] if r not in refused)
    await migration.rollback(settings, no_dump=True)
    assert await read_target(pg_dsn, ["author", "note"]) == before


async def test_the_same_stopped_at_the_first_refused_row_leaves_the_target_as_it_was(
    app: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    from copier import migration

    await pg.execute(TARGET)
    case = case_of(app)
    before = await read_target(pg_dsn, ["author", "note"])
    settings = case.settings(pg_dsn, existing="append", on_reject="fail", tables=("author", "note"))
    with pytest.raises(CopierError) as caught:
        await migration.data(settings)
    assert_clear(caught.value)
    assert caught.value.table in ("author", "note")
    assert caught.value.key
    await migration.rollback(settings, no_dump=True)
    assert await read_target(pg_dsn, ["author", "note"]) == before
    await end_exact_after(pg, case, pg_dsn)


async def end_exact_after(pg: asyncpg.Connection, case: Case, dsn: str) -> None:
    """With their rows gone the copy goes through."""
    await pg.execute("DROP TABLE author, note, tag, scan CASCADE")
    assert await try_run(case, dsn) is None
    await assert_rows(case, dsn)
