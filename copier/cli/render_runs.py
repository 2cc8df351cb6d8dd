"""What `status`, `rollback` and `backup` found or did, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING

from rich.console import Console

from copier.cli.render import mark, say
from copier.units import count, duration, plural, size

if TYPE_CHECKING:
    from copier.migration import BackupResult, RollbackResult, RunStatus


NO_RUN = "No run is recorded in this database."


def render_status(runs: Sequence[RunStatus], console: Console) -> None:
    """Print one block per run, the latest last."""
    if not runs:
        say(console, NO_RUN)
        return
    for run in runs:
        _show_run(run, console)
    for run in runs:
        if run.running:
            say(console, _pace(run))
        elif run.outcome is None:
            say(console, f"Run {run.run} was interrupted: run the same command again to go on, or roll it back.")


def _show_run(run: RunStatus, console: Console) -> None:
    """Print one block: what and when, how it ended, how much it moved."""
    outcome = run.outcome or ("running" if run.running else "interrupted")
    started = run.started_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    took = f", took {duration((run.finished_at - run.started_at).total_seconds())}" if run.finished_at else ""
    rows = ("" if run.rows == run.total_rows else f"{count(run.rows)} of ") + plural(run.total_rows, "row")
    say(console, f"{run.run}  {run.command} of {run.source}: {outcome}", "bold")
    say(console, f"    started {started}{took}")
    say(console, f"    {run.tables_done} of {plural(run.tables, 'table')}, {rows}, {count(run.rejects)} rejected")


def _pace(run: RunStatus) -> str:
    percent = f"{run.rows / run.total_rows:.0%}" if run.total_rows else "0%"
    rate = f", {count(round(run.rows_per_s))} rows/s" if run.rows_per_s else ""
    left = f", about {duration(run.seconds_left)} left" if run.seconds_left is not None else ""
    return f"Run {run.run} is at {percent}{rate}{left}."


def render_rollback(result: RollbackResult, console: Console) -> None:
    """Print what was removed and where its dump is."""
    deleted = {table: n for table, n in result.deleted_rows.items() if n}
    parts = [plural(len(result.dropped), "object") + " dropped"] if result.dropped else []
    if deleted:
        parts.append(f"{plural(sum(deleted.values()), 'row')} deleted from {plural(len(deleted), 'table')}")
    done = "Would roll back" if result.dry else "Rolled back"
    say(console, f"{done} run {result.run}: {', '.join(parts) or 'nothing was left to remove'}.", "bold green")
    for name in result.dropped:
        say(console, f"{mark(console, '✓')} dropped {name}")
    for table, n in deleted.items():
        say(console, f"{mark(console, '✓')} {plural(n, 'row')} deleted from {table}")
    for name in result.put_back:
        say(console, f"{mark(console, '✓')} put back {name}")
    if result.dry:
        say(console, "Tried, and taken back: nothing was changed (--dry-run).")
        return
    say(console, f"dump:     {result.dump}" if result.dump else "No dump was made.")


def render_backup(result: BackupResult, console: Console) -> None:
    """Print where the copy is and what was proven about it."""
    counts = [rows for table, rows in result.tables.items() if not table.startswith("sqlite_")]
    what = f"{size(result.bytes)}, {plural(len(counts), 'table')}, {plural(sum(counts), 'row')}"
    say(console, f"Backed up and checked: {what}.", "bold green")
    say(console, f"copy:     {result.path}")
    say(console, f"sha256:   {result.sha256}")
