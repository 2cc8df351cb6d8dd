"""Rejected rows tried again, from the values the ledger has stored: each exactly once, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from copier.config import Settings
from copier.errors import ResumeRefused, TerminalError
from copier.events import Listener, TableFinished, TableProgress, TableStarted, ignore
from copier.plan.chunk import Chunk, RejectedRow
from copier.plan.model import Plan
from copier.plan.retry import RecordedTable, RetriedTable, RetryPlan, plan_retry
from copier.plan.source import Value
from copier.postgres.catalog import read_target
from copier.postgres.connect import open_pool
from copier.postgres.cutoff import run_until_cancelled
from copier.postgres.ledger import Run
from copier.postgres.retry_writer import RetryWriter
from copier.postgres.sequences import IdColumn, advance_sequences
from copier.postgres.writer import SingleRow
from copier.report import Report, RetryReport
from copier.run.outcome import add_rejects
from copier.run.preflight import require_writable
from copier.run.progress import Progress
from copier.run.rejects import choose_tables, find_run
from copier.run.session import Target, existing_tables, open_target, read_plan_file
from copier.sqlite.engine import column_specs
from copier.wire.binary import RowEncoder
from copier.wire.values import is_cut, value_from_json

PHASE = "retry"
BATCH_ROWS = 500
BATCH_BYTES = 8 << 20
"""Of stored rows; one larger row is a batch by itself."""


async def retry_rejects(
    settings: Settings, listener: Listener = ignore, *, run: str | None = None, tables: Sequence[str] = ()
) -> Report:
    """Try rejected rows again, each exactly once: as the plan file says now, into the tables as they are now.

    The report's outcome is `verified` when none is left, else `attention`; `retries` has the counts. Raises RunBusy,
    ResumeRefused when the run itself has not ended, PlanError, and what writing raises; after any of them the same
    call goes on.
    """
    progress = Progress(Report(command="rejects"), listener)
    with progress.errors():
        return await run_until_cancelled(_retry(settings, progress, run, tables))


async def _retry(settings: Settings, progress: Progress, wanted: str | None, globs: Sequence[str]) -> Report:
    report = progress.report
    async with open_target(settings) as target:
        require_writable(target)
        run = await find_run(target, wanted)
        report.outcome = "verified"
        if run is None:
            return progress.finish()
        report.run, report.target = run.id, target.document(run.target_schema)
        attempt = await _take_over(target, run)
        plan, before = await _plan(settings, target, run, globs, progress)
        with progress.phase(PHASE, len(plan.tables), sum(before[source] for source in plan.tables)):
            await Retry(target, run, attempt, progress).retry(plan, before)
            await _after(target, run)
        left = await target.ledger.open_rejects.counts(target.control, run.id)
        for source, table in plan.tables.items():
            still = left.get(source, 0)
            moved = before[source] - still
            report.retries.append(RetryReport(source, table.plan.target, before[source], moved, still))
        tables = tuple(table.plan for table in plan.tables.values())
        await add_rejects(report, target, Plan(tables, run.target_schema), run.id)
        report.outcome = "attention" if any(table.left_rows for table in report.retries) else "verified"
    return progress.finish()


async def _take_over(target: Target, run: Run) -> int:
    """Lock the schema, wait for what a killed retry may have under way, and return the number of this attempt."""
    ledger, control = target.ledger, target.control
    await ledger.lock(control, run.target_schema)
    unfinished = await ledger.unfinished(control, run.target_schema)
    if unfinished is not None and unfinished.id == run.id:
        raise ResumeRefused(
            f"run {run.id} has not ended: its rejects are not complete",
            hint="finish it first, by the command that began it; or roll it back",
        )
    return await ledger.resume_run(control, run.id)


async def _plan(
    settings: Settings, target: Target, run: Run, globs: Sequence[str], progress: Progress
) -> tuple[RetryPlan, dict[str, int]]:
    ledger, control = target.ledger, target.control
    before = await ledger.open_rejects.counts(control, run.id)
    states = await ledger.table_states(control, run.id)
    chosen = [source for source in choose_tables(states, globs) if before.get(source)]
    tables = [RecordedTable(s, states[s]["target"], states[s]["existing"]) for s in chosen]
    actual = existing_tables(await read_target(control, run.target_schema), ())
    given = read_plan_file(settings.plan) if settings.plan is not None else None
    plan = plan_retry(await ledger.plan_text(control, run.id), given, tables, actual, run.target_schema)
    for warning in plan.warnings:
        progress.warn(warning)
    return plan, before


async def _after(target: Target, run: Run) -> None:
    """Move sequences behind the rows that came, also those that a killed retry brought.

    The commit at the end is synchronous, so what the batches committed is on disk as well.
    """
    ledger, control = target.ledger, target.control
    states = await ledger.table_states(control, run.id)
    actual = existing_tables(await read_target(control, run.target_schema), ())
    targets = [states[source]["target"] for source in await ledger.open_rejects.tables(control, run.id)]
    columns = [
        IdColumn(name, column.name, None) for name in targets if name in actual for column in actual[name].columns
    ]
    await advance_sequences(control, run.target_schema, columns)
    await ledger.open_rejects.settle(control, run.id)


class Retry:
    """Tries the rejects of one run again, a batch at a time."""

    def __init__(self, target: Target, run: Run, attempt: int, progress: Progress) -> None:
        self._target = target
        self._run = run
        self._attempt = attempt
        self._progress = progress
        self._batches = 0

    async def retry(self, plan: RetryPlan, before: dict[str, int]) -> None:
        """Try every row once; then those the server refused as a whole, as long as others came: maybe their parents."""
        waiting = list(plan.tables.values())
        async with open_pool(self._target.dsn, 1) as self._pool:
            again = False
            while waiting:
                moved = 0
                for table in waiting:
                    moved += await self._table(table, before[table.plan.source], again)
                again = True
                waiting = [t for t in waiting if await self._refused(t)] if moved else []

    async def _refused(self, table: RetriedTable) -> bool:
        return bool(await self._batch(table, 0, again=True, rows=1))

    async def _batch(self, table: RetriedTable, after: int, *, again: bool, rows: int) -> list[tuple[int, str]]:
        return await self._target.ledger.open_rejects.batch(
            *(self._target.control, self._run.id, table.plan.source, after),
            whole_rows=again,
            rows=rows,
            bytes=BATCH_BYTES,
        )

    async def _table(self, table: RetriedTable, rows: int, again: bool) -> int:
        listener, name = self._progress.listener, table.plan.source
        listener(TableStarted(PHASE, name, rows))
        encoder = RowEncoder(column_specs(table.plan.copied))
        after = moved = left = cut = 0
        while stored := await self._batch(table, after, again=again, rows=BATCH_ROWS):
            after = stored[-1][0]
            whole = _whole(stored)
            chunk, rows_by_id = _convert(table, encoder, whole, (-self._attempt, self._batches))
            self._batches += 1
            written = await self._write(table, [id for id, _ in whole], chunk, rows_by_id)
            moved, left, cut = moved + written[0], left + written[1], cut + len(stored) - len(whole)
            listener(TableProgress(PHASE, name, len(stored), chunk.bytes))
        if cut and not again:
            self._progress.warn(_cannot_be_tried(name, cut))
        listener(TableFinished(PHASE, name, moved, left + cut, 0.0))
        return moved

    async def _write(self, table: RetriedTable, ids: list[int], chunk: Chunk, rows: list[SingleRow]) -> tuple[int, int]:
        resolved_as = orjson.dumps(table.decisions).decode() if table.decisions else None
        writer = RetryWriter(
            *(self._pool, self._target.ledger, self._run.id, self._attempt, self._run.target_schema, ids, resolved_as)
        )

        async def reread(_: Chunk) -> list[SingleRow]:
            return rows

        written = await writer.write(table.plan, chunk, reread)
        return written.rows, written.rejected


def _whole(stored: list[tuple[int, str]]) -> list[tuple[int, list[list[str]]]]:
    """Return id and values of the rows that the ledger has whole. The others stay there as they are."""
    read = [(id, orjson.loads(text)) for id, text in stored]
    return [(id, pairs) for id, pairs in read if not any(map(is_cut, pairs))]


def _cannot_be_tried(source: str, rows: int) -> str:
    return (
        f"{rows:,} rejected rows of {source} cannot be tried again: of values too large for it the ledger has only "
        "the length. Correct them in the SQLite file, then `rollback` the run and move the file again"
    )


def _convert(
    table: RetriedTable, encoder: RowEncoder, stored: list[tuple[int, list[list[str]]]], rank: tuple[int, int]
) -> tuple[Chunk, list[SingleRow]]:
    """Return the batch as a chunk, and its rows one by one. Ids stand for keys."""
    chunk = Chunk(rank, None)
    singles = []
    width = len(table.plan.copied)
    for id, pairs in stored:
        if len(pairs) != width:
            raise TerminalError(
                f"a rejected row of {table.plan.source} has {len(pairs)} values, its table takes {width} columns now",
                hint="was a generated column made plain, or the other way round? put it back, and try again",
            )
        values = tuple(map(value_from_json, pairs))
        row = _encode(table, encoder, (id,), values)
        if isinstance(row, RejectedRow):
            chunk.rejects.append(row)
            continue
        single, adjusted = row
        singles.append(single)
        chunk.payload.append(single.payload)
        for column in adjusted:
            chunk.add_adjusted(column, 1)
    chunk.rows, chunk.bytes = len(singles), sum(len(one.payload) for one in singles)
    return chunk, singles


def _encode(
    table: RetriedTable, encoder: RowEncoder, key: tuple[int], values: tuple[Value, ...]
) -> RejectedRow | tuple[SingleRow, list[str]]:
    page = encoder.encode([values])
    if page.rejects:
        [reject] = page.rejects
        return RejectedRow(key, reject.column, reject.reason, values, reject.fatal)
    columns = table.plan.copied
    return SingleRow(page.payload, key, values), [columns[i].source for i in page.adjusted]
