"""The two databases behind one face: `run(statements, parameters)` does one operation as a transaction."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
import uvloop

from bench.queries.operations import Facts, Ms, Operation, Statement

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POOL = 4


class Database(Protocol):
    """What the suite measures: one client, its statements prepared."""

    def bind(self, value: Any) -> Any:
        """Return a parameter as this database's driver takes it."""

    def run(self, operation: Operation, parameters: Sequence[Any]) -> int:
        """Do one operation, and return how many rows came back."""


class Sqlite:
    """The application's file, as it opens it: WAL, synchronous FULL, foreign keys on, a cache of 64 MB."""

    def __init__(self, path: Path, *, fts5: bool = False) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -65536"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._fts5 = fts5

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def bind(self, value: Any) -> Any:
        """UUIDs as text, times as milliseconds."""
        if isinstance(value, uuid.UUID):
            return str(value)
        return value.value if isinstance(value, Ms) else value

    def run(self, operation: Operation, parameters: Sequence[Any]) -> int:
        """Do one operation; statements that write are one transaction."""
        if self._fts5:
            assert operation.fts5 is not None
            return len(self._connection.execute(operation.fts5, parameters[0]).fetchall())
        if not operation.writes:
            return len(self._connection.execute(operation.statements[0].sqlite, parameters[0]).fetchall())
        self._connection.execute("BEGIN IMMEDIATE")
        written = 0
        for statement, values in zip(operation.statements, parameters, strict=True):
            execute = self._connection.executemany if statement.many else self._connection.execute
            written += execute(statement.sqlite, values).rowcount
        self._connection.execute("COMMIT")
        return written

    def facts(self, conversations: int = 2_000) -> Facts:
        """Draw what the operations ask for; the busiest conversations among it."""
        ask = self._connection.execute
        busy = ask(
            "SELECT id, user1_id, user2_id, last_message_at FROM conversations WHERE message_count > 0"
            " ORDER BY message_count DESC LIMIT ?",
            (conversations,),
        ).fetchall()
        people = ask("SELECT id, username FROM users ORDER BY id LIMIT ?", (conversations,)).fetchall()
        [(first, last)] = ask("SELECT min(created_at), max(created_at) FROM messages").fetchall()
        return Facts(busy, [p[0] for p in people], [p[1] for p in people], first, last)


class Postgres:
    """The migrated database through asyncpg: a pool, prepared statements, synchronous_commit as the server has it.

    A call includes taking a connection from the pool and a turn of the event loop: what an application would see.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: asyncpg.Pool) -> None:
        self._loop = loop
        self._pool = pool

    def bind(self, value: Any) -> Any:
        """Times as timestamps."""
        return _EPOCH + timedelta(milliseconds=value.value) if isinstance(value, Ms) else value

    def run(self, operation: Operation, parameters: Sequence[Any]) -> int:
        """Do one operation; statements that write are one transaction."""
        return self._loop.run_until_complete(self._run(operation, parameters))

    async def _run(self, operation: Operation, parameters: Sequence[Any]) -> int:
        async with self._pool.acquire() as connection:
            if not operation.writes:
                return len(await connection.fetch(operation.statements[0].postgres, *parameters[0]))
            async with connection.transaction():
                return sum(
                    [await _write(connection, s, p) for s, p in zip(operation.statements, parameters, strict=True)]
                )

    def fetchval(self, sql: str) -> Any:
        """Return one value."""
        return self._loop.run_until_complete(self._pool.fetchval(sql))


async def _write(connection: Any, statement: Statement, values: Any) -> int:
    if statement.many:
        await connection.executemany(statement.postgres, values)
        return len(values)
    return int((await connection.execute(statement.postgres, *values)).split()[-1])


@contextmanager
def open_postgres(dsn: str) -> Iterator[Postgres]:
    """Connect a pool on an event loop of its own."""
    loop = uvloop.new_event_loop()

    def wait(work: Coroutine[Any, Any, T]) -> T:
        return loop.run_until_complete(work)

    async def pool() -> asyncpg.Pool:
        return await asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL)

    try:
        opened = wait(pool())
        try:
            yield Postgres(loop, opened)
        finally:
            wait(opened.close())
    finally:
        loop.close()
