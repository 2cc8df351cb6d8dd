"""Each target beside what was measured, met or not, from the same JSON as the rest of RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from bench.page import table

Document = dict[str, Any]
Row = tuple[str, str, str, bool]
"""Target, what was asked, what was measured, met."""

MISSED = "What the missed ones need, and what was tried: [docs/performance.md](../docs/performance.md)."


def section(results: Mapping[str, Document]) -> list[str]:
    """Return the lines: a table of the targets that can be judged, and what the missed ones need."""
    rows = [row for judge in (_peers, _rest, _cutover, _growth, _load) for row in judge(results)]
    cells = ([target, asked, measured, "yes" if met else "**no**"] for target, asked, measured, met in rows)
    missed = [] if all(row[3] for row in rows) else [MISSED, ""]
    return [*table(("target", "asked", "measured", "met"), cells), "", *missed]


def _peers(results: Mapping[str, Document]) -> Iterator[Row]:
    if "peers" not in results:
        return
    shapes = results["peers"]["shapes"]
    messages = shapes["messages"]
    ours = _seconds(messages, "native")
    floors = zip(messages["peers"]["native"]["runs"], messages["floor"]["one_s"], strict=True)
    yield _most("1M messages, copy : floor", median(run["data_s"] / floor for run, floor in floors), 1.15)
    quickest = min(_seconds(messages, name) for name in ("adbc", "duckdb") if "runs" in messages["peers"][name])
    yield _least("the faster of ADBC and DuckDB : sqlite2pg", quickest / ours, 2.0)
    yield _least("pgloader's data phase : sqlite2pg", _seconds(messages, "pgloader") / ours, 6.0)
    cpu_s = median(run["cpu_s"] for run in messages["peers"]["native"]["runs"])
    yield _most("client CPU of 1M messages, s", cpu_s, 1.1)
    for name in ("ints", "wide", "blobs"):
        mine = _seconds(shapes[name], "native")
        best = min(_seconds(shapes[name], p) for p in shapes[name]["peers"] if p not in ("native", "portable"))
        yield _least(f"{name}: the fastest peer : sqlite2pg", best / mine, 1.0)
        yield _most(f"{name}: copy : floor", mine / median(shapes[name]["floor"]["one_s"]), 1.5)


def _seconds(shape: Document, peer: str) -> float:
    return median(run["data_s"] for run in shape["peers"][peer]["runs"])


def _rest(results: Mapping[str, Document]) -> Iterator[Row]:
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
