"""Planning of foreign keys: resolved, kept whole, or listed with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from copier.plan.build.agree import comparable, parent_columns
from copier.plan.build.context import ColumnDraft, Context, TableDraft
from copier.plan.model import ForeignKeyPlan, TablePlan
from copier.plan.names import fold
from copier.plan.source import SourceForeignKey
from copier.plan.types.stored import count_text

_ACTIONS = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")


class _Impossible(Exception):
    """PostgreSQL has no such foreign key; the text says why."""


def plan_foreign_keys(
    draft: TableDraft, drafts: Mapping[str, TableDraft], plans: Mapping[str, TablePlan], ctx: Context
) -> tuple[ForeignKeyPlan, ...]:
    """Return the table's foreign keys; `drafts` and `plans` are by lower-case source name, plans with their indexes."""
    found = []
    for key in draft.source.foreign_keys:
        try:
            found.append(_foreign_key(key, draft, drafts, plans, ctx))
        except _Impossible as error:
            parent = f"{key.parent} ({', '.join(key.parent_columns)})" if key.parent_columns else key.parent
            ctx.note("foreign key", f"{', '.join(key.columns)} -> {parent}", draft.source.name, str(error))
    return tuple(found)


def _foreign_key(
    key: SourceForeignKey,
    draft: TableDraft,
    drafts: Mapping[str, TableDraft],
    plans: Mapping[str, TablePlan],
    ctx: Context,
) -> ForeignKeyPlan:
    parent = _parent(key, drafts, ctx)
    own = [_copied(draft, name) for name in key.columns]
    other = _parent_columns(key, parent)
    _check_types(own, other)
    if parent.existing is None and not _is_unique(plans[parent.source.name.lower()], {c.target for c in other}):
        raise _Impossible(f"({', '.join(c.source.name for c in other)}) is not a unique key of {parent.source.name}")
    name = fold(key.name or f"{draft.target}_{'_'.join(c.target for c in own)}_fkey", ctx.options.names)
    orphans = draft.profile.orphans.get(key.id, 0) if draft.profile is not None else 0
    return ForeignKeyPlan(
        name=ctx.names.take(name),
        columns=tuple(c.target for c in own),
        parent_table=parent.target,
        parent_columns=tuple(c.target for c in other),
        on_update=_action(key.on_update),
        on_delete=_action(key.on_delete),
        deferrable=key.deferrable,
        initially_deferred=key.initially_deferred,
        orphans=orphans,
    )


def _parent(key: SourceForeignKey, drafts: Mapping[str, TableDraft], ctx: Context) -> TableDraft:
    parent = drafts.get(key.parent.lower())
    if parent is None:
        known = ctx.schema.table(key.parent) is not None
        raise _Impossible(f"its parent {key.parent} {'is left out' if known else 'is not a table of the source'}")
    return parent


def _copied(draft: TableDraft, name: str) -> ColumnDraft:
    column = draft.column(name)
    if column is None:
        raise _Impossible(f'column "{name}" of {draft.source.name} is not copied')
    return column


def _parent_columns(key: SourceForeignKey, parent: TableDraft) -> list[ColumnDraft]:
    try:
        names = parent_columns(key, parent.source)
    except KeyError as error:
        raise _Impossible(f"{parent.source.name} has no column {error}") from None
    if not names:
        raise _Impossible(f"it names no columns, and {parent.source.name} has no primary key")
    if len(names) != len(key.columns):
        columns = count_text(len(key.columns), "column")
        raise _Impossible(f"{columns} cannot reference {len(names)} of {parent.source.name}")
    return [_copied(parent, name) for name in names]


def _check_types(own: list[ColumnDraft], other: list[ColumnDraft]) -> None:
    for child, parent in zip(own, other, strict=True):
        if not comparable(child.type, parent.type):
            raise _Impossible(
                f'"{child.source.name}" is {child.type.sql} and "{parent.source.name}" {parent.type.sql}, '
                f"and the values stored do not allow one type for both"
            )


def _is_unique(parent: TablePlan, columns: set[str]) -> bool:
    return any(
        index.unique and index.where is None and index.columns and set(index.columns) == columns
        for index in parent.indexes
    )


def _action(action: str) -> str:
    return action.upper() if action.upper() in _ACTIONS else "NO ACTION"
