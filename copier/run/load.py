"""The data phase of a run: the pipeline, and behind it the indexes of each table as soon as its copy ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from copier.plan.model import TablePlan
from copier.plan.ranges import Committed, Gap, find_gaps
from copier.plan.source import Key
from copier.postgres.connect import open_pool
from copier.postgres.giving_back import lend
from copier.postgres.tuning import tuned_for
from copier.postgres.undo import delete_written_rows
from copier.postgres.writer import ChunkWriter
from copier.run.begin import Work
from copier.run.builds import Builds
from copier.run.pipeline import Limits, Pipeline, TableJob
from copier.run.session import READERS
from copier.sqlite.orphans import orphan_keys

BUILDERS = 2
"""Connections that build indexes beside the writers, at least. Two keep a server of few cores busy where one build
cannot be shared out (GIN before PostgreSQL 18, foreign keys, ANALYZE); each may start workers of its own."""

COPIED = ("copied", "built")
"""States of a table whose data is in the target."""


def builders_beside(writers: int) -> int:
    """Return how many builders there are: half as many as writers where that is more than `BUILDERS`."""
    return max(BUILDERS, writers // 2)


def limits_of(writers: int, chunk_bytes: int, memory_bytes: int) -> Limits:
    """Return the pipeline's sizes: chunks so small that each writer has one and two more wait for a writer."""
    return Limits(writers, READERS, min(chunk_bytes, max(1, memory_bytes // (writers + 2))), memory_bytes)


class Load:
    """Copies every table that is not copied yet, and builds what belongs to each."""

    def __init__(self, work: Work, *, with_data: bool = True) -> None:
        self._work = work
        self._with_data = with_data
        self._ledger = work.target.ledger
        self._builds = Builds(work, with_data=with_data)
        self._copied: asyncio.Queue[TableJob | None] = asyncio.Queue()

    async def run(self) -> None:
        """Copy and build; raises what the pipeline raises, with every COPY ended."""
        work, settings = self._work, self._work.settings
        jobs, copied = await self._jobs()
        for table in copied:
            self._builds.add(table)
        limits = limits_of(settings.writers, settings.chunk_bytes, settings.memory_bytes)
        builders, dsn = builders_beside(limits.writers), work.target.dsn
        setup = tuned_for(work.target.info, builders)
        async with open_pool(dsn, limits.writers) as pool, open_pool(dsn, builders, setup=setup) as building:
            self._pool, self._building = pool, building
            writer = ChunkWriter(
                *(pool, self._ledger, work.run.id, work.attempt, work.plan.schema),
                fail_on_reject=settings.on_reject == "fail",
            )
            pipeline = Pipeline(
                *(work.source.engine, work.source.snapshot, writer, limits, work.progress.listener, self._copied.put)
            )
            async with asyncio.TaskGroup() as group:
                for _ in range(builders):
                    group.create_task(self._build())
                recording = group.create_task(self._record_copied())
                await pipeline.run(jobs)
                self._copied.put_nowait(None)
                await recording
                self._builds.close(builders)

    async def _jobs(self) -> tuple[list[TableJob], list[TablePlan]]:
        """Return what is left to copy, and the tables that are copied already."""
        work, control = self._work, self._work.target.control
        states = await self._ledger.table_states(control, work.run.id)
        totals = await self._ledger.chunks.totals(control, work.run.id)
        committed = await self._ledger.chunks.committed(control, work.run.id) if work.attempt else {}
        jobs, copied = [], []
        for table in work.plan.tables:
            if not self._with_data or states[table.source]["state"] in COPIED:
                copied.append(table)
                continue
            done = totals.get(table.source)
            known = committed.get(table.source, [])
            gaps = await self._gaps(table, known)
            refused, done_rows = await self._refused(table), done.rows + done.rejected if done else 0
            jobs.append(TableJob(table, gaps, refused, done_rows, chunks=len(known) if table.key else 0))
        return jobs, copied

    async def _gaps(self, table: TablePlan, committed: list[Committed]) -> list[Gap]:
        """Return what is left of a table. Without a key there are no gaps: what it has is taken back, to start anew."""
        control, run, schema = self._work.target.control, self._work.run.id, self._work.plan.schema
        if committed and not table.key:
            async with control.transaction():
                await delete_written_rows(control, self._ledger, run, table.source, schema, table.target)
            committed = []
        if not self._work.settings.sample and not self._work.profiles[table.source].rows:
            return []  # every row of this same snapshot was looked at, and there was none
        return find_gaps(committed, self._work.attempt)

    async def _refused(self, table: TablePlan) -> Mapping[Key, str]:
        if self._work.settings.orphans != "quarantine" or not any(key.orphans for key in table.foreign_keys):
            return {}
        source = self._work.source.schema.table(table.source)
        assert source is not None
        async with self._work.source.snapshot.reader() as connection:
            return await orphan_keys(connection, source, table.key)

    async def _record_copied(self) -> None:
        """Say in the ledger, with a synchronous commit, that tables' last chunks are committed; queue their indexes.

        Whatever has ended meanwhile goes into one commit: small tables end faster than a disk can say so of each.
        """
        more = True
        while more:
            found = [await self._copied.get()]
            while not self._copied.empty():
                found.append(self._copied.get_nowait())
            jobs = [job for job in found if job is not None]
            more = len(jobs) == len(found)
            if not jobs:
                return
            async with lend(self._pool) as connection:
                chunks = {one.table.source: one.chunks for one in jobs}
                await self._ledger.chunks.require(connection, self._work.run.id, chunks)
                seconds = {one.table.source: one.seconds for one in jobs}
                await self._ledger.set_copied(connection, self._work.run.id, seconds)
            for one in jobs:
                self._builds.add(one.table)

    async def _build(self) -> None:
        async with lend(self._building) as connection:
            await self._builds.build(connection)
