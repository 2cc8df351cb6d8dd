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
from copier.sqlite.engine import Counted, Profiler
from copier.sqlite.form_counter import BLOCK_ROWS
from copier.sqlite.orphans import count_orphans
from copier.sqlite.pages import Page, PageReader, Row, count_rows
from copier.sqlite.spread import key_range, spread_pages
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
    profiler: Profiler | None = None,
) -> TableProfile:
    """Look at every value of a table, generated columns included; `profiler` is the engine's own, if it has one.

    With `sample`, at about that many rows spread evenly over the rowid range; the number of rows, key collisions
    and orphans are exact all the same. A table without rowids is always read whole.
    SourceUnreadable, or sqlite3.Error, where the file cannot be read.
    """
    key_min, key_max = await key_range(connection, table.name, table.rowid_name)
    rows = await count_rows(connection, table.name) if sample else 0
    sampled = 0 < sample < rows and key_min is not None
    tell = on_rows or (lambda _: None)
    counted = None
    if key_min is None or key_max is None:
        if profiler is not None:
            counted = await profiler.count(connection, table, _key(table), 0, tell)
    elif sampled:
        spots = min(SAMPLE_SPOTS, sample)
        reader = PageReader(connection, table.name, _names(table), _key(table), page_rows=-(-sample // spots))
        pages = spread_pages(reader, spots, range(key_min, key_max + 1))
        counted = await _count(pages, table, tell)
        counted = replace(counted, rows=rows, bytes=counted.bytes * rows // max(1, counted.rows))
    elif profiler is not None:
        counted = await profiler.count(connection, table, _key(table), key_max - key_min + 1, tell)
    if counted is None:
        counted = await _count(PageReader(connection, table.name, _names(table), _key(table)).pages(), table, tell)
    return TableProfile(
        rows=counted.rows,
        columns=await _with_collisions(connection, table, counted.columns),
        bytes=counted.bytes,
        sampled=sampled,
        key_min=key_min,
        key_max=key_max,
        orphans=await count_orphans(connection, table) if counted.orphans is None else counted.orphans,
    )


def _names(table: SourceTable) -> list[str]:
    return [column.name for column in table.columns]


def _key(table: SourceTable) -> Sequence[str]:
    if table.without_rowid:
        return table.primary_key
    return () if table.rowid_name is None else (table.rowid_name,)


async def _count(pages: AsyncGenerator[Page, None], table: SourceTable, on_rows: Callable[[int], None]) -> Counted:
    """Add all pages to the counters of their columns."""
    counters = [ColumnCounter(column) for column in table.columns]
    seen = 0
    async with aclosing(pages) as open_pages:
        async for page in open_pages:
            rows = page.rows
            while rows:
                piece, rows = _divide(rows, BLOCK_ROWS - seen % BLOCK_ROWS)
                # The key's columns come last in each row; zip() leaves them out.
                for counter, values in zip(counters, zip(*piece, strict=True), strict=False):
                    counter.add(values)
                seen += len(piece)
                if seen % BLOCK_ROWS == 0:
                    _end_block(counters)
            on_rows(len(page.rows))
            await asyncio.sleep(0)
    _end_block(counters)
    profiles = {column.name: c.profile() for column, c in zip(table.columns, counters, strict=True)}
    return Counted(seen, profiles, sum(counter.bytes for counter in counters), None)


def _divide(rows: list[Row], count: int) -> tuple[list[Row], list[Row]]:
    return (rows, []) if len(rows) <= count else (rows[:count], rows[count:])


def _end_block(counters: Sequence[ColumnCounter]) -> None:
    for counter in counters:
        counter.end_block()


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
