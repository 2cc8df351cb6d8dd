"""The ten verbs: their options, their man pages, and the coroutine each one runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from copier.cli import help as text
from copier.cli import options as opt
from copier.cli.app import Flags, run, run_report, verb

if TYPE_CHECKING:
    from copier.assess.assessment import Assessment
    from copier.cli.session import Session
    from copier.migration import BackupResult, RollbackResult, RunStatus
    from copier.report import Report

_GO_ON = "committed chunks stay: run the same command again to go on, or undo it with sqlite2pg rollback"
_AGAIN = "run the same command again"
_LOOK, _MOVE, _AFTER = "Look, and change nothing", "Move", "Afterwards"


@verb("inspect", _LOOK, text.INSPECT, opt.SQLITE, opt.IMMUTABLE, opt.SAMPLE, opt.POSTGRES, opt.SCHEMA,
       *opt.SELECTION, opt.PLAN_OUT, opt.FORCE, opt.AS_JSON, *opt.SCREEN)  # fmt: skip
def inspect(flags: Flags) -> None:
    """Say what the SQLite file holds and what it will become.

    Reads every row of every table once: what is stored, not only what was
    declared, decides the types. Prints tables, rows and bytes, each column's
    type with its reason, foreign key violations, what will not carry over, and
    about how long the copy will take. With --plan-out the plan goes into a TOML
    file, one line per column; edit it, and give it to the other commands with
    --plan, or to this one, to see what it leads to. Needs no server and changes
    nothing. With --postgres, which is not taken from the environment here, the
    tables the target has already decide the types, and values they would refuse
    are problems: the rehearsal of data.
    """
    from copier.cli.show import check_plan_out, show_assessment

    async def work(session: Session) -> Assessment:
        from copier import migration

        check_plan_out(session)
        return await migration.inspect(session.settings, session.listen, look_at_target=asked)

    asked = flags["postgres"] is not None
    run("inspect", flags, work, show_assessment, postgres="required" if asked else "no")


@verb("validate", _LOOK, text.VALIDATE, opt.SQLITE, opt.IMMUTABLE, opt.DEEP, *opt.TARGET, *opt.SELECTION,
       opt.EXISTING, opt.REPORT, *opt.SCREEN)  # fmt: skip
def validate(flags: Flags) -> None:
    """Check both sides before the night of the move.

    The source: does it open, does it pass quick_check (integrity_check with
    --deep), who else has it open. The target: version, encoding, privileges
    (tried, in a transaction that is rolled back), extensions the plan needs,
    whether it is empty, settings that make the load slow. Disk space on both
    sides. Every failing check says what to do. Changes nothing; full does the
    same before it begins.
    """

    async def work(session: Session) -> Report:
        from copier import migration

        return await migration.validate(session.settings, session.listen)

    run_report("validate", flags, work)


@verb("schema", _MOVE, text.SCHEMA, opt.SQLITE, opt.IMMUTABLE, opt.SAMPLE, *opt.TARGET, *opt.SELECTION,
       opt.EXISTING, opt.PRINT, opt.SCRIPT, opt.REPORT, *opt.SCREEN)  # fmt: skip
def schema(flags: Flags) -> None:
    """Create the tables, and everything that belongs to them, without data.

    Profiles the source (or reads --plan), then creates tables, keys, indexes,
    foreign keys, checks, defaults, views and triggers. What PostgreSQL refuses is
    undone alone and reported in the server's own words; the rest goes on. With
    --print nothing is created: the whole script goes to stdout, for psql; it then
    needs no server.
    """
    if flags["print"]:
        from copier.cli.show import show_script

        async def script(session: Session) -> str:
            from copier import migration

            return await migration.schema_script(session.settings, session.listen)

        run("schema", flags, script, show_script, postgres="optional")

    async def work(session: Session) -> Report:
        from copier import migration

        return await migration.schema(session.settings, session.listen)

    run_report("schema", flags, work, stopped=_AGAIN)


@verb("data", _MOVE, text.DATA, opt.SQLITE, opt.FREEZE, opt.IMMUTABLE, opt.SAMPLE, *opt.TARGET, *opt.SELECTION,
       *opt.POLICIES, opt.SALVAGE, *opt.SPEED, opt.REPORT, *opt.SCREEN)  # fmt: skip
def data(flags: Flags) -> None:
    """Copy the rows into tables that exist.

    The tables may come from schema or from the application's own migrations
    (Alembic, Django, Prisma, sqlx, ..): then their columns decide, and indexes,
    foreign keys and triggers are set aside for the load and put back after it.
    So triggers do not run for the copied rows; columns that only they fill are
    said. One snapshot of the source is read while the application goes on
    writing (WAL mode; --freeze keeps writers out). Each chunk is committed
    together with its ledger row, so a run that was killed goes on exactly where
    it stopped. A row that cannot be cast is put into the ledger with its bytes.
    """

    async def work(session: Session) -> Report:
        from copier import migration

        return await migration.data(session.settings, session.listen)

    run_report("data", flags, work, stopped=_GO_ON)


@verb("check", _AFTER, text.CHECK, opt.SQLITE, opt.IMMUTABLE, *opt.TARGET, *opt.SELECTION, opt.LEVEL, opt.JOBS,
       opt.REPORT, *opt.SCREEN)  # fmt: skip
def check(flags: Flags) -> None:
    """Compare source and target, value by value.

    Row counts; the content of every row, by a digest of its values on both sides;
    foreign keys and orphans; sequence positions; constraints that are not valid.
    Rows that differ are named with both values. Rejected rows count as known.
    Changes nothing, and can be repeated at any time.
    """

    async def work(session: Session) -> Report:
        from copier import migration

        return await migration.check(session.settings, session.listen)

    run_report("check", flags, work, postgres="embedded")


@verb("full", _MOVE, text.FULL, opt.SQLITE, opt.FREEZE, opt.IMMUTABLE, opt.SAMPLE, opt.DEEP, *opt.TARGET,
       *opt.SELECTION, *opt.POLICIES, opt.SALVAGE, opt.LEVEL, *opt.SPEED, opt.BACKUP, opt.NO_BACKUP, opt.SCRIPT,
       opt.REPORT, opt.LOG_FILE_FULL, *(o for o in opt.SCREEN if o is not opt.LOG_FILE))  # fmt: skip
def full(flags: Flags) -> None:
    """Move everything and prove it: the whole migration in one command.

    In this order: back the source up (--no-backup skips it); validate both sides;
    profile what is stored, or read --plan; create the tables; copy the rows,
    largest table first; build keys, indexes, foreign keys and checks; set the
    sequences; ANALYZE; compare every value; report. Without a target it starts a
    PostgreSQL server beside the SQLite file and says how to connect to it.

    It may be stopped or killed at any moment: the same command goes on, and
    rollback removes what it made. The SQLite file is only ever read. A damaged one
    is refused; with --salvage what can be read of it is moved.
    """

    async def work(session: Session) -> Report:
        from copier import migration

        return await migration.full(session.settings, session.listen)

    run_report("full", flags, work, postgres="embedded", stopped=_GO_ON, logs=True)


@verb("backup", _LOOK, text.BACKUP, opt.SQLITE, opt.TO, *opt.SCREEN)
def backup(flags: Flags) -> None:
    """Copy the SQLite file while the application uses it, and check the copy.

    Uses SQLite's online backup: a consistent copy, a few pages at a time, so that
    the application is never kept waiting. Then the copy is opened, passes
    integrity_check, has the same row counts, and gets its sha256 in a file beside
    it.
    """
    from copier.cli.show import show_backup
    from copier.errors import UsageError

    async def work(session: Session) -> BackupResult:
        from copier import migration

        source, to = session.settings.sqlite, flags["to"]
        if source is None or to is None:
            raise UsageError("no file for the copy is given", hint="use --to FILE")
        return await migration.backup(source, to, session.listen)

    run("backup", flags, work, show_backup, postgres="no", stopped=_AGAIN)


@verb("status", _AFTER, text.STATUS, opt.POSTGRES, opt.LEDGER_SCHEMA, opt.AS_JSON, *opt.SCREEN)
def status(flags: Flags) -> None:
    """List the runs recorded in the target.

    When, from which file, tables done, rows, rejected rows, outcome; for a run at
    work also its rate and the time left. Changes nothing.
    """
    from copier.cli.show import show_status

    async def work(session: Session) -> list[RunStatus]:
        from copier import migration

        return await migration.status(session.settings, session.listen)

    run("status", flags, work, show_status, sqlite=False)


@verb("rollback", _AFTER, text.ROLLBACK, opt.POSTGRES, opt.LEDGER_SCHEMA, opt.RUN, opt.DRY_RUN, opt.DISCARD_CHANGES,
       opt.PRINT, opt.DUMP, opt.NO_DUMP, *opt.SCREEN)  # fmt: skip
def rollback(flags: Flags) -> None:
    """Remove from the target exactly what one run made.

    First a pg_dump of its tables goes into a file. Then, in one transaction, what
    the run created is dropped, and what it added to tables that were there before
    is deleted. Refuses, with counts, when rows were added or changed since, or when
    rows of others refer to its own. Nothing the run did not create is touched; the
    SQLite file is not needed. --dry-run says whether it would be done; --print
    gives it as a script for psql, which refuses by itself what changed until then.
    Extensions and statements of a plan file stay: they are not known to be the
    run's alone.
    """
    from copier.cli.show import show_rollback, show_script
    from copier.errors import UsageError

    async def script(session: Session) -> str:
        from copier import migration

        for name in ("dump", "no_dump", "dry_run"):
            if flags[name]:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"--print and {option} exclude each other", hint=f"leave {option} out: nothing is done"
                )
        return await migration.print_rollback(
            session.settings, session.listen, run=flags["run"], discard_changes=bool(flags["discard_changes"])
        )

    async def work(session: Session) -> RollbackResult:
        from copier import migration

        dump, no_dump = flags["dump"], bool(flags["no_dump"])
        if dump is not None and no_dump:
            raise UsageError("--dump and --no-dump exclude each other", hint="give one of them")
        if dump is not None and flags["dry_run"]:
            raise UsageError("--dump and --dry-run exclude each other", hint="a dry run writes no dump")
        return await migration.rollback(
            *(session.settings, session.listen),
            run=flags["run"],
            dump=dump,
            no_dump=no_dump,
            discard_changes=bool(flags["discard_changes"]),
            dry_run=bool(flags["dry_run"]),
        )

    if flags["print"]:
        run("rollback", flags, script, show_script, sqlite=False)
    stopped = "the removal is one transaction: nothing was removed"
    run("rollback", flags, work, show_rollback, sqlite=False, stopped=stopped)


@verb("demo", _MOVE, text.DEMO, opt.MESSAGES, opt.DIRECTORY, opt.REPORT, *opt.SCREEN)
def demo(flags: Flags) -> None:
    """Make a chat database and move it into a PostgreSQL server of its own.

    Writes a SQLite file with users, rooms and messages into --directory, starts
    an embedded PostgreSQL beside it, runs full, and says how to connect and look
    around. Needs nothing installed.
    """

    async def work(session: Session) -> Report:
        from copier import migration

        directory = flags["directory"] or Path("sqlite2pg-demo")
        messages = 100_000 if flags["messages"] is None else flags["messages"]
        return await migration.demo(directory, messages, session.listen)

    run_report("demo", flags, work, sqlite=False, postgres="no", stopped=_AGAIN)
