"""Ledger rows of rejects after the run: listed, tried again, resolved.

A reject is resolved in the transaction that brings its row into the table. Its row in the ledger stays, with the time
and with how its values were cast where that is not what the run's plan says: `check` reads the row's source that way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from copier.errors import RunBusy
from copier.plan.source import Key
from copier.postgres.ledger_tables import Connection, LedgerTables
from copier.wire.keys import key_from_json

INLINE_BYTES = 64 << 10
"""Larger values are fetched one at a time, so that a page of rejects stays small."""

PAGE_ROWS = 100


@dataclass(frozen=True, slots=True)
class StoredReject:
    """One reject as the ledger has it. `row_data` is JSON: `[[storage class, text], ...]` in column order."""

    id: int
    source: str
    key: Key
    column: str | None
    storage_class: str | None
    value: bytes | None
    reason: str
    row_data: str
    rejected_at: datetime


@dataclass(frozen=True, slots=True)
class Resolved:
    """One row that came in by a retry with casts of its own.

    `resolved_as` is JSON, column -> [cast, policy, default]."""

    key: str
    resolved_as: str
    row_data: str


_OPEN = "{reject} WHERE run = $1 AND source = ANY ($2::text[]) AND resolved_at IS NULL"


class OpenRejects:
    """The reject table as retries see it; every method works on the connection, and in the transaction, it is given."""

    def __init__(self, tables: LedgerTables) -> None:
        self._sql = tables.sql

    async def counts(self, connection: Connection, run: str) -> dict[str, int]:
        """Return source table -> rejects that are not resolved."""
        rows = await connection.fetch(
            self._sql(
                "SELECT source, count(*) AS n FROM {reject} WHERE run = $1 AND resolved_at IS NULL GROUP BY source"
            ),
            run,
        )
        return {row["source"]: row["n"] for row in rows}

    async def tables(self, connection: Connection, run: str) -> list[str]:
        """Return the source tables with rejects, resolved ones included."""
        rows = await connection.fetch(self._sql("SELECT DISTINCT source FROM {reject} WHERE run = $1 ORDER BY 1"), run)
        return [row["source"] for row in rows]

    async def stream(
        self, connection: asyncpg.Connection[asyncpg.Record], run: str, sources: Sequence[str]
    ) -> AsyncGenerator[StoredReject, None]:
        """Yield the rejects that are not resolved, through a cursor: memory holds a page of them, or a large value."""
        short = (
            f"SELECT id, source, key::text AS key, column_name, storage_class, reason, rejected_at,"
            f" CASE WHEN octet_length(value) <= {INLINE_BYTES} THEN value END AS value,"
            f" CASE WHEN octet_length(row_data::text) <= {INLINE_BYTES} THEN row_data::text END AS row_data"
            f" FROM {_OPEN} ORDER BY id"
        )
        whole = self._sql("SELECT value, row_data::text AS row_data FROM {reject} WHERE id = $1")
        async with connection.transaction(readonly=True):
            async for row in connection.cursor(self._sql(short), run, list(sources), prefetch=PAGE_ROWS):
                large = row["row_data"] is None or (row["value"] is None and row["storage_class"] not in (None, "null"))
                rest = await connection.fetchrow(whole, row["id"]) if large else row
                assert rest is not None
                yield StoredReject(
                    *(row["id"], row["source"], key_from_json(row["key"]), row["column_name"], row["storage_class"]),
                    *(rest["value"], row["reason"], rest["row_data"], row["rejected_at"]),
                )

    async def batch(
        self, connection: Connection, run: str, source: str, after: int, *, whole_rows: bool, rows: int, bytes: int
    ) -> list[tuple[int, str]]:
        """Return id and row of the rejects behind the id `after`: at most `rows`, about `bytes` of them, at least one.

        With `whole_rows` only those that no single column is to blame for.
        """
        found = await connection.fetch(
            self._sql(
                "SELECT id, row_data FROM (SELECT id, row_data, sum(octet_length(row_data)) OVER (ORDER BY id)"
                " - octet_length(row_data) AS before FROM (SELECT id, row_data::text AS row_data FROM {reject}"
                " WHERE run = $1 AND source = $2 AND resolved_at IS NULL AND id > $3"
                " AND (column_name IS NULL OR NOT $4::bool) ORDER BY id LIMIT $5) open) sized"
                " WHERE before < $6 ORDER BY id"
            ),
            *(run, source, after, whole_rows, rows, bytes),
        )
        return [(row["id"], row["row_data"]) for row in found]

    async def hold(self, connection: Connection, run: str, attempt: int) -> None:
        """Share a lock on the run's row, as a chunk's claim does; RunBusy when another process has taken it over."""
        held = await connection.fetchval(
            self._sql("SELECT true FROM {run} WHERE id = $1 AND attempts = $2 FOR SHARE"), *(run, attempt)
        )
        if not held:
            raise RunBusy(f"another process has taken run {run} over", hint="`sqlite2pg status` shows the run")

    async def resolve(self, connection: Connection, ids: Sequence[int], resolved_as: str | None) -> None:
        """Mark rejects as resolved. RunBusy when one of them is not there to be resolved: nothing must be committed."""
        status = await connection.execute(
            self._sql(
                "UPDATE {reject} SET resolved_at = clock_timestamp(), resolved_as = $2::text::json"
                " WHERE id = ANY ($1::bigint[]) AND resolved_at IS NULL"
            ),
            *(list(ids), resolved_as),
        )
        if int(status.rpartition(" ")[2]) != len(ids):
            raise RunBusy(
                "somebody else changed the rejects while they were tried again", hint="run the same command again"
            )

    async def explain(
        self, connection: Connection, reasons: Sequence[tuple[int, str | None, str | None, bytes | None, str]]
    ) -> None:
        """Give rejects their new (id, column, storage class, value, reason)."""
        await connection.executemany(
            self._sql(
                "UPDATE {reject} SET column_name = $2, storage_class = $3, value = $4, reason = $5"
                " WHERE id = $1 AND (column_name, reason) IS DISTINCT FROM ($2::text, $5::text)"
            ),
            reasons,
        )

    async def resolved(self, connection: Connection, run: str, source: str) -> list[Resolved]:
        """Return the rows of a table that came in by a retry with casts of their own."""
        rows = await connection.fetch(
            self._sql(
                "SELECT key::text AS key, resolved_as::text AS resolved_as, row_data::text AS row_data FROM {reject}"
                " WHERE run = $1 AND source = $2 AND resolved_as IS NOT NULL"
            ),
            *(run, source),
        )
        return [Resolved(**dict(row)) for row in rows]

    async def settle(self, connection: Connection, run: str) -> None:
        """Close a retry with a synchronous commit, before which those of its batches lie."""
        await connection.execute(self._sql("UPDATE {run} SET attempts = attempts WHERE id = $1"), run)
