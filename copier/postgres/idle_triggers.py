"""Triggers of existing tables that would have filled a column the copy leaves empty.

Triggers are set aside for a load: what they derive, count or log came from the source already. A column that the source
does not have, such as a tsvector, did not. Source: PostgreSQL documentation, "pg_trigger" (tgtype, tgargs).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import asyncpg

from copier.plan.names import qualify, quote
from copier.postgres.connect import Connection

_IDLE = """
SELECT t.tgname::text AS name, (t.tgtype & 16) > 0 AS on_update,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attname::text = ANY ($2::text[])) AS read,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE NOT a.atthasdef AND a.attidentity = ''
           AND a.attname::text <> ALL ($2::text[])) AS left_empty
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_attribute a ON a.attrelid = t.tgrelid
WHERE t.tgrelid = to_regclass($1) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND (t.tgtype & 7) = 7
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  AND (strpos(lower(p.prosrc), lower(a.attname::text)) > 0 OR strpos(encode(t.tgargs, 'escape'), a.attname::text) > 0)
GROUP BY t.tgname, t.tgtype ORDER BY 1
"""
"""Row triggers before INSERT (bits 1, 2 and 4), with the columns their function or arguments name."""


@dataclass(frozen=True, slots=True)
class IdleTrigger:
    """A trigger that did not run for the copied rows, and what it would have filled."""

    name: str
    columns: tuple[str, ...]
    remedy: str
    """What to do about it: a statement, where the trigger runs on UPDATE too."""


async def idle_triggers(connection: Connection, schema: str, table: str, filled: Collection[str]) -> list[IdleTrigger]:
    """Return the idle triggers of a target table of which the copy filled the columns `filled`."""
    rows = await connection.fetch(_IDLE, qualify(schema, table), list(filled))
    return [
        IdleTrigger(row["name"], tuple(row["left_empty"]), _remedy(qualify(schema, table), row))
        for row in rows
        if row["left_empty"]
    ]


def _remedy(table: str, row: asyncpg.Record) -> str:
    """Set what the trigger reads to itself: tsvector_update_trigger, for one, looks which columns are set."""
    if not row["on_update"]:
        return f"fill them by an UPDATE of {table}"
    touched = (quote(column) for column in row["read"] or row["left_empty"])
    return f"UPDATE {table} SET {', '.join(f'{column} = {column}' for column in touched)}"
