"""Many runs in one process, 200 tables and 8 writers: nothing is left behind, nothing grows.

`make soak` goes on for ten minutes (SQLITE2PG_SOAK_S); CI for some seconds. A slow server keeps memory flat.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sqlite3
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from fix_faults import WHOLE
from fix_postgres import Servers
from fix_proxy import Proxy
from fix_tally import TALLY

from copier import migration
from copier.config import Settings

SOAK_S = float(os.environ.get("SQLITE2PG_SOAK_S", "10"))
TABLES = 200
WRITERS = 8
WARM_RUNS = 2
"""Until caches and memory pools have their size."""

GROWTH_BYTES = 16 << 20
"""Over the second half of all runs, however many: an allocator's own noise. Each run reads 17 MB of rows."""


@pytest.fixture
def many_tables(tmp_path: Path) -> Path:
    """200 tables, 200 rows each, with an index and a foreign key to the next one's neighbour."""
    path = tmp_path / "many.db"
    with sqlite3.connect(path) as db:
        for number in range(TABLES):
            parent = f"REFERENCES t{number - 1}" if number % 5 else ""
            db.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, parent INTEGER {parent}, body TEXT)")
            db.execute(f"CREATE INDEX t{number}_body ON t{number} (body)")
            rows = ((i, i, f"table {number} row {i} " + "x" * 400) for i in range(200))
            db.executemany(f"INSERT INTO t{number} VALUES (?, ?, ?)", rows)
    db.close()
    return path


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def sessions(dsn: str) -> int:
    """Sessions of the copier that are still there, once those that were closed have ended."""
    connection = await asyncpg.connect(dsn)
    try:
        end_s = time.monotonic() + 10
        while True:
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            count = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sqlite2pg'"
            )
            if not count or time.monotonic() > end_s:
                return int(count)
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


@pytest.mark.slow
@pytest.mark.timeout(SOAK_S + 300)
async def test_nothing_leaks_and_nothing_grows(many_tables: Path, pg_servers: Servers) -> None:
    start_s, rss, files = time.monotonic(), list[int](), list[int]()
    while len(rss) < WARM_RUNS + 2 or time.monotonic() - start_s < SOAK_S:
        tasks = asyncio.all_tasks()
        async with pg_servers.database("wheel18") as name:
            dsn = pg_servers.get("wheel18").dsn(name)
            report = await migration.full(Settings(sqlite=many_tables, postgres=dsn, no_backup=True, jobs=WRITERS))
            assert report.outcome == "verified"
            assert sum(table.copied_rows for table in report.tables) == TABLES * 200
            assert await sessions(dsn) == 0, "connections are left open"
        assert asyncio.all_tasks() == tasks, "tasks are left running"
        TALLY.runs += 1
        gc.collect()
        files.append(open_files())
        rss.append(rss_bytes())
    assert len(set(files[WARM_RUNS:])) == 1, f"file descriptors: {files}"
    late = rss[max(WARM_RUNS, len(rss) // 2) :]
    print(f"{len(rss)} runs of {TABLES} tables; RSS of the second half {late[0] >> 20} -> {late[-1] >> 20} MiB")
    assert late[-1] - late[0] < GROWTH_BYTES, f"RSS: {[one >> 20 for one in rss]}"


SLOW_MIB = 48 if WHOLE else 12
BYTES_PER_S = (1 << 20) if WHOLE else (4 << 20)


@pytest.fixture
def heavy(tmp_path: Path) -> Path:
    path = tmp_path / "heavy.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE heavy (id INTEGER PRIMARY KEY, body BLOB)")
        db.executemany("INSERT INTO heavy (body) VALUES (randomblob(8192))", [()] * (SLOW_MIB * 128))
    db.close()
    return path


async def peak_rss_bytes(source: Path, dsn: str) -> int:
    """Run `full` in a process of its own; its peak is in the report."""
    report = source.with_suffix(".json")
    words = ["full", "--sqlite", str(source), "--no-backup", "--jobs", "8", "--chunk-bytes", "256KiB"]
    words += ["--memory-bytes", "2MiB", "--script", "none", "--log-file", "none", "--progress", "none"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "copier", *words, "--report", str(report)),
        env={**os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return int(json.loads(report.read_text())["peak_rss_bytes"])


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_slow_server_keeps_memory_flat(heavy: Path, proxy: Proxy) -> None:
    """What cannot be sent yet is not read yet: the source is many times larger than what may be held."""
    fast = await peak_rss_bytes(heavy, proxy.dsn)
    admin = await asyncpg.connect(proxy.direct)
    await admin.execute("DROP SCHEMA sqlite2pg CASCADE; DROP TABLE heavy")
    await admin.close()
    proxy.bytes_per_s = BYTES_PER_S
    start_s = time.monotonic()
    slow = await peak_rss_bytes(heavy, proxy.dsn)
    assert time.monotonic() - start_s > (SLOW_MIB << 20) / BYTES_PER_S, "all of it went through at that speed"
    print(f"peak RSS {fast >> 20} MiB fast, {slow >> 20} MiB at {BYTES_PER_S >> 20} MiB/s")
    assert slow - fast < (SLOW_MIB << 20) // 3
