"""What a table really stores: storage classes, ranges, forms, broken references.

SQLite's declared types promise nothing (sqlite.org/datatype3.html), so every value is looked at. The forms are
described in `copier.sqlite.forms`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

import aiosqlite

from copier.plan.names import quote
from copier.plan.source import ColumnProfile, SourceTable, TableProfile
from copier.sqlite.connection import query
from copier.sqlite.orphans import count_orphans
from copier.sqlite.pages import Page, PageReader, count_rows
from copier.sqlite.tally import ColumnCounter

SAMPLE_SPOTS = 50
"""Places of the rowid range where a sample is taken."""


async def profile_schema(
    connection: aiosqlite.Connection,
    tables: Iterable[SourceTable],
    *,
    sample: int = 0,
    on_rows: Callable[[str, int], None] | None = None,
) -> dict[str, TableProfile]:
    """Profile the tables one after the other; `on_rows` hears of each page: the table's name, and rows read."""
    profiles = {}
    for table in tables:

        def tell(rows: int, name: str = table.name) -> None:
            if on_rows is not None:
                on_rows(name, rows)

        profiles[table.name] = await profile_table(connection, table, sample=sample, on_rows=tell)
    return profiles


async def profile_table(
    connection: aiosqlite.Connection,
    table: SourceTable,
    *,
    sample: int = 0,
    on_rows: Callable[[int], None] | None = None,
) -> TableProfile:
    """Look at every value of a table, generated columns included.

    With `sample`, at about that many rows spread evenly over the rowid range; the number of rows, key collisions
    and orphans are exact all the same. A table without rowids is always read whole.
    SourceUnreadable, or sqlite3.Error, where the file cannot be read.
    """
    key_min, key_max = await _key_range(connection, table)
    rows = await count_rows(connection, table.name) if sample else 0
    sampled = 0 < sample < rows and key_min is not None
    if sampled and key_min is not None and key_max is not None:
        pages = _sample_pages(connection, table, sample, range(key_min, key_max + 1))
    else:
        pages = PageReader(connection, table.name, _names(table), _key(table)).pages()
    counters = [ColumnCounter(column) for column in table.columns]
    seen = await _count(pages, counters, on_rows)
    profiles = {column.name: c.profile() for column, c in zip(table.columns, counters, strict=True)}
    size = sum(counter.bytes for counter in counters)
    return TableProfile(
        rows=rows if sampled else seen,
        columns=await _with_collisions(connection, table, profiles),
        bytes=size * rows // max(1, seen) if sampled else size,
        sampled=sampled,
        key_min=key_min,
        key_max=key_max,
        orphans=await count_orphans(connection, table),
    )


def _names(table: SourceTable) -> list[str]:
    return [column.name for column in table.columns]


def _key(table: SourceTable) -> Sequence[str]:
    if table.without_rowid:
        return table.primary_key
    return () if table.rowid_name is None else (table.rowid_name,)


async def _count(
    pages: AsyncGenerator[Page, None], counters: Sequence[ColumnCounter], on_rows: Callable[[int], None] | None
) -> int:
    """Add all pages to the counters of their columns; return how many rows there were."""
    seen = 0
    async with aclosing(pages) as open_pages:
        async for page in open_pages:
            # The key's columns come last in each row; zip() leaves them out.
            for counter, values in zip(counters, zip(*page.rows, strict=True), strict=False):
                counter.add(values)
            seen += len(page.rows)
            if on_rows is not None:
                on_rows(len(page.rows))
            await asyncio.sleep(0)
    return seen


async def _sample_pages(
    connection: aiosqlite.Connection, table: SourceTable, sample: int, keys: range
) -> AsyncGenerator[Page, None]:
    """Yield a small page from each of the spots; none overlap, also where the rowids have gaps."""
    spots = min(SAMPLE_SPOTS, sample)
    reader = PageReader(connection, table.name, _names(table), _key(table), page_rows=-(-sample // spots))
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


async def _key_range(connection: aiosqlite.Connection, table: SourceTable) -> tuple[int | None, int | None]:
    if table.rowid_name is None:
        return None, None
    name, rowid = quote(table.name), quote(table.rowid_name)
    # Two subqueries: each is one step in the b-tree, while both in one SELECT would scan it.
    [(least, most)] = await query(
        connection, f"SELECT (SELECT min({rowid}) FROM {name}), (SELECT max({rowid}) FROM {name})"
    )
    return least, most


async def _with_collisions(
    connection: aiosqlite.Connection, table: SourceTable, profiles: Mapping[str, ColumnProfile]
) -> dict[str, ColumnProfile]:
    """Return the profiles, with `uuid_collision` set for key columns whose different texts mean one UUID."""
    checked = dict(profiles)
    for name in _unique_columns(table) & profiles.keys():
        profile = profiles[name]
        if profile.all_fit("uuid") and not profile.all_fit("uuid_canonical"):
            found = await query(connection, _collision_sql(table.name, name))
            checked[name] = replace(profile, uuid_collision=bool(found))
    return checked


def _unique_columns(table: SourceTable) -> set[str]:
    names = set(table.primary_key)
    for index in table.indexes:
        if index.unique:
            names.update(part.column for part in index.parts if part.column is not None)
    return names


def _collision_sql(table: str, column: str) -> str:
    """Return a query that yields a row when values that differ are one UUID."""
    name = quote(column)
    plain = f"replace(lower({name}), 'urn:uuid:', '')"
    for mark in "{}-":
        plain = f"replace({plain}, '{mark}', '')"
    return (
        f"SELECT 1 FROM {quote(table)} WHERE {name} IS NOT NULL "
        f"GROUP BY CASE typeof({name}) WHEN 'blob' THEN lower(hex({name})) ELSE {plain} END "
        f"HAVING min(typeof({name}) || hex({name})) <> max(typeof({name}) || hex({name})) LIMIT 1"
    )
