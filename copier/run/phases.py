"""The phases of `full`, in their order; `schema` and `data` are the same phases without some of them.

backup -> validate -> profile -> begin -> schema -> data (indexes behind it) -> constraints -> verify -> report
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from copier.config import Settings
from copier.errors import CopierError
from copier.events import Listener
from copier.plan.script import script
from copier.postgres.connect import connect, is_transient
from copier.postgres.cutoff import run_until_cancelled
from copier.report import Report, TableReport
from copier.run.begin import Work, begin, filled_tables
from copier.run.load import Load
from copier.run.outcome import add_rejects, describe, judge
from copier.run.preflight import preflight
from copier.run.progress import Progress
from copier.run.proof import Proof, run_facts
from copier.run.session import open_source, open_target, profile, require_sqlite, source_state, with_plan_schema
from copier.run.structure import column_notes, create_tables, finish, make_room, put_all_back, set_aside
from copier.sqlite.backup import BackupResult
from copier.sqlite.backup import backup as backup_file
from copier.sqlite.backup_sums import is_backup_of


class Migration:
    """One run of `schema`, `data` or `full`."""

    def __init__(self, settings: Settings, listener: Listener, command: str) -> None:
        self._settings = with_plan_schema(settings)
        self._command = command
        self._backup_path: str | None = None
        self._progress = Progress(Report(command=command), listener)

    async def run(self) -> Report:
        """Do the phases; the report says how it went, also the one that an error carries."""
        with self._progress.errors():
            return await run_until_cancelled(self._run())

    async def _run(self) -> Report:
        settings, progress = self._settings, self._progress
        async with AsyncExitStack() as stack:
            if self._command == "full":
                await self._back_up()
            source = await stack.enter_async_context(open_source(settings))
            target = await stack.enter_async_context(open_target(settings, allow_embedded=self._command == "full"))
            describe(progress.report, settings, source, target)
            progress.report.source["backup"] = self._backup_path
            progress.say(f"Source: {source.snapshot.note}.")
            if source.engine_note is not None:
                progress.say(source.engine_note)
            await preflight(settings, progress, source, target, own_tables=await filled_tables(settings, target))
            profiles = await profile(source, settings, progress)
            work = await begin(settings, progress, source, target, profiles, self._command)
            self._write_script(work)
            await self._build(work)
            await self._close(work)
        return progress.finish()

    async def _back_up(self) -> None:
        settings = self._settings
        if settings.no_backup:
            return
        source = require_sqlite(settings)
        state = await source_state(settings)
        to = settings.backup or source.with_name(f"{source.name}.{state}.backup")
        if await is_backup_of(to, state, named=settings.backup is None):
            self._progress.say(f"A backup of this state of the source is there already: {to}")
        else:
            result = await back_up(source, to, self._progress, state if settings.backup else "", deep=settings.deep)
            to = result.path
            self._progress.say(f"Backup: {to}, sha256 {result.sha256}")
        self._backup_path = str(to)

    def _write_script(self, work: Work) -> None:
        path = self._settings.script
        if path is not None:
            try:
                path.write_text(script(work.plan), encoding="utf-8")
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
        with phase("constraints"):
            await put_all_back(work)
            await finish(work)
        if self._command != "schema":
            await self._verify(work)

    async def _verify(self, work: Work) -> None:
        control, ledger = work.target.control, work.target.ledger
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
        await Proof(self._progress, work.source, work.target, work.plan, facts).run(self._settings.level)
        await add_rejects(self._progress.report, work.target, work.plan, work.run.id)

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
                    await control.close()
            except CopierError:
                raise error from None


async def back_up(source: Path, to: Path, progress: Progress, state: str = "", *, deep: bool = True) -> BackupResult:
    """Back the source up as a phase of a verb.

    `full` reads every row of the source anyway and proves it: it needs no deep check of the copy's indexes.
    """
    with progress.phase("backup"):
        told = progress.pages
        return await backup_file(source, to, lambda done, total: told(done, total), state=state, deep=deep)
