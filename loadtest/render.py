"""The document on a terminal: the verdict, why, then the tables."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {"pass": "bold green", "fail": "bold red", "generator-bound": "bold yellow"}
_HEADLINES = {
    "pass": "Pass: every target is met.",
    "fail": "Fail: the targets are not met.",
    "generator-bound": "Generator-bound: the generator lacked CPU, so this says nothing for or against the server.",
}


def render(document: dict[str, Any], console: Console) -> None:
    """Print a document of `loadtest.document`."""
    console.print(Text(_HEADLINES[document["verdict"]], _STYLES[document["verdict"]]))
    for reason in document["reasons"]:
        console.print(Text(f"  {reason}"))
    console.print(Text(_summary(document)))
    console.print(_operations(document["operations"]))
    console.print(_targets(document["slo"]))
    for error in document["errors"]:
        console.print(Text(f"  {error['count']:,} x {error['operation']}: {error['error']}", "red"))
    for line in (_generator(document), _audit(document["audit"]), _knee(document["knee"]), _lag(document)):
        if line:
            console.print(Text(line))


def _summary(document: dict[str, Any]) -> str:
    target, rate = document["target"], document["rate"]
    return (
        f"{target['server']}, {target['where']}, via {target['via']}\n"
        f"{document['shape']}, {document['duration_s']:,} s: "
        f"{rate['intended_per_s']:,.1f} requests/s intended, {rate['achieved_per_s']:,.1f} answered"
    )


def _operations(operations: list[dict[str, Any]]) -> Table:
    table = _table("operation", "requests", "failed", "per s", "p50 ms", "p95 ms", "p99 ms", "max ms", "server p95 ms")
    for one in operations:
        latencies = [one[key] for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms", "service_p95_ms")]
        table.add_row(
            one["name"], f"{one['count']:,}", f"{one['failures']:,}", f"{one['rate_per_s']:,.1f}", *map(_ms, latencies)
        )
    return table


def _targets(rows: list[dict[str, Any]]) -> Table:
    table = _table("target", "wanted", "measured", "unit", "met")
    for row in rows:
        measured = "-" if row["measured"] is None else f"{row['measured']:,.6g}"
        wanted = f"{'≥' if row['at_least'] else '≤'} {row['target']:,.6g}"
        table.add_row(row["name"], wanted, measured, row["unit"], "✓" if row["met"] else Text("✗", "bold red"))
    return table


def _generator(document: dict[str, Any]) -> str:
    one = document["generator"]
    return (
        f"generator: {one['cpu_share_mean']:.0%} of a core, at most {one['cpu_share_max']:.0%}; requests late by p99 "
        f"{one['loop_lag_p99_ms']:.1f} ms; its machine was {one['machine_share_mean']:.0%} busy"
    )


def _audit(audit: dict[str, Any] | None) -> str:
    if audit is None:
        return "audit: not done"
    unknown = ""
    if audit["unacknowledged"]:
        unknown = f"; {audit['unacknowledged']:,} with unknown outcome, {audit['unacknowledged_found']:,} of them there"
    return (
        f"audit: {audit['acknowledged']:,} messages acknowledged, {audit['found_once']:,} found once, "
        f"{audit['missing']:,} missing, {audit['duplicated']:,} doubled{unknown}"
    )


def _knee(knee: dict[str, Any] | None) -> str:
    if knee is None:
        return ""
    limit = f"; beyond it the {knee['limited_by']} was the limit" if knee["limited_by"] else "; the ramp ended there"
    return f"knee: {knee['rate_per_s']:,.0f} messages/s with p95 {knee['p95_ms']:.1f} ms{limit}"


def _lag(document: dict[str, Any]) -> str:
    lag = document["replication"]
    return f"standby: behind by p95 {lag['lag_ms_p95']:.1f} ms, at most {lag['lag_ms_max']:.1f} ms" if lag else ""


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim")
    for column in columns:
        table.add_column(column, justify="left" if column in ("operation", "target", "unit") else "right")
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
