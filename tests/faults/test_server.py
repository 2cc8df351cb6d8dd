"""The server fails: backends ended and killed, an immediate stop, timeouts of the role, no slot left, a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from fix_faults import WHOLE, Case, assert_identical, end_exact, run, try_run, wait_for_server
from fix_postgres import SETTINGS, find_installation, reachable_directory

from copier.events import Event, TableProgress
from copier.postgres.binaries import run as run_program
from copier.postgres.embedded import EmbeddedServer, start

TIMES = 12 if WHOLE else 3


@pytest.fixture
async def crash_dsn(crash_server: EmbeddedServer) -> AsyncIterator[str]:
    dsn = await crash_server.ensure_database("crash")
    yield dsn
    await wait_for_server(crash_server.dsn())
    admin = await asyncpg.connect(crash_server.dsn())
    await admin.execute("DROP DATABASE crash WITH (FORCE)")
    await admin.close()


class AfterChunks:
    """A listener that is reached after a number of chunks have been committed."""

    def __init__(self, chunks: int) -> None:
        self._left = chunks
        self.reached = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, TableProgress) and event.phase == "data":
            self._left -= 1
            if self._left <= 0:
                self.reached.set()


async def started(case: Case, dsn: str, chunks: int) -> asyncio.Task[object]:
    """Start a run and return when so many chunks are committed, or when it has ended."""
    listener = AfterChunks(chunks)
    task: asyncio.Task[object] = asyncio.create_task(try_run(case, dsn, listener=listener))
    reached = asyncio.create_task(listener.reached.wait())
    await asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED)
    reached.cancel()
    return task


def backends(server: EmbeddedServer, database: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, ValueError):
                continue
            if parent == server.pid and f" {database} " in words:
                found.append(int(entry.name))
    return found


@pytest.mark.slow
async def test_backends_ended_by_the_administrator(small: Case, pg_dsn: str, pg: asyncpg.Connection) -> None:
    """Writers get a new connection and go on; nobody notices."""
    task = await started(small, pg_dsn, 1)
    ended = await pg.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND query LIKE ANY (ARRAY['COPY%', 'COMMIT%', 'WITH mine%'])"
    )
    error = await task
    assert ended or error is None
    await end_exact(small, pg_dsn, error)  # type: ignore[arg-type]


@pytest.mark.slow
async def test_kill_9_of_a_backend_makes_the_server_recover(
    small: Case, crash_server: EmbeddedServer, crash_dsn: str
) -> None:
    """One SIGKILL ends all sessions and unsynced commits may be gone: synchronous_commit is off for chunks."""
    draw = random.Random(9)
    for _ in range(TIMES):
        task = await started(small, crash_dsn, draw.randrange(1, 5))
        victims = backends(crash_server, "crash")
        if victims:
            os.kill(draw.choice(victims), signal.SIGKILL)
        error = await task
        await wait_for_server(crash_dsn)
        await end_exact(small, crash_dsn, error)  # type: ignore[arg-type]
        await clean(crash_dsn)


async def clean(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA IF EXISTS sqlite2pg, public CASCADE; CREATE SCHEMA public")
    await connection.close()


def control(server: EmbeddedServer, *words: str) -> None:
    program = [str(server.bin_dir / "pg_ctl"), "-D", ".", "-l", "server.log", "-w", *words]
    run_program(program, server.account, directory=server.data_dir)


@pytest.mark.slow
@pytest.mark.parametrize("between", [False, True], ids=["during the run", "between runs"])
async def test_an_immediate_stop_and_a_start(
    small: Case, crash_server: EmbeddedServer, crash_dsn: str, between: bool
) -> None:
    draw = random.Random(21)
    for _ in range(TIMES):
        task = await started(small, crash_dsn, draw.randrange(1, 5))
        if between:
            task.cancel()
            await asyncio.wait({task})
        await asyncio.to_thread(control, crash_server, "-m", "immediate", "stop")
        await asyncio.to_thread(control, crash_server, "start")
        await wait_for_server(crash_dsn)
        if between:
            error = await try_run(small, crash_dsn)
        else:
            error = await task  # type: ignore[assignment]
        if between and error is not None:
            assert "not empty" in str(error), "it had ended"
            await assert_identical(small, crash_dsn)
        else:
            await end_exact(small, crash_dsn, error)
        await clean(crash_dsn)


SHORT = {
    "statement_timeout": "5ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "30ms",
    "transaction_timeout": "20ms",
}


async def test_timeouts_of_the_role_do_not_matter(small: Case, pg_dsn: str, pg: asyncpg.Connection) -> None:
    await pg.execute("CREATE ROLE hasty LOGIN SUPERUSER")
    try:
        for setting, value in SHORT.items():
            await pg.execute(f"ALTER ROLE hasty SET {setting} = '{value}'")
        assert await try_run(small, pg_dsn.replace("postgres@", "hasty@")) is None
        await assert_identical(small, pg_dsn)
    finally:
        await pg.execute("DROP OWNED BY hasty CASCADE; DROP ROLE hasty")


async def test_no_connection_slot_left(small: Case, pg_dsn: str, pg: asyncpg.Connection) -> None:
    """For an ordinary role: nothing at all left, and a few left but fewer than the run needs."""
    name = await pg.fetchval("SELECT quote_ident(current_database())")
    await pg.execute("CREATE ROLE crowded LOGIN")
    try:
        await pg.execute(f"GRANT CREATE ON DATABASE {name} TO crowded; GRANT ALL ON SCHEMA public TO crowded")
        dsn = pg_dsn.replace("postgres@", "crowded@")
        for limit in (0, 3):
            await pg.execute(f"ALTER ROLE crowded CONNECTION LIMIT {limit}")
            error = await try_run(small, dsn)
            assert error is not None
            assert (error.exit_code == 5) or limit == 3, repr(error)
        await pg.execute("ALTER ROLE crowded CONNECTION LIMIT -1")
        assert (await run(small, dsn)).outcome == "verified"
        await assert_identical(small, pg_dsn)
    finally:
        await pg.execute("DROP OWNED BY crowded CASCADE; DROP ROLE crowded")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 96 MB, mounted for this test."""
    with reachable_directory() as base:
        disk = base / "disk"
        disk.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=96m,mode=0711", "tmpfs", str(disk)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
async def test_the_servers_disk_is_full(small: Case, small_disk: Path) -> None:
    installation = find_installation("wheel18")
    assert installation is not None
    settings = SETTINGS | {"max_wal_size": "32MB", "min_wal_size": "32MB"}
    server = await start(small_disk / "data", tcp=False, settings=settings, installation=installation)
    try:
        dsn = await server.ensure_database("full")
        filler = small_disk / "filler"
        fill(filler)
        first = await try_run(small, dsn)
        assert first is not None, "no byte was free"
        for chunks in (1, 3):
            filler.unlink()
            await wait_for_server(dsn)
            task = await started(small, dsn, chunks)
            fill(filler)
            error = await task
        filler.unlink()
        await wait_for_server(dsn)
        await end_exact(small, dsn, error)  # type: ignore[arg-type]
    finally:
        await server.stop()


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * (1 << 12))
