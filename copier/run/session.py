"""What the verbs open: the pinned source, the target, the ledger, and the plan made from them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import aiosqlite
import asyncpg

from copier.config import Settings
from copier.errors import ConnectionLost, PlanError, TargetUnusable, UsageError
from copier.events import (
    Listener,
    TableFinished,
    TableProgress,
    TableStarted,
)
from copier.plan.build.build import PlanOptions, build_plan
from copier.plan.existing import ExistingTable
from copier.plan.file import load_plan
from copier.plan.file_read import parse_file
from copier.plan.model import Plan
from copier.plan.select import check_globs, check_width, is_selected
from copier.plan.source import SourceSchema, SourceTable, TableProfile
from copier.postgres.catalog import TargetSchema
from copier.postgres.connect import Retry, ServerInfo, connect, server_info
from copier.postgres.dsn import describe, parse
from copier.postgres.embedded import EmbeddedServer, embedded_server
from copier.postgres.giving_back import close
from copier.postgres.ledger import Ledger
from copier.run.progress import Progress
from copier.sqlite.catalog import read_schema
from copier.sqlite.engine import Engine, PortableEngine, Profiler, choose_engine
from copier.sqlite.profile import profile_table
from copier.sqlite.snapshot import Snapshot, open_snapshot

PROFILE = "profile"

FIRST_CONNECT_S = 5.0
"""How long a verb waits for the server before it gives up: a server that is starting needs a moment."""

READERS = 2
"""Tables read at once: one is fetched while another's rows are converted; more only wait for the GIL."""


def new_run_id() -> str:
    """Return an id that sorts by time and is unlike any other."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def require_sqlite(settings: Settings) -> Path:
    """Return the source's path; UsageError when none was given."""
    if settings.sqlite is None:
        raise UsageError("no SQLite file was given", hint="use --sqlite APP.db, or set SQLITE_PATH")
    return settings.sqlite


@dataclass(frozen=True, slots=True)
class Source:
    """The pinned source and what is in it."""

    path: Path
    snapshot: Snapshot
    schema: SourceSchema
    engine: Engine

    @property
    def engine_note(self) -> str | None:
        """What to say when the fast engine is not here although nobody chose the other."""
        missing = self.engine.missing if isinstance(self.engine, PortableEngine) else ""
        if not missing:
            return None
        return (
            f"Rows are converted in Python, several times slower than by the compiled engine: {missing}. To get it, "
            "install sqlite2pg again where a C compiler is: pip install --force-reinstall --no-deps --no-cache-dir ..."
        )

    @property
    def state(self) -> str:
        """A short digest of the state that is pinned, as `find_backup` returns it."""
        return self.snapshot.fingerprint.state

    @property
    def estimated_bytes(self) -> int:
        """Size of the file's pages."""
        return self.schema.page_size_bytes * self.schema.page_count


@asynccontextmanager
async def open_source(settings: Settings, *, readers: int = READERS + 1) -> AsyncIterator[Source]:
    """Open and pin the source; one reader more than tables at once, for a chunk that must be read a second time."""
    path = require_sqlite(settings)
    engine = choose_engine(os.environ.get("SQLITE2PG_ENGINE", "auto"))
    snapshot = open_snapshot(path, readers=readers, freeze=settings.freeze, immutable=settings.immutable)
    async with snapshot:
        async with snapshot.reader() as connection:
            schema = await read_schema(connection)
        yield Source(path, snapshot, schema, engine)


@dataclass(slots=True)
class Target:
    """The target: a connection for everything but the data, and how to open more."""

    dsn: str
    control: asyncpg.Connection[asyncpg.Record]
    info: ServerInfo
    ledger: Ledger
    embedded: EmbeddedServer | None = None

    def document(self, schema: str) -> dict[str, object]:
        """What the report says of the target; no password."""
        return {
            "server": self.info.version,
            "database": self.info.database,
            "user": self.info.user,
            "schema": schema,
            "where": describe(self.dsn),
            "ledger_schema": self.ledger.schema,
            "embedded": self.embedded is not None,
            "dsn": parse(self.dsn).public_url,
            "connect": None if self.embedded is None else self.embedded.how_to_connect(self.info.database),
        }


@asynccontextmanager
async def open_target(settings: Settings, *, allow_embedded: bool = False) -> AsyncIterator[Target]:
    """Connect to the target, or start the embedded server beside the SQLite file where the verb allows it."""
    async with AsyncExitStack() as stack:
        server: EmbeddedServer | None = None
        dsn = settings.postgres
        if dsn is None:
            if not allow_embedded:
                raise UsageError(
                    "no PostgreSQL target was given",
                    hint="use --postgres DSN, or set DATABASE_URL or the PG* variables",
                )
            directory = embedded_directory(require_sqlite(settings))
            server = await stack.enter_async_context(embedded_server(directory, keep=True))
            dsn = await server.ensure_database("app")
        control = await _connect(dsn)
        stack.push_async_callback(close, control)
        yield Target(dsn, control, await server_info(control), Ledger(settings.ledger_schema), server)


@asynccontextmanager
async def beside(target: Target) -> AsyncIterator[Target]:
    """The same target through another control connection, for what runs beside the first one's work."""
    control = await connect(target.dsn)
    try:
        yield replace(target, control=control)
    finally:
        await close(control)


async def _connect(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    """Connect for a verb that has not begun: a server that stays away is then a refusal, not a broken run."""
    try:
        return await connect(dsn, retry=Retry(patience_s=FIRST_CONNECT_S))
    except ConnectionLost as error:
        raise TargetUnusable(str(error), hint=error.hint) from None


def embedded_directory(sqlite: Path) -> Path:
    """Where the embedded server's data lives: beside the SQLite file."""
    return sqlite.resolve().with_name(sqlite.name + ".postgres")


async def profile(source: Source, settings: Settings, progress: Progress) -> dict[str, TableProfile]:
    """Look at every value of the selected tables (`settings.sample` rows of each, when set).

    Two tables at once where the engine has a profiler of its own, which leaves the GIL to others.
    """
    check_globs((t.name for t in source.schema.tables), settings.tables, "--tables")
    chosen = [t for t in source.schema.tables if is_selected(t.name, settings.tables, settings.exclude)]
    check_width(chosen)
    waiting = deque(chosen)
    profiles: dict[str, TableProfile] = {}
    profiler = source.engine.profiler(source.schema)

    async def work() -> None:
        async with source.snapshot.reader() as connection:
            while waiting:
                table = waiting.popleft()
                profiles[table.name] = await _profile_one(
                    connection, table, settings.sample, progress.listener, profiler
                )

    with progress.phase(PROFILE):
        async with asyncio.TaskGroup() as group:
            for _ in range(1 if profiler is None else READERS):
                group.create_task(work())
    return {table.name: profiles[table.name] for table in chosen}


async def _profile_one(
    connection: aiosqlite.Connection, table: SourceTable, sample: int, listener: Listener, profiler: Profiler | None
) -> TableProfile:
    listener(TableStarted(PROFILE, table.name, 0))
    start_s = time.perf_counter()
    found = await profile_table(
        connection,
        table,
        sample=sample,
        on_rows=lambda rows: listener(TableProgress(PROFILE, table.name, rows, 0)),
        profiler=profiler,
    )
    listener(TableFinished(PROFILE, table.name, found.rows, 0, time.perf_counter() - start_s))
    return found


def with_plan_schema(settings: Settings) -> Settings:
    """Return the settings with the plan file's target schema, unless one was asked for."""
    if settings.plan is None or settings.schema != Settings().schema:
        return settings
    return replace(settings, schema=parse_file(read_plan_file(settings.plan)).schema_ or settings.schema)


def plan_options(settings: Settings) -> PlanOptions:
    """Return what the planner needs of the settings."""
    return PlanOptions(
        schema=settings.schema,
        types=settings.types,
        names=settings.names,
        tables=settings.tables,
        exclude=settings.exclude,
        with_rowid=settings.with_rowid,
    )


def make_plan(
    source: Source,
    profiles: Mapping[str, TableProfile],
    settings: Settings,
    existing: Mapping[str, ExistingTable] | None = None,
    *,
    recorded: str | None = None,
) -> Plan:
    """Build the plan, with what the plan file says, or the text of a plan a run has recorded."""
    options = plan_options(settings)
    text = read_plan_file(settings.plan) if settings.plan is not None else recorded
    if text is None:
        return build_plan(source.schema, profiles, options, existing)
    return load_plan(text, source.schema, profiles, options, existing, schema_name=settings.schema)


def read_plan_file(path: Path) -> str:
    """Read a plan file; PlanError in one sentence when that is impossible."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PlanError(
            f"cannot read the plan {path}: {error.strerror}", hint="write one with `inspect --plan-out`"
        ) from error
    except UnicodeDecodeError as error:
        raise PlanError(f"the plan {path} is not UTF-8 text", hint="write one with `inspect --plan-out`") from error


def existing_tables(target: TargetSchema, without: Collection[str]) -> dict[str, ExistingTable]:
    """Return the target's tables as the planner wants them, without those a run of ours created."""
    return {t.name: t.as_existing() for t in target.tables if t.name not in without}


def digest(*texts: str) -> str:
    """Return a short digest of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]
