"""A cancelled run ends, also when the server or the network is silent.

asyncpg ends a cancelled statement, and a transaction it stands in, by asking the server and waiting for its answer. A
peer that does not answer would keep a cancelled run for ever; so after a moment its connections are cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar
from weakref import WeakSet

import asyncpg

T = TypeVar("T")

GRACE_S = 4.0
"""How long a cancelled run may talk to the server: what it needs to end every COPY in order."""

_opened: ContextVar[WeakSet[asyncpg.Connection[asyncpg.Record]] | None] = ContextVar("opened", default=None)
"""The connections of the run whose tasks look at it."""


def remember(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Count a connection to the run that opened it."""
    opened = _opened.get()
    if opened is not None:
        opened.add(connection)


async def run_until_cancelled(work: Coroutine[Any, Any, T], *, grace_s: float | None = None) -> T:
    """Await `work`; when this is cancelled, cancel it, and cut its connections if it has not ended after `grace_s`."""
    opened: WeakSet[asyncpg.Connection[asyncpg.Record]] = WeakSet()
    context = copy_context()
    context.run(_opened.set, opened)
    task = asyncio.create_task(work, context=context)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=GRACE_S if grace_s is None else grace_s)
        while not done:
            for connection in list(opened):
                connection.terminate()
            done, _ = await asyncio.wait({task}, timeout=1.0)
        if not task.cancelled():
            task.exception()  # taken: the cancel is what the caller asked for
        raise
