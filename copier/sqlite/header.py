"""The bytes of a SQLite file that SQLite itself does not show: its header, and the state of its write-ahead log.

Sources: SQLite docs, "Database File Format" 1.3 (the database header) and 4.1 (WAL file format).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import struct
from dataclasses import astuple, dataclass, field
from pathlib import Path

from copier.errors import SourceUnreadable

MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_WAL_MAGICS = (0x377F0682, 0x377F0683)
_OTHER_FORMATS = (
    (b"** This file contains an SQLite 2", "a SQLite 2 database; convert it with the sqlite 2 program first"),
    (b"\x1f\x8b", "compressed with gzip; decompress it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; decompress it first"),
    (b"PRAGMA ", "an SQL dump; load it with `sqlite3 new.db < dump.sql` first"),
    (b"BEGIN TRANSACTION", "an SQL dump; load it with `sqlite3 new.db < dump.sql` first"),
    (b"\x37\x7f\x06", "a write-ahead log; name the database file beside it, without `-wal`"),
    (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", "a rollback journal; name the database file beside it, without `-journal`"),
)


@dataclass(frozen=True, slots=True)
class SourceFingerprint:
    """Which state of which file was read: equal fingerprints mean equal content.

    The reverse does not hold: a checkpoint changes it, and so does a copy of a file in WAL mode.
    """

    size_bytes: int
    change_counter: int
    schema_cookie: int
    page_size: int
    wal: str = ""
    """Hash of the valid frame headers of the -wal file; '' when there are none."""
    modified_ns: int = 0
    """Time of the last write to the main file; only in WAL mode, where commits need not raise the change counter."""
    file: tuple[int, int] = field(default=(0, 0), compare=False)
    """Device and inode of the main file, so that no other file passes for it beside the same log."""

    def digest(self) -> str:
        """Return 16 hex digits of a hash of all fields."""
        return _hash(astuple(self)[:-1])

    @property
    def state(self) -> str:
        """A short digest: it names the backup of this state, so that a resumed run makes no other."""
        return short_state(self.digest())

    def log_digest(self) -> str:
        """Return 16 hex digits for the log alone, '' without one: as long as it is the same, so is the content.

        Every commit in WAL mode appends to the log or begins it anew with other salts, and a checkpoint changes
        neither: it only copies pages of the log into the main file, whose size, time and counter then change.
        """
        return _hash((self.page_size, self.file, self.wal)) if self.wal else ""


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of the database header that matter here."""

    page_size_bytes: int
    wal: bool
    change_counter: int
    page_count: int
    """Pages the header promises; 0 when a very old SQLite wrote the file last and the field means nothing."""
    schema_cookie: int


class RawFile:
    """The database file, held open beside SQLite's connections.

    Closing any descriptor of a file drops every POSIX lock the process has on it, SQLite's too (SQLite docs, "How To
    Corrupt An SQLite Database File" 2.2). So there is one descriptor for as long as connections live, and `close`
    leaves it open while another part of this process still holds the file.
    """

    def __init__(self, path: Path) -> None:
        """Check that `path` is a regular file that looks like SQLite, and open it; raises SourceUnreadable."""
        self.path = path
        self._fd = _open_regular(path)
        try:
            self._check_magic()
        except BaseException:
            self.close()
            raise

    def header(self) -> Header:
        """Read the header as the file has it now; WAL content is not seen."""
        raw = os.pread(self._fd, _HEADER_BYTES, 0).ljust(_HEADER_BYTES, b"\0")
        page_size, write_version = struct.unpack_from(">HB", raw, 16)
        counter, pages = struct.unpack_from(">II", raw, 24)
        cookie, valid_for = struct.unpack_from(">I48xI", raw, 40)
        return Header(
            page_size_bytes=65536 if page_size == 1 else page_size,
            wal=write_version == 2,
            change_counter=counter,
            page_count=pages if valid_for == counter else 0,
            schema_cookie=cookie,
        )

    def size_bytes(self) -> int:
        """Return the size of the main file."""
        return os.fstat(self._fd).st_size

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes of the main file as it is now, fewer at its end; WAL content is not seen. Raises OSError."""
        return os.pread(self._fd, size_bytes, offset)

    def fingerprint(self) -> SourceFingerprint:
        """Read the fingerprint of the present state; exact only while nobody can commit."""
        header, status = self.header(), os.fstat(self._fd)
        return SourceFingerprint(
            size_bytes=self.size_bytes(),
            change_counter=header.change_counter,
            schema_cookie=header.schema_cookie,
            page_size=header.page_size_bytes,
            wal=wal_state(wal_path(self.path)) if header.wal else "",
            modified_ns=status.st_mtime_ns if header.wal else 0,
            file=(status.st_dev, status.st_ino),
        )

    def missing_bytes(self) -> int:
        """Return how many bytes the file lacks against its header, 0 when it is whole or a WAL may hold the rest."""
        header = self.header()
        if header.wal and wal_size_bytes(self.path):
            return 0
        return max(0, header.page_count * header.page_size_bytes - self.size_bytes())

    def close(self) -> None:
        """Close the descriptor; call it after all connections to the file are closed."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and not _held_elsewhere(fd):
            with contextlib.suppress(OSError):
                os.close(fd)

    def _check_magic(self) -> None:
        head = os.pread(self._fd, 64, 0)
        if not head:
            raise SourceUnreadable(
                f"{self.path} is empty: it holds no database",
                hint="check the path; an application that failed to start may have created an empty file",
            )
        if head.startswith(MAGIC):
            return
        for magic, what in _OTHER_FORMATS:
            if head.startswith(magic):
                raise SourceUnreadable(f"{self.path} is not a SQLite database", hint=f"it is {what}")
        raise SourceUnreadable(
            f"{self.path} is not a SQLite database: it does not begin with `SQLite format 3`",
            hint="it may be encrypted (SQLCipher, SEE): decrypt it with the application's own tool first",
        )


def short_state(digest: str) -> str:
    """Return the short form of a fingerprint's digest."""
    return digest[:12]


def wal_path(path: Path) -> Path:
    """Return the name of the write-ahead log of the database `path`."""
    return path.with_name(path.name + "-wal")


def journal_path(path: Path) -> Path:
    """Return the name of the rollback journal of the database `path`."""
    return path.with_name(path.name + "-journal")


def wal_size_bytes(path: Path) -> int:
    """Return the size of the -wal of the database `path`, 0 when there is none."""
    try:
        return wal_path(path).stat().st_size
    except OSError:
        return 0


def wal_state(wal: Path) -> str:
    """Return a hash of all frame headers that belong to the log's present generation, '' when there are none.

    The file's size says nothing, as a log is reused from its start; a frame's checksum covers everything before it.
    """
    try:
        with wal.open("rb", buffering=0) as log:
            head = log.read(_WAL_HEADER_BYTES)
            if len(head) < _WAL_HEADER_BYTES or struct.unpack_from(">I", head)[0] not in _WAL_MAGICS:
                return ""
            step = struct.unpack_from(">I", head, 8)[0]
            salts, state, frames = head[16:24], hashlib.sha256(head[16:24]), 0
            while (frame := log.read(_FRAME_HEADER_BYTES))[8:16] == salts and len(frame) == _FRAME_HEADER_BYTES:
                state.update(frame)
                frames += 1
                log.seek(step, os.SEEK_CUR)
    except FileNotFoundError:
        return ""
    return state.hexdigest()[:32] if frames else ""


def on_read_only_media(path: Path) -> bool:
    """Whether the file system of `path` is mounted read-only."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _open_regular(path: Path) -> int:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
            raise SourceUnreadable(f"{path} is {kind}", hint="give the path of the SQLite database file itself")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        is_url = any(part.startswith(("sqlite", "file")) and part.endswith(":") for part in path.parts)
        hint = "give the path of the file, not a URL" if is_url else "check the path given with --sqlite"
        raise SourceUnreadable(f"{path} does not exist", hint=hint) from None
    except PermissionError:
        raise SourceUnreadable(
            f"{path} cannot be opened: permission denied",
            hint="run as the user who owns the file, or let this user read the file and enter its directory",
        ) from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno or errno.EIO) if isinstance(error, OSError) else str(error)
        raise SourceUnreadable(f"{path} cannot be opened: {reason}", hint="check the path and the disk") from error


def _hash(facts: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _held_elsewhere(fd: int) -> bool:
    """Whether another descriptor of this process may be open on the same file."""
    try:
        ours, names = os.fstat(fd), os.listdir("/dev/fd")  # noqa: PTH208 (the entries are numbers, not paths)
    except OSError:  # no /dev/fd in a bare container: keeping one descriptor open harms nobody
        return True
    for name in names:
        try:
            other = os.fstat(int(name))
        except OSError:
            continue
        if int(name) != fd and (other.st_dev, other.st_ino) == (ours.st_dev, ours.st_ino):
            return True
    return False
