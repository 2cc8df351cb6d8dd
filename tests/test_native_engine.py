"""The native engine on real files: the same batches as the portable one, on the snapshot's own connections."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import aiosqlite
import pytest
from fix_engine import Kernel
from fix_twin import column
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernel import TYPES, VALUES, damaged_files

from copier.errors import SourceUnreadable, UsageError
from copier.plan.chunk import RejectedRow
from copier.plan.model import ColumnPlan, TablePlan
from copier.plan.pgtype import POLICIES, parse_type
from copier.plan.source import Key, Value
from copier.sqlite import native
from copier.sqlite.connection import connect, run
from copier.sqlite.engine import Engine, PortableEngine, choose_engine
from copier.sqlite.library import LibraryAbsent, find_functions, handle_of
from copier.sqlite.snapshot import open_snapshot
from copier.wire.binary import HEADER, TRAILER
from copier.wire.cast import BrokenText
from copier.wire.decode import Fields, TupleReader

ENDLESS = b"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x), 1 FROM n"
CANCEL_S = 0.1


@dataclass(slots=True)
class Copied:
    """All batches of a table."""

    payload: list[bytes] = field(default_factory=list)
    read_rows: int = 0
    rows: int = 0
    fallback_rows: int = 0
    last_key: Key = ()
    rejects: list[RejectedRow] = field(default_factory=list)
    adjusted: Counter[str] = field(default_factory=Counter)

    def tuples(self, columns: int) -> list[Fields]:
        """Return the rows, sorted: within a page those handed over come last."""
        found = TupleReader(columns).feed(HEADER + b"".join(self.payload) + TRAILER)
        return sorted(found, key=repr)


@pytest.fixture
def engine(kernel: Kernel) -> native.NativeEngine:
    return native.NativeEngine()


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    connection = await connect(path)
    try:
        yield connection
    finally:
        await connection.close()


async def copy(
    engine: Engine,
    connection: aiosqlite.Connection,
    table: TablePlan,
    after: Key | None = None,
    upto: Key | None = None,
) -> Copied:
    copied = Copied()
    source = engine.table(connection, table)
    async with aclosing(source.pages(after, upto)) as pages:
        async for page in pages:
            batch = source.convert(page)
            copied.payload.append(batch.payload)
            copied.read_rows += batch.read_rows
            copied.rows += batch.rows
            copied.fallback_rows += batch.fallback_rows
            copied.last_key = batch.last_key
            copied.rejects += batch.rejects
            copied.adjusted.update(batch.adjusted)
    return copied


def alike(ours: Copied, theirs: Copied, columns: int) -> None:
    assert ours.tuples(columns) == theirs.tuples(columns)
    assert (ours.read_rows, ours.rows, ours.last_key) == (theirs.read_rows, theirs.rows, theirs.last_key)
    assert sorted(map(repr, ours.rejects)) == sorted(map(repr, theirs.rejects))
    assert ours.adjusted == theirs.adjusted


def plan(columns: list[ColumnPlan], key: tuple[str, ...] = ("rowid",), name: str = "t") -> TablePlan:
    return TablePlan(name, name, tuple(columns), key=key)


ROWS = st.lists(st.lists(VALUES, min_size=3, max_size=3), max_size=12)
SPECS = st.lists(st.tuples(st.sampled_from(TYPES), st.sampled_from(POLICIES)), min_size=3, max_size=3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, specs=SPECS, default=st.sampled_from([None, "0", "2024-01-01"]))
def test_the_same_batches_whatever_is_stored(
    kernel: Kernel, tmp_path: Path, rows: list[list[Value]], specs: list[object], default: str | None
) -> None:
    path = tmp_path / "a.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (a, b, c)")
        for row in rows:
            places = ", ".join("CAST(? AS TEXT)" if isinstance(v, BrokenText) else "?" for v in row)
            db.execute(f"INSERT INTO t VALUES ({places})", row)
        db.commit()
    columns = []
    for name, ((type, cast), policy) in zip("abc", specs, strict=True):  # type: ignore[misc]
        try:
            constant = default if policy == "default" else None
            one = ColumnPlan(name, name, "", type, cast, policy, default_constant=constant)
            PortableEngine().table(None, plan([one]))  # type: ignore[arg-type]
        except ValueError:  # a default its own cast refuses
            one = ColumnPlan(name, name, "", type, cast)
        columns.append(one)

    async def both() -> None:
        async with reading(path) as connection:
            ours = await copy(native.NativeEngine(), connection, plan(columns))
            theirs = await copy(PortableEngine(), connection, plan(columns))
        alike(ours, theirs, 3)

    asyncio.run(both())


def make(path: Path, rows: int = 3000, *, wal: bool = False) -> Path:
    with closing(sqlite3.connect(path)) as db:
        if wal:
            db.execute("PRAGMA journal_mode = wal")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, n)")
        db.executemany(
            "INSERT INTO t VALUES (?, ?, ?)", [(n, f"row {n}" * 50, n if n % 7 else "x") for n in range(rows)]
        )
        db.commit()
    return path


TABLE = plan([column("id", "INTEGER", "bigint"), column("x", "TEXT", "text"), column("n", "", "integer")])


async def test_pages_after_a_key_and_bounded_ones(engine: Engine, tmp_path: Path) -> None:
    async with reading(make(tmp_path / "a.db")) as connection:
        for after, upto in ((None, None), ((1000,), None), ((1000,), (1500,)), (None, (10,)), ((2999,), None)):
            ours = await copy(engine, connection, TABLE, after, upto)
            theirs = await copy(PortableEngine(), connection, TABLE, after, upto)
            alike(ours, theirs, 3)
            assert len(ours.rejects) == ours.read_rows - ours.rows
            if upto is None:
                assert ours.fallback_rows == len(ours.rejects)


async def test_refused_rows_and_tables_without_a_key(engine: Engine, tmp_path: Path) -> None:
    async with reading(make(tmp_path / "a.db", rows=50)) as connection:
        refused = {(n,): "no row in p" for n in (3, 8, 49, 700)}
        results = []
        for one in (engine, PortableEngine()):
            source = one.table(connection, TABLE, refused=refused)
            async with aclosing(source.pages(None, None)) as pages:
                batches = [source.convert(page) async for page in pages]
            assert sum(batch.rows for batch in batches) == 50 - 3 - 7
            results.append(sorted((row.key, row.reason) for batch in batches for row in batch.rejects))
        assert results[0] == results[1]
        assert results[0].count(((3,), "no row in p")) == 1
        keyless = plan(list(TABLE.columns), key=())
        assert (await copy(engine, connection, keyless)).read_rows == 50


@pytest.mark.parametrize("shape", ["text key", "two columns", "descending", "negative rowids"])
async def test_keys_of_every_shape(engine: Engine, tmp_path: Path, shape: str) -> None:
    path = tmp_path / "a.db"
    key: tuple[str, ...]
    with closing(sqlite3.connect(path)) as db:
        if shape == "text key":
            db.execute("CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, x) WITHOUT ROWID")
            key, rows = ("k",), [(f"k{n}\u00fc", n) for n in range(5000)]
        elif shape == "negative rowids":
            db.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, x)")
            key, rows = ("k",), [(n, str(n)) for n in (-(2**63), -5, 0, 7, 2**63 - 1)]  # type: ignore[misc]
        else:
            order = "DESC" if shape == "descending" else ""
            db.execute(f"CREATE TABLE t (k, x, PRIMARY KEY (k {order}, x)) WITHOUT ROWID")
            key, rows = ("k", "x"), [(f"{n % 50}", n) for n in range(5000)]
        db.executemany("INSERT INTO t VALUES (?, ?)", rows)
        db.commit()
    kind = "bigint" if shape == "negative rowids" else "text"
    columns = [column("k", "", kind), column("x", "", "numeric")]
    async with reading(path) as connection:
        ours = await copy(engine, connection, plan(columns, key))
        theirs = await copy(PortableEngine(), connection, plan(columns, key))
    alike(ours, theirs, 2)
    assert ours.rows == len(rows)


async def test_large_values_and_wide_rows(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    names = [f"c{n}" for n in range(1500)]
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x BLOB)")
        db.executemany("INSERT INTO t VALUES (zeroblob(?))", [(20 << 20,), (0,), (5,)])
        db.execute(f"CREATE TABLE w ({', '.join(names)})")
        db.executemany(f"INSERT INTO w VALUES ({', '.join('?' * 1500)})", [range(n, n + 1500) for n in range(300)])
        db.commit()
    async with reading(path) as connection:
        ours = await copy(engine, connection, plan([column("x", "BLOB", "bytea")]))
        assert sorted(len(row[0] or b"") for row in ours.tuples(1)) == [0, 5, 20 << 20]
        wide = plan([column(name, "", "bigint") for name in names], name="w")
        alike(await copy(engine, connection, wide), await copy(PortableEngine(), connection, wide), 1500)


async def test_reads_the_snapshot_while_the_application_writes(engine: Engine, tmp_path: Path) -> None:
    """A writer commits between any two pages; the copy is of the state that was pinned, in both readers."""
    path = make(tmp_path / "a.db", wal=True)
    async with open_snapshot(path, readers=2) as snapshot:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as application:
            results = []
            for _ in range(2):
                async with snapshot.reader() as connection, snapshot.reader() as other:
                    expected = await copy(PortableEngine(), other, TABLE)
                    ours = Copied()
                    source = engine.table(connection, TABLE)
                    async with aclosing(source.pages(None, None)) as pages:
                        async for page in pages:
                            batch = source.convert(page)
                            ours.payload.append(batch.payload)
                            ours.rows += batch.rows
                            application.execute("UPDATE t SET x = x || '!', n = n || 'y'")
                            application.execute("INSERT INTO t (x) VALUES ('later')")
                            application.execute("DELETE FROM t WHERE id IN (SELECT max(id) - 5 FROM t)")
                assert ours.tuples(3) == expected.tuples(3)
                results.append(hashlib.sha256(b"".join(ours.payload)).digest())
            assert results[0] == results[1]
            assert application.execute("SELECT count(*) FROM t WHERE x = 'later'").fetchone() != (0,)
        assert snapshot.mode == "wal"
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_the_locks_of_a_frozen_source_stay(engine: Engine, tmp_path: Path) -> None:
    """Another process cannot write before, while or after the kernel reads: its POSIX locks would go with a handle."""
    path = make(tmp_path / "a.db", rows=100)
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0); db.execute('DELETE FROM t'); db.commit()"
    )

    def write() -> str:
        command = [sys.executable, "-c", script, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr

    async with open_snapshot(path, readers=1) as snapshot, snapshot.reader() as connection:
        source = engine.table(connection, TABLE)
        async with aclosing(source.pages(None, None)) as pages:
            async for _ in pages:
                assert "database is locked" in await asyncio.to_thread(write)
        assert "database is locked" in await asyncio.to_thread(write)
    assert await asyncio.to_thread(write) == ""


async def test_a_cancel_ends_a_scan_at_once(kernel: Kernel, tmp_path: Path) -> None:
    scanner = kernel.scanner([(parse_type("bigint"), "int")])
    async with reading(make(tmp_path / "a.db", rows=5)) as connection:
        running = threading.Event()

        def work(raw: sqlite3.Connection) -> None:
            running.set()
            scanner.scan(handle_of(raw), ENDLESS, ())

        task = asyncio.ensure_future(run(connection, work))
        await asyncio.to_thread(running.wait)
        started = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.perf_counter() - started < CANCEL_S
        assert (await copy(native.NativeEngine(), connection, TABLE)).read_rows == 5


async def test_the_loop_runs_while_a_page_is_scanned(kernel: Kernel, tmp_path: Path) -> None:
    """The GIL is free: the loop keeps turning during one call."""
    scanner = kernel.scanner([(parse_type("bigint"), "int")])
    async with reading(make(tmp_path / "a.db", rows=5)) as connection:
        task = asyncio.ensure_future(run(connection, lambda raw: scanner.scan(handle_of(raw), ENDLESS, ())))
        turns = 0
        while turns < 1000:
            await asyncio.sleep(0)
            turns += 1
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_damage_is_the_same_error(engine: Engine, tmp_path: Path) -> None:
    table = plan([column("id", "", "bigint"), column("v", "", "bigint"), column("w", "", "text")])
    broken = 0
    for bad in damaged_files(tmp_path / "a.db", 60):
        results: list[Copied | str] = []
        for one in (engine, PortableEngine()):
            async with reading(bad) as connection:
                try:
                    results.append(await copy(one, connection, table))
                except SourceUnreadable as error:
                    results.append(f"{error.table} {str(error).rpartition(': ')[2]}")
        ours, theirs = results
        if isinstance(ours, Copied) and isinstance(theirs, Copied):
            alike(ours, theirs, 3)
        else:
            assert ours == theirs
            broken += 1
    assert 0 < broken < 60


def test_native_fails_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> object:
        raise LibraryAbsent("the kernel was not built")

    monkeypatch.setattr(native, "load_library", absent)
    with pytest.raises(UsageError, match="not here: the kernel was not built"):
        choose_engine("native")
    instead = choose_engine("auto")
    assert isinstance(instead, PortableEngine)
    assert instead.missing == "the kernel was not built"


def test_auto_is_native_where_it_is_there(kernel: Kernel) -> None:
    assert choose_engine("auto").name == choose_engine("native").name == "native"
    assert choose_engine("portable").name == "portable"


def test_functions_of_another_sqlite_are_not_taken() -> None:
    with pytest.raises(LibraryAbsent, match="sqlite3_no_such_function"):
        find_functions(("no_such_function",))


@pytest.mark.parametrize("value", [None, -5, 2**63 - 1, 2.5, "t\0\u00fc", b"\0b", BrokenText(b"\xff")])
def test_rows_set_apart_by_keys_of_every_storage_class(kernel: Kernel, value: Value) -> None:
    place = "CAST(?1 AS TEXT)" if isinstance(value, BrokenText) else "?1"
    with closing(sqlite3.connect(":memory:")) as db:
        scanner = kernel.scanner([(parse_type("bigint"), "int")], key_width=2)
        scanner.set_apart([("other", 1), (value, 7), (value, 8)])
        for second, apart in ((7, True), (9, False), (8, True)):
            found = scanner.scan(handle_of(db), f"SELECT 5, {place}, ?2".encode(), (value, second))
            assert found[5] == ([(5, value, second)] if apart else [])
        scanner.set_apart([])
        assert scanner.scan(handle_of(db), f"SELECT 5, {place}, 7".encode(), (value,))[2] == 1


async def test_digests_of_both_sides(engine: native.NativeEngine, tmp_path: Path) -> None:
    columns = TABLE.columns
    digester = engine.digester(TABLE, columns, [0], 64, [(3,)])
    assert digester is not None
    async with reading(make(tmp_path / "a.db")) as connection:
        expected = await copy(PortableEngine(), connection, TABLE)
        async with aclosing(digester.pages(connection)) as pages:
            found = [page async for page in pages]
    assert sum(page.read_rows for page in found) == 3000
    handed = [row for page in found for row in page.rows]
    assert len(handed) == len(expected.rejects) + 1
    assert (3, "row 3" * 50, 3, 3) in handed
    for piece in (HEADER, *expected.payload, TRAILER):
        assert digester.feed(piece) == []
    ours, theirs = digester.source_sums(), digester.target_sums()
    assert sum(theirs[1]) - sum(ours[1]) == 1
    assert sum(one != other for one, other in zip(ours[0], theirs[0], strict=True)) == 1
