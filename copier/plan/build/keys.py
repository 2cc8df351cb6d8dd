"""Planning of primary keys, unique constraints and indexes."""

from __future__ import annotations

from dataclasses import dataclass

from copier.plan.build.context import ColumnDraft, Context, TableDraft
from copier.plan.model import IndexPlan
from copier.plan.names import fold, quote
from copier.plan.reasons import DROPPED_BY_PLAN
from copier.plan.source import SourceIndex, SourceIndexPart
from copier.plan.translate.expression import translate_expression
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.scope import TableScope
from copier.plan.types.stored import count_text


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of an index, rendered."""

    parts: tuple[str, ...]
    columns: tuple[str, ...]
    """Target names, () when some term is no plain column."""
    changes: tuple[str, ...]
    """What differs from SQLite, in words."""


"""Detail of the note on an index the plan file drops; the writer of plan files looks for it."""


def plan_indexes(draft: TableDraft, scope: TableScope, ctx: Context) -> tuple[IndexPlan, ...]:
    """Return the table's primary key, unique constraints and indexes, in this order; the impossible become notes."""
    found = _primary_key(draft, ctx)
    for index in sorted(draft.source.indexes, key=lambda index: index.origin != "u"):
        if index.origin == "pk":
            continue
        kind = "unique" if index.origin == "u" else "index"
        try:
            plan = _index(index, draft, scope, ctx)
        except Untranslatable as error:
            ctx.note(kind, index.name, draft.source.name, f"{error}{_sql(index)}")
            continue
        if draft.choice.drop_indexes & {index.name, plan.name}:
            ctx.note(kind, index.name, draft.source.name, DROPPED_BY_PLAN)
        else:
            found.append(plan)
    return tuple(found)


def _sql(index: SourceIndex) -> str:
    return f": {index.sql}" if index.sql else ""


def _primary_key(draft: TableDraft, ctx: Context) -> list[IndexPlan]:
    table = draft.source
    if not table.primary_key:
        return []
    index = next((i for i in table.indexes if i.origin == "pk"), None)
    source_name = index.name if index is not None else ""
    columns = [draft.column(name) for name in table.primary_key]
    if None in columns:
        ctx.note("primary key", ", ".join(table.primary_key), table.name, "one of its columns is not copied")
        return []
    copied = [column for column in columns if column is not None]
    name = ctx.names.take(_name(table.primary_key_name, f"{draft.target}_pkey", ctx))
    quoted, targets = tuple(quote(c.target) for c in copied), tuple(c.target for c in copied)
    nulls = sum(c.profile.nulls for c in copied if c.profile is not None)
    if nulls and not table.rowid_alias and not table.without_rowid:
        said = f"the primary key holds {count_text(nulls, 'NULL')}, which SQLite allows: it becomes UNIQUE"
        ctx.warn(f'table "{table.name}": {said}.')
        return [IndexPlan(name, source_name, quoted, True, None, "btree", "unique", targets, said, "primary key")]
    key = IndexPlan(name, source_name, quoted, True, None, "btree", "primary key", targets, "", "primary key")
    return [key, *_folded_key(draft, index, copied, ctx)]


def _name(given: str | None, derived: str, ctx: Context) -> str:
    """Return the name a constraint gets: the source's own, so that later migrations of the application find it."""
    return fold(given, ctx.options.names) if given else derived


def _folded_key(
    draft: TableDraft, index: SourceIndex | None, columns: list[ColumnDraft], ctx: Context
) -> list[IndexPlan]:
    """Return the unique index that keeps a NOCASE primary key unique whatever the case."""
    collations = {(p.column or "").lower(): p.collation for p in index.parts} if index is not None else {}
    folded = [_is_folded(c, collations.get(c.source.name.lower(), c.source.collation)) for c in columns]
    if not any(folded):
        return []
    ctx.warn(_folded_warning(draft))
    parts = tuple(
        f"lower({quote(c.target)})" if low else quote(c.target) for c, low in zip(columns, folded, strict=True)
    )
    name = ctx.names.take(f"{draft.target}_nocase_key")
    return [IndexPlan(name, "", parts, unique=True, detail="keeps the NOCASE primary key unique whatever the case")]


def _is_folded(column: ColumnDraft, collation: str) -> bool:
    return collation == "NOCASE" and column.type.is_text


def _folded_warning(draft: TableDraft) -> str:
    return (
        f'table "{draft.source.name}": COLLATE NOCASE becomes indexes on lower(..); '
        f"the application's SQL must compare lower(column) with lower(value), or use ILIKE."
    )


def _index(index: SourceIndex, draft: TableDraft, scope: TableScope, ctx: Context) -> IndexPlan:
    terms = _terms(index, draft, scope, ctx)
    where = translate_expression(index.where, scope, immutable=True, value=False) if index.where else None
    is_constraint = index.origin == "u" and bool(terms.columns) and where is None
    columns = [part.column or "expr" for part in index.parts]
    derived = f"{draft.target}_{'_'.join(columns)}_key"
    wanted = (index.constraint_name or derived) if index.origin == "u" else index.name
    return IndexPlan(
        name=ctx.names.take(fold(wanted, ctx.options.names)),
        source_name=index.name,
        parts=terms.parts,
        unique=index.unique,
        where=where,
        constraint="unique" if is_constraint else "",
        columns=terms.columns,
        detail="; ".join(terms.changes),
        source_kind="unique" if index.origin == "u" else "index",
    )


def _terms(index: SourceIndex, draft: TableDraft, scope: TableScope, ctx: Context) -> _Terms:
    rendered = [_term(part, draft, scope, ctx) for part in index.parts]
    plain = all(column for _, column, _ in rendered)
    return _Terms(
        parts=tuple(sql for sql, _, _ in rendered),
        columns=tuple(column for _, column, _ in rendered) if plain else (),
        changes=tuple(dict.fromkeys(change for _, _, change in rendered if change)),
    )


def _term(part: SourceIndexPart, draft: TableDraft, scope: TableScope, ctx: Context) -> tuple[str, str, str]:
    """Return (SQL, target column or '', what changed or '') of one term; Untranslatable when it has no counterpart."""
    direction = " DESC" if part.descending else ""
    if part.expression is not None:
        sql = translate_expression(part.expression, scope, immutable=True, value=True, index=True)
        change = _collation_change(part.collation)
        return (f"lower({sql})" if part.collation == "NOCASE" else f"({sql})") + direction, "", change
    column = draft.column(part.column or "")
    if column is None:
        raise Untranslatable(f'its column "{part.column}" is not copied')
    if column.type.wire == "json":
        raise Untranslatable(f'"{part.column}" is json, which cannot be indexed')
    if _is_folded(column, part.collation):
        ctx.warn(_folded_warning(draft))
        return f"lower({quote(column.target)}){direction}", "", "COLLATE NOCASE becomes lower(..)"
    change = _collation_change(part.collation) if column.type.is_text else ""
    return quote(column.target) + direction, column.target, change


def _collation_change(collation: str) -> str:
    if collation in ("BINARY", ""):
        return ""
    if collation == "NOCASE":
        return "COLLATE NOCASE becomes lower(..)"
    return f"COLLATE {collation} has no counterpart: the index compares the plain values"
