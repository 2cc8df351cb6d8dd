"""Triggers that a run has made, kept still while it writes rows of the source.

What such a trigger would count, log or touch came with the source already.
Source: PostgreSQL documentation, "ALTER TABLE" (DISABLE TRIGGER), "pg_trigger" (tgtype, tgenabled).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from copier.plan.names import qualify, quote
from copier.postgres.ledger_tables import Connection

_ACTIVE = """
SELECT tgname FROM pg_catalog.pg_trigger
WHERE tgrelid = $1::pg_catalog.regclass AND tgname = ANY ($2) AND tgenabled = 'O' AND tgtype & 4 <> 0
ORDER BY tgname
"""
"""Triggers that run on INSERT (bit 4)."""


@asynccontextmanager
async def kept_still(connection: Connection, schema: str, table: str, names: Sequence[str]) -> AsyncIterator[None]:
    """Keep triggers of a target table from running. Needs a transaction: an error ends it, and so restores them."""
    full = qualify(schema, table)
    rows = await connection.fetch(_ACTIVE, full, list(names)) if names else []
    active = [row["tgname"] for row in rows]
    if active:
        await connection.execute(_switch(full, "DISABLE", active))
    yield
    if active:
        # A table with checks yet to come is not altered; a deferred foreign key has its say now.
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await connection.execute(_switch(full, "ENABLE", active))


def _switch(full: str, word: str, names: Sequence[str]) -> str:
    return f"ALTER TABLE {full} " + ", ".join(f"{word} TRIGGER {quote(name)}" for name in names)
