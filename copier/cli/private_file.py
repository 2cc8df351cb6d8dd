"""Files that only their owner may read: reports and logs can quote rows of the source."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

from copier.errors import UsageError
from copier.files import write_whole

_MODE = 0o600


def write_private(path: Path, content: bytes) -> None:
    """Write `path` whole or not at all, readable by its owner only. Raises OSError."""
    write_whole(path, content, _MODE)


def open_private(path: Path, *, new: bool = False) -> BinaryIO:
    """Open `path` for appending, unbuffered: each write is one line, there even after a kill.

    `new` refuses a file that exists. Raises OSError.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_EXCL if new else 0)
    return os.fdopen(os.open(path, flags, _MODE), "ab", buffering=0)


def append_whole(file: BinaryIO, line: bytes) -> None:
    """Append `line` to a file of `open_private`. OSError also when only a part of it found room."""
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def must_be_writable(path: Path, option: str) -> None:
    """Raise UsageError now when `path` could not be written at the end of a long run."""
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"{option}: there is no directory {folder}", hint="create it first, or name another file")
    if path.is_dir():
        raise UsageError(f"{option}: {path} is a directory", hint="name a file in it")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{option}: {folder} is not writable", hint="name a file in a directory that is")
