"""The staging topology for real: replication streams, the pooler pools, a failover loses nothing, all of it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest
from fix_postgres import apart, find_installation, reachable_directory

from copier.errors import UsageError
from copier.postgres.binaries import server_account
from copier.tune.machine import MIB, Machine
from copier.tune.settings import tune
from deploy import drill, nodes, pooler, staging, topology
from deploy.drill import Client
from deploy.state import DATABASE, POOL_ADMIN, REPLICATOR, ROLE, State, load, password
from deploy.topology import Failover

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [
    pytest.mark.skipif(find_installation("wheel18") is None, reason="the wheel is not installed"),
    pytest.mark.skipif(pooler.program() is None, reason="PgBouncer is not installed"),
]


class Staging:
    """One topology; its state changes with each failover."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.said: list[str] = []


@pytest.fixture(scope="module")
def place() -> Iterator[Staging]:
    with reachable_directory() as base:
        state = topology.new_state(base / "staging", major=18, ram_bytes=512 * MIB, cpus=2, synchronous=True)
        running = Staging(state)
        pids: set[int] = set()
        try:
            running.state = apart(lambda: topology.start(state, running.said.append))
            yield running
            pids = pids_in(base)
            assert len(pids) >= 5
        finally:
            apart(lambda: topology.stop(load(state.path)))
        for pid in pids:
            nodes.wait_for_end(pid)
        assert pids_in(base) == set()


def pids_in(directory: Path) -> set[int]:
    """Return the processes that work in the directory or were started on a file in it, with their children."""
    found: set[int] = set()
    for one in psutil.process_iter(["cwd", "cmdline", "status"]):
        words = [one.info["cwd"] or "", *(one.info["cmdline"] or [])]
        if one.info["status"] != psutil.STATUS_ZOMBIE and any(str(directory) in word for word in words):
            found.add(one.pid)
    return found


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        yield conn
    finally:
        await conn.close()


async def test_the_servers_have_the_tuned_settings(place: Staging) -> None:
    state = place.state
    for node in (state.primary, state.standby):
        assert node is not None
        async with connected(state.dsn(state.port(node))) as conn:
            rows = await conn.fetch("SELECT name, current_setting(name) AS value FROM pg_settings")
        found = {row["name"]: row["value"] for row in rows}
        for one in tune(Machine(512 * MIB, 2)):
            assert found[one.name] in (one.value, {"1000": "1s"}.get(one.value)), one.name
        assert (found["fsync"], found["full_page_writes"], found["synchronous_commit"]) == ("on", "on", "on")


async def test_the_standby_streams_and_is_read_only(place: Staging) -> None:
    state = place.state
    async with connected(state.client_dsn) as conn, conn.transaction():
        await conn.execute("CREATE TABLE streamed (id int)")
        await conn.execute("INSERT INTO streamed SELECT generate_series(1, 100)")
        assert await conn.fetchval("SELECT pg_is_in_recovery()") is False
    async with connected(state.dsn(state.port("node2"))) as conn:
        assert await conn.fetchval("SELECT pg_is_in_recovery()") is True
        await until(conn, "SELECT to_regclass('streamed') IS NOT NULL")
        assert await conn.fetchval("SELECT count(*) FROM streamed") == 100
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await conn.execute("CREATE TABLE here (id int)")


async def test_the_application_sees_the_lag(place: Staging) -> None:
    """By the query of docs/staging.md."""
    said = (ROOT / "docs" / "staging.md").read_text()
    assert topology.LAG.strip() in said
    async with connected(place.state.dsn(place.state.port("node1"))) as conn:
        [row] = await conn.fetch(topology.LAG)
    assert (row["standby"], row["state"], row["sync_state"]) == ("node2", "streaming", "sync")
    assert row["lag_bytes"] >= 0
    assert row["lag_s"] >= 0


async def test_the_pooler_gives_a_server_connection_for_a_transaction(place: Staging) -> None:
    """More clients than server connections are connected at once, and hold none while they do nothing."""
    state = place.state
    size = int(pool_settings()["default_pool_size"])
    clients = [await asyncpg.connect(state.client_dsn, statement_cache_size=0) for _ in range(size + 20)]
    try:
        backends = set()
        for one in clients:
            async with one.transaction():
                backends.add(await one.fetchval("SELECT pg_backend_pid()"))
        assert len(backends) < size
        [pool] = pooler.pools(state, psql_dir())
        assert pool["pool_mode"] == "transaction"
        assert int(pool["cl_active"]) == len(clients)
        assert sum(int(pool[name]) for name in ("sv_active", "sv_idle", "sv_used")) < size
        first, second = clients[:2]
        async with first.transaction(), second.transaction():
            mine = await first.fetchval("SELECT pg_backend_pid()")
            assert mine != await second.fetchval("SELECT pg_backend_pid()")
            assert mine == await first.fetchval("SELECT pg_backend_pid()")
    finally:
        for one in clients:
            await one.close()


def psql_dir() -> Path:
    found = find_installation("wheel18")
    assert found is not None
    return found.bin_dir


def pool_settings() -> dict[str, str]:
    return dict(re.findall(r"^(\w+) = (.+)$", pooler.POOL_FILE.read_text(), re.M))


async def test_the_running_pooler_has_the_pool_of_the_file(place: Staging) -> None:
    rows = pooler.query(place.state, place.state.pooler_port, psql_dir(), "SHOW CONFIG")
    found = {row["key"]: row["value"] for row in rows}
    assert {name: found[name] for name in pool_settings()} == pool_settings()


async def test_without_a_pooler_clients_find_the_primary(place: Staging) -> None:
    direct = replace(place.state, pooler_port=0).client_dsn
    assert str(place.state.port("node1")) in direct
    assert str(place.state.port("node2")) in direct
    async with connected(direct) as conn:
        assert await conn.fetchval("SELECT pg_is_in_recovery()") is False


@pytest.mark.skipif(os.geteuid() != 0, reason="the image's entry point runs as root")
async def test_the_container_s_entry_point_makes_a_standby(place: Staging, tmp_path: Path) -> None:
    """Run for real against the primary, but for the image's own programs, which only pass on what they get."""
    state = place.state
    primary = await topology.attached(state, "node1")
    account = server_account(state.path / "node1")
    assert account is not None
    script = (ROOT / "deploy" / "node.sh").read_text().replace("/var/lib/postgresql", str(tmp_path))
    script = script.replace("postgres:postgres", f"{account.uid}:{account.gid}")
    script = script.replace("--owner postgres --group postgres", f"--owner {account.uid} --group {account.gid}")
    for name, body in {"gosu": 'shift; exec "$@"', "docker-entrypoint.sh": 'echo "becomes $*"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environ = {
        "PATH": f"{tmp_path}:{primary.bin_dir}:/usr/bin:/bin",
        "PGDATA": str(tmp_path / "data"),
        "PGPORT": str(primary.port),
        "UPSTREAM": "127.0.0.1",
        "NODE_NAME": "third",
        "POSTGRES_PASSWORD": password(state.replication_passfile, REPLICATOR),
    }
    try:
        for _ in range(2):  # a container that is made anew finds its volume again
            done = await asyncio.to_thread(
                subprocess.run, ["bash", "-c", script, "node.sh", "postgres", "-c", "x=y"],
                env=environ, capture_output=True, text=True,
            )  # fmt: skip
            assert (done.returncode, done.stdout) == (0, "becomes postgres -c x=y\n"), done.stderr
        assert (tmp_path / "data" / "standby.signal").exists()
        conf = (tmp_path / "data" / "postgresql.auto.conf").read_text()
        assert "application_name=third" in conf
        assert "primary_slot_name = 'third'" in conf
        assert (tmp_path / "replication.pass").stat().st_mode & 0o777 == 0o600
    finally:
        async with connected(primary.dsn()) as conn:
            dropped = await conn.fetch(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'third'"
            )
    assert len(dropped) == 1


def test_it_listens_on_this_machine_only(place: Staging) -> None:
    ports = set()
    for pid in pids_in(place.state.path.parent):
        for one in psutil.Process(pid).net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN:
                assert one.laddr.ip == "127.0.0.1"
                ports.add(one.laddr.port)
    assert ports == {place.state.port("node1"), place.state.port("node2"), place.state.pooler_port}


def test_passwords_stay_in_their_files(place: Staging, capsys: pytest.CaptureFixture[str]) -> None:
    state = place.state
    assert state.passfile.stat().st_mode & 0o777 == 0o600
    assert state.replication_passfile.stat().st_mode & 0o777 == 0o600
    secrets = {password(state.passfile, role) for role in (ROLE, POOL_ADMIN)}
    secrets.add(password(state.replication_passfile, REPLICATOR))
    assert len(secrets) == 3
    assert staging.main(["status", "--directory", state.directory]) == 0
    shown = capsys.readouterr().out
    for word in ("primary", "standby", "streaming", "cl_active"):
        assert word in shown
    texts = [shown, *place.said, state.client_dsn, (state.path / "state.json").read_text()]
    texts += [path.read_text() for path in state.path.glob("*/*.log")]
    assert len(texts) >= 6
    assert not [secret for secret in secrets if any(secret in text for text in texts)]


async def send(client: Client, dsn: str, messages: int) -> None:
    """Let the client work until so many messages were acknowledged to it."""
    stop = asyncio.Event()
    work = asyncio.create_task(client.work(dsn, stop))
    async with asyncio.timeout(60):
        while len(client.acknowledged) < messages:
            await asyncio.sleep(0.01)
    stop.set()
    await work


async def until(conn: asyncpg.Connection, query: str) -> None:
    async with asyncio.timeout(60):
        while not await conn.fetchval(query):
            await asyncio.sleep(0.02)


class TestFailover:
    async def test_what_was_acknowledged_is_there_and_the_old_primary_comes_back_as_standby(
        self, place: Staging
    ) -> None:
        old = await topology.attached(place.state, "node1")
        place.state, verdict = await drill.drill(place.state, place.said.append, clients=6, seconds=0.3)
        assert verdict.ok, verdict
        assert verdict.acknowledged == verdict.rows == verdict.counted > 0
        assert verdict.came_back == verdict.clients == 6
        assert verdict.downtime_s < 60
        assert verdict.failed_attempts + verdict.unknown >= 6, "each client felt it"
        assert not nodes.alive(old.pid)
        assert (place.state.primary, place.state.standby, place.state.fenced) == ("node2", None, "node1")

        with pytest.raises(UsageError, match="no standby"):
            await topology.failover(place.state, place.said.append)
        assert await topology.start(place.state, place.said.append) == place.state
        with pytest.raises(OSError, match="Connect call failed"):  # it stays out until it is made anew
            await asyncpg.connect(place.state.dsn(place.state.port("node1")))

        place.state = await topology.rejoin(place.state, place.said.append)
        assert load(place.state.path) == place.state
        async with connected(place.state.dsn(place.state.port("node2"))) as conn:
            [row] = await conn.fetch(topology.LAG)
        assert (row["standby"], row["state"]) == ("node1", "streaming")

    async def test_the_audit_sees_what_is_wrong(self, place: Staging) -> None:
        """A row taken away, one added, one counted twice: none of them passes."""
        await drill.prepare(place.state, 1)
        dsn = place.state.dsn(place.state.port(place.state.primary))
        client = Client(0)
        await send(client, dsn, 3)
        first, *rest = client.acknowledged
        killed_s = client.acknowledged[rest[0]] - 1e-9

        async def verdict() -> drill.Verdict:
            return await drill.audit(place.state, [client], Failover(0, 0), killed_s)

        assert (await verdict()).ok
        async with connected(dsn) as conn:
            row = await conn.fetchrow("DELETE FROM failover_drill.messages WHERE id = $1 RETURNING *", first)
            assert row is not None
            found = await verdict()
            assert (found.lost, found.ok) == (1, False)
            await conn.execute("INSERT INTO failover_drill.messages VALUES ($1, $2, $3, $4)", *row.values())
            await conn.execute("UPDATE failover_drill.counters SET messages = messages + 1")
            found = await verdict()
            assert (found.lost, found.unexplained, found.ok) == (0, 0, False)
            await conn.execute("UPDATE failover_drill.counters SET messages = messages - 1")
            assert (await verdict()).ok
            await conn.execute("INSERT INTO failover_drill.messages VALUES ($1, 0, 'nobody was told')", uuid.uuid4())
            found = await verdict()
            assert (found.unexplained, found.ok) == (1, False)

    async def test_without_synchronous_replication_what_the_standby_missed_is_lost_and_seen(
        self, place: Staging
    ) -> None:
        state = place.state
        assert state.standby is not None
        await drill.prepare(state, 1)
        primary, standby = [await topology.attached(state, node) for node in (state.primary, state.standby)]
        await nodes.set_synchronous(primary, None)
        async with connected(standby.dsn(DATABASE)) as conn:
            await conn.execute("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
            await until(conn, "SELECT to_regclass('failover_drill.counters') IS NOT NULL")
            await conn.execute("SELECT pg_reload_conf()")
        async with connected(primary.dsn()) as conn:
            await until(conn, "SELECT count(*) = 0 FROM pg_stat_replication")
        client = Client(0)
        await send(client, state.client_dsn, 5)
        killed_s = time.monotonic()
        place.state, failover = await topology.failover(state, place.said.append)
        verdict = await drill.audit(place.state, [client], failover, killed_s)
        assert verdict.lost == verdict.acknowledged >= 5
        assert not verdict.ok

    def test_an_answer_long_in_coming_is_downtime(self) -> None:
        gap = drill.gap_around(10.0)
        assert gap([1.0, 9.0, 9.9, 12.5, 12.6]) == pytest.approx(2.6)
        assert gap([9.9, 10.01, 12.5]) == pytest.approx(2.49)
        assert gap([1.0, 9.0]) == float("inf")


def test_control_c_stops_everything() -> None:
    """As a person runs it: in the foreground, in a temporary directory, with a chat database, on another version."""
    command = [sys.executable, "-m", "deploy.staging", "start", "--ram", "512MB", "--cpus", "2", "--messages", "200"]
    version = "16" if find_installation("wheel16") else "18"
    process = subprocess.Popen(
        [*command, "--version", version], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        shown = "".join(lines)
        found = re.search(r"Staging in (\S+): PostgreSQL (\d+),", shown)
        assert found is not None, shown
        assert found[2] == version
        assert "rows, verified" in shown
        directory = Path(found[1])
        pids = pids_in(directory)
        assert len(pids) >= 5
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert rest.endswith("stopped\n")
    assert not directory.exists()
    for pid in pids:
        nodes.wait_for_end(pid)


class TestUsage:
    def test_a_directory_that_is_none(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert staging.main(["status", "--directory", str(tmp_path)]) == 2
        assert "is not a staging directory" in capsys.readouterr().err
        (tmp_path / "mine").touch()
        assert staging.main(["start", "--directory", str(tmp_path)]) == 2
        assert "is not empty" in capsys.readouterr().err

    def test_bad_sizes(self, capsys: pytest.CaptureFixture[str]) -> None:
        began_s = time.monotonic()
        assert staging.main(["start", "--ram", "3 bananas"]) == 2
        assert "'3 bananas' is not a size" in capsys.readouterr().err
        assert staging.main(["drill", "--clients", "0"]) == 2
        assert "at least one client" in capsys.readouterr().err
        assert time.monotonic() - began_s < 10, "said before anything was started"


def test_the_servers_account_is_not_root(place: Staging) -> None:
    account = server_account(place.state.path / "node1")
    for pid in pids_in(place.state.path):
        uids = psutil.Process(pid).uids()
        assert uids.effective != 0
        assert account is None or uids.effective == account.uid
