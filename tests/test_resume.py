"""Killed at any moment, the same command goes on and ends with the same content."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from copier import migration
from copier.config import Settings
from copier.errors import ResumeRefused, RunBusy
from copier.plan.ranges import find_gaps
from copier.postgres.ledger import Ledger, Run

ROWS = 200_000
CHUNK_BYTES = 256 << 10
KILLS = 20


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200,000 rows with gaps in their ids, and a WITHOUT ROWID table beside them."""
    path = tmp_path_factory.mktemp("resume") / "app.db"
    draw = random.Random(11)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT NOT NULL, score REAL, at INTEGER)")
        db.execute("CREATE TABLE tag (name TEXT, note INTEGER, PRIMARY KEY (name, note)) WITHOUT ROWID")
        db.execute("CREATE INDEX note_at ON note (at DESC)")
        rows = ((i * 3 - 100, f"note {i} " + "x" * draw.randrange(60), draw.random(), i) for i in range(ROWS))
        db.executemany("INSERT INTO note VALUES (?, ?, ?, ?)", rows)
        db.executemany("INSERT INTO tag VALUES (?, ?)", ((f"t{i % 97}", i) for i in range(20_000)))
    db.close()
    return path


async def start_copy(path: Path, dsn: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "copier", "full", "--sqlite", str(path), "--no-backup", "--progress", "none"]
    command += ["--chunk-bytes", str(CHUNK_BYTES), "--log-file", "none"]
    return await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


async def wait_for(condition: Callable[[], Awaitable[bool]], process: asyncio.subprocess.Process) -> None:
    """Look until the condition holds or the process has ended."""
    while process.returncode is None and not await condition():
        await asyncio.sleep(0)


async def committed_chunks(pg: asyncpg.Connection[asyncpg.Record]) -> int:
    if not await pg.fetchval("SELECT to_regclass('sqlite2pg.chunk') IS NOT NULL"):
        return -1
    count = await pg.fetchval("SELECT count(*) FROM sqlite2pg.chunk")
    assert isinstance(count, int)
    return count


async def assert_same(path: Path, pg: asyncpg.Connection[asyncpg.Record]) -> None:
    with sqlite3.connect(path) as db:
        for table, theirs_order, ours_order in (("note", "id", "id"), ("tag", 'name COLLATE "C", note', "name, note")):
            theirs = [tuple(row) for row in await pg.fetch(f"SELECT * FROM {table} ORDER BY {theirs_order}")]
            ours = db.execute(f"SELECT * FROM {table} ORDER BY {ours_order}").fetchall()
            assert len(theirs) == len(ours)
            assert theirs == ours
    db.close()


async def killed_run(path: Path, dsn: str, pg: asyncpg.Connection) -> tuple[Ledger, Run]:
    """Start a copy, kill it after some chunks, and return what the ledger has of it."""
    process = await start_copy(path, dsn)

    async def reached() -> bool:
        return await committed_chunks(pg) >= 3

    await wait_for(reached, process)
    process.kill()
    await process.communicate()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while await pg.fetchval(others):
        await asyncio.sleep(0)  # its sessions end by themselves once they notice that the client is gone
    ledger = Ledger()
    run = await ledger.latest(pg, "public")
    assert run is not None
    return ledger, run


async def reset(pg: asyncpg.Connection[asyncpg.Record]) -> None:
    await pg.execute("DROP SCHEMA IF EXISTS sqlite2pg CASCADE; DROP TABLE IF EXISTS note, tag")


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_sigkill_at_twenty_random_moments_never_loses_or_repeats_a_row(
    wide: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Each kill waits for a random number of committed chunks: -1 is before the ledger exists, 50 about the last."""
    draw = random.Random(2026)
    resumed = 0
    for _ in range(KILLS):
        await reset(pg)
        moment = draw.randrange(-1, 50)

        async def reached(moment: int = moment) -> bool:
            return await committed_chunks(pg) >= moment

        process = await start_copy(wide, pg_dsn)
        await wait_for(reached, process)
        if process.returncode is None:
            process.kill()
        await process.communicate()
        resumed += process.returncode != 0
        again = await start_copy(wide, pg_dsn)
        _, errors = await again.communicate()
        already_done = process.returncode == 0
        assert again.returncode == (5 if already_done else 0), errors.decode()
        await assert_same(wide, pg)
    assert resumed >= KILLS * 3 // 4, "most kills must come before the end to prove anything"


async def test_a_run_killed_many_times_still_ends_exact(
    wide: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    for step in range(1, 6):

        async def reached(step: int = step) -> bool:
            return await committed_chunks(pg) >= step * 6

        process = await start_copy(wide, pg_dsn)
        await wait_for(reached, process)
        process.kill()
        await process.communicate()
    report = await migration.full(Settings(sqlite=wide, postgres=pg_dsn, no_backup=True, chunk_bytes=CHUNK_BYTES))
    assert report.outcome == "verified"
    assert await pg.fetchval("SELECT attempts FROM sqlite2pg.run") == 5
    await assert_same(wide, pg)


async def test_a_changed_source_is_not_resumed(
    tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO note (body) VALUES (?)", [("x" * 200,)] * 20_000)
    db.close()
    settings = Settings(sqlite=path, postgres=pg_dsn, no_backup=True, chunk_bytes=64 << 10)
    task = asyncio.create_task(migration.full(settings))
    while not task.done() and await committed_chunks(pg) < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with sqlite3.connect(path) as db:
        db.execute("UPDATE note SET body = 'changed' WHERE id = 1")
    db.close()
    with pytest.raises(ResumeRefused, match="the SQLite file changed"):
        await migration.full(settings)
    result = await migration.rollback(settings, no_dump=True)
    assert "table note" in result.dropped
    report = await migration.full(settings)
    assert report.outcome == "verified"
    assert await pg.fetchval("SELECT body FROM note WHERE id = 1") == "changed"


async def test_a_commit_under_way_when_the_copier_was_killed_is_waited_for(
    wide: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    """The old backend has written its chunk and not committed yet; the resume must neither repeat nor miss it."""
    ledger, run = await killed_run(wide, pg_dsn, pg)
    old = await asyncpg.connect(pg_dsn)
    under_way = old.transaction()
    await under_way.start()
    # The last gap is open at its end: all rows behind it are still to be copied.
    [*_, gap] = find_gaps((await ledger.chunks.committed(old, run.id))["tag"], 0)
    first = gap.after or ("", 0)
    rank = (*gap.prefix, 1)
    assert await ledger.chunks.claim(old, run.id, "tag", rank, gap.after, ("zzz", 0), (0, 0, 0), {}, 0)
    with sqlite3.connect(wide) as db:
        rows = db.execute("SELECT name, note FROM tag WHERE (name, note) > (?, ?)", first).fetchall()
    db.close()
    await old.copy_records_to_table("tag", records=rows)
    resume = asyncio.create_task(
        migration.full(Settings(sqlite=wide, postgres=pg_dsn, no_backup=True, chunk_bytes=CHUNK_BYTES))
    )

    async def waiting() -> bool:
        return bool(
            await pg.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE pg_blocking_pids(pid) @> ARRAY[$1::int]",
                old.get_server_pid(),
            )
        )

    while not resume.done() and not await waiting():
        await asyncio.sleep(0)
    assert not resume.done(), "the resume waits for the old transaction"
    await under_way.commit()
    await old.close()
    report = await resume
    assert report.outcome == "verified", report.to_json().decode()
    await assert_same(wide, pg)


async def test_who_still_writes_for_an_earlier_attempt_is_stopped(
    wide: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    """A copier that lost its lock without noticing must not write beside the one that went on."""
    ledger, run = await killed_run(wide, pg_dsn, pg)
    await ledger.resume_run(pg, run.id)
    with pytest.raises(RunBusy, match="taken"):
        await ledger.chunks.claim(pg, run.id, "tag", (99,), None, ("a", 1), (0, 0, 0), {}, 0)
