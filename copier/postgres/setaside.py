"""Secondary indexes, foreign keys and triggers of existing tables: taken off for a load, put back after it.

Primary keys and whatever enforces uniqueness stay. Nothing is taken off that could not be put back exactly: the role
must own the table and may create in the schema, and an index with properties CREATE INDEX does not say (tablespace,
comment, clustering, replica identity, statistics) stays where it is. Callers record the items before they execute them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import asyncpg

from copier.plan.names import literal, qualify, quote
from copier.postgres.catalog import qualified_names
from copier.postgres.connect import Connection
from copier.postgres.failures import is_transient, is_trouble

Kind = Literal["trigger", "foreign key", "index"]
_DROP_ORDER: dict[str, int] = {"trigger": 0, "foreign key": 1, "index": 2}

THEN = ";\n-- then\n"
"""Between the statements of a `restore_sql`. Each is tried by itself: a foreign key that cannot be validated stays, NOT
VALID. The whole is also what psql can run."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """One object to take off and put back. `table` is the target table; names are not quoted."""

    kind: str
    """trigger, foreign key or index."""
    name: str
    table: str
    drop_sql: str
    restore_sql: str


_TRIGGERS = """
SELECT c.relname::text AS "table", t.tgname::text AS name, t.tgenabled::text AS state
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = $1::regnamespace AND c.relname::text = ANY($2::text[]) AND pg_has_role(c.relowner, 'USAGE')
  AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
ORDER BY 1, 2
"""

_FOREIGN_KEYS = """
SELECT c.relname::text AS "table", k.conname::text AS name, pg_get_constraintdef(k.oid) AS definition,
       k.convalidated AS validated, c.relkind = 'p' AS partitioned, obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
WHERE c.relnamespace = $1::regnamespace AND c.relname::text = ANY($2::text[]) AND pg_has_role(c.relowner, 'USAGE')
  AND k.contype = 'f' AND k.conparentid = 0 AND has_table_privilege(k.confrelid, 'REFERENCES')
ORDER BY 1, 2
"""

_INDEXES = """
SELECT c.relname::text AS "table", ic.relname::text AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
WHERE c.relnamespace = $1::regnamespace AND c.relname::text = ANY($2::text[]) AND pg_has_role(c.relowner, 'USAGE')
  AND has_schema_privilege(c.relnamespace, 'CREATE')
  AND c.relkind = 'r' AND NOT ic.relispartition AND NOT i.indisunique AND i.indisvalid
  AND NOT i.indisclustered AND NOT i.indisreplident AND ic.reltablespace = 0
  AND obj_description(ic.oid, 'pg_class') IS NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = ic.oid AND d.deptype = 'x')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = ic.oid AND a.attstattarget >= 0)
ORDER BY 1, 2
"""


async def find_set_aside(conn: Connection, schema: str, tables: Sequence[str]) -> list[SetAside]:
    """Return what should be taken off these tables for a load, in the order to take it off.

    Only foreign keys FROM these tables are in the way of rows; those that refer to them are not.
    """
    names = list(tables)
    async with qualified_names(conn):
        if await conn.fetchval("SELECT to_regnamespace($1)", quote(schema)) is None:
            return []
        arguments = (quote(schema), names)
        triggers = await conn.fetch(_TRIGGERS, *arguments)
        foreign_keys = await conn.fetch(_FOREIGN_KEYS, *arguments)
        indexes = await conn.fetch(_INDEXES, *arguments)
    return [
        *(_trigger(schema, *row) for row in triggers),
        *(_foreign_key(schema, *row) for row in foreign_keys),
        *(_index(schema, *row) for row in indexes),
    ]


def _trigger(schema: str, table: str, name: str, state: str) -> SetAside:
    alter = f"ALTER TABLE {qualify(schema, table)}"
    enable = "ENABLE ALWAYS" if state == "A" else "ENABLE"
    return SetAside(
        "trigger", name, table, f"{alter} DISABLE TRIGGER {quote(name)}", f"{alter} {enable} TRIGGER {quote(name)}"
    )


def _foreign_key(
    schema: str, table: str, name: str, definition: str, validated: bool, partitioned: bool, comment: str | None
) -> SetAside:
    alter = f"ALTER TABLE {qualify(schema, table)}"
    add = f"{alter} ADD CONSTRAINT {quote(name)} {definition}"
    steps = [add]
    if validated and not partitioned and "NOT ENFORCED" not in definition:  # partitioned tables take no NOT VALID yet
        steps = [f"{add} NOT VALID", f"{alter} VALIDATE CONSTRAINT {quote(name)}"]
    if comment is not None:
        steps.append(f"COMMENT ON CONSTRAINT {quote(name)} ON {qualify(schema, table)} IS {literal(comment)}")
    return SetAside("foreign key", name, table, f"{alter} DROP CONSTRAINT {quote(name)}", THEN.join(steps))


def _index(schema: str, table: str, name: str, definition: str) -> SetAside:
    return SetAside("index", name, table, f"DROP INDEX {qualify(schema, name)}", definition)


async def set_aside(conn: Connection, items: Iterable[SetAside]) -> None:
    """Take the items off. Run it in the transaction that records them."""
    for item in sorted(items, key=lambda one: _DROP_ORDER[one.kind]):
        await conn.execute(item.drop_sql)


async def put_back(
    conn: Connection, items: Iterable[SetAside], done: list[str] | None = None
) -> list[tuple[SetAside, str]]:
    """Put the items back: indexes, then foreign keys, then triggers; return those refused, with the server's words.

    Each statement has a savepoint (or transaction) of its own. An item that is there already is no error, so that a
    run killed in between can simply repeat this. A lost connection raises. `done` gets the statements that were run.
    """
    refused = []
    for item in sorted(items, key=lambda one: -_DROP_ORDER[one.kind]):
        words = [said for step in item.restore_sql.split(THEN) if (said := await _try(conn, step, done))]
        if words:
            refused.append((item, "; ".join(words)))
    return refused


async def _try(conn: Connection, statement: str, done: list[str] | None) -> str:
    """Return '' when the server did it or had it done already, else its words."""
    try:
        async with conn.transaction():
            await conn.execute(statement)
    except (asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError):
        return ""
    except asyncpg.PostgresError as error:
        if is_transient(error) or is_trouble(error):
            raise
        detail = getattr(error, "detail", None)
        return f"{error}: {detail}" if detail and detail not in str(error) else str(error)
    if done is not None:
        done.append(statement)
    return ""
