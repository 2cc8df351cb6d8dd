"""asyncpg's `copy_records_to_table` with tuples from sqlite3, converted in Python."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import uvloop

from bench.peer.order import Order, timed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "boolean": lambda value: None if value is None else value == 1,
    "timestamptz": lambda value: None if value is None else _EPOCH + timedelta(milliseconds=value),
}
"""asyncpg takes UUIDs as text."""
_PAGE_ROWS = 1_000


async def copy() -> None:
    """Copy what the order names."""
    order = Order.received()
    target = await asyncpg.connect(order.dsn)
    with closing(sqlite3.connect(order.sqlite)) as source:
        with timed():
            records = _records(source, order)
            await target.copy_records_to_table(order.shape.table, records=records, schema_name=order.schema)
    await target.close()


async def _records(source: sqlite3.Connection, order: Order) -> AsyncIterator[tuple[Any, ...]]:
    changes = [(i, _CONVERSIONS[c.pg]) for i, c in enumerate(order.shape.columns) if c.pg in _CONVERSIONS]
    cursor = source.execute(f"SELECT * FROM {order.shape.table}")
    while rows := cursor.fetchmany(_PAGE_ROWS):
        await asyncio.sleep(0)
        for row in rows:
            values = list(row)
            for place, change in changes:
                values[place] = change(values[place])
            yield tuple(values)


if __name__ == "__main__":
    uvloop.run(copy())
