"""What stands below the options of each --help: exit codes, environment, files, examples."""

from __future__ import annotations

from collections.abc import Sequence

_EXIT = {
    0: "done; everything moved and verified, as far as the command goes",
    1: "failed; nothing is half-visible, and the message says how to go on",
    2: "wrong option, setting or plan file",
    3: "done and verified, but something needs a person",
    4: "source and target differ",
    5: "refused to start; nothing was written",
}

_ENVIRONMENT = """\
Environment
  SQLITE_PATH              the source, when there is no --sqlite
  DATABASE_URL, PGHOST ..  the target, when there is no --postgres
  PGPASSWORD, PGPASSFILE   the password; never printed, never logged
  SQLITE2PG_KEY            any option: SQLITE2PG_JOBS=4 is --jobs 4
  SQLITE2PG_ENGINE         native, portable or auto

Files
  ./sqlite2pg.toml         the same keys: on-reject = "fail"
  Flags win over the environment, the environment over the file."""


def epilog(*examples: str, codes: Sequence[int] = tuple(_EXIT), note: str = "") -> str:
    """Return the text below the options; `codes` are those the command can end with."""
    exit_codes = "\n".join(f"  {code}  {_EXIT[code]}" for code in codes)
    shown = "\n".join(f"  {example}" for example in examples)
    parts = [f"Exit codes\n{exit_codes}", note, _ENVIRONMENT, f"Examples\n{shown}"]
    return "\n\n".join(part for part in parts if part).replace("[", r"\[")


PROGRESS_NOTE = """\
Output
  Results go to stdout; progress, messages and errors to stderr.
  With --progress json, lines on stderr that begin with { are events."""

_OWN_SERVER = """\
Without a target
  full starts a PostgreSQL server of its own beside the SQLite file and says
  how to connect to it; check finds it there again."""

APP = """\
Move a SQLite database into PostgreSQL, and prove that every value arrived.

Schema, data, indexes, constraints and sequences move at the speed of the
server's COPY. A run that was killed goes on when the same command is given
again. Every row and every schema object is accounted for: copied, translated,
or listed with the reason why not. The SQLite file is only ever read.

  Try it         sqlite2pg demo
  Look first     sqlite2pg inspect --sqlite app.db --plan-out plan.toml
  Move it        sqlite2pg full --sqlite app.db --postgres DSN"""

APP_EPILOG = epilog("sqlite2pg full --sqlite app.db", "sqlite2pg full --help", note=_OWN_SERVER)

INSPECT = epilog(
    "sqlite2pg inspect --sqlite app.db",
    "sqlite2pg inspect --sqlite app.db --plan-out plan.toml",
    "sqlite2pg inspect --sqlite app.db --tables 'chat_*,users' --sample 10000",
    "sqlite2pg inspect --sqlite app.db --postgres postgresql://app@db.example/app",
    codes=(0, 1, 2, 5),
    note=PROGRESS_NOTE,
)
VALIDATE = epilog(
    "sqlite2pg validate --sqlite app.db --postgres postgresql://app@db.example/app",
    "sqlite2pg validate --deep --plan plan.toml",
    codes=(0, 1, 2, 5),
    note=PROGRESS_NOTE,
)
SCHEMA = epilog(
    "sqlite2pg schema --sqlite app.db --postgres postgresql://app@db.example/app",
    "sqlite2pg schema --sqlite app.db --plan plan.toml --print | psql app",
    codes=(0, 1, 2, 3, 5),
    note=PROGRESS_NOTE,
)
DATA = epilog(
    "sqlite2pg data --sqlite app.db --postgres postgresql://app@db.example/app",
    "sqlite2pg data --sqlite app.db --existing truncate --jobs 4",
    codes=(0, 1, 2, 3, 5),
    note=PROGRESS_NOTE,
)
CHECK = epilog(
    "sqlite2pg check --sqlite app.db --postgres postgresql://app@db.example/app",
    "sqlite2pg check --sqlite app.db --level count --report check.json",
    note=PROGRESS_NOTE,
)
FULL = epilog(
    "sqlite2pg full --sqlite app.db",
    "sqlite2pg full --sqlite app.db --postgres postgresql://app@db.example/app",
    "sqlite2pg full --sqlite app.db --plan plan.toml --freeze --report out.json",
    note=PROGRESS_NOTE,
)
BACKUP = epilog("sqlite2pg backup --sqlite app.db --to app-backup.db", codes=(0, 1, 2, 5), note=PROGRESS_NOTE)
STATUS = epilog(
    "sqlite2pg status --postgres postgresql://app@db.example/app",
    "sqlite2pg status --json",
    codes=(0, 1, 2, 5),
)
ROLLBACK = epilog(
    "sqlite2pg rollback --postgres postgresql://app@db.example/app",
    "sqlite2pg rollback --run ID --dump before.sql",
    "sqlite2pg rollback --dry-run",
    "sqlite2pg rollback --print > rollback.sql",
    codes=(0, 1, 2, 5),
    note=PROGRESS_NOTE,
)
DEMO = epilog("sqlite2pg demo", "sqlite2pg demo --messages 1000000", note=PROGRESS_NOTE)
