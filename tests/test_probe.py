"""The server's side of `validate`, on servers that are fit and unfit in every way we can make them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from fix_postgres import SETTINGS, Servers, find_installation

from copier.postgres import probe as module
from copier.postgres.connect import Retry, connect, server_info
from copier.postgres.embedded import start
from copier.postgres.probe import Check, probe_target
from copier.postgres.probe_load import settings_advice

BRIEF = Retry(patience_s=0.3, first_wait_s=0.01)
SECRET = "hunter2-s3cr3t"
EVERYTHING = (
    "SELECT oid::text FROM pg_class UNION SELECT oid::text FROM pg_namespace UNION SELECT oid::text FROM pg_type"
)


async def probe(dsn: str, **options: object) -> dict[str, Check]:
    arguments: dict[str, object] = {"schema": "public", "ledger_schema": "sqlite2pg", "retry": BRIEF, **options}
    checks = await probe_target(dsn, **arguments)  # type: ignore[arg-type]
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.detail for check in checks)
    assert all(check.hint for check in checks if not check.ok)
    return {check.name: check for check in checks}


def failed(checks: dict[str, Check]) -> set[str]:
    return {check.name for check in checks.values() if check.fatal and not check.ok}


async def test_a_fit_server_and_no_trace(pg_any: str) -> None:
    conn = await asyncpg.connect(pg_any)
    try:
        before = {row[0] for row in await conn.fetch(EVERYTHING)}
        checks = await probe(pg_any, jobs=8, estimate_bytes=1000, schema="new one", ledger_schema="Our's")
        assert failed(checks) == set()
        assert {"connection", "server version", "database encoding", "read-write", "target contents"} < set(checks)
        assert "may create" in checks["privileges in schema new one"].detail
        assert "free" in checks["disk space on the server"].detail
        assert {row[0] for row in await conn.fetch(EVERYTHING)} == before
    finally:
        await conn.close()


@pytest.fixture
async def bob(pg: asyncpg.Connection, pg_servers: Servers) -> AsyncIterator[str]:
    """An ordinary role that owns the schema `app` and nothing else."""
    database = await pg.fetchval("SELECT current_database()")
    await pg.execute(f"CREATE ROLE bob LOGIN PASSWORD '{SECRET}'; CREATE SCHEMA app AUTHORIZATION bob")
    yield pg_servers.get("wheel18").tcp_dsn(database, "bob", SECRET)
    await pg.execute("RESET ROLE; DROP OWNED BY bob CASCADE; DROP ROLE bob")


async def test_the_owner_of_one_schema(bob: str) -> None:
    assert failed(await probe(bob, schema="app", ledger_schema="app")) == set()
    checks = await probe(bob, schema="app")
    assert failed(checks) == {"privileges for the ledger in schema sqlite2pg"}
    assert (
        "cannot create the schema: permission denied" in checks["privileges for the ledger in schema sqlite2pg"].detail
    )
    assert "--ledger-schema" in checks["privileges for the ledger in schema sqlite2pg"].hint
    checks = await probe(bob, ledger_schema="app")
    assert failed(checks) == {"privileges in schema public"}
    assert "GRANT CREATE" in checks["privileges in schema public"].hint
    assert "unknown from here" in checks["disk space on the server"].detail  # the directory is not for its eyes


async def test_unreachable(bob: str) -> None:
    checks = await probe(bob.replace(SECRET, SECRET + "x"))
    assert set(checks) == failed(checks) == {"connection"}
    assert SECRET not in checks["connection"].detail + checks["connection"].hint


async def test_what_the_connection_string_cannot_say(pg_dsn: str) -> None:
    checks = await probe(pg_dsn + "&connection_limit=3")
    assert "ignored in the connection string: connection_limit" in checks["connection"].detail


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_encoding(pg_servers: Servers, pg: asyncpg.Connection, encoding: str) -> None:
    name = f"test_{encoding.lower()}"
    await pg.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'")
    try:
        checks = await probe(pg_servers.get("wheel18").dsn(name))
        assert failed(checks) == {"database encoding"}
        assert checks["database encoding"].detail == encoding
    finally:
        await pg.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_read_only(pg: asyncpg.Connection, pg_dsn: str) -> None:
    database = await pg.fetchval("SELECT current_database()")
    await pg.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    checks = await probe(pg_dsn)
    assert failed(checks) == {"read-write"}
    assert "default_transaction_read_only" in checks["read-write"].hint


@pytest.mark.skipif(find_installation("wheel18") is None, reason="the wheel is not installed")
async def test_a_standby(reachable_path: Path) -> None:
    server = await start(reachable_path / "data", settings=SETTINGS)
    try:
        await server.stop()
        (server.data_dir / "standby.signal").touch()
        if server.account is not None:
            os.chown(server.data_dir / "standby.signal", server.account.uid, server.account.gid)
        server = await start(reachable_path / "data", settings=SETTINGS)
        checks = await probe(server.dsn())
        assert failed(checks) == {"read-write"}
        assert "standby" in checks["read-write"].detail
    finally:
        await server.stop()


async def test_too_old(pg: asyncpg.Connection) -> None:
    info = await server_info(pg)
    assert module._version(info).ok
    assert not module._version(replace(info, version_num=130020, version="13.20")).ok


async def test_extensions(pg: asyncpg.Connection, pg_dsn: str, bob: str) -> None:
    await pg.execute("CREATE EXTENSION vector")
    checks = await probe(pg_dsn, needs=["vector", "no_such"])
    assert checks["extension vector"].detail.startswith("installed")
    assert failed(checks) == {"extension no_such"}
    await pg.execute("DROP EXTENSION vector")
    assert failed(await probe(pg_dsn, needs=["vector"])) == set()
    assert await pg.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 0
    checks = await probe(bob, schema="app", ledger_schema="app", needs=["vector"])
    assert failed(checks) == {"extension vector"}
    assert 'CREATE EXTENSION "vector"' in checks["extension vector"].hint


async def test_contents(pg: asyncpg.Connection, pg_dsn: str) -> None:
    await pg.execute("""CREATE TABLE order_items AS SELECT 1 AS id; CREATE TABLE empty (id int);
                        CREATE TABLE alembic_version AS SELECT 'x' AS id""")
    contents = (await probe(pg_dsn))["target contents"]
    assert contents.ok
    assert contents.detail == "3 tables in schema public, 2 with rows: alembic_version, order_items"
    assert (await probe(pg_dsn, tables=["Empty", "Users"]))["target contents"].ok
    checks = await probe(pg_dsn, tables=["OrderItems"])
    assert failed(checks) == {"target contents"}
    assert "order_items" in checks["target contents"].detail
    assert "--existing" in checks["target contents"].hint
    checks = await probe(pg_dsn, tables=["Empty", "alembic_version"])
    assert checks["target contents"].hint == (
        "Alembic filled it with the schema: --exclude alembic_version leaves it as it is"
    )
    checks = await probe(pg_dsn, tables=["OrderItems", "alembic_version"])
    assert "--existing" in checks["target contents"].hint
    assert (await probe(pg_dsn, tables=["OrderItems"], allow_rows=True))["target contents"].ok
    assert (await probe(pg_dsn, tables=["OrderItems"], own_tables={"order_items"}))["target contents"].ok


async def test_connection_slots(pg: asyncpg.Connection, bob: str, pg_dsn: str) -> None:
    assert failed(await probe(pg_dsn, jobs=1000)) == {"connection slots"}
    await pg.execute("ALTER ROLE bob CONNECTION LIMIT 3")
    options = {"schema": "app", "ledger_schema": "app"}
    assert failed(await probe(bob, jobs=2, **options)) == set()
    checks = await probe(bob, jobs=4, **options)
    assert failed(checks) == {"connection slots"}
    assert checks["connection slots"].detail == "the role has 2 left, the copy needs 4"
    assert "--jobs 2" in checks["connection slots"].hint


async def test_disk_space(pg_dsn: str) -> None:
    assert failed(await probe(pg_dsn, estimate_bytes=1 << 60)) == {"disk space on the server"}


async def test_settings(pg: asyncpg.Connection, pg_dsn: str) -> None:
    checks = await probe(pg_dsn, estimate_bytes=3 << 30)
    advice = {name.removeprefix("setting ") for name, check in checks.items() if not check.ok and not check.fatal}
    assert advice == {"fsync", "full_page_writes", "max_wal_size", "shared_buffers"}  # so the fixtures set it up
    await pg.execute(checks["setting max_wal_size"].hint.partition(";")[0])
    assert await pg.fetchval("SELECT setting FROM pg_file_settings WHERE name = 'max_wal_size' AND applied") == "4096MB"
    await pg.execute("ALTER SYSTEM RESET max_wal_size")
    info = await server_info(pg)
    quiet = replace(info, settings={**info.settings, "fsync": "on", "full_page_writes": "on"})
    assert [check.ok for check in settings_advice(quiet, 1 << 20)] == [True]
    slow = replace(quiet, settings={**quiet.settings, "checkpoint_timeout": 30, "synchronous_standby_names": "*"})
    names = {check.name for check in settings_advice(slow, 1 << 30)}
    assert {"setting checkpoint_timeout", "setting synchronous_standby_names"} <= names


@contextlib.asynccontextmanager
async def pooler(directory: Path, upstream: str) -> AsyncIterator[str]:
    """A proxy that, as poolers do, tells a process id of its own (BackendKeyData)."""
    relays: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, lie: bool) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(65536):
                at = data.find(b"K\x00\x00\x00\x0c") if lie else -1
                if at >= 0:
                    data = data[: at + 5] + struct.pack("!i", 4711) + data[at + 9 :]
                writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(upstream)
        relays.add(asyncio.create_task(relay(reader, to_server, lie=False)))
        relays.add(asyncio.create_task(relay(from_server, writer, lie=True)))

    async with await asyncio.start_unix_server(serve, directory / ".s.PGSQL.5432"):
        yield str(directory)
    await asyncio.wait(relays)


async def test_through_a_pooler(pg_dsn: str, pg_servers: Servers) -> None:
    server = pg_servers.get("wheel18")
    with tempfile.TemporaryDirectory(prefix="s2pg-") as short:
        async with pooler(Path(short), f"{server.socket_dir}/.s.PGSQL.{server.port}") as host:
            database = pg_dsn.split("/")[3].partition("?")[0]
            dsn = f"postgresql://postgres@/{database}?host={host}&port=5432"
            conn = await connect(dsn)
            assert await conn.fetchval("SELECT 1") == 1
            await conn.close()
            checks = await probe(dsn)
            assert failed(checks) == set()
            assert not checks["direct connection"].ok
    assert "direct connection" not in await probe(pg_dsn)
