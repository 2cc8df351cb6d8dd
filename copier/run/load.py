"""The data phase of a run: the pipeline, and behind it the indexes of each table as soon as its copy ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from copier.plan.ddl import table_after_data
from copier.plan.model import TablePlan
from copier.plan.ranges import Gap, find_gaps
from copier.plan.source import Key
from copier.postgres.connect import open_pool
from copier.postgres.schema import tune_session
from copier.postgres.undo import delete_written_rows
from copier.postgres.writer import ChunkWriter
from copier.run.begin import Work
from copier.run.pipeline import Limits, Pipeline, TableJob
from copier.run.session import READERS
from copier.sqlite.orphans import orphan_keys

BUILDERS = 2
"""Connections that build indexes beside the writers."""

COPIED = ("copied", "built")
"""States of a table whose data is in the target."""


class Load:
    """Copies every table that is not copied yet, and builds what belongs to each."""

    def __init__(self, work: Work, *, with_data: bool = True) -> None:
        self._work = work
        self._with_data = with_data
        self._ledger = work.target.ledger
        self._to_build: asyncio.Queue[TablePlan | None] = asyncio.Queue()

    async def run(self) -> None:
        """Copy and build; raises what the pipeline raises, with every COPY ended."""
        work = self._work
        jobs, copied = await self._jobs()
        for table in copied:
            self._to_build.put_nowait(table)
        limits = Limits(work.settings.writers, READERS, work.settings.chunk_bytes, work.settings.memory_bytes)
        dsn = work.target.dsn
        async with open_pool(dsn, limits.writers) as pool, open_pool(dsn, BUILDERS, setup=tune_session) as builders:
            self._pool, self._builders = pool, builders
            writer = ChunkWriter(
                *(pool, self._ledger, work.run.id, work.attempt, work.plan.schema),
                fail_on_reject=work.settings.on_reject == "fail",
            )
            pipeline = Pipeline(
                *(work.source.engine, work.source.snapshot, writer, limits, work.progress.listener, self._copied)
            )
            async with asyncio.TaskGroup() as group:
                for _ in range(BUILDERS):
                    group.create_task(self._build_tables())
                await pipeline.run(jobs)
                for _ in range(BUILDERS):
                    self._to_build.put_nowait(None)

    async def _jobs(self) -> tuple[list[TableJob], list[TablePlan]]:
        """Return what is left to copy, and the tables that are copied already."""
        work, control = self._work, self._work.target.control
        states = await self._ledger.table_states(control, work.run.id)
        totals = await self._ledger.chunks.totals(control, work.run.id)
        jobs, copied = [], []
        for table in work.plan.tables:
            if not self._with_data or states[table.source]["state"] in COPIED:
                copied.append(table)
                continue
            done = totals.get(table.source)
            gaps = await self._gaps(table)
            jobs.append(TableJob(table, gaps, await self._refused(table), done.rows + done.rejected if done else 0))
        return jobs, copied

    async def _gaps(self, table: TablePlan) -> list[Gap]:
        """Return what is left of a table. Without a key there are no gaps: what it has is taken back, to start anew."""
        control, run, schema = self._work.target.control, self._work.run.id, self._work.plan.schema
        if not table.key and self._work.attempt:
            async with control.transaction():
                await delete_written_rows(control, self._ledger, run, table.source, schema, table.target)
        return find_gaps(await self._ledger.chunks.committed(control, run, table.source), self._work.attempt)

    async def _refused(self, table: TablePlan) -> Mapping[Key, str]:
        if self._work.settings.orphans != "quarantine" or not any(key.orphans for key in table.foreign_keys):
            return {}
        source = self._work.source.schema.table(table.source)
        assert source is not None
        async with self._work.source.snapshot.reader() as connection:
            return await orphan_keys(connection, source, table.key)

    async def _copied(self, job: TableJob) -> None:
        """Say in the ledger, with a synchronous commit, that a table's last chunk is committed; queue its indexes."""
        async with self._pool.acquire() as connection:
            await self._ledger.set_table_state(connection, self._work.run.id, job.table.source, "copied")
        self._to_build.put_nowait(job.table)

    async def _build_tables(self) -> None:
        while (table := await self._to_build.get()) is not None:
            statements = [] if table.existing else table_after_data(self._work.plan.schema, table)
            async with self._builders.acquire() as connection:
                for statement in statements:
                    self._work.notes.append(await self._work.builder.note(connection, statement))
                await self._ledger.set_table_state(connection, self._work.run.id, table.source, "built")
