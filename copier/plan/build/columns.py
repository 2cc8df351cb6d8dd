"""Planning of what stands in column and table definitions: defaults, generated columns, NOT NULL, checks."""

from __future__ import annotations

from dataclasses import replace

from copier.plan.build.context import ColumnDraft, Context, TableDraft
from copier.plan.build.tables import note_parts
from copier.plan.choices import NO_COLUMN
from copier.plan.model import CheckPlan, ColumnPlan, TablePlan
from copier.plan.names import fold
from copier.plan.reasons import DROPPED_BY_PLAN, TABLE_EXISTS
from copier.plan.translate.defaults import constant_default, translate_default
from copier.plan.translate.expression import translate_expression
from copier.plan.translate.parse import Untranslatable, tokenize
from copier.plan.translate.scope import TableScope
from copier.plan.types import fit
from copier.plan.types.stored import count_text

_INTEGERS = ("int2", "int4", "int8")


def plan_table(draft: TableDraft, ctx: Context) -> TablePlan:
    """Return the plan of a table with its columns; indexes, keys and checks come later."""
    table, profile = draft.source, draft.profile
    plan = TablePlan(
        source=table.name,
        target=draft.target,
        columns=tuple(_column(column, draft, ctx) for column in draft.columns),
        key=_key(draft),
        key_is_rowid=not table.without_rowid,
        identity_columns=_identity_columns(draft),
        added_columns=draft.choice.added_columns,
        added_indexes=draft.choice.added_indexes,
        sequence=table.sequence,
        existing=draft.existing is not None,
        rows=profile.rows if profile is not None else 0,
        bytes=profile.bytes if profile is not None else 0,
    )
    if profile is not None and profile.sampled:
        ctx.warn(f'table "{table.name}": types were chosen from a sample of its rows; the rest may not fit them.')
    if draft.existing is not None:
        if plan.added_columns:
            ctx.warn(f'table "{table.name}" exists already: columns of the plan file are not added to it.')
            plan = replace(plan, added_columns=())
        note_parts(table, ctx, TABLE_EXISTS)
        return plan
    return replace(plan, columns=_with_generated(plan, draft, ctx))


def _key(draft: TableDraft) -> tuple[str, ...]:
    if draft.source.without_rowid:
        return draft.source.primary_key
    return (draft.source.rowid_name,) if draft.source.rowid_name is not None else ()


def _identity_columns(draft: TableDraft) -> tuple[str, ...]:
    table = draft.source
    if table.primary_key:
        return table.primary_key
    for index in table.indexes:
        names = tuple(part.column for part in index.parts if part.column is not None)
        if index.unique and index.where is None and len(names) == len(index.parts):
            columns = [table.column(name) for name in names]
            if all(column.not_null for column in columns):
                return tuple(column.name for column in columns)
    return ()


def _column(column: ColumnDraft, draft: TableDraft, ctx: Context) -> ColumnPlan:
    source, choice = column.source, column.choice
    plan = ColumnPlan(
        source=source.name,
        target=column.target,
        declared=source.declared,
        type=choice.type,
        cast=choice.cast,
        policy=choice.policy,
        reason=choice.reason,
        default_constant=_constant(source.default),
        source_collation=source.collation,
        mixed=column.profile is not None and fit.is_mixed(column.profile, choice.type),
    )
    if column.existing is not None:
        return _given(plan, column)
    identity = source.name == draft.source.rowid_alias and plan.type.wire in _INTEGERS
    plan = replace(plan, identity=identity, not_null=_not_null(column, draft, ctx))
    return replace(plan, default=_default(column, plan, draft, ctx))


def _constant(sql: str | None) -> str | None:
    value = constant_default(sql) if sql is not None else None
    return repr(value) if isinstance(value, float) else str(value) if value is not None else None


def _given(plan: ColumnPlan, column: ColumnDraft) -> ColumnPlan:
    """Return the column with what the target's column has."""
    there = column.existing
    assert there is not None
    serial = (there.default or "").startswith("nextval(")
    generated = (there.default or "") if there.generated else None
    return replace(
        plan,
        not_null=there.not_null,
        default=None if there.generated else there.default,
        identity=there.identity or serial,
        generated=generated,
    )


def _not_null(column: ColumnDraft, draft: TableDraft, ctx: Context) -> bool:
    chosen = draft.choice.columns.get(column.source.name, NO_COLUMN).not_null
    if chosen is not None:
        return chosen
    nulls = column.profile.nulls if column.profile is not None else 0
    if column.source.not_null and nulls:
        where = f'table "{draft.source.name}": column "{column.source.name}"'
        ctx.warn(f"{where} is declared NOT NULL but holds {count_text(nulls, 'NULL')}: it becomes nullable.")
        return False
    return column.source.not_null


def _default(column: ColumnDraft, plan: ColumnPlan, draft: TableDraft, ctx: Context) -> str | None:
    chosen = draft.choice.columns.get(column.source.name, NO_COLUMN).default
    sql = column.source.default
    if chosen is not None:
        if not chosen and sql is not None:
            ctx.note("default", plan.source, draft.source.name, f"{DROPPED_BY_PLAN}: {sql}")
        return chosen or None
    if sql is None or plan.identity:
        if sql is not None:
            ctx.note("default", plan.source, draft.source.name, f"an identity column has no other default: {sql}")
        return None
    try:
        return translate_default(sql, plan)
    except Untranslatable as error:
        ctx.note("default", plan.source, draft.source.name, f"{error}: {sql}")
        return None


def _with_generated(plan: TablePlan, draft: TableDraft, ctx: Context) -> tuple[ColumnPlan, ...]:
    scope = TableScope.of(plan)
    generated = {c.source.name.lower() for c in draft.columns if c.source.generated}
    return tuple(
        replace(column, generated=_generated(drafted, column, generated, draft, scope, ctx), default=None)
        if drafted.source.generated
        else column
        for column, drafted in zip(plan.columns, draft.columns, strict=True)
    )


def _generated(
    column: ColumnDraft, plan: ColumnPlan, generated: set[str], draft: TableDraft, scope: TableScope, ctx: Context
) -> str | None:
    sql = column.source.generated_sql
    try:
        if sql is None:
            raise Untranslatable(draft.source.unparsed or "its expression could not be read")
        words = {token.text.lower() for token in tokenize(sql)}
        if words & generated:
            raise Untranslatable("it uses another generated column, which PostgreSQL refuses")
        return translate_expression(sql, scope, immutable=True, column=plan)
    except Untranslatable as error:
        detail = f"copied as plain data: {error}: {sql}"
        ctx.note("generated column", column.source.name, draft.source.name, detail)
        return None


def plan_checks(draft: TableDraft, scope: TableScope, ctx: Context) -> tuple[CheckPlan, ...]:
    """Return the checks whose meaning PostgreSQL keeps; the others become notes with their SQL."""
    if draft.source.unparsed:
        ctx.warn(f'table "{draft.source.name}": its definition was not fully read: {draft.source.unparsed}.')
    found = []
    for check in draft.source.checks:
        middle = f"_{check.column}" if check.column is not None else ""
        name = fold(check.name or f"{draft.target}{middle}_check", ctx.options.names)
        try:
            expression = translate_expression(check.expression, scope)
        except Untranslatable as error:
            detail = f"{error}: {check.expression}"
            ctx.note("check", check.name or check.expression, draft.source.name, detail)
        else:
            found.append(CheckPlan(ctx.names.take(name), expression, check.expression))
    return tuple(found)
