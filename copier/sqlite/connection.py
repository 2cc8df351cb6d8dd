"""Opening SQLite connections and running work on their threads, safely under cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import aiosqlite

T = TypeVar("T")

Access = Literal["ro", "rw", "immutable"]

BUSY_TIMEOUT_S = 5.0
"""How long SQLite waits for a lock before it gives up."""

_INTERRUPT_EVERY_S = 0.02
"""sqlite3_interrupt only reaches a statement that runs already, so a cancelled call repeats it until it took effect."""


def uri(path: Path, access: Access) -> str:
    """Return the URI filename of `path`, with every character that means something in a URI percent-encoded.

    Source: SQLite docs, "Uniform Resource Identifiers".
    """
    query = {"ro": "mode=ro", "rw": "mode=rw", "immutable": "mode=ro&immutable=1"}[access]
    return f"{path.absolute().as_uri()}?{query}"


async def connect(path: Path, access: Access = "ro", *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> aiosqlite.Connection:
    """Open `path` in autocommit mode; nothing is read yet. Raises sqlite3.Error."""
    opening = asyncio.ensure_future(_open(uri(path, access), busy_timeout_s))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(sqlite3.Error):
            await (await opening).close()
        raise


async def _open(name: str, busy_timeout_s: float) -> aiosqlite.Connection:
    return await aiosqlite.connect(name, uri=True, isolation_level=None, timeout=busy_timeout_s)


async def run(connection: aiosqlite.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    """Run `function` on the connection's thread in one hop; a cancelled call interrupts SQLite and waits for its end.

    aiosqlite has no public call for several steps in one hop, and a hop (30-50 us) per step would cost more than the
    steps: hence its `_execute`.
    """
    owner: Any = connection
    work: asyncio.Future[T] = asyncio.ensure_future(owner._execute(function, owner._conn))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await connection.interrupt()
                await asyncio.wait([work], timeout=_INTERRUPT_EVERY_S)
        if not work.cancelled():
            work.exception()
        raise


async def query(connection: aiosqlite.Connection, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a query; for small results."""

    def fetch(raw: sqlite3.Connection) -> list[tuple[Any, ...]]:
        with readable_errors():
            return raw.execute(sql, parameters).fetchall()

    return await run(connection, fetch)


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """Raise SQLite's error also where its sentence quotes a name that is no UTF-8, which Python cannot put into one."""
    try:
        yield
    except UnicodeDecodeError as error:
        told = sqlite3.DatabaseError(bytes(error.object).decode(errors="replace"))
        if str(told).startswith("malformed"):
            told.sqlite_errorname = "SQLITE_CORRUPT"
        raise told from None


async def finish(work: Awaitable[T]) -> T:
    """Await `work` to its end even when cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except BaseException:
            break
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()
