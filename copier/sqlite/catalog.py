"""Introspection of the source: every object of sqlite_schema exactly once, as `copier.plan.source` describes it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import aiosqlite

from copier.errors import SourceUnreadable
from copier.plan.names import quote
from copier.plan.source import SourceObject, SourceSchema, SourceTable
from copier.sqlite.catalog_table import TableFacts, read_source_table
from copier.sqlite.connection import run
from copier.sqlite.ddl_text import read_table, virtual_module
from copier.sqlite.ddl_tokens import Unreadable

Kind = Literal["table", "virtual", "shadow", "internal"]

TABLE_LIST_SINCE = (3, 37, 0)

_SHADOW_SUFFIXES = {
    "fts3": ("content", "segments", "segdir", "docsize", "stat"),
    "fts4": ("content", "segments", "segdir", "docsize", "stat"),
    "fts5": ("data", "idx", "content", "docsize", "config"),
    "rtree": ("node", "rowid", "parent"),
    "rtree_i32": ("node", "rowid", "parent"),
    "geopoly": ("node", "rowid", "parent"),
    "spellfix1": ("vocab",),
}
"""What each module of SQLite's own calls its shadow tables: for versions without PRAGMA table_list, and for modules
this SQLite was built without, whose shadow tables it cannot know."""


@dataclass(slots=True)
class Entry:
    """One row of sqlite_schema."""

    type: str
    name: str
    table: str
    sql: str | None


@dataclass(slots=True)
class Tables:
    """What kind each table is, by name, and the owner of each shadow table."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    facts: dict[str, TableFacts] = field(default_factory=dict)


async def read_schema(connection: aiosqlite.Connection) -> SourceSchema:
    """Return the whole schema; raises SourceUnreadable when SQLite cannot read it.

    A broken view, a missing module or text that cannot be split never fails the whole: see `SourceTable.unparsed`.
    """
    try:
        return await run(connection, read_schema_sync)
    except sqlite3.Error as error:
        raise SourceUnreadable(
            f"the schema cannot be read: {error}",
            hint="open the database with the application, or `sqlite3 FILE .schema`, to see whether they can",
        ) from error


def read_schema_sync(raw: sqlite3.Connection) -> SourceSchema:
    """As `read_schema`, on a connection of the standard library; raises sqlite3.Error."""
    usual = raw.text_factory
    raw.text_factory = lambda text: text.decode(errors="replace")  # a comment in Latin-1 must not stop the run
    try:
        return _read_schema(raw)
    finally:
        raw.text_factory = usual


def _read_schema(raw: sqlite3.Connection) -> SourceSchema:
    entries = list_entries(raw)
    tables = classify(raw, entries, table_list=sqlite3.sqlite_version_info >= TABLE_LIST_SINCE)
    return SourceSchema(
        tables=tuple(_read_tables(raw, entries, tables)),
        objects=tuple(_read_objects(raw, entries, tables)),
        encoding=_pragma(raw, "encoding"),
        page_size_bytes=_pragma(raw, "page_size"),
        page_count=_pragma(raw, "page_count"),
        journal_mode=_pragma(raw, "journal_mode"),
        user_version=_pragma(raw, "user_version"),
        application_id=_pragma(raw, "application_id"),
    )


def _pragma(raw: sqlite3.Connection, name: str) -> Any:
    return raw.execute(f"PRAGMA {name}").fetchone()[0]


def list_entries(raw: sqlite3.Connection) -> list[Entry]:
    """Return the rows of sqlite_schema in their order."""
    listed = raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid")
    return [Entry(*row) for row in listed.fetchall()]


def classify(raw: sqlite3.Connection, entries: Iterable[Entry], *, table_list: bool) -> Tables:
    """Tell ordinary, virtual, shadow and internal tables apart, and WITHOUT ROWID and STRICT ones.

    `table_list` uses PRAGMA table_list; else all is taken from the text of the CREATE statements.
    """
    found = Tables()
    for entry in entries:
        if entry.type == "table":
            _classify_by_text(entry, found)
    if table_list:
        sql = "SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main'"
        for name, kind, without_rowid, strict in raw.execute(sql):
            if name in found.facts:
                found.facts[name].without_rowid, found.facts[name].strict = bool(without_rowid), bool(strict)
            if kind == "shadow" and found.kinds.get(name) == "table":
                found.kinds[name] = "shadow"
    _find_shadow_tables(found)
    return found


def _classify_by_text(entry: Entry, found: Tables) -> None:
    name, sql = entry.name, entry.sql or ""
    if name.lower().startswith("sqlite_"):
        found.kinds[name] = "internal"
        return
    if re.match(r"CREATE\s+VIRTUAL\s", sql, re.IGNORECASE):
        found.kinds[name] = "virtual"
        found.modules[name] = virtual_module(sql)
        return
    found.kinds[name] = "table"
    found.facts[name] = TableFacts(name, sql)
    try:
        text = read_table(sql)
    except Unreadable:
        return
    found.facts[name].without_rowid, found.facts[name].strict = text.without_rowid, text.strict


def _find_shadow_tables(found: Tables) -> None:
    for name, kind in found.kinds.items():
        if kind not in ("table", "shadow"):
            continue
        for owner, module in found.modules.items():
            prefix, _, suffix = name.rpartition("_")
            known = kind == "shadow" or suffix.lower() in _SHADOW_SUFFIXES.get(module, ())
            if known and prefix.lower() == owner.lower():
                found.kinds[name] = "shadow"
                found.owners[name] = owner


def _read_tables(raw: sqlite3.Connection, entries: list[Entry], tables: Tables) -> Iterable[SourceTable]:
    sequences = _sequences(raw, tables)
    for entry in entries:
        if entry.type == "table" and tables.kinds[entry.name] == "table":
            facts = tables.facts[entry.name]
            facts.sequence = sequences.get(entry.name.lower())
            yield read_source_table(raw, facts)


def _sequences(raw: sqlite3.Connection, tables: Tables) -> dict[str, int]:
    """The rows of sqlite_sequence, the highest where a damaged one has several for a table."""
    if "sqlite_sequence" not in tables.kinds:
        return {}
    sql = "SELECT lower(name), max(seq) FROM sqlite_sequence WHERE typeof(seq) = 'integer' GROUP BY 1"
    return {str(name): seq for name, seq in raw.execute(sql)}


def _read_objects(raw: sqlite3.Connection, entries: list[Entry], tables: Tables) -> Iterable[SourceObject]:
    for entry in entries:
        if entry.type == "view":
            yield SourceObject("view", entry.name, None, entry.sql, columns=_column_names(raw, entry.name))
        elif entry.type == "trigger":
            yield SourceObject("trigger", entry.name, entry.table, entry.sql)
        elif entry.type == "table":
            kind = tables.kinds[entry.name]
            if kind == "virtual":
                yield SourceObject(
                    "virtual table",
                    entry.name,
                    None,
                    entry.sql,
                    tables.modules[entry.name],
                    _column_names(raw, entry.name),
                )
            elif kind == "shadow":
                yield SourceObject("shadow table", entry.name, tables.owners.get(entry.name), entry.sql)
            elif kind == "internal":
                yield SourceObject("internal table", entry.name, None, entry.sql)


def _column_names(raw: sqlite3.Connection, name: str) -> tuple[str, ...]:
    """Columns of a view or a virtual table without the hidden ones; () when SQLite cannot tell them."""
    try:
        rows = raw.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise
        return ()
    return tuple(row[1] for row in rows if row[6] != 1)
