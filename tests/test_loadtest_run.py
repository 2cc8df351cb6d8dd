"""The load test against real servers. Locust runs in processes of its own: gevent would change this one."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import textwrap
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from fix_postgres import Servers

from copier.config import Settings
from copier.documents import read_document
from copier.migration import full
from copier.postgres.dsn import parse
from copier.sqlite.chatdb import make_chat_database
from loadtest.audit import audit
from loadtest.run import PLAN
from loadtest.slo import DEFAULT_SLO
from loadtest.target import Control

ROOT = Path(__file__).resolve().parent.parent
LOCUSTFILE = str(ROOT / "loadtest" / "locustfile.py")
APPLICATION = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sqlite2pg loadtest'"
PATIENCE_S = 60
MESSAGES = 2000


@dataclass(frozen=True, slots=True)
class Result:
    """How a load test ended."""

    code: int
    output: str
    document: dict[str, Any]


@pytest.fixture(scope="module")
def chat_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chat") / "chat.db"
    make_chat_database(path, MESSAGES)
    return path


@pytest.fixture
async def chat(pg_dsn: str, chat_database: Path) -> str:
    """DSN of a migrated chat database."""
    await full(Settings(sqlite=chat_database, postgres=pg_dsn, plan=PLAN, no_backup=True, level="count"))
    return pg_dsn


@pytest.fixture
def slo(tmp_path: Path) -> Path:
    """Targets any machine meets: these tests ask whether it works, not how fast."""
    lines = []
    for line in DEFAULT_SLO.read_text(encoding="utf-8").splitlines():
        name = line.partition(" ")[0]
        easy = {"warmup_s": "1", "cpu_share": "1.0", "machine_share": "1.0", "achieved_share": "0.01"}
        easy |= dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "loop_lag_p99_ms"), "60000")
        lines.append(f"{name} = {easy[name]}" if name in easy else line)
    path = tmp_path / "slo.toml"
    path.write_text("\n".join(lines).replace("per_message = 0.01", "per_message = 0.05"), encoding="utf-8")
    return path


@asynccontextmanager
async def started(directory: Path, dsn: str | None, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a Python process with the target in its environment; it is gone at the end."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environ |= {"PYTHONPATH": str(ROOT)} | ({"DATABASE_URL": dsn} if dsn else {})
    with (directory / "output.txt").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *command), cwd=directory, env=environ, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: asyncio.subprocess.Process, directory: Path) -> Result:
    code = await asyncio.wait_for(process.wait(), 2 * PATIENCE_S)
    output = (directory / "output.txt").read_text(encoding="utf-8", errors="replace")
    out = directory / "loadtest.json"
    return Result(code, output, orjson.loads(out.read_bytes()) if out.exists() else {})


async def run(directory: Path, dsn: str | None, *command: str) -> Result:
    async with started(directory, dsn, *command) as process:
        return await ended(process, directory)


async def until(conn: asyncpg.Connection, query: str, least: int) -> None:
    """Wait for a count on the server to be reached."""
    deadline_s = time.monotonic() + PATIENCE_S
    while await conn.fetchval(query) < least:
        assert time.monotonic() < deadline_s, query
        await asyncio.sleep(0.05)


def options(slo: Path, *, users: int = 12, rate: int = 60, seconds: int = 3) -> list[str]:
    return [
        *(
            "--slo",
            str(slo),
            "--users",
            str(users),
            "--rate",
            str(rate),
            "--seconds",
            str(seconds),
            "--shape",
            "steady",
        ),
        *("--out", "loadtest.json", "--html", "loadtest.html"),
    ]


def headless(slo: Path, **facts: int) -> list[str]:
    return ["-m", "locust", "-f", LOCUSTFILE, "--headless", "--only-summary", *options(slo, **facts)]


def assert_sound(document: dict[str, Any], expected: int) -> None:
    """All answered, all found; `expected` messages, the warm-up's included."""
    audited = document["audit"]
    assert audited["ok"] is True
    assert audited["acknowledged"] == audited["found_once"] == pytest.approx(expected, rel=0.25)
    assert audited["messages_after"] - audited["messages_before"] == audited["acknowledged"]
    assert document["errors"] == []
    assert {one["name"] for one in document["operations"] if one["count"]} >= {"Sender", "Reader", "Presence"}


async def test_one_command_on_an_embedded_server(tmp_path: Path, slo: Path) -> None:
    command = ["-m", "loadtest.run", "--embedded", "--messages", "1000", *options(slo, seconds=20, rate=50)]
    result = await run(tmp_path, "postgresql://nobody@127.0.0.1:1/never", *command)
    assert result.code == 0, result.output
    assert "Pass: every target is met." in result.output
    assert_sound(result.document, 21 * 50)
    assert result.document["target"]["via"] == "direct"
    assert result.document["target"]["prepared_statements"] is True
    assert result.document["rate"]["intended_per_s"] == pytest.approx(50 * 1.42)
    assert "<html" in (tmp_path / "loadtest.html").read_text(encoding="utf-8")
    assert read_document(tmp_path / "loadtest.json") is not None


async def test_two_workers_and_faithful_types(
    tmp_path: Path, slo: Path, pg_dsn: str, pg: asyncpg.Connection, chat_database: Path
) -> None:
    faithful = Settings(sqlite=chat_database, postgres=pg_dsn, types="faithful", no_backup=True, level="count")
    await full(faithful)
    result = await run(tmp_path, pg_dsn, "-m", "loadtest.run", *options(slo, seconds=4), "--workers", "2")
    assert result.code == 0, result.output
    assert_sound(result.document, 5 * 60)
    assert result.document["generator"]["processes"] == 2
    assert await pg.fetchval("SELECT count(*) FROM messages") == MESSAGES + result.document["audit"]["acknowledged"]


async def test_killed_backends_lose_nothing_and_secrets_stay(
    tmp_path: Path, slo: Path, chat: str, pg: asyncpg.Connection, pg_servers: Servers
) -> None:
    secret = "s3cret-of-the-test"
    role = f"loader_{uuid4().hex[:8]}"
    await pg.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{secret}'")
    try:
        dsn = pg_servers.get("wheel18").tcp_dsn(parse(chat).database or "", role, secret)
        async with started(tmp_path, dsn, *headless(slo, seconds=6, rate=100)) as process:
            await until(pg, f"SELECT count(*) - {MESSAGES} FROM messages", 150)
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            killed = await pg.fetchval(APPLICATION.replace("count(*)", "count(pg_terminate_backend(pid))"))
            result = await ended(process, tmp_path)
        assert killed >= 12
        assert result.code == 1, result.output
        assert result.document["verdict"] == "fail"
        errors = sum(one["count"] for one in result.document["errors"])
        assert 0 < errors == sum(one["failures"] for one in result.document["operations"])
        audited = result.document["audit"]
        assert audited["ok"] is True, audited
        assert audited["acknowledged"] == audited["found_once"] > 300
        assert audited["unacknowledged"] <= errors
        assert result.document["timeline"][-1]["rate_per_s"] > 0, "the users came back"
        assert secret.encode() not in arguments
        files = [path.read_bytes() for path in tmp_path.iterdir() if path.is_file()]
        assert len(files) == 4
        assert not any(secret.encode() in content for content in files)
    finally:
        await pg.execute(f"DROP ROLE {role}")


async def test_the_page_starts_and_stops_a_test(tmp_path: Path, slo: Path, chat: str, pg: asyncpg.Connection) -> None:
    port = free_port()
    command = ["-m", "locust", "-f", LOCUSTFILE, "--slo", str(slo), "--web-port", str(port), "--web-host", "127.0.0.1"]
    async with started(tmp_path, chat, *command) as process:
        page = await answer(port, "/")
        assert all(name in page for name in ("Sender", "Reader", "Searcher", "Presence", "rate", "shape"))
        assert parse(chat).url not in page
        form = {"user_count": "10", "spawn_rate": "50", "rate": "40", "seconds": "600", "shape": "steady"}
        assert '"success":true' in (await answer(port, "/swarm", form)).replace(" ", "")
        await until(pg, f"SELECT count(*) - {MESSAGES} FROM messages", 120)
        await every_operation_answered(port)
        await answer(port, "/stop", {"stop": "now"})
        deadline_s = time.monotonic() + PATIENCE_S
        while b"audit: " not in (tmp_path / "output.txt").read_bytes():
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.1)
        process.terminate()
        result = await ended(process, tmp_path)
    assert result.code == 0, result.output
    assert result.document["verdict"] == "pass"
    assert 0 < result.document["duration_s"] < 600
    assert result.document["audit"]["ok"] is True


@pytest.fixture
async def pooled_dsn(chat: str, pg_servers: Servers, reachable_path: Path) -> AsyncIterator[str]:
    """DSN of the chat database through PgBouncer: transaction pooling, 20 server connections."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer on this machine")
    target, port, account = parse(chat), free_port(), pg_servers.get("wheel18").account
    settings = reachable_path / "pooler.ini"
    settings.write_text(
        f"""[databases]
chat = host={target.hosts[0]} port={target.ports[0]} dbname={target.database} user={target.user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 1000
"""
    )
    # It refuses to be root, and only the server's own account may enter the server's directory.
    command = ["runuser", "-u", account.name, "--", program] if account else [program]
    process = await asyncio.create_subprocess_exec(*command, str(settings), stderr=asyncio.subprocess.DEVNULL)
    try:
        await listening(port)
        yield f"postgresql://app@127.0.0.1:{port}/chat"
    finally:
        process.terminate()
        await process.wait()


async def test_through_a_pooler_with_more_users_than_connections(tmp_path: Path, slo: Path, pooled_dsn: str) -> None:
    command = ["-m", "loadtest.run", *options(slo, users=220, rate=200, seconds=5)]
    result = await run(tmp_path, pooled_dsn, *command)
    assert result.code == 0, result.output
    assert_sound(result.document, 6 * 200)
    assert result.document["target"]["via"] == "pgbouncer"
    assert result.document["target"]["prepared_statements"] is False
    assert max(point["users"] or 0 for point in result.document["timeline"]) == 220


async def test_waiting_lets_the_others_work(tmp_path: Path, pg_dsn: str) -> None:
    """50 connections in one process sleep at the same time, so gevent has psycopg's waiting in its hands."""
    code = """
        from gevent import monkey
        monkey.patch_all()
        import os, time, gevent
        from loadtest.target import connect
        connections = [connect(os.environ["DATABASE_URL"], prepare=True) for _ in range(50)]
        begin = time.perf_counter()
        jobs = [gevent.spawn(one.execute, "SELECT pg_sleep(0.4)") for one in connections]
        gevent.joinall(jobs, raise_error=True)
        print(time.perf_counter() - begin)
    """
    result = await run(tmp_path, pg_dsn, "-c", textwrap.dedent(code))
    assert result.code == 0, result.output
    assert 0.4 <= float(result.output) < 5, "one after the other it takes 20 s"


@pytest.mark.parametrize(
    ("dsn", "code", "said"),
    [
        (None, 2, "there is no target; set DATABASE_URL"),
        ("postgresql://u:s3cret@127.0.0.1:1/x", 1, "cannot connect to database x at 127.0.0.1:1 as u"),
        ("", 5, "the target has no column 'id' in a table 'users' of schema 'public'"),
    ],
)
async def test_what_cannot_be_tested_is_said(
    tmp_path: Path, slo: Path, pg_dsn: str, dsn: str | None, code: int, said: str
) -> None:
    result = await run(tmp_path, pg_dsn if dsn == "" else dsn, *headless(slo))
    assert (result.code, result.document) == (code, {})
    assert said in result.output
    assert "Traceback" not in result.output
    assert "s3cret" not in result.output


class TestAudit:
    """Against a real table, with what can go wrong done on purpose."""

    SEND = """
        WITH sent AS (
            INSERT INTO messages (id, conversation_id, sender_id, recipient_id, content, created_at)
            SELECT i, c.id, c.user1_id, c.user2_id, 'hello', now()
            FROM unnest($1::uuid[]) AS i, (SELECT * FROM conversations LIMIT 1) AS c RETURNING conversation_id
        )
        UPDATE conversations AS c SET message_count = message_count + (SELECT count(*) FROM sent)
        FROM sent WHERE c.id = sent.conversation_id"""

    @pytest.fixture
    def control(self, chat: str) -> Iterator[Control]:
        control = Control(chat, "public")
        with control.connection:
            yield control

    def look(self, control: Control, directory: Path, sent: list[UUID], unknown: list[UUID]) -> Any:
        paths = directory / "acknowledged.bin", directory / "unacknowledged.bin"
        for path, ids in zip(paths, (sent, unknown), strict=True):
            path.write_bytes(b"".join(one.bytes for one in ids))
        return audit(control.connection, "public", self.before, *paths)

    def send(self, control: Control, count: int) -> list[UUID]:
        """Send messages as the application does."""
        self.before = control.counts()
        ids = [uuid4() for _ in range(count)]
        control.connection.execute(self.SEND, ([str(one) for one in ids],))
        return ids

    def test_everything_is_there(self, control: Control, tmp_path: Path) -> None:
        ids, never_sent = self.send(control, 30), [uuid4() for _ in range(3)]
        found = self.look(control, tmp_path, ids[:25], ids[25:] + never_sent)
        assert (found.ok, found.acknowledged, found.found_once) == (True, 25, 25)
        assert (found.unacknowledged, found.unacknowledged_found) == (8, 5)
        assert found.faults() == []

    def test_a_lost_message_is_named(self, control: Control, tmp_path: Path) -> None:
        ids = self.send(control, 30)
        control.connection.execute("DELETE FROM messages WHERE id = $1", (ids[7],))
        found = self.look(control, tmp_path, ids, [])
        assert (found.ok, found.missing, found.found_once, found.missing_ids) == (False, 1, 29, (str(ids[7]),))
        assert found.counter_drift == 1

    def test_a_doubled_message(self, control: Control, tmp_path: Path) -> None:
        ids = self.send(control, 30)
        columns = "id, conversation_id, sender_id, recipient_id, content, created_at"
        control.connection.execute("ALTER TABLE messages DROP CONSTRAINT messages_pkey CASCADE")
        control.connection.execute(
            f"INSERT INTO messages ({columns}) SELECT {columns} FROM messages WHERE id = $1", (ids[3],)
        )
        found = self.look(control, tmp_path, ids, [])
        assert (found.ok, found.duplicated, found.missing, found.found_once) == (False, 1, 0, 29)

    def test_messages_of_others_and_counters_that_drift(self, control: Control, tmp_path: Path) -> None:
        ids = self.send(control, 30)
        found = self.look(control, tmp_path, ids[1:], [])
        assert (found.ok, found.others, found.counter_drift) == (False, 1, 1)
        control.connection.execute("UPDATE conversations SET message_count = 0 WHERE message_count > 30")
        assert self.look(control, tmp_path, ids, []).counter_drift < 0

    def test_a_sample_of_real_ids(self, control: Control) -> None:
        sample = control.sample()
        assert len(sample.conversations) == MESSAGES // 20
        people = {str(id_) for (id_,) in control.connection.execute("SELECT id FROM users").fetchall()}
        assert {person for _, *pair in sample.conversations for person in pair} <= people
        assert control.pooled() is False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listening(port: int) -> None:
    """Wait until something accepts connections."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return
        except OSError:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)


async def answer(port: int, path: str, form: dict[str, str] | None = None) -> str:
    """Return what the page answers, when it is there."""
    await listening(port)
    data = urllib.parse.urlencode(form).encode() if form else None

    def ask() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=PATIENCE_S) as response:
            return str(response.read().decode())

    return await asyncio.to_thread(ask)


async def every_operation_answered(port: int) -> None:
    """Wait until the page counts an answer of each: a target of one that was not measured is not met."""
    wanted = {"Sender", "Reader", "Searcher", "UserSearch", "Presence", "LastSeen"}
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        stats = orjson.loads(await answer(port, "/stats/requests"))["stats"]
        missing = wanted - {one["name"] for one in stats if one["num_requests"] > one["num_failures"]}
        if not missing:
            return
        assert time.monotonic() < deadline_s, f"no answer of {missing}"
        await asyncio.sleep(0.1)
