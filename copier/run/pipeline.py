"""The data phase: readers -> page queues -> converters -> one queue bounded by bytes -> COPY writers.

All tasks live in one TaskGroup: whichever fails first cancels the others, and every open COPY ends with CopyFail.
docs/concurrency.md draws it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

import aiosqlite

from copier.errors import CopyFailed
from copier.events import Listener, TableFinished, TableProgress, TableStarted
from copier.plan.chunk import Chunk
from copier.plan.model import TablePlan
from copier.plan.ranges import Gap
from copier.plan.source import Key
from copier.postgres.writer import ChunkWriter, Reread, SingleRow, Written
from copier.run.channel import ByteChannel
from copier.sqlite.engine import Batch, Engine, TableSource
from copier.sqlite.pages import Page

PHASE = "data"


class Readers(Protocol):
    """Hands out connections pinned to one snapshot."""

    def reader(self) -> AbstractAsyncContextManager[aiosqlite.Connection]:
        """Return an exclusive connection."""


@dataclass(slots=True)
class TableJob:
    """One table to copy: what is left of it, and how far it is."""

    table: TablePlan
    gaps: Sequence[Gap]
    refused: Mapping[Key, str] = field(default_factory=dict)
    done_rows: int = 0
    """Rows that a former run committed or rejected."""
    chunks: int = 0
    """Chunks committed, former runs' included, as far as this process knows."""
    rows: int = 0
    rejected: int = 0
    bytes: int = 0
    open_chunks: int = 0
    read: bool = False
    started_s: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of the pipeline."""

    writers: int
    readers: int
    chunk_bytes: int
    memory_bytes: int


class Pipeline:
    """Copies tables. `on_copied` is awaited once per table, right after its last chunk has been committed."""

    def __init__(
        self,
        engine: Engine,
        readers: Readers,
        writer: ChunkWriter,
        limits: Limits,
        listener: Listener,
        on_copied: Callable[[TableJob], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._readers = readers
        self._writer = writer
        self._limits = limits
        self._listener = listener
        self._on_copied = on_copied
        self._channel: ByteChannel[tuple[TableJob, Chunk]] = ByteChannel(limits.memory_bytes)

    async def run(self, jobs: Sequence[TableJob]) -> None:
        """Copy all tables, largest first."""
        waiting = sorted(jobs, key=lambda job: job.table.bytes or job.table.rows, reverse=True)
        waiting.reverse()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._limits.writers):
                group.create_task(self._write_chunks())
            readers = [group.create_task(self._read_tables(waiting)) for _ in range(self._limits.readers)]
            await asyncio.wait(readers)
            await self._channel.close()

    async def _read_tables(self, waiting: list[TableJob]) -> None:
        while waiting:
            job = waiting.pop()
            job.started_s = time.perf_counter()
            self._listener(TableStarted(PHASE, job.table.source, job.table.rows, job.done_rows))
            if job.gaps:
                async with self._readers.reader() as connection:
                    await self._read_table(job, self._engine.table(connection, job.table, refused=job.refused))
            job.read = True
            await self._finish(job)

    async def _read_table(self, job: TableJob, source: TableSource) -> None:
        for gap in job.gaps:
            pages: asyncio.Queue[Page | None] = asyncio.Queue(maxsize=2)
            async with asyncio.TaskGroup() as group:
                group.create_task(_read_pages(source, gap, pages))
                group.create_task(self._convert_pages(job, source, gap, pages))

    async def _convert_pages(
        self, job: TableJob, source: TableSource, gap: Gap, pages: asyncio.Queue[Page | None]
    ) -> None:
        count = 0
        chunk: Chunk | None = None
        after = gap.after
        while (page := await pages.get()) is not None:
            if chunk is None:
                count += 1
                chunk = Chunk((*gap.prefix, count), after)
            _append(chunk, source.convert(page))
            after = chunk.last
            if chunk.held_bytes >= self._limits.chunk_bytes:
                await self._submit(job, chunk)
                chunk = None
        if chunk is not None:
            if gap.upto is not None:
                # The range ends where the next committed chunk begins, also when its last rows are gone.
                chunk.last = gap.upto
            await self._submit(job, chunk)

    async def _submit(self, job: TableJob, chunk: Chunk) -> None:
        job.open_chunks += 1
        await self._channel.put((job, chunk), chunk.held_bytes)

    async def _write_chunks(self) -> None:
        while (item := await self._channel.get()) is not None:
            (job, chunk), size_bytes = item
            try:
                written = await self._writer.write(job.table, chunk, self._rereader(job))
            finally:
                await self._channel.done(size_bytes)
            self._count(job, chunk, written)
            job.open_chunks -= 1
            await self._finish(job)

    def _count(self, job: TableJob, chunk: Chunk, written: Written) -> None:
        job.chunks += 1
        job.rows += written.rows
        job.rejected += written.rejected
        job.bytes += chunk.bytes
        read = written.rows + written.rejected
        self._listener(TableProgress(PHASE, job.table.source, read, chunk.bytes))

    async def _finish(self, job: TableJob) -> None:
        if not job.read or job.open_chunks or job.seconds:
            return
        job.seconds = max(time.perf_counter() - job.started_s, 1e-9)
        await self._on_copied(job)
        self._listener(TableFinished(PHASE, job.table.source, job.rows, job.rejected, job.seconds))

    def _rereader(self, job: TableJob) -> Reread:
        async def reread(chunk: Chunk) -> list[SingleRow]:
            async with self._readers.reader() as connection:
                source = self._engine.table(connection, job.table, refused=job.refused)
                async with aclosing(_single_rows(source, job.table, chunk)) as rows:
                    return [row async for row in rows]

        return reread


async def _read_pages(source: TableSource, gap: Gap, pages: asyncio.Queue[Page | None]) -> None:
    async with aclosing(source.pages(gap.after, gap.upto)) as found:
        async for page in found:
            await pages.put(page)
    await pages.put(None)


async def _single_rows(source: TableSource, table: TablePlan, chunk: Chunk) -> AsyncGenerator[SingleRow]:
    if not table.key:
        raise CopyFailed(
            f"PostgreSQL refused a row of {table.source}, which has no key to find it by",
            hint="rename the columns called rowid, _rowid_ and oid, or make the target take every row",
            table=table.source,
        )
    width = len(table.copied)
    async with aclosing(source.pages(chunk.after, chunk.last)) as pages:
        async for page in pages:
            for row in page.rows:
                batch = source.convert(replace(page, rows=[row]))
                if batch.rows:
                    yield SingleRow(batch.payload, row[width:], row[:width])


def _append(chunk: Chunk, batch: Batch) -> None:
    chunk.rows += batch.rows
    chunk.payload.append(batch.payload)
    chunk.bytes += len(batch.payload)
    chunk.held_bytes += len(batch.payload) + sum(row.held_bytes for row in batch.rejects)
    chunk.rejects.extend(batch.rejects)
    chunk.last = batch.last_key
    chunk.fallback_rows += batch.fallback_rows
    for column, count in batch.adjusted.items():
        chunk.add_adjusted(column, count)
