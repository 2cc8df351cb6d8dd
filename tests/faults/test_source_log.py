"""The source's log goes between a kill and the next run, as when its last connection closes: resume.md, step 6."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fix_faults import AfterChunks, Case, assert_clear, make_source, read_source, read_target, sha256

from copier import migration
from copier.config import Settings
from copier.errors import ResumeRefused
from copier.events import Listener, ignore
from copier.report import Report
from copier.sqlite.backup_sums import read_sums, sha256_of
from copier.sqlite.header import wal_path
from copier.sqlite.snapshot import open_snapshot

ENDS = ("TRUNCATE", "close")
"""How the log goes: emptied, or removed by the last connection."""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A file whose last commits are in its log only."""
    path = make_source(tmp_path / "app.db", notes=3000)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    return path


@pytest.fixture
def writer(app: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(app, isolation_level=None)) as db:
        db.execute("UPDATE note SET score = score + 1 WHERE id < 600")
        yield db


def settings_of(path: Path, dsn: str, backup: Path | None = None, **more: bool) -> Settings:
    return replace(Case(path, {}, "", ()).settings(dsn), **{"no_backup": False, "backup": backup, **more})


async def stop_midway(settings: Settings) -> None:
    listener = AfterChunks(1)
    task = asyncio.create_task(copy(settings, listener))
    await listener.reached.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def copy(settings: Settings, listener: Listener = ignore) -> Report:
    return await migration.full(settings, listener)


def end_log(db: sqlite3.Connection, how: str) -> None:
    if how == "close":
        db.close()
    else:
        assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


@pytest.mark.parametrize("chosen", [False, True], ids=["backup beside it", "--backup"])
@pytest.mark.parametrize("how", ENDS)
async def test_the_pages_of_the_backup_are_the_same_content(
    app: Path, writer: sqlite3.Connection, pg_dsn: str, how: str, chosen: bool
) -> None:
    """The run goes on, and no second backup is made."""
    rows, before = read_source(app), sha256(app)
    settings = settings_of(app, pg_dsn, app.with_name("kept.backup") if chosen else None)
    await stop_midway(settings)
    [backup] = app.parent.glob("*.backup")
    made = backup.stat()
    end_log(writer, how)
    assert sha256(app) != before
    assert not wal_path(app).exists() or not wal_path(app).stat().st_size
    report = await copy(settings)
    assert report.outcome == "verified"
    assert await read_target(pg_dsn, list(rows)) == rows
    assert list(app.parent.glob("*.backup")) == [backup]
    assert (backup.stat().st_ino, backup.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert report.source["backup"] == str(backup)


async def test_without_a_backup_nothing_tells(app: Path, writer: sqlite3.Connection, pg_dsn: str) -> None:
    settings = settings_of(app, pg_dsn, no_backup=True)
    await stop_midway(settings)
    end_log(writer, "close")
    with pytest.raises(ResumeRefused, match="the SQLite file changed") as caught:
        await copy(settings)
    assert_clear(caught.value)


@pytest.mark.parametrize(
    ("change", "how"),
    [("one byte", "TRUNCATE"), ("one byte", "close"), ("a row more", "close"), ("free pages", "TRUNCATE")],
)
async def test_a_commit_before_the_log_went_is_a_change(
    app: Path, writer: sqlite3.Connection, pg_dsn: str, change: str, how: str
) -> None:
    """Also one that leaves the file's header and size as they were."""
    await stop_midway(settings_of(app, pg_dsn))
    writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
    head = app.read_bytes()[:100]
    statement = {
        "one byte": "UPDATE note SET body = 'N' || substr(body, 2) WHERE id = 3000",
        "a row more": "INSERT INTO scan VALUES ('late', 'x', 1)",
        "free pages": "DELETE FROM note WHERE id > 3000",
    }[change]
    writer.execute(statement)
    end_log(writer, how)
    if change == "one byte":
        assert app.read_bytes()[:100] == head, "nothing in the header tells"
    with pytest.raises(ResumeRefused, match="the SQLite file changed"):
        await copy(settings_of(app, pg_dsn))


async def test_a_backup_that_was_worked_on_proves_nothing(app: Path, writer: sqlite3.Connection, pg_dsn: str) -> None:
    """The application was run on the backup, and the backup then put in the source's place."""
    await stop_midway(settings_of(app, pg_dsn))
    writer.close()
    [backup] = app.parent.glob("*.backup")
    with closing(sqlite3.connect(backup, isolation_level=None)) as db:
        db.execute("UPDATE note SET body = 'other' WHERE id = 0")
    app.write_bytes(backup.read_bytes())
    with pytest.raises(ResumeRefused, match="the SQLite file changed"):
        await copy(settings_of(app, pg_dsn))


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("vacuum", [0, 1])
async def test_a_checkpointed_file_is_its_backup_but_for_counters(tmp_path: Path, page_size: int, vacuum: int) -> None:
    """What the comparison rests on, with free pages, overflow chains and auto-vacuum's own pages."""
    path, backup = tmp_path / "app.db", tmp_path / "b.backup"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {page_size}")
        db.execute(f"PRAGMA auto_vacuum = {vacuum}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
        db.executemany("INSERT INTO t (body) VALUES (randomblob(?))", [(i * 7 % 3000,) for i in range(600)])
        db.execute("DELETE FROM t WHERE id % 3 = 0")
        await migration.backup(path, backup)
        async with open_snapshot(path, readers=1) as snapshot:
            assert not await snapshot.holds(backup, read_sums(backup)[0]), "part of it is in the log"
    async with open_snapshot(path, readers=1) as snapshot:
        digest = read_sums(backup)[0]
        assert digest == await sha256_of(backup)
        assert await snapshot.holds(backup, digest)
        assert not await snapshot.holds(backup, "")
        assert not await snapshot.holds(path.with_name("none"), digest)
        for place in (100, page_size, backup.stat().st_size - 1):
            assert not await snapshot.holds(*damaged(backup, place))


def damaged(backup: Path, place: int) -> tuple[Path, str]:
    """Return a copy with one other byte, and its own checksum, so that only the comparison can tell."""
    content = bytearray(backup.read_bytes())
    content[place] ^= 1
    other = backup.with_name("damaged")
    other.write_bytes(content)
    return other, sha256(other)
