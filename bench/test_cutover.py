"""A whole move of the chat database: `full`, backup, ANALYZE and content check included, beside what others need.

With full-text search (a generated tsvector column and its GIN index) beside `pg_restore -j2` of the same content, which
verifies nothing; without it beside pgloader's whole run.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from bench.conftest import Bench, source_of
from bench.ours import run_copier
from bench.peer import pgloader
from bench.peer.catalog import PEERS
from bench.process import measure
from bench.shapes import SHAPES

PLAN = Path(__file__).resolve().parent.parent / "docs" / "examples" / "demo.plan.toml"


def whole(bench: Bench, source: Path, dsn: str, **settings: str) -> dict[str, Any]:
    """Run `full` as the command does; the backup goes into the scratch directory."""
    with tempfile.TemporaryDirectory(dir=bench.scratch) as backups:
        return run_copier(source, dsn, backup=str(Path(backups) / "backup.db"), **settings)


def counts(source: Path) -> dict[str, int]:
    """Return the rows of each table."""
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    with closing(sqlite3.connect(source)) as connection:
        names = [name for (name,) in connection.execute(tables).fetchall()]
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def assert_all_there(bench: Bench, dsn: str, source: Path) -> None:
    expected = counts(source)
    found = bench.row(dsn, "SELECT " + ", ".join(f"(SELECT count(*) FROM public.{name})" for name in expected))
    assert list(found) == list(expected.values())


def structure(bench: Bench, dsn: str) -> tuple[Any, ...]:
    """Return how many indexes, foreign keys and generated columns there are."""
    return bench.row(
        dsn,
        "SELECT (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'),"
        " (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace),"
        " (SELECT count(*) FROM pg_attribute WHERE attgenerated = 's')",
    )


def test_full_beside_pg_restore(benchmark: Any, bench: Bench) -> None:
    source = source_of(SHAPES["messages"])
    programs, archive = bench.server.bin_dir, bench.scratch / "content.dump"
    first = bench.fresh("content")
    whole(bench, source, first, plan=str(PLAN))
    measure([str(programs / "pg_dump"), "-Fc", "-Z0", "-n", "public", "-f", str(archive), first])
    expected = structure(bench, first)
    bench.execute("DROP DATABASE content WITH (FORCE)")
    restores, runs = [], []

    def before() -> None:
        dsn = bench.fresh("restored")
        bench.ask(dsn, lambda connection: connection.execute("DROP SCHEMA public"))
        restores.append(measure([str(programs / "pg_restore"), "-j2", "-d", dsn, str(archive)]))
        assert_all_there(bench, dsn, source)
        assert structure(bench, dsn) == expected
        bench.execute("DROP DATABASE restored WITH (FORCE)")
        bench.fresh("moved")

    def move() -> None:
        runs.append(whole(bench, source, bench.server.dsn("moved"), plan=str(PLAN)))

    benchmark.pedantic(move, setup=before, rounds=bench.runs, iterations=1)
    assert_all_there(bench, bench.server.dsn("moved"), source)
    assert structure(bench, bench.server.dsn("moved")) == expected
    restore_s = [used.wall_s for used in restores]
    record(benchmark, bench, "pg_restore -j2", runs, restore_s, source, target="with tsvector and GIN")


def test_full_beside_pgloader(benchmark: Any, bench: Bench) -> None:
    if PEERS["pgloader"].version() is None:
        pytest.skip("pgloader is not installed")
    source = source_of(SHAPES["messages"])
    first = bench.fresh("content")
    whole(bench, source, first)
    uuids = bench.ask(
        first,
        lambda connection: connection.fetch(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND udt_name = 'uuid' ORDER BY 1, 2"
        ),
    )
    casts = {f"{row['table_name']}.{row['column_name']}": "uuid" for row in uuids}
    others, runs, errors = [], [], []

    def before() -> None:
        dsn = bench.fresh("loaded")
        file = pgloader.load_file(bench.scratch, source, dsn, casts)
        others.append(measure(pgloader.command(file)).wall_s)
        errors.append(pgloader.read_summary(file).errors)
        assert_all_there(bench, dsn, source)
        bench.fresh("moved")

    def move() -> None:
        runs.append(whole(bench, source, bench.server.dsn("moved")))

    benchmark.pedantic(move, setup=before, rounds=bench.runs, iterations=1)
    assert_all_there(bench, bench.server.dsn("moved"), source)
    record(benchmark, bench, "pgloader", runs, others, source, target="without tsvector", other_errors=max(errors))


def record(
    benchmark: Any,
    bench: Bench,
    other: str,
    runs: list[dict[str, Any]],
    other_s: list[float],
    source: Path,
    **more: Any,
) -> None:
    """Keep the medians; `full_s` is the whole process, `phases` those of the median run."""
    ordered = sorted(runs, key=lambda run: run["wall_s"])
    benchmark.extra_info.update(
        suite="cutover",
        other=other,
        rows=sum(counts(source).values()),
        messages=counts(source)["messages"],
        sqlite_bytes=source.stat().st_size,
        runs=len(runs),
        full_s=median(run["wall_s"] for run in runs),
        other_s=median(other_s),
        ratio=median(run["wall_s"] / s for run, s in zip(runs, other_s, strict=True)),
        cpu_s=median(run["cpu_s"] for run in runs),
        rss_bytes=max(run["rss_bytes"] for run in runs),
        phases=ordered[len(ordered) // 2]["phases"],
        outcome=runs[0]["outcome"],
        machine=bench.machine,
        **more,
    )
