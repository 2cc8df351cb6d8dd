"""One table of the source: its pragmas, completed by the text of its CREATE statements.

Sources: SQLite docs, "PRAGMA Statements" (table_xinfo, index_list, index_xinfo, foreign_key_list), "ROWIDs and the
INTEGER PRIMARY KEY".
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from typing import Literal

from copier.plan.source import SourceColumn, SourceForeignKey, SourceIndex, SourceIndexPart, SourceTable
from copier.sqlite.ddl_text import IndexText, TableText, read_index, read_table
from copier.sqlite.ddl_tokens import Unreadable

_GENERATED: dict[int, Literal["", "virtual", "stored"]] = {2: "virtual", 3: "stored"}
_ROWID_NAMES = ("rowid", "_rowid_", "oid")


@dataclass(slots=True)
class TableFacts:
    """What the schema says of a table before its own pragmas are asked."""

    name: str
    sql: str
    without_rowid: bool = False
    strict: bool = False
    sequence: int | None = None


def read_source_table(raw: sqlite3.Connection, facts: TableFacts) -> SourceTable:
    """Return everything about one ordinary table."""
    problems: list[str] = []
    columns = _columns(raw, facts.name)
    text = _table_text(facts.sql, columns, problems)
    indexes = _indexes(raw, facts.name, problems)
    primary_key = tuple(c.name for c in sorted((c for c in columns if c.pk), key=lambda c: c.pk))
    # An INTEGER PRIMARY KEY that is the rowid needs no index; every other primary key has one.
    alone = len(primary_key) == 1 and not facts.without_rowid and not any(i.origin == "pk" for i in indexes)
    alias = primary_key[0] if alone else None
    return SourceTable(
        name=facts.name,
        columns=_with_text(columns, text),
        primary_key=primary_key,
        primary_key_name=text.primary_key_name,
        rowid_alias=alias,
        rowid_name=None if facts.without_rowid else _rowid_name(columns, alias),
        without_rowid=facts.without_rowid,
        strict=facts.strict,
        autoincrement=text.autoincrement,
        sequence=facts.sequence,
        indexes=tuple(_named(index, text) for index in indexes),
        foreign_keys=_foreign_keys(raw, facts.name, text, problems),
        checks=tuple(text.checks),
        sql=facts.sql,
        unparsed="; ".join(problems),
    )


def _columns(raw: sqlite3.Connection, table: str) -> list[SourceColumn]:
    sql = 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid'
    return [
        SourceColumn(name, declared or "", bool(not_null), default, pk, _GENERATED.get(hidden, ""))
        for name, declared, not_null, default, pk, hidden in raw.execute(sql, (table,))
    ]


def _table_text(sql: str, columns: list[SourceColumn], problems: list[str]) -> TableText:
    try:
        text = read_table(sql)
    except Unreadable as error:
        problems.append(f"CREATE TABLE: {error}")
        return TableText()
    if [c.name for c in text.columns] != [c.name for c in columns]:
        problems.append("CREATE TABLE: the columns in its text are not those SQLite reports")
        return TableText()
    return text


def _with_text(columns: list[SourceColumn], text: TableText) -> tuple[SourceColumn, ...]:
    if not text.columns:
        return tuple(columns)
    return tuple(
        replace(column, collation=part.collation or "BINARY", generated_sql=part.generated)
        for column, part in zip(columns, text.columns, strict=True)
    )


def _rowid_name(columns: list[SourceColumn], alias: str | None) -> str | None:
    shadowed = {column.name.lower() for column in columns}
    return next((name for name in _ROWID_NAMES if name not in shadowed), alias)


def _indexes(raw: sqlite3.Connection, table: str, problems: list[str]) -> tuple[SourceIndex, ...]:
    """All indexes, oldest first."""
    listed = raw.execute('SELECT name, "unique", origin, partial FROM pragma_index_list(?) ORDER BY seq DESC', (table,))
    return tuple(_index(raw, row, problems) for row in listed.fetchall())


def _index(
    raw: sqlite3.Connection, row: tuple[str, int, Literal["c", "u", "pk"], int], problems: list[str]
) -> SourceIndex:
    name, unique, origin, partial = row
    # the primary key of a WITHOUT ROWID table is the table itself and has no row here
    found = raw.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", (name,)).fetchone()
    sql = found[0] if found else None
    rows = raw.execute(
        'SELECT cid, name, "desc", coll FROM pragma_index_xinfo(?) WHERE "key" ORDER BY seqno', (name,)
    ).fetchall()
    text = _index_text(name, sql, len(rows), problems)
    parts = []
    for place, (column_id, column, descending, collation) in enumerate(rows):
        expression = None
        if column_id == -2:  # an expression
            expression, column = text.terms[place] if text else "", None
        parts.append(SourceIndexPart(column, expression, bool(descending), collation.upper()))
    where = (text.where if text else "") if partial else None
    return SourceIndex(name, bool(unique), origin, tuple(parts), where, sql)


def _named(index: SourceIndex, text: TableText) -> SourceIndex:
    """Return the index of a UNIQUE constraint with the constraint's name."""
    if index.origin != "u":
        return index
    return replace(index, constraint_name=text.unique_names.get(_folded(tuple(p.column or "" for p in index.parts))))


def _index_text(name: str, sql: str | None, terms: int, problems: list[str]) -> IndexText | None:
    if sql is None:
        return None
    try:
        text = read_index(sql)
    except Unreadable as error:
        problems.append(f"index {name}: {error}")
        return None
    if len(text.terms) != terms:
        problems.append(f"index {name}: its text has {len(text.terms)} terms, SQLite reports {terms}")
        return None
    return text


def _foreign_keys(
    raw: sqlite3.Connection, table: str, text: TableText, problems: list[str]
) -> tuple[SourceForeignKey, ...]:
    """All foreign keys in SQLite's numbering, which counts from the last one of the text."""
    grouped: dict[int, list[tuple[str, str, str | None, str, str]]] = {}
    sql = 'SELECT id, "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(?) ORDER BY id, seq'
    for number, *row in raw.execute(sql, (table,)):
        grouped.setdefault(number, []).append(tuple(row))
    keys = [_foreign_key(number, rows) for number, rows in grouped.items()]
    written = text.foreign_keys[::-1]
    if [_folded(key.columns) for key in keys] != [_folded(part.columns) for part in written]:
        if text.columns:
            problems.append("CREATE TABLE: the foreign keys in its text are not those SQLite reports")
        return tuple(keys)
    return tuple(
        replace(key, name=part.name, deferrable=part.deferrable, initially_deferred=part.initially_deferred)
        for key, part in zip(keys, written, strict=True)
    )


def _foreign_key(number: int, rows: list[tuple[str, str, str | None, str, str]]) -> SourceForeignKey:
    parent, _, _, on_update, on_delete = rows[0]
    return SourceForeignKey(
        id=number,
        columns=tuple(child for _, child, *_ in rows),
        parent=parent,
        parent_columns=tuple(to for _, _, to, *_ in rows if to is not None),
        on_update=on_update,
        on_delete=on_delete,
    )


def _folded(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)
