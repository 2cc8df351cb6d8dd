"""What every fault test needs: a small source, an independent comparison, and the only two accepted endings."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fix_migrate import sha256
from fix_postgres import SETTINGS, Servers, apart, find_installation, reachable_directory
from fix_tally import TALLY

from copier import migration
from copier.config import Settings
from copier.errors import CopierError, TargetUnusable
from copier.events import Event, Listener, TableProgress, ignore
from copier.postgres.embedded import EmbeddedServer, start
from copier.report import Report

WHOLE = bool(os.environ.get("SQLITE2PG_FAULTS_WHOLE"))
"""`make test-faults`: everything, not the selection CI has time for."""

CHUNK_BYTES = 4 << 10
HANG_S = 90.0
"""A run that takes longer hangs: an undisturbed one takes less than a second."""

SCRIPT = """
CREATE TABLE author (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE note (id INTEGER PRIMARY KEY, author INTEGER NOT NULL REFERENCES author, body TEXT NOT NULL, score REAL);
CREATE TABLE tag (name TEXT, note INTEGER, PRIMARY KEY (name, note)) WITHOUT ROWID;
CREATE TABLE scan (rowid TEXT, oid TEXT, _rowid_ INTEGER);
CREATE INDEX note_author ON note (author, score DESC);
CREATE VIEW loud AS SELECT id, upper(body) AS body FROM note;
"""
"""`scan` has no key a reader could use; its rows come twice, so that sets would not see one lost or doubled."""


@dataclass(frozen=True, slots=True)
class Case:
    """A source and what it must become."""

    path: Path
    rows: dict[str, Counter[tuple[Any, ...]]]
    sha256: str
    structure: tuple[tuple[Any, ...], ...]
    """Indexes, constraints, sequences and views after an undisturbed run."""

    def settings(self, dsn: str, **more: Any) -> Settings:
        return Settings(sqlite=self.path, postgres=dsn, no_backup=True, jobs=2, chunk_bytes=CHUNK_BYTES, **more)


def make_source(path: Path, notes: int = 5000) -> Path:
    """Write about 10 chunks: a page, of 1,000 rows, makes one."""
    with sqlite3.connect(path) as db:
        db.executescript(SCRIPT)
        db.executemany("INSERT INTO author (name) VALUES (?)", [(f"author {i}",) for i in range(40)])
        rows = ((i * 3, i % 40 + 1, f"note {i} " + "x" * (i % 70), i / 7) for i in range(notes))
        db.executemany("INSERT INTO note VALUES (?, ?, ?, ?)", rows)
        db.executemany("INSERT INTO tag VALUES (?, ?)", [(f"t{i % 7}", i) for i in range(notes // 2)])
        db.executemany("INSERT INTO scan VALUES (?, ?, ?)", [(f"r{i}", "same", i % 5) for i in range(400)] * 2)
    db.close()
    return path


def read_source(path: Path) -> dict[str, Counter[tuple[Any, ...]]]:
    with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as db:
        names = [r[0] for r in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        kept = [name for name in names if not name.startswith("sqlite_")]
        found = {name: Counter(db.execute(f'SELECT * FROM "{name}"').fetchall()) for name in kept}
    db.close()
    return found


async def read_target(dsn: str, names: list[str]) -> dict[str, Counter[tuple[Any, ...]]]:
    connection = await asyncpg.connect(dsn)
    try:
        return {n: Counter(map(tuple, await connection.fetch(f'SELECT * FROM public."{n}"'))) for n in names}
    finally:
        await connection.close()


async def read_structure(dsn: str) -> tuple[tuple[Any, ...], ...]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT 'index', indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'"
            " UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) || convalidated::text"
            " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
            " UNION ALL SELECT 'sequence', sequencename, last_value::text FROM pg_sequences WHERE schemaname = 'public'"
            " UNION ALL SELECT 'view', viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1, 2"
        )
        return tuple(tuple(row) for row in rows)
    finally:
        await connection.close()


async def assert_identical(case: Case, dsn: str) -> None:
    """Rows and structure of the target are those of the source; the source is as it was."""
    found = await read_target(dsn, list(case.rows))
    for name, rows in case.rows.items():
        holes, extra = rows - found[name], found[name] - rows
        assert not holes, f"{name}: {holes.total()} rows are missing"
        assert not extra, f"{name}: {extra.total()} rows too many"
    assert await read_structure(dsn) == case.structure
    assert sha256(case.path) == case.sha256
    TALLY.compared += 1


async def run(case: Case, dsn: str, listener: Listener = ignore, **more: Any) -> Report:
    """Run `full`; a hang fails."""
    TALLY.runs += 1
    async with asyncio.timeout(HANG_S):
        return await migration.full(case.settings(dsn, **more), listener)


async def try_run(case: Case, dsn: str, **more: Any) -> CopierError | None:
    """Run `full`; return the error it ended with, which must be one of ours and say what to do."""
    try:
        report = await run(case, dsn, **more)
    except CopierError as error:
        assert_clear(error)
        return error
    assert report.outcome == "verified", report.to_json().decode()
    return None


def assert_clear(error: CopierError) -> None:
    """One sentence, a hint, and an exit code that tells the truth."""
    assert str(error).strip(), repr(error)
    assert "\n" not in str(error)
    assert "Traceback" not in str(error)
    assert error.hint, f"no hint: {error!r}"
    assert error.exit_code in (1, 5), repr(error)


async def end_exact(case: Case, dsn: str, failed: CopierError | None, **more: Any) -> None:
    """After a run that failed, the same command again ends verified; after one that did not, all is there already."""
    if failed is not None:
        TALLY.resumed += 1
        again = await try_run(case, dsn, **more)
        if again is not None:
            # The run had ended when its last answer got lost.
            assert isinstance(again, TargetUnusable), repr(again)
            assert "ended verified" in str(again), "the same command says so"
            assert await _ended(dsn), repr(again)
    await assert_identical(case, dsn)


async def _ended(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("SELECT outcome FROM sqlite2pg.run") == "verified"
    finally:
        await connection.close()


async def wait_for_server(dsn: str) -> None:
    """Wait until the server takes connections again."""
    end_s = time.monotonic() + 60
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            assert time.monotonic() < end_s, "the server did not come back"
            await asyncio.sleep(0.02)
        else:
            await connection.close()
            return


async def make_case(path: Path, dsn: str) -> Case:
    """Copy the source once, undisturbed, to learn what it must become."""
    case = Case(path, read_source(path), sha256(path), ())
    await run(case, dsn)
    case = Case(path, case.rows, case.sha256, await read_structure(dsn))
    await assert_identical(case, dsn)
    return case


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, pg_servers: Servers) -> Case:
    """Four tables, about ten chunks."""
    path = make_source(tmp_path_factory.mktemp("faults") / "small.db")

    async def learn() -> Case:
        async with pg_servers.database("wheel18") as name:
            return await make_case(path, pg_servers.get("wheel18").dsn(name))

    return apart(learn)


@contextmanager
def own_server(name: str, *, tcp: bool = False, **settings: str) -> Iterator[EmbeddedServer]:
    """A server with these settings beside the usual ones, for tests that would disturb others."""
    installation = find_installation("wheel18")
    assert installation is not None, "install the test extra"
    with reachable_directory() as base:
        server = apart(lambda: start(base / name, tcp=tcp, settings=SETTINGS | settings, installation=installation))
        try:
            yield server
        finally:
            apart(server.stop)


@pytest.fixture(scope="session")
def crash_server() -> Iterator[EmbeddedServer]:
    """A server of its own, for tests that crash it."""
    with own_server("crash", tcp=True) as server:
        yield server


class AfterChunks:
    """A listener that is reached after a number of chunks have been committed."""

    def __init__(self, chunks: int) -> None:
        self._left = chunks
        self.reached = asyncio.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, TableProgress) and event.phase == "data":
            self._left -= 1
            if self._left <= 0:
                self.reached.set()


async def started(case: Case, dsn: str, chunks: int) -> asyncio.Task[object]:
    """Start a run and return when so many chunks are committed, or when it has ended."""
    listener = AfterChunks(chunks)
    task: asyncio.Task[object] = asyncio.create_task(try_run(case, dsn, listener=listener))
    reached = asyncio.create_task(listener.reached.wait())
    await asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED)
    reached.cancel()
    return task


async def clean(dsn: str) -> None:
    """Empty the database."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA IF EXISTS sqlite2pg, public CASCADE; CREATE SCHEMA public")
    await connection.close()
