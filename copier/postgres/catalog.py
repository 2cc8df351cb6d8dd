"""What is on the target already: tables, columns, keys and indexes of one schema, read from pg_catalog."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from asyncpg import Record

from copier.plan.existing import ExistingColumn, ExistingTable
from copier.plan.names import qualify
from copier.plan.pgtype import CASTS, PgType
from copier.postgres.connect import Connection


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """One column. `type` is None for a type the copier cannot write (arrays, intervals ...); `type_text` names it."""

    name: str
    type: PgType | None
    type_text: str
    not_null: bool = False
    default: str | None = None
    """Default as SQL, the column's or its domain's; for a generated column its expression."""
    identity: bool = False
    identity_always: bool = False
    """GENERATED ALWAYS AS IDENTITY: COPY writes it all the same."""
    generated: bool = False
    enum_labels: tuple[str, ...] = ()
    collation: str | None = None
    """Name of a collation other than the type's own."""
    sequence: str | None = None
    """Quoted, qualified name of the sequence this column owns (identity or serial)."""

    def as_existing(self) -> ExistingColumn:
        """Return the column as the planner wants it."""
        return ExistingColumn(
            self.name, self.type, self.type_text, self.not_null, self.default, self.identity, self.generated
        )


@dataclass(frozen=True, slots=True)
class TargetKey:
    """A primary key or unique constraint, columns in key order."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetIndex:
    """One index; `constraint` names the constraint it serves, if any."""

    name: str
    unique: bool
    definition: str
    constraint: str | None = None
    valid: bool = True


@dataclass(frozen=True, slots=True)
class TargetTable:
    """One table, partitioned tables included; views and foreign tables are not tables."""

    schema: str
    name: str
    owner: str
    columns: tuple[TargetColumn, ...]
    primary_key: TargetKey | None = None
    unique: tuple[TargetKey, ...] = ()
    indexes: tuple[TargetIndex, ...] = ()
    is_empty: bool | None = True
    """Whether it has no row; None when the role may not read it."""
    partitioned: bool = False
    row_security: bool = False
    """Row-level security applies to this role: COPY FROM is refused then."""

    def column(self, name: str) -> TargetColumn | None:
        """Return the column called exactly `name`."""
        return next((c for c in self.columns if c.name == name), None)

    def as_existing(self) -> ExistingTable:
        """Return the table as the planner wants it."""
        key = self.primary_key.columns if self.primary_key else ()
        return ExistingTable(self.name, tuple(c.as_existing() for c in self.columns), key)


@dataclass(frozen=True, slots=True)
class TargetSchema:
    """One schema. `exists` is False when there is no such schema; its tables are then ()."""

    name: str
    exists: bool
    tables: tuple[TargetTable, ...] = ()
    other_names: tuple[str, ...] = ()
    """Views, sequences, foreign tables and types, whose names a new table cannot take."""

    def table(self, name: str) -> TargetTable | None:
        """Return the table called exactly `name`."""
        return next((t for t in self.tables if t.name == name), None)


_TABLES = """
SELECT c.oid, c.relname::text AS name, pg_get_userbyid(c.relowner)::text AS owner, c.relkind = 'p' AS partitioned,
       row_security_active(c.oid) AS row_security,
       has_any_column_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE') AS readable
FROM pg_catalog.pg_class c WHERE c.relnamespace = $1 AND c.relkind IN ('r', 'p') ORDER BY c.relname
"""

_COLUMNS = """
WITH RECURSIVE base AS (
    SELECT t.oid AS start, t.oid, t.typtype, t.typbasetype, -1 AS typmod FROM pg_catalog.pg_type t
    UNION ALL
    SELECT b.start, t.oid, t.typtype, t.typbasetype, d.typtypmod FROM base b
    JOIN pg_catalog.pg_type d ON d.oid = b.oid JOIN pg_catalog.pg_type t ON t.oid = d.typbasetype
    WHERE b.typtype = 'd'
)
SELECT a.attrelid, a.attname::text AS name, a.attnotnull OR declared.typnotnull AS not_null,
       format_type(a.atttypid, a.atttypmod) AS type_text, t.typname::text AS type_name, tn.nspname::text AS type_schema,
       t.typtype = 'e' AS is_enum, declared.typtype = 'd' AS is_domain,
       CASE WHEN declared.typtype = 'd' THEN base.typmod ELSE a.atttypmod END AS typmod,
       coalesce(pg_get_expr(d.adbin, d.adrelid), declared.typdefault) AS "default",
       a.attidentity <> '' AS identity, a.attidentity = 'a' AS identity_always, a.attgenerated <> '' AS generated,
       CASE WHEN a.attcollation <> declared.typcollation THEN co.collname::text END AS collation,
       CASE WHEN t.typtype = 'e' THEN ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
           WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) END AS enum_labels,
       (SELECT min(s.oid::regclass::text) FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_class s ON s.oid = p.objid
        WHERE p.classid = 'pg_catalog.pg_class'::regclass AND p.refclassid = 'pg_catalog.pg_class'::regclass
          AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i') AND s.relkind = 'S'
       ) AS sequence
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type declared ON declared.oid = a.atttypid
JOIN base ON base.start = a.atttypid AND base.typtype <> 'd'
JOIN pg_catalog.pg_type t ON t.oid = base.oid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""

_KEYS = """
SELECT c.conrelid, c.conname::text AS name, c.contype::text AS kind,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k(num, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num ORDER BY k.place) AS columns
FROM pg_catalog.pg_constraint c WHERE c.conrelid = ANY($1::oid[]) AND c.contype IN ('p', 'u') ORDER BY c.conname
"""

_INDEXES = """
SELECT i.indrelid, c.relname::text AS name, i.indisunique AS "unique", pg_get_indexdef(i.indexrelid) AS definition,
       con.conname::text AS "constraint", i.indisvalid AS valid
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_constraint con ON con.conindid = i.indexrelid AND con.contype IN ('p', 'u', 'x')
WHERE i.indrelid = ANY($1::oid[]) ORDER BY c.relname
"""

_OTHER_NAMES = """
SELECT relname::text FROM pg_catalog.pg_class WHERE relnamespace = $1 AND relkind NOT IN ('r', 'p')
UNION
SELECT typname::text FROM pg_catalog.pg_type WHERE typnamespace = $1 AND typrelid = 0 AND typelem = 0
ORDER BY 1
"""


@contextlib.asynccontextmanager
async def qualified_names(conn: Connection) -> AsyncIterator[None]:
    """Run the block in a transaction (or savepoint) in which the server qualifies every name it prints."""
    isolation: dict[str, Any] = {} if conn.is_in_transaction() else {"isolation": "repeatable_read"}
    async with conn.transaction(**isolation):
        before = await conn.fetchval("SELECT current_setting('search_path')")
        await conn.execute("SET LOCAL search_path = ''")
        yield
        await conn.execute("SELECT set_config('search_path', $1, true)", before)


async def read_target(conn: Connection, schema: str) -> TargetSchema:
    """Read one schema in one transaction. A schema that does not exist has no tables; it is no error."""
    async with qualified_names(conn):
        oid = await conn.fetchval("SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1", schema)
        if oid is None:
            return TargetSchema(schema, exists=False)
        tables = await conn.fetch(_TABLES, oid)
        oids = [one["oid"] for one in tables]
        columns = _by_table(await conn.fetch(_COLUMNS, oids), "attrelid")
        keys = _by_table(await conn.fetch(_KEYS, oids), "conrelid")
        indexes = _by_table(await conn.fetch(_INDEXES, oids), "indrelid")
        found = [
            _table(schema, one, columns.get(one["oid"], []), keys.get(one["oid"], []), indexes.get(one["oid"], []),
                   await _is_empty(conn, schema, one))
            for one in tables
        ]  # fmt: skip
        others = [one[0] for one in await conn.fetch(_OTHER_NAMES, oid)]
    return TargetSchema(schema, True, tuple(found), tuple(others))


def _by_table(rows: list[Record], key: str) -> dict[int, list[Record]]:
    grouped: dict[int, list[Record]] = {}
    for row in rows:
        grouped.setdefault(row[key], []).append(row)
    return grouped


async def _is_empty(conn: Connection, schema: str, table: Record) -> bool | None:
    if not table["readable"]:
        return None
    return not await conn.fetchval(f"SELECT EXISTS (SELECT FROM {qualify(schema, table['name'])})")


def _table(
    schema: str, row: Record, columns: list[Record], keys: list[Record], indexes: list[Record], is_empty: bool | None
) -> TargetTable:
    named = [(key["kind"], TargetKey(key["name"], tuple(key["columns"]))) for key in keys]
    return TargetTable(
        schema=schema,
        name=row["name"],
        owner=row["owner"],
        columns=tuple(_column(column) for column in columns),
        primary_key=next((key for kind, key in named if kind == "p"), None),
        unique=tuple(key for kind, key in named if kind == "u"),
        indexes=tuple(
            TargetIndex(i["name"], i["unique"], i["definition"], i["constraint"], i["valid"]) for i in indexes
        ),
        is_empty=is_empty,
        partitioned=row["partitioned"],
        row_security=row["row_security"],
    )


def _column(row: Record) -> TargetColumn:
    return TargetColumn(
        name=row["name"],
        type=_type(row),
        type_text=row["type_text"],
        not_null=row["not_null"],
        default=row["default"],
        identity=row["identity"],
        identity_always=row["identity_always"],
        generated=row["generated"],
        enum_labels=tuple(row["enum_labels"] or ()),
        collation=row["collation"],
        sequence=row["sequence"],
    )


_TEXT_LIKE = frozenset({("pg_catalog", "name")})


def _type(row: Record) -> PgType | None:
    """What travels on the wire; a domain's values travel as its base type's."""
    schema, name, typmod = row["type_schema"], row["type_name"], row["typmod"]
    if schema == "pg_catalog" and name in CASTS:
        return PgType(name, _args(name, typmod))
    # enum_recv and citextrecv take the characters themselves, as textrecv does
    if row["is_enum"] or name == "citext" or (schema, name) in _TEXT_LIKE:
        return PgType("text", name=(schema, name))
    return None


def _args(name: str, typmod: int) -> tuple[int, ...]:
    """Decode pg_attribute.atttypmod (src/backend/utils/adt/numeric.c, varchar.c): 4 bytes of header, then the value.

    A numeric's scale is 11 bits, signed since PostgreSQL 15.
    """
    if typmod < 4:
        return ()
    value = typmod - 4
    if name in ("varchar", "bpchar"):
        return (value,)
    if name == "numeric":
        return (value >> 16 & 0xFFFF, ((value & 0x7FF) ^ 1024) - 1024)
    return ()
