"""Real servers: started once per session on first use, each test in a fresh database of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from copier.postgres.binaries import Installation, installations
from copier.postgres.embedded import EmbeddedServer, start

T = TypeVar("T")
KINDS = ("wheel18", "wheel16", "system")
SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_wal_size": "1GB"}
MEMORY_BYTES = 8 << 30


def apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a loop and thread of its own, whatever loop the test has."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(work())).result()


def find_installation(kind: str) -> Installation | None:
    """Return the installation `kind` names: wheel18, wheel16 or system (the newest there)."""
    for one in installations():
        if kind == "system" and one.origin == "system" and (one.bin_dir / "initdb").exists():
            return one
        if kind == f"wheel{one.major}" and one.origin == "wheel":
            return one
    return None


class Servers:
    """The session's servers by kind."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._running: dict[str, EmbeddedServer] = {}
        self._numbers = itertools.count(1)

    def get(self, kind: str) -> EmbeddedServer:
        """Return the server of this kind, started when need be; skips the test when there is no such PostgreSQL."""
        if kind not in self._running:
            installation = find_installation(kind)
            if installation is None:
                pytest.skip(f"no PostgreSQL of kind {kind} on this machine")
            place = self._base / kind
            self._running[kind] = apart(lambda: start(place, tcp=True, settings=SETTINGS, installation=installation))
        return self._running[kind]

    def need(self, kind: str) -> EmbeddedServer:
        """As `get`, but absence is a failure: the `test` extra brings the wheel."""
        if find_installation(kind) is None:
            pytest.fail(f"no PostgreSQL of kind {kind}: install the test extra")
        return self.get(kind)

    def stop(self) -> None:
        """Stop them all."""
        for server in self._running.values():
            apart(server.stop)

    @asynccontextmanager
    async def database(self, kind: str) -> AsyncIterator[str]:
        """Make a fresh database, give its name, drop it."""
        server = self.get(kind)
        name = f"test_{next(self._numbers)}"
        admin = await asyncpg.connect(server.dsn())
        try:
            await admin.execute(f'CREATE DATABASE "{name}"')
            try:
                yield name
            finally:
                await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            await admin.close()


def roomy_memory() -> Path | None:
    """Return a file system in memory with room for the session's databases, None where there is none.

    Each test makes and drops a database of 300 files: on a disk that takes a quarter of the whole session.
    """
    place = Path("/dev/shm")
    try:
        free_bytes = min(shutil.disk_usage(place).free, os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError):
        return None
    return place if free_bytes >= MEMORY_BYTES and os.access(place, os.W_OK | os.X_OK) else None


@contextmanager
def reachable_directory(parent: Path | None = None) -> Iterator[Path]:
    """Make a directory any account reaches: root's servers run as another one, and pytest's own are private."""
    base = Path(tempfile.mkdtemp(prefix="s2pg-test-", dir=parent))
    base.chmod(0o711)
    try:
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def reachable_path() -> Iterator[Path]:
    """As tmp_path, for servers to live in."""
    with reachable_directory() as base:
        yield base


@pytest.fixture(scope="session")
def pg_servers() -> Iterator[Servers]:
    with reachable_directory(roomy_memory()) as base:
        servers = Servers(base)
        try:
            yield servers
        finally:
            servers.stop()


@pytest.fixture
async def pg_dsn(pg_servers: Servers) -> AsyncIterator[str]:
    """DSN of a fresh empty database on PostgreSQL 18, as superuser, through a unix socket."""
    pg_servers.need("wheel18")
    async with pg_servers.database("wheel18") as name:
        yield pg_servers.get("wheel18").dsn(name)


@pytest.fixture(params=KINDS)
async def pg_any(request: pytest.FixtureRequest, pg_servers: Servers) -> AsyncIterator[str]:
    """As pg_dsn, once on each server this machine has: for what may differ between versions."""
    async with pg_servers.database(request.param) as name:
        yield pg_servers.get(request.param).dsn(name)


@pytest.fixture
async def pg(pg_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain asyncpg connection to the database of pg_dsn."""
    conn = await asyncpg.connect(pg_dsn)
    try:
        yield conn
    finally:
        await conn.close()
