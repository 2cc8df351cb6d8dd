"""Read-only connections that all see one state of the source, while its application keeps working where it can."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Literal, Self

import aiosqlite

from copier.errors import SourceBusy, SourceUnreadable
from copier.sqlite.connection import BUSY_TIMEOUT_S, Access, connect, finish, query, run
from copier.sqlite.explain import explain, is_busy, is_read_only, lacks_wal_index, truncated
from copier.sqlite.guard import take_write_lock
from copier.sqlite.header import Header, RawFile, SourceFingerprint, on_read_only_media, wal_path, wal_size_bytes
from copier.sqlite.same_pages import same_pages

Mode = Literal["wal", "frozen", "immutable"]

WAL_GUARD_TIMEOUT_S = 1.0
"""How long to wait for the write lock where there is a way without it."""

_PIN_TRIES = 50
"""How often pinning without a guard is tried anew because somebody committed in between."""

_BEGIN_TRIES = 3
"""How often the readers begin anew because a waiting writer kept one out; each try lasts up to the busy timeout."""

_READ = "SELECT count(*) FROM sqlite_master"
"""A transaction begins with its first read, not with BEGIN."""


class Snapshot:
    """One state of a SQLite file and the connections pinned to it; an async context manager.

    In WAL mode a guard connection holds the write lock while the readers begin, then goes: the application keeps
    writing. Where the lock cannot be had, the readers begin again until nobody committed in between. In a
    rollback-journal mode, or when asked to freeze, the guard stays. It always closes before the readers: the last
    connection that can write would checkpoint the WAL when it closes, and the source must stay as it is, byte for byte.

    Entering raises SourceUnreadable or SourceBusy. Keep other code of the process from opening the file by itself
    (`open`, `shutil.copy`) while a snapshot lives: see `RawFile`.
    """

    mode: Mode
    note: str
    """What this means for the application, one sentence."""
    fingerprint: SourceFingerprint

    def __init__(self, path: Path, *, readers: int, freeze: bool, immutable: bool, busy_timeout_s: float) -> None:
        self.path = path.resolve()
        self._count = max(1, readers)
        self._freeze = freeze
        self._immutable = immutable
        self._busy_timeout_s = busy_timeout_s
        self._raw: RawFile | None = None
        self._readers: list[aiosqlite.Connection] = []
        self._guard: aiosqlite.Connection | None = None
        self._idle: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        self._tidy = False
        self._lost = False
        self._writing = False

    async def __aenter__(self) -> Self:
        """Open and pin; SourceUnreadable or SourceBusy when that is impossible."""
        try:
            await self._open()
        except BaseException:
            await finish(self._close())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything, also when cancelled meanwhile."""
        await finish(self._close())

    @contextlib.asynccontextmanager
    async def reader(self) -> AsyncIterator[aiosqlite.Connection]:
        """Lend one pinned connection exclusively; waits until one is idle."""
        connection = await self._idle.get()
        try:
            if self._lost:
                raise SourceUnreadable(
                    f"a connection to {self.path} lost its snapshot after an error", hint="run the command again"
                )
            yield connection
        finally:
            self._lost = self._lost or not connection.in_transaction
            self._idle.put_nowait(connection)

    async def changed(self) -> bool:
        """Whether the file changed since it was pinned; meant for `immutable`, where nothing prevents it."""
        return await self._read_fingerprint() != self.fingerprint

    async def holds(self, backup: Path, sha256: str) -> bool:
        """Whether this state has the pages of `backup`, which has this checksum; False where part of it is in a log."""
        assert self._raw is not None
        return not self.fingerprint.wal and await same_pages(self._raw, backup, sha256)

    async def _open(self) -> None:
        self._raw = RawFile(self.path)
        try:
            if self._immutable:
                await self._pin_immutable()
            else:
                await self._pin(self._raw.header())
            missing = self._raw.missing_bytes()
        except sqlite3.Error as error:
            raise explain(error, self.path, self._raw) from error
        except OSError as error:
            raise SourceUnreadable(
                f"{self.path} cannot be read: {error.strerror or error}",
                hint="see the system's log about the disk, then run the same command again",
            ) from error
        if missing:
            raise truncated(self.path, missing)
        for connection in self._readers:
            self._idle.put_nowait(connection)

    async def _pin(self, header: Header) -> None:
        self._tidy = header.wal and not wal_path(self.path).exists()
        try:
            await self._connect_readers("ro")
        except sqlite3.Error as error:
            alone = lacks_wal_index(error) and not wal_size_bytes(self.path) and on_read_only_media(self.path)
            if not alone:
                raise
            await self._close_readers()
            return await self._pin_immutable()
        await self._take_guard(header.wal)
        if header.wal:
            await self._pin_wal()
        else:
            await self._pin_journal()
        return None

    async def _pin_immutable(self) -> None:
        if wal_size_bytes(self.path):
            raise SourceUnreadable(
                f"{self.path} has a -wal file, whose changes an immutable read would miss",
                hint="leave immutable off, or copy the database together with its -wal to a directory you can write",
            )
        await self._connect_readers("immutable")
        await self._begin_all()
        self.mode = "immutable"
        self.note = "the file is read as one that never changes: nothing may write to it until the copy ends"
        self.fingerprint = await self._read_fingerprint()

    async def _pin_wal(self) -> None:
        if self._guard is not None:
            await self._begin_all()
            self.fingerprint = await self._read_fingerprint()
        elif self._freeze:
            raise SourceUnreadable(
                f"{self.path} cannot be frozen: this user may not write to it",
                hint="run as the user who owns the file, or leave out freezing: WAL mode does not need it",
            )
        else:
            await self._pin_between_commits()
        if self._freeze:
            self.mode = "frozen"
            self.note = "the application cannot write until the copy ends (frozen as asked)"
            return
        await self._close_guard()
        self.mode = "wal"
        self.note = "the application can keep reading and writing; the copy is of the state at its start"

    async def _pin_journal(self) -> None:
        if self._guard is not None:
            await self._begin_all()
        else:
            await self._pin_against_writers()
        self.mode = "frozen"
        self.note = "the application cannot write until the copy ends (journal mode delete)"
        self.fingerprint = await self._read_fingerprint()

    async def _pin_between_commits(self) -> None:
        """Without the write lock: PRAGMA data_version tells whether anybody committed while the readers began.

        Where somebody is writing just now, the -wal may already hold a commit that the readers do not see yet, and no
        later run could tell: such a fingerprint is made unlike any other.
        """
        async with contextlib.AsyncExitStack() as stack:
            watcher = await connect(self.path, "ro", busy_timeout_s=self._busy_timeout_s)
            stack.push_async_callback(watcher.close)
            for _ in range(_PIN_TRIES):
                before = await query(watcher, "PRAGMA data_version")
                await self._begin_all()
                self.fingerprint = await self._read_fingerprint()
                if await query(watcher, "PRAGMA data_version") == before:
                    if self._writing:
                        self.fingerprint = replace(self.fingerprint, wal=f"{self.fingerprint.wal}+{token_hex(8)}")
                    return
                await self._rollback_all()
        raise SourceBusy(
            f"{self.path} changes too often to be pinned without its write lock",
            hint="run as a user who may write to the file, or pause the application for a moment",
        )

    async def _pin_against_writers(self) -> None:
        """Without the write lock: SHARED locks keep writers from committing, once all readers have theirs.

        A writer that waits for its commit keeps further readers out: then all must let go and begin again.
        """
        for attempt in range(_BEGIN_TRIES):
            try:
                return await self._begin_all()
            except sqlite3.Error as error:
                if not is_busy(error) or attempt + 1 == _BEGIN_TRIES or len(self._readers) == 1:
                    raise
                await self._rollback_all()

    async def _connect_readers(self, access: Access) -> None:
        """Open the readers and read once: from then on they count as users of the WAL, and errors have shown."""
        for _ in range(self._count):
            reader = await connect(self.path, access, busy_timeout_s=self._busy_timeout_s)
            self._readers.append(reader)
            await query(reader, "PRAGMA query_only = ON")
            await query(reader, _READ)

    async def _take_guard(self, wal: bool) -> None:
        """Take the write lock, where this user may and where nobody keeps it."""
        patience_s = min(self._busy_timeout_s, WAL_GUARD_TIMEOUT_S) if wal else self._busy_timeout_s
        try:
            self._guard = await take_write_lock(self.path, patience_s=patience_s)
        except sqlite3.Error as error:
            self._writing = is_busy(error)
            if not is_read_only(error) and not (wal and self._writing and not self._freeze):
                raise

    async def _begin_all(self) -> None:
        def begin(raw: sqlite3.Connection) -> None:
            raw.execute("BEGIN")
            raw.execute(_READ).fetchall()

        for reader in self._readers:
            await run(reader, begin)

    async def _rollback_all(self) -> None:
        for reader in self._readers:
            if reader.in_transaction:
                await query(reader, "ROLLBACK")

    async def _read_fingerprint(self) -> SourceFingerprint:
        assert self._raw is not None
        return await asyncio.to_thread(self._raw.fingerprint)

    async def _close(self) -> None:
        await self._close_guard()
        await self._close_readers()
        if self._tidy:
            await remove_empty_wal(self.path)
        if self._raw is not None:
            self._raw.close()

    async def _close_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            with contextlib.suppress(sqlite3.Error):
                await guard.close()

    async def _close_readers(self) -> None:
        while self._readers:
            with contextlib.suppress(sqlite3.Error):
                await self._readers.pop().close()


async def remove_empty_wal(path: Path) -> None:
    """Let SQLite remove the empty -wal that read-only connections made and could not remove; call it after them."""
    with contextlib.suppress(sqlite3.Error, OSError):
        if not wal_path(path).exists() or wal_size_bytes(path):
            return
        last = await connect(path, "rw", busy_timeout_s=0)
        try:
            await query(last, _READ)
        finally:
            await last.close()


def open_snapshot(
    path: Path,
    *,
    readers: int,
    freeze: bool = False,
    immutable: bool = False,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> Snapshot:
    """Return a snapshot of `path` to enter with `async with`; `readers` connections, at least one."""
    return Snapshot(path, readers=readers, freeze=freeze, immutable=immutable, busy_timeout_s=busy_timeout_s)
