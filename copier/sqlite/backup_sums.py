"""The checksum beside a backup: what it was made of, and whether a killed run left a backup to go on with."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

from copier.errors import UsageError
from copier.files import write_whole
from copier.sqlite.header import journal_path

_HASH_STEP_BYTES = 8 << 20
_STATE = "# state of the source: "
"""A comment to `sha256sum -c`."""


def sums_path(to: Path) -> Path:
    """Return the name of the checksum file of the backup `to`."""
    return to.with_name(to.name + ".sha256")


def partial_path(to: Path) -> Path:
    """Return the name of the unfinished backup that this process makes for `to`."""
    return to.with_name(f".{to.name}.{os.getpid()}.partial")


def write_sums(to: Path, digest: str, state: str, mode: int = 0o666) -> None:
    """Write the checksum file; `state` says which state of the source the backup is of, '' when nobody will ask.

    It is written whole or not at all: the next run takes it for the proof that the backup is. Raises OSError.
    """
    # sha256sum escapes such names with a leading backslash
    name = to.name.replace("\\", "\\\\").replace("\n", "\\n")
    mark = "\\" if name != to.name else ""
    said = f"{_STATE}{state}\n" if state else ""
    write_whole(sums_path(to), f"{said}{mark}{digest}  {name}\n".encode(), mode)
    directory = os.open(to.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_sums(to: Path) -> tuple[str, str]:
    """Return what the checksum file of the backup `to` says: the checksum, and the state it is of; '' for neither."""
    try:
        lines = sums_path(to).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return "", ""
    state = next((line.removeprefix(_STATE) for line in lines if line.startswith(_STATE)), "")
    return lines[-1].lstrip("\\").partition(" ")[0] if lines else "", state


async def is_backup_of(to: Path, state: str, *, named: bool) -> bool:
    """Whether `to` is a whole backup of this state of the source, so that a resumed run need not make another.

    A file `named` after the state is one: it got its name when it was whole. Its checksum is written where a kill came
    between the two. Any other must say so in its checksum file.
    """
    if not await asyncio.to_thread(to.is_file):
        return False
    with contextlib.suppress(OSError, UnicodeDecodeError):
        said = sums_path(to).read_text()
        return named or f"{_STATE}{state}\n" in said
    if named:
        write_sums(to, await sha256_of(to), "")
    return named


async def sha256_of(path: Path) -> str:
    """Return the checksum of a file and see to it that the file is on the disk."""
    digest = hashlib.sha256()
    with path.open("rb") as file:

        def step() -> bool:
            block = file.read(_HASH_STEP_BYTES)
            digest.update(block)
            return bool(block)

        while await asyncio.to_thread(step):
            pass
        await asyncio.to_thread(os.fsync, file.fileno())
    return digest.hexdigest()


def link_new(partial: Path, to: Path) -> None:
    """Give a finished file its name, never over a file that appeared meanwhile. Raises UsageError."""
    try:
        os.link(partial, to)
    except FileExistsError:
        raise UsageError(f"{to} exists already", hint="give another --to, or remove that file first") from None
    except OSError:  # a file system without hard links
        partial.rename(to)


def remove_partial(partial: Path) -> None:
    """Remove an unfinished backup; what cannot be removed now is left to the next run."""
    for name in (partial, journal_path(partial)):
        with contextlib.suppress(OSError):
            name.unlink(missing_ok=True)


def remove_abandoned(to: Path) -> None:
    """Remove unfinished backups for `to` whose processes were killed."""
    head = f".{to.name}."
    with contextlib.suppress(OSError):
        for one in to.parent.iterdir():
            pid = one.name.removeprefix(head).removesuffix(".partial")
            if one.name == f"{head}{pid}.partial" and pid.isdigit() and not _is_running(int(pid)):
                remove_partial(one)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
