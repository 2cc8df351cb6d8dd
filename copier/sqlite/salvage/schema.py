"""The schema of a damaged file: read from its pages, and made anew by its own text in the new file.

The text comes from a file that anybody may have written: an authorizer lets each statement create the one object its
entry names, and do nothing else.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from copier.sqlite.btree import MALFORMED, Damaged, PageFile
from copier.sqlite.btree_record import Encoding, Row, StoredText, read_row
from copier.sqlite.btree_walk import Hole, Leaf, TableWalk
from copier.sqlite.connection import readable_errors
from copier.sqlite.salvage.result import Loss, Losses

SCHEMA_TABLE = "sqlite_schema"
_ENTRY_COLUMNS = 5
_CREATES = {
    "table": sqlite3.SQLITE_CREATE_TABLE,
    "index": sqlite3.SQLITE_CREATE_INDEX,
    "view": sqlite3.SQLITE_CREATE_VIEW,
    "trigger": sqlite3.SQLITE_CREATE_TRIGGER,
}
_ENCODINGS: dict[str, Encoding] = {"UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}
_NOT_ITS_OBJECT = "its text does not create what its entry names"
_ABSENT = re.compile(r"no such (collation sequence|function): (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SchemaEntry:
    """One row of sqlite_schema."""

    type: str
    name: str
    table: str
    root: int
    sql: str
    raw: tuple[bytes, bytes, bytes]
    """Name, table and text as they stand in the file."""

    @property
    def is_virtual(self) -> bool:
        """Whether it is a virtual table, which has no rows of its own."""
        return self.type == "table" and re.match(r"CREATE\s+VIRTUAL\s", self.sql, re.IGNORECASE) is not None

    @property
    def is_internal(self) -> bool:
        """Whether SQLite makes it by itself: sqlite_sequence, statistics, the indexes of constraints."""
        return self.name.lower().startswith("sqlite_") or (self.type == "index" and not self.sql)

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{'virtual table' if self.is_virtual else self.type} {self.name}"


def stored_encoding(name: str) -> Encoding:
    """Return Python's name for what PRAGMA encoding says."""
    return _ENCODINGS.get(name, "utf-8")


def read_entries(file: PageFile, encoding: Encoding, losses: Losses) -> list[SchemaEntry]:
    """Return the entries of sqlite_schema that can be read, in their order; the others are listed."""
    entries: list[SchemaEntry] = []
    for found in TableWalk(file).leaves(1):
        if isinstance(found, Leaf):
            for place in range(found.page.cells):
                try:
                    row = read_row(file, found.page, place)
                    entries.append(_entry(row, encoding))
                    if not row.whole:
                        losses.add(Loss("suspect", SCHEMA_TABLE, MALFORMED, rows=1, page=found.page.number))
                except Damaged as error:
                    losses.add(Loss("row", SCHEMA_TABLE, error.sentence, rows=1, page=found.page.number))
        else:
            losses.add(_lost_entries(found))
    return entries


def _lost_entries(hole: Hole) -> Loss:
    first = None if hole.lower is None else hole.lower + 1
    return Loss("pages", SCHEMA_TABLE, hole.reason, first, hole.upper, pages=1, page=hole.page)


def _entry(row: Row, encoding: Encoding) -> SchemaEntry:
    if len(row.values) < _ENTRY_COLUMNS:
        raise Damaged("an entry of the schema is too short")
    *texts, root, sql = row.values[:_ENTRY_COLUMNS]
    names = [text.decode(encoding) for text in texts if isinstance(text, StoredText)]
    if len(names) != len(texts) or names[0] not in _CREATES or not isinstance(root, int | None):
        raise Damaged("an entry of the schema makes no sense")
    text = sql if isinstance(sql, StoredText) else StoredText(b"")
    raw = tuple(one.raw for one in (*texts[1:], text) if isinstance(one, StoredText))
    return SchemaEntry(names[0], names[1], names[2], root or 0, text.decode(encoding), (raw[0], raw[1], raw[2]))


class SchemaWriter:
    """Creates objects in the new file; what is refused is listed in SQLite's own words."""

    def __init__(self, raw: sqlite3.Connection, encoding: Encoding, losses: Losses) -> None:
        self._raw = raw
        self._encoding = encoding
        self._losses = losses
        self.collations: dict[str, str] = {}
        """Collation that only the application has, and that a binary one stands for -> object that asked for it."""
        self._functions: set[str] = set()
        self.garbled: list[SchemaEntry] = []
        """Objects created with marks in the place of bytes that are no text: see `put_back`."""

    def create(self, entries: Iterable[SchemaEntry], *, functions: bool = False) -> list[SchemaEntry]:
        """Create the objects; return those that are there now.

        A collation that only the application has is replaced by a binary one. `functions` does so for functions too,
        which is right only where they are never called.
        """
        return [entry for entry in entries if self._create(entry, functions)]

    def _create(self, entry: SchemaEntry, functions: bool) -> bool:
        while True:
            allowed = _Only(entry)
            self._raw.set_authorizer(allowed)
            try:
                self._raw.execute(entry.sql)
                if not allowed.created:
                    raise sqlite3.DatabaseError(_NOT_ITS_OBJECT)
                break
            except (sqlite3.DatabaseError, sqlite3.Warning, sqlite3.InterfaceError, ValueError) as error:
                raise_unless_content(error)
                if self._stand_in(str(error), entry, functions):
                    continue
                self._losses.add(Loss("object", entry.table, _told(error), name=entry.title))
                return False
            finally:
                self._raw.set_authorizer(None)
        if entry.sql.encode(self._encoding, errors="replace") != entry.raw[2]:
            self.garbled.append(entry)
        return True

    def _stand_in(self, message: str, entry: SchemaEntry, functions: bool) -> bool:
        """Give SQLite what it asks for, once each."""
        asked = _ABSENT.fullmatch(message)
        if asked is None:
            return False
        kind, name = asked.groups()
        if kind == "function" and functions and name not in self._functions:
            self._raw.create_function(name, -1, _nothing, deterministic=True)
            self._functions.add(name)
            return True
        if kind != "function" and name not in self.collations:
            self._raw.create_collation(name, compare_binary)
            self.collations[name] = entry.title
            return True
        return False

    def put_back(self, entries: Iterable[SchemaEntry]) -> None:
        """Give objects the very bytes of their names and texts. Until then their columns can be named."""
        changes = ", ".join(f"{column} = ? || x''" for column in ("name", "tbl_name", "sql"))
        for entry in entries:
            self._write(
                f"UPDATE sqlite_master SET {changes} WHERE type = ? AND name = ?", (*entry.raw, entry.type, entry.name)
            )

    def add_virtual(self, entries: Iterable[SchemaEntry]) -> None:
        """Write the entries of virtual tables as they are: their module is not asked, and need not be there."""
        values = "'table', ? || x'', ? || x'', 0, ? || x''"
        for entry in entries:
            refusal = self._write(
                f"INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES ({values})", entry.raw
            )
            if refusal:
                self._losses.add(Loss("object", entry.table, refusal, name=entry.title))

    def _write(self, sql: str, parameters: Sequence[Any]) -> str:
        """Write into the schema itself; return why SQLite cannot read it then, and nothing is written."""
        self._raw.execute("SAVEPOINT entry")
        self._raw.execute("PRAGMA writable_schema = ON")
        self._raw.execute(sql, parameters)
        self._raw.execute("PRAGMA writable_schema = RESET")
        try:
            with readable_errors():
                self._raw.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        except sqlite3.DatabaseError as error:
            raise_unless_content(error)
            self._raw.execute("ROLLBACK TO entry")
            self._raw.execute("PRAGMA writable_schema = RESET")
            return str(error)
        finally:
            self._raw.execute("RELEASE entry")
        return ""


class _Only:
    """An authorizer that lets a statement create one object."""

    def __init__(self, entry: SchemaEntry) -> None:
        self.created = False
        self._entry = entry

    def __call__(self, action: int, one: str | None, two: str | None, *_: str | None) -> int:
        """Allow or deny one action; SQLite docs, "Authorizer Action Codes" has the two names."""
        entry = self._entry
        if action == _CREATES[entry.type] and one == entry.name:
            self.created = True
            return sqlite3.SQLITE_OK
        allowed = (
            action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_REINDEX)
            or (action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE) and one in ("sqlite_master", "sqlite_schema"))
            or (action == sqlite3.SQLITE_CREATE_TABLE and one == "sqlite_sequence")
            or (action == sqlite3.SQLITE_CREATE_INDEX and entry.type == "table" and two == entry.name)
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def raise_unless_content(error: Exception) -> None:
    """Raise `error` again unless it is about what a file holds: when stopped, or when the disk takes no more."""
    name = getattr(error, "sqlite_errorname", "") or ""
    outside = ("SQLITE_INTERRUPT", "SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_CANTOPEN")
    reads = ("SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_CORRUPTFS", "SQLITE_IOERR_DATA")
    if name.startswith(outside) or (name.startswith("SQLITE_IOERR") and name not in reads):
        raise error


def _told(error: Exception) -> str:
    return _NOT_ITS_OBJECT if str(error) == "not authorized" else str(error)


def compare_binary(one: str, other: str) -> int:
    """A collation in the place of one that only the application has."""
    return (one > other) - (one < other)


def _nothing(*_: object) -> None:
    return None
