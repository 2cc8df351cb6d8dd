"""What the copier prints cannot be written: a full disk behind stderr stops nothing, one behind stdout is said."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from fix_faults import Case, assert_identical


def call(words: list[str], dsn: str = "", **streams: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command line with streams that go to files, or come back; Python keeps stdout to the end, as usual."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    files = {name: open(path, "wb") for name, path in streams.items()}  # noqa: PTH123, SIM115
    given: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **files}
    try:
        command = [sys.executable, "-m", "copier", *words]
        return subprocess.run(command, env=environ | {"DATABASE_URL": dsn}, check=False, **given)  # type: ignore[call-overload, no-any-return]
    finally:
        for file in files.values():
            file.close()


def full(case: Case, report: Path) -> list[str]:
    words = ["full", "--sqlite", str(case.path), "--no-backup", "--report", str(report)]
    return [*words, "--script", "none", "--log-file", "none"]


@pytest.mark.parametrize("progress", ["none", "json"])
async def test_stderr_that_takes_nothing_stops_nothing(small: Case, pg_dsn: str, tmp_path: Path, progress: str) -> None:
    words = [*full(small, tmp_path / "out.json"), "--progress", progress]
    done = await asyncio.to_thread(call, words, pg_dsn, stderr="/dev/full")
    assert done.returncode == 0
    assert b"Verified" in done.stdout
    await assert_identical(small, pg_dsn)


async def test_stdout_that_takes_nothing_is_said_and_the_report_stays(small: Case, pg_dsn: str, tmp_path: Path) -> None:
    report = tmp_path / "out.json"
    done = await asyncio.to_thread(call, [*full(small, report), "--progress", "none"], pg_dsn, stdout="/dev/full")
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "error: the result could not be printed: No space left on device\nhint: the command itself has ended" in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert json.loads(report.read_text())["outcome"] == "verified"
    await assert_identical(small, pg_dsn)


@pytest.mark.parametrize("words", [["--version"], ["tune"]])
def test_stdout_that_takes_nothing_is_said(words: list[str]) -> None:
    done = call(words, stdout="/dev/full")
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "No space left on device" in said
    assert "hint: " in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said


def test_a_report_to_a_device_is_written_to_it_and_not_in_its_place(tmp_path: Path) -> None:
    """Renaming a finished file to /dev/stdout would replace that for everybody."""
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    db.close()
    words = ["inspect", "--sqlite", str(path), "--plan-out", "/dev/stdout", "--force", "--progress", "none"]
    done = call(words)
    assert done.returncode == 0, done.stderr
    assert b"format = 1" in done.stdout
    assert Path("/dev/stdout").is_symlink()
