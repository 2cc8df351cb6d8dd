"""Rejected rows: listed as they are stored, and tried again exactly once each."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from fix_proxy import Link, Proxy, What, is_commit

from copier import migration
from copier.config import Settings
from copier.errors import CopierError, PlanError, ResumeRefused, RunBusy, TargetUnusable, UsageError
from copier.events import PhaseStarted
from copier.plan.existing import ExistingColumn, ExistingTable
from copier.plan.pgtype import PgType
from copier.plan.retry import RecordedTable, plan_retry
from copier.postgres.ledger import Ledger
from copier.run import retry
from copier.run.rejects import Reject

Pg = asyncpg.Connection

BAD = 1300
"""Rows of `event` that are no time: three batches of a retry."""

SCRIPT = """
CREATE TABLE event (id INTEGER PRIMARY KEY, at DATETIME DEFAULT '2020-01-01 00:00:00', note TEXT);
CREATE TABLE scan (rowid TEXT, oid TEXT, _rowid_ DATETIME);
CREATE TABLE clean (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
"""
PLAN = """
format = 1
[table.event.columns]
at = { type = "timestamptz", cast = "iso", policy = "%s" }
[table.scan.columns]
_rowid_ = { type = "timestamptz", cast = "iso", policy = "%s" }
"""


def make(path: Path, bad: int = BAD) -> Path:
    with sqlite3.connect(path) as db:
        db.executescript(SCRIPT)
        good = [(i, "2024-05-06 07:08:09", f"good {i}") for i in range(1, 3001)]
        db.executemany("INSERT INTO event VALUES (?, ?, ?)", good)
        db.executemany("INSERT INTO event VALUES (?, ?, ?)", [(i, f"soon {i}", "bad") for i in range(5001, 5001 + bad)])
        db.executemany("INSERT INTO scan VALUES (?, ?, ?)", [("a", "b", "2024-05-06"), *[("x", "y", "never")] * 2])
        db.executemany("INSERT INTO clean VALUES (?, ?)", [(i, "x") for i in range(50)])
    db.close()
    return path


def plan_file(path: Path, policy: str) -> Path:
    path.write_text(PLAN % (policy, policy))
    return path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return make(tmp_path / "event.db")


def settings_of(path: Path | None, dsn: str, plan: Path | None = None) -> Settings:
    return Settings(sqlite=path, postgres=dsn, plan=plan, no_backup=True, jobs=2)


async def moved(path: Path, dsn: str, tmp_path: Path) -> None:
    """Move the file with a plan that rejects what is no time."""
    report = await migration.full(settings_of(path, dsn, plan_file(tmp_path / "first.toml", "reject")))
    assert report.outcome == "attention"
    assert sum(t.rejected_rows for t in report.tables) == BAD + 2


async def listed(dsn: str, *tables: str) -> list[Reject]:
    return [one async for one in migration.list_rejects(Settings(postgres=dsn), tables=tables)]


async def counts(report: object) -> dict[str, tuple[int, int, int]]:
    return {t.source: (t.retried_rows, t.moved_rows, t.left_rows) for t in report.retries}  # type: ignore[attr-defined]


async def assert_balanced(path: Path, dsn: str, outcome: str = "verified") -> None:
    for level in ("count", "content"):
        report = await migration.check(Settings(sqlite=path, postgres=dsn, level=level))  # type: ignore[arg-type]
        assert report.outcome == outcome, report.to_json().decode()


async def test_a_changed_policy_moves_every_row_once_and_check_balances(
    events: Path, tmp_path: Path, pg_dsn: str, pg: Pg
) -> None:
    await moved(events, pg_dsn, tmp_path)
    await assert_balanced(events, pg_dsn, "attention")
    report = await migration.retry_rejects(settings_of(None, pg_dsn))
    assert await counts(report) == {"event": (BAD, 0, BAD), "scan": (2, 0, 2)}
    assert (report.outcome, report.exit_code, len(report.rejects)) == ("attention", 3, 100)
    report = await migration.retry_rejects(settings_of(None, pg_dsn, plan_file(tmp_path / "now.toml", "null")))
    assert await counts(report) == {"event": (BAD, BAD, 0), "scan": (2, 2, 0)}
    assert (report.outcome, report.exit_code, report.rejects) == ("verified", 0, [])
    assert await pg.fetchval("SELECT count(*) FROM event WHERE at IS NULL AND note = 'bad'") == BAD
    assert await pg.fetchval("SELECT count(DISTINCT id) FROM event") == 3000 + BAD
    assert await pg.fetchval("SELECT count(*) FROM scan WHERE _rowid_ IS NULL") == 2
    assert await listed(pg_dsn) == []
    await assert_balanced(events, pg_dsn)
    assert (await migration.retry_rejects(settings_of(None, pg_dsn))).retries == []
    [run] = await migration.status(Settings(postgres=pg_dsn))
    assert (run.rows, run.rejects) == (3000 + BAD + 3 + 50, 0)


async def test_the_id_of_a_rejected_row_is_not_given_out(events: Path, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    await moved(events, pg_dsn, tmp_path)
    given = await pg.fetchval("INSERT INTO event (note) VALUES ('theirs') RETURNING id")
    assert given == 5001 + BAD
    report = await migration.retry_rejects(settings_of(None, pg_dsn, plan_file(tmp_path / "now.toml", "null")))
    assert await counts(report) == {"event": (BAD, BAD, 0), "scan": (2, 2, 0)}


async def test_an_id_beyond_the_column_does_not_exhaust_its_sequence(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (7), (3000000000)")
    db.close()
    await pg.execute("CREATE TABLE t (id serial PRIMARY KEY)")
    assert (await migration.data(Settings(sqlite=path, postgres=pg_dsn))).outcome == "attention"
    assert await pg.fetchval("INSERT INTO t DEFAULT VALUES RETURNING id") == 8


async def test_the_proof_still_sees_a_wrong_retried_row(events: Path, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    await moved(events, pg_dsn, tmp_path)
    await migration.retry_rejects(settings_of(None, pg_dsn, plan_file(tmp_path / "now.toml", "null")))
    await pg.execute("UPDATE event SET at = now() WHERE id = 5005")
    report = await migration.check(Settings(sqlite=events, postgres=pg_dsn))
    assert (report.outcome, [m.key for m in report.mismatches]) == ("mismatch", ["id=5005"])
    await pg.execute("UPDATE event SET at = NULL WHERE id = 5005; DELETE FROM scan WHERE _rowid_ IS NULL")
    report = await migration.check(Settings(sqlite=events, postgres=pg_dsn))
    assert {m.table for m in report.mismatches} == {"scan"}


async def test_the_default_and_another_cast_are_choices(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME DEFAULT '2020-01-01 00:00:00', n INTEGER)")
        db.executemany("INSERT INTO t VALUES (?, '2024-05-06 07:08:09', 1)", [(i,) for i in range(1, 900)])
        db.execute("INSERT INTO t VALUES (1000, 1700000000, 1), (1001, 'soon', 2)")
    db.close()
    plan = tmp_path / "plan.toml"
    line = 'format = 1\n[table.t.columns]\nat = { type = "timestamptz", cast = "%s", policy = "%s" }\n'
    plan.write_text(line % ("iso", "reject"))
    await migration.full(settings_of(path, pg_dsn, plan))
    assert {one.shown for one in await listed(pg_dsn)} == {"1700000000", "'soon'"}
    plan.write_text(line % ("epoch_s", "reject"))
    report = await migration.retry_rejects(settings_of(None, pg_dsn, plan))
    assert await counts(report) == {"t": (2, 1, 1)}
    assert (await pg.fetchval("SELECT at FROM t WHERE id = 1000")).isoformat() == "2023-11-14T22:13:20+00:00"
    plan.write_text(line % ("iso", "default"))
    report = await migration.retry_rejects(settings_of(None, pg_dsn, plan))
    assert await counts(report) == {"t": (1, 1, 0)}
    assert (await pg.fetchval("SELECT at FROM t WHERE id = 1001")).isoformat() == "2020-01-01T00:00:00+00:00"
    await assert_balanced(path, pg_dsn)
    assert await pg.fetchval("INSERT INTO t (n) VALUES (3) RETURNING id") == 1002, "the sequence is behind them"


async def test_a_mended_target_takes_them_and_rollback_finds_them(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    """A check dropped, and a column altered: the types are those the table has now."""
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, word TEXT)")
        db.executemany("INSERT INTO t VALUES (?, ?, 'ok')", [(i, i) for i in range(1, 900)])
        db.execute("INSERT INTO t VALUES (1000, 'many', 'ok'), (1001, 5, 'too long a word'), (1002, 'few', 'ok')")
    db.close()
    await pg.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, n bigint, word text, CONSTRAINT short CHECK (length(word) < 5));"
        "INSERT INTO t VALUES (-1, -1, 'mine')"
    )
    settings = Settings(sqlite=path, postgres=pg_dsn, no_backup=True, existing="append")
    await migration.full(settings)
    refused = {one.key: (one.column, one.reason) for one in await listed(pg_dsn)}
    assert refused["id=1001"][0] is None
    assert "short" in refused["id=1001"][1]
    assert refused["id=1000"][0] == "n"
    await pg.execute("ALTER TABLE t DROP CONSTRAINT short")
    assert await counts(await migration.retry_rejects(settings_of(None, pg_dsn))) == {"t": (3, 1, 2)}
    await pg.execute("ALTER TABLE t ALTER n TYPE text")
    assert await counts(await migration.retry_rejects(settings_of(None, pg_dsn))) == {"t": (2, 2, 0)}
    assert await pg.fetchval("SELECT n FROM t WHERE id = 1002") == "few"


async def test_rollback_takes_retried_rows_back(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    """In a table of somebody else, exactly the run's rows go, those of the retry with them."""
    path = make(tmp_path / "event.db")
    await pg.execute("CREATE TABLE event (id bigint PRIMARY KEY, at timestamptz, note text)")
    await pg.execute("INSERT INTO event VALUES (-1, now(), 'mine')")
    first = plan_file(tmp_path / "first.toml", "reject")
    await migration.full(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, existing="append", plan=first))
    assert await counts(
        await migration.retry_rejects(settings_of(None, pg_dsn, plan_file(tmp_path / "now.toml", "null")))
    ) == {"event": (BAD, BAD, 0), "scan": (2, 2, 0)}
    await assert_balanced(path, pg_dsn)
    result = await migration.rollback(Settings(postgres=pg_dsn), no_dump=True)
    assert result.deleted_rows["event"] == 3000 + BAD
    assert [row["id"] for row in await pg.fetch("SELECT id FROM event")] == [-1]


async def test_a_column_of_a_created_table_altered_to_text(events: Path, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    """`check` reads a table the run created by the types it has now."""
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        db.executemany("INSERT INTO t VALUES (?, ?)", [*((i, i * 7) for i in range(500)), (900, "many")])
    db.close()
    plan = tmp_path / "plan.toml"
    plan.write_text('format = 1\n[table.t.columns]\nn = { type = "bigint", cast = "int", policy = "reject" }\n')
    await migration.full(settings_of(path, pg_dsn, plan))
    await pg.execute("ALTER TABLE t ALTER n TYPE text")
    assert await counts(await migration.retry_rejects(settings_of(None, pg_dsn))) == {"t": (1, 1, 0)}
    await assert_balanced(path, pg_dsn)


async def test_orphans_come_when_their_parents_have(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    """Also a chain of them, listed child first."""
    path = tmp_path / "tree.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE node (id INTEGER PRIMARY KEY, up INTEGER REFERENCES node (id))")
        db.executemany("INSERT INTO node VALUES (?, NULL)", [(i,) for i in range(100, 120)])
        db.execute("INSERT INTO node VALUES (1, 7), (2, 8)")
    db.close()
    report = await migration.full(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, orphans="quarantine"))
    assert report.outcome == "attention"
    assert await counts(await migration.retry_rejects(settings_of(None, pg_dsn))) == {"node": (2, 0, 2)}
    [reason] = {one.reason.partition('"')[0] for one in await listed(pg_dsn)}
    assert reason.startswith("insert or update on table")
    # 1 hangs on 7 and 7, itself rejected now, on 2, which hangs on 8: as if three tables had waited for each other.
    ledger = Ledger()
    run = await ledger.latest_data(pg, None)
    assert run is not None
    await pg.execute(
        "INSERT INTO sqlite2pg.reject (run, source, key, reason, row_data) VALUES ($1, 'node', '[7]', 'orphan',"
        """ '[["integer", "7"], ["integer", "2"]]')""",
        run.id,
    )
    await pg.execute("INSERT INTO node VALUES (8, NULL)")
    assert await counts(await migration.retry_rejects(settings_of(None, pg_dsn))) == {"node": (3, 3, 0)}
    assert await pg.fetchval("SELECT array_agg(id ORDER BY id) FROM node WHERE up IS NOT NULL") == [1, 2, 7]


async def test_killed_at_any_moment_the_same_command_goes_on(events: Path, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    """Killed after every number of committed batches that comes by; each row is there once in the end."""
    await moved(events, pg_dsn, tmp_path)
    plan = plan_file(tmp_path / "now.toml", "null")
    resolved = "SELECT count(*) FROM sqlite2pg.reject WHERE resolved_at IS NOT NULL"
    killed = 0
    for wanted in (0, 1, 501, 1001):
        process = await start_retry(pg_dsn, plan)
        while process.returncode is None and await pg.fetchval(resolved) < wanted:
            await asyncio.sleep(0)
        if process.returncode is None:
            process.kill()
        await process.communicate()
        killed += process.returncode != 0
        assert await pg.fetchval("SELECT count(*) - count(DISTINCT id) FROM event") == 0
        assert await pg.fetchval("SELECT count(*) FROM event WHERE note = 'bad'") <= BAD
    process = await start_retry(pg_dsn, plan)
    output, errors = await process.communicate()
    assert process.returncode == 0, (output + errors).decode()
    assert killed >= 2
    assert await pg.fetchval("SELECT count(*) FROM event WHERE note = 'bad'") == BAD
    assert await pg.fetchval(resolved) == BAD + 2
    await assert_balanced(events, pg_dsn)


async def start_retry(dsn: str, plan: Path) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "copier", "rejects", "--retry", "--plan", str(plan), "--progress", "none"]
    return await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


class RetryCommit:
    """Does `what` to the n-th COMMIT of the connection that writes batches."""

    def __init__(self, number: int, what: What) -> None:
        self._left, self._what, self._writing = number, what, False

    def __call__(self, link: Link, kind: int, body: bytes) -> What:
        if not is_commit(kind, body) or not link.claimed:
            return "pass"
        self._left -= 1
        return self._what if not self._left else "pass"


@pytest.mark.parametrize("what", ["cut answer", "cut"])
@pytest.mark.parametrize("number", [1, 3])
async def test_a_commit_without_an_answer_is_settled(
    events: Path, tmp_path: Path, proxy: Proxy, what: What, number: int
) -> None:
    await moved(events, proxy.direct, tmp_path)
    proxy.decide = RetryCommit(number, what)
    report = await migration.retry_rejects(settings_of(None, proxy.dsn, plan_file(tmp_path / "now.toml", "null")))
    assert proxy.cuts == 1
    assert await counts(report) == {"event": (BAD, BAD, 0), "scan": (2, 2, 0)}
    await assert_balanced(events, proxy.direct)


@pytest.mark.parametrize("part", [1, 4, 7, 9])
async def test_cut_anywhere_and_given_again_it_ends_exact(
    events: Path, tmp_path: Path, proxy: Proxy, part: int
) -> None:
    await moved(events, proxy.direct, tmp_path)
    plan = plan_file(tmp_path / "now.toml", "null")
    proxy.cut_after_bytes = part * 20_000
    with contextlib.suppress(CopierError):
        await migration.retry_rejects(settings_of(None, proxy.dsn, plan))
    assert proxy.cuts
    await migration.retry_rejects(settings_of(None, proxy.direct, plan))
    await assert_balanced(events, proxy.direct)


async def test_cancelled_it_goes_on(events: Path, tmp_path: Path, pg_dsn: str) -> None:
    await moved(events, pg_dsn, tmp_path)
    plan = plan_file(tmp_path / "now.toml", "null")
    seen: list[object] = []
    task = asyncio.create_task(migration.retry_rejects(settings_of(None, pg_dsn, plan), seen.append))
    while not any(isinstance(event, PhaseStarted) for event in seen):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await migration.retry_rejects(settings_of(None, pg_dsn, plan))).outcome == "verified"
    await assert_balanced(events, pg_dsn)


async def test_it_refuses_beside_a_run_and_before_its_end(events: Path, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    await moved(events, pg_dsn, tmp_path)
    await Ledger().lock(pg, "public")
    with pytest.raises(RunBusy, match="another run is working"):
        await migration.retry_rejects(settings_of(None, pg_dsn))
    await pg.execute("SELECT pg_advisory_unlock_all(); UPDATE sqlite2pg.run SET finished_at = NULL")
    with pytest.raises(ResumeRefused, match="has not ended"):
        await migration.retry_rejects(settings_of(None, pg_dsn))


async def test_a_reject_somebody_removed_meanwhile_is_not_written(
    events: Path, tmp_path: Path, pg_dsn: str, pg: Pg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolving fewer rejects than rows were copied takes the batch back."""
    await moved(events, pg_dsn, tmp_path)
    whole = retry.Retry._write

    async def late(self: retry.Retry, *arguments: object) -> tuple[int, int]:
        await pg.execute("DELETE FROM sqlite2pg.reject WHERE key::text = '[5001]'")
        return await whole(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(retry.Retry, "_write", late)
    with pytest.raises(RunBusy, match="somebody else changed"):
        await migration.retry_rejects(settings_of(None, pg_dsn, plan_file(tmp_path / "now.toml", "null")))
    assert await pg.fetchval("SELECT count(*) FROM event WHERE note = 'bad'") == 0


class TestList:
    async def test_text_and_json(self, events: Path, tmp_path: Path, pg_dsn: str) -> None:
        path = tmp_path / "odd.db"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE odd (id INTEGER PRIMARY KEY, body TEXT)")
            db.executemany("INSERT INTO odd (body) VALUES (?)", [("fine",)] * 20)
            db.execute("INSERT INTO odd VALUES (77, 'a' || char(0) || char(27) || '[31m' || char(10))")
            db.execute("INSERT INTO odd VALUES (78, CAST(x'ff00' || zeroblob(100000) AS TEXT))")
        db.close()
        await migration.full(settings_of(path, pg_dsn))
        output = await run_cli(pg_dsn, "rejects")
        assert "odd id=77, column body" in output
        assert "\x1b" not in output
        assert "\x00" not in output
        assert output.endswith("2 rejected rows.\n")
        assert max(map(len, output.splitlines())) < 200
        first, second = json.loads(await run_cli(pg_dsn, "rejects", "--json"))
        assert base64.b64decode(first["value_base64"]) == b"a\0\x1b[31m\n"
        assert (first["table"], first["key"], first["column"], first["storage_class"]) == (
            "odd",
            "id=77",
            "body",
            "text",
        )
        assert first["row"]["id"] == ["integer", "77"]
        assert len(base64.b64decode(second["value_base64"])) == 100_002
        assert second["row"]["body"][0] == "broken text"

    async def test_no_reject_no_run_and_wrong_names(self, tmp_path: Path, pg_dsn: str) -> None:
        assert await listed(pg_dsn) == []
        no_run = await run_cli(pg_dsn, "status")
        assert no_run == "No run is recorded in this database.\n"
        assert await run_cli(pg_dsn, "rejects") == no_run
        assert await run_cli(pg_dsn, "rejects", "--retry") == no_run
        assert json.loads(await run_cli(pg_dsn, "rejects", "--json")) == []
        with pytest.raises(UsageError, match="no run x"):
            await migration.retry_rejects(Settings(postgres=pg_dsn), run="x")
        with sqlite3.connect(tmp_path / "clean.db") as db:
            db.execute("CREATE TABLE clean (id INTEGER PRIMARY KEY)")
        db.close()
        await migration.full(settings_of(tmp_path / "clean.db", pg_dsn))
        assert await run_cli(pg_dsn, "rejects") == "No row is rejected.\n"
        assert await run_cli(pg_dsn, "rejects", "--retry") == "No row is rejected.\n"
        await moved(make(tmp_path / "event.db"), pg_dsn, tmp_path)
        with pytest.raises(UsageError, match="matches no table"):
            await listed(pg_dsn, "evnt")
        assert {one.table for one in await listed(pg_dsn, "sc*")} == {"scan"}
        output = await run_cli(pg_dsn, "rejects", "--plan", "x.toml", code=2)
        assert "--retry" in output

    async def test_retry_prints_and_reports(self, events: Path, tmp_path: Path, pg_dsn: str) -> None:
        await moved(events, pg_dsn, tmp_path)
        report = tmp_path / "report.json"
        output = await run_cli(pg_dsn, "rejects", "--retry", "--table", "scan", "--report", str(report), code=3)
        assert "Retried 2 rejected rows: 0 moved, 2 still rejected." in output
        document = json.loads(report.read_text())
        assert document["outcome"] == "attention"
        assert document["retries"] == [
            {"source": "scan", "target": "scan", "retried_rows": 2, "moved_rows": 0, "left_rows": 2}
        ]
        plan = plan_file(tmp_path / "now.toml", "null")
        output = await run_cli(pg_dsn, "rejects", "--retry", "--plan", str(plan))
        assert f"Retried {BAD + 2:,} rejected rows: {BAD + 2:,} moved, 0 still rejected." in output

    async def test_a_page_at_a_time(self, events: Path, tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
        """The first comes while the last are still on the server."""
        await moved(events, pg_dsn, tmp_path)
        rejects = migration.list_rejects(Settings(postgres=pg_dsn))
        assert isinstance(rejects, AsyncIterator)
        first = await anext(rejects)
        assert first.table in ("event", "scan")
        open_cursors = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        assert await pg.fetchval(open_cursors) == 1
        await rejects.aclose()


async def run_cli(dsn: str, *words: str, code: int = 0) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "copier", *words),
        env={**os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == code, (output + errors).decode()
    return (output if code in (0, 3) else errors).decode()


class TestPlan:
    """What a retry makes of plan files; nothing is read but text and the target's columns."""

    RECORDED = """
format = 1
[table.t]
target = "t"
[table.t.columns]
id = { target = "id", type = "bigint", cast = "int", policy = "reject" }
n = { target = "n", type = "bigint", cast = "int", policy = "reject", default = "'it''s'::text" }
gone = { skip = true }
[table.other]
skip = true
"""

    def plan(self, given: str | None, type: str = "int8") -> object:
        column = ExistingColumn("n", PgType(type), type)
        there = ExistingTable("t", (ExistingColumn("id", PgType("int8"), "bigint"), column), ("id",))
        return plan_retry(self.RECORDED, given, [RecordedTable("t", "t", False)], {"t": there}, "public")

    def test_without_a_file_nothing_is_decided(self) -> None:
        plan = self.plan(None)
        table = plan.tables["t"]  # type: ignore[attr-defined]
        assert (table.decisions, table.plan.identity_columns) == ({}, ("id",))

    def test_a_policy_and_a_default(self) -> None:
        plan = self.plan('format = 1\n[table.t.columns]\nn = { policy = "default" }\n')
        assert plan.tables["t"].decisions == {"n": ("int", "default", "it's")}  # type: ignore[attr-defined]

    def test_another_type_is_said_and_not_taken(self) -> None:
        plan = self.plan('format = 1\n[table.t.columns]\nn = { type = "bigint", cast = "int" }\n', "text")
        assert "is text in the target, not bigint" in plan.warnings[0]  # type: ignore[attr-defined]
        assert plan.tables["t"].plan.columns[1].cast == "text"  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ('[table.t.columns]\nn = { policy = "nul" }', "policy"),
            ("[table.t.columns]\nn = { skip = true }", "written whole"),
            ('[table.t.columns]\nm = { policy = "null" }', "no such column"),
            ('[table.t.columns]\nn = { cast = "iso" }', "does not lead to"),
        ],
    )
    def test_wrong_files(self, given: str, words: str) -> None:
        with pytest.raises(PlanError, match=words):
            self.plan(f"format = 1\n{given}\n")

    def test_a_table_that_is_skipped_is_left_alone(self) -> None:
        assert self.plan("format = 1\n[table.t]\nskip = true\n").tables == {}  # type: ignore[attr-defined]

    def test_what_the_target_lost(self) -> None:
        with pytest.raises(TargetUnusable, match="not in the target any more"):
            plan_retry(self.RECORDED, None, [RecordedTable("t", "t", False)], {}, "public")
        there = ExistingTable("t", (ExistingColumn("id", PgType("int8"), "bigint"),))
        with pytest.raises(TargetUnusable, match="column n of table t"):
            plan_retry(self.RECORDED, None, [RecordedTable("t", "t", False)], {"t": there}, "public")
