"""Beginning a run, or going on with one that did not end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

from copier.config import Settings
from copier.errors import SourceUnreadable, TargetUnusable, UsageError
from copier.events import Message
from copier.plan.existing import ExistingTable
from copier.plan.file import dump_plan
from copier.plan.model import ObjectNote, Plan
from copier.plan.names import qualify
from copier.plan.source import TableProfile
from copier.postgres.catalog import read_target
from copier.postgres.ledger import Run
from copier.postgres.ledger_objects import ObjectRow
from copier.postgres.schema import SchemaBuilder
from copier.run.former import ENDED_HINT, EndedRun, ended_run, read_setup, refuse_changed
from copier.run.progress import Progress
from copier.run.session import Source, Target, digest, existing_tables, make_plan, new_run_id
from copier.units import plural


@dataclass(slots=True)
class Work:
    """A run under way: what its phases share."""

    settings: Settings
    progress: Progress
    source: Source
    target: Target
    profiles: Mapping[str, TableProfile]
    plan: Plan
    run: Run
    attempt: int
    """0, or how many times the run was resumed."""
    objects: list[ObjectRow]
    """What earlier attempts recorded."""
    builder: SchemaBuilder
    replaced: tuple[str, ...] = ()
    """Target tables to drop and make anew (`existing` is `replace`)."""
    notes: list[ObjectNote] = field(default_factory=list)


async def begin(
    settings: Settings,
    progress: Progress,
    source: Source,
    target: Target,
    profiles: Mapping[str, TableProfile],
    command: str,
) -> Work:
    """Take the lock, plan, and record a new run, or resume the unfinished one when nothing changed since.

    Raises RunBusy, ResumeRefused, or TargetUnusable when target tables hold rows and `existing` is `refuse`. Nothing
    but the ledger's own tables has been created when it raises.
    """
    control, ledger = target.control, target.ledger
    await ledger.lock(control, settings.schema)
    await ledger.create(control)
    former = await ledger.unfinished(control, settings.schema)
    objects = await ledger.objects.all(control, former.id) if former else []
    ours = frozenset(o.name for o in objects if o.kind == "table")
    plan, existing, replaced = await _plan(settings, source, target, profiles, ours)
    _refuse_orphans(settings, plan)
    if command == "data":
        _require_tables(plan)
    if any(table.existing for table in plan.tables):
        for warning in plan.warnings:
            progress.listener(Message("warning", warning))
    run = _new_run(settings, source, read_setup(settings, source, command, plan, existing), command)
    if former is not None:
        await refuse_changed(settings, source, former, run.setup_parts)
        run, attempt = former, await ledger.resume_run(control, former.id)
        progress.say(f"Going on with run {former.id} (attempt {attempt + 1}).")
    else:
        attempt = 0
        await _record(run, settings, source, target, plan, profiles)
    progress.report.run = run.id
    done = [(o.kind, o.name, o.source_table) for o in objects if o.state == "created"]
    builder = SchemaBuilder(ledger, run.id, done)
    return Work(settings, progress, source, target, profiles, plan, run, attempt, objects, builder, replaced)


def _new_run(settings: Settings, source: Source, setup: dict[str, str], command: str) -> Run:
    return Run(
        id=new_run_id(),
        command=command,
        source=str(source.path.resolve()),
        target_schema=settings.schema,
        setup=digest(*setup.values()),
        setup_parts=setup,
    )


async def _record(
    run: Run, settings: Settings, source: Source, target: Target, plan: Plan, profiles: Mapping[str, TableProfile]
) -> None:
    """Write a new run into the ledger; TargetUnusable where its tables hold rows that must not be there."""
    before = await _rows_before(settings, target, plan)
    if settings.existing == "refuse" and any(before.values()):
        _refuse_rows(before, await ended_run(settings, source, target, run.command))
    tables = [(t.source, t.target, t.existing, before.get(t.target, 0), profiles[t.source].rows) for t in plan.tables]
    await target.ledger.begin_run(target.control, run, dump_plan(plan), tables)


async def _plan(
    settings: Settings,
    source: Source,
    target: Target,
    profiles: Mapping[str, TableProfile],
    ours: frozenset[str],
) -> tuple[Plan, dict[str, ExistingTable], tuple[str, ...]]:
    found = existing_tables(await read_target(target.control, settings.schema), without=ours)
    plan = make_plan(source, profiles, settings, found)
    if settings.existing != "replace":
        return plan, found, ()
    replaced = tuple(t.target for t in plan.tables if t.existing)
    rest = {name: table for name, table in found.items() if name not in replaced}
    return make_plan(source, profiles, settings, rest), rest, replaced


def _refuse_orphans(settings: Settings, plan: Plan) -> None:
    if settings.orphans != "fail":
        return
    for table in plan.tables:
        for key in table.foreign_keys:
            if key.orphans:
                rows = f"{plural(key.orphans, 'row')} of {table.source}"
                raise SourceUnreadable(
                    f"{rows} without a parent in {key.parent_table} ({key.name})",
                    hint="correct them, or choose --orphans=not-valid or --orphans=quarantine",
                    table=table.source,
                )


def _require_tables(plan: Plan) -> None:
    missing = [t.target for t in plan.tables if not t.existing]
    if missing:
        raise UsageError(
            f"{plural(len(missing), 'table')} not in the target: {', '.join(missing[:5])}",
            hint="create them first (`sqlite2pg schema`), leave them out with --exclude, or use `full`",
        )


async def _rows_before(settings: Settings, target: Target, plan: Plan) -> dict[str, int]:
    """Return existing target table -> its rows, but for tables that will be emptied."""
    counts: dict[str, int] = {}
    for table in plan.tables:
        if table.existing and settings.existing != "truncate":
            name = qualify(settings.schema, table.target)
            counts[table.target] = await target.control.fetchval(f"SELECT count(*) FROM {name}")
    return counts


def _refuse_rows(counts: Mapping[str, int], ended: EndedRun | None) -> NoReturn:
    filled = {name: count for name, count in counts.items() if count}
    listed = ", ".join(f"{name} ({plural(count, 'row')})" for name, count in list(filled.items())[:5])
    more = f" and {len(filled) - 5} more" if len(filled) > 5 else ""
    said = f"the target tables are not empty: {listed}{more}"
    if ended is not None:
        raise TargetUnusable(f"{said}; {ended}", hint=ENDED_HINT)
    raise TargetUnusable(
        said,
        hint="nothing was changed. `sqlite2pg status` shows earlier runs and `rollback` removes one; "
        "--existing=append, truncate or replace are choices",
    )


def with_plain_columns(plan: Plan, plain: set[tuple[str, str]]) -> Plan:
    """Return the plan with the given generated columns (source table, source column) copied as plain data."""
    if not plain:
        return plan
    tables = []
    for table in plan.tables:
        columns = tuple(replace(c, generated=None) if (table.source, c.source) in plain else c for c in table.columns)
        tables.append(replace(table, columns=columns))
    return replace(plan, tables=tuple(tables))
