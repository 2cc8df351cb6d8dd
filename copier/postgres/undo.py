"""Taking back what a run wrote into a table, row by row: by the transactions the ledger knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from copier.plan.names import qualify, quote
from copier.postgres.ledger import Ledger
from copier.postgres.ledger_tables import Connection

ACTING_KEYS = """
SELECT k.conname::text AS name, k.confdeltype::text AS action, p.relname::text AS parent,
       n.nspname::text AS schema, c.relname::text AS child,
       ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (n, i) JOIN pg_attribute a
             ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY i) AS columns,
       ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (n, i) JOIN pg_attribute a
             ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY i) AS parent_columns
FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confdeltype IN ('c', 'n', 'd')
  AND p.relnamespace = $1::regnamespace AND p.relname::text = ANY ($2::text[])
ORDER BY 4, 5, 1
"""
"""Foreign keys that act ON DELETE, to the tables $2 of the schema $1 (quoted)."""
_ACTIONS = {"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


@dataclass(frozen=True, slots=True)
class Dragged:
    """Rows of others that deleting the run's rows would delete or change through a foreign key."""

    table: str
    constraint: str
    action: str
    """What stands behind ON DELETE."""
    rows: int


def xmin_filter(xids: list[int], alias: str = "") -> str:
    """Return a WHERE condition for rows that these transactions wrote and nobody changed since.

    xmin holds the low 32 bits of a transaction id, and keeps them when the row is frozen (PostgreSQL docs, "System
    Columns").
    """
    low = ",".join(f"'{xid & 0xFFFFFFFF}'" for xid in sorted(set(xids)))
    return f"{alias + '.' if alias else ''}xmin::text = ANY (ARRAY[{low}]::text[])"


def lock_sql(schema: str, table: str) -> str:
    """Return the statement that makes writers wait; readers, and a dump, do not."""
    return f"LOCK TABLE {qualify(schema, table)} IN SHARE ROW EXCLUSIVE MODE"


def count_sql(schema: str, table: str, xids: list[int]) -> str:
    """Return the query that counts the rows of these transactions (`ours`) and all of them (`all_rows`)."""
    condition = xmin_filter(xids) if xids else "false"
    return f"SELECT count(*) FILTER (WHERE {condition}) AS ours, count(*) AS all_rows FROM {qualify(schema, table)}"


def delete_sql(schema: str, table: str, xids: list[int]) -> str:
    """Return the statement that deletes the rows of these transactions."""
    return f"DELETE FROM {qualify(schema, table)} WHERE {xmin_filter(xids)}"


@dataclass(frozen=True, slots=True)
class ActingKey:
    """A foreign key of rows that may stay to rows about to be deleted, that acts ON DELETE."""

    schema: str
    table: str
    name: str
    action: str
    """What stands behind ON DELETE."""
    count_sql: str
    """Counts the rows that stay and would be deleted or changed; '' for a table that is dropped before."""


async def acting_keys(
    connection: Connection, schema: str, written: Mapping[str, list[int]], gone: frozenset[str]
) -> list[ActingKey]:
    """Return the keys that act on deleting rows.

    `written` is target table -> the transactions whose rows will be deleted; `gone` are the tables of the schema that
    are dropped before that, with their keys.
    """
    tables = [table for table, xids in written.items() if xids]
    found = []
    for key in await connection.fetch(ACTING_KEYS, quote(schema), tables):
        dropped = key["schema"] == schema and key["child"] in gone
        sql = "" if dropped else _dragged_sql(key, schema, written)
        found.append(ActingKey(key["schema"], key["child"], key["name"], _ACTIONS[key["action"]], sql))
    return found


def _dragged_sql(key: asyncpg.Record, schema: str, written: Mapping[str, list[int]]) -> str:
    own = written.get(key["child"], []) if key["schema"] == schema else []
    equal = " AND ".join(
        f"p.{quote(p)} = c.{quote(c)}" for c, p in zip(key["columns"], key["parent_columns"], strict=True)
    )
    others = f" AND NOT {xmin_filter(own, 'c')}" if own else ""
    return (
        f"SELECT count(*) FROM {qualify(key['schema'], key['child'])} c WHERE EXISTS (SELECT FROM"
        f" {qualify(schema, key['parent'])} p WHERE {equal} AND {xmin_filter(written[key['parent']], 'p')}){others}"
    )


async def find_dragged(connection: Connection, keys: Sequence[ActingKey]) -> list[Dragged]:
    """Count the rows of others that refer to rows about to be deleted, by a key that acts ON DELETE."""
    found = []
    for key in keys:
        rows = await connection.fetchval(key.count_sql) if key.count_sql else 0
        if rows:
            found.append(Dragged(key.table, key.name, key.action, rows))
    return found


async def delete_written_rows(
    connection: Connection, ledger: Ledger, run: str, source: str, schema: str, table: str
) -> int:
    """Delete the rows of a table that the run's chunks wrote, with their ledger rows; return how many rows."""
    xids = await ledger.chunks.xids(connection, run, source)
    if not xids:
        return 0
    status = await connection.execute(delete_sql(schema, table, xids))
    await ledger.chunks.forget(connection, run, source)
    return int(status.rpartition(" ")[2])
