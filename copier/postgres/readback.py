"""Reading a table back as binary COPY, without ORDER BY (PERFORMANCE.md: a quarter of the cost of an ordered read)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import asyncpg

from copier.errors import ConnectionLost, CopyFailed
from copier.plan.names import qualify, quote
from copier.postgres.failures import is_transient
from copier.postgres.ledger_tables import Connection
from copier.postgres.undo import xmin_filter
from copier.wire.decode import TupleReader

Fields = tuple[bytes | None, ...]


async def read_back(
    connection: Connection,
    schema: str,
    table: str,
    columns: Sequence[str],
    *,
    xids: list[int] | None = None,
    only: str = "",
    feed: Callable[[bytes], list[Fields]] | None = None,
) -> AsyncGenerator[list[Fields]]:
    """Yield lists of rows, each a tuple of field payloads in column order.

    With `xids`, only rows that these transactions wrote; with `only`, an SQL condition, those that meet it.
    With `feed`, what it makes of the stream's pieces.
    The list in hand waits for its consumer, so memory stays bounded by one network read.
    """
    conditions = [] if xids is None else [xmin_filter(xids)]
    where = f" WHERE {' AND '.join(f'({c})' for c in (*conditions, only) if c)}" if conditions or only else ""
    query = f"SELECT {', '.join(map(quote, columns))} FROM {qualify(schema, table)}{where}"
    rows: asyncio.Queue[list[Fields] | None] = asyncio.Queue(maxsize=2)
    feed = feed or TupleReader(len(columns)).feed

    async def take(data: bytes) -> None:
        try:
            if found := feed(data):
                await rows.put(found)
        except BaseException:
            # Between two pieces asyncpg has no waiter: the rest of the answer to a COPY that ends here would be an
            # error in its protocol. There is no rest on a connection that is gone.
            connection.terminate()
            raise

    async def copy() -> None:
        await connection.copy_from_query(query, output=take, format="binary")
        await rows.put(None)

    task = asyncio.create_task(copy())
    getter: asyncio.Task[list[Fields] | None] | None = None
    try:
        while True:
            getter = asyncio.create_task(rows.get())
            await asyncio.wait({task, getter}, return_when=asyncio.FIRST_COMPLETED)
            if not getter.done() and task.done():
                await task
            found = await getter
            if found is None:
                return
            yield found
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if is_transient(error):
            raise ConnectionLost(
                "the connection to PostgreSQL was lost while reading back",
                hint="run the same command again: what is committed is kept",
                table=table,
            ) from error
        raise CopyFailed(
            f"cannot read {table} back: {error}", hint="mend the cause and run the same command again", table=table
        ) from error
    finally:
        for pending in (task, getter):
            if pending is not None and not pending.done():
                pending.cancel()
        await asyncio.gather(*(t for t in (task, getter) if t is not None), return_exceptions=True)
