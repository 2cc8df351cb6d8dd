"""The verbs as coroutines, and the phases of `full` in their order.

backup -> validate -> profile -> schema -> data (indexes behind it) -> constraints -> verify -> report
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import orjson

from copier.assessment import Assessment, assess
from copier.begin import Work, begin, filled_tables
from copier.config import Settings
from copier.errors import CopierError, UsageError
from copier.events import Listener, Message, ignore
from copier.load import Load
from copier.plan.model import Plan
from copier.plan.reasons import is_decided
from copier.plan.script import script
from copier.postgres.catalog import read_target
from copier.preflight import preflight
from copier.proof import Proof, run_facts
from copier.report import REJECTS_SHOWN, RejectReport, Report, TableReport
from copier.rollback import RollbackResult, rollback
from copier.session import (
    Progress,
    Source,
    Target,
    existing_tables,
    make_plan,
    open_source,
    open_target,
    profile,
    require_sqlite,
    source_state,
    with_plan_schema,
)
from copier.sqlite.backup import BackupResult
from copier.sqlite.backup import backup as backup_file
from copier.sqlite.chatdb import make_chat_database
from copier.status import RunStatus, status
from copier.structure import column_notes, create_tables, finish, make_room, put_all_back, set_aside
from copier.wire.keys import key_from_json, show_key, show_row, show_value
from copier.wire.values import value_from_json

__all__ = [
    "BackupResult",
    "RollbackResult",
    "RunStatus",
    "backup",
    "check",
    "data",
    "demo",
    "full",
    "inspect",
    "rollback",
    "schema",
    "schema_script",
    "status",
    "validate",
]

NO_PERSON_NEEDED = frozenset({"internal table", "shadow table"})
"""Kinds of objects that nobody misses in PostgreSQL."""


async def inspect(settings: Settings, listener: Listener = ignore) -> Assessment:
    """Profile the source and plan; no target is needed. Raises SourceUnreadable, SourceBusy, PlanError, UsageError."""
    settings = with_plan_schema(settings)
    progress = Progress(Report(command="inspect"), listener)
    async with open_source(settings, readers=1) as source:
        profiles = await profile(source, settings, progress)
        return assess(source.schema, profiles, make_plan(source, profiles, settings))


async def validate(settings: Settings, listener: Listener = ignore) -> Report:
    """Check both sides. The report's outcome is `verified`, or `refused` with the first check that failed."""
    settings = with_plan_schema(settings)
    progress = Progress(Report(command="validate"), listener)
    async with open_source(settings, readers=1) as source, open_target(settings) as target:
        _describe(progress.report, settings, source, target)
        try:
            await preflight(settings, progress, source, target)
            progress.report.outcome = "verified"
        except CopierError as error:
            progress.fail(error)
    return progress.finish()


async def backup(source: Path, to: Path, listener: Listener = ignore) -> BackupResult:
    """Copy the source with SQLite's online backup, check the copy, and write its sha256 beside it."""
    progress = Progress(Report(command="backup"), listener)
    return await _backup(source, to, progress)


async def schema_script(settings: Settings, listener: Listener = ignore) -> str:
    """Return the whole DDL as a script for psql. With a target, its existing tables are left as they are."""
    settings = with_plan_schema(settings)
    progress = Progress(Report(command="schema"), listener)
    async with open_source(settings, readers=1) as source:
        profiles = await profile(source, settings, progress)
        if settings.postgres is None:
            return script(make_plan(source, profiles, settings))
        async with open_target(settings) as target:
            found = existing_tables(await read_target(target.control, settings.schema), ())
            return script(make_plan(source, profiles, settings, found))


async def schema(settings: Settings, listener: Listener = ignore) -> Report:
    """Create tables, indexes, constraints, views and triggers, without data."""
    return await _Migration(settings, listener, "schema").run()


async def data(settings: Settings, listener: Listener = ignore) -> Report:
    """Copy the data into tables that exist, and verify it."""
    if settings.existing == "replace":
        raise UsageError("--existing=replace makes tables anew, which `data` does not", hint="use `full`")
    return await _Migration(settings, listener, "data").run()


async def full(settings: Settings, listener: Listener = ignore) -> Report:
    """Move everything and prove it. After a CopierError the same call goes on from what was committed."""
    return await _Migration(settings, listener, "full").run()


async def check(settings: Settings, listener: Listener = ignore) -> Report:
    """Compare the target with the source as it is now."""
    progress = Progress(Report(command="check"), listener)
    with progress.errors():
        return await _check(with_plan_schema(settings), progress)


async def _check(settings: Settings, progress: Progress) -> Report:
    async with open_source(settings) as source, open_target(settings, allow_embedded=True) as target:
        _describe(progress.report, settings, source, target)
        control, ledger = target.control, target.ledger
        run = await ledger.latest_data(control, settings.schema) if await ledger.exists(control) else None
        states = await ledger.table_states(control, run.id) if run else {}
        created = {row["target"] for row in states.values() if not row["existing"]}
        found = existing_tables(await read_target(control, settings.schema), created)
        recorded = await ledger.plan_text(control, run.id) if run else None
        profiles = {} if recorded or settings.plan else await profile(source, settings, progress)
        plan = make_plan(source, profiles, settings, found, recorded=recorded)
        plan = _only_present(plan, progress, {*found, *created})
        progress.report.run = run.id if run else None
        facts = await run_facts(control, ledger, run.id if run else None)
        await Proof(progress, source, target, plan, facts).run(settings.level)
        await _add_rejects(progress.report, target, plan, progress.report.run)
    _judge(progress.report)
    return progress.finish()


async def demo(directory: Path, messages: int = 100_000, listener: Listener = ignore) -> Report:
    """Make a chat database in `directory` and move it into an embedded server beside it."""
    path = await asyncio.to_thread(_demo_database, directory, messages, listener)
    return await full(Settings(sqlite=path, existing="replace"), listener)


def _demo_database(directory: Path, messages: int, listener: Listener) -> Path:
    path = directory / "chat.db"
    directory.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        listener(Message("info", f"Making a chat database with {messages:,} messages: {path}"))
        make_chat_database(path, messages)
    return path


def _only_present(plan: Plan, progress: Progress, names: set[str]) -> Plan:
    missing = [t for t in plan.tables if t.target not in names]
    for table in missing:
        progress.report.tables.append(TableReport(table.source, table.target))
        progress.report.checks.append(
            {"name": f"table {table.source}", "ok": False, "detail": f"{table.target} is not in the target", "hint": ""}
        )
    return replace(plan, tables=tuple(t for t in plan.tables if t.target in names))


async def _backup(source: Path, to: Path, progress: Progress) -> BackupResult:
    with progress.phase("backup"):
        return await backup_file(source, to, lambda done, total: progress.pages(done, total))


def _describe(report: Report, settings: Settings, source: Source, target: Target) -> None:
    report.engine = source.engine.name
    report.source = {
        "path": str(source.path.resolve()),
        "bytes": source.estimated_bytes,
        "journal_mode": source.schema.journal_mode,
        "encoding": source.schema.encoding,
        "snapshot": source.snapshot.mode,
        "fingerprint": source.snapshot.fingerprint.digest(),
    }
    report.target = target.document(settings.schema)


class _Migration:
    """One run of `schema`, `data` or `full`."""

    def __init__(self, settings: Settings, listener: Listener, command: str) -> None:
        self._settings = with_plan_schema(settings)
        self._command = command
        self._backup_path: str | None = None
        self._progress = Progress(Report(command=command), listener)

    async def run(self) -> Report:
        """Do the phases; the report says how it went, also the one that an error carries."""
        with self._progress.errors():
            return await self._run()

    async def _run(self) -> Report:
        settings, progress = self._settings, self._progress
        async with AsyncExitStack() as stack:
            if self._command == "full":
                await self._back_up()
            source = await stack.enter_async_context(open_source(settings))
            target = await stack.enter_async_context(open_target(settings, allow_embedded=self._command == "full"))
            _describe(progress.report, settings, source, target)
            progress.report.source["backup"] = self._backup_path
            progress.say(f"Source: {source.snapshot.note}.")
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
        to = settings.backup or source.with_name(f"{source.name}.{await source_state(settings)}.backup")
        if settings.backup is None and to.exists():
            self._progress.say(f"A backup of this state of the source is there already: {to}")
        else:
            result = await _backup(source, to, self._progress)
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
                report.adjusted_values = total.adjusted
            if state["started_at"] and state["finished_at"]:
                report.seconds = round((state["finished_at"] - state["started_at"]).total_seconds(), 3)
            self._progress.report.tables.append(report)
        facts = await run_facts(control, ledger, work.run.id)
        await Proof(self._progress, work.source, work.target, work.plan, facts).run(self._settings.level)
        await _add_rejects(self._progress.report, work.target, work.plan, work.run.id)

    async def _close(self, work: Work) -> None:
        report = self._progress.report
        if self._command == "schema":
            report.tables += [TableReport(t.source, t.target) for t in work.plan.tables]
        facts = [(t.name, c.name, c.default, bool(c.generated)) for t in work.source.schema.tables for c in t.columns]
        objects = await work.target.ledger.objects.all(work.target.control, work.run.id)
        report.objects += [*work.plan.notes, *column_notes(work.plan, objects, facts), *work.notes]
        report.warnings += work.plan.warnings
        _judge(report)
        await work.target.ledger.end_run(work.target.control, work.run.id, report.outcome, report.to_json())


async def _add_rejects(report: Report, target: Target, plan: Plan, run: str | None) -> None:
    if run is None:
        return
    for row in await target.ledger.rejects.first(target.control, run, REJECTS_SHOWN):
        key, values = key_from_json(row["key"]), [value_from_json(pair) for pair in orjson.loads(row["row_data"])]
        table = plan.table(row["source"])
        names = [c.source for c in table.copied] if table is not None else []
        by_name = dict(zip(names, values, strict=False))
        where = show_row(table, by_name, key) if table is not None else show_key((), key)
        column = row["column_name"]
        value = show_value(by_name[column]) if column in by_name else ""
        report.rejects.append(RejectReport(row["source"], where, column, value, row["reason"]))


def _judge(report: Report) -> None:
    """Set the outcome by what is in the report."""
    wrong = bool(report.mismatches) or any(t.verified is None for t in report.tables if report.command != "schema")
    left = any(
        note.status == "failed"
        or (note.status == "skipped" and note.kind not in NO_PERSON_NEEDED and not is_decided(note))
        for note in report.objects
    )
    rejected = any(t.rejected_rows for t in report.tables)
    unsound = any(not c["ok"] for c in report.checks if c["name"].startswith(("sequence", "constraint")))
    if wrong:
        report.outcome = "mismatch"
    else:
        report.outcome = "attention" if left or rejected or unsound else "verified"
