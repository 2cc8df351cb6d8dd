"""Indexes of tables, from the moment their copies end: those of a large table side by side, small tables together.

CREATE INDEX takes a SHARE lock on its table, which others of the same table may share; ADD PRIMARY KEY takes ACCESS
EXCLUSIVE (PostgreSQL docs, "Explicit Locking"). So the index of each key and unique constraint of a large table is
built like any other, by whichever builder is free, and the constraints are made of them when the last is done.

No deadlock among builders: a transaction builds on one large table, whose SHARE locks do not exclude each other; the
ACCESS EXCLUSIVE lock is asked for by the builder that ended last, when no other works on the table; and no two builders
ever have the same small table. Builders' transactions end before they take the next thing to do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from copier.plan.ddl import Statement, table_after_data
from copier.plan.model import TablePlan
from copier.postgres.ledger_tables import Connection
from copier.postgres.schema import note
from copier.run.begin import Work

LARGE_BYTES = 8 << 20
"""From here on a build takes long enough to be shared out: the server's own default for a parallel scan
(min_parallel_table_scan_size)."""

TOGETHER = 50
"""Small tables whose indexes are built in one transaction: a round trip each would take longer than the builds."""


def is_large(table: TablePlan) -> bool:
    """Whether a table's work is shared out among builders."""
    return table.bytes >= LARGE_BYTES


Task = Callable[[Connection], Awaitable[None]]


@dataclass(slots=True)
class _LargeTable:
    """A table whose indexes are being built side by side."""

    table: TablePlan
    constraints: list[Statement]
    """To be made of their indexes at the end."""
    open: int
    """Indexes not yet built."""


class Builds:
    """What is to be built, by any number of `build` at once. `add` tables as they are copied, then `close`."""

    def __init__(self, work: Work, *, with_data: bool) -> None:
        self._work = work
        self._with_data = with_data
        self._tasks: asyncio.Queue[Task | None] = asyncio.Queue()
        self._small: deque[TablePlan] = deque()

    def add(self, table: TablePlan) -> None:
        """Queue what stands on a table's data."""
        statements = [] if table.existing else table_after_data(self._work.plan.schema, table)
        if len(statements) > 1 and self._with_data and is_large(table):
            self._add_large(table, statements)
            return
        self._small.append(table)
        self._tasks.put_nowait(self._build_small)

    def close(self, builders: int) -> None:
        """Say that no table will be added."""
        for _ in range(builders):
            self._tasks.put_nowait(None)

    async def build(self, connection: Connection) -> None:
        """Build until there is nothing left, also when the queue is empty for a while."""
        while (task := await self._tasks.get()) is not None:
            await task(connection)

    def _add_large(self, table: TablePlan, statements: list[Statement]) -> None:
        large = _LargeTable(table, [s for s in statements if s.index is not None], len(statements))
        # The last are those a person added, such as GIN on a tsvector: the longest builds first.
        for statement in reversed(statements):
            self._tasks.put_nowait(partial(self._build_one, large, statement))

    async def _build_one(self, large: _LargeTable, statement: Statement, connection: Connection) -> None:
        builder, notes = self._work.builder, self._work.notes
        if statement.index is None:
            notes.append(await builder.note(connection, statement))
        elif not builder.is_done(statement):
            words = await builder.attempt(connection, statement.index)
            if words is not None:
                large.constraints.remove(statement)
                notes.append(note(statement, "failed", words))
        large.open -= 1
        if not large.open:
            for constraint in large.constraints:
                notes.append(await builder.note(connection, replace(constraint, sql=constraint.attach_sql)))
            await self._set_built(connection, [large.table])

    async def _build_small(self, connection: Connection) -> None:
        """Build what waits of the small tables; nothing when another builder has taken this task's table along."""
        tables = [self._small.popleft() for _ in range(min(TOGETHER, len(self._small)))]
        if not tables:
            return
        new = [table for table in tables if not table.existing]
        statements = [s for table in new for s in table_after_data(self._work.plan.schema, table)]
        for statement, words in zip(
            statements, await self._work.builder.attempt_all(connection, statements), strict=True
        ):
            self._work.notes.append(note(statement, "failed" if words is not None else "created", words or ""))
        await self._set_built(connection, tables)

    async def _set_built(self, connection: Connection, tables: list[TablePlan]) -> None:
        await self._work.target.ledger.set_built(connection, self._work.run.id, [table.source for table in tables])
