"""Who takes part, how each is run, and what is to be known about its figures."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.ours import copy_table
from bench.peer import pgloader, pipe
from bench.peer.order import Order
from bench.process import CommandFailed, measure, measure_module


@dataclass(frozen=True, slots=True)
class Figures:
    """One run: `data_s` is the copying alone, `whole_s` the process from start to end."""

    data_s: float
    whole_s: float
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Peer:
    """One copier of the comparison."""

    name: str
    title: str
    run: Callable[[Order, Path], Figures]
    """Gets the order and a directory for files of its own."""
    packages: tuple[str, ...] = ()
    """Distributions it is made of; the first one's version is shown."""
    programs: tuple[str, ...] = ()
    makes_table: bool = False
    note: str = ""
    most_rounds: int = 1_000_000

    def version(self) -> str | None:
        """Return its version, None when something it needs is not installed."""
        if any(shutil.which(program) is None for program in self.programs):
            return None
        try:
            versions = [importlib.metadata.version(package) for package in self.packages]
        except importlib.metadata.PackageNotFoundError:
            return None
        return versions[0] if versions else _said(self.programs[0])


def _said(program: str) -> str:
    """Return the version a program tells."""
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    words = answer.splitlines()[0].replace('"', " ").split() if answer else ["?"]
    return next((word for word in words if word[0].isdigit()), words[-1])


def _ours(engine: str) -> Callable[[Order, Path], Figures]:
    def run(order: Order, directory: Path) -> Figures:
        found = copy_table(order.sqlite, order.dsn, order.shape.table, engine=engine, schema=order.schema)
        if found["engine"] != engine:
            raise CommandFailed(f"the {engine} engine is not there")
        return Figures(found["data_s"], found["wall_s"], found["data_cpu_s"], found["rss_bytes"])

    return run


def _python(module: str) -> Callable[[Order, Path], Figures]:
    def run(order: Order, directory: Path) -> Figures:
        answer, used = measure_module(f"bench.peer.{module}", order.sent())
        return Figures(answer["data_s"], used.wall_s, answer["data_cpu_s"], used.rss_bytes)

    return run


def _pipe(order: Order, directory: Path) -> Figures:
    used = measure(*pipe.commands(order))
    return Figures(used.wall_s, used.wall_s, used.cpu_s, used.rss_bytes)


def _pgloader(order: Order, directory: Path) -> Figures:
    table = order.shape.table
    casts = {f"{table}.{c.name}": "uuid" for c in order.shape.columns if c.pg == "uuid"}
    file = pgloader.load_file(directory, order.sqlite, order.dsn, casts, table)
    used = measure(pgloader.command(file))
    summary = pgloader.read_summary(file)
    if summary.errors:
        raise CommandFailed(f"{summary.errors} errors in its summary")
    return Figures(summary.data_s, used.wall_s, used.cpu_s, used.rss_bytes)


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "native",
            "sqlite2pg",
            _ours("native"),
            ("sqlite2pg",),
            makes_table=True,
            note="whole: profile, keys, indexes and count check included",
        ),
        Peer(
            "portable",
            "sqlite2pg, portable engine",
            _ours("portable"),
            ("sqlite2pg",),
            makes_table=True,
            note="as above, in Python",
            most_rounds=2,
        ),
        Peer(
            "adbc",
            "ADBC, adbc_ingest",
            _python("adbc"),
            ("adbc-driver-postgresql", "adbc-driver-sqlite", "pyarrow"),
            makes_table=True,
            note="no conversions",
        ),
        Peer(
            "duckdb",
            "DuckDB, INSERT .. SELECT",
            _python("duck"),
            ("duckdb", "duckdb-extension-sqlite-scanner", "duckdb-extension-postgres-scanner"),
            note="same conversions as ours",
        ),
        Peer(
            "pgloader",
            "pgloader",
            _pgloader,
            programs=("pgloader",),
            makes_table=True,
            note="UUIDs converted, times left as numbers; data phase as it reports",
        ),
        Peer(
            "psql",
            "sqlite3 -csv | psql \\copy",
            _pipe,
            programs=("sqlite3", "psql"),
            note="conversions in SQLite's SQL",
        ),
        Peer("asyncpg", "asyncpg, copy_records_to_table", _python("tuples"), ("asyncpg",), note="tuples converted"),
        Peer(
            "pandas",
            "pandas, to_sql",
            _python("frames"),
            ("pandas", "sqlalchemy", "psycopg"),
            note="one round",
            most_rounds=1,
        ),
    )
}
