"""The copier's own disk is full; its source is changed by force. Signals are in test_kills.py."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fix_faults import (
    Case,
    assert_clear,
    assert_identical,
    make_source,
    read_source,
    read_target,
    run,
    try_run,
)
from fix_migrate import sha256

from copier import migration
from copier.config import Settings
from copier.errors import CopierError
from copier.events import Event, TableProgress


def command(case: Case, *more: str) -> list[str]:
    words = [sys.executable, "-m", "copier", "full", "--sqlite", str(case.path), "--no-backup", "--progress", "json"]
    return [*words, "--jobs", "2", "--chunk-bytes", str(64 << 10), "--script", "none", *more]


@pytest.mark.parametrize("option", ["--log-file", "--report", "--script"])
async def test_a_full_disk_on_this_side_is_no_reason_to_lose_the_run(
    small: Case, pg_dsn: str, tmp_path: Path, option: str
) -> None:
    """/dev/full for the log; for files written whole, a limit of 100 bytes per file."""
    place = tmp_path / "out"
    if option == "--log-file":
        place.symlink_to("/dev/full")

    def limit() -> None:
        if option != "--log-file":
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    words = [w for w in command(small) if w not in ("--script", "none")] + [option, str(place)]
    words += [] if option == "--log-file" else ["--log-file", "none"]
    words += [] if option == "--script" else ["--script", "none"]
    done = await asyncio.to_thread(_run_limited, words, pg_dsn, limit)
    assert "Traceback" not in done.stderr, done.stderr
    assert "internal error" not in done.stderr, done.stderr
    await assert_identical(small, pg_dsn)
    assert done.returncode == (1 if option == "--report" else 0), done.stderr


def _run_limited(words: list[str], dsn: str, limit: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env={**os.environ, "DATABASE_URL": dsn}, capture_output=True, text=True, preexec_fn=limit, check=False
    )


def _replace(path: Path) -> None:
    other = path.with_name("other.db")
    with sqlite3.connect(other) as db:
        db.executescript("CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO note VALUES (1, 'no')")
    db.close()
    other.replace(path)


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0" * (1 << 20))


def _garble(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 8192)


@pytest.mark.parametrize("change", [_replace, _remove, _truncate, _grow, _garble])
async def test_the_file_is_changed_by_force_while_it_is_copied(
    pg_dsn: str, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Not through SQLite, which would be kept out. All is as in the snapshot, or the copier says it cannot go on."""
    path = make_source(tmp_path / "app.db", notes=20_000)
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    rows = read_source(copy)
    progressed = False

    def listen(event: Event) -> None:
        nonlocal progressed
        if isinstance(event, TableProgress) and event.phase == "data" and not progressed:
            progressed = True
            change(path)

    case = Case(path, rows, sha256(path), ())
    try:
        report = await run(case, pg_dsn, listener=listen)
    except CopierError as error:
        assert_clear(error)
        copy.replace(path)
    else:
        found = await read_target(pg_dsn, list(rows))
        if report.outcome == "verified":
            assert found == rows
        else:
            assert report.outcome == "mismatch"
        return
    assert progressed
    await migration.rollback(Settings(sqlite=path, postgres=pg_dsn), no_dump=True)
    assert await try_run(case, pg_dsn) is None
    assert await read_target(pg_dsn, list(rows)) == rows
