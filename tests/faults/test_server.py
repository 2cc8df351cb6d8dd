"""The server fails: backends ended and killed, an immediate stop, commits that a crash took back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from fix_faults import WHOLE, Case, assert_identical, clean, end_exact, own_server, started, try_run, wait_for_server
from fix_proxy import COPY_DATA, Link, Proxy, What, let_pass, proxy_to
from fix_tally import TALLY

from copier.errors import CopierError
from copier.postgres.binaries import run as run_program
from copier.postgres.embedded import EmbeddedServer

TIMES = 12 if WHOLE else 3


@pytest.fixture
async def crash_dsn(crash_server: EmbeddedServer) -> AsyncIterator[str]:
    dsn = await crash_server.ensure_database("crash")
    yield dsn
    await wait_for_server(crash_server.dsn())
    admin = await asyncpg.connect(crash_server.dsn())
    await admin.execute("DROP DATABASE crash WITH (FORCE)")
    await admin.close()


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


def control(server: EmbeddedServer, *words: str) -> None:
    program = [str(server.bin_dir / "pg_ctl"), "-D", ".", "-l", "server.log", "-w", *words]
    run_program(program, server.account, directory=server.data_dir)


class InCopy:
    """Stops everything at the n-th COPY's first data, so that a backend surely stands inside it."""

    def __init__(self, proxy: Proxy, number: int) -> None:
        self._proxy = proxy
        self._left = number

    def __call__(self, link: Link, kind: int, body: bytes) -> What:
        if kind == COPY_DATA and not link.copying:
            self._left -= 1
            if self._left == 0:
                self._proxy.stall()
                self._proxy.held.set()
        link.copying = kind == COPY_DATA
        return "pass"


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill -9", "pg_terminate_backend", "pg_cancel_backend"])
async def test_the_backend_of_a_copy_under_way(
    small: Case, crash_server: EmbeddedServer, crash_dsn: str, end: str
) -> None:
    """Its chunk is lost and nothing else; kill -9 takes every other session and the shared memory with it."""
    for number in range(1, (TIMES if WHOLE or end == "kill -9" else 1) + 1):
        async with proxy_to(crash_server, "crash") as proxy:
            proxy.decide = InCopy(proxy, number)
            task = asyncio.create_task(try_run(small, proxy.dsn))
            if not await held_before_end(proxy, task):
                assert number > 2, "the run has several COPYs"
                assert await task is None
                await clean(crash_dsn)
                break
            pids = await copying_backends(crash_dsn)
            assert pids, "a backend stands in COPY"
            if end == "kill -9":
                os.kill(pids[0], signal.SIGKILL)
            else:
                await ask(crash_dsn, f"SELECT {end}({pids[0]})")
            proxy.decide = let_pass
            proxy.go_on()
            error = await task
        TALLY.faults[f"{end} in COPY"] += 1
        await wait_for_server(crash_dsn)
        await end_exact(small, crash_dsn, error)
        await clean(crash_dsn)


async def held_before_end(proxy: Proxy, task: asyncio.Task[CopierError | None]) -> bool:
    """Wait until the proxy stands still; False when the run had no such COPY any more."""
    held = asyncio.ensure_future(proxy.held.wait())
    await asyncio.wait((held, task), return_when=asyncio.FIRST_COMPLETED)
    held.cancel()
    return proxy.held.is_set()


async def ask(dsn: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def copying_backends(dsn: str) -> list[int]:
    return [row[0] for row in await ask(dsn, "SELECT pid FROM pg_stat_progress_copy WHERE command = 'COPY FROM'")]


@pytest.fixture
def lazy_server() -> Iterator[EmbeddedServer]:
    """One that writes its log when somebody waits for it, and else hardly ever: a crash loses whole chunks."""
    with own_server("lazy", wal_writer_delay="10s", wal_writer_flush_after="1GB", synchronous_commit="off") as server:
        yield server


async def test_chunks_that_were_committed_and_lost_are_copied_again(small: Case, lazy_server: EmbeddedServer) -> None:
    """What the crash took is missing from the ledger too: that is all a resume needs to know."""
    dsn = await lazy_server.ensure_database("lazy")
    lost = crashes = 0
    for chunks in range(1, TIMES + 2):
        async with proxy_to(lazy_server, "lazy") as proxy:
            # The last chunk's data stands still: no table is finished meanwhile, no commit waits for the disk.
            proxy.decide = InCopy(proxy, chunks + 1)
            task = asyncio.create_task(try_run(small, proxy.dsn))
            if not await held_before_end(proxy, task):
                assert crashes > 2, "the run has several COPYs"
                assert await task is None
                break
            before = await chunk_rows(dsn)
            await asyncio.to_thread(control, lazy_server, "-m", "immediate", "stop")
            await asyncio.to_thread(control, lazy_server, "start")
            await wait_for_server(dsn)
            after = await chunk_rows(dsn)
            proxy.decide = let_pass
            proxy.go_on()
            error = await task
        assert after <= before
        lost += len(before - after)
        crashes += 1
        await end_exact(small, dsn, error)
        await clean(dsn)
    print(f"{lost} committed chunks were lost in {crashes} crashes, and copied again")
    TALLY.faults["committed chunk lost in a crash"] += lost
    assert lost, "else this proves nothing"


async def chunk_rows(dsn: str) -> set[tuple[str, str]]:
    if not (await ask(dsn, "SELECT to_regclass('sqlite2pg.chunk') IS NOT NULL"))[0][0]:
        return set()
    return {tuple(row) for row in await ask(dsn, "SELECT source, rank::text FROM sqlite2pg.chunk")}


async def test_what_was_said_to_be_done_survives_a_crash(small: Case, lazy_server: EmbeddedServer) -> None:
    """Also where the server, the database or the role commits asynchronously: the end of a run waits for the disk."""
    dsn = await lazy_server.ensure_database("lazy")
    assert await try_run(small, dsn) is None
    await asyncio.to_thread(control, lazy_server, "-m", "immediate", "stop")
    await asyncio.to_thread(control, lazy_server, "start")
    await wait_for_server(dsn)
    await assert_identical(small, dsn)
    assert [tuple(row) for row in await ask(dsn, "SELECT outcome FROM sqlite2pg.run")] == [("verified",)]


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
