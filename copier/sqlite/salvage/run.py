"""A new, sound SQLite file with every row of a damaged one that can be read, and a list of what cannot.

`job` does it; docs/salvage.md says what it means for the owner.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from copier.errors import CopyFailed
from copier.sqlite.backup_sums import partial_path, remove_abandoned, remove_partial, sha256_of
from copier.sqlite.explain import error_name, explain
from copier.sqlite.health import free_bytes
from copier.sqlite.salvage.files import create_empty, prepare, put_in_place, size_bytes
from copier.sqlite.salvage.job import SalvageJob
from copier.sqlite.salvage.result import SalvageResult
from copier.sqlite.salvage.source import SalvageSource

Progress = Callable[[int, int], None]
"""Called in the event loop with pages written so far, and pages of the source."""

_POLL_S = 0.5


async def salvage(
    source: Path,
    to: Path,
    on_progress: Progress | None = None,
    *,
    immutable: bool = False,
    problems: Sequence[str] | None = None,
) -> SalvageResult:
    """Write what can be read of `source` into the new file `to`, with `<to>.sha256` and the listing `<to>.json`.

    `problems` is what `SalvageSource.problems` said of this state, where somebody has asked already. In a rollback-
    journal mode nobody can write to the source meanwhile. Raises UsageError when `to` exists, SourceUnreadable when
    nothing can be read, SourceBusy, PreflightError or CopyFailed when `to` cannot be written. The source is never
    changed; nothing is left at `to` after an error.
    """
    source, to = prepare(source, to)
    scratch = to.with_name(to.name + ".source")
    remove_abandoned(to)
    remove_abandoned(scratch)
    partial = partial_path(to)
    try:
        async with SalvageSource(source, immutable=immutable, scratch=scratch) as opened:
            try:
                found = await opened.problems() if problems is None else problems
                create_empty(partial)
                job = SalvageJob(opened, partial, found)
                await _reporting(job.run(), opened, partial, on_progress)
            except sqlite3.Error as error:
                raise _explained(error, opened, partial) from error
            result = job.result(to, size_bytes(partial), await sha256_of(partial))
        put_in_place(partial, result)
    finally:
        remove_partial(partial)
    return result


async def _reporting(
    work: Coroutine[Any, Any, None], opened: SalvageSource, partial: Path, on_progress: Progress | None
) -> None:
    """Await `work`, and say from time to time how far it is: a statement that carries a whole table does not."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_POLL_S)
            if on_progress is not None:
                pages = size_bytes(partial) // opened.pages.page_bytes
                on_progress(min(pages, opened.pages.count), opened.pages.count)
    finally:
        task.cancel()
        await asyncio.wait([task])
    task.result()


def _explained(error: sqlite3.Error, opened: SalvageSource, partial: Path) -> Exception:
    """Say which of the two files the error is about: only the new one is ever written."""
    name = error_name(error)
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return CopyFailed(
            f"the salvaged file could not be written in {partial.parent}: {error}",
            hint=f"{free_bytes(partial)} bytes are free there; make room, or give another place",
        )
    return explain(error, opened.path)
