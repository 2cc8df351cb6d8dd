"""Rows whose foreign key names a parent that is not there. SQLite checks foreign keys only when asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiosqlite

from copier.plan.names import quote
from copier.plan.source import Key, SourceForeignKey, SourceTable
from copier.sqlite.connection import query


async def count_orphans(connection: aiosqlite.Connection, table: SourceTable) -> dict[int, int]:
    """Return foreign key id -> rows whose parent is missing; keys without such rows are left out.

    Every row counts where the parent table itself is missing (sqlite.org/pragma.html#pragma_foreign_key_check).
    """
    if not table.foreign_keys:
        return {}
    try:
        found = await query(
            connection, "SELECT fkid, count(*) FROM pragma_foreign_key_check(?) GROUP BY fkid", (table.name,)
        )
    except aiosqlite.OperationalError:
        # One key to columns that are not unique ("foreign key mismatch") or of an unknown collation makes SQLite refuse
        # to check any.
        found = [(key.id, await _count_one(connection, table, key)) for key in table.foreign_keys]
    return {id_: count for id_, count in found if count}


async def _count_one(connection: aiosqlite.Connection, table: SourceTable, key: SourceForeignKey) -> int:
    parents = await _parent_columns(connection, key)
    if len(parents) == len(key.columns):
        [(count,)] = await _select_orphans(connection, "count(*)", table, key, parents)
    else:
        [(count,)] = await query(
            connection, f"SELECT count(*) FROM {quote(table.name)} AS c NOT INDEXED WHERE {_filled(key)}"
        )
    return int(count)


async def orphan_keys(connection: aiosqlite.Connection, table: SourceTable, key: Sequence[str]) -> dict[Key, str]:
    """Return keyset key -> reason for every row that a foreign key's parent is missing for.

    Foreign keys whose parent table or columns do not exist are left out: they cannot be created anyway.
    """
    found: dict[Key, str] = {}
    if not key:
        return found
    for foreign in table.foreign_keys:
        parents = await _parent_columns(connection, foreign)
        if len(parents) != len(foreign.columns):
            continue
        columns = ", ".join(f"c.{quote(column)}" for column in key)
        reason = f"no row in {foreign.parent} for its foreign key ({', '.join(foreign.columns)})"
        rows = await _select_orphans(connection, columns, table, foreign, parents)
        found.update((tuple(row), reason) for row in rows)
    return found


async def _select_orphans(
    connection: aiosqlite.Connection,
    what: str,
    table: SourceTable,
    key: SourceForeignKey,
    parents: Sequence[str],
) -> list[tuple[Any, ...]]:
    """Return `what` of the rows without a parent."""
    try:
        return await query(connection, f"SELECT {what} {_orphans_of(table, key, parents)}")
    except aiosqlite.OperationalError as error:
        if "no such collation" not in str(error):
            raise
        # The application brings this collation itself. PostgreSQL will compare the values byte by byte.
        return await query(connection, f"SELECT {what} {_orphans_of(table, key, parents, ' COLLATE BINARY')}")


def _orphans_of(table: SourceTable, key: SourceForeignKey, parents: Sequence[str], collate: str = "") -> str:
    """Return FROM and WHERE for the rows without a parent.

    A join, not NOT EXISTS: SQLite makes itself an index for the one and not for the other.
    """
    pairs = zip(parents, key.columns, strict=True)
    equal = " AND ".join(f"p.{quote(parent)}{collate} = c.{quote(column)}" for parent, column in pairs)
    return (
        f"FROM {quote(table.name)} AS c LEFT JOIN {quote(key.parent)} AS p ON {equal} "
        f"WHERE {_filled(key)} AND p.{quote(parents[0])} IS NULL"
    )


def _filled(key: SourceForeignKey) -> str:
    return " AND ".join(f"c.{quote(column)} IS NOT NULL" for column in key.columns)


async def _parent_columns(connection: aiosqlite.Connection, key: SourceForeignKey) -> list[str]:
    """Return the parent's columns the key names, or means; [] when the parent has none of them."""
    rows = await query(connection, "SELECT name, pk FROM pragma_table_xinfo(?)", (key.parent,))
    if not key.parent_columns:
        return [name for name, pk in sorted(rows, key=lambda row: int(row[1])) if pk]
    known = {str(name).lower() for name, _ in rows}
    return list(key.parent_columns) if all(c.lower() in known for c in key.parent_columns) else []
