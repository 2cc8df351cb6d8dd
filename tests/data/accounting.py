"""Whether a report accounts for everything in a SQLite file, counted from the file itself with plain sqlite3."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from copier.plan.names import quote, shorten
from copier.report import Report

Rows = list[tuple[str, ...]]

_NOISE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/", re.S)
_CHECK = re.compile(r"\bCHECK\s*\(", re.I)


class Accounts:
    """The file's objects on one side, the report's lines on the other."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path = path
        self._tables = Counter(table.source for table in report.tables)
        self._notes = report.objects
        self._named = Counter((note.kind, note.table, note.name) for note in report.objects)
        self._kinds = Counter((note.kind, note.table) for note in report.objects)

    def faults(self) -> list[str]:
        """Return a sentence for each object that is not in the report exactly once; empty when all are."""
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro&immutable=1", uri=True)) as connection:
            # Names and SQL can hold anything.
            connection.text_factory = lambda raw: raw.decode(errors="replace")
            return [*self._of_tables(connection), *self._of_programs(connection), *self._repeated()]

    def _of_tables(self, connection: sqlite3.Connection) -> Iterator[str]:
        kinds = {row[1]: row[2] for row in connection.execute("PRAGMA table_list") if row[0] == "main"}
        stored = "SELECT name, coalesce(sql, '') FROM sqlite_schema WHERE type = 'table'"
        ordinary = set()
        for name, sql in connection.execute(stored).fetchall():
            kind = "internal" if name.startswith("sqlite_") else kinds[name]
            if kind == "table":
                ordinary.add(name)
                if self._tables[name] != 1:
                    yield f"table {name}: {self._tables[name]} times in tables"
                yield from self._of_table(connection, name, sql)
            else:
                yield from self._once(f"{kind} table", name)
        for name in self._tables.keys() - ordinary:
            yield f"table {name}: in tables, and not an ordinary table of the source"

    def _of_table(self, connection: sqlite3.Connection, table: str, sql: str) -> Iterator[str]:
        columns = connection.execute(f"PRAGMA table_xinfo({quote(table)})").fetchall()
        indexes = connection.execute(f"PRAGMA index_list({quote(table)})").fetchall()
        keys = connection.execute(f"PRAGMA foreign_key_list({quote(table)})").fetchall()
        for index in (row[1] for row in indexes if row[3] == "c"):
            found = sum(self._named["index", table, name] for name in {index, shorten(index)})
            if found != 1:
                yield f"index {index} of {table}: {found} times in objects"
        wanted = {
            "primary key": int(any(row[5] for row in columns)),
            "unique": sum(row[3] == "u" for row in indexes),
            "foreign key": len({row[0] for row in keys}),
            "check": len(_CHECK.findall(_NOISE.sub("''", sql))),
            "default": sum(row[4] is not None for row in columns),
            "generated column": sum(row[6] in (2, 3) for row in columns),
        }
        for kind, count in wanted.items():
            if self._kinds[kind, table] != count:
                yield f"{kind} of {table}: {self._kinds[kind, table]} times in objects, {count} in the source"

    def _of_programs(self, connection: sqlite3.Connection) -> Iterator[str]:
        stored = "SELECT type, name FROM sqlite_schema WHERE type IN ('view', 'trigger')"
        for kind, name in connection.execute(stored).fetchall():
            yield from self._once(kind, name)

    def _once(self, kind: str, name: str) -> Iterator[str]:
        found = sum(note.kind == kind and note.name == name for note in self._notes)
        if found != 1:
            yield f"{kind} {name}: {found} times in objects"

    def _repeated(self) -> Iterator[str]:
        for (kind, table, name), count in self._named.items():
            if count > 1:
                yield f"{kind} {name} of {table}: {count} times in objects"
