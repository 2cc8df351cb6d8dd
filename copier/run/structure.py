"""The schema phases of a run: what stands before the data, what is set aside for it, and what needs all of it."""

from __future__ import annotations

from collections.abc import Iterable

import asyncpg

from copier.errors import SchemaFailed
from copier.plan import ddl
from copier.plan.model import ColumnPlan, ObjectNote, Plan, TablePlan
from copier.plan.names import qualify, quote
from copier.plan.reasons import ONLY_DATA
from copier.postgres.idle_triggers import idle_triggers
from copier.postgres.ledger_objects import ObjectRow
from copier.postgres.ledger_tables import Connection
from copier.postgres.schema import note
from copier.postgres.sequences import IdColumn, advance_sequences
from copier.postgres.setaside import SetAside, find_set_aside, put_back
from copier.postgres.setaside import set_aside as take_off
from copier.postgres.tuning import tuned_for
from copier.postgres.writer import server_words
from copier.run.begin import Work, with_plain_columns
from copier.run.constraints import Added, validate_constraints

PLAIN = "plain column"
"""Kind of the ledger's object row for a generated column that the server would not generate."""

_THERE = """
SELECT true FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.conname = $1 AND c.relname = $2 AND n.nspname = $3
"""
_ID_LIMITS = {"int2": 2**15, "int4": 2**31}
EMPTIED = "emptied table"
REPLACED = "replaced table"


async def create_tables(work: Work) -> None:
    """Create what must exist before the data. A generated column the server refuses is copied as plain data."""
    control = work.target.control
    plain = {(o.source_table or "", o.name) for o in work.objects if o.kind == PLAIN}
    work.plan = with_plain_columns(work.plan, plain)
    tables = {t.source: t for t in work.plan.tables if not t.existing}
    statements = ddl.before_data(work.plan)
    if await control.fetchval("SELECT true FROM pg_namespace WHERE nspname = $1", work.plan.schema):
        # Also with IF NOT EXISTS it would ask for a privilege on the database; and rollback must not drop it.
        statements = [s for s in statements if s.kind != "schema"]
    await work.builder.require(control, [s for s in statements if s.kind != "table"])
    doubtful = {name for name, t in tables.items() if t.added_columns or any(c.generated for c in t.columns)}
    await work.builder.require(control, [s for s in statements if s.kind == "table" and s.table not in doubtful])
    for statement in statements:
        if statement.kind == "table" and statement.table in doubtful:
            await _create_doubtful(work, statement, tables[statement.table])


async def make_room(work: Work) -> None:
    """Empty or drop existing tables when the settings say so, once per run."""
    settings, control = work.settings, work.target.control
    done = {o.name for o in work.objects if o.kind in (EMPTIED, REPLACED)}
    if settings.existing == "truncate":
        names = [t.target for t in work.plan.tables if t.existing and t.target not in done]
        if names:
            async with control.transaction():
                await _truncate(control, settings.schema, names)
                await _remember(work, EMPTIED, names)
    elif settings.existing == "replace":
        await _drop_replaced(work, [name for name in work.replaced if name not in done])


async def _truncate(control: Connection, schema: str, names: list[str]) -> None:
    try:
        await control.execute(f"TRUNCATE {', '.join(qualify(schema, name) for name in names)}")
    except asyncpg.FeatureNotSupportedError as error:
        raise SchemaFailed(
            f"the tables cannot be emptied: {server_words(error)}",
            hint="empty or include the tables that refer to them; `sqlite2pg rollback` forgets this run",
        ) from error


async def _drop_replaced(work: Work, names: list[str]) -> None:
    """Drop the tables together, with the views and trigger functions that this plan will make anew."""
    if not names:
        return
    control, schema = work.target.control, work.plan.schema
    views = await control.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'v' AND relname = ANY ($2)",
        *(quote(schema), [view.target for view in work.plan.views]),
    )
    try:
        async with control.transaction():
            if views:
                await control.execute(f"DROP VIEW {', '.join(qualify(schema, row[0]) for row in views)}")
            await control.execute(f"DROP TABLE {', '.join(qualify(schema, name) for name in names)}")
            for trigger in work.plan.triggers:
                await control.execute(f"DROP FUNCTION IF EXISTS {trigger.function}()")
            await _remember(work, REPLACED, names)
    except asyncpg.DependentObjectsStillExistError as error:
        raise SchemaFailed(
            f"cannot replace the tables: {server_words(error)}", hint="drop what depends on them first"
        ) from error


async def _remember(work: Work, kind: str, names: Iterable[str]) -> None:
    for name in names:
        await work.target.ledger.objects.add(
            work.target.control, work.run.id, kind, name, None, drop_sql="", detail="cannot be taken back"
        )


async def _create_doubtful(work: Work, statement: ddl.Statement, table: TablePlan) -> None:
    words = await work.builder.attempt(work.target.control, statement)
    if words is None:
        return
    plain = ddl.plain_table(table)
    generated = [c.source for c in table.columns if c.generated]
    async with work.target.control.transaction():
        await work.builder.require(work.target.control, [ddl.create_table(work.plan.schema, plain)])
        for column in generated:
            await work.target.ledger.objects.add(
                work.target.control, work.run.id, PLAIN, column, table.source, drop_sql="", detail=words
            )
    work.objects = await work.target.ledger.objects.all(work.target.control, work.run.id)
    work.plan = with_plain_columns(work.plan, {(table.source, column) for column in generated})
    for name, _ in table.added_columns:
        work.notes.append(ObjectNote("column", name, table.source, "failed", f"added by the plan file: {words}"))


async def set_aside(work: Work) -> None:
    """Take down secondary indexes, foreign keys and triggers of existing tables, each recorded as it goes."""
    names = [t.target for t in work.plan.tables if t.existing]
    if not names or any(o.state in ("set aside", "put back") for o in work.objects):
        return
    control, ledger = work.target.control, work.target.ledger
    async with control.transaction():
        for item in await find_set_aside(control, work.plan.schema, names):
            await take_off(control, [item])
            await ledger.objects.add(
                *(control, work.run.id, item.kind, item.name, item.table),
                drop_sql=item.drop_sql,
                restore_sql=item.restore_sql,
                state="set aside",
            )
    work.objects = await ledger.objects.all(control, work.run.id)


async def put_all_back(work: Work) -> None:
    """Put back what was set aside; what the server refuses stays recorded, and is said.

    In the reverse order, on one connection: a foreign key needs the index that was taken off after it.
    """
    control, ledger = work.target.control, work.target.ledger
    waiting = [row for row in reversed(work.objects) if row.state == "set aside" and row.restore_sql is not None]
    if waiting:
        await tuned_for(work.target.info, builders=1)(control)
    for row in waiting:
        assert row.restore_sql is not None
        item = SetAside(row.kind, row.name, row.source_table or "", row.drop_sql, row.restore_sql)
        async with control.transaction():
            refused = await put_back(control, [item])
            if not refused:
                await ledger.objects.set_state(control, row.id, "put back")
        for _, words in refused:
            # A foreign key is put back NOT VALID first: then it is there, although rows violate it.
            half = row.kind == "foreign key" and await control.fetchval(_THERE, row.name, item.table, work.plan.schema)
            what = "put back NOT VALID, so that only new rows are held to it" if half else "not put back"
            work.progress.warn(f"{row.kind} {row.name} of {row.source_table}: {what}: {words}")
            work.notes.append(ObjectNote(row.kind, row.name, row.source_table, "failed", f"{what}: {words}"))
    await _tell_idle_triggers(work)


async def _tell_idle_triggers(work: Work) -> None:
    """Say which triggers would have filled a column, had they not been set aside; a person must do it now."""
    aside = {(row.source_table, row.name) for row in work.objects if row.kind == "trigger"}
    for table in work.plan.tables:
        if not table.existing or not any(target == table.target for target, _ in aside):
            continue
        filled = [column.target for column in table.copied]
        for one in await idle_triggers(work.target.control, work.plan.schema, table.target, filled):
            if (table.target, one.name) in aside:
                said = f"did not run for the copied rows, which leaves {', '.join(one.columns)} empty: {one.remedy}"
                work.progress.warn(f"trigger {one.name} of {table.target} {said}")
                work.notes.append(ObjectNote("trigger", one.name, table.source, "skipped", said))


async def finish(work: Work, added: Added) -> None:
    """Do what needs all data: validation, statistics, sequences, views, triggers, statements of the plan file."""
    control, plan = work.target.control, work.plan
    work.notes += await validate_constraints(work, added)
    await advance_sequences(control, plan.schema, _id_columns(work))
    if work.run.command == "data":
        work.notes += [ObjectNote("view", view.source, None, "skipped", ONLY_DATA) for view in plan.views]
        return
    work.notes += await _create_views(work, control)
    for statement in ddl.triggers(plan):
        work.notes.append(await work.builder.note(control, statement, "translated"))
    for statement in ddl.after_data(plan):
        work.notes.append(await work.builder.note(control, statement))


def _id_columns(work: Work) -> list[IdColumn]:
    aliases = {source.name: source.rowid_alias for source in work.source.schema.tables}
    found = []
    for table in work.plan.tables:
        alias = aliases.get(table.source)
        column = next((c for c in table.columns if c.source == alias), table.identity)
        if column is not None:
            found.append(IdColumn(table.target, column.target, _floor(work, table, column)))
    return found


def _floor(work: Work, table: TablePlan, column: ColumnPlan) -> int | None:
    """Return the greatest id the source knows of: a rejected row keeps its id, for when it is tried again."""
    seen = work.profiles[table.source].columns.get(column.source)
    greatest = seen.int_max if seen is not None else None
    if greatest is None or greatest >= _ID_LIMITS.get(column.type.wire, 2**63):  # it would exhaust the sequence
        return table.sequence
    return max(greatest, table.sequence or 0)


async def _create_views(work: Work, control: Connection) -> list[ObjectNote]:
    """Create views; those refused are tried again after the others, since one may need another."""
    waiting = ddl.views(work.plan)
    notes: list[ObjectNote] = []
    while waiting:
        refused = []
        for statement in waiting:
            words = await work.builder.attempt(control, statement)
            if words is None:
                notes.append(note(statement, "translated"))
            else:
                refused.append((statement, words))
        if len(refused) == len(waiting):
            return notes + [note(s, "failed", f"{words}: {_view_sql(work.plan, s)}") for s, words in refused]
        waiting = [statement for statement, _ in refused]
    return notes


def _view_sql(plan: Plan, statement: ddl.Statement) -> str:
    return next((v.sql for v in plan.views if v.target == statement.name), "")


def column_notes(plan: Plan, objects: Iterable[ObjectRow], sources: Iterable[ColumnFact]) -> list[ObjectNote]:
    """Return the lines of defaults, identities and generated columns that came into being with their tables."""
    refused = {(o.source_table, o.name): o.detail for o in objects if o.kind == PLAIN}
    settled = {(n.kind, n.table, n.name) for n in plan.notes}
    tables = {planned.source: planned for planned in plan.tables}
    notes = []
    for table, column, default, generated in sources:
        planned = tables.get(table)
        if planned is None or planned.existing:
            continue
        if default is not None and ("default", table, column) not in settled:
            notes.append(ObjectNote("default", column, table, "translated", default))
        if generated and ("generated column", table, column) not in settled:
            words = refused.get((table, column))
            detail = "" if words is None else f"copied as plain data, since PostgreSQL says: {words}"
            notes.append(ObjectNote("generated column", column, table, "failed" if words else "translated", detail))
    return notes


ColumnFact = tuple[str, str, str | None, bool]
"""Source table, column, default as SQL, whether it is generated."""
