"""Two runs into one target: the second says who holds it; a holder that is gone is told from one that is not."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from fix_faults import Case, assert_identical, end_exact, run, try_run
from fix_postgres import Servers
from fix_proxy import NthCommit, Proxy
from fix_tally import TALLY

from copier.errors import CopierError, RunBusy, SourceBusy
from copier.sqlite.snapshot import open_snapshot


async def start_copy(case: Case, dsn: str) -> asyncio.subprocess.Process:
    """The command in a process of its own."""
    words = ["full", "--sqlite", str(case.path), "--no-backup", "--jobs", "2", "--chunk-bytes", str(64 << 10)]
    words += ["--script", "none", "--log-file", "none", "--progress", "none"]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "copier", *words),
        env={**os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def held_run(case: Case, proxy: Proxy) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a run through the proxy and stop it in its third chunk, whose COMMIT gets no answer."""
    proxy.decide = NthCommit(3, "hold answer")
    process = await start_copy(case, proxy.dsn)
    try:
        held, ended = asyncio.create_task(proxy.held.wait()), asyncio.create_task(process.wait())
        await asyncio.wait({held, ended}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
        ended.cancel()
        held.cancel()
        assert proxy.held.is_set(), "the run ended before it was held"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def twin(small: Case, tmp_path: Path) -> Case:
    """The same source in another file: the first run keeps the lock of its own."""
    return replace(small, path=Path(shutil.copy(small.path, tmp_path / "twin.db")))


async def holder_of(dsn: str) -> asyncpg.Record:
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow(
            "SELECT a.* FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted AND datname = current_database()"
        )
    finally:
        await connection.close()
    assert row is not None
    return row


async def test_the_second_run_refuses_and_says_who_holds_the_target(small: Case, twin: Case, proxy: Proxy) -> None:
    async with held_run(small, proxy) as first:
        holder = await holder_of(proxy.direct)
        second = await start_copy(twin, proxy.direct)
        _, said = await second.communicate()
        assert second.returncode == 5, said.decode()
        words = " ".join(said.decode().split())
        assert f"backend {holder['pid']} of role postgres, application sqlite2pg" in words
        assert f"connected since {holder['backend_start']:%Y-%m-%d %H:%M:%S} UTC" in words
        assert f"process {first.pid} on {socket.gethostname()}" in words
        assert "hint: wait for it, or end it" in words
        proxy.decide = NthCommit(0, "pass")
        proxy.go_on()
        _, said = await first.communicate()
        assert first.returncode == 0, said.decode()
    TALLY.runs += 2
    await assert_identical(small, proxy.direct)


async def test_the_second_run_of_the_same_file_names_the_first(
    small: Case, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a rollback-journal mode the source itself is locked."""
    monkeypatch.setitem(open_snapshot.__kwdefaults__, "busy_timeout_s", 0.5)
    async with held_run(small, proxy) as first:
        error = await try_run(small, proxy.direct)
        assert isinstance(error, SourceBusy)
        assert f"pid {first.pid}" in error.hint
        proxy.decide = NthCommit(0, "pass")
        proxy.go_on()
        await first.communicate()
        assert first.returncode == 0


async def test_the_address_of_a_holder_that_came_by_tcp(
    small: Case, pg_dsn: str, pg: asyncpg.Connection, pg_servers: Servers
) -> None:
    """A session without any run behind it: nothing can be said of its process."""
    await pg.execute("CREATE ROLE holder LOGIN PASSWORD 'secret'")
    try:
        name = await pg.fetchval("SELECT current_database()")
        dsn = pg_servers.get("wheel18").tcp_dsn(name, "holder", "secret")
        other = await asyncpg.connect(dsn, server_settings={"application_name": "psql"})
        await other.execute("SELECT pg_advisory_lock(hashtextextended('sqlite2pg:public', 0))")
        error = await try_run(small, pg_dsn)
        assert isinstance(error, RunBusy)
        assert f"backend {other.get_server_pid()} of role holder, application psql, from 127.0.0.1" in str(error)
        await other.close()
        assert await try_run(small, pg_dsn) is None
    finally:
        await pg.execute("DROP ROLE holder")


async def test_a_lock_of_another_database_is_not_in_the_way(small: Case, pg_dsn: str, pg_servers: Servers) -> None:
    """Advisory locks are a database's own, and so is what is said of them."""
    elsewhere = await asyncpg.connect(pg_servers.get("wheel18").dsn())
    try:
        await elsewhere.execute("SELECT pg_advisory_lock(hashtextextended('sqlite2pg:public', 0))")
        assert await try_run(small, pg_dsn) is None
    finally:
        await elsewhere.close()


@pytest.mark.parametrize("by", ["pg_terminate_backend", "the network's end"])
async def test_a_stale_holder_is_told_and_its_end_lets_the_run_go_on(small: Case, proxy: Proxy, by: str) -> None:
    """The copier is killed while the network stands still: the server keeps its sessions, and the lock."""
    async with held_run(small, proxy) as first:
        first.kill()
        await first.communicate()
    holder = await holder_of(proxy.direct)
    error = await try_run(small, proxy.direct)
    assert isinstance(error, RunBusy)
    assert f"process {first.pid} is gone from this host" in str(error)
    assert f"backend {holder['pid']}" in str(error)
    assert f"pg_terminate_backend({holder['pid']})" in error.hint
    proxy.decide = NthCommit(0, "pass")
    if by == "pg_terminate_backend":
        admin = await asyncpg.connect(proxy.direct)
        await admin.execute(f"SELECT pg_terminate_backend({holder['pid']})")
        await admin.execute("SELECT pg_advisory_lock(hashtextextended('sqlite2pg:public', 0))")
        await admin.close()
    else:
        proxy.cut()
        proxy.go_on()
        admin = await asyncpg.connect(proxy.direct)
        await admin.execute("SELECT pg_advisory_lock(hashtextextended('sqlite2pg:public', 0))")
        await admin.close()
    await end_exact(small, proxy.direct, CopierError("killed"))


async def test_the_server_itself_notices_a_killed_client_while_its_statement_waits(
    small: Case, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    """The holder of the lock stands in a statement: without a look at its client it would stay as long as that."""
    await pg.execute("CREATE TABLE note (id bigint)")
    blocker = pg.transaction()
    await blocker.start()
    await pg.execute("LOCK TABLE note")
    process = await start_copy(small, pg_dsn)
    holder = await waiting_backend(pg)
    interval = await pg.fetchval("SELECT setting FROM pg_settings WHERE name = 'client_connection_check_interval'")
    assert interval == "0", "the server's own default does not look"
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
    async with asyncio.timeout(60):
        while not await pg.fetchval(gone, holder):
            await pg.execute("SELECT pg_stat_clear_snapshot()")
            await asyncio.sleep(0.05)
    await blocker.rollback()
    await pg.execute("DROP TABLE note")
    assert (await run(small, pg_dsn)).outcome == "verified"


async def waiting_backend(pg: asyncpg.Connection) -> int:
    found = None
    async with asyncio.timeout(60):
        while found is None:
            await pg.execute("SELECT pg_stat_clear_snapshot()")
            found = await pg.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE pg_blocking_pids(pid) @> ARRAY[pg_backend_pid()]"
            )
    return int(found)
