"""Each target beside what was measured, met or not, from the same JSON as the rest of RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from bench.page import copy_seconds, round_ratio, table

Document = dict[str, Any]
Row = tuple[str, str, str, bool]
"""Target, what was asked, what was measured, met."""

MISSED = "What the missed ones need, and what was tried: [docs/performance.md](../docs/performance.md)."


def section(results: Mapping[str, Document]) -> list[str]:
    """Return the lines: a table of the targets that can be judged, and what the missed ones need."""
    rows = [row for judge in (_peers, _verify, _cutover, _growth, _load) for row in judge(results)]
    cells = ([target, asked, measured, "yes" if met else "**no**"] for target, asked, measured, met in rows)
    missed = [] if all(row[3] for row in rows) else [MISSED, ""]
    return [*table(("target", "asked", "measured", "met"), cells), "", *missed]


def _peers(results: Mapping[str, Document]) -> Iterator[Row]:
    shapes = results["peers"]["shapes"] if "peers" in results else {}
    for name, shape in shapes.items():
        taken = copy_seconds(shape)
        if "native" not in taken:
            continue
        runs = shape["peers"]["native"]["runs"]
        ratio = round_ratio(runs, shape["floor"]["one_s"])
        yield _most(f"{name}: copy : floor", ratio, 1.15 if name == "messages" else 1.5)
        if name == "messages":
            yield from _messages(taken, median(run["cpu_s"] for run in runs), shape["rows"])
        elif others := [seconds for peer, seconds in taken.items() if peer not in ("native", "portable")]:
            yield _least(f"{name}: the fastest peer : sqlite2pg", min(others) / taken["native"], 1.0)


def _messages(taken: Mapping[str, float], cpu_s: float, rows: int) -> Iterator[Row]:
    quick = [taken[peer] for peer in ("adbc", "duckdb") if peer in taken]
    if quick:
        yield _least("messages: the faster of ADBC and DuckDB : sqlite2pg", min(quick) / taken["native"], 2.0)
    if "pgloader" in taken:
        yield _least("messages: pgloader's data phase : sqlite2pg", taken["pgloader"] / taken["native"], 6.0)
    yield _most("messages: client CPU, s per 1M rows", cpu_s / rows * 1e6, 1.1)


def _verify(results: Mapping[str, Document]) -> Iterator[Row]:
    for row in results.get("verify", {"rows": []})["rows"]:
        yield _most(f"{row['shape']}: content check : copy", row["ratio"], 1.0)


def _cutover(results: Mapping[str, Document]) -> Iterator[Row]:
    limits = {"pg_restore -j2": 0.8, "pgloader": 1 / 3}
    for row in results.get("cutover", {"rows": []})["rows"]:
        yield _most(f"`full`, verified : {row['other']} ({row['target']})", row["ratio"], limits[row["other"]])


def _growth(results: Mapping[str, Document]) -> Iterator[Row]:
    whole = results.get("growth", {}).get("whole")
    if whole:
        yield _most(f"`full` of {whole['sqlite_bytes'] / 1e9:.1f} GB, verified, min", whole["wall_s"] / 60, 5.0)
        yield _most("its peak memory, MB", whole["rss_bytes"] / 1e6, 150)
        yield _most("the plans' export and import of 10 GB, min", whole["wall_s"] / 60, 25.0)


def _load(results: Mapping[str, Document]) -> Iterator[Row]:
    for name, how in (("loadtest", "directly"), ("loadtest_pgbouncer", "through PgBouncer, 220 clients")):
        if name not in results:
            continue
        found = results[name]
        sent = next(o for o in found["operations"] if o["name"] == "Sender")
        yield _least(f"messages/s, {how}", sent["rate_per_s"], 980)
        for operation in ("Sender", "Reader"):
            one = next(o for o in found["operations"] if o["name"] == operation)
            yield _most(f"{operation} p95, {how}, ms", one["p95_ms"], 10)
            yield _most(f"{operation} p99, {how}, ms", one["p99_ms"], 25)
        yield _most(f"errors, lost or doubled messages, {how}", _wrong(found), 0)


def _wrong(found: Document) -> int:
    failures = sum(o["failures"] for o in found["operations"])
    return int(failures + found["audit"]["missing"] + found["audit"]["duplicated"])


def _most(target: str, measured: float, limit: float) -> Row:
    return target, f"at most {limit:,.4g}", f"{measured:,.4g}", measured <= limit


def _least(target: str, measured: float, limit: float) -> Row:
    return target, f"at least {limit:,.4g}", f"{measured:,.4g}", measured >= limit
