"""Which backup belongs to which state of the source, and whether the source still has the pages of one."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterator
from pathlib import Path

from copier.config import Settings
from copier.errors import CopierError
from copier.run.session import require_sqlite
from copier.sqlite.backup_sums import is_backup_of, read_sums
from copier.sqlite.header import short_state
from copier.sqlite.snapshot import Snapshot, open_snapshot


@contextlib.contextmanager
def hints_of_full() -> Iterator[None]:
    """Let what goes wrong with a backup name the options of `full`: the hints speak of those of `backup`."""
    try:
        yield
    except CopierError as error:
        if "--to" in error.hint:
            error.hint = f"{error.hint.replace('--to', '--backup')}; --no-backup leaves the backup out"
        raise


async def find_backup(settings: Settings) -> tuple[str, Path, bool]:
    """Return the state the source is in now, the place of its backup, and whether the backup is there already.

    One of a former state is one of this state too where the source has its pages: since then there was a checkpoint,
    and no commit. The newest is looked at.
    """
    path = require_sqlite(settings)
    async with open_snapshot(path, readers=1, immutable=settings.immutable) as snapshot:
        state = snapshot.fingerprint.state
        to = _place(settings, state)
        if await is_backup_of(to, state, named=settings.backup is None):
            return state, to, True
        others = [to] if settings.backup else list(path.parent.glob(f"{glob.escape(path.name)}.*.backup"))
        former = max((one for one in others if one.is_file()), key=lambda one: one.stat().st_mtime_ns, default=None)
        if former is not None and await snapshot.holds(former, read_sums(former)[0]):
            return state, former, True
    return state, to, False


async def is_still(snapshot: Snapshot, settings: Settings, digest: str) -> bool:
    """Whether the pinned source has the pages of the backup of the state with this fingerprint, if there is one."""
    state = short_state(digest)
    backup = _place(settings, state)
    sha256, said = read_sums(backup)
    known = settings.backup is None or said == state
    return known and await snapshot.holds(backup, sha256)


def _place(settings: Settings, state: str) -> Path:
    path = require_sqlite(settings)
    return settings.backup or path.with_name(f"{path.name}.{state}.backup")
