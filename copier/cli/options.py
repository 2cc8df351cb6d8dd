"""Every option of the command line, once; `verbs.py` says which command takes which.

An option's name is its key in `copier.cli.settings_file`. Values are checked there, not here, so that a wrong one reads
the same in a flag, in the environment and in the file. The defaults are there and in `copier.config` too: help texts
repeat them for the reader.
"""

from __future__ import annotations

from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

_SOURCE, _TARGET, _WHAT = "Source", "Target", "What is copied"
_POLICY, _SPEED, _OUTPUT = "What to do when", "Speed and memory", "Files and output"


def _option(
    name: str, kind: Any, text: str, panel: str, metavar: str | None = None, short: str | None = None
) -> Parameter:
    flags = ["--" + name.replace("_", "-"), *([short] if short else [])]
    shown = metavar or (" " if kind is bool else None)
    # readable: a file that may not be read is refused where it is opened, with the reason and exit code 5
    info = typer.Option(*flags, help=text, rich_help_panel=panel, metavar=shown, show_default=False, readable=False)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info])


SQLITE = _option("sqlite", Path, "The SQLite file. Else SQLITE_PATH.", _SOURCE, "FILE")
FREEZE = _option("freeze", bool, "Keep writers out of the SQLite file while it is copied: the cutover itself.", _SOURCE)
IMMUTABLE = _option(
    "immutable", bool, "The file cannot change: read-only media or a copy nobody writes to. Takes no locks.", _SOURCE
)
SAMPLE = _option(
    "sample",
    str,
    "Profile only N rows of each table: quick, but types may prove wrong. 0, the default, is all.",
    _SOURCE,
    "N",
)
DEEP = _option("deep", bool, "Run integrity_check, not quick_check, on source and backup: reads every index.", _SOURCE)

POSTGRES = _option(
    "postgres", str,
    "The server: postgresql://USER@HOST:PORT/DATABASE or 'host=.. dbname=..'. Else DATABASE_URL, else PGHOST, "
    "PGDATABASE, ... A password here is visible to other users in ps; PGPASSWORD or a PGPASSFILE is not.",
    _TARGET, "DSN",
)  # fmt: skip
SCHEMA = _option("schema", str, "The schema the tables go into (default public).", _TARGET, "NAME")
LEDGER_SCHEMA = _option(
    "ledger_schema", str, "The schema of the copier's own records (default sqlite2pg).", _TARGET, "NAME"
)

PLAN = _option("plan", Path, "Obey this plan, written by inspect --plan-out and edited by you.", _WHAT, "FILE")
TABLES = _option("tables", list[str], "Only these tables: names or globs, commas or repeated.", _WHAT, "GLOB,..")
EXCLUDE = _option("exclude", list[str], "Not these tables: names or globs, commas or repeated.", _WHAT, "GLOB,..")
TYPES = _option(
    "types", str,
    "native (default): uuid, timestamptz, jsonb, inet, boolean where every row allows it. faithful: SQLite's storage "
    "classes only, so that the application's SQL keeps working unchanged.",
    _WHAT, "native|faithful",
)  # fmt: skip
NAMES = _option(
    "names", str, "exact (default) keeps names as they are; lower and snake fold them, and refuse collisions.", _WHAT,
    "exact|lower|snake",
)  # fmt: skip
WITH_ROWID = _option("with_rowid", bool, "Add the rowid as a column to tables without a key of their own.", _WHAT)
LEVEL = _option(
    "level", str, "content (default) compares every value of both sides; count compares rows.", _WHAT, "count|content"
)

EXISTING = _option(
    "existing", str,
    "A target table exists and has rows: refuse (default), append to it, truncate it first, or replace (drop) it.",
    _POLICY, "POLICY",
)  # fmt: skip
ON_REJECT = _option(
    "on_reject", str,
    "A value cannot be cast: quarantine (default) puts its row into the ledger and goes on; fail stops there.",
    _POLICY, "POLICY",
)  # fmt: skip
ORPHANS = _option(
    "orphans", str,
    "Rows violate a foreign key: not-valid (default) copies them and leaves the key NOT VALID; quarantine puts them "
    "into the ledger; fail stops.",
    _POLICY, "POLICY",
)  # fmt: skip

JOBS = _option("jobs", str, "Writer connections (default: one per core, 2 to 8).", _SPEED, "N")
CHUNK_BYTES = _option("chunk_bytes", str, "One COPY and one commit: 4MiB (default), 32M, 1000000.", _SPEED, "SIZE")
MEMORY_BYTES = _option("memory_bytes", str, "Chunks waiting for a writer, in all (default 16MiB).", _SPEED, "SIZE")

BACKUP = _option(
    "backup", Path, "Where the backup that comes first goes (default: beside the source).", _OUTPUT, "FILE"
)
NO_BACKUP = _option("no_backup", bool, "Do not back the source up first.", _OUTPUT)
SALVAGE = _option(
    "salvage", bool,
    "The source is damaged: write what can be read into NAME.salvaged.db beside it (or beside --backup), list what "
    "cannot, and move that. A sound source is moved as ever.",
    _POLICY,
)  # fmt: skip
SCRIPT = _option(
    "script",
    Path,
    "Where the equivalent SQL script goes (default beside the source); none for no script.",
    _OUTPUT,
    "FILE",
)
REPORT = _option("report", Path, "Write the whole report here as JSON, also when the command fails.", _OUTPUT, "FILE")
LOG_FILE = _option("log_file", str, "Append every event here as a JSON line; none for no log.", _OUTPUT, "FILE|none")
LOG_FILE_FULL = _option(
    "log_file", str,
    "Append every event here as a JSON line; none: no log (default sqlite2pg_YYYYMMDD_HHMMSS.log beside the source).",
    _OUTPUT, "FILE|none",
)  # fmt: skip
PROGRESS = _option(
    "progress", str, "On stderr: bar, json (an object per line) or none. auto (default): bar on a terminal, else json.",
    _OUTPUT, "auto|bar|json|none",
)  # fmt: skip
VERBOSE = _option("verbose", bool, "Say more, and cut no list short.", _OUTPUT, short="-v")
DEBUG = _option("debug", bool, "Show the stack trace of an error.", _OUTPUT)
CONFIG = _option("config", Path, "Read settings from here (default ./sqlite2pg.toml if it is there).", _OUTPUT, "FILE")
AS_JSON = _option("json", bool, "Print the result as JSON.", _OUTPUT)

PLAN_OUT = _option("plan_out", Path, "Write the plan here as TOML, for you to edit.", _OUTPUT, "FILE")
FORCE = _option("force", bool, "Let --plan-out overwrite a file.", _OUTPUT)
PRINT = _option("print", bool, "Print the SQL script for psql, and change nothing.", _OUTPUT)
TO = _option("to", Path, "The copy to make; its sha256 goes beside it.", _TARGET, "FILE")
RUN = _option("run", str, "The run to remove, as status shows it (default: the latest).", _WHAT, "ID")
DUMP = _option(
    "dump", Path, "Where the dump that comes first goes (default: a new file in this directory).", _OUTPUT, "FILE"
)
NO_DUMP = _option("no_dump", bool, "Remove the run without a dump of it.", _OUTPUT)
DRY_RUN = _option(
    "dry_run", bool, "Try it, in a transaction that is taken back: say what would go, or why it is refused.", _POLICY
)
DISCARD_CHANGES = _option(
    "discard_changes", bool, "Go on although rows were added or changed since the run: they are lost.", _POLICY
)
MESSAGES = _option("messages", int, "How many messages the chat database gets (default 100000).", _WHAT, "N")
DIRECTORY = _option(
    "directory", Path, "Where the database and the server go (default ./sqlite2pg-demo).", _TARGET, "DIR"
)

SCREEN = (PROGRESS, VERBOSE, DEBUG, LOG_FILE, CONFIG)
CHOICE = (TABLES, EXCLUDE, TYPES, NAMES, WITH_ROWID)
SELECTION = (PLAN, *CHOICE)
TARGET = (POSTGRES, SCHEMA, LEDGER_SCHEMA)
POLICIES = (EXISTING, ON_REJECT, ORPHANS)
SPEED = (JOBS, CHUNK_BYTES, MEMORY_BYTES)
