"""What each command prints when its work is done, and the exit code it ends with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from copier.cli.private_file import must_be_writable
from copier.cli.render import render_report, say
from copier.cli.render_assessment import render_assessment
from copier.cli.render_runs import render_backup, render_rollback, render_status
from copier.cli.session import Session
from copier.errors import CopyFailed, UsageError
from copier.files import write_whole

if TYPE_CHECKING:
    from copier.assess.assessment import Assessment
    from copier.migration import BackupResult, RollbackResult, RunStatus
    from copier.report import Report


def show_report(report: Report, session: Session) -> int:
    """Write the report file, log the outcome, print the report."""
    written = session.write_report(report)
    session.record(
        "report",
        outcome=report.outcome,
        run=report.run,
        tables=len(report.tables),
        rows=sum(t.copied_rows for t in report.tables),
        rejected=sum(t.rejected_rows for t in report.tables),
        objects_failed=sum(o.status == "failed" for o in report.objects),
        objects_skipped=sum(o.status == "skipped" for o in report.objects),
        mismatches=len(report.mismatches),
        error=report.error,
        seconds=report.seconds,
    )
    files = [("report", session.face.report if written else None), ("log", session.log_path)]
    named = [(what, str(path)) for what, path in files if path is not None]
    render_report(report, session.out, session.face.verbose, files=named)
    return report.exit_code or (0 if written else 1)


def check_plan_out(session: Session) -> None:
    """Raise UsageError when --plan-out cannot or must not be written."""
    path: Path | None = session.flags.get("plan_out")
    if path is None:
        return
    if path.exists() and not session.flags.get("force"):
        raise UsageError(f"--plan-out: {path} exists", hint="name another file, or overwrite it with --force")
    must_be_writable(path, "--plan-out")


def show_assessment(assessment: Assessment, session: Session) -> int:
    """Write the plan where --plan-out says; print the assessment, as JSON with --json."""
    path: Path | None = session.flags.get("plan_out")
    if path is not None:
        from copier.plan.file import dump_plan

        _write_plan(path, dump_plan(assessment.plan))
    if session.flags.get("json"):
        session.emit(assessment.to_json())
        return 0
    render_assessment(assessment, session.out, verbose=session.face.verbose)
    if path is not None:
        say(session.out, f"plan:     {path}")
    return 0


def _write_plan(path: Path, text: str) -> None:
    """Write it whole or not at all: half a plan would be obeyed, or stand in the way of the next one."""
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise CopyFailed(f"--plan-out: {path} cannot be written: {error.strerror}", hint="make room there") from error


def show_script(script: str, session: Session) -> int:
    """Print a SQL script as it is."""
    session.emit(script)
    return 0


def show_status(runs: list[RunStatus], session: Session) -> int:
    """Print the runs, as JSON with --json."""
    if session.flags.get("json"):
        session.emit(orjson.dumps(runs, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))
    else:
        render_status(runs, session.out)
    return 0


def show_rollback(result: RollbackResult, session: Session) -> int:
    """Print what was removed."""
    deleted = sum(result.deleted_rows.values())
    what = "rollback_tried" if result.dry else "rolled_back"
    session.record(what, run=result.run, dropped=result.dropped, deleted_rows=deleted, dump=str(result.dump))
    render_rollback(result, session.out)
    return 0


def show_backup(result: BackupResult, session: Session) -> int:
    """Print where the copy is."""
    session.record("backed_up", path=str(result.path), bytes=result.bytes, sha256=result.sha256)
    render_backup(result, session.out)
    return 0
