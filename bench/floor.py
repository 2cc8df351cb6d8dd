"""The copy of 1M chat messages beside its floor: server-side COPY FROM of the same bytes, one connection, same run.

    python bench/floor.py [--rows 1000000] [--rounds 5] [--directory DIR]

Prints each round and the medians: wall seconds of both, their ratio, and what the copier's process took. Each copy runs
in a process of its own, so that CPU time and peak memory are its alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from copier.postgres.embedded import embedded_server
from copier.sqlite.chatdb import make_chat_database

SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}

ONE_COPY = """
import asyncio, json, sys, time
from pathlib import Path
import uvloop
from copier import Settings
from copier.events import PhaseFinished, PhaseStarted, TableFinished
from copier.migration import full
from copier.run.progress import peak_rss_bytes

marks = {}

def listen(event):
    if isinstance(event, PhaseStarted) and event.phase == "data":
        marks["cpu"] = time.process_time()
    if isinstance(event, TableFinished) and event.phase == "data":
        marks["wall_s"] = event.seconds
        marks["cpu_s"] = time.process_time() - marks.pop("cpu")
        marks["rss_mb"] = peak_rss_bytes() / 1e6

settings = Settings(sqlite=Path(sys.argv[1]), postgres=sys.argv[2], schema="bench", tables=("messages",),
                    existing="replace", no_backup=True, level="count")
report = uvloop.run(full(settings, listen))
assert report.mismatches == []
print(json.dumps({**marks, "engine": report.engine}))
"""


async def main() -> None:
    """Run the rounds in turn: floor, copier, floor, copier, ..."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="where the database and the server live (default: temporary)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sqlite2pg-bench-", ignore_cleanup_errors=True) as scratch:
        base = args.directory or Path(scratch)
        Path(scratch).chmod(0o755)
        source = base / f"chat_{args.rows}.db"
        if not source.exists():
            make_chat_database(source, args.rows)
        async with embedded_server(base / "postgres", keep=False, settings=SETTINGS) as server:
            await compare(source, server.dsn(), args.rounds)


async def compare(source: Path, dsn: str, rounds: int) -> None:
    """Print each round and the medians."""
    await copy_once(source, dsn)
    control = await asyncpg.connect(dsn)
    try:
        place = await control.fetchval("SELECT current_setting('data_directory')")
        file = f"{place}/floor.bin"
        await control.execute(f"COPY bench.messages TO '{file}' (FORMAT binary)")
        await control.execute("CREATE TABLE bench.floor (LIKE bench.messages)")
        size = await control.fetchval("SELECT (pg_stat_file($1)).size", file)
        found = []
        for number in range(1, rounds + 1):
            floor_s = await floor_once(control, file)
            ours = await copy_once(source, dsn)
            found.append((floor_s, ours))
            print(f"round {number}: floor {floor_s:.2f} s, copier {ours['wall_s']:.2f} s, CPU {ours['cpu_s']:.2f} s")
        await control.execute("DROP SCHEMA bench CASCADE; DROP SCHEMA sqlite2pg CASCADE")
    finally:
        await control.close()
    floor = statistics.median(f for f, _ in found)
    wall = statistics.median(o["wall_s"] for _, o in found)
    ratio = statistics.median(o["wall_s"] / f for f, o in found)
    cpu = statistics.median(o["cpu_s"] for _, o in found)
    rss = max(o["rss_mb"] for _, o in found)
    print(f"engine {found[0][1]['engine']}, {size / 1e6:.0f} MB as binary COPY; medians of {rounds}:")
    print(
        f"  floor {floor:.2f} s, copier {wall:.2f} s, ratio {ratio:.2f}, client CPU {cpu:.2f} s, peak RSS {rss:.0f} MB"
    )


async def floor_once(control: asyncpg.Connection, file: str) -> float:
    """Return the seconds of one server-side COPY into an empty table."""
    await control.execute("TRUNCATE bench.floor")
    await control.execute("CHECKPOINT")
    start = time.perf_counter()
    await control.execute(f"COPY bench.floor FROM '{file}' (FORMAT binary)")
    return time.perf_counter() - start


async def copy_once(source: Path, dsn: str) -> dict[str, float]:
    """Return the figures of one copy in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ONE_COPY, str(source), dsn), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, "the copy failed"
    figures: dict[str, float] = json.loads(output)
    return figures


if __name__ == "__main__":
    asyncio.run(main())
