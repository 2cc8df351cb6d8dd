"""Call N to the server fails in the verbs beside `full`: each leaves the state before or the state after.

Among them are the boundaries that only a failure reaches: the ROLLBACK of a trial that looks for refused rows, and of a
transaction that is left open when its connection is given back.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from fix_faults import WHOLE, assert_clear
from fix_postgres import Servers, apart
from fix_tally import TALLY
from server_calls import CURSOR, KINDS, TARGET, Fault, failing

from copier import migration
from copier.config import Settings
from copier.errors import CopierError

FEW = 4
"""Boundaries of a verb that CI fails, besides those that no other verb has."""

MOST = 50
"""Calls at a boundary of a verb that the whole form fails."""

ROWS = 1200
BAD = frozenset(range(7, ROWS, 150))
"""Rows with a NUL, which text cannot hold; a retry strips it."""

REFUSED = frozenset(range(11, ROWS, 170))
"""Rows that a CHECK of the target refuses."""

SCRIPT = "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT NOT NULL); CREATE INDEX note_body ON note (body);"
TARGET_TABLE = "CREATE TABLE note (id bigint PRIMARY KEY, body text NOT NULL CHECK (body NOT LIKE 'no%'))"
PLAN = 'format = 1\n[table.note.columns]\nbody = { policy = "strip" }\n'


def body(number: int) -> str:
    return f"a\0{number}" if number in BAD else f"{'no' if number in REFUSED else 'yes'} {number}"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verbs") / "app.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(SCRIPT)
        db.executemany("INSERT INTO note VALUES (?, ?)", [(i, body(i)) for i in range(ROWS)])
    path.with_name("plan.toml").write_text(PLAN)
    return path


@dataclass(frozen=True, slots=True)
class State:
    """What is in the target."""

    rows: Counter[int]
    rejects: Counter[int]
    """Those that are not resolved."""
    indexes: int
    ended: bool

    @property
    def each_once(self) -> bool:
        """Whether every row is in its table or among the rejects, once."""
        return self.rows + self.rejects == Counter(range(ROWS))


async def read(dsn: str) -> State:
    connection = await asyncpg.connect(dsn)
    try:
        ledger = await connection.fetchval("SELECT to_regclass('sqlite2pg.run') IS NOT NULL")
        table = await connection.fetchval("SELECT to_regclass('public.note') IS NOT NULL")
        rows = await connection.fetch("SELECT id FROM note") if table else []
        rejects = "SELECT (key->>0)::int FROM sqlite2pg.reject WHERE resolved_at IS NULL"
        return State(
            Counter(row[0] for row in rows),
            Counter(row[0] for row in (await connection.fetch(rejects) if ledger else [])),
            await connection.fetchval("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'"),
            bool(ledger and await connection.fetchval("SELECT bool_and(outcome IS NOT NULL) FROM sqlite2pg.run")),
        )
    finally:
        await connection.close()


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb, the database it begins with, and when its work is done."""

    work: Callable[[Settings], Awaitable[object]]
    begins_with: str
    is_done: Callable[[State], bool]
    accepts: Callable[[State], bool]
    """Whether a state may be there after a failure."""


async def append(settings: Settings) -> object:
    return await migration.data(settings)


async def retry(settings: Settings) -> object:
    return await migration.retry_rejects(settings)


async def roll_back(settings: Settings) -> object:
    return await migration.rollback(settings, no_dump=True)


async def list_all(settings: Settings) -> object:
    listed = [one async for one in migration.list_rejects(settings)]
    assert len(listed) == len(BAD)
    return listed


async def check(settings: Settings) -> object:
    report = await migration.check(settings)
    assert report.outcome == "attention"
    return report


async def status(settings: Settings) -> object:
    [run] = await migration.status(settings)
    assert run.outcome == "attention"
    return run


def as_moved(state: State) -> bool:
    return state.each_once and set(state.rejects) == BAD and state.indexes == 2


def not_there(state: State) -> bool:
    return not state.rows and not state.indexes


def appended(state: State) -> bool:
    return state.ended and state.each_once and set(state.rejects) == BAD | REFUSED


def retried(state: State) -> bool:
    return state.each_once and not state.rejects


def either(*states: Callable[[State], bool]) -> Callable[[State], bool]:
    return lambda state: any(is_there(state) for is_there in states)


def anything(state: State) -> bool:
    return True


VERBS = {
    "data": Verb(append, "empty", appended, lambda state: not state.ended),
    "rejects --retry": Verb(retry, "moved", retried, lambda state: state.each_once),
    "rejects": Verb(list_all, "moved", as_moved, as_moved),
    "rollback": Verb(roll_back, "moved", not_there, as_moved),
    "check": Verb(check, "moved", as_moved, as_moved),
    "status": Verb(status, "moved", as_moved, as_moved),
}


class Databases:
    """Copies of two databases: one with an empty table, one that was moved into."""

    def __init__(self, servers: Servers, source: Path) -> None:
        self._server = servers.need("wheel18")
        self._source = source
        self._numbers = itertools.count(1)

    async def make(self) -> None:
        for name in ("empty", "moved"):
            await self._administer(f'CREATE DATABASE "verbs_{name}"')
        connection = await asyncpg.connect(self._server.dsn("verbs_empty"))
        await connection.execute(TARGET_TABLE)
        await connection.close()
        await migration.full(Settings(sqlite=self._source, postgres=self._server.dsn("verbs_moved"), no_backup=True))

    @asynccontextmanager
    async def copy(self, of: str) -> AsyncIterator[str]:
        """Give the DSN of a copy."""
        name = f"verbs_{next(self._numbers)}"
        await self._administer(f'CREATE DATABASE "{name}" TEMPLATE "verbs_{of}" STRATEGY file_copy')
        try:
            yield self._server.dsn(name)
        finally:
            await self._administer(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _administer(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server.dsn())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
def databases(pg_servers: Servers, source: Path) -> Databases:
    found = Databases(pg_servers, source)
    apart(found.make)
    return found


async def attempt(verb: Verb, settings: Settings, fault: Fault) -> CopierError | None:
    """Do the work under the fault; return the error it ended with."""
    try:
        with failing(fault):
            await verb.work(settings)
    except CopierError as error:
        assert_clear(error)
        return error
    return None


async def count(verb: Verb, databases: Databases, settings: Callable[[str], Settings]) -> Counter[str]:
    async with databases.copy(verb.begins_with) as dsn:
        fault = Fault()
        assert await attempt(verb, settings(dsn), fault) is None
        assert verb.is_done(await read(dsn))
    return fault.calls


def chosen(name: str, calls: Counter[str]) -> list[tuple[str, int, str]]:
    """Which call at which boundary fails how."""
    own = [boundary for boundary in TARGET if calls[boundary]]
    if WHOLE:
        # The search for refused rows takes thousands of calls.
        return [(b, n, kind) for b in own for n in range(1, calls[b] + 1, 1 + calls[b] // MOST) for kind in KINDS]
    draw = random.Random(name)
    few = {b for b in own if b in (CURSOR, "ROLLBACK")} | set(draw.sample(own, min(FEW, len(own))))
    return [(b, draw.randint(1, calls[b]), draw.choice(KINDS)) for b in sorted(few)]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", VERBS)
async def test_the_nth_call_of_a_verb_fails(name: str, databases: Databases, source: Path) -> None:
    verb = VERBS[name]

    def settings(dsn: str) -> Settings:
        plan = source.with_name("plan.toml") if verb.work is retry else None
        return Settings(sqlite=source, postgres=dsn, plan=plan, existing="append", jobs=2, no_backup=True)

    calls = await count(verb, databases, settings)
    for boundary, number, kind in chosen(name, calls):
        async with databases.copy(verb.begins_with) as dsn:
            fault = Fault(boundary, number, kind)
            try:
                error = await attempt(verb, settings(dsn), fault)
                state = await read(dsn)
                if error is not None and not verb.is_done(state):
                    assert verb.accepts(state), state
                    assert await attempt(verb, settings(dsn), Fault()) is None
                assert verb.is_done(await read(dsn))
            except BaseException as wrong:
                wrong.add_note(f"fault: call {number} of {boundary}, {kind}")
                raise
        TALLY.faults[f"{name}: {boundary}"] += fault.hit


PROBING = 2
"""Transactions that the checks before a run roll back."""


async def test_a_connection_given_back_in_the_middle_of_a_transaction(databases: Databases, source: Path) -> None:
    """The ROLLBACK of the trial that looks for refused rows is refused: nobody goes on in what it leaves open."""
    verb = VERBS["data"]
    async with databases.copy("empty") as dsn:
        settings = Settings(sqlite=source, postgres=dsn, existing="append", jobs=1, no_backup=True)
        fault = Fault("ROLLBACK", PROBING + 1, "refused")
        error = await attempt(verb, settings, fault)
        assert fault.hit
        assert error is not None
        assert await attempt(verb, settings, Fault()) is None
        assert verb.is_done(await read(dsn))
