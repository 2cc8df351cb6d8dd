"""The three files of a salvage, put in place together: the new database, its checksum, and the listing.

The database comes last, so that where it is, the others are too.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from copier.errors import CopyFailed, PreflightError, UsageError
from copier.files import write_whole
from copier.sqlite.backup_sums import link_new, sums_path, write_sums
from copier.sqlite.salvage.result import KIND, SalvageResult, listing_path

_PRIVATE = 0o600
_SUM = re.compile(r"(# [^\n]*\n)?\\?[0-9a-f]{64}  [^\n]*\n")


def prepare(source: Path, to: Path) -> tuple[Path, Path]:
    """Return both as whole paths. Raises UsageError when `to` cannot be made, or somebody's file is in the way.

    Checksum and listing without a database are what a killed salvage leaves: they are replaced.
    """
    source, to = source.resolve(), to.absolute()
    if not to.parent.is_dir():
        raise UsageError(f"{to.parent} is not a directory", hint="create it first, or give another place")
    for name, ours in ((to, False), (sums_path(to), _is_sum(sums_path(to))), (listing_path(to), _is_listing(to))):
        if (name.exists() or name.is_symlink()) and not ours:
            raise UsageError(f"{name} exists already", hint="give another place, or remove that file first")
    return source, to


def size_bytes(path: Path) -> int:
    """Return the size of a file."""
    return path.stat().st_size


def _is_sum(path: Path) -> bool:
    try:
        return not path.is_symlink() and _SUM.fullmatch(path.read_text()) is not None
    except (OSError, UnicodeDecodeError):
        return False


def _is_listing(to: Path) -> bool:
    path = listing_path(to)
    try:
        return not path.is_symlink() and json.loads(path.read_bytes()).get("kind") == KIND
    except (OSError, ValueError, AttributeError):
        return False


def create_empty(path: Path) -> None:
    """Create an empty file, which SQLite takes for a new database. Raises PreflightError."""
    try:
        path.touch(mode=_PRIVATE, exist_ok=False)
    except OSError as error:
        raise PreflightError(
            f"the salvaged file cannot be written in {path.parent}: {os.strerror(error.errno or 0)}",
            hint="give a place in a directory this user can write",
        ) from error


def put_in_place(partial: Path, result: SalvageResult) -> None:
    """Give the finished file its name, never over a file that appeared meanwhile."""
    to = result.path
    try:
        write_whole(listing_path(to), result.to_json(), _PRIVATE)
        write_sums(to, result.sha256, result.state, _PRIVATE)
    except OSError as error:
        raise CopyFailed(
            f"the listing of the salvage could not be written in {to.parent}: {error.strerror or error}",
            hint="make room, or give another place",
        ) from error
    link_new(partial, to)
