"""Removing exactly what a run created: what the ledger knows, in one transaction, after a dump of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from copier.config import Settings
from copier.errors import RollbackRefused, TerminalError
from copier.events import Listener, ignore
from copier.postgres.cutoff import run_until_cancelled
from copier.postgres.dump import dump as dump_tables
from copier.postgres.ledger import Run
from copier.postgres.ledger_objects import ObjectRow
from copier.postgres.ledger_tables import Connection
from copier.postgres.savepoint import savepoint
from copier.postgres.setaside import SetAside, put_back
from copier.postgres.undo import ActingKey, delete_sql
from copier.postgres.writer import server_words
from copier.report import Report
from copier.run.ours import errors
from copier.run.preflight import require_writable
from copier.run.progress import Progress
from copier.run.rollback_checks import (
    TableChange,
    keys_in_the_way,
    lock_and_count,
    refuse_changes,
    refuse_dragged,
    refuse_later,
)
from copier.run.session import Target, open_target

GONE = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedObjectError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)
"""What DROP says of an object that somebody, or a dropped table, took along."""


@dataclass(frozen=True, slots=True)
class What:
    """What a rollback is asked for."""

    run: str | None
    """None for the newest."""
    dump: Path | None
    no_dump: bool
    discard_changes: bool


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
    dry: bool = False
    """Everything above was tried and taken back again."""


@dataclass(frozen=True, slots=True)
class Undone:
    """A run taken back, in a transaction that has not ended."""

    result: RollbackResult
    changes: list[TableChange]
    """As found before, under a lock."""
    keys: list[ActingKey]
    statements: list[str]
    """What took it back, in order, but for what the ledger did."""
    objects: list[ObjectRow]


class _TakeBack(Exception):
    """Leaves a transaction so that it is rolled back."""


async def rollback(
    settings: Settings,
    listener: Listener = ignore,
    *,
    run: str | None = None,
    dump: Path | None = None,
    no_dump: bool = False,
    discard_changes: bool = False,
    dry_run: bool = False,
) -> RollbackResult:
    """Take back a run, the newest by default; with `dry_run` try all of it but the dump, and change nothing.

    Raises RollbackRefused, and changes nothing, when there is no such run, when rows were added or changed since and
    `discard_changes` is off, or when objects of others depend on what would be dropped.
    """
    progress = Progress(Report(command="rollback"), listener)
    what = What(run, dump, no_dump or dry_run, discard_changes)
    with errors():
        return await run_until_cancelled(_rollback(settings, progress, what, dry_run))


async def _rollback(settings: Settings, progress: Progress, what: What, dry_run: bool) -> RollbackResult:
    async with open_target(settings) as target:
        run = await take(target, what.run)
        with progress.phase("rollback"):
            undone = await undo(target, run, progress, what, keep=not dry_run)
        return replace(undone.result, dry=dry_run)


async def take(target: Target, wanted: str | None) -> Run:
    """Return the run to take back, with the lock of its schema held; raises what forbids even to look at its rows."""
    require_writable(target)
    run = await _find(target, wanted)
    await target.ledger.lock(target.control, run.target_schema)
    await refuse_later(target, run)
    return run


async def undo(target: Target, run: Run, progress: Progress, what: What, *, keep: bool) -> Undone:
    """Take the run back, in one transaction; without `keep` that is taken back in turn."""
    undone: Undone | None = None
    try:
        # What was committed before a table was locked must be seen when it is counted, whatever the role's default is.
        async with target.control.transaction(isolation="read_committed"):
            undone = await _undo(target, run, progress, what)
            if not keep:
                raise _TakeBack
    except _TakeBack:
        pass
    except asyncpg.DependentObjectsStillExistError as error:
        raise RollbackRefused(
            f"objects of others depend on what run {run.id} created: {server_words(error)}",
            hint="nothing was removed; drop those objects first",
        ) from error
    except asyncpg.PostgresError as error:
        words = server_words(error)
        raise TerminalError(f"PostgreSQL refused the rollback: {words}", hint="nothing was removed") from error
    assert undone is not None
    return undone


async def _undo(target: Target, run: Run, progress: Progress, what: What) -> Undone:
    """Lock, count, dump, remove: nobody can change the tables between the count and the drop."""
    control, ledger = target.control, target.ledger
    objects = await ledger.objects.all(control, run.id)
    changes = await lock_and_count(target, run, objects)
    keys = await keys_in_the_way(target, run, changes)
    if not what.discard_changes:
        refuse_changes(run, changes)
        await refuse_dragged(target, run, keys)
    path = None if what.no_dump else await _dump(target, run, changes, what.dump, progress)
    created = [row for row in reversed(objects) if row.state == "created" and row.drop_sql]
    dropped = [row for row in created if await _drop(control, row.drop_sql)]
    statements = [row.drop_sql for row in dropped] + await _delete_rows(target, run, changes)
    restored = await _put_back(target, objects, statements)
    await ledger.delete_run(control, run.id)
    await ledger.drop_if_empty(control)
    # as counted under the lock: ON DELETE CASCADE of a parent may take a child's rows before its own DELETE does
    deleted = {change.target: change.unchanged for change in changes if not change.created}
    result = RollbackResult(run.id, [f"{row.kind} {row.name}" for row in dropped], deleted, path, restored)
    return Undone(result, changes, keys, statements, objects)


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


async def _dump(
    target: Target, run: Run, changes: list[TableChange], to: Path | None, progress: Progress
) -> Path | None:
    tables = [(run.target_schema, change.target) for change in changes if change.created or change.unchanged]
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


async def _put_back(target: Target, objects: list[ObjectRow], done: list[str]) -> list[str]:
    """Put back what an unfinished run had set aside; `done` gets the statements."""
    items = [
        SetAside(o.kind, o.name, o.source_table or "", o.drop_sql, o.restore_sql)
        for o in objects
        if o.state == "set aside" and o.restore_sql is not None
    ]
    refused = await put_back(target.control, items, done)
    if refused:
        item, words = refused[0]
        raise RollbackRefused(
            f"the {item.kind} {item.name} of {item.table} cannot be put back: {words}",
            hint="nothing was removed; mend what the server names first",
        )
    return [f"{item.kind} {item.name}" for item in items]


async def _delete_rows(target: Target, run: Run, changes: list[TableChange]) -> list[str]:
    """Take the run's rows out of tables it did not create, children before parents, found by trying.

    Returns the statements in the order in which they worked.
    """
    waiting = [delete_sql(run.target_schema, c.target, c.xids) for c in changes if not c.created and c.xids]
    done: list[str] = []
    while waiting:
        refused: list[tuple[str, asyncpg.ForeignKeyViolationError]] = []
        for statement in waiting:
            try:
                async with target.control.transaction():
                    await target.control.execute(statement)
                done.append(statement)
            except asyncpg.ForeignKeyViolationError as error:
                refused.append((statement, error))
        if len(refused) == len(waiting):
            raise refused[0][1]
        waiting = [statement for statement, _ in refused]
    return done
