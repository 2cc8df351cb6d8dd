"""What SQLite's error codes mean for the person who has to act on them.

Source: SQLite docs, "Result and Error Codes".
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from copier.errors import CopierError, SourceBusy, SourceUnreadable
from copier.sqlite.header import RawFile, journal_path, wal_path, wal_size_bytes
from copier.sqlite.health import other_openers

_NO_WAL_INDEX = (
    "SQLITE_CANTOPEN",
    "SQLITE_READONLY_CANTINIT",
    "SQLITE_READONLY_CANTLOCK",
    "SQLITE_READONLY_DIRECTORY",
    "SQLITE_READONLY_RECOVERY",
)
DAMAGED_HINT = (
    "run `sqlite3 FILE 'PRAGMA integrity_check'`; restore a backup, or salvage what can be read: `sqlite2pg salvage` "
    "into a new file, or --salvage of full and data"
)

_CUT_SHORT = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")


def error_name(error: sqlite3.Error) -> str:
    """Return the extended result code's name, '' for an error that is not SQLite's own."""
    return getattr(error, "sqlite_errorname", "") or ""


def is_busy(error: sqlite3.Error) -> bool:
    """Whether the error says that somebody else holds a lock."""
    return error_name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether the error says that this process may not write the file or beside it."""
    name = error_name(error)
    return name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")) and name != "SQLITE_READONLY_ROLLBACK"


def lacks_wal_index(error: sqlite3.Error) -> bool:
    """Whether a read-only open failed because the WAL's index could not be made."""
    return error_name(error).startswith(_NO_WAL_INDEX)


def explain(error: sqlite3.Error, path: Path, raw: RawFile | None = None) -> CopierError:
    """Return the error to raise for `error`, met while opening or reading the database `path`."""
    name = error_name(error)
    if is_busy(error):
        return _busy(path)
    if name == "SQLITE_READONLY_ROLLBACK":
        return _hot_journal(path)
    if raw is not None and name.startswith(_CUT_SHORT) and (missing := raw.missing_bytes()):
        return truncated(path, missing)
    if name.startswith("SQLITE_NOTADB"):
        return SourceUnreadable(
            f"{path} is not a SQLite database that can be read: {error}",
            hint="it may be encrypted (SQLCipher, SEE): decrypt it with the application's own tool first",
        )
    if name.startswith("SQLITE_CORRUPT"):
        return SourceUnreadable(
            f"{path} is damaged: {error}",
            hint=DAMAGED_HINT,
        )
    if lacks_wal_index(error) and raw is not None and raw.header().wal:
        return _no_wal_index(path)
    if name.startswith("SQLITE_IOERR"):
        return SourceUnreadable(
            f"{path} cannot be read: {error}",
            hint=f"SQLite says {name}: see the system's log about the disk, then run the same command again",
        )
    return SourceUnreadable(f"{path} cannot be read: {error}", hint=f"SQLite says {name or type(error).__name__}")


def broken_source(error: BaseException, path: Path | None) -> CopierError | None:
    """Return the copier's error for one of SQLite's that came out of a verb under way, None for any other error."""
    return explain(error, path or Path("the SQLite file")) if isinstance(error, sqlite3.Error) else None


def _busy(path: Path) -> SourceBusy:
    holders = other_openers(path)
    hint = f"it is open in {', '.join(holders)}; " if holders else "another process holds its lock; "
    return SourceBusy(f"{path} is locked", hint=hint + "end the long transaction there, or stop it, and try again")


def _hot_journal(path: Path) -> SourceUnreadable:
    return SourceUnreadable(
        f"{path} has a hot journal: an application died while writing, and its half-made change is not undone yet",
        hint=f"open the database once with the application or `sqlite3 {path.name}`, which undoes the change by "
        f"{journal_path(path).name}; do not delete that file",
    )


def truncated(path: Path, missing: int) -> SourceUnreadable:
    """Return the error for a file that lacks bytes its header promises."""
    return SourceUnreadable(
        f"{path} is truncated: {missing} bytes that its header promises are missing",
        hint="a copy of it may have been cut short: copy it again, with `sqlite2pg backup` while it is in use; where "
        "there is no other, `sqlite2pg salvage` and --salvage take what is left",
    )


def _no_wal_index(path: Path) -> SourceUnreadable:
    if wal_size_bytes(path):
        return SourceUnreadable(
            f"{path} has changes in {wal_path(path).name} that cannot be read from a directory that cannot be written",
            hint="copy the database together with its -wal file to a directory you can write, and use that copy",
        )
    return SourceUnreadable(
        f"{path} is in WAL mode and its directory cannot be written, so SQLite cannot open it",
        hint="copy it to a directory you can write, or run as the user who owns the directory",
    )
