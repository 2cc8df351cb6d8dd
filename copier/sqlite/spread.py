"""A sample of a table's rows, from places spread over its rowids."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import aiosqlite

from copier.plan.model import TablePlan
from copier.plan.names import quote
from copier.plan.source import Value
from copier.sqlite.connection import query
from copier.sqlite.pages import Page, PageReader

SAMPLE_ROWS = 200
"""A table of no more rows than this needs no sample: all of it goes the portable way."""

SPOTS = 20
"""Places of the rowid range the rows are taken from."""

SAMPLE_BYTES = 2 << 20
SPOT_BYTES = 64 << 10
"""Rows are taken until they are this large, together and at one spot: huge values are not read twice for long."""


async def key_range(
    connection: aiosqlite.Connection, table: str, rowid: str | None
) -> tuple[int, int] | tuple[None, None]:
    """Return the least and the greatest rowid; two None for an empty table, or one without (`rowid` None)."""
    if rowid is None:
        return None, None
    name, key = quote(table), quote(rowid)
    # Two subqueries: each is one step in the b-tree, while both in one SELECT would scan it.
    [(least, most)] = await query(
        connection, f"SELECT (SELECT min({key}) FROM {name}), (SELECT max({key}) FROM {name})"
    )
    return least, most


async def spread_pages(reader: PageReader, spots: int, keys: range) -> AsyncGenerator[Page, None]:
    """Yield a page from each of the spots, by a reader whose key is the rowid; none overlap, gaps or not."""
    last = keys.start - 1
    for spot in range(spots):
        last = max(last, keys.start - 1 + (keys.stop - keys.start) * spot // spots)
        async with aclosing(reader.pages((last,) if spot else None)) as pages:
            page = await anext(pages, None)
        if page is None:
            return
        assert isinstance(page.last_key[0], int)
        last = page.last_key[0]
        yield page


async def is_small(source: aiosqlite.Connection, table: TablePlan) -> bool:
    """Whether the source has no more than SAMPLE_ROWS rows."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {quote(table.source)} NOT INDEXED LIMIT {SAMPLE_ROWS + 1})"
    [(count,)] = await query(source, sql)
    return int(count) <= SAMPLE_ROWS


async def sampled_rows(
    source: aiosqlite.Connection, table: TablePlan, columns: Sequence[str]
) -> list[tuple[Value, ...]]:
    """Return rows of the columns and the key: spread over the rowids, or the first in the primary key's order."""
    rows: list[tuple[Value, ...]] = []
    size_bytes = 0
    async with aclosing(_pages(source, table, columns)) as pages:
        async for page in pages:
            rows += page.rows
            size_bytes += page.bytes
            if len(rows) >= SAMPLE_ROWS or size_bytes >= SAMPLE_BYTES:
                break
    return rows[:SAMPLE_ROWS]


def _pages(source: aiosqlite.Connection, table: TablePlan, columns: Sequence[str]) -> AsyncGenerator[Page, None]:
    if not table.key_is_rowid:
        return PageReader(
            source, table.source, columns, table.key, page_rows=SAMPLE_ROWS, page_bytes=SAMPLE_BYTES
        ).pages()
    reader = PageReader(source, table.source, columns, table.key, page_rows=SAMPLE_ROWS // SPOTS, page_bytes=SPOT_BYTES)
    return _spread(source, table, reader)


async def _spread(source: aiosqlite.Connection, table: TablePlan, reader: PageReader) -> AsyncGenerator[Page, None]:
    least, most = await key_range(source, table.source, table.key[0])
    if least is None or most is None:
        return
    async with aclosing(spread_pages(reader, SPOTS, range(least, most + 1))) as pages:
        async for page in pages:
            yield page
