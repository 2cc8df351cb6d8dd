"""The server refuses more: timeouts of the role, no connection slot left, a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from fix_faults import Case, assert_identical, clean, end_exact, own_server, run, started, try_run, wait_for_server
from fix_postgres import SETTINGS, find_installation, reachable_directory
from fix_tally import TALLY

from copier.errors import CopierError
from copier.events import Event, PhaseStarted
from copier.postgres.connect import Retry
from copier.postgres.embedded import EmbeddedServer, start

SHORT = {
    "statement_timeout": "5ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "30ms",
    "transaction_timeout": "20ms",
}


@pytest.mark.parametrize("of", ["role", "database", "role in the database"])
async def test_timeouts_of_others_do_not_matter(small: Case, pg_dsn: str, pg: asyncpg.Connection, of: str) -> None:
    name = await pg.fetchval("SELECT quote_ident(current_database())")
    whose = {
        "role": "ROLE hasty",
        "database": f"DATABASE {name}",
        "role in the database": f"ROLE hasty IN DATABASE {name}",
    }
    await pg.execute("CREATE ROLE hasty LOGIN SUPERUSER")
    try:
        for setting, value in SHORT.items():
            await pg.execute(f"ALTER {whose[of]} SET {setting} = '{value}'")
        assert await try_run(small, pg_dsn.replace("postgres@", "hasty@")) is None
        for setting in SHORT:
            await pg.execute(f"ALTER {whose[of]} RESET {setting}")
        await assert_identical(small, pg_dsn)
    finally:
        await pg.execute("DROP OWNED BY hasty CASCADE; DROP ROLE hasty")


@pytest.fixture
def narrow_server() -> Iterator[EmbeddedServer]:
    """A server with eight connection slots, none of them reserved."""
    with own_server("narrow", max_connections="8", superuser_reserved_connections="0", max_wal_senders="0") as server:
        yield server


async def take_all_slots(dsn: str) -> list[asyncpg.Connection]:
    taken = []
    with contextlib.suppress(asyncpg.TooManyConnectionsError):
        while True:
            taken.append(await asyncpg.connect(dsn))
    return taken


async def test_max_connections_reached(
    small: Case, narrow_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the start, between the checks and the copy, and in the middle of it."""
    monkeypatch.setattr("copier.postgres.connect.Retry", partial(Retry, patience_s=0.3))
    monkeypatch.setattr("copier.postgres.loss.PATIENCE_S", 0.3)
    monkeypatch.setattr("copier.run.session.FIRST_CONNECT_S", 0.5)
    dsn = await narrow_server.ensure_database("narrow")
    taken = await take_all_slots(dsn)
    error = await try_run(small, dsn)
    assert error is not None
    assert error.exit_code == 5
    assert "no connection slot left" in str(error)
    assert "max_connections" in error.hint
    await taken.pop().close()
    error = await try_run(small, dsn)
    assert error is not None
    assert error.exit_code == 5
    assert "connection slot" in str(error)
    await let_go(taken)
    for phase in ("profile", "schema", "data"):
        error = await try_run_without_slots(small, dsn, phase, taken)
        # The checks run beside the profile: they may be the ones to find no slot left.
        assert error is None or error.exit_code in ((1, 5) if phase == "profile" else (1,))
        await end_exact(small, dsn, error)
        await clean(dsn)


async def let_go(taken: list[asyncpg.Connection]) -> None:
    while taken:
        await taken.pop().close()


async def try_run_without_slots(
    case: Case, dsn: str, phase: str, taken: list[asyncpg.Connection]
) -> CopierError | None:
    """Run, and take every slot left when the phase has begun; free them when the run has ended."""
    begun = asyncio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.phase == phase:
            begun.set()

    task = asyncio.create_task(try_run(case, dsn, listener=listen))
    await begun.wait()
    taken += await take_all_slots(dsn)
    TALLY.faults["max_connections"] += 1
    try:
        return await task
    finally:
        await let_go(taken)


async def test_no_connection_slot_left(
    small: Case, pg_dsn: str, pg: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an ordinary role: nothing at all left, and a few left but fewer than the run needs."""
    monkeypatch.setattr("copier.run.session.FIRST_CONNECT_S", 0.5)
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
