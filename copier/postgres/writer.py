"""COPY and its ledger row in ONE transaction.

BEGIN
INSERT INTO chunk ..   the claim: waits for, or finds, an earlier try whose COMMIT got no answer; synchronous_commit off
COPY table FROM STDIN (FORMAT binary)
INSERT INTO reject ..
COMMIT
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from copier.errors import ConnectionLost, CopyFailed, RowRefused
from copier.plan.chunk import Chunk, RejectedRow
from copier.plan.model import TablePlan
from copier.plan.source import Key, Value
from copier.postgres.failures import is_transient
from copier.postgres.failures import server_words as server_words
from copier.postgres.giving_back import lend
from copier.postgres.ledger import Ledger
from copier.postgres.ledger_chunks import RejectRow
from copier.postgres.ledger_tables import Connection
from copier.postgres.loss import Loss, Lost, end_backend
from copier.postgres.savepoint import savepoint
from copier.wire.binary import HEADER, TRAILER
from copier.wire.keys import show_row
from copier.wire.values import original_bytes, row_to_json, storage_class

PIECE_BYTES = 256 << 10
"""What one CopyData message carries: larger gains nothing, and a cancel waits for the piece under way."""

SEGMENT_ROWS = 500
"""Rows searched at once for those the server refuses: bounds the savepoints that are open together."""

SEARCHES = 3
"""How often refused rows are searched: others may add rows meanwhile that make more of ours duplicates."""

ROW_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.RaiseError,
    asyncpg.ProgramLimitExceededError,
)
"""Errors that one row of the data can cause; others concern the table or the server."""


@dataclass(frozen=True, slots=True)
class SingleRow:
    """One row of a chunk: its COPY tuple, its key, and the values of the copied columns."""

    payload: bytes
    key: Key
    values: tuple[Value, ...]


Reread = Callable[[Chunk], Awaitable[list[SingleRow]]]
"""Gives a chunk's rows one by one."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a chunk."""

    rows: int
    rejected: int
    repeated: bool = False
    """An earlier try had committed it already."""


class ChunkWriter:
    """Writes chunks of one run. One instance serves all writer tasks; each write borrows one pooled connection."""

    def __init__(
        self, pool: asyncpg.Pool, ledger: Ledger, run: str, attempt: int, schema: str, *, fail_on_reject: bool
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._run = run
        self._number = attempt
        self._schema = schema
        self._fail_on_reject = fail_on_reject

    async def write(self, table: TablePlan, chunk: Chunk, reread: Reread) -> Written:
        """Write a chunk exactly once, whatever happens to the connection meanwhile.

        Raises RowRefused when a row must not be quarantined, CopyFailed when the server refuses the table's data,
        ConnectionLost when the server stays away. `reread` gives the chunk's rows one by one, for the case that the
        server refuses some of them.
        """
        self._stop_at_fatal(table, chunk.rejects)
        loss = Loss()
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(ConnectionLost),
            stop=loss.is_final,
            wait=wait_random_exponential(0.2, max=5.0),
            reraise=True,
        ):
            with attempt:
                try:
                    return await self._attempt(table, chunk, reread, loss.backend)
                except Lost as error:
                    loss.note(error.backend)
                    raise
        raise AssertionError("tenacity reraises the last error")

    def _stop_at_fatal(self, table: TablePlan, rejects: Sequence[RejectedRow]) -> None:
        for row in rejects:
            if row.fatal or self._fail_on_reject:
                raise RowRefused(
                    f"a row of {table.source} cannot be copied: {row.reason}",
                    hint="correct the value, choose another type or policy in the plan, or quarantine such rows",
                    table=table.source,
                    column=None if row.column is None else table.copied[row.column].source,
                    key=_show_row(table, row),
                )

    async def _attempt(self, table: TablePlan, chunk: Chunk, reread: Reread, lost: int | None) -> Written:
        backend, broken = lost, False
        try:
            async with lend(self._pool) as connection:
                if lost is not None:
                    await end_backend(connection, lost)
                backend = connection.get_server_pid()
                try:
                    return await self._transaction(connection, table, chunk, reread)
                finally:
                    broken = connection.is_closed()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                # asyncpg reports a COPY that was cancelled while its connection broke as that breakage.
                raise asyncio.CancelledError from error
            if is_transient(error) or broken:
                raise Lost(backend) from error
            raise CopyFailed(
                f"PostgreSQL refused the data of {table.source}: {server_words(error)}",
                hint="chunks committed so far stay; mend the cause and run the same command again",
                table=table.source,
            ) from error

    async def _transaction(self, connection: Connection, table: TablePlan, chunk: Chunk, reread: Reread) -> Written:
        current = chunk
        for _ in range(SEARCHES):
            try:
                return await self._copy_whole(connection, table, current)
            except ROW_ERRORS:
                rows = await reread(chunk)
                refused = await self._find_refused(connection, table, rows)
                current = _without(chunk, rows, refused)
        return await self._copy_whole(connection, table, current)

    async def _claim(self, connection: Connection, table: TablePlan, chunk: Chunk) -> bool:
        counts = (chunk.rows, len(chunk.rejects), chunk.bytes)
        return await self._ledger.chunks.claim(
            connection,
            self._run,
            table.source,
            chunk.rank,
            chunk.after,
            chunk.last,
            counts,
            chunk.adjusted,
            self._number,
            chunk.fallback_rows,
        )

    async def _copy_whole(self, connection: Connection, table: TablePlan, chunk: Chunk) -> Written:
        async with connection.transaction():
            if not await self._claim(connection, table, chunk):
                return Written(chunk.rows, len(chunk.rejects), repeated=True)
            if chunk.rows:
                await self._copy(connection, table, chunk.payload)
            await self._store_rejects(connection, table, chunk.rejects)
        return Written(chunk.rows, len(chunk.rejects))

    async def _copy(self, connection: Connection, table: TablePlan, payload: Sequence[bytes]) -> None:
        await connection.copy_to_table(
            table.target,
            schema_name=self._schema,
            columns=[c.target for c in table.copied],
            source=_pieces(payload),
            format="binary",
        )
        if table.existing:
            # Its constraints may be deferred: let them speak while the row can still be found.
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")

    async def _store_rejects(self, connection: Connection, table: TablePlan, rejects: Sequence[RejectedRow]) -> None:
        if rejects:
            rows = [_ledger_row(table, row) for row in rejects]
            await self._ledger.rejects.add(connection, self._run, table.source, rows)

    async def _find_refused(
        self, connection: Connection, table: TablePlan, rows: Sequence[SingleRow]
    ) -> dict[int, str]:
        """Return index -> the server's words for rows it refuses.

        This happens in a transaction that is rolled back: rows written inside savepoints would carry transaction ids
        that the ledger does not know.
        """
        refused: dict[int, str] = {}
        trial = connection.transaction()
        await trial.start()
        try:
            for start in range(0, len(rows), SEGMENT_ROWS):
                segment = range(start, min(start + SEGMENT_ROWS, len(rows)))
                found = await self._search(connection, table, rows, segment)
                refused |= found
                if found and len(found) < len(segment):
                    # In one piece, since each savepoint that stays holds a lock until the transaction ends.
                    await self._copy(connection, table, [rows[i].payload for i in segment if i not in found])
        finally:
            if not connection.is_closed():
                await trial.rollback()
        self._stop_at_fatal(table, [_refused_row(rows[i], words) for i, words in refused.items()])
        return refused

    async def _search(
        self, connection: Connection, table: TablePlan, rows: Sequence[SingleRow], segment: range
    ) -> dict[int, str]:
        """Halve what the server refuses, down to the single row. With no row refused, the segment stays copied."""
        refused: dict[int, str] = {}

        async def copy(part: range) -> None:
            try:
                async with savepoint(connection):
                    await self._copy(connection, table, [rows[i].payload for i in part])
            except ROW_ERRORS as error:
                if len(part) == 1:
                    refused[part[0]] = server_words(error)
                    return
                middle = len(part) // 2
                await copy(part[:middle])
                await copy(part[middle:])

        try:
            async with savepoint(connection):
                await self._copy(connection, table, [rows[i].payload for i in segment])
        except ROW_ERRORS:
            async with savepoint(connection, keep=False):
                await copy(segment)
        return refused


def _show_row(table: TablePlan, row: RejectedRow) -> str:
    values = dict(zip((c.source for c in table.copied), row.values, strict=False))
    return show_row(table, values, row.key)


def _refused_row(row: SingleRow, words: str) -> RejectedRow:
    return RejectedRow(row.key, None, words, row.values)


def _without(chunk: Chunk, rows: Sequence[SingleRow], refused: Mapping[int, str]) -> Chunk:
    """Return the chunk without the rows the server refuses, which join its rejects."""
    kept = [row.payload for i, row in enumerate(rows) if i not in refused]
    rejects = [*chunk.rejects, *(_refused_row(rows[i], words) for i, words in refused.items())]
    size_bytes = sum(map(len, kept))
    return replace(chunk, rows=len(kept), payload=[b"".join(kept)], bytes=size_bytes, rejects=rejects)


async def _pieces(payload: Sequence[bytes]) -> AsyncIterator[bytes]:
    yield HEADER
    for block in payload:
        view = memoryview(block)
        for start in range(0, len(view), PIECE_BYTES):
            # asyncpg awaits only while the socket is full: give the other tasks their turn.
            await asyncio.sleep(0)
            yield bytes(view[start : start + PIECE_BYTES])
    yield TRAILER


def _ledger_row(table: TablePlan, row: RejectedRow) -> RejectRow:
    value: Value = None if row.column is None else row.values[row.column]
    return RejectRow(
        row.key,
        None if row.column is None else table.copied[row.column].source,
        None if row.column is None else storage_class(value),
        original_bytes(value),
        row.reason,
        row_to_json(row.values),
    )
