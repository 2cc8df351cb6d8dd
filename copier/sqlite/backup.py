"""A verified copy of the source, made with SQLite's online backup API while the application runs.

Source: SQLite docs, "Using the SQLite Online Backup API".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiosqlite

from copier.errors import CopyFailed, PreflightError, UsageError
from copier.sqlite.backup_source import BackupSource, count_all
from copier.sqlite.backup_sums import (
    link_new,
    partial_path,
    remove_abandoned,
    remove_partial,
    sha256_of,
    sums_path,
    write_sums,
)
from copier.sqlite.connection import BUSY_TIMEOUT_S, connect, finish, query
from copier.sqlite.explain import explain
from copier.sqlite.health import free_bytes, quick_check

Progress = Callable[[int, int], None]
"""Called in the event loop with pages done and pages in all."""

MAX_RESTARTS = 3
"""A write by somebody else makes SQLite begin the backup anew; after this often it is finished in one go, which keeps
writers waiting until its end."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What was written."""

    path: Path
    bytes: int
    sha256: str
    tables: dict[str, int]
    """Rows of every table of the copy."""
    source_changed: bool = False
    """The source changed meanwhile, so that its row counts could not be compared with the copy's."""


async def backup(
    source: Path,
    to: Path,
    on_progress: Progress | None = None,
    *,
    pages_per_step: int = 1024,
    throttle_s: float = 0.05,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    state: str = "",
    deep: bool = True,
) -> BackupResult:
    """Copy `source` to the new file `to`, check the copy, and write `<to>.sha256` beside it (for `sha256sum -c`).

    The check is integrity_check, or, not `deep`, quick_check: an eighth of its time, for it leaves out whether each
    index entry has its row. `state` names the state of the source in the checksum file. `throttle_s` is slept after a
    step while somebody else writes. In WAL mode the copy is of the state at its start and nobody waits. Raises
    UsageError when `to` exists, SourceUnreadable, SourceBusy, PreflightError when `to` cannot be written, CopyFailed
    when the disk fills up or the copy is not sound. The source is never changed; nothing is left at `to` after an
    error.
    """
    source, to, partial = _check_paths(source, to)
    remove_abandoned(to)
    try:
        async with BackupSource(source, busy_timeout_s) as opened:
            _require_space(source, opened.size_bytes, to)
            try:
                await _write(opened, partial, on_progress, pages_per_step, throttle_s)
                async with _summing(partial) as sums:
                    rows = await _verify(partial, source, deep)
                    changed = await opened.compare(rows)
                    digest = await sums
            except sqlite3.Error as error:
                raise explain(error, source) from error
        size_bytes = _size_bytes(partial)
        _put_in_place(partial, to, digest, state)
    except OSError as error:
        raise CopyFailed(
            f"the backup could not be made in {to.parent}: {error.strerror or error}",
            hint="see the system's log about the disk, or give another --to",
        ) from error
    finally:
        remove_partial(partial)
    return BackupResult(to, size_bytes, digest, rows, changed)


@dataclass(slots=True)
class Steps:
    """Called on the connection's thread after each step: progress, throttling, and giving up."""

    loop: asyncio.AbstractEventLoop
    on_progress: Progress | None = None
    throttle_s: float = 0.0
    pinned: bool = True
    cancelled: bool = False
    restarts: int = 0
    _last_remaining: int | None = field(default=None)

    def __call__(self, status: int, remaining: int, total: int) -> None:
        """Tell, wait, or raise what ends the copying."""
        if self.cancelled:
            raise _Stopped
        if self._last_remaining is not None and remaining > self._last_remaining:
            self.restarts += 1
            if self.restarts > MAX_RESTARTS:
                raise _Stopped
        self._last_remaining = remaining
        if self.on_progress is not None:
            self.loop.call_soon_threadsafe(self.on_progress, total - remaining, total)
        if self.restarts and not self.pinned and remaining:
            time.sleep(self.throttle_s)


class _Stopped(Exception):
    """Ends a backup from its progress callback."""


async def _write(
    source: BackupSource, partial: Path, on_progress: Progress | None, pages_per_step: int, throttle_s: float
) -> None:
    """Fill `partial`; after too many restarts once more, holding the source's read lock."""
    loop = asyncio.get_running_loop()
    while True:
        steps = Steps(loop, on_progress, throttle_s, pinned=source.pinned)
        try:
            return await copy_pages(source.connection, partial, steps, pages_per_step)
        except _Stopped:
            remove_partial(partial)
            await source.pin()


async def copy_pages(source: aiosqlite.Connection, partial: Path, steps: Steps, pages_per_step: int) -> None:
    """Copy all pages of the source's present state into the new file `partial`; a cancelled call ends it."""
    _create(partial)
    target = await connect(partial, "rw")
    try:
        # nobody sees this file before it is whole and synced
        await query(target, "PRAGMA journal_mode = OFF")
        await query(target, "PRAGMA synchronous = OFF")
        work = asyncio.ensure_future(source.backup(target, pages=pages_per_step, progress=steps, sleep=0.05))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            steps.cancelled = True
            with contextlib.suppress(_Stopped, sqlite3.Error):
                await finish(work)
            raise
    except sqlite3.Error as error:
        raise _write_error(error, partial) from error
    finally:
        await finish(target.close())


def _write_error(error: sqlite3.Error, partial: Path) -> Exception:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return CopyFailed(
            f"the backup could not be written in {partial.parent}: {error}",
            hint=f"{free_bytes(partial)} bytes are free there; make room, or give another --to",
        )
    return error


@contextlib.asynccontextmanager
async def _summing(partial: Path) -> AsyncIterator[asyncio.Task[str]]:
    """Compute the checksum meanwhile, in a thread of its own."""
    sums = asyncio.create_task(sha256_of(partial))
    try:
        yield sums
    finally:
        sums.cancel()
        await asyncio.gather(sums, return_exceptions=True)


async def _verify(partial: Path, source: Path, deep: bool) -> dict[str, int]:
    """Check the copy; return the rows of its tables."""
    copy = await connect(partial, "immutable")
    try:
        if problems := await quick_check(copy, deep):
            raise CopyFailed(
                f"the backup of {source} is damaged: {problems[0]}",
                hint="run `PRAGMA integrity_check` on the source: it has the same damage, unless a disk fails",
            )
        return await count_all(copy)
    finally:
        await finish(copy.close())


def _create(path: Path) -> None:
    """Create an empty file, which SQLite takes for a new database; an error where there is one."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise PreflightError(
            f"the backup cannot be written in {path.parent}: {os.strerror(error.errno or 0)}",
            hint="give a --to in a directory this user can write",
        ) from error


def _size_bytes(path: Path) -> int:
    return path.stat().st_size


def _check_paths(source: Path, to: Path) -> tuple[Path, Path, Path]:
    """Return source, target and the name of the unfinished target; refuse a target that cannot be created."""
    source, to = source.resolve(), to.absolute()
    sums = sums_path(to)
    if to.is_dir():
        raise UsageError(f"{to} is a directory", hint="name a file in it")
    for name in (to, sums):
        if name.exists() or name.is_symlink():
            raise UsageError(f"{name} exists already", hint="give another --to, or remove that file first")
    if not to.parent.is_dir():
        raise UsageError(f"{to.parent} is not a directory", hint="create it first, or give another --to")
    return source, to, partial_path(to)


def _require_space(source: Path, size_bytes: int, to: Path) -> None:
    free = free_bytes(to)
    if free < size_bytes:
        raise PreflightError(
            f"the backup of {source} needs {size_bytes} bytes, but {to.parent} has {free} free",
            hint="make room, or give a --to on another disk",
        )


def _put_in_place(partial: Path, to: Path, digest: str, state: str) -> None:
    """Give the copy its name, never over a file that appeared meanwhile, and write its checksum."""
    link_new(partial, to)
    try:
        write_sums(to, digest, state)
    except BaseException:
        for name in (to, sums_path(to)):
            name.unlink(missing_ok=True)
        raise
