"""RESULTS.md and its charts, from the JSON in bench/results: equal JSON gives equal files.

python -m bench.render [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import page, targets
from bench.charts import bars
from bench.queries import summary
from bench.results import RESULTS

ROOT = Path(__file__).resolve().parent.parent
PAGE = "bench/RESULTS.md"
PEERS_CHART = "docs/img/peers.svg"
QUERIES_CHART = "docs/img/queries.svg"
FAR_OFF = 20
"""A copier this many times slower than the floor would make the others' bars alike: its time stands in the title."""

Document = dict[str, Any]


def _load_test(document: Document) -> list[str]:
    """Return the load test's operations and targets."""
    target, rate = document["target"], document["rate"]
    lines = [
        f"{document['shape']}, {document['duration_s']:,} s, {target['server']}, {target['where']}, "
        f"via {target['via']}: {rate['intended_per_s']:,.1f} requests/s intended, "
        f"{rate['achieved_per_s']:,.1f} answered. "
        f"Verdict: {document['verdict']}.",
        "",
        *_found(document),
        "",
    ]
    keys = ("p50_ms", "p95_ms", "p99_ms")
    rows = (
        [o["name"], f"{o['count']:,}", f"{o['failures']:,}", f"{o['rate_per_s']:,.1f}", *(f"{o[k]:.1f}" for k in keys)]
        for o in document["operations"]
    )
    lines += page.table(("operation", "requests", "failed", "per s", "p50 ms", "p95 ms", "p99 ms"), rows)
    targets = ([r["name"], *map(str, (r["target"], r["measured"], r["unit"])), _met(r["met"])] for r in document["slo"])
    return [*lines, *page.table(("target", "wanted", "measured", "unit", "met"), targets)]


def _found(document: Document) -> list[str]:
    """Return what was found beside the latencies, as a list."""
    lines = []
    if audit := document["audit"]:
        lines.append(
            f"- audit: {audit['acknowledged']:,} messages acknowledged, {audit['found_once']:,} found once, "
            f"{audit['missing']:,} missing, {audit['duplicated']:,} doubled"
        )
    if replication := document["replication"]:
        lines.append(f"- hot standby: behind by p95 {replication['lag_ms_p95']:.1f} ms")
    if knee := document["knee"]:
        lines.append(
            f"- knee: {knee['rate_per_s']:,.0f} messages/s with p95 {knee['p95_ms']:.1f} ms; "
            f"beyond it the {knee['limited_by']} was the limit"
        )
    lines.append(f"- generator: at most {document['generator']['cpu_share_max']:.0%} of a core")
    return lines


def _met(met: bool) -> str:
    return "yes" if met else "**no**"


def _queries(document: Document) -> list[str]:
    chart = ["![Queries in SQLite and PostgreSQL](../docs/img/queries.svg)", ""]
    return [*page.measured_on(document), *chart, *summary.section(document), ""]


def _peers(document: Document) -> list[str]:
    chart = (
        ["![Seconds to copy the chat messages](../docs/img/peers.svg)", ""] if "messages" in document["shapes"] else []
    )
    return [*chart, *page.peers(document)]


BY_HAND = "python -m loadtest.run, see docs/loadtest.md"
SECTIONS: Mapping[str, tuple[str, str, Callable[[Document], list[str]]]] = {
    "peers": ("Copiers side by side", "make bench-peers", _peers),
    "copy": ("The copy phase beside the floor", "make bench-suites", page.copy),
    "verify": ("The content check beside the copy", "make bench-suites", page.verify),
    "cutover": ("A whole move", "make bench-suites", page.cutover),
    "growth": ("Growth", "make bench-growth", page.growth),
    "encode": ("Encoding, by type", "make bench-suites", page.encode),
    "queries": ("SQLite beside PostgreSQL", "make bench-queries", _queries),
    "loadtest": ("Load test", "make loadtest", _load_test),
    "loadtest_pgbouncer": ("Load test through PgBouncer, 220 clients, beside a hot standby", BY_HAND, _load_test),
    "loadtest_ramp": ("The knee", BY_HAND, _load_test),
}
"""Result file -> heading, what makes it, its section."""


def render(results: Mapping[str, Document]) -> dict[str, str]:
    """Return path below the root -> text, of everything rendered."""
    lines = [
        "# Results",
        "",
        "Made by `python -m bench.render` from the JSON in `bench/results`; do not edit. Compare figures within a",
        "table: they are of one run, in turn. Between runs, machines differ.",
        "",
    ]
    files = {}
    for name, (heading, command, section) in SECTIONS.items():
        told = section(results[name]) if name in results else [f"Not measured yet: `{command}`.", ""]
        lines += [f"## {heading}", "", *told]
    lines += ["## Targets", "", *targets.section(results)]
    files[PAGE] = "\n".join(_single_blanks(lines)) + "\n"
    if "messages" in results.get("peers", {}).get("shapes", {}):
        files[PEERS_CHART] = peers_chart(results["peers"]["shapes"]["messages"])
    if "queries" in results:
        files[QUERIES_CHART] = summary.chart(results["queries"])
    return files


def _single_blanks(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines without a second blank in a row, and without one at the end."""
    last = len(lines) - next(i for i, line in enumerate(reversed(lines)) if line)
    for number, line in enumerate(lines[:last]):
        if line or number == 0 or lines[number - 1]:
            yield line


def peers_chart(shape: Document) -> str:
    """Return bars of the seconds each copier took, the quickest on top, below the floor."""
    floor = median(shape["floor"]["one_s"])
    taken = {shape["peers"][name]["title"]: s for name, s in page.copy_seconds(shape).items()}
    ordered = sorted(taken.items(), key=lambda one: one[1])
    shown = [("floor: the server's own COPY", floor), *(one for one in ordered if one[1] <= FAR_OFF * floor)]
    far = "".join(f"; {name}: {s:.0f} s" for name, s in ordered if s > FAR_OFF * floor)
    title = f"Seconds to copy {shape['rows']:,} chat messages into PostgreSQL{far}"
    return bars(title, [name for name, _ in shown], {"seconds": [s for _, s in shown]}, logarithmic=False, unit=" s")


def read_results(directory: Path = RESULTS) -> dict[str, Document]:
    """Return the documents that are there."""
    files = {name: directory / f"{name}.json" for name in SECTIONS}
    return {name: json.loads(path.read_text()) for name, path in files.items() if path.exists()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write what differs, or with --check only say so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not up to date")
    args = parser.parse_args(arguments)
    stale = []
    for name, text in render(read_results()).items():
        path = ROOT / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not args.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    print("\n".join(f"{'stale' if args.check else 'written'}: {name}" for name in stale) or "up to date")
    sys.exit(1 if args.check and stale else 0)


if __name__ == "__main__":
    main()
