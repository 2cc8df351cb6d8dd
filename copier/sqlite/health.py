"""Whether the source is sound, who else uses it, and how much room there is."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import aiosqlite

from copier.plan.names import quote
from copier.sqlite.connection import readable_errors, run

_TREE = re.compile(r"\b[Tt]ree (?:page )?(\d+)\b")
_INDEX = re.compile(r"\bindex (\S+)$")


async def quick_check(connection: aiosqlite.Connection, deep: bool, most: int = 100) -> list[str]:
    """Return the problems SQLite finds, [] when there are none; each names the table where the text allows.

    `deep` runs integrity_check, which also compares every index with its table; else quick_check. It ends after `most`.
    """
    return await run(connection, lambda raw: _check(raw, "integrity_check" if deep else "quick_check", most))


def _check(raw: sqlite3.Connection, pragma: str, most: int) -> list[str]:
    try:
        lines = _run_check(raw, f"PRAGMA {pragma}({most})")
    except sqlite3.DatabaseError as error:
        _raise_unless_about_content(error)
        # something ends the whole check: then table by table, to say which one it is and to check the others
        lines = _check_each_table(raw, pragma) or ([str(error)] if _is_damage(error) else [])
    owners = _owners(raw) if lines else {}
    return [_with_table(line, owners) for line in lines]


def _run_check(raw: sqlite3.Connection, sql: str) -> list[str]:
    with readable_errors():
        lines = [line for (text,) in raw.execute(sql) for line in text.splitlines()]
    return [line for line in lines if line != "ok" and not line.startswith("*** in database")]


def _check_each_table(raw: sqlite3.Connection, pragma: str) -> list[str]:
    """Check the tables one by one; one that needs a collation or function of the application cannot be checked.

    Needs SQLite 3.33; an older one checks everything each time, and names no table.
    """
    lines: list[str] = []
    for table in sorted(set(_owners(raw).values())):
        try:
            lines += _run_check(raw, f"PRAGMA {pragma}({quote(table)})")
        except sqlite3.DatabaseError as error:
            _raise_unless_about_content(error)
            if _is_damage(error):
                lines.append(f"table {table}: {error}")
    return lines


def _raise_unless_about_content(error: sqlite3.Error) -> None:
    if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_INTERRUPT", "SQLITE_BUSY", "SQLITE_LOCKED")):
        raise error


def _is_damage(error: sqlite3.Error) -> bool:
    return not getattr(error, "sqlite_errorname", "").startswith("SQLITE_ERROR")


def _owners(raw: sqlite3.Connection) -> dict[str, str]:
    """Root page and index name -> table."""
    owners: dict[str, str] = {}
    try:
        for kind, name, table, root in raw.execute("SELECT type, name, tbl_name, rootpage FROM sqlite_master"):
            owners[str(root)] = table
            if kind == "index":
                owners[name] = table
    except sqlite3.DatabaseError:
        pass  # the problems are reported without the names
    return owners


def _with_table(line: str, owners: dict[str, str]) -> str:
    for pattern in (_TREE, _INDEX):
        found = pattern.search(line)
        if found and found[1] in owners:
            return f"{line} (table {owners[found[1]]})"
    return line


def other_openers(path: Path) -> list[str]:
    """Return which other processes have the database or its -wal open, as `pid 123 (gunicorn)`.

    Only where /proc exists, and only processes this user may look into; [] says nothing about others.
    """
    ours = os.getpid()
    files = set(_identities(path))
    found: list[tuple[int, str]] = []
    with contextlib.suppress(OSError):
        for entry in Path("/proc").glob("[0-9]*"):
            pid = int(entry.name)
            if pid != ours and not files.isdisjoint(_open_files(entry)):
                found.append((pid, _command(entry)))
    return [f"pid {pid} ({command})" for pid, command in sorted(found)]


def _identities(path: Path) -> Iterator[tuple[int, int]]:
    for name in (path, path.with_name(path.name + "-wal")):
        try:
            status = name.stat()
        except OSError:
            continue
        yield status.st_dev, status.st_ino


def _open_files(process: Path) -> Iterator[tuple[int, int]]:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return
    for descriptor in descriptors:
        try:
            status = descriptor.stat()
        except OSError:
            continue
        yield status.st_dev, status.st_ino


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"


def free_bytes(path: Path) -> int:
    """Return the bytes free for `path`, or for the nearest directory above it that exists."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
