"""Ledger rows of chunks and rejects: what data is in the target, and which rows are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from copier.errors import ConnectionLost, RunBusy
from copier.plan.ranges import Committed, Rank
from copier.plan.source import Key
from copier.postgres.ledger_tables import Connection, LedgerTables
from copier.wire.keys import key_from_json, key_to_json


@dataclass(frozen=True, slots=True)
class TableTotals:
    """What the chunks of one table sum up to."""

    chunks: int
    rows: int
    rejected: int
    bytes: int
    adjusted: dict[str, int]
    fallback_rows: int = 0


@dataclass(frozen=True, slots=True)
class RejectRow:
    """One rejected row as the ledger keeps it. `row_data` is `[[storage class, text], ...]` in column order."""

    key: Key
    column: str | None
    storage_class: str | None
    value: bytes | None
    reason: str
    row_data: list[list[str]]


_CLAIM = """WITH mine AS (SELECT FROM {run} WHERE id = $1 AND attempts = $11 FOR SHARE)
INSERT INTO {chunk} (run, source, rank, after_key, last_key, rows, rejected, bytes, fallback_rows, adjusted)
SELECT $1, $2, $3, $4::text::json, $5::text::json, $6, $7, $8, $9, $10::text::json
FROM mine, set_config('synchronous_commit', 'off', true)
ON CONFLICT DO NOTHING RETURNING true"""


class Chunks:
    """The chunk table; every method works on the connection, and in the transaction, it is given."""

    def __init__(self, tables: LedgerTables) -> None:
        self._sql = tables.sql

    async def claim(
        self,
        connection: Connection,
        run: str,
        source: str,
        rank: Rank,
        after: Key | None,
        last: Key,
        counts: tuple[int, int, int],
        adjusted: dict[str, int],
        attempt: int,
        fallback_rows: int = 0,
    ) -> bool:
        """Insert the chunk's row (counts: rows, rejected, bytes); False when a former try of it has committed.

        Makes the transaction's commit asynchronous: a crash loses both the row and what it speaks of, or neither.

        Waits while a transaction that inserted the same row is still open: so a COMMIT whose answer was lost is
        settled by trying again. Shares a lock on the run's row: a resume, which updates that row, waits for every
        chunk under way, and whoever still writes for an earlier attempt finds it gone. RunBusy then.
        """
        inserted = await connection.fetchval(
            self._sql(_CLAIM),
            *(run, source, list(rank), None if after is None else key_to_json(after), key_to_json(last)),
            *(*counts, fallback_rows),
            orjson.dumps(adjusted).decode() if adjusted else None,
            attempt,
        )
        if inserted:
            return True
        known = await connection.fetchval(
            self._sql("SELECT true FROM {chunk} WHERE run = $1 AND source = $2 AND rank = $3"),
            *(run, source, list(rank)),
        )
        if not known:
            raise RunBusy(
                f"another process has taken run {run} over", hint="`sqlite2pg status` shows whether it is still working"
            )
        return False

    async def committed(self, connection: Connection, run: str) -> dict[str, list[Committed]]:
        """Return source table -> its chunks that are in the target."""
        rows = await connection.fetch(
            self._sql(
                "SELECT source, rank, after_key::text AS after_key, last_key::text AS last_key FROM {chunk}"
                " WHERE run = $1"
            ),
            run,
        )
        found: dict[str, list[Committed]] = {}
        for row in rows:
            after = None if row["after_key"] is None else key_from_json(row["after_key"])
            chunk = Committed(tuple(row["rank"]), after, key_from_json(row["last_key"]))
            found.setdefault(row["source"], []).append(chunk)
        return found

    async def require(self, connection: Connection, run: str, chunks: Mapping[str, int]) -> None:
        """Raise ConnectionLost unless the ledger has so many chunks of each table.

        Chunks commit without waiting for the disk: a server that crashed and came back may have lost some, and this
        process, which heard their commits answered, would call the table copied.
        """
        rows = await connection.fetch(
            self._sql("SELECT source, count(*) FROM {chunk} WHERE run = $1 AND source = ANY ($2::text[]) GROUP BY 1"),
            *(run, list(chunks)),
        )
        found = dict(map(tuple, rows))
        short = [source for source, count in chunks.items() if found.get(source, 0) != count]
        if short:
            raise ConnectionLost(
                f"the server was restarted, and lost chunks of {short[0]} that it had not written to the disk yet",
                hint="run the same command again: the ledger knows what is left to copy",
                table=short[0],
            )

    async def totals(self, connection: Connection, run: str) -> dict[str, TableTotals]:
        """Return source table -> sums over its chunks."""
        rows = await connection.fetch(
            self._sql(
                "SELECT source, count(*) AS chunks, sum(rows)::bigint AS rows, sum(rejected)::bigint AS rejected,"
                " sum(bytes)::bigint AS bytes, sum(fallback_rows)::bigint AS fallback_rows,"
                " array_agg(adjusted::text) FILTER (WHERE adjusted IS NOT NULL) AS adjusted"
                " FROM {chunk} WHERE run = $1 GROUP BY source"
            ),
            run,
        )
        return {
            row["source"]: TableTotals(
                *(row["chunks"], row["rows"], row["rejected"], row["bytes"], _add(row["adjusted"] or [])),
                row["fallback_rows"],
            )
            for row in rows
        }

    async def xids(self, connection: Connection, run: str, source: str) -> list[int]:
        """Return the transaction ids (64 bit) that wrote a table's chunks."""
        rows = await connection.fetch(
            self._sql("SELECT xid FROM {chunk} WHERE run = $1 AND source = $2"), *(run, source)
        )
        return [row["xid"] for row in rows]

    async def forget(self, connection: Connection, run: str, source: str) -> None:
        """Delete the chunk and reject rows of a table whose data has been taken back."""
        for name in ("{chunk}", "{reject}"):
            await connection.execute(self._sql(f"DELETE FROM {name} WHERE run = $1 AND source = $2"), *(run, source))


class Rejects:
    """The reject table."""

    def __init__(self, tables: LedgerTables) -> None:
        self._sql = tables.sql

    async def add(self, connection: Connection, run: str, source: str, rejects: Sequence[RejectRow]) -> None:
        """Store rejected rows."""
        await connection.executemany(
            self._sql(
                "INSERT INTO {reject} (run, source, key, column_name, storage_class, value, reason, row_data)"
                " VALUES ($1, $2, $3::text::json, $4, $5, $6, $7, $8::text::json)"
            ),
            [
                (
                    *(run, source, key_to_json(r.key), r.column, r.storage_class, r.value, r.reason),
                    orjson.dumps(r.row_data).decode(),
                )
                for r in rejects
            ],
        )

    async def keys(self, connection: Connection, run: str, source: str) -> set[str]:
        """Return the keys of a table's rejected rows that are not resolved, as `key_to_json` writes them."""
        rows = await connection.fetch(
            self._sql("SELECT key::text AS key FROM {reject} WHERE run = $1 AND source = $2 AND resolved_at IS NULL"),
            *(run, source),
        )
        return {key_to_json(key_from_json(row["key"])) for row in rows}

    async def first(self, connection: Connection, run: str, limit: int) -> list[asyncpg.Record]:
        """Return rejects that are not resolved: the first of each table, column and reason, then the second ..."""
        return await connection.fetch(
            self._sql(
                "SELECT source, key::text AS key, column_name, reason, row_data::text AS row_data FROM {reject}"
                " WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY source, column_name, reason"
                " ORDER BY id) AS place FROM {reject} WHERE run = $1 AND resolved_at IS NULL) ranked"
                " ORDER BY place, id LIMIT $2) ORDER BY id"
            ),
            *(run, limit),
        )


def _add(documents: Sequence[str]) -> dict[str, int]:
    total: dict[str, int] = {}
    for document in documents:
        counts: dict[str, Any] = orjson.loads(document)
        for column, count in counts.items():
            total[column] = total.get(column, 0) + count
    return total
