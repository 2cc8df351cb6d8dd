"""Call N at each I/O boundary fails, for N = 1, 2, 3, ... until a run needs fewer calls: it leaves before or after.

CI takes the first call, the last and one between at every boundary; `make test-faults` takes every call. A boundary
that a run never crosses fails the suite, and so does one that the copier uses and this file does not know.
"""

from __future__ import annotations

import ast
import inspect
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fix_faults import WHOLE, Case, assert_clear, end_exact, read_source, run, sha256, try_run
from fix_postgres import Servers
from fix_tally import TALLY
from server_calls import CURSOR, KINDS, METHODS, SOURCE, TARGET, Fault, failing

import copier
from copier.errors import CopierError, SchemaFailed

PACKAGE = Path(copier.__file__).parent
NOT_OF_A_RUN = (CURSOR,)
"""Boundaries that `full` does not cross: test_nth_call_verbs.py."""


async def try_with(case: Case, dsn: str, fault: Fault) -> CopierError | None:
    try:
        with failing(fault):
            return await try_run(case, dsn)
    except BaseException as error:
        error.add_note(f"fault: call {fault.number} of {fault.boundary}, {fault.kind}")
        raise


Database = Callable[[], Any]


@pytest.fixture
def new_database(pg_servers: Servers) -> Database:
    """Return `new_database()`: a context manager that gives the DSN of a fresh one."""
    pg_servers.need("wheel18")

    @asynccontextmanager
    async def make() -> AsyncIterator[str]:
        async with pg_servers.database("wheel18") as name:
            yield pg_servers.get("wheel18").dsn(name)

    return make


@pytest.fixture(scope="session")
def calls_of_a_run() -> dict[str, int]:
    """Filled by the first test that counts: boundary -> calls of an undisturbed run."""
    return {}


async def count_calls(case: Case, new_database: Database, known: dict[str, int]) -> Mapping[str, int]:
    if not known:
        async with new_database() as dsn:
            fault = Fault()
            assert await try_with(case, dsn, fault) is None
        known.update(fault.calls)
    return known


def chosen(calls: int, boundary: str) -> list[tuple[int, str]]:
    """Which calls fail how. In the short form each of three calls in one way, all three ways being used."""
    kinds = KINDS if boundary in TARGET else KINDS[:1]
    if WHOLE:
        return [(number, kind) for number in range(1, calls + 1) for kind in kinds]
    draw = random.Random(boundary)
    # One run needs some calls more than another: only the last may be missed.
    numbers = sorted({1, draw.randint(1, calls * 3 // 4), calls}) if calls > 3 else list(range(1, calls + 1))
    start = draw.randrange(3)
    return [(number, kinds[(start + i) % len(kinds)]) for i, number in enumerate(numbers)]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("boundary", [b for b in (*TARGET, *SOURCE) if b not in NOT_OF_A_RUN])
async def test_the_nth_call_fails(
    small: Case, new_database: Database, calls_of_a_run: dict[str, int], boundary: str
) -> None:
    calls = (await count_calls(small, new_database, calls_of_a_run)).get(boundary, 0)
    assert calls, f"a run never crosses the boundary {boundary}"
    hits = 0
    for number, kind in chosen(calls, boundary):
        async with new_database() as dsn:
            fault = Fault(boundary, number, kind)
            error = await try_with(small, dsn, fault)
            hits += fault.hit
            if fault.hit:
                TALLY.faults[boundary] += 1
            if boundary == "close":
                assert error is None, "the work was done"
            await end_exact(small, dsn, error)
    assert hits >= min(3, calls) - (calls > 3), "the number of calls varies a little"


def test_every_boundary_the_copier_crosses_is_one_of_these() -> None:
    """A new way to talk to the server is added to server_calls.py, or this fails."""
    ways = {
        name
        for owner in (asyncpg.Connection, asyncpg.Pool)
        for name, _ in inspect.getmembers(owner, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    used = set[str]()
    for path in (path for layer in ("postgres", "run") for path in (PACKAGE / layer).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert used & ways == set(METHODS), "fail these, and no others"
    assert ("cursor" in used) == (CURSOR in TARGET)


REJECTING = """
CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
"""


def rejecting_case(path: Path) -> Case:
    """4,000 rows; every 200th holds a NUL, which PostgreSQL's text cannot."""
    with sqlite3.connect(path) as db:
        db.executescript(REJECTING)
        rows = [(i, f"a\0{i}" if i % 200 == 0 else f"note {i}") for i in range(4000)]
        db.executemany("INSERT INTO note VALUES (?, ?)", rows)
    db.close()
    return Case(path, read_source(path), sha256(path), ())


async def assert_each_row_once(case: Case, dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        kept = Counter(map(tuple, await connection.fetch("SELECT id, body FROM note")))
        rejected = [r[0] for r in await connection.fetch("SELECT (key->>0)::int FROM sqlite2pg.reject ORDER BY 1")]
    finally:
        await connection.close()
    assert rejected == [i for i in range(4000) if i % 200 == 0]
    assert kept == Counter({row: n for row, n in case.rows["note"].items() if "\0" not in row[1]})


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("boundary", ["executemany", "copy_to_table", "COMMIT"])
async def test_rejected_rows_are_in_the_reject_table_once(
    tmp_path: Path, new_database: Database, boundary: str
) -> None:
    """Whatever call at the boundary fails, a row is in its table exactly once or in the reject table exactly once."""
    case = rejecting_case(tmp_path / "app.db")
    number, more = 1, True
    while more:
        for kind in KINDS if WHOLE else (KINDS[number % 3],):
            async with new_database() as dsn:
                fault = Fault(boundary, number, kind)
                with failing(fault):
                    ended = await attention(run(case, dsn))
                if not ended:
                    await attention(run(case, dsn))
                await assert_each_row_once(case, dsn)
            more = fault.hit
            TALLY.faults[boundary] += fault.hit
        number += 1 if WHOLE or number < 3 else 5
    assert number >= 3


async def attention(work: Awaitable[Any]) -> bool:
    try:
        report = await work
    except CopierError as error:
        assert_clear(error)
        return False
    assert report.outcome == "attention"
    return True


async def test_the_end_of_a_run_whose_answer_is_lost_is_settled(
    small: Case, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the person would be told to run again what is finished, and then be refused."""
    plain, lost = asyncpg.Connection.execute, 0

    async def execute(self: asyncpg.Connection, query: str, *args: Any, **more: Any) -> str:
        nonlocal lost
        done = await plain(self, query, *args, **more)
        if "SET outcome" in query and not lost:
            lost += 1
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return done

    monkeypatch.setattr(asyncpg.Connection, "execute", execute)
    error = await try_run(small, pg_dsn)
    assert lost == 1
    assert error is None


async def test_an_object_is_not_given_up_because_the_disk_was_full(
    small: Case, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ended without its index could never be finished."""
    plain = asyncpg.Connection.execute

    async def execute(self: asyncpg.Connection, query: str, *args: Any, **more: Any) -> str:
        if "CREATE INDEX" in query and "note_author" in query:
            raise asyncpg.exceptions.DiskFullError("could not extend file: No space left on device")
        return await plain(self, query, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "execute", execute)
        error = await try_run(small, pg_dsn)
    assert isinstance(error, SchemaFailed)
    assert "same command again" in error.hint
    await end_exact(small, pg_dsn, error)
