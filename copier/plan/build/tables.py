"""First step of planning: which tables and columns are copied, under which names, as which types."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from copier.errors import PlanError
from copier.plan.build.agree import uuid_places
from copier.plan.build.context import ColumnDraft, Context, TableDraft
from copier.plan.choices import NO_COLUMN, ColumnChoice
from copier.plan.existing import ExistingColumn, choose_cast, find_name
from copier.plan.model import Types
from copier.plan.names import fold, shorten
from copier.plan.pgtype import CASTS
from copier.plan.reasons import LEFT_OUT, SKIPPED_BY_PLAN, TABLE_LEFT_OUT
from copier.plan.select import check_globs, is_selected
from copier.plan.source import ColumnProfile, SourceColumn, SourceTable
from copier.plan.types import fit
from copier.plan.types.choose import ColumnFacts, TypeChoice, choose_type
from copier.plan.types.stored import BIGINT

"""Detail of the note on a table or column that the plan file skips; the writer of plan files looks for it."""

_SYSTEM_COLUMNS = frozenset(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"))
"""PostgreSQL docs, "System Columns": a user's column cannot have these names."""


def draft_tables(ctx: Context) -> tuple[TableDraft, ...]:
    """Return a draft per table that is copied; the others become notes. PlanError when two names collide."""
    names = [table.name for table in ctx.schema.tables]
    check_globs(names, ctx.options.tables, "--tables")
    check_globs(names, ctx.options.exclude, "--exclude")
    ctx.uuids = uuid_places(ctx.schema.tables)
    drafts = []
    for table in ctx.schema.tables:
        if reason := _left_out(table, ctx):
            _note_left_out(table, reason, ctx)
        else:
            drafts.append(_draft(table, ctx))
    _refuse_collisions("tables", ((draft.target, draft.source.name) for draft in drafts))
    return tuple(_with_columns(draft, ctx) for draft in drafts)


def _left_out(table: SourceTable, ctx: Context) -> str:
    if ctx.choices.table(table.name).skip:
        return SKIPPED_BY_PLAN
    taken = is_selected(table.name, ctx.options.tables, ctx.options.exclude)
    return "" if taken else LEFT_OUT


def _note_left_out(table: SourceTable, reason: str, ctx: Context) -> None:
    ctx.note("table", table.name, table.name, reason)
    note_parts(table, ctx, TABLE_LEFT_OUT)


def note_parts(table: SourceTable, ctx: Context, detail: str) -> None:
    """Settle everything that belongs to a table with the same sentence."""
    if table.primary_key:
        ctx.note("primary key", ", ".join(table.primary_key), table.name, detail)
    for index in table.indexes:
        if index.origin != "pk":
            ctx.note("unique" if index.origin == "u" else "index", index.name, table.name, detail)
    for key in table.foreign_keys:
        ctx.note("foreign key", f"{', '.join(key.columns)} -> {key.parent}", table.name, detail)
    for check in table.checks:
        ctx.note("check", check.name or check.expression, table.name, detail)
    for column in table.columns:
        if column.default is not None:
            ctx.note("default", column.name, table.name, f"{detail}: {column.default}")
        if column.generated:
            ctx.note("generated column", column.name, table.name, f"{detail}: {column.generated_sql or ''}")


def _draft(table: SourceTable, ctx: Context) -> TableDraft:
    choice = ctx.choices.table(table.name)
    usual = target_name(table.name, ctx)
    wanted = choice.target or usual
    found = find_name(table.name, wanted, ctx.existing)
    if wanted != usual and found != wanted:  # a name of a person's own choice is meant as it stands
        found = None
    existing = ctx.existing[found] if found is not None else None
    return TableDraft(table, found or wanted, choice, ctx.profiles.get(table.name), existing)


def target_name(name: str, ctx: Context) -> str:
    """Return `name` in the plan's style, as PostgreSQL can hold it."""
    return shorten(fold(name, ctx.options.names) or "_")


def _refuse_collisions(kind: str, pairs: Iterable[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    for target, source in pairs:
        if target in seen:
            raise PlanError(
                f'{kind} "{seen[target]}" and "{source}" would both become "{target}"',
                hint="Use --names=exact, or give one of them another target in the plan file.",
            )
        seen[target] = source


def _with_columns(draft: TableDraft, ctx: Context) -> TableDraft:
    columns = []
    for column in _source_columns(draft, ctx):
        choice = draft.choice.columns.get(column.name, NO_COLUMN)
        if choice.skip:
            _note_column(column, draft, ctx, SKIPPED_BY_PLAN)
        elif draft.existing is None:
            columns.append(_new_column(column, choice, draft, ctx))
        elif (found := _existing_column(column, choice, draft, ctx)) is not None:
            columns.append(found)
    _refuse_collisions(f'table "{draft.source.name}": columns', ((c.target, c.source.name) for c in columns))
    if draft.existing is not None:
        _warn_unfed(draft, {c.target for c in columns}, ctx)
    return replace(draft, columns=tuple(columns))


def _source_columns(draft: TableDraft, ctx: Context) -> tuple[SourceColumn, ...]:
    table = draft.source
    if not ctx.options.with_rowid or table.rowid_alias or table.without_rowid or table.rowid_name is None:
        return table.columns
    return (*table.columns, SourceColumn(table.rowid_name))


def _new_column(column: SourceColumn, choice: ColumnChoice, draft: TableDraft, ctx: Context) -> ColumnDraft:
    target = choice.target or _column_name(column, draft, ctx)
    profile = _profile(column, draft)
    if column not in draft.source.columns:
        rowid = TypeChoice(BIGINT, "int", "reject", "the rowid, by --with-rowid")
        return ColumnDraft(column, target, _decided(rowid, choice, None), True)
    alias = column.name == draft.source.rowid_alias
    policy: Types = "faithful" if column.generated else ctx.options.types
    chosen = choose_type(column, profile, policy, facts=_facts(column, draft.source, alias, ctx))
    fixed = alias or choice.type is not None or choice.cast is not None
    return ColumnDraft(column, target, _decided(chosen, choice, profile), fixed, profile)


def _column_name(column: SourceColumn, draft: TableDraft, ctx: Context) -> str:
    name = target_name(column.name, ctx)
    if name not in _SYSTEM_COLUMNS:
        return name
    ctx.warn(f'table "{draft.source.name}": column "{column.name}" becomes "{name}_", a system column has its name.')
    return f"{name}_"


def _profile(column: SourceColumn, draft: TableDraft) -> ColumnProfile | None:
    return draft.profile.columns.get(column.name) if draft.profile is not None else None


def _facts(column: SourceColumn, table: SourceTable, alias: bool, ctx: Context) -> ColumnFacts:
    holding = [i for i in table.indexes if any((p.column or "").lower() == column.name.lower() for p in i.parts)]
    unique = column.pk > 0 or any(index.unique for index in holding)
    says_uuid = (table.name, column.name) in ctx.uuids
    return ColumnFacts(rowid_alias=alias, indexed=bool(holding) or unique, unique=unique, says_uuid=says_uuid)


def _decided(chosen: TypeChoice, choice: ColumnChoice, profile: ColumnProfile | None) -> TypeChoice:
    """Return what the planner chose with a person's decisions on top."""
    type_, cast, reason = choice.type or chosen.type, choice.cast or chosen.cast, choice.reason or chosen.reason
    if cast not in CASTS[type_.wire]:
        cast = fit.suitable_cast(type_, profile)
    return TypeChoice(type_, cast, choice.policy or chosen.policy, reason)


def _existing_column(column: SourceColumn, choice: ColumnChoice, draft: TableDraft, ctx: Context) -> ColumnDraft | None:
    assert draft.existing is not None
    columns = {c.name: c for c in draft.existing.columns}
    usual = target_name(column.name, ctx)
    name = find_name(column.name, choice.target or usual, columns)
    if name is None or (choice.target not in (None, usual) and name != choice.target):
        _note_column(column, draft, ctx, f'column "{column.name}" is not in the target')
        ctx.warn(f'table "{draft.source.name}": column "{column.name}" is not in the target and is not copied.')
        return None
    there = columns[name]
    if there.type is None:
        _note_column(column, draft, ctx, f"the copier does not write the target's type {there.type_text}")
        ctx.warn(_no_such_type(draft, column, there))
        return None
    if choice.type is not None and choice.type != there.type:
        where = f'table "{draft.source.name}": column "{column.name}"'
        ctx.warn(f"{where} is {there.type_text} in the target, not {choice.type.sql} as in the plan file.")
        choice = replace(choice, type=None, cast=None, reason=None)
    profile = _profile(column, draft)
    chosen = choose_cast(there, there.type, profile)
    return ColumnDraft(column, name, _decided(chosen, choice, profile), True, profile, there)


def _no_such_type(draft: TableDraft, column: SourceColumn, there: ExistingColumn) -> str:
    hint = " Rows cannot be written: it is NOT NULL without a default." if there.needs_value else ""
    where = f'table "{draft.source.name}": column "{column.name}"'
    return f"{where} is {there.type_text} in the target, which the copier does not write.{hint}"


def _note_column(column: SourceColumn, draft: TableDraft, ctx: Context, detail: str) -> None:
    ctx.note("column", column.name, draft.source.name, detail)
    if draft.existing is not None:
        return  # all parts of such a table get their notes together
    if column.default is not None:
        ctx.note("default", column.name, draft.source.name, f"its column is not copied: {column.default}")
    if column.generated:
        ctx.note("generated column", column.name, draft.source.name, "its column is not copied")


def _warn_unfed(draft: TableDraft, fed: set[str], ctx: Context) -> None:
    assert draft.existing is not None
    for column in draft.existing.columns:
        if column.needs_value and column.name not in fed:
            ctx.warn(
                f'table "{draft.existing.name}" of the target: column "{column.name}" is NOT NULL without a default, '
                f"and the source has no column for it. Every row would be refused."
            )
