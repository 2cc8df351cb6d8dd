"""The application's queries, SQLite beside PostgreSQL, on the same migrated data; p50, p95 and p99 in extra_info.

SQLITE2PG_BENCH_ROWS is a list of message counts (default 100000), SQLITE2PG_BENCH_ROUNDS the calls per operation.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bench.queries.database import add_fts5, chat_source, migrated
from bench.queries.engines import Database, Postgres, Sqlite, open_postgres
from bench.queries.operations import OPERATIONS, Facts, Operation
from bench.server import SETTINGS, SMALL, cache_directory, reachable_directory

ROWS = [int(rows) for rows in os.environ.get("SQLITE2PG_BENCH_ROWS", "100000").split(",")]
ROUNDS = int(os.environ.get("SQLITE2PG_BENCH_ROUNDS", "400"))
WARM_UP = 20
SLOW_S = 0.05
"""Operations that take longer get fewer rounds, enough for a p99 of a hundred."""
FEW = 100


@dataclass(frozen=True, slots=True)
class Both:
    """The same data in both engines."""

    rows: int
    path: Path
    sqlite: Sqlite
    postgres: Postgres
    facts: Facts
    machine: dict[str, Any]

    def engine(self, name: str) -> Database:
        return self.sqlite if name == "sqlite" else self.postgres


@contextmanager
def _both(rows: int) -> Iterator[Both]:
    loop = uvloop.new_event_loop()
    try:
        with reachable_directory() as scratch:
            path = chat_source(cache_directory(), rows, scratch)
            opened = migrated(path, SETTINGS if rows >= 100_000 else SMALL)
            dsn, machine = loop.run_until_complete(opened.__aenter__())
            try:
                with open_postgres(dsn) as postgres, closing(Sqlite(path)) as sqlite:
                    yield Both(rows, path, sqlite, postgres, sqlite.facts(), machine)
            finally:
                loop.run_until_complete(opened.__aexit__(None, None, None))
    finally:
        loop.close()


@pytest.fixture(scope="module", params=ROWS, ids=lambda rows: f"{rows}")
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    with _both(request.param) as opened:
        yield opened


def percentile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed."""
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]


def measure(benchmark: Any, both: Both, engine: str, database: Database, operation: Operation) -> list[int]:
    """Run the operation with new parameters each round; returns how many rows each round gave."""
    rng = random.Random(f"{operation.name} {both.rows}")
    counts: list[int] = []

    def draw() -> list[Any]:
        drawn = operation.parameters(both.facts, rng)
        return [[bound(row) for row in one] if isinstance(one, list) else bound(one) for one in drawn]

    def bound(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(database.bind(value) for value in values)

    def once(parameters: list[Any]) -> None:
        counts.append(database.run(operation, parameters))

    for _ in range(min(WARM_UP, ROUNDS)):
        once(draw())
    counts.clear()
    benchmark.pedantic(once, setup=lambda: ((draw(),), {}), rounds=_rounds(once, draw), iterations=1)
    values = sorted(benchmark.stats.stats.data)
    benchmark.group = f"{both.rows} messages: {operation.name}"
    benchmark.extra_info.update(
        operation=operation.name,
        kind=operation.kind,
        engine=engine,
        messages=both.rows,
        rounds=len(values),
        machine=both.machine,
        rows_a_call=statistics.fmean(counts),
        **{f"p{share}_ms": round(percentile(values, share / 100) * 1000, 4) for share in (50, 95, 99)},
    )
    return counts


def _rounds(once: Any, draw: Any) -> int:
    start_s = time.perf_counter()
    once(draw())
    return min(ROUNDS, FEW) if time.perf_counter() - start_s > SLOW_S else ROUNDS


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if not one.writes], ids=lambda one: one.name)
def test_both_answer_alike(both: Both, operation: Operation) -> None:
    """The same question, as many rows. It stands first: the measurements write into both."""
    rng = random.Random(1)
    for _ in range(5):
        drawn = operation.parameters(both.facts, rng)[0]
        found = [
            database.run(operation, [tuple(database.bind(value) for value in drawn)])
            for database in (both.sqlite, both.postgres)
        ]
        assert found[0] == found[1]


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_operation(benchmark: Any, both: Both, operation: Operation, engine: str) -> None:
    before = both.postgres.fetchval("SELECT count(*) FROM messages")
    counts = measure(benchmark, both, engine, both.engine(engine), operation)
    if operation.kind in ("history", "search") or operation.writes:
        assert min(counts) > 0, "a call found or wrote nothing"
    if operation.writes and engine == "postgres":
        assert both.postgres.fetchval("SELECT count(*) FROM messages") > before


def test_search_with_fts5(benchmark: Any, both: Both) -> None:
    """What SQLite can do when the application had an FTS5 table."""
    add_fts5(both.path)
    [operation] = [one for one in OPERATIONS if one.fts5 is not None]
    with closing(Sqlite(both.path, fts5=True)) as sqlite:
        counts = measure(benchmark, both, "sqlite fts5", sqlite, operation)
    assert min(counts) > 0
