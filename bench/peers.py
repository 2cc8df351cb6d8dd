"""Side by side: every copier fills the same tables, in turn, in one run, each in a process of its own.

    python -m bench.peers [--shapes messages,ints] [--peers native,duckdb] [--rounds 5] [--rows N] [--out FILE]

Every round begins with the floor, the server's own COPY of the same bytes. What each peer left in the table is compared
with the source. Writes bench/results/peers.json.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg

from bench.floor import Floor
from bench.ours import copy_table
from bench.peer.catalog import PEERS, Figures, Peer
from bench.peer.order import Order
from bench.process import CommandFailed
from bench.results import RESULTS, say, write
from bench.server import bench_server, cache_directory, machine, reachable_directory
from bench.shapes import SHAPES, Shape, as_proof, converted_proof, proof_of_source
from copier.plan.names import qualify, quote
from copier.postgres.embedded import EmbeddedServer

SCHEMA = "bench"
REFERENCE = "reference"


class Comparison:
    """All rounds of one shape."""

    def __init__(self, server: EmbeddedServer, control: asyncpg.Connection, shape: Shape, sqlite: Path) -> None:
        self._dsn = server.dsn("bench")
        self._control = control
        self._shape = shape
        self._sqlite = sqlite
        self._proof = proof_of_source(sqlite, shape)
        self.found: dict[str, dict[str, Any]] = {}

    async def run(self, peers: Sequence[Peer], rounds: int, directory: Path) -> dict[str, Any]:
        """Run the rounds; every other one in the opposite order."""
        await asyncio.to_thread(
            lambda: copy_table(self._sqlite, self._dsn, self._shape.table, schema=REFERENCE)  # also warms the file
        )
        floor = Floor(self._dsn, REFERENCE, self._shape.table)
        await floor.prepare()
        floors: dict[str, list[float]] = {"one_s": [], "two_s": []}
        self.found = {peer.name: self._entry(peer) for peer in peers}
        for number in range(rounds):
            floors["one_s"].append(await floor.one())
            floors["two_s"].append(await floor.two())
            say(f"{self._shape.name} round {number + 1}: floor {floors['one_s'][-1]:.2f} s")
            for peer in peers if number % 2 == 0 else reversed(peers):
                if number < peer.most_rounds:
                    await self._one(peer, directory)
        await self._control.execute(f"DROP SCHEMA {REFERENCE} CASCADE")
        return {
            "title": self._shape.title,
            "rows": int(self._proof[0]),
            "sqlite_bytes": self._sqlite.stat().st_size,
            "copy_bytes": floor.bytes,
            "floor": floors,
            "peers": self.found,
        }

    def _entry(self, peer: Peer) -> dict[str, Any]:
        version = peer.version()
        facts = {"title": peer.title, "note": peer.note, "version": version}
        return {**facts, "absent": True} if version is None else {**facts, "runs": []}

    async def _one(self, peer: Peer, directory: Path) -> None:
        entry = self.found[peer.name]
        if "absent" in entry or "error" in entry:
            return
        order = Order(self._sqlite, self._dsn, SCHEMA, self._shape)
        await self._empty(peer)
        try:
            figures: Figures = await asyncio.to_thread(peer.run, order, directory)
            entry["types"] = await self._check(peer)
        except (CommandFailed, OSError, ValueError, asyncpg.PostgresError) as error:
            entry["error"] = str(error).splitlines()[0] if str(error) else type(error).__name__
            say(f"  {peer.name}: {entry['error']}")
            return
        entry["runs"].append(asdict(figures))
        say(f"  {peer.name}: {figures.data_s:.2f} s, CPU {figures.cpu_s:.2f} s, {figures.rss_bytes / 1e6:.0f} MB")

    async def _empty(self, peer: Peer) -> None:
        await self._control.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
        await self._control.execute(f"DROP TABLE IF EXISTS public.{quote(self._shape.table)} CASCADE")
        if not peer.makes_table:
            await self._control.execute(self._shape.ddl(SCHEMA))
        await self._control.execute("CHECKPOINT")

    async def _check(self, peer: Peer) -> str:
        """Compare what arrived with the source; return the column types of the target."""
        schema = "public" if peer.name == "pgloader" else SCHEMA
        table = qualify(schema, self._shape.table)
        found = await self._control.fetch(
            "SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute"
            " WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
            table,
        )
        types = {row["name"]: row["type"].replace("timestamp with time zone", "timestamptz") for row in found}
        proofs = [self._shape.proof, *(converted_proof(c, types[c.name]) for c in self._shape.converted)]
        arrived = as_proof(
            tuple(await self._control.fetchrow(f"SELECT count(*), {', '.join(proofs)} FROM {table}") or ())
        )
        if arrived != self._proof:
            raise CommandFailed(f"what arrived is not what was sent: {arrived} for {self._proof}")
        return ", ".join(sorted(set(types.values())))


async def compare(
    shapes: Sequence[Shape], peers: Sequence[Peer], rounds: int, rows: int, settings: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run the comparison; `rows` is a limit on the messages, and other shapes shrink with it. 0: as they are."""
    scale = min(1.0, rows / SHAPES["messages"].rows) if rows else 1.0
    async with bench_server(settings) as server:
        await server.ensure_database("bench")
        control = await asyncpg.connect(server.dsn("bench"))
        found: dict[str, Any] = {"machine": await machine(control), "rounds": rounds, "shapes": {}}
        with reachable_directory() as directory:
            for shape in shapes:
                say(f"{shape.name}: making the source, unless it is there")
                sqlite = await asyncio.to_thread(shape.source, cache_directory(), max(100, int(shape.rows * scale)))
                comparison = Comparison(server, control, shape, sqlite)
                found["shapes"][shape.name] = await comparison.run(peers, rounds, directory)
        with suppress(asyncpg.PostgresError):
            await control.close()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES), help="of %(default)s")
    parser.add_argument("--peers", default=",".join(PEERS), help="of %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=0, help="messages to copy; the other shapes shrink likewise")
    parser.add_argument("--out", type=Path, default=RESULTS / "peers.json")
    args = parser.parse_args(arguments)
    for names, known in ((args.shapes, SHAPES), (args.peers, PEERS)):
        if unknown := [name for name in names.split(",") if name not in known]:
            parser.error(f"there is no {unknown[0]!r}; choose of {', '.join(known)}")
    shapes = [SHAPES[name] for name in args.shapes.split(",")]
    peers = [PEERS[name] for name in args.peers.split(",")]
    write(args.out, asyncio.run(compare(shapes, peers, args.rounds, args.rows)))


if __name__ == "__main__":
    main()
