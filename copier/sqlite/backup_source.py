"""The source of a backup: one read-only connection, and the row counts to hold the copy against."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import aiosqlite

from copier.errors import CopyFailed
from copier.sqlite.connection import BUSY_TIMEOUT_S, connect, finish, query
from copier.sqlite.explain import explain
from copier.sqlite.header import RawFile, wal_path, wal_size_bytes
from copier.sqlite.pages import count_rows
from copier.sqlite.snapshot import remove_empty_wal


class BackupSource:
    """The source on one read-only connection: pinned in WAL mode, else free, so that writers get their turn."""

    def __init__(self, path: Path, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self.connection: aiosqlite.Connection
        self.size_bytes = 0
        self._stack = contextlib.AsyncExitStack()
        self._version = 0

    async def __aenter__(self) -> BackupSource:
        """Open it; SourceUnreadable or SourceBusy when that is impossible."""
        raw = RawFile(self.path)
        self._stack.callback(raw.close)
        header = raw.header()
        self.size_bytes = raw.size_bytes() + wal_size_bytes(self.path)
        if header.wal and not wal_path(self.path).exists():
            self._stack.push_async_callback(remove_empty_wal, self.path)
        try:
            self.connection = await connect(self.path, "ro", busy_timeout_s=self._busy_timeout_s)
            self._stack.push_async_callback(self.connection.close)
            if header.wal:
                await self.pin()
            self._version = await self._data_version()
        except BaseException as error:
            known = explain(error, self.path, raw) if isinstance(error, sqlite3.Error) else None
            await finish(self._stack.aclose())
            if known is not None:
                raise known from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything, also when cancelled meanwhile."""
        await finish(self._stack.aclose())

    async def pin(self) -> None:
        """Hold the present state: in a rollback-journal mode nobody can commit from now on."""
        await query(self.connection, "BEGIN")
        await query(self.connection, "SELECT count(*) FROM sqlite_master")
        self._version = await self._data_version()

    @property
    def pinned(self) -> bool:
        """Whether the state is held."""
        return self.connection.in_transaction

    async def compare(self, rows: dict[str, int]) -> bool:
        """Compare row counts with the copy's; True when the source changed, and they could not be compared."""
        copied_version = self._version
        if not self.pinned:
            await self.pin()
        if self._version != copied_version:
            return True
        ours = await count_all(self.connection)
        if ours != rows:
            wrong = sorted(name for name in ours.keys() | rows.keys() if ours.get(name) != rows.get(name))
            raise CopyFailed(
                f"the backup does not have the rows of the source in {', '.join(wrong)}",
                hint="check the disk, and run `PRAGMA integrity_check` on the source",
                table=wrong[0],
            )
        return False

    async def _data_version(self) -> int:
        """A number that changes when another connection commits."""
        [(version,)] = await query(self.connection, "PRAGMA data_version")
        return int(version)


async def count_all(connection: aiosqlite.Connection) -> dict[str, int]:
    """Return table -> rows, virtual tables left out: their rows are those of their shadow tables."""
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    return {name: await count_rows(connection, name) for (name,) in await query(connection, sql)}
