"""The disk on this side is full: backup and dump; log, report and script are with the signals (test_process.py)."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from fix_faults import Case, assert_identical, read_structure, read_target, try_run

FILE_BYTES = 100


def run_limited(words: list[str], dsn: str, limit_bytes: int = FILE_BYTES) -> subprocess.CompletedProcess[str]:
    """Run the command line; no file it or its children write grows beyond so many bytes."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.run(
        [sys.executable, "-m", "copier", *words, "--progress", "none"],
        env={**os.environ, "DATABASE_URL": dsn},
        capture_output=True,
        text=True,
        preexec_fn=limit if limit_bytes else None,
        check=False,
    )


def full(case: Case, backup: Path) -> list[str]:
    return ["full", "--sqlite", str(case.path), "--script", "none", "--log-file", "none", "--backup", str(backup)]


@pytest.fixture
def own(small: Case, tmp_path: Path) -> Case:
    return replace(small, path=Path(shutil.copy(small.path, tmp_path / "app.db")))


async def test_no_room_for_the_backup_stops_before_anything_is_written(
    own: Case, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    backup = own.path.with_name("kept.backup")
    done = await asyncio.to_thread(run_limited, full(own, backup), pg_dsn)
    assert done.returncode == 1, done.stderr
    assert "the backup could not be written" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not await pg.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    assert {path.name for path in own.path.parent.iterdir()} == {"app.db"}
    again = await asyncio.to_thread(run_limited, full(own, backup), pg_dsn, 0)
    assert again.returncode == 0, again.stderr
    await assert_identical(own, pg_dsn)


async def test_the_same_command_goes_on_beside_the_backup_it_made(own: Case, pg_dsn: str) -> None:
    """A place chosen with --backup is no reason to refuse the resume; a file of another state is."""
    backup = own.path.with_name("kept.backup")
    first = await asyncio.to_thread(run_limited, [*full(own, backup), "--tables", "nothing"], pg_dsn, 0)
    assert first.returncode == 2, "stopped after the backup"
    made = backup.stat().st_ino
    again = await asyncio.to_thread(run_limited, full(own, backup), pg_dsn, 0)
    assert again.returncode == 0, again.stderr
    assert backup.stat().st_ino == made
    await assert_identical(own, pg_dsn)
    with own.path.open("r+b") as file:
        os.utime(file.fileno())
    backup.with_name("kept.backup.sha256").write_text("something else\n")
    third = await asyncio.to_thread(run_limited, full(own, backup), pg_dsn, 0)
    assert third.returncode == 2
    assert "exists already" in third.stderr


async def test_an_abandoned_backup_is_removed_by_the_next_run(own: Case, pg_dsn: str) -> None:
    """What a killed process left unfinished; not what a living one is writing."""
    backup = own.path.with_name("kept.backup")
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    dead, alive = (backup.with_name(f".kept.backup.{pid}.partial") for pid in (ended.pid, os.getpid()))
    dead.write_bytes(b"half")
    alive.write_bytes(b"half")
    done = await asyncio.to_thread(run_limited, full(own, backup), pg_dsn, 0)
    assert done.returncode == 0, done.stderr
    assert not dead.exists()
    assert alive.exists()


async def test_no_room_for_the_dump_rolls_nothing_back(own: Case, pg_dsn: str) -> None:
    assert await try_run(own, pg_dsn) is None
    dump = own.path.with_name("before.dump")
    done = await asyncio.to_thread(run_limited, ["rollback", "--dump", str(dump)], pg_dsn)
    assert done.returncode not in (0, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert "hint:" in done.stderr
    assert not dump.exists()
    assert await read_target(pg_dsn, list(own.rows)) == own.rows
    assert await read_structure(pg_dsn) == own.structure
