"""What `validate` checks, and `full` before it begins: both sides, and whether they fit each other."""

from __future__ import annotations

from collections.abc import Sequence

from copier.config import Settings
from copier.errors import SourceUnreadable, TargetUnusable
from copier.plan.file_read import parse_file
from copier.plan.select import is_selected
from copier.postgres.probe import Check, probe_target, writable
from copier.run.former import EndedRun
from copier.run.progress import Progress
from copier.run.session import Source, Target, read_plan_file
from copier.sqlite.health import free_bytes, other_openers, quick_check
from copier.units import plural, size

GROWTH = 2.0
"""PostgreSQL size by SQLite size: tuple headers, indexes and the WAL of the load."""


async def preflight(
    settings: Settings,
    progress: Progress,
    source: Source,
    target: Target,
    *,
    own_tables: frozenset[str] = frozenset(),
    checked: bool = False,
    ended: EndedRun | None = None,
) -> None:
    """Run every check and put it into the report; raises for the first fatal one that failed.

    `own_tables` are target tables that the run to be resumed created: their rows are no obstacle. `checked` means that
    this run's backup is of this very state and has passed the check of its pages, which need not be read again for it.
    `ended` is a run that has done the same already.
    """
    with progress.phase("validate"):
        checks = await _source_checks(settings, source, checked)
        _record(progress, checks)
        _refuse(checks, SourceUnreadable)
        probed = await probe_target(
            target.dsn,
            settings.schema,
            settings.ledger_schema,
            needs=_extensions(settings),
            estimate_bytes=round(source.estimated_bytes * GROWTH),
            jobs=settings.writers,
            allow_rows=settings.existing != "refuse",
            own_tables=own_tables,
            tables=_table_names(settings, source),
        )
        if ended is not None:
            probed = [ended.explain(check) for check in probed]
        _record(progress, probed)
        _refuse(probed, TargetUnusable)


def require_writable(target: Target) -> None:
    """Raise TargetUnusable for a standby, or where transactions are read-only: before a verb writes its first word."""
    check = writable(target.info)
    if not check.ok:
        raise TargetUnusable(f"nothing can be written to this target: {check.detail}", hint=check.hint)


async def _source_checks(settings: Settings, source: Source, checked: bool) -> list[Check]:
    name = "integrity_check" if settings.deep else "quick_check"
    problems: list[str] = []
    shown = "its backup, of the same state, has passed it" if checked else "no problem found"
    if not checked:
        async with source.snapshot.reader() as connection:
            problems = await quick_check(connection, settings.deep)
    if problems:
        shown = "; ".join(problems[:3]) + (f" and {len(problems) - 3} more" if len(problems) > 3 else "")
    openers = other_openers(source.path)
    room = free_bytes(source.path.resolve().parent)
    wanted = 0 if settings.no_backup else source.estimated_bytes
    return [
        Check("source opens", True, f"{source.path}: {source.snapshot.note}"),
        Check(
            f"source passes {name}",
            not problems,
            shown,
            "restore a good copy of the file; --salvage copies what can be read, and lists what cannot",
        ),
        Check(
            "nobody else has the source open",
            not openers,
            ", ".join(openers[:5]) or "nobody",
            "stop the application before the cutover: what it writes after the snapshot is not copied",
            fatal=False,
        ),
        Check(
            "disk space beside the source",
            room >= wanted,
            f"{size(room)} free, the backup needs {size(wanted)}",
            "free some space, choose another place with --backup, or leave it out with --no-backup",
            fatal=settings.backup is None and not settings.no_backup,
        ),
    ]


def _table_names(settings: Settings, source: Source) -> frozenset[str]:
    """Source tables to be copied."""
    tables = source.schema.tables
    return frozenset(t.name for t in tables if is_selected(t.name, settings.tables, settings.exclude))


def _extensions(settings: Settings) -> tuple[str, ...]:
    if settings.plan is None:
        return ()
    return tuple(parse_file(read_plan_file(settings.plan)).extensions)


def _record(progress: Progress, checks: Sequence[Check]) -> None:
    for check in checks:
        hint = "" if check.ok else check.hint
        progress.report.add_check(check.name, check.ok, check.detail, hint, fatal=check.fatal)


def _refuse(checks: Sequence[Check], kind: type[SourceUnreadable] | type[TargetUnusable]) -> None:
    failed = [check for check in checks if check.fatal and not check.ok]
    if failed:
        first = failed[0]
        more = f" (and {plural(len(failed) - 1, 'more check')} failed)" if len(failed) > 1 else ""
        raise kind(f"the check {first.name!r} failed: {first.detail}{more}", hint=first.hint)
