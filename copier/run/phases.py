"""The phases of `full`, in their order; `schema` and `data` are the same phases without some of them.

backup -> validate, profile -> begin -> schema -> data (indexes behind it) -> constraints, verify -> report

What a comma joins runs at once: both only read, or take no lock that the other waits for.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from copier.config import Settings
from copier.errors import CopierError, CopyFailed
from copier.events import Listener
from copier.files import write_whole
from copier.plan.script import script
from copier.plan.source import TableProfile
from copier.postgres.connect import connect, is_transient
from copier.postgres.cutoff import run_until_cancelled
from copier.postgres.giving_back import close
from copier.report import Report, TableReport
from copier.run.backups import find_backup, hints_of_full
from copier.run.begin import Work, begin
from copier.run.constraints import add_constraints
from copier.run.former import ended_run, filled_tables
from copier.run.load import Load
from copier.run.outcome import add_rejects, describe, judge
from copier.run.preflight import preflight
from copier.run.progress import Progress
from copier.run.proof import Proof, run_facts
from copier.run.salvage import describe_salvage, named_damage, salvage_first
from copier.run.session import (
    Source,
    Target,
    beside,
    open_source,
    open_target,
    profile,
    require_sqlite,
    with_plan_schema,
)
from copier.run.structure import column_notes, create_tables, finish, make_room, put_all_back, set_aside
from copier.sqlite.backup import BackupResult
from copier.sqlite.backup import backup as backup_file
from copier.sqlite.salvage.result import SalvageResult


class Migration:
    """One run of `schema`, `data` or `full`."""

    def __init__(self, settings: Settings, listener: Listener, command: str) -> None:
        self._settings = with_plan_schema(settings)
        self._command = command
        self._backup_path: str | None = None
        self._backup_state = ""
        """State of the source that this run's backup is of; the backup has passed its check."""
        self._salvaged: SalvageResult | None = None
        self._progress = Progress(Report(command=command), listener)

    async def run(self) -> Report:
        """Do the phases; the report says how it went, also the one that an error carries."""
        with self._progress.errors():
            return await run_until_cancelled(self._run())

    async def _run(self) -> Report:
        settings, progress = self._settings, self._progress
        async with AsyncExitStack() as stack:
            if settings.salvage:
                settings, self._salvaged = await salvage_first(settings, progress)
                self._settings = settings
                describe_salvage(progress.report, self._salvaged)  # also in the report of an error
            if self._command == "full":
                await self._back_up()
            source = await stack.enter_async_context(open_source(settings))
            target = await stack.enter_async_context(open_target(settings, allow_embedded=self._command == "full"))
            describe(progress.report, settings, source, target)
            progress.report.source["backup"] = self._backup_path
            describe_salvage(progress.report, self._salvaged)
            progress.say(f"Source: {source.snapshot.note}.")
            if source.engine_note is not None:
                progress.say(source.engine_note)
            profiles = await self._look(source, target)
            work = await begin(settings, progress, source, target, profiles, self._command)
            self._write_script(work)
            await self._build(work)
            await self._close(work)
        return progress.finish()

    async def _look(self, source: Source, target: Target) -> dict[str, TableProfile]:
        """Check both sides and look at every value, at once: both only read. What a check refuses is told first."""
        settings, progress = self._settings, self._progress
        own_tables = await filled_tables(settings, target)
        ended = await ended_run(settings, source, target, self._command)
        checked = self._backup_state == source.state
        profiling = asyncio.create_task(profile(source, settings, progress))
        try:
            await preflight(settings, progress, source, target, own_tables=own_tables, checked=checked, ended=ended)
        except BaseException:
            profiling.cancel()
            await asyncio.wait((profiling,))
            if not profiling.cancelled():
                profiling.exception()  # told nobody: the check that failed matters more
            raise
        return await profiling

    async def _back_up(self) -> None:
        settings = self._settings
        if settings.no_backup:
            return
        source = require_sqlite(settings)
        state, to, there = await find_backup(settings)
        if there:
            self._progress.say(f"A backup of this state of the source is there already: {to}")
        else:
            try:
                with hints_of_full():
                    told = state if settings.backup else ""
                    result = await back_up(source, to, self._progress, told, deep=settings.deep)
            except CopyFailed as error:
                raise await named_damage(settings, error) from error
            to = result.path
            self._progress.say(f"Backup: {to}, sha256 {result.sha256}")
            self._backup_state = state
        self._backup_path = str(to)

    def _write_script(self, work: Work) -> None:
        path = self._settings.script
        if path is not None:
            try:
                write_whole(path, script(work.plan).encode())
            except OSError as error:
                self._progress.warn(f"The SQL script could not be written to {path}: {error.strerror}")
                return
            self._progress.report.target["script"] = str(path)
            self._progress.say(f"The same as an SQL script: {path}")

    async def _build(self, work: Work) -> None:
        """Create, copy, finish and verify."""
        phase = self._progress.phase
        with phase("schema"):
            await make_room(work)
            if self._command != "data":
                await create_tables(work)
        if self._command != "schema":
            await set_aside(work)
        rows = sum(work.profiles[t.source].rows for t in work.plan.tables)
        with phase(*(("indexes",) if self._command == "schema" else ("data", len(work.plan.tables), rows))):
            await Load(work, with_data=self._command != "schema").run()
        added, finished = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._constrain(work, added, finished))
            if self._command != "schema":
                # Reading takes no lock that a validation waits for. Statements of the plan file may change rows,
                # though: what is proved then is what they leave.
                group.create_task(self._verify(work, finished if work.plan.after_data else added, finished))

    async def _constrain(self, work: Work, added: asyncio.Event, finished: asyncio.Event) -> None:
        """Do what needs all data; says when the constraints stand, and when all is done."""
        with self._progress.phase("constraints"):
            await put_all_back(work)
            constraints = await add_constraints(work)
            added.set()
            await finish(work, constraints)
        finished.set()

    async def _verify(self, work: Work, begin: asyncio.Event, finished: asyncio.Event) -> None:
        await begin.wait()
        async with beside(work.target) as target:
            await self._prove(work, target, finished)
        await add_rejects(self._progress.report, work.target, work.plan, work.run.id)

    async def _prove(self, work: Work, target: Target, finished: asyncio.Event) -> None:
        control, ledger = target.control, target.ledger
        totals = await ledger.chunks.totals(control, work.run.id)
        states = await ledger.table_states(control, work.run.id)
        for table in work.plan.tables:
            total, state = totals.get(table.source), states[table.source]
            report = TableReport(table.source, table.target, source_rows=state["source_rows"])
            if total is not None:
                report.copied_rows, report.rejected_rows, report.bytes = total.rows, total.rejected, total.bytes
                report.adjusted_values, report.fallback_rows = total.adjusted, total.fallback_rows
            if state["started_at"] and state["finished_at"]:
                report.seconds = round((state["finished_at"] - state["started_at"]).total_seconds(), 3)
            self._progress.report.tables.append(report)
        facts = await run_facts(control, ledger, work.run.id)
        await Proof(self._progress, work.source, target, work.plan, facts).run(self._settings.level, finished)

    async def _close(self, work: Work) -> None:
        report = self._progress.report
        if self._command == "schema":
            report.tables += [TableReport(t.source, t.target) for t in work.plan.tables]
        facts = [(t.name, c.name, c.default, bool(c.generated)) for t in work.source.schema.tables for c in t.columns]
        objects = await work.target.ledger.objects.all(work.target.control, work.run.id)
        report.objects += [*work.plan.notes, *column_notes(work.plan, objects, facts), *work.notes]
        report.warnings += work.plan.warnings
        judge(report)
        await self._end(work)

    async def _end(self, work: Work) -> None:
        """Close the run in the ledger; once more, on a new connection, when the answer got lost."""
        report, target = self._progress.report, work.target
        try:
            await target.ledger.end_run(target.control, work.run.id, report.outcome, report.to_json())
        except Exception as error:
            if not is_transient(error):
                raise
            try:
                control = await connect(target.dsn)
                try:
                    await target.ledger.lock(control, work.plan.schema)
                    await target.ledger.end_run(control, work.run.id, report.outcome, report.to_json())
                finally:
                    await close(control)
            except CopierError:
                raise error from None


async def back_up(source: Path, to: Path, progress: Progress, state: str = "", *, deep: bool = True) -> BackupResult:
    """Back the source up as a phase of a verb.

    `full` reads every row of the source anyway and proves it: it needs no deep check of the copy's indexes.
    """
    with progress.phase("backup"):
        told = progress.pages
        return await backup_file(source, to, lambda done, total: told(done, total), state=state, deep=deep)
