"""The copier is killed or stopped at every phase boundary and at seeded random moments; the same command goes on."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest
from fix_faults import WHOLE, Case, assert_identical, sha256
from fix_postgres import Servers
from fix_tally import TALLY

DRIVER = Path(__file__).with_name("kill_at.py")
PHASES = ("backup", "validate", "profile", "begin", "schema", "data", "indexes", "constraints", "verify", "report")
"""In their order; those of kill_at.py."""

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
RANDOM_KILLS = 100 if WHOLE else 12
KILLS_IN_A_ROW = 3
"""So that resumed runs are killed too."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process of the copier ended."""

    code: int
    said: str


async def copy_command(case: Case, dsn: str, number: signal.Signals = signal.SIGKILL, moment: str = "never") -> Ended:
    """Run the command line, with a backup and a report beside the source, and kill it at the moment."""
    words = ["full", "--sqlite", str(case.path), "--jobs", "2", "--chunk-bytes", str(64 << 10), "--script", "none"]
    words += ["--log-file", "none", "--progress", "none", "--report", str(case.path.with_name("report.json"))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(DRIVER), number.name, moment, *words),
        env={**os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        _, said = await process.communicate()
    assert process.returncode is not None
    TALLY.runs += 1
    assert b"Traceback" not in said, said.decode()
    assert b"internal error" not in said, said.decode()
    return Ended(process.returncode, said.decode())


def a_copy(case: Case, directory: Path, wal: bool) -> Case:
    """The source in a directory of its own, where a killed backup leaves what it leaves."""
    directory.mkdir()
    path = directory / "app.db"
    shutil.copy(case.path, path)
    if wal:
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = WAL")
        db.close()
    return replace(case, path=path, sha256=sha256(path))


def was_stopped(ended: Ended, number: signal.Signals) -> bool:
    """Whether the signal ended the run; it must have said so where it could."""
    if number == signal.SIGKILL:
        assert ended.code in (-9, 0), ended
        return ended.code != 0
    # Before the handler stands, and after it has gone, a signal has its usual effect.
    assert ended.code in (1, 0, -number), ended
    if ended.code == 1:
        assert f"stopped by {number.name}" in ended.said
        assert "same command" in ended.said
    return ended.code != 0


async def go_on(case: Case, dsn: str) -> None:
    """The same command ends verified, or finds that the run had ended; source and target are identical then."""
    ended = await copy_command(case, dsn)
    if ended.code:
        assert ended.code == 5, ended
        assert await outcome(dsn) == "verified"
        assert "of the same source and setup, ended verified at" in ended.said
    else:
        report = json.loads(case.path.with_name("report.json").read_text())
        assert report["outcome"] == "verified"
    TALLY.resumed += 1
    await assert_identical(case, dsn)
    assert_backed_up(case)


async def outcome(dsn: str) -> str | None:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("SELECT outcome FROM sqlite2pg.run")
    finally:
        await connection.close()


def assert_backed_up(case: Case) -> None:
    """One backup, whole, with its checksum, and nothing half-made beside it."""
    [backup] = case.path.parent.glob("app.db.*.backup")
    db = sqlite3.connect(f"{backup.as_uri()}?mode=ro&immutable=1", uri=True)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("SELECT count(*) FROM note").fetchone() == (case.rows["note"].total(),)
    db.close()
    digest, _ = backup.with_name(f"{backup.name}.sha256").read_text().split()
    assert digest == sha256(backup)
    assert not list(case.path.parent.glob(".*.partial"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("phase", PHASES)
async def test_signals_at_every_phase_boundary(small: Case, pg_servers: Servers, tmp_path: Path, phase: str) -> None:
    """CI: one signal on one side of the phase, all kinds in turn; whole: all signals on both sides."""
    place = PHASES.index(phase)
    chosen = list(itertools.product(("before", "after"), SIGNALS))
    late = chosen[3:] if phase == "report" else []
    stopped = 0
    for side, number in chosen if WHOLE else [(("before", "after")[place // 3 % 2], SIGNALS[place % 3])]:
        case = a_copy(small, tmp_path / f"{side}-{number.name}", wal=number == signal.SIGKILL)
        async with pg_servers.database("wheel18") as name:
            dsn = pg_servers.get("wheel18").dsn(name)
            ended = await copy_command(case, dsn, number, f"{side}:{phase}")
            if was_stopped(ended, number):
                stopped += 1
                TALLY.kills[f"{number.name} {phase}"] += 1
            else:
                assert (side, number) in late, "a signal comes in time, but for one after the last commit"
            await go_on(case, dsn)
    assert stopped >= (3 if WHOLE else 1)


@pytest.mark.timeout(3600)
async def test_kills_at_random_moments(small: Case, pg_servers: Servers, tmp_path: Path) -> None:
    """Up to three in a row into one database, each at any moment of what is left to do."""
    draw = random.Random(2027)
    killed = tries = 0
    span_s = await duration_s(small, pg_servers, tmp_path)
    while killed < RANDOM_KILLS:
        tries += 1
        assert tries <= 3 * RANDOM_KILLS, "most moments must lie inside a run"
        case = a_copy(small, tmp_path / f"random-{tries}", wal=tries % 2 == 0)
        async with pg_servers.database("wheel18") as name:
            dsn = pg_servers.get("wheel18").dsn(name)
            for _ in range(KILLS_IN_A_ROW):
                number = signal.SIGKILL if draw.random() < 0.6 else draw.choice(SIGNALS[1:])
                ended = await copy_command(case, dsn, number, f"at:{draw.random() * span_s:.6f}")
                if ended.code == 5:
                    assert await outcome(dsn) == "verified"
                    break
                if not was_stopped(ended, number):
                    break
                killed += 1
                TALLY.kills[f"{number.name} random"] += 1
            await go_on(case, dsn)
        shutil.rmtree(case.path.parent)


async def duration_s(small: Case, pg_servers: Servers, tmp_path: Path) -> float:
    """How long an undisturbed run takes from its first event to its end."""
    async with pg_servers.database("wheel18") as name:
        case = a_copy(small, tmp_path / "undisturbed", wal=False)
        ended = await copy_command(case, pg_servers.get("wheel18").dsn(name))
    assert ended.code == 0, ended
    return float(ended.said.rpartition("moment ")[2].split()[0])
