"""What the ledger does when a run is taken back, as SQL that `rollback` runs and its script prints."""

from __future__ import annotations

from copier.plan.names import quote
from copier.postgres.ledger_tables import NAMES, LedgerTables

OURS = "the ledger of sqlite2pg"
"""Comment on a schema that the ledger created: with its last run it goes again."""

LATER_RUNS = (
    "SELECT DISTINCT later.id, later.started_at FROM {run} r JOIN {run} later"
    " ON later.target_schema = r.target_schema AND later.started_at > r.started_at"
    " JOIN {run_table} mine ON mine.run = r.id"
    " JOIN {run_table} theirs ON theirs.run = later.id AND theirs.target = mine.target"
    " WHERE r.id = $1 ORDER BY later.started_at DESC"
)
"""The runs after $1 that worked on any of its target tables, the newest first."""

FORGET_RUN = "DELETE FROM {run} WHERE id = $1"
"""Everything under the run goes with it (ON DELETE CASCADE)."""

ANY_RUN = "SELECT EXISTS (SELECT FROM {run})"

OURS_ALONE = (
    "SELECT obj_description(n.oid, 'pg_namespace') = $2 AND NOT EXISTS"
    " (SELECT FROM pg_class c WHERE c.relnamespace = n.oid) FROM pg_namespace n WHERE n.nspname = $1"
)
"""Whether the schema $1 bears the comment $2 and holds nothing; no row when it is not there."""


def drop_tables(tables: LedgerTables) -> list[str]:
    """Return the statements that drop the ledger's tables."""
    return [f"DROP TABLE {tables.names[name]}" for name in reversed(NAMES)]


def drop_schema(tables: LedgerTables) -> str:
    """Return the statement that drops the ledger's schema."""
    return f"DROP SCHEMA {quote(tables.schema)}"
