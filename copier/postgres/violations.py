"""Rows that a constraint which is NOT VALID would refuse, counted where they are: in the target.

What the source had is no answer: two spellings of a UUID are no parent and child in SQLite and are here, a parent that
was rejected is missing here only, and rows may have been corrected since.
Source: PostgreSQL documentation, "CREATE TABLE" (MATCH SIMPLE; CHECK), "pg_constraint".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from copier.plan.names import qualify, quote
from copier.postgres.connect import Connection

_NOT_VALID = """
SELECT k.oid, c.relname::text AS "table", k.conname::text AS name, k.contype::text = 'f' AS foreign,
       pn.nspname::text AS parent_schema, p.relname::text AS parent,
       pg_get_expr(k.conbin, k.conrelid) AS expression,
       ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (n, i) JOIN pg_attribute a
             ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY i) AS columns,
       ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (n, i) JOIN pg_attribute a
             ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY i) AS parent_columns
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_class p ON p.oid = k.confrelid LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE c.relnamespace = $1::regnamespace AND c.relname = ANY ($2::text[]) AND NOT k.convalidated ORDER BY 2, 3
"""


@dataclass(frozen=True, slots=True)
class NotValid:
    """A foreign key or check that is NOT VALID. `rows` violate it; None where the role may not read them."""

    table: str
    name: str
    rows: int | None


async def find_not_valid(connection: Connection, schema: str, tables: Sequence[str]) -> list[NotValid]:
    """Return the constraints of these target tables that are NOT VALID, each with its rows counted."""
    found = await connection.fetch(_NOT_VALID, quote(schema), list(tables))
    return [NotValid(row["table"], row["name"], await _count(connection, schema, row)) for row in found]


async def _count(connection: Connection, schema: str, row: asyncpg.Record) -> int | None:
    try:
        count = await connection.fetchval(_violating(schema, row))
    except asyncpg.InsufficientPrivilegeError:
        return None
    return int(count)


def _violating(schema: str, row: asyncpg.Record) -> str:
    table = qualify(schema, row["table"])
    if not row["foreign"]:
        return f"SELECT count(*) FROM {table} WHERE NOT ({row['expression']})"
    pairs = [(quote(c), quote(p)) for c, p in zip(row["columns"], row["parent_columns"], strict=True)]
    filled = " AND ".join(f"c.{column} IS NOT NULL" for column, _ in pairs)
    equal = " AND ".join(f"p.{parent} = c.{column}" for column, parent in pairs)
    parent = qualify(row["parent_schema"], row["parent"])
    return f"SELECT count(*) FROM {table} c WHERE {filled} AND NOT EXISTS (SELECT FROM {parent} p WHERE {equal})"
