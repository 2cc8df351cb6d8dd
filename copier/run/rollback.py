"""Removing exactly what a run created: what the ledger knows, in one transaction, after a dump of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from copier.config import Settings
from copier.errors import RollbackRefused, TerminalError
from copier.events import Listener, ignore
from copier.plan.names import qualify
from copier.postgres.cutoff import run_until_cancelled
from copier.postgres.dump import dump as dump_tables
from copier.postgres.ledger import Ledger, Run
from copier.postgres.ledger_objects import ObjectRow
from copier.postgres.ledger_tables import Connection
from copier.postgres.savepoint import savepoint
from copier.postgres.setaside import SetAside, put_back
from copier.postgres.undo import delete_written_rows, xmin_filter
from copier.postgres.writer import server_words
from copier.report import Report
from copier.run.progress import Progress
from copier.run.session import Target, open_target

GONE = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedObjectError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)
"""What DROP says of an object that somebody, or a dropped table, took along."""


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """What a rollback did."""

    run: str
    dropped: list[str]
    """Kind and name of each object dropped."""
    deleted_rows: dict[str, int]
    """Target table -> rows taken out of tables that the run did not create."""
    dump: Path | None
    put_back: list[str] = field(default_factory=list)
    """Objects that the run had set aside."""


@dataclass(frozen=True, slots=True)
class TableChange:
    """How a table differs from what the run left."""

    target: str
    created: bool
    written: int
    """Rows the run wrote."""
    unchanged: int
    """Of these, rows still as it wrote them."""
    others: int
    """Rows somebody else added, or changed since."""


async def rollback(
    settings: Settings,
    listener: Listener = ignore,
    *,
    run: str | None = None,
    dump: Path | None = None,
    no_dump: bool = False,
    discard_changes: bool = False,
) -> RollbackResult:
    """Take back a run, the newest by default.

    Raises RollbackRefused, and changes nothing, when there is no such run, when rows were added or changed since and
    `discard_changes` is off, or when objects of others depend on what would be dropped.
    """
    progress = Progress(Report(command="rollback"), listener)
    return await run_until_cancelled(_rollback(settings, progress, run, dump, no_dump, discard_changes))


async def _rollback(
    settings: Settings, progress: Progress, run: str | None, dump: Path | None, no_dump: bool, discard_changes: bool
) -> RollbackResult:
    async with open_target(settings) as target:
        found = await _find(target, run)
        await target.ledger.lock(target.control, found.target_schema)
        await _refuse_later(target, found)
        with progress.phase("rollback"):
            try:
                async with target.control.transaction():
                    return await _undo(target, found, progress, dump, no_dump, discard_changes)
            except asyncpg.DependentObjectsStillExistError as error:
                raise RollbackRefused(
                    f"objects of others depend on what run {found.id} created: {server_words(error)}",
                    hint="nothing was removed; drop those objects first",
                ) from error
            except asyncpg.PostgresError as error:
                words = server_words(error)
                raise TerminalError(f"PostgreSQL refused the rollback: {words}", hint="nothing was removed") from error


async def _undo(
    target: Target, run: Run, progress: Progress, dump: Path | None, no_dump: bool, discard_changes: bool
) -> RollbackResult:
    """Lock, count, dump, remove: nobody can change the tables between the count and the drop."""
    control, ledger = target.control, target.ledger
    objects = await ledger.objects.all(control, run.id)
    changes = await _changes(target, run, objects)
    if not discard_changes:
        _refuse_changes(run, changes)
    path = None if no_dump else await _dump(target, run, changes, dump, progress)
    dropped = [
        f"{row.kind} {row.name}"
        for row in reversed(objects)
        if row.state == "created" and row.drop_sql and await _drop(control, row.drop_sql)
    ]
    deleted = await _delete_rows(target, run, ledger, changes)
    restored = await _put_back(target, objects)
    await ledger.delete_run(control, run.id)
    await ledger.drop_if_empty(control)
    return RollbackResult(run.id, dropped, deleted, path, restored)


async def _find(target: Target, run: str | None) -> Run:
    known = await target.ledger.upgrade(target.control)
    found = await target.ledger.latest(target.control, None, run) if known else None
    if found is None:
        what = f"no run {run}" if run else "no run"
        raise RollbackRefused(
            f"{what} is recorded in this database (ledger schema {target.ledger.schema})",
            hint="check the DSN and --ledger-schema; `sqlite2pg status` lists the runs",
        )
    return found


async def _refuse_later(target: Target, run: Run) -> None:
    """Tables of this run may have been made anew by a later one: then they are not this run's to remove."""
    later = await target.ledger.later_runs(target.control, run.id)
    if later:
        raise RollbackRefused(
            f"run {later[0]} came after run {run.id} and worked on the same tables",
            hint=f"roll that back first: sqlite2pg rollback --run {later[0]}",
        )


async def _changes(target: Target, run: Run, objects: list[ObjectRow]) -> list[TableChange]:
    states = await target.ledger.table_states(target.control, run.id)
    totals = await target.ledger.chunks.totals(target.control, run.id)
    created = {o.source_table for o in objects if o.kind == "table" and o.state == "created"}
    changes = []
    for source, row in states.items():
        name = qualify(run.target_schema, row["target"])
        if not await target.control.fetchval("SELECT to_regclass($1) IS NOT NULL", name):
            continue
        # Writers wait; readers, and the dump, do not.
        await target.control.execute(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")
        xids = await target.ledger.chunks.xids(target.control, run.id, source)
        condition = xmin_filter(xids) if xids else "false"
        counts = await target.control.fetchrow(
            f"SELECT count(*) FILTER (WHERE {condition}) AS ours, count(*) AS all_rows FROM {name}"
        )
        assert counts is not None
        written = totals[source].rows if source in totals else 0
        others = counts["all_rows"] - counts["ours"]
        changes.append(TableChange(row["target"], source in created, written, counts["ours"], others))
    return changes


def _refuse_changes(run: Run, changes: list[TableChange]) -> None:
    found = []
    for change in changes:
        gone = change.written - change.unchanged
        others = change.others if change.created else 0
        if others or gone:
            parts = [
                f"{others:,} rows added or changed" if others else "",
                f"{gone:,} of its rows gone or changed" if gone else "",
            ]
            found.append(f"{change.target}: {', '.join(filter(None, parts))}")
    if found:
        raise RollbackRefused(
            f"the target changed since run {run.id}: {'; '.join(found)}",
            hint="nothing was removed. --discard-changes removes the tables all the same, after the dump",
        )


async def _dump(
    target: Target, run: Run, changes: list[TableChange], to: Path | None, progress: Progress
) -> Path | None:
    tables = [(run.target_schema, change.target) for change in changes if change.created]
    if not tables:
        return None
    path = to or Path(f"sqlite2pg_rollback_{datetime.now(UTC):%Y%m%d_%H%M%S}.sql")
    with progress.phase("dump"):
        return await dump_tables(target.dsn, tables, path, target.info.version_num)


async def _drop(control: Connection, drop_sql: str) -> bool:
    """Drop one object; False when it is gone already."""
    try:
        async with savepoint(control):
            await control.execute(drop_sql)
    except GONE:
        return False
    return True


async def _put_back(target: Target, objects: list[ObjectRow]) -> list[str]:
    """Put back what an unfinished run had set aside."""
    items = [
        SetAside(o.kind, o.name, o.source_table or "", o.drop_sql, o.restore_sql)
        for o in objects
        if o.state == "set aside" and o.restore_sql is not None
    ]
    refused = await put_back(target.control, items)
    if refused:
        item, words = refused[0]
        raise RollbackRefused(
            f"the {item.kind} {item.name} of {item.table} cannot be put back: {words}",
            hint="nothing was removed; mend what the server names first",
        )
    return [f"{item.kind} {item.name}" for item in items]


async def _delete_rows(target: Target, run: Run, ledger: Ledger, changes: list[TableChange]) -> dict[str, int]:
    """Take the run's rows out of tables it did not create; children before parents, found by trying."""
    states = await ledger.table_states(target.control, run.id)
    kept = {change.target for change in changes if not change.created}
    waiting = [source for source, row in states.items() if row["target"] in kept]
    deleted: dict[str, int] = {}
    while waiting:
        refused: list[tuple[str, asyncpg.ForeignKeyViolationError]] = []
        for source in waiting:
            name = states[source]["target"]
            try:
                async with target.control.transaction():
                    deleted[name] = await delete_written_rows(
                        target.control, ledger, run.id, source, run.target_schema, name
                    )
            except asyncpg.ForeignKeyViolationError as error:
                refused.append((source, error))
        if len(refused) == len(waiting):
            raise refused[0][1]
        waiting = [source for source, _ in refused]
    return deleted
