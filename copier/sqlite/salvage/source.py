"""The damaged file: opened read-only, pinned, and its pages at hand.

SQLite's own checks before the first read (does the schema parse, is the file as long as its header says) would refuse
such a file as a whole; `PRAGMA writable_schema` turns them off. Nothing is ever written to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import aiosqlite

from copier.errors import SourceUnreadable
from copier.sqlite.backup import Steps, copy_pages
from copier.sqlite.backup_sums import partial_path, remove_partial
from copier.sqlite.btree import PageFile
from copier.sqlite.connection import Access, connect, finish, query, uri
from copier.sqlite.explain import error_name, explain, lacks_wal_index
from copier.sqlite.header import RawFile, on_read_only_media, wal_path, wal_size_bytes
from copier.sqlite.health import quick_check
from copier.sqlite.snapshot import remove_empty_wal

MOST_PROBLEMS = 10_000
"""Lines SQLite's check ends after."""

_PAGES_PER_STEP = 4096

_LENIENT = "PRAGMA writable_schema = ON"


class SalvageSource:
    """One state of a damaged file, held until the end; an async context manager.

    Changes that are still in a -wal are brought together with the file in a copy of it at `scratch`, made by SQLite's
    backup and removed at the end: the pages are then all in one place. Entering raises SourceUnreadable or SourceBusy.
    """

    pages: PageFile
    connection: aiosqlite.Connection
    """Lenient and pinned; for SQLite's check and its pragmas."""
    state: str
    """A digest of which state this is, the time of the last write included."""

    def __init__(self, path: Path, *, immutable: bool = False, scratch: Path | None = None) -> None:
        self.path = path.resolve()
        self._access: Access = "immutable" if immutable else "ro"
        self._scratch = partial_path(scratch) if scratch else None
        self._stack = contextlib.AsyncExitStack()
        self._read_path = self.path

    async def __aenter__(self) -> SalvageSource:
        """Open and pin."""
        try:
            raw = RawFile(self.path)
            self._stack.callback(raw.close)
            await self._open(raw)
        except BaseException:
            await finish(self._stack.aclose())
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything, also when cancelled meanwhile."""
        await finish(self._stack.aclose())

    @property
    def uri(self) -> str:
        """The name to attach the file by."""
        return uri(self._read_path, self._access)

    async def problems(self, *, deep: bool = False) -> list[str]:
        """Return what SQLite itself finds wrong, [] for a sound file; integrity_check when `deep`, else quick_check."""
        found = await self._strictly_read()
        if missing := self._raw.missing_bytes():
            found.append(f"{missing} bytes that the header promises are missing")
        return found + await quick_check(self.connection, deep, most=MOST_PROBLEMS)

    async def _strictly_read(self) -> list[str]:
        """Read the schema as SQLite does for anybody."""
        connection = await connect(self._read_path, self._access)
        try:
            await query(connection, "SELECT count(*) FROM sqlite_master")
        except sqlite3.DatabaseError as error:
            if not error_name(error).startswith(("SQLITE_CORRUPT", "SQLITE_ERROR")):
                raise
            return [str(error)]
        finally:
            await finish(connection.close())
        return []

    async def _open(self, raw: RawFile) -> None:
        has_wal = raw.header().wal and bool(wal_size_bytes(self.path))
        if has_wal and self._access == "immutable":
            raise SourceUnreadable(
                f"{self.path} has a -wal file, whose changes an immutable read would miss",
                hint="leave immutable off, or copy the database together with its -wal to a directory you can write",
            )
        if raw.header().wal and not wal_path(self.path).exists():
            self._stack.push_async_callback(remove_empty_wal, self.path)
        try:
            self.connection = await self._pinned(raw)
            modified_ns = self.path.stat().st_mtime_ns  # pages may be mended without SQLite, and no counter raised
            self.state = replace(raw.fingerprint(), modified_ns=modified_ns).state
            if has_wal and self._scratch is not None:
                raw = await self._merged(self._scratch)
        except sqlite3.Error as error:
            raise _nothing_readable(error, self.path, raw) from error
        self._raw = raw
        self.pages = PageFile(raw)

    async def _pinned(self, raw: RawFile) -> aiosqlite.Connection:
        """Return a connection that holds the present state; where no -wal can be made beside the file, as immutable."""
        try:
            return await self._connect(self.path)
        except sqlite3.Error as error:
            alone = lacks_wal_index(error) and not wal_size_bytes(self.path) and on_read_only_media(self.path)
            if not (raw.header().wal and alone):
                raise
        self._access = "immutable"
        return await self._connect(self.path)

    async def _connect(self, path: Path) -> aiosqlite.Connection:
        connection = await connect(path, self._access)
        try:
            await query(connection, _LENIENT)
            await query(connection, "BEGIN")
            await query(connection, "PRAGMA schema_version")  # reads page 1, and no schema
        except BaseException:
            await finish(connection.close())
            raise
        self._stack.push_async_callback(connection.close)
        return connection

    async def _merged(self, scratch: Path) -> RawFile:
        """Return a copy of file and -wal."""
        self._stack.callback(remove_partial, scratch)
        await copy_pages(self.connection, scratch, Steps(asyncio.get_running_loop()), _PAGES_PER_STEP)
        raw = RawFile(scratch)
        self._stack.callback(raw.close)
        self._access, self._read_path = "immutable", scratch
        self.connection = await self._connect(scratch)
        return raw


def _nothing_readable(error: sqlite3.Error, path: Path, raw: RawFile) -> Exception:
    """Say why not even the beginning of the file can be read."""
    if error_name(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return SourceUnreadable(
            f"nothing can be salvaged from {path}: its first page, which says how to read all others, is damaged or "
            f"encrypted ({error})",
            hint="restore a backup; or decrypt it with the application's own tool first, if it is encrypted",
        )
    return explain(error, path, raw)
