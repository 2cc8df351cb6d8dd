"""Does a row cost the same when there are a hundred times as many, and is a 10 GB file moved in time?

    python -m bench.growth [--rows 100000,1000000,10000000] [--bytes 10GB] [--no-steps] [--keep]

Each step is one whole `full` of a chat database, content check included. Writes bench/results/growth.json: `steps`, and
with --bytes `whole`, one file of that size. What is in the file from earlier runs stays, so the parts can run apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from bench.ours import run_copier
from bench.results import RESULTS, say, write
from bench.server import SETTINGS, bench_server, cache_directory, machine
from bench.shapes import SHAPES
from copier.postgres.embedded import EmbeddedServer
from copier.units import size

BYTES_PER_MESSAGE = 442
"""Of a large chat database; users and conversations have stopped growing there."""
GROWING_BYTES = 47_000_000
"""What is beside that: users, conversations, and their share of indexes at a million messages."""
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9}


async def step(server: EmbeddedServer, rows: int, *, backup: bool, keep: bool) -> dict[str, Any]:
    """Make the source, move it into an empty database, and return what it took."""
    say(f"{rows:,} messages: making the source, unless it is there")
    start_s = time.perf_counter()
    source = await asyncio.to_thread(SHAPES["messages"].source, cache_directory(), rows)
    say(f"{rows:,} messages, {size(source.stat().st_size)}, there after {time.perf_counter() - start_s:.0f} s")
    await server.ensure_database("growth")
    try:
        with tempfile.TemporaryDirectory(dir=source.parent) as backups:
            kept: dict[str, Any] = {"backup": str(Path(backups) / "backup.db")} if backup else {"no_backup": True}
            found = await asyncio.to_thread(lambda: run_copier(source, server.dsn("growth"), level="content", **kept))
        await _check(server, rows)
        found = {"messages": rows, "sqlite_bytes": source.stat().st_size, **found}
    finally:
        await _drop(server)
        if not keep:
            source.unlink()
    say(f"{rows:,} messages: {found['wall_s']:.1f} s, CPU {found['cpu_s']:.1f} s, peak {size(found['rss_bytes'])}")
    return found


async def _check(server: EmbeddedServer, rows: int) -> None:
    connection = await asyncpg.connect(server.dsn("growth"))
    try:
        arrived = await connection.fetchval("SELECT count(*) FROM public.messages")
    finally:
        await connection.close()
    if arrived != rows:
        raise AssertionError(f"{arrived} of {rows} messages arrived")


async def _drop(server: EmbeddedServer) -> None:
    connection = await asyncpg.connect(server.dsn())
    try:
        await connection.execute("DROP DATABASE IF EXISTS growth WITH (FORCE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def grow(
    rows: Sequence[int],
    whole_bytes: int,
    *,
    backup: bool = True,
    keep: bool = False,
    settings: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run the steps, then the one large file."""
    async with bench_server(settings or SETTINGS) as server:
        connection = await asyncpg.connect(server.dsn())
        found: dict[str, Any] = {"machine": await machine(connection)}
        await connection.close()
        if rows:
            found["steps"] = [await step(server, one, backup=backup, keep=keep or one <= 1_000_000) for one in rows]
        if whole_bytes:
            messages = max(1_000, (whole_bytes - GROWING_BYTES) // BYTES_PER_MESSAGE)
            found["whole"] = await step(server, messages, backup=backup, keep=keep)
    return found


def parse_size(text: str) -> int:
    """Return the bytes in `10GB` or `500MB`, powers of 1000 as on the label of a disk."""
    number, unit = text[:-2], text[-2:]
    if unit not in _UNITS or not number.isdigit():
        raise argparse.ArgumentTypeError("write a size as 10GB or 500MB")
    return int(number) * _UNITS[unit]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="100000,1000000,10000000", help="messages of each step (%(default)s)")
    parser.add_argument("--bytes", type=parse_size, default=0, help="size of the one large file, as 10GB")
    parser.add_argument("--no-steps", action="store_true", help="only the large file")
    parser.add_argument("--no-backup", action="store_true", help="leave out the backup that `full` begins with")
    parser.add_argument("--keep", action="store_true", help="keep large sources in the cache directory")
    parser.add_argument("--out", type=Path, default=RESULTS / "growth.json")
    args = parser.parse_args(arguments)
    rows = [] if args.no_steps else [int(one) for one in args.rows.split(",")]
    found = asyncio.run(grow(rows, args.bytes, backup=not args.no_backup, keep=args.keep))
    earlier = json.loads(args.out.read_text()) if args.out.exists() else {}
    write(args.out, {**earlier, **found})


if __name__ == "__main__":
    main()
