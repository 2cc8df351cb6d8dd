"""Two signals to a real run: the second does not wait for the orderly end that the first has begun."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from pathlib import Path

import asyncpg
import pytest

from copier import migration
from copier.config import Settings

ROWS = 2000


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO note VALUES (?, ?)", [(i, f"note {i}" * 20) for i in range(ROWS)])
    db.close()
    return path


async def start(path: Path, dsn: str) -> asyncio.subprocess.Process:
    words = [sys.executable, "-m", "copier", "full", "--sqlite", str(path), "--no-backup", "--progress", "none"]
    words += ["--chunk-bytes", "64KiB", "--jobs", "1", "--script", "none", "--log-file", "none"]
    return await asyncio.create_subprocess_exec(
        *words,
        env={**os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def waiting_backend(pg: asyncpg.Connection[asyncpg.Record]) -> int:
    """Return the process id of the backend that waits for a lock, as soon as one does."""
    async with asyncio.timeout(60):
        while True:
            found = await pg.fetchval(
                "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted"
                " AND a.datname = current_database() AND a.application_name = 'sqlite2pg'"
            )
            if found is not None:
                assert isinstance(found, int)
                return found


async def test_a_second_ctrl_c_does_not_wait_and_the_same_command_goes_on(
    notes: Path, pg_dsn: str, pg: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The backend of its COPY is silent, as on a network that has gone: the orderly end would wait for it."""
    await pg.execute("CREATE TABLE note (id bigint PRIMARY KEY, body text)")
    held = pg.transaction()
    await held.start()
    await pg.execute("LOCK TABLE note IN EXCLUSIVE MODE")
    process = await start(notes, pg_dsn)
    assert process.stderr is not None
    backend = await waiting_backend(pg)
    os.kill(backend, signal.SIGSTOP)
    try:
        process.send_signal(signal.SIGINT)
        said = b""
        async with asyncio.timeout(60):
            while b"once more stops at once" not in said:
                line = await process.stderr.readline()
                assert line, said.decode()
                said += line
            process.send_signal(signal.SIGINT)
            said += await process.stderr.read()
            code = await process.wait()
    finally:
        os.kill(backend, signal.SIGCONT)
        await held.rollback()
    assert code == 1, said.decode()
    assert b"error: stopped at once by SIGINT\nhint: committed chunks stay: run the same command again" in said
    assert b"Traceback" not in said
    assert not await pg.fetchval("SELECT finished_at IS NOT NULL FROM sqlite2pg.run")
    report = await migration.full(
        Settings(sqlite=notes, postgres=pg_dsn, no_backup=True, chunk_bytes=64 << 10, script=None)
    )
    assert report.outcome == "verified"
    assert await pg.fetchval("SELECT count(*) FROM note") == ROWS
    assert await pg.fetchval("SELECT attempts FROM sqlite2pg.run") == 1
