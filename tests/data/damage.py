"""Damages SQLite files page by page, and reads them as anybody would."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

Rows = dict[str, set[tuple[Any, ...]]]
"""Table -> rows, the rowid first (0 where there is none); text as its bytes."""


def leaves(path: Path, name: str) -> list[int]:
    """Return the leaf pages of a table or index in their order, as SQLite itself lists them."""
    return _pages(path, name, "leaf")


def interior(path: Path, name: str) -> list[int]:
    """Return the interior pages, the root first."""
    return _pages(path, name, "internal")


def overflow(path: Path, name: str) -> list[int]:
    """Return the overflow pages."""
    return _pages(path, name, "overflow")


def _pages(path: Path, name: str, kind: str) -> list[int]:
    with closing(sqlite3.connect(path)) as db:
        sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY path"
        return [number for (number,) in db.execute(sql, (name, kind))]


def page_bytes(path: Path) -> int:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(18)[16:])
    return 65536 if size == 1 else size


def overwrite(path: Path, pages: Iterable[int], *, garble: bool = False, at: int = 0) -> None:
    """Write zeros, or noise, over whole pages, or from `at` on."""
    size, rng = page_bytes(path), random.Random(7)
    with path.open("r+b") as file:
        for number in pages:
            file.seek((number - 1) * size + at)
            file.write(rng.randbytes(size - at) if garble else bytes(size - at))


def read_page(path: Path, number: int) -> bytes:
    size = page_bytes(path)
    with path.open("rb") as file:
        file.seek((number - 1) * size)
        return file.read(size)


def write_page(path: Path, number: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek((number - 1) * page_bytes(path))
        file.write(content)


def read_rows(path: Path, *, backwards: bool = False) -> Rows:
    """Return the rows that a plain SELECT reads from one end until it fails; {} where the schema cannot be read."""
    found: Rows = {}
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        try:
            listed = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        except (sqlite3.Error, UnicodeDecodeError):
            return {}
        for raw, sql in listed:
            name = raw.decode(errors="replace") if raw else ""
            if sql and not name.startswith("sqlite_") and not sql.startswith(b"CREATE VIRTUAL"):
                found[name] = _read_table(db, name, b"WITHOUT ROWID" in sql, "DESC" if backwards else "ASC")
    return found


def _read_table(db: sqlite3.Connection, name: str, without_rowid: bool, order: str) -> set[tuple[Any, ...]]:
    rows: set[tuple[Any, ...]] = set()
    try:
        columns = db.execute("SELECT name, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1", (name,)).fetchall()
        keys = [f'"{column.decode()}"' for column, place in sorted(columns, key=lambda one: one[1]) if place]
        key, terms = ("0", keys) if without_rowid else ("rowid", ["1"])
        ordered = ", ".join(f"{term} {order}" for term in terms)
        named = ", ".join(f"c{place}" for place in range(len(columns) + 1))  # their own names may be no text
        select = f'SELECT {key}, * FROM "{name}" NOT INDEXED ORDER BY {ordered}'
        cursor = db.execute(f"WITH named ({named}) AS ({select}) SELECT * FROM named")
        while (row := cursor.fetchone()) is not None:
            rows.add(row)
    except (sqlite3.Error, UnicodeDecodeError, OverflowError):
        pass
    return rows


def read_from_both_ends(path: Path) -> Rows:
    forwards, backwards = read_rows(path), read_rows(path, backwards=True)
    return {name: rows | backwards.get(name, set()) for name, rows in forwards.items()}
