"""Second step of planning: the two sides of a foreign key get types that PostgreSQL can compare.

A foreign key's column may hold nothing but NULLs, or values by which another type was chosen than for its parent. The
column of the more special type moves to the more general one when all its values fit; a column without values takes the
other's type. What cannot agree stays as it is, and the foreign key is listed instead of created.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from copier.plan.build.context import ColumnDraft, TableDraft
from copier.plan.pgtype import PgType
from copier.plan.source import SourceForeignKey, SourceTable
from copier.plan.types import fit
from copier.plan.types.hints import says_uuid
from copier.plan.types.stored import NUMERIC, TEXT, TypeChoice

_INTEGERS = ("int2", "int4", "int8")
_RANK = {"int2": 1, "int4": 2, "int8": 3, "float4": 4, "float8": 4, "numeric": 5, "bpchar": 6, "varchar": 6, "text": 7}
"""Types by how much they can hold; those not listed are special (0)."""

_ROUNDS = 10
"""A change travels one foreign key per round; longer chains of empty columns do not occur."""

Place = tuple[str, str]
"""(table, column), both as the source declares them."""


def comparable(one: PgType, other: PgType) -> bool:
    """Whether PostgreSQL can enforce a foreign key between two types with an index."""
    if one.name or other.name:
        return one.name == other.name
    both_text = one.is_text and other.is_text
    both_integer = one.wire in _INTEGERS and other.wire in _INTEGERS
    return one.wire == other.wire or both_text or both_integer


def parent_columns(key: SourceForeignKey, parent: SourceTable) -> tuple[str, ...]:
    """Return the parent's columns by the names the parent gives them; KeyError when it has no such column."""
    return tuple(parent.column(name).name for name in key.parent_columns) or parent.primary_key


def agree(drafts: tuple[TableDraft, ...]) -> tuple[TableDraft, ...]:
    """Return the drafts with the types of foreign keys and their parents made comparable where values allow."""
    columns = {(d.source.name, c.source.name): c for d in drafts for c in d.columns}
    links = list(_links([draft.source for draft in drafts]))
    for _ in range(_ROUNDS):
        changes = [_reconcile(columns, *link) for link in links]
        if not any(changes):
            break
    return tuple(
        replace(draft, columns=tuple(columns[draft.source.name, c.source.name] for c in draft.columns))
        for draft in drafts
    )


def uuid_places(tables: Sequence[SourceTable]) -> frozenset[Place]:
    """Return the columns that say they hold UUIDs, and those that foreign keys tie to them, over any number of keys."""
    tied: dict[Place, list[Place]] = {}
    for child, parent in _links(tables):
        tied.setdefault(child, []).append(parent)
        tied.setdefault(parent, []).append(child)
    found: set[Place] = set()
    left = [(table.name, column.name) for table in tables for column in table.columns if says_uuid(column)]
    while left:
        place = left.pop()
        if place not in found:
            found.add(place)
            left += tied.get(place, ())
    return frozenset(found)


def _links(tables: Sequence[SourceTable]) -> Iterator[tuple[Place, Place]]:
    """Yield (child, parent) for each column of each foreign key whose parent is there."""
    by_name = {table.name.lower(): table for table in tables}
    for table in tables:
        for key in table.foreign_keys:
            parent = by_name.get(key.parent.lower())
            if parent is None:
                continue
            try:
                pairs = zip(key.columns, parent_columns(key, parent), strict=True)
                yield from [((table.name, table.column(c).name), (parent.name, p)) for c, p in pairs]
            except (KeyError, ValueError):
                continue  # no such column, or not as many of them: the foreign key will be listed


def _reconcile(columns: dict[Place, ColumnDraft], child: Place, parent: Place) -> bool:
    """Change one of the two columns, or both; False when nothing was, or nothing could be changed."""
    one, other = columns.get(child), columns.get(parent)
    if one is None or other is None or comparable(one.type, other.type):
        return False
    for mover, place, model, toward in _moves(one, child, other, parent):
        moved = _moved(mover, model.type, f"{toward[0]}.{toward[1]}")
        if moved is not None:
            columns[place] = moved
            return True
    both = [_moved(c, TEXT, f"{p[0]}.{p[1]}") for c, p in ((one, parent), (other, child))]
    if None in both:
        return False
    columns[child], columns[parent] = (c for c in both if c is not None)
    return True


def _moves(
    one: ColumnDraft, child: Place, other: ColumnDraft, parent: Place
) -> list[tuple[ColumnDraft, Place, ColumnDraft, Place]]:
    """Return who may move toward whom, the best first: an empty column, then the one of the more special type."""
    forth, back = (one, child, other, parent), (other, parent, one, child)
    if one.is_empty != other.is_empty:
        return [forth, back] if one.is_empty else [back, forth]
    special = _RANK.get(one.type.wire, 0) <= _RANK.get(other.type.wire, 0)
    return [forth, back] if special else [back, forth]


def _moved(column: ColumnDraft, type_: PgType, like: str) -> ColumnDraft | None:
    if column.fixed:
        return None
    if type_.wire == column.type.wire:
        return column
    if type_.wire == "numeric":
        type_ = NUMERIC
    cast, profile = fit.suitable_cast(type_, column.profile), column.profile
    if profile is not None and fit.fitting(profile, type_, cast) < profile.filled:
        return None
    reason = f"as {like}, across a foreign key; alone {column.type.sql}: {column.choice.reason}"
    return replace(column, choice=TypeChoice(type_, cast, "reject", reason))
