"""The verbs as coroutines. `copier.run` does the work."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from copier.assess.assessment import Assessment, assess
from copier.config import Settings
from copier.errors import CopierError, PlanError, UsageError
from copier.events import Listener, Message, ignore
from copier.plan.existing import ExistingTable
from copier.plan.model import Plan
from copier.plan.retry import with_target_types
from copier.plan.script import script
from copier.postgres.catalog import read_target
from copier.postgres.cutoff import run_until_cancelled
from copier.postgres.ledger import Run
from copier.report import Report, TableReport
from copier.run.outcome import add_rejects, describe, judge
from copier.run.phases import Migration, back_up
from copier.run.preflight import preflight
from copier.run.progress import Progress
from copier.run.proof import Proof, run_facts
from copier.run.rejects import Reject, list_rejects
from copier.run.retry import retry_rejects
from copier.run.rollback import RollbackResult, rollback
from copier.run.rollback_print import print_rollback
from copier.run.session import existing_tables, make_plan, open_source, open_target, profile, with_plan_schema
from copier.run.status import RunStatus, status
from copier.sqlite.backup import BackupResult
from copier.sqlite.chatdb import make_chat_database
from copier.sqlite.salvage.result import SalvageResult
from copier.sqlite.salvage.run import salvage as salvage_file

__all__ = [
    "BackupResult",
    "Reject",
    "RollbackResult",
    "RunStatus",
    "SalvageResult",
    "backup",
    "check",
    "data",
    "demo",
    "full",
    "inspect",
    "list_rejects",
    "print_rollback",
    "retry_rejects",
    "rollback",
    "salvage",
    "schema",
    "schema_script",
    "status",
    "validate",
]


async def inspect(settings: Settings, listener: Listener = ignore, *, look_at_target: bool = False) -> Assessment:
    """Profile the source and plan. Raises SourceUnreadable, SourceBusy, PlanError, UsageError.

    With `look_at_target` the tables the target has already are the plan, as they are for a run, and what does not fit
    them is a problem; TargetUnusable when it cannot be reached. Without, no target is needed.
    """
    settings = with_plan_schema(settings)
    progress = Progress(Report(command="inspect"), listener)
    async with open_source(settings, readers=1) as source:
        profiles = await profile(source, settings, progress)
        found = await _tables_there(settings) if look_at_target else None
        return assess(source.schema, profiles, make_plan(source, profiles, settings, found))


async def _tables_there(settings: Settings) -> dict[str, ExistingTable]:
    async with open_target(settings) as target:
        return existing_tables(await read_target(target.control, settings.schema), ())


async def validate(settings: Settings, listener: Listener = ignore) -> Report:
    """Check both sides. The report's outcome is `verified`, or `refused` with the first check that failed."""
    progress = Progress(Report(command="validate"), listener)
    return await run_until_cancelled(_validate(with_plan_schema(settings), progress))


async def _validate(settings: Settings, progress: Progress) -> Report:
    async with open_source(settings, readers=1) as source, open_target(settings) as target:
        describe(progress.report, settings, source, target)
        try:
            await preflight(settings, progress, source, target)
            progress.report.outcome = "verified"
        except CopierError as error:
            progress.fail(error)
    return progress.finish()


async def backup(source: Path, to: Path, listener: Listener = ignore) -> BackupResult:
    """Copy the source with SQLite's online backup, check the copy, and write its sha256 beside it."""
    progress = Progress(Report(command="backup"), listener)
    return await back_up(source, to, progress)


async def salvage(source: Path, to: Path, listener: Listener = ignore, *, immutable: bool = False) -> SalvageResult:
    """Write what can be read of a damaged SQLite file into a new one, and list what cannot: see docs/salvage.md."""
    progress = Progress(Report(command="salvage", source={"path": str(source)}), listener)
    with progress.errors(), progress.phase("salvage"):
        return await salvage_file(source, to, progress.pages, immutable=immutable)


async def schema_script(settings: Settings, listener: Listener = ignore) -> str:
    """Return the whole DDL as a script for psql. With a target, its existing tables are left as they are."""
    settings = with_plan_schema(settings)
    progress = Progress(Report(command="schema"), listener)
    async with open_source(settings, readers=1) as source:
        profiles = await profile(source, settings, progress)
        if settings.postgres is None:
            return script(make_plan(source, profiles, settings))
        return script(make_plan(source, profiles, settings, await _tables_there(settings)))


async def schema(settings: Settings, listener: Listener = ignore) -> Report:
    """Create tables, indexes, constraints, views and triggers, without data."""
    return await Migration(settings, listener, "schema").run()


async def data(settings: Settings, listener: Listener = ignore) -> Report:
    """Copy the data into tables that exist, and verify it."""
    if settings.existing == "replace":
        raise UsageError("--existing=replace makes tables anew, which `data` does not", hint="use `full`")
    return await Migration(settings, listener, "data").run()


async def full(settings: Settings, listener: Listener = ignore) -> Report:
    """Move everything and prove it. After a CopierError the same call goes on from what was committed."""
    return await Migration(settings, listener, "full").run()


async def check(settings: Settings, listener: Listener = ignore) -> Report:
    """Compare the target with the source as it is now."""
    progress = Progress(Report(command="check"), listener)
    with progress.errors():
        return await run_until_cancelled(_check(with_plan_schema(settings), progress))


async def _check(settings: Settings, progress: Progress) -> Report:
    async with open_source(settings) as source, open_target(settings, allow_embedded=True) as target:
        describe(progress.report, settings, source, target)
        if source.engine_note is not None:
            progress.say(source.engine_note)
        control, ledger = target.control, target.ledger
        run = await ledger.latest_data(control, settings.schema) if await ledger.upgrade(control) else None
        states = await ledger.table_states(control, run.id) if run else {}
        created = {row["target"] for row in states.values() if not row["existing"]}
        there = await read_target(control, settings.schema)
        found = existing_tables(there, created)
        recorded = await ledger.plan_text(control, run.id) if run else None
        profiles = {} if recorded or settings.plan else await profile(source, settings, progress)
        try:
            plan = make_plan(source, profiles, settings, found, recorded=recorded)
        except PlanError as error:
            if run is None or settings.plan is not None:
                raise
            raise _other_source(run, error) from error
        plan = with_target_types(plan, existing_tables(there, ()))
        plan = _only_present(plan, progress, {*found, *created})
        progress.report.run = run.id if run else None
        facts = await run_facts(control, ledger, run.id if run else None)
        await Proof(progress, source, target, plan, facts).run(settings.level)
        await add_rejects(progress.report, target, plan, progress.report.run)
    judge(progress.report)
    return progress.finish()


def _other_source(run: Run, error: PlanError) -> UsageError:
    return UsageError(
        f"the plan of run {run.id}, which moved {run.source} here, does not fit this source: {error}",
        hint="give --sqlite the file that run moved, --schema the schema this one is in, or --plan its plan",
    )


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
        detail = f"{table.target} is not in the target"
        progress.report.add_check(f"table {table.source}", False, detail)
    return replace(plan, tables=tuple(t for t in plan.tables if t.target in names))
