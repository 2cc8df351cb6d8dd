"""The verb `rejects`: rows that did not go into their tables, listed or tried again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from copier.cli import help as text
from copier.cli import options as opt
from copier.cli.app import Flags, run, verb
from copier.cli.options import _OUTPUT, _WHAT, _option

if TYPE_CHECKING:
    from copier.cli.session import Session
    from copier.report import Report

TABLE = _option("table", list[str], "Only these tables of the source: names or globs, repeated.", _WHAT, "GLOB")
RUN = _option("run", str, "The run, as status shows it (default: the latest that brought data).", _WHAT, "ID")
RETRY = _option("retry", bool, "Try the rows again, each exactly once.", _WHAT)
PLAN = _option("plan", Path, "With --retry: casts and policies as this plan says now.", _WHAT, "FILE")
REPORT = _option("report", Path, "With --retry: write what was done here as JSON.", _OUTPUT, "FILE")

EPILOG = text.epilog(
    "sqlite2pg rejects --postgres postgresql://app@db.example/app",
    "sqlite2pg rejects --table messages --json | jq -r .[].reason | sort | uniq -c",
    "sqlite2pg rejects --retry --plan plan.toml --report retried.json",
    codes=(0, 1, 2, 3, 5),
    note=text.PROGRESS_NOTE,
)


@verb("rejects", "Afterwards", EPILOG, opt.POSTGRES, opt.LEDGER_SCHEMA, RUN, TABLE, RETRY, PLAN, REPORT, opt.AS_JSON,
       *opt.SCREEN)  # fmt: skip
def rejects(flags: Flags) -> None:
    """List the rows that did not go into their tables, or try them again.

    Each row is shown with its table, key, column, value and the reason; --json
    has the whole rows, with the bytes as SQLite had them. With --retry the rows
    are written again, from the ledger: the SQLite file is not needed. First
    change the plan (another cast, or a policy such as null or default), or mend
    the target (drop a check, alter a column, add the parents). A row and the
    end of its reject are one commit; what fails again keeps its reject, with
    the new reason. Killed or not, the same command goes on.
    """
    from copier.errors import UsageError

    if flags["retry"]:
        _retry(flags)

    async def work(session: Session) -> int:
        from copier import migration
        from copier.cli.render_rejects import RejectList

        for name in ("plan", "report"):
            if flags[name] is not None:
                raise UsageError(f"--{name} belongs to --retry", hint="add --retry, or leave it out")
        shown = RejectList(session)
        async for one in migration.list_rejects(session.settings, run=flags["run"], tables=flags["table"] or ()):
            shown.add(one)
        shown.end("" if shown.rows else await _why_none(session))
        return 0

    run("rejects", flags, work, lambda code, _: code, sqlite=False)


async def _why_none(session: Session) -> str:
    """Return what to say where there are no rejects: a database that no run went into has none either."""
    from copier import migration
    from copier.cli.render_rejects import NO_REJECT
    from copier.cli.render_runs import NO_RUN

    return NO_REJECT if await migration.status(session.settings) else NO_RUN


def _retry(flags: Flags) -> None:
    from copier.cli.render_rejects import NO_REJECT, show_retry

    async def work(session: Session) -> tuple[Report, str]:
        from copier import migration

        report = await migration.retry_rejects(
            session.settings, session.listen, run=flags["run"], tables=flags["table"] or ()
        )
        return report, NO_REJECT if report.run else await _why_none(session)

    stopped = "what was committed stays: run the same command again to go on"
    run("rejects", flags, work, lambda found, session: show_retry(found[0], session, found[1]), sqlite=False,
        stopped=stopped)  # fmt: skip
