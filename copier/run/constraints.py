"""Checks, foreign keys and statistics: what needs the data of all tables, over several connections.

Constraints are added NOT VALID first, by one session: that takes ACCESS EXCLUSIVE (check) or SHARE ROW EXCLUSIVE
(foreign key, on both tables), but for a moment only. Then each table is a task of its own: ANALYZE, so that the
validations are planned with its statistics, then VALIDATE of each of its constraints.

No deadlock: ANALYZE and VALIDATE take SHARE UPDATE EXCLUSIVE on their table, which excludes itself, so a table's steps
go one after the other on one connection; on the referenced table VALIDATE takes ROW SHARE, which nothing here excludes
(PostgreSQL docs, "Explicit Locking" and "ALTER TABLE"). So no task ever waits for another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from copier.plan import ddl
from copier.plan.model import ObjectNote, TablePlan
from copier.postgres.connect import open_pool
from copier.postgres.giving_back import lend
from copier.postgres.ledger_tables import Connection
from copier.postgres.schema import batched, note, validate_constraint, validate_together
from copier.postgres.tuning import tuned_for
from copier.run.begin import Work
from copier.run.builds import TOGETHER, is_large
from copier.run.load import builders_beside


@dataclass(frozen=True, slots=True)
class _Task:
    """Tables to analyze together, and constraints of theirs to validate."""

    tables: Sequence[TablePlan]
    constraints: Sequence[ddl.Statement]


@dataclass(frozen=True, slots=True)
class Added:
    """The plan's constraints, each with the server's words where it refused to add it."""

    statements: Sequence[ddl.Statement]
    refused: Sequence[str | None]


async def add_constraints(work: Work) -> Added:
    """Add all constraints NOT VALID."""
    statements = ddl.constraints(work.plan)
    return Added(statements, await work.builder.attempt_all(work.target.control, statements))


async def validate_constraints(work: Work, added: Added) -> list[ObjectNote]:
    """Analyze all tables and validate what was added; return a note on each constraint, in the plan's order."""
    standing = [s for s, words in zip(added.statements, added.refused, strict=True) if words is None]
    invalid = await _validate(work, _tasks(work, standing))
    notes = []
    for statement, words in zip(added.statements, added.refused, strict=True):
        if words is not None:
            notes.append(note(statement, "failed", words))
        elif (violated := invalid.get((statement.table, statement.name))) is not None:
            notes.append(note(statement, "created", _not_valid(violated)))
        else:
            notes.append(note(statement, "created"))
    return notes


def _tasks(work: Work, added: Iterable[ddl.Statement]) -> deque[_Task]:
    """Return large tables first, one by one, then the small ones by dozens."""
    of_table: dict[str, list[ddl.Statement]] = {}
    for statement in added:
        of_table.setdefault(statement.table or "", []).append(statement)
    tables = sorted(work.plan.tables, key=lambda table: table.bytes, reverse=True)
    large = [table for table in tables if is_large(table)]
    groups: list[Sequence[TablePlan]] = [[table] for table in large]
    groups += batched(tables[len(large) :], TOGETHER)
    return deque(_Task(group, [s for table in group for s in of_table.get(table.source, ())]) for group in groups)


Invalid = dict[tuple[str | None, str], str]
"""(source table, constraint) -> the server's words."""


async def _validate(work: Work, tasks: deque[_Task]) -> Invalid:
    invalid: Invalid = {}
    if len(tasks) <= 1:
        for task in tasks:
            invalid |= await _validate_one(work, work.target.control, task)
        return invalid
    builders = min(builders_beside(work.settings.writers), len(tasks))

    async def work_off() -> None:
        async with lend(pool) as connection:
            while tasks:
                invalid.update(await _validate_one(work, connection, tasks.popleft()))

    async with open_pool(work.target.dsn, builders, setup=tuned_for(work.target.info, builders)) as pool:
        async with asyncio.TaskGroup() as group:
            for _ in range(builders):
                group.create_task(work_off())
    return invalid


async def _validate_one(work: Work, connection: Connection, task: _Task) -> Invalid:
    await connection.execute(ddl.analyze(work.plan.schema, task.tables))
    if await validate_together(connection, task.constraints):
        return {}
    found = [(statement, await validate_constraint(connection, statement)) for statement in task.constraints]
    return {(statement.table, statement.name): words for statement, words in found if words is not None}


def _not_valid(words: str) -> str:
    return f"kept NOT VALID, so that only new rows are held to it: {words}"
