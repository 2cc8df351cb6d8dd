"""Giving connections back: closing one, and returning one to its pool, never fails what was done on it before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
from asyncpg.pool import PoolConnectionProxy

_BREAKAGE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


async def close(what: asyncpg.Connection[asyncpg.Record] | asyncpg.Pool[asyncpg.Record]) -> None:
    """Close a connection or a pool; one that breaks meanwhile is closed as well."""
    with suppress(*_BREAKAGE):
        await what.close()


@asynccontextmanager
async def lend(pool: asyncpg.Pool[asyncpg.Record]) -> AsyncIterator[PoolConnectionProxy[asyncpg.Record]]:
    """Lend a connection of the pool; one on which something failed is cut, and the pool makes another.

    Where a BEGIN or a ROLLBACK failed, nobody may go on in what it left.
    """
    async with pool.acquire() as connection:
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
