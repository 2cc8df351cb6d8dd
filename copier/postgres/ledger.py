"""The ledger: what runs did, in the target itself.

Chunk rows are committed in the transaction that carries their data, objects in the transaction that creates them: what
the ledger says is what the target holds, whatever moment the copier was killed at. docs/resume.md has the argument.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import orjson
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from copier.plan.names import quote
from copier.postgres.ledger_chunks import Chunks, Rejects
from copier.postgres.ledger_objects import Objects
from copier.postgres.ledger_rejects import OpenRejects
from copier.postgres.ledger_tables import (
    DDL,
    DEFAULT_SCHEMA,
    FORMAT,
    LATER_COLUMNS,
    Connection,
    LedgerTables,
)
from copier.postgres.ledger_undo import (
    ANY_RUN,
    FORGET_RUN,
    LATER_RUNS,
    OURS,
    OURS_ALONE,
    drop_schema,
    drop_tables,
)
from copier.postgres.runlock import take_lock


@dataclass(frozen=True, slots=True)
class Run:
    """One row of the run table."""

    id: str
    command: str
    source: str
    target_schema: str
    setup: str
    setup_parts: dict[str, str]
    attempts: int = 0
    outcome: str | None = None
    finished_at: datetime | None = None
    started_at: datetime | None = None
    """None before it is recorded."""


class Ledger:
    """Runs and their tables; `chunks`, `rejects` and `objects` hold the rest.

    Every method works on the connection, and in the transaction, it is given.
    """

    def __init__(self, schema: str = DEFAULT_SCHEMA) -> None:
        tables = LedgerTables(schema)
        self.schema = schema
        self.names = tables
        self.tables = tables.names
        self.sql = tables.sql
        self.chunks = Chunks(tables)
        self.rejects = Rejects(tables)
        self.open_rejects = OpenRejects(tables)
        self.objects = Objects(tables)

    async def exists(self, connection: Connection) -> bool:
        """Whether the ledger is there."""
        found = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", self.tables["run"])
        return bool(found)

    async def upgrade(self, connection: Connection) -> bool:
        """Whether the ledger is there; one of an earlier version gets what it lacks."""
        if not await self.exists(connection):
            return False
        there = await connection.fetch(
            "SELECT r.name, a.attname FROM unnest($1::text[], $2::text[]) AS r(name, regclass)"
            " JOIN pg_attribute a ON a.attrelid = to_regclass(r.regclass)",
            *(list(self.tables), list(self.tables.values())),
        )
        # Asked first, since ALTER TABLE waits for every run that writes, also where there is nothing to add.
        for table, column in LATER_COLUMNS.keys() - {tuple(row) for row in there}:
            definition = LATER_COLUMNS[table, column]
            await connection.execute(f"ALTER TABLE {self.tables[table]} ADD COLUMN IF NOT EXISTS {column} {definition}")
        return True

    async def create(self, connection: Connection) -> None:
        """Create schema and tables where they are missing."""
        if await self.upgrade(connection):
            return
        async with connection.transaction():
            known = await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", self.schema)
            if not known:
                await connection.execute(f"CREATE SCHEMA {quote(self.schema)}")
                await connection.execute(f"COMMENT ON SCHEMA {quote(self.schema)} IS '{OURS}'")
            await connection.execute(self.sql(DDL))

    async def drop_if_empty(self, connection: Connection) -> None:
        """Remove the ledger when no run is left in it; the schema too when nothing else is in it and it is ours."""
        if await connection.fetchval(self.sql(ANY_RUN)):
            return
        for statement in drop_tables(self.names):
            await connection.execute(statement)
        if await connection.fetchval(OURS_ALONE, *(self.schema, OURS)):
            await connection.execute(drop_schema(self.names))

    async def lock(self, connection: Connection, target_schema: str) -> None:
        """Take the session lock that keeps a second run away from the same schema; RunBusy says who holds it."""
        await take_lock(connection, target_schema, self.tables["run"])

    async def unfinished(self, connection: Connection, target_schema: str) -> Run | None:
        """Return the newest run into the schema that has not ended, if there is one."""
        row = await connection.fetchrow(
            self.sql(
                "SELECT * FROM {run} WHERE target_schema = $1 AND finished_at IS NULL ORDER BY started_at DESC LIMIT 1"
            ),
            target_schema,
        )
        return _run(row) if row else None

    async def latest(self, connection: Connection, target_schema: str | None, run: str | None = None) -> Run | None:
        """Return the run called `run`, or the newest one."""
        row = await connection.fetchrow(
            self.sql(
                "SELECT * FROM {run} WHERE ($1::text IS NULL OR target_schema = $1) AND ($2::text IS NULL OR id = $2)"
                " ORDER BY started_at DESC LIMIT 1"
            ),
            target_schema,
            run,
        )
        return _run(row) if row else None

    async def latest_data(self, connection: Connection, target_schema: str | None) -> Run | None:
        """Return the newest run that brought data into the schema, or into any."""
        row = await connection.fetchrow(
            self.sql(
                "SELECT * FROM {run} WHERE ($1::text IS NULL OR target_schema = $1) AND command IN ('full', 'data')"
                " ORDER BY started_at DESC LIMIT 1"
            ),
            target_schema,
        )
        return _run(row) if row else None

    async def plan_text(self, connection: Connection, run: str) -> str:
        """Return the plan a run recorded, as its file."""
        text = await connection.fetchval(self.sql("SELECT plan FROM {run} WHERE id = $1"), run)
        assert isinstance(text, str)
        return text

    async def begin_run(
        self, connection: Connection, run: Run, plan_text: str, tables: Sequence[tuple[str, str, bool, int, int]]
    ) -> None:
        """Record a new run and its tables: (source, target, existing, rows before, source rows)."""
        async with connection.transaction():
            await connection.execute(
                self.sql(
                    "INSERT INTO {run}"
                    " (id, format, command, source, target_schema, setup, setup_parts, host, pid, plan)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7::text::json, $8, $9, $10)"
                ),
                *(run.id, FORMAT, run.command, run.source, run.target_schema, run.setup),
                orjson.dumps(run.setup_parts).decode(),
                *(socket.gethostname(), os.getpid(), plan_text),
            )
            await connection.executemany(
                self.sql(
                    "INSERT INTO {run_table} (run, source, target, existing, rows_before, source_rows)"
                    " VALUES ($1, $2, $3, $4, $5, $6)"
                ),
                [(run.id, *table) for table in tables],
            )

    async def resume_run(self, connection: Connection, run: str) -> int:
        """Count one more attempt and return its number (1 for the first resume), with no chunk left under way.

        A backend whose copier was killed may still be committing, or wait for a client that is gone: the update waits
        for its lock on the run's row, and after a moment ends it. The caller holds the lock of the schema, so no such
        backend belongs to a live run.
        """
        statement = self.sql(
            "UPDATE {run} SET attempts = attempts + 1, host = $2, pid = $3 WHERE id = $1 RETURNING attempts"
        )
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(asyncpg.LockNotAvailableError), stop=stop_after_attempt(5), reraise=True
        ):
            with attempt:
                try:
                    async with connection.transaction():
                        await connection.execute("SET LOCAL lock_timeout = '3s'")
                        # The foreign key of a chunk under way shares a lock on its table's row.
                        await connection.execute(self.sql("SELECT FROM {run_table} WHERE run = $1 FOR UPDATE"), run)
                        number = await connection.fetchval(statement, *(run, socket.gethostname(), os.getpid()))
                except asyncpg.LockNotAvailableError:
                    await self._end_stale_writers(connection)
                    raise
        assert isinstance(number, int)
        return number

    async def _end_stale_writers(self, connection: Connection) -> None:
        await connection.execute(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.relation = to_regclass($1) AND l.pid <> pg_backend_pid()"
            " AND a.usename = current_user AND a.application_name = current_setting('application_name')",
            self.tables["chunk"],
        )

    async def end_run(self, connection: Connection, run: str, outcome: str, report: bytes) -> None:
        """Close the run."""
        await connection.execute(
            self.sql(
                "UPDATE {run} SET outcome = $2, finished_at = clock_timestamp(), report = $3::text::json WHERE id = $1"
            ),
            *(run, outcome, report.decode()),
        )

    async def later_runs(self, connection: Connection, run: str) -> list[str]:
        """Return the runs after this one that worked on any of its target tables, the newest first."""
        rows = await connection.fetch(self.sql(LATER_RUNS), run)
        return [row["id"] for row in rows]

    async def delete_run(self, connection: Connection, run: str) -> None:
        """Forget a run and everything under it."""
        await connection.execute(self.sql(FORGET_RUN), run)

    async def table_states(self, connection: Connection, run: str) -> dict[str, asyncpg.Record]:
        """Return source table -> its run_table row."""
        rows = await connection.fetch(self.sql("SELECT * FROM {run_table} WHERE run = $1"), run)
        return {row["source"]: row for row in rows}

    async def set_copied(self, connection: Connection, run: str, seconds: Mapping[str, float]) -> None:
        """Move tables from `pending` to `copied`, each after so many seconds; the commit is synchronous by default."""
        await connection.execute(
            self.sql(
                "UPDATE {run_table} t SET state = 'copied', finished_at = clock_timestamp(),"
                " started_at = clock_timestamp() - make_interval(secs => d.seconds)"
                " FROM unnest($2::text[], $3::float8[]) AS d(source, seconds) WHERE t.run = $1 AND t.source = d.source"
            ),
            *(run, list(seconds), list(seconds.values())),
        )

    async def set_built(self, connection: Connection, run: str, sources: Sequence[str]) -> None:
        """Move tables from `copied` to `built`."""
        await connection.execute(
            self.sql("UPDATE {run_table} SET state = 'built' WHERE run = $1 AND source = ANY ($2::text[])"),
            *(run, list(sources)),
        )


def _run(row: asyncpg.Record) -> Run:
    return Run(
        id=row["id"],
        command=row["command"],
        source=row["source"],
        target_schema=row["target_schema"],
        setup=row["setup"],
        setup_parts=orjson.loads(row["setup_parts"]),
        attempts=row["attempts"],
        outcome=row["outcome"],
        finished_at=row["finished_at"],
        started_at=row["started_at"],
    )
