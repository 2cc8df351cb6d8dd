"""From pytest-benchmark's JSON to the table "SQLite beside PostgreSQL"; each target of the plans has its row.

SQLITE2PG_BENCH_ROWS=100000,1000000 pytest bench/test_queries.py --benchmark-json=OUT.json
python -m bench.queries.summary OUT.json bench/results/queries.json
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.results import write

SIMPLE_MS = 10.0
COMPLEX_MS = 100.0
HISTORY_P50_MS = 15.0
"""The plan names 5 to 15 ms for reads at p50; less is better."""
SEARCH_TIMES = 50.0

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One target: what was asked, what was measured, whether it was met."""

    messages: int
    operation: str
    target: str
    measured: str
    met: bool


def summarise(benchmark: Mapping[str, Any]) -> Document:
    """Return the document of `bench/results/queries.json`."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    machine: Any = None
    for one in benchmark["benchmarks"]:
        info = one["extra_info"]
        machine = info["machine"]
        row = found.setdefault(
            (info["messages"], info["operation"]),
            {"messages": info["messages"], "operation": info["operation"], "kind": info["kind"], "engines": {}},
        )
        figures = {name: info[name] for name in ("p50_ms", "p95_ms", "p99_ms", "rounds")}
        row["engines"][info["engine"]] = figures
    return {"machine": machine, "operations": list(found.values())}


def targets(document: Document) -> list[Target]:
    """Judge every operation by the target of its kind."""
    judged = []
    for row in document["operations"]:
        found = row["engines"]["postgres"]
        where = row["messages"], row["operation"]
        if row["kind"] == "search":
            times = row["engines"]["sqlite"]["p50_ms"] / found["p50_ms"]
            judged.append(_judge(*where, "50x or better than LIKE, p50", f"{times:.0f}x", times >= SEARCH_TIMES))
        if row["kind"] == "history":
            judged.append(_under(*where, "p50", found["p50_ms"], HISTORY_P50_MS))
        limit_ms = COMPLEX_MS if row["kind"] in ("complex", "search") else SIMPLE_MS
        judged.append(_under(*where, "p95", found["p95_ms"], limit_ms))
    return judged


def _under(messages: int, operation: str, what: str, measured_ms: float, limit_ms: float) -> Target:
    met = measured_ms < limit_ms
    return _judge(messages, operation, f"{what} below {limit_ms:.0f} ms", f"{measured_ms:.2f} ms", met)


def _judge(messages: int, operation: str, target: str, measured: str, met: bool) -> Target:
    return Target(messages, operation, target, measured, met)


def section(document: Document) -> list[str]:
    """Return the lines of Markdown: both engines' percentiles, then the targets."""
    lines = [
        "Milliseconds per call, one client: p50 / p95 / p99. SQLite through Python's `sqlite3` (WAL, synchronous FULL,",
        "cache 64 MB), PostgreSQL through asyncpg's pool over a unix socket, statements prepared; both on one machine.",
        "",
        "| messages | operation | SQLite | PostgreSQL | PostgreSQL is |",
        "|---:|---|---:|---:|---:|",
    ]
    for row in document["operations"]:
        for engine, figures in row["engines"].items():
            if engine == "postgres":
                continue
            name = row["operation"] + ("" if engine == "sqlite" else ", against FTS5")
            lines.append(_line(row["messages"], name, figures, row["engines"]["postgres"]))
    lines += ["", "| messages | operation | target | measured | met |", "|---:|---|---|---:|---|"]
    lines += [
        f"| {one.messages:,} | {one.operation} | {one.target} | {one.measured} | {'yes' if one.met else '**no**'} |"
        for one in targets(document)
    ]
    return lines


def _line(messages: int, name: str, sqlite: Mapping[str, float], postgres: Mapping[str, float]) -> str:
    ratio = sqlite["p50_ms"] / postgres["p50_ms"]
    said = f"{ratio:.1f}x faster" if ratio >= 1 else f"{1 / ratio:.1f}x slower"
    return f"| {messages:,} | {name} | {_figures(sqlite)} | {_figures(postgres)} | {said} |"


def _figures(figures: Mapping[str, float]) -> str:
    return " / ".join(f"{figures[f'p{share}_ms']:.2f}" for share in (50, 95, 99))


def chart(document: Document) -> str:
    """Return an SVG: p50 of both engines per operation, at the largest number of messages, logarithmic."""
    from bench.charts import bars

    most = max(row["messages"] for row in document["operations"])
    rows = [row for row in document["operations"] if row["messages"] == most]
    series = {
        title: [row["engines"][engine]["p50_ms"] for row in rows]
        for engine, title in (("sqlite", "SQLite"), ("postgres", "PostgreSQL"))
    }
    return bars(f"Median milliseconds per call, {most:,} messages", [r["operation"] for r in rows], series)


def main(arguments: Sequence[str]) -> None:
    """Write the summary of a benchmark's JSON."""
    source, target = map(Path, arguments)
    document = summarise(orjson.loads(source.read_bytes()))
    write(target, document)
    for one in targets(document):
        verdict = "met" if one.met else "NOT met"
        print(f"{one.messages:>10,}  {one.operation:<40} {one.target:<30} {one.measured:>12}  {verdict}")


if __name__ == "__main__":
    main(sys.argv[1:])
