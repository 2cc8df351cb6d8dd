"""Keys of parent tables in memory, so that the profile's own pass finds rows whose parent is missing.

SQLite looks up each parent in its b-tree: a microsecond per row and foreign key, the greatest part of a profile. Only
where comparing stored values says what SQLite says: one column, the parent's primary key, both of TEXT or both of
INTEGER affinity, compared byte by byte (SQLite docs, "Foreign Key Support" 3). Everything else is asked of SQLite.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

import aiosqlite

from copier.plan.names import quote
from copier.plan.source import SourceColumn, SourceForeignKey, SourceSchema, SourceTable
from copier.sqlite.connection import run
from copier.sqlite.library import handle_of

if TYPE_CHECKING:
    from copier.wire.kernel import Library, ParentKeys

MAX_BYTES = 64 << 20
"""Memory of all keys together: about four million."""


class ParentSets:
    """Loads the keys of each parent once."""

    def __init__(self, library: Library, schema: SourceSchema) -> None:
        self._library = library
        self._schema = schema
        self._loaded: dict[str, ParentKeys | None] = {}
        self._turn = asyncio.Lock()

    async def find(
        self, connection: aiosqlite.Connection, table: SourceTable, foreign: SourceForeignKey
    ) -> ParentKeys | None:
        """Return the keys a foreign key refers to, None where they cannot be compared as they are, or are too many."""
        parent = self._schema.table(foreign.parent)
        if parent is None or self._schema.encoding != "UTF-8" or not _is_plain(table, foreign, parent):
            return None
        async with self._turn:
            if parent.name not in self._loaded:
                self._loaded[parent.name] = await self._load(connection, parent)
        return self._loaded[parent.name]

    async def _load(self, connection: aiosqlite.Connection, parent: SourceTable) -> ParentKeys | None:
        from copier.wire.kernel import Columns, ParentKeys, ScanError

        keys = ParentKeys(self._library, Columns([("text", "", ())]), 0, 1)
        keys.limit_to(MAX_BYTES - sum(k.size_bytes for k in self._loaded.values() if k), secrets.randbits(64))
        sql = f"SELECT {quote(parent.primary_key[0])} FROM {quote(parent.name)}"

        def load(raw: sqlite3.Connection) -> None:
            keys.scan(handle_of(raw), sql.encode(), ())

        with suppress(ScanError):  # SQLite will say so again, with the table's name
            await run(connection, load)
        return keys if keys.complete else None


def _is_plain(table: SourceTable, foreign: SourceForeignKey, parent: SourceTable) -> bool:
    if len(foreign.columns) != 1 or len(parent.primary_key) != 1:
        return False
    child, key = table.column(foreign.columns[0]), parent.column(parent.primary_key[0])
    if foreign.parent_columns and foreign.parent_columns[0].lower() != key.name.lower():
        return False
    affinity = _affinity(key)
    return affinity in ("TEXT", "INTEGER") and affinity == _affinity(child) and key.collation == "BINARY"


def _affinity(column: SourceColumn) -> str:
    """Return the affinity where it is INTEGER or TEXT, else '' (SQLite docs, "Datatypes" 3.1)."""
    declared = column.declared.upper()
    if "INT" in declared:
        return "INTEGER"
    return "TEXT" if any(part in declared for part in ("CHAR", "CLOB", "TEXT")) else ""
