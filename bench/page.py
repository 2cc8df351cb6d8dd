"""The sections of RESULTS.md, each from one result document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from copier.units import plural, size

Document = dict[str, Any]


TEXT_COLUMNS = frozenset(("column types", "note", "beside", "outcome", "unit"))
"""Beside the first one, which is always text; the others are numbers and stand on the right."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    rules = ("---|" if name in TEXT_COLUMNS else "---:|" for name in head[1:])
    lines = [f"| {' | '.join(head)} |", f"|---|{''.join(rules)}"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows), ""]


def measured_on(document: Document) -> list[str]:
    """Return the sentence that stands over every table: date, machine, server, settings."""
    machine = document.get("machine")
    if machine is None:
        return [f"Measured {document['date']}.", ""]
    settings = ", ".join(f"{name} {value}" for name, value in machine["settings"].items())
    return [
        f"Measured {document['date']}: {machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']:.0f} GB, "
        f"{machine['system']}, Python {machine['python']}. PostgreSQL {machine['postgresql']} on the same machine: "
        f"{settings}.",
        "",
    ]


def seconds(value: float) -> str:
    """Return seconds with three digits that matter."""
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _mb(value: float) -> str:
    return f"{value / 1e6:.0f}"


def peers(document: Document) -> list[str]:
    """Return the tables of the comparison, one a shape."""
    lines = [
        *measured_on(document),
        f"Medians of {plural(document['rounds'], 'round')}, fewer where noted. In a round every copier fills the same "
        "table once, in turn, each in a process of its own; what arrived is compared with the source. *Copy*: the "
        "copying alone, of Python programs without start and imports. *Times*: against sqlite2pg, median of the ratios "
        "within a round. *Floor*: the server's own COPY of the same bytes from a file, which no client can beat. CPU "
        "is the client's, of the copying where a program is Python's and of the whole otherwise; memory is the peak of "
        "its processes.",
        "",
    ]
    for shape in document["shapes"].values():
        lines += [f"### {_rows_of(shape)}", "", *_floor_line(shape), *_peer_table(shape)]
    return lines


def _rows_of(shape: Document) -> str:
    return f"{shape['rows']:,} rows: {shape['title']}"


def _floor_line(shape: Document) -> list[str]:
    one, two = median(shape["floor"]["one_s"]), median(shape["floor"]["two_s"])
    return [
        f"SQLite file {size(shape['sqlite_bytes'])}, {size(shape['copy_bytes'])} as binary COPY. "
        f"Floor: {seconds(one)} s on one connection, {seconds(two)} s on two.",
        "",
    ]


def _peer_table(shape: Document) -> list[str]:
    ours = [run["data_s"] for run in shape["peers"].get("native", {}).get("runs", [])]
    floor = shape["floor"]["one_s"]
    head = ("copier", "copy s", "x floor", "times", "whole s", "CPU s", "peak MB", "column types", "note")
    return table(head, (_peer_row(peer, ours, floor) for peer in shape["peers"].values()))


def _peer_row(peer: Document, ours: list[float], floor: list[float]) -> list[str]:
    name = f"{peer['title']} {peer['version'] or ''}".strip()
    if "absent" in peer or not peer["runs"]:
        return [name, *[""] * 7, "absent" if "absent" in peer else f"failed: {peer.get('error', '')}"]
    runs = peer["runs"]
    failed = [f"failed later: {peer['error']}"] if "error" in peer else []
    return [
        name,
        seconds(_median(runs, "data_s")),
        f"{round_ratio(runs, floor):.2f}",
        f"{round_ratio(runs, ours):.1f}" if ours else "",
        seconds(_median(runs, "whole_s")),
        seconds(_median(runs, "cpu_s")),
        _mb(max(run["rss_bytes"] for run in runs)),
        peer.get("types", ""),
        "; ".join([peer["note"], *failed]),
    ]


def copy_seconds(shape: Document) -> dict[str, float]:
    """Return peer -> median seconds of its copies, of those that have any."""
    return {name: _median(peer["runs"], "data_s") for name, peer in shape["peers"].items() if peer.get("runs")}


def _median(runs: list[Document], key: str) -> float:
    return median(run[key] for run in runs)


def round_ratio(runs: list[Document], others: list[float]) -> float:
    """Return the median of the ratios within each round; the later rounds of a peer that runs fewer are missing."""
    return median(run["data_s"] / other for run, other in zip(runs, others, strict=False))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def copy(document: Document) -> list[str]:
    """Return the copy phase beside the floor."""
    head = (
        "shape",
        "rows",
        "copy s",
        "floor s",
        "x floor",
        "x floor of two",
        "rows/s",
        "MB/s",
        "CPU s",
        "peak MB",
        "runs",
    )
    rows = (
        [
            r["shape"],
            f"{r['rows']:,}",
            seconds(r["data_s"]),
            seconds(r["floor_one_s"]),
            f"{r['ratio_one']:.2f}",
            f"{r['ratio_two']:.2f}",
            f"{r['rows_per_s']:,.0f}",
            f"{r['mb_per_s']:.0f}",
            seconds(r["cpu_s"]),
            _mb(r["rss_bytes"]),
            str(r["runs"]),
        ]
        for r in document["rows"]
    )
    return [
        *measured_on(document),
        "The floor is measured before each copy; MB are those of binary COPY.",
        "",
        *table(head, rows),
    ]


def verify(document: Document) -> list[str]:
    """Return the content check beside the copy."""
    head = ("shape", "rows", "copy s", "check s", "check : copy", "CPU of copy s", "CPU of check s", "peak MB", "runs")
    rows = (
        [
            r["shape"],
            f"{r['rows']:,}",
            seconds(r["copy_s"]),
            seconds(r["check_s"]),
            f"{r['ratio']:.2f}",
            seconds(r["copy_cpu_s"]),
            seconds(r["check_cpu_s"]),
            _mb(r["rss_bytes"]),
            str(r["runs"]),
        ]
        for r in document["rows"]
    )
    return [
        *measured_on(document),
        "The check reads both sides again and compares every value.",
        "",
        *table(head, rows),
    ]


def cutover(document: Document) -> list[str]:
    """Return whole moves beside other tools'."""
    head = ("target", "messages", "full s", "beside", "its s", "full : it", "CPU s", "peak MB", "runs")
    rows = (
        [
            r["target"],
            f"{r['messages']:,}",
            seconds(r["full_s"]),
            r["other"],
            seconds(r["other_s"]),
            f"{r['ratio']:.2f}",
            seconds(r["cpu_s"]),
            _mb(r["rss_bytes"]),
            str(r["runs"]),
        ]
        for r in document["rows"]
    )
    return [
        *measured_on(document),
        "`full` is the whole command: start, backup, preflight, profile of every value, tables, copy, indexes, keys, "
        "ANALYZE, content check. The other side verifies nothing. Both make the same indexes and foreign keys; "
        "pgloader leaves times as numbers.",
        "",
        *table(head, rows),
        *(f"- {r['target']}: {phases(r['phases'])}" for r in document["rows"]),
        "",
    ]


def phases(found: dict[str, float]) -> str:
    """Return the seconds of each phase as a sentence."""
    return ", ".join(f"{name} {seconds(value)} s" for name, value in found.items())


def growth(document: Document) -> list[str]:
    """Return the steps, and the one large file."""
    steps = [*document.get("steps", []), *([document["whole"]] if "whole" in document else [])]
    head = (
        "messages",
        "file",
        "full s",
        "µs a message",
        "data and indexes, µs a message",
        "CPU, µs a message",
        "peak MB",
        "outcome",
    )
    rows = (
        [
            f"{s['messages']:,}",
            size(s["sqlite_bytes"]),
            seconds(s["wall_s"]),
            f"{s['wall_s'] / s['messages'] * 1e6:.1f}",
            f"{s['phases']['data'] / s['messages'] * 1e6:.1f}",
            f"{s['cpu_s'] / s['messages'] * 1e6:.1f}",
            _mb(s["rss_bytes"]),
            s["outcome"],
        ]
        for s in steps
    )
    told = [f"- {s['messages']:,} messages: {phases(s['phases'])}" for s in steps]
    return [
        *measured_on(document),
        "Each step is one whole `full`, every value compared.",
        "",
        *table(head, rows),
        *told,
        "",
    ]


def encode(document: Document) -> list[str]:
    """Return nanoseconds a value, both engines."""
    found: dict[str, dict[str, float]] = {}
    for row in document["rows"]:
        found.setdefault(row["type"], {})[row["engine"]] = row["ns_per_value"]
    rows = (
        [
            name,
            *(f"{ns[e]:.0f}" if e in ns else "" for e in ("native", "portable")),
            f"{ns['portable'] / ns['native']:.1f}" if len(ns) == 2 else "",
        ]
        for name, ns in found.items()
    )
    head = ("type", "kernel, ns a value", "portable, ns a value", "portable : kernel")
    told = "From SQLite's row to COPY bytes, one column, rows of an in-memory table; both give the same bytes."
    return [*measured_on(document), told, "", *table(head, rows)]
