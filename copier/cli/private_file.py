"""Files that only their owner may read: reports and logs can quote rows of the source."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import BinaryIO

from copier.errors import UsageError

_MODE = 0o600


def write_private(path: Path, content: bytes) -> None:
    """Write `path` whole or not at all (temporary file, fsync, rename), readable by its owner only. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def open_private(path: Path, *, new: bool = False) -> BinaryIO:
    """Open `path` for appending, unbuffered: each write is one line, there even after a kill.

    `new` refuses a file that exists. Raises OSError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_EXCL if new else 0)
    return os.fdopen(os.open(path, flags, _MODE), "ab", buffering=0)


def must_be_writable(path: Path, option: str) -> None:
    """Raise UsageError now when `path` could not be written at the end of a long run."""
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"{option}: there is no directory {folder}", hint="create it first, or name another file")
    if path.is_dir():
        raise UsageError(f"{option}: {path} is a directory", hint="name a file in it")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{option}: {folder} is not writable", hint="name a file in a directory that is")
