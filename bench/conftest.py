"""What the suites share: sizes, one server, sources.

SQLITE2PG_BENCH_MESSAGES (200,000) scales all shapes, SQLITE2PG_BENCH_RUNS (3) is how often each thing is measured.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from bench.server import SETTINGS, SMALL, cache_directory, machine, reachable_directory
from bench.shapes import SHAPES, Shape
from copier.plan.names import quote
from copier.postgres.embedded import EmbeddedServer, start

T = TypeVar("T")

MESSAGES = int(os.environ.get("SQLITE2PG_BENCH_MESSAGES", "200000"))
RUNS = int(os.environ.get("SQLITE2PG_BENCH_RUNS", "3"))


@dataclass(frozen=True, slots=True)
class Bench:
    """The server and what describes it."""

    server: EmbeddedServer
    machine: dict[str, Any]
    scratch: Path
    """A directory the server's account reaches."""
    runs: int = RUNS

    def fresh(self, name: str = "bench") -> str:
        """Return the DSN of an empty database of that name."""
        self.execute(
            f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)", f"CREATE DATABASE {quote(name)}", "CHECKPOINT"
        )
        return self.server.dsn(name)

    def execute(self, *statements: str) -> None:
        """Run statements in the database `postgres`."""
        self.ask(self.server.dsn(), lambda connection: _each(connection, statements))

    def ask(self, dsn: str, work: Callable[[asyncpg.Connection], Coroutine[Any, Any, T]]) -> T:
        """Return what `work` makes of a connection."""

        async def connected() -> T:
            connection = await asyncpg.connect(dsn)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(connected())

    def row(self, dsn: str, query: str) -> tuple[Any, ...]:
        """Return the one row of a query."""
        return tuple(self.ask(dsn, lambda connection: connection.fetch(query))[0])


async def _each(connection: asyncpg.Connection, statements: tuple[str, ...]) -> None:
    for statement in statements:
        await connection.execute(statement)


def source_of(shape: Shape) -> Path:
    """Return the source at this session's size."""
    return shape.source(cache_directory(), max(100, shape.rows * MESSAGES // SHAPES["messages"].rows))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measuring takes longer than testing; each command has a limit of its own."""
    for item in items:
        item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    settings = SETTINGS if MESSAGES >= 100_000 else SMALL
    with reachable_directory() as base:
        server = asyncio.run(start(base / "postgres", tcp=True, settings=settings))
        try:
            nothing = Bench(server, {}, base)
            yield Bench(server, nothing.ask(server.dsn(), machine), base)
        finally:
            asyncio.run(server.stop())
