"""Rejected rows on their way into the table: as a chunk, whose rows the ledger already has.

BEGIN
INSERT INTO chunk ..   its rows count as copied, and no more as rejected; the claim settles a COMMIT without an answer
COPY table FROM STDIN (FORMAT binary)
UPDATE reject ..       resolved, or still refused with the new reason
COMMIT

So each row is in the table, and resolved, or neither; and `rollback` finds it by the chunk's transaction id.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from copier.plan.chunk import Chunk, RejectedRow
from copier.plan.model import TablePlan
from copier.postgres.ledger import Ledger
from copier.postgres.ledger_tables import Connection
from copier.postgres.own_triggers import kept_still
from copier.postgres.writer import ChunkWriter
from copier.wire.values import original_bytes, storage_class


class RetryWriter(ChunkWriter):
    """Writes one batch of rejects, whose ids stand for the keys of their rows."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        ledger: Ledger,
        run: str,
        attempt: int,
        schema: str,
        ids: Sequence[int],
        resolved_as: str | None,
    ) -> None:
        super().__init__(pool, ledger, run, attempt, schema, fail_on_reject=False)
        self._ids = ids
        self._resolved_as = resolved_as

    async def _claim(self, connection: Connection, table: TablePlan, chunk: Chunk) -> bool:
        if not chunk.rows:
            await self._ledger.open_rejects.hold(connection, self._run, self._number)
            return True
        return await self._ledger.chunks.claim(
            connection,
            self._run,
            table.source,
            chunk.rank,
            None,
            (),
            (chunk.rows, -chunk.rows, chunk.bytes),
            chunk.adjusted,
            self._number,
        )

    async def _copy(self, connection: Connection, table: TablePlan, payload: Sequence[bytes]) -> None:
        objects = await self._ledger.objects.all(connection, self._run)
        own = [
            o.name for o in objects if o.kind == "trigger" and o.state == "created" and o.source_table == table.source
        ]
        async with kept_still(connection, self._schema, table.target, own):
            await super()._copy(connection, table, payload)

    async def _store_rejects(self, connection: Connection, table: TablePlan, rejects: Sequence[RejectedRow]) -> None:
        left = {row.key[0] for row in rejects}
        moved = [id for id in self._ids if id not in left]
        await self._ledger.open_rejects.resolve(connection, moved, self._resolved_as)
        await self._ledger.open_rejects.explain(connection, [_explained(table, row) for row in rejects])


def _explained(table: TablePlan, row: RejectedRow) -> tuple[int, str | None, str | None, bytes | None, str]:
    [id] = row.key
    assert isinstance(id, int)
    if row.column is None:
        return id, None, None, None, row.reason
    value = row.values[row.column]
    return id, table.copied[row.column].source, storage_class(value), original_bytes(value), row.reason
