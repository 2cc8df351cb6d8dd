"""What the verbs print."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.drill import Verdict
from deploy.state import State


def show_dsns(state: State, out: Console) -> None:
    """Print how to connect; the passwords stay in their file."""
    rows = [("pooler", state.dsn(state.pooler_port))] if state.pooler_port else []
    rows.append(("primary", state.dsn(state.port(state.primary))))
    if state.standby is not None:
        rows.append(("standby", state.dsn(state.port(state.standby))))
    for what, dsn in rows:
        out.print(f"  {what + ':':<10}{dsn}", markup=False)
    out.print(f"  passwords: {state.passfile}", markup=False)
    out.print(f"  more:      python -m deploy.staging status --directory {state.directory}", markup=False)


def show_status(found: dict[str, Any], out: Console) -> None:
    """Print nodes, lag and pools."""
    _table(out, found["nodes"], ("node", "role", "port"))
    _table(out, found["replication"], ("standby", "state", "sync_state", "lag_bytes", "lag_s"))
    shown = ("user", "cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_used", "maxwait")
    _table(out, found["pools"], shown)


def _table(out: Console, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    if not rows:
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row[name]) for name in columns))
    out.print(table)


def show_verdict(verdict: Verdict, out: Console) -> None:
    """Print what the drill found."""
    table = Table("failover drill", "", show_lines=False)
    rows = {
        "clients, and how many came back": f"{verdict.clients}, {verdict.came_back}",
        "messages acknowledged": f"{verdict.acknowledged:,} ({verdict.after:,} after the failover)",
        "of them lost": f"{verdict.lost:,}",
        "rows nobody was told of": f"{verdict.unexplained:,}",
        "rows, and the sum of the counters": f"{verdict.rows:,}, {verdict.counted:,}",
        "outcome unknown, sent again": f"{verdict.unknown:,} (of them already there: {verdict.already_there:,})",
        "attempts that failed before COMMIT": f"{verdict.failed_attempts:,}",
        "standby promoted after": f"{verdict.failover.promoted_s:.2f} s",
        "pooler repointed after": f"{verdict.failover.repointed_s:.2f} s",
        "no client was answered for": f"{verdict.downtime_s:.2f} s",
        "the client that waited longest": f"{verdict.worst_client_s:.2f} s",
    }
    for what, value in rows.items():
        table.add_row(what, value)
    out.print(table)
    good = "PASSED: every acknowledged message is on the new primary, once"
    out.print(good if verdict.ok else "FAILED: the figures above do not agree, or clients did not come back")
