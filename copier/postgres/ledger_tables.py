"""The tables of the ledger, and their names in whatever schema they live."""

from __future__ import annotations

import asyncpg

from copier.plan.names import qualify

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

FORMAT = 1
DEFAULT_SCHEMA = "sqlite2pg"
NAMES = ("run", "run_table", "chunk", "reject", "object")

DDL = """
CREATE TABLE {run} (
    id text PRIMARY KEY,
    format integer NOT NULL,
    command text NOT NULL,
    source text NOT NULL,
    target_schema text NOT NULL,
    setup text NOT NULL,
    setup_parts json NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    outcome text,
    host text NOT NULL,
    pid integer NOT NULL,
    plan text NOT NULL,
    report json
);
CREATE TABLE {run_table} (
    run text NOT NULL REFERENCES {run} ON DELETE CASCADE,
    source text NOT NULL,
    target text NOT NULL,
    existing boolean NOT NULL,
    rows_before bigint NOT NULL DEFAULT 0,
    source_rows bigint NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (run, source)
);
CREATE TABLE {chunk} (
    run text NOT NULL,
    source text NOT NULL,
    rank bigint[] NOT NULL,
    after_key json,
    last_key json NOT NULL,
    rows bigint NOT NULL,
    rejected bigint NOT NULL,
    bytes bigint NOT NULL,
    adjusted json,
    fallback_rows bigint NOT NULL DEFAULT 0,
    xid bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, source, rank),
    FOREIGN KEY (run, source) REFERENCES {run_table} ON DELETE CASCADE
);
CREATE TABLE {reject} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL REFERENCES {run} ON DELETE CASCADE,
    source text NOT NULL,
    key json NOT NULL,
    column_name text,
    storage_class text,
    value bytea,
    reason text NOT NULL,
    row_data json NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    resolved_at timestamptz,
    resolved_as json
);
CREATE INDEX ON {reject} (run, source);
CREATE TABLE {object} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text NOT NULL REFERENCES {run} ON DELETE CASCADE,
    kind text NOT NULL,
    name text NOT NULL,
    source_table text,
    state text NOT NULL,
    drop_sql text NOT NULL,
    restore_sql text,
    detail text NOT NULL DEFAULT ''
);
"""

LATER_COLUMNS = {
    ("chunk", "fallback_rows"): "bigint NOT NULL DEFAULT 0",
    ("reject", "resolved_at"): "timestamptz",
    ("reject", "resolved_as"): "json",
}
"""(table, column) -> definition of what ledgers of earlier versions lack."""


class LedgerTables:
    """Names of the tables: bare in the ledger's own schema, with a prefix in a schema shared with others."""

    def __init__(self, schema: str = DEFAULT_SCHEMA) -> None:
        prefix = "" if schema == DEFAULT_SCHEMA else "sqlite2pg_"
        self.schema = schema
        self.names = {name: qualify(schema, prefix + name) for name in NAMES}

    def sql(self, text: str) -> str:
        """Fill `{run}`, `{chunk}`, ... in a statement."""
        return text.format(**self.names)
