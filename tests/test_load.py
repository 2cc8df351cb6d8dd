"""The load as a whole: who does what at the same time, what is said of it, and databases of odd shapes."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fix_engine import Kernel
from fix_proxy import Link, Proxy, What
from rich.console import Console

from copier import Settings, migrate, migration, rollback, validate
from copier import verify as check
from copier.cli.render import render_report
from copier.events import Event, Message, PhaseStarted
from copier.postgres.connect import connect, server_info
from copier.postgres.tuning import BuilderSettings, ServerMeans, builder_settings, tuned_for
from copier.report import Report
from copier.run.load import builders_beside, limits_of
from copier.sqlite import native
from copier.sqlite.library import LibraryAbsent

Pg = asyncpg.Connection
MIB = 1 << 20


def make(path: Path, script: str, rows: Iterable[tuple[str, Sequence[Sequence[object]]]] = ()) -> Path:
    """Make a database; `rows` are (INSERT with placeholders, its rows)."""
    db = sqlite3.connect(path)
    with db:
        db.executescript(script)
        for statement, values in rows:
            db.executemany(statement, values)
    db.close()
    return path


def settings(path: Path, dsn: str, **more: Any) -> Settings:
    return Settings(sqlite=path, postgres=dsn, no_backup=True, **more)


BIG = """
    CREATE TABLE big (a TEXT PRIMARY KEY NOT NULL, b INTEGER NOT NULL, c TEXT UNIQUE);
    CREATE INDEX big_b ON big (b);
    CREATE INDEX big_cb ON big (c, b DESC);
"""
BIG_ROWS = [("INSERT INTO big VALUES (?, ?, ?)", [(f"k{i}", i % 7, f"c{i}") for i in range(2000)])]


@pytest.fixture
def big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database whose one table counts as large."""
    monkeypatch.setattr("copier.run.builds.LARGE_BYTES", 1)
    return make(tmp_path / "big.db", BIG, BIG_ROWS)


class Stop(Exception):
    """Raised by a listener, to end a run between two phases."""


async def stop_before_data(path: Path, dsn: str) -> None:
    """Begin a run, and leave it when its tables are there."""

    def listen(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.phase == "data":
            raise Stop

    with pytest.raises(Stop):
        await migrate(settings(path, dsn), listen)


async def waiting(pg: Pg, mode: str, sessions: int) -> None:
    """Wait until so many sessions wait for a lock of this mode on `big`."""
    query = "SELECT count(DISTINCT pid) FROM pg_locks WHERE relation = 'big'::regclass AND mode = $1 AND NOT granted"
    async with asyncio.timeout(60):
        while await pg.fetchval(query, mode) < sessions:
            await asyncio.sleep(0.01)


async def constraints(pg: Pg) -> list[tuple[str, str]]:
    rows = await pg.fetch(
        "SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'big'::regclass AND contype IN ('p', 'u') ORDER BY 1"
    )
    return [tuple(row) for row in rows]


WANTED = [("big_c_key", "UNIQUE (c)"), ("big_pkey", "PRIMARY KEY (a)")]


class TestIndexes:
    async def test_all_builders_work_on_one_table(self, big: Path, pg_dsn: str, pg: Pg) -> None:
        await stop_before_data(big, pg_dsn)
        lock = pg.transaction()
        await lock.start()
        await pg.execute("LOCK TABLE big IN ROW EXCLUSIVE MODE")  # COPY may go on, CREATE INDEX waits
        task = asyncio.create_task(migrate(settings(big, pg_dsn)))
        await waiting(pg, "ShareLock", 2)
        await lock.rollback()
        report = await task
        assert report.outcome == "verified"
        assert await constraints(pg) == WANTED
        assert await pg.fetchval("SELECT count(*) FROM pg_indexes WHERE tablename = 'big'") == 4
        notes = {(o.kind, o.status) for o in report.objects if o.table == "big"}
        assert notes >= {("primary key", "created"), ("unique", "created"), ("index", "created")}

    @pytest.mark.parametrize("then", ["resume", "rollback"])
    async def test_killed_between_an_index_and_its_constraint(
        self, big: Path, pg_dsn: str, pg: Pg, tmp_path: Path, then: str
    ) -> None:
        await stop_before_data(big, pg_dsn)
        lock = pg.transaction()
        await lock.start()
        await pg.execute("LOCK TABLE big IN ACCESS SHARE MODE")  # only the constraint has to wait
        task = asyncio.create_task(migrate(settings(big, pg_dsn)))
        await waiting(pg, "AccessExclusiveLock", 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await lock.rollback()
        assert await constraints(pg) == []
        assert await pg.fetchval("SELECT count(*) FROM pg_indexes WHERE tablename = 'big'") == 4
        assert await pg.fetchval("SELECT state FROM sqlite2pg.run_table") == "copied"
        if then == "resume":
            report = await migrate(settings(big, pg_dsn))
            assert report.outcome == "verified"
            assert await constraints(pg) == WANTED
            assert await pg.fetchval("SELECT count(*) FROM pg_indexes WHERE tablename = 'big'") == 4
        result = await rollback(Settings(postgres=pg_dsn), no_dump=True)
        assert "table big" in result.dropped
        assert ("primary key big_pkey" in result.dropped) == (then == "resume")
        left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert await pg.fetch(left) == []

    async def test_an_index_that_is_refused_does_not_stop_the_others(self, big: Path, pg_dsn: str, pg: Pg) -> None:
        plan = big.with_suffix(".toml")
        plan.write_text(
            'format = 1\n[table."big"]\nadd_indexes = { twice = "((b))", wrong = "USING gin (b)" }\n', encoding="utf-8"
        )
        report = await migrate(settings(big, pg_dsn, plan=plan))
        status = {o.name: o.status for o in report.objects if o.kind == "index"}
        assert (status["twice"], status["wrong"], status["big_b"]) == ("created", "failed", "created")
        assert await constraints(pg) == WANTED
        assert await pg.fetchval("SELECT state FROM sqlite2pg.run_table") == "built"

    async def test_many_large_tables_that_refer_to_each_other(
        self, tmp_path: Path, pg_dsn: str, pg: Pg, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Builds, validations and ANALYZE side by side end, and end right: none waits for another in a ring."""
        monkeypatch.setattr("copier.run.builds.LARGE_BYTES", 1)
        script = "".join(
            f"CREATE TABLE t{i} (id INTEGER PRIMARY KEY, p INTEGER REFERENCES t{(i + 1) % 12} (id),"
            f" q INTEGER REFERENCES t{(i + 5) % 12} (id), CHECK (id > 0)); CREATE INDEX i{i} ON t{i} (p);"
            for i in range(12)
        )
        rows = [(f"INSERT INTO t{i} VALUES (?, ?, ?)", [(n, n, 51 - n) for n in range(1, 51)]) for i in range(12)]
        rows.append(("INSERT INTO t3 VALUES (?, ?, ?)", [(99, 98, 1)]))
        report = await migrate(settings(make(tmp_path / "ring.db", script, rows), pg_dsn, jobs=6))
        assert report.outcome == "attention"
        open_keys = [o.name for o in report.objects if o.kind == "foreign key" and "kept NOT VALID" in o.detail]
        invalid = await pg.fetch("SELECT conname::text FROM pg_constraint WHERE NOT convalidated")
        assert [row[0] for row in invalid] == open_keys
        assert len(open_keys) == 1
        assert (
            await pg.fetchval(
                "SELECT count(*) FROM pg_constraint WHERE contype IN ('f', 'c') AND convalidated"
                " AND connamespace = 'public'::regnamespace"
            )
            == 35
        )
        assert await pg.fetchval("SELECT count(DISTINCT tablename) FROM pg_stats WHERE schemaname = 'public'") == 12

    async def test_small_tables_share_transactions_and_one_refusal_is_one(
        self, tmp_path: Path, pg_dsn: str, pg: Pg
    ) -> None:
        script = "".join(
            f"CREATE TABLE s{i} (id INTEGER PRIMARY KEY, x INTEGER REFERENCES s0 (id), CHECK (x <> 7));"
            f"CREATE INDEX x{i} ON s{i} (x);"
            for i in range(60)
        )
        rows = [(f"INSERT INTO s{i} VALUES (1, 1)", [()]) for i in range(60)] + [
            ("INSERT INTO s9 VALUES (2, 99)", [()])
        ]
        report = await migrate(settings(make(tmp_path / "small.db", script, rows), pg_dsn))
        assert report.outcome == "attention"
        assert [o.table for o in report.objects if "NOT VALID" in o.detail] == ["s9"]
        assert await pg.fetchval("SELECT count(*) FROM pg_constraint WHERE NOT convalidated") == 1
        assert await pg.fetchval("SELECT count(*) FROM sqlite2pg.run_table WHERE state = 'built'") == 60
        assert await pg.fetchval("SELECT bool_and(finished_at >= started_at) FROM sqlite2pg.run_table")

    async def test_small_tables_are_built_by_dozens(self, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
        script = "".join(f"CREATE TABLE s{i} (id INTEGER PRIMARY KEY, x UNIQUE);" for i in range(120))
        report = await migration.schema(settings(make(tmp_path / "small.db", script), pg_dsn))
        assert report.exit_code == 0
        assert await pg.fetchval("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == 240
        commits = await pg.fetchval("SELECT count(DISTINCT xmin::text) FROM sqlite2pg.object WHERE kind = 'unique'")
        assert commits <= 4


class TestBuilderSettings:
    @pytest.mark.parametrize(
        ("means", "builders", "wanted"),
        [
            (ServerMeans(128 * MIB, 64 * MIB, 8, 8), 2, BuilderSettings(64 * MIB, 1)),  # memory allows no second worker
            (ServerMeans(8192 * MIB, 64 * MIB, 8, 8), 2, BuilderSettings(1024 * MIB, 4)),
            (ServerMeans(8192 * MIB, 64 * MIB, 8, 8, cores=2), 2, BuilderSettings(1024 * MIB, 1)),
            (ServerMeans(1024 * MIB, 64 * MIB, 16, 4), 4, BuilderSettings(128 * MIB, 1)),
            (ServerMeans(128 * MIB, 2048 * MIB, 8, 8), 2, BuilderSettings(2048 * MIB, 4)),  # the server's own is more
            (ServerMeans(1024 * MIB, 64 * MIB, 8, 0), 2, BuilderSettings(256 * MIB, 0)),
            (ServerMeans(1024 * MIB, 64 * MIB, 8, 8, cores=1), 2, BuilderSettings(256 * MIB, 0)),
        ],
    )
    def test_shares(self, means: ServerMeans, builders: int, wanted: BuilderSettings) -> None:
        assert builder_settings(means, builders) == wanted

    async def test_a_session_has_them(self, pg_any: str) -> None:
        connection = await connect(pg_any)
        try:
            await connection.execute("SET maintenance_work_mem = '1MB'")
            await tuned_for(await server_info(connection), 2)(connection)
            assert await connection.fetchval("SHOW maintenance_work_mem") == "64MB"
            assert await connection.fetchval("SHOW max_parallel_maintenance_workers") == "1"
        finally:
            await connection.close()

    def test_every_writer_has_a_chunk(self) -> None:
        for writers in range(1, 65):
            limits = limits_of(writers, 4 * MIB, 16 * MIB)
            assert limits.chunk_bytes * writers <= limits.memory_bytes, "none waits for memory that others hold"
        assert limits_of(2, 4 * MIB, 16 * MIB).chunk_bytes == 4 * MIB
        assert [builders_beside(writers) for writers in (1, 2, 4, 8)] == [2, 2, 2, 4]


class TestWriters:
    async def test_several_write_one_table_and_share_its_generated_column(
        self, tmp_path: Path, pg_dsn: str, pg: Pg
    ) -> None:
        """The server makes the tsvector while the rows come in, in each writer's own process."""
        words = "the quick brown foxes jumped over lazy dogs " * 20
        rows = [("INSERT INTO post VALUES (?, ?)", [(i, f"{i} {words}") for i in range(1, 3001)])]
        path = make(tmp_path / "posts.db", "CREATE TABLE post (id INTEGER PRIMARY KEY, body TEXT NOT NULL)", rows)
        plan = tmp_path / "plan.toml"
        plan.write_text(
            'format = 1\n[table."post"]\nadd_columns = { tsv = "tsvector GENERATED ALWAYS AS'
            ' (to_tsvector(\'english\', body)) STORED", writer = "integer DEFAULT pg_backend_pid()" }\n'
            'add_indexes = { post_tsv = "USING gin (tsv)" }\n'
        )
        report = await migrate(settings(path, pg_dsn, plan=plan, jobs=2, chunk_bytes=128 << 10))
        assert report.outcome == "verified"
        shares = await pg.fetch("SELECT count(*) AS rows FROM post GROUP BY writer")
        assert len(shares) == 2
        assert min(row["rows"] for row in shares) > 300, "neither starves"
        assert await pg.fetchval("SELECT count(*) FROM post WHERE tsv @@ to_tsquery('english', 'fox')") == 3000


def printed(report: Report) -> str:
    out = StringIO()
    render_report(report, Console(file=out, width=200))
    return out.getvalue()


class TestFallbackRows:
    SCRIPT = """
        CREATE TABLE hit (id INTEGER PRIMARY KEY, ip_address TEXT, price NUMERIC(20, 3));
        INSERT INTO hit VALUES (1, '10.0.0.1', 5), (2, '2001:db8::1', 6), (3, '10.0.0.2', 1e15), (4, '10.0.0.3', 7);
        CREATE TABLE plain (id INTEGER PRIMARY KEY);
        INSERT INTO plain VALUES (1);
    """

    async def test_rows_of_the_portable_path_are_counted_and_said(
        self, kernel: Kernel, tmp_path: Path, pg_dsn: str, pg: Pg, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SQLITE2PG_ENGINE", "native")
        report = await migrate(settings(make(tmp_path / "f.db", self.SCRIPT), pg_dsn))
        counted = {table.source: table.fallback_rows for table in report.tables}
        assert counted["plain"] == 0
        assert 1 <= counted["hit"] < 4
        assert await pg.fetchval("SELECT sum(fallback_rows) FROM sqlite2pg.chunk") == counted["hit"]
        assert f'"fallback_rows": {counted["hit"]}' in report.to_json().decode()
        assert "went through the portable engine" in printed(report)
        assert await pg.fetchval("SELECT host(ip_address::inet) FROM hit WHERE id = 2") == "2001:db8::1"

    async def test_the_portable_engine_has_none(
        self, tmp_path: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SQLITE2PG_ENGINE", "portable")
        report = await migrate(settings(make(tmp_path / "f.db", self.SCRIPT), pg_dsn))
        assert {table.fallback_rows for table in report.tables} == {0}
        assert "portable engine" not in printed(report)

    @pytest.mark.parametrize("then", ["resume", "rollback", "check"])
    async def test_a_ledger_of_an_earlier_version(self, tmp_path: Path, pg_dsn: str, pg: Pg, then: str) -> None:
        path = make(tmp_path / "f.db", self.SCRIPT)
        if then == "resume":
            await stop_before_data(path, pg_dsn)
        else:
            await migrate(settings(path, pg_dsn))
        await pg.execute(
            "ALTER TABLE sqlite2pg.chunk DROP COLUMN fallback_rows; ALTER TABLE sqlite2pg.run ADD end_xid int8"
        )
        if then == "rollback":
            assert "table hit" in (await rollback(Settings(postgres=pg_dsn), no_dump=True)).dropped
        else:
            again = await (migrate if then == "resume" else check)(settings(path, pg_dsn))
            assert again.outcome == "verified"


class TestEngineNote:
    @pytest.mark.parametrize(("wish", "times"), [("auto", 1), ("portable", 0)])
    async def test_it_is_said_once_that_the_fast_engine_is_not_here(
        self, tmp_path: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch, wish: str, times: int
    ) -> None:
        def absent() -> object:
            raise LibraryAbsent("the kernel was not built")

        monkeypatch.setattr(native, "load_library", absent)
        monkeypatch.setenv("SQLITE2PG_ENGINE", wish)
        path = make(tmp_path / "a.db", "CREATE TABLE a (x); INSERT INTO a VALUES (1); CREATE TABLE b (y);")
        said: list[Event] = []
        report = await migrate(settings(path, pg_dsn), said.append)
        assert (report.outcome, report.engine) == ("verified", "portable")
        notes = [e for e in said if isinstance(e, Message) and "the kernel was not built" in e.text]
        assert len(notes) == times
        assert all(e.level == "info" and "C compiler" in e.text for e in notes)


class TestShapes:
    async def test_fifty_empty_tables_take_no_time(self, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
        script = "".join(
            f"CREATE TABLE t{i} (id INTEGER PRIMARY KEY, name TEXT UNIQUE, x INT); CREATE INDEX i{i} ON t{i} (x);"
            for i in range(50)
        )
        path = make(tmp_path / "empty.db", script)
        commits = (
            "SELECT pg_stat_clear_snapshot(), xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
        before, start_s = (await pg.fetchrow(commits))[1], time.process_time()
        report = await migrate(settings(path, pg_dsn))
        assert time.process_time() - start_s < 3, "the whole takes less than 3 s where nothing else runs"
        assert (await pg.fetchrow(commits))[1] - before < 300, "transactions"
        assert report.outcome == "verified"
        assert await pg.fetchval("SELECT count(*) FROM sqlite2pg.chunk") == 0
        assert await pg.fetchval("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == 150

    @pytest.mark.parametrize("columns", [1, 600, 1500])
    async def test_narrow_and_wide_rows(self, tmp_path: Path, pg_dsn: str, pg: Pg, columns: int) -> None:
        """1,500 columns of which a row fills a few hundred: 8 KB hold no more of them."""
        names = ", ".join(f"c{i} INT" for i in range(columns))
        marks = ", ".join("?" * columns)
        rows = [[r * 1000 + c if c % 3 == r % 3 else None for c in range(columns)] for r in range(40)]
        path = make(tmp_path / "w.db", f"CREATE TABLE w ({names})", [(f"INSERT INTO w VALUES ({marks})", rows)])
        report = await migrate(settings(path, pg_dsn))
        assert report.outcome == "verified"
        assert await pg.fetchval("SELECT count(*) FROM w") == 40

    @pytest.mark.slow
    async def test_blobs_of_100_mb(self, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
        path = make(tmp_path / "b.db", "CREATE TABLE b (id INTEGER PRIMARY KEY, x BLOB)")
        db = sqlite3.connect(path)
        with db:
            for i in range(2):
                db.execute("INSERT INTO b VALUES (?, randomblob(100000000))", [i])
        db.close()
        report = await migrate(settings(path, pg_dsn))
        assert report.outcome == "verified"
        assert await pg.fetchval("SELECT sum(octet_length(x)) FROM b") == 200_000_000


class Silence:
    """Keeps the answer to the first statement that holds `text`."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._link: Link | None = None

    def __call__(self, link: Link, _kind: int, body: bytes) -> What:
        if self._link is None and self._text in body:
            self._link = link
        # What follows the statement in the same breath, such as Sync, must not let the answer pass.
        return "hold answer" if link is self._link else "pass"


class TestSilentNetwork:
    @pytest.mark.parametrize(
        ("verb", "at"), [("check", b"COPY"), ("rollback", b"LOCK TABLE"), ("validate", b"pg_is_in_recovery")]
    )
    async def test_a_cancelled_verb_ends_within_five_seconds(
        self, tmp_path: Path, proxy: Proxy, verb: str, at: bytes
    ) -> None:
        path = make(tmp_path / "s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
        await migrate(settings(path, proxy.direct))
        proxy.decide = Silence(at)
        verbs = {
            "check": lambda: check(settings(path, proxy.dsn)),
            "rollback": lambda: rollback(Settings(postgres=proxy.dsn), no_dump=True),
            "validate": lambda: validate(settings(path, proxy.dsn, existing="append")),
        }
        task = asyncio.ensure_future(verbs[verb]())
        held = asyncio.create_task(proxy.held.wait())
        await asyncio.wait({task, held}, return_when=asyncio.FIRST_COMPLETED)
        held.cancel()
        assert not task.done(), task
        task.cancel()
        start_s = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - start_s < 5
        proxy.decide = lambda *_: "pass"
        proxy.go_on()
        assert (await check(settings(path, proxy.direct))).outcome == "verified", "nothing was removed"
