"""Pitfalls of the file itself: each function makes one file, or what stands where a file should be."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from .faker import Faker

Maker = Callable[[Path], Path]

ROWS = 500
TEXT = "Grüße 東京 🙂 {}"


def build_plain(path: Path, *, rows: int = ROWS, pragmas: str = "") -> Path:
    """Write a database of one table `notes` (id, body), whose rows say TEXT with their id; `pragmas` run first."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(pragmas)
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO notes VALUES (?, ?)", ((n, TEXT.format(n)) for n in range(1, rows + 1)))
        connection.execute("COMMIT")
    return path


def build_utf16(path: Path, encoding: str) -> Path:
    """Write a database whose text is UTF-16; `encoding` is UTF-16le or UTF-16be."""
    return build_plain(path, pragmas=f"PRAGMA encoding = '{encoding}'")


def build_page_size(path: Path, page_bytes: int) -> Path:
    """Write a database with pages of 512 to 65536 bytes."""
    return build_plain(path, pragmas=f"PRAGMA page_size = {page_bytes}")


def build_wal(path: Path) -> Path:
    """Write a database in WAL mode of which half of the rows are only in the -wal file it leaves behind."""
    origin = path.with_name("wal-origin.db")
    build_plain(origin, rows=ROWS // 2, pragmas="PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(origin, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        rows = ((n, TEXT.format(n)) for n in range(ROWS // 2 + 1, ROWS + 1))
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO notes VALUES (?, ?)", rows)
        connection.execute("COMMIT")
        shutil.copy(origin, path)
        shutil.copy(f"{origin}-wal", f"{path}-wal")
    return path


def build_hot_journal(path: Path) -> Path:
    """Write a database whose last writer died: half a transaction is in the file, its journal can take it back.

    The committed rows say TEXT; those of the unfinished transaction say LOST.
    """
    origin = build_plain(path.with_name("hot-origin.db"), rows=ROWS)
    with closing(sqlite3.connect(origin, isolation_level=None)) as connection:
        # With so few pages in memory, changed ones go to the file before the transaction ends.
        connection.executescript("PRAGMA cache_size = 2; BEGIN")
        connection.execute("UPDATE notes SET body = 'LOST' || hex(zeroblob(40))")
        shutil.copy(origin, path)
        shutil.copy(f"{origin}-journal", f"{path}-journal")
        connection.execute("ROLLBACK")
    return path


def build_corrupt(path: Path) -> Path:
    """Write a database whose header and schema are good, and whose data pages are noise."""
    build_plain(path, rows=2000)
    noise = Faker(3).random.randbytes(4096)
    with path.open("r+b") as file:
        for page in range(4, 12):
            file.seek(page * 4096)
            file.write(noise)
    return path


def build_encrypted(path: Path) -> Path:
    """Write what SQLCipher leaves: whole pages of noise."""
    path.write_bytes(Faker(4).random.randbytes(8 * 4096))
    return path


def build_text(path: Path) -> Path:
    """Write a file that is no database."""
    path.write_text("id,body\n" + "1,hello\n" * 2000)
    return path


def build_empty(path: Path) -> Path:
    """Write a file of no bytes, as a mistyped name makes one."""
    path.touch()
    return path


def build_directory(path: Path) -> Path:
    """Make a directory where a file is expected."""
    path.mkdir()
    return path


UNREADABLE = (build_corrupt, build_encrypted, build_text, build_empty, build_directory)
"""Makers of what must be refused with one clear sentence, exit 5."""
