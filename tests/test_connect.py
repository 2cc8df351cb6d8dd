"""Connecting to real servers: unix socket, TCP, TLS, wrong everything; and what is said then."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import shutil
import socket
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fix_postgres import SETTINGS, Servers, apart, find_installation, reachable_directory

from copier.errors import ConnectionLost, CopierError, TargetUnusable, UsageError
from copier.postgres.connect import Retry, connect, is_transient, open_pool, server_info
from copier.postgres.embedded import EmbeddedServer, start

SECRET = "hunter2-s3cr3t"
BRIEF = Retry(patience_s=0.3, first_wait_s=0.01)


@pytest.fixture
async def bob(pg: asyncpg.Connection, pg_servers: Servers) -> AsyncIterator[str]:
    """DSN of an ordinary role with a password, over TCP with scram."""
    database = await pg.fetchval("SELECT current_database()")
    await pg.execute(f"CREATE ROLE bob LOGIN PASSWORD '{SECRET}'")
    yield pg_servers.get("wheel18").tcp_dsn(database, "bob", SECRET)
    await pg.execute("DROP OWNED BY bob CASCADE; DROP ROLE bob")


async def refused(dsn: str, kind: type[CopierError]) -> CopierError:
    """Connect, expect `kind`, and make sure that nothing printed holds the password."""
    with pytest.raises(kind) as caught:
        await connect(dsn, retry=BRIEF)
    error = caught.value
    said = [str(error), repr(error), error.hint, "".join(traceback.format_exception(error))]
    assert not any(SECRET in text for text in said)
    assert error.hint
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


async def test_unix_socket_and_session(pg_any: str) -> None:
    conn = await connect(pg_any, application_name="here")
    try:
        info = await server_info(conn)
        assert info.version_num >= 140000
        assert info.version.startswith(str(info.major))
        assert (info.encoding, info.user, info.is_superuser, info.in_recovery) == ("UTF8", "postgres", True, False)
        assert info.settings["shared_buffers"] == 64 << 20
        assert info.settings["max_wal_size"] == 1 << 30
        assert info.settings["checkpoint_timeout"] == 900
        assert info.host is None
        assert info.backend_pid == await conn.fetchval("SELECT pg_backend_pid()")
        assert await conn.fetchval("SHOW application_name") == "here"
        assert await conn.fetchval("SHOW TimeZone") == "UTC"
        assert await conn.fetchval("SHOW statement_timeout") == "0"
    finally:
        await conn.close()


async def test_tcp_with_password(bob: str) -> None:
    conn = await connect(bob)
    try:
        info = await server_info(conn)
        assert (info.user, info.is_superuser, info.host) == ("bob", False, "127.0.0.1")
        assert "data_directory" not in info.settings  # only pg_read_all_settings sees it
    finally:
        await conn.close()


async def test_wrong_password_or_none(bob: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    without = bob.replace(f":{SECRET}@", "@")
    error = await refused(bob.replace(SECRET, SECRET + "x"), TargetUnusable)
    assert "refused the password" in str(error)
    error = await refused(without, TargetUnusable)
    assert "wants a password, and none is given" in str(error)
    assert all(place in error.hint for place in ("PGPASSWORD", ".pgpass", "DSN"))
    monkeypatch.setenv("PGPASSWORD", SECRET + "x")
    assert "refused the password" in str(await refused(without, TargetUnusable))
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / ".pgpass").write_text(f"*:*:*:*:{SECRET}x\n")
    (tmp_path / ".pgpass").chmod(0o600)
    assert "refused the password" in str(await refused(without, TargetUnusable))


async def test_unknown_role_and_database(bob: str, pg_dsn: str) -> None:
    assert "does not exist" in str(await refused(bob.rpartition("/")[0] + "/nowhere", TargetUnusable))
    assert "nobody_here" in str(await refused(pg_dsn.replace("postgres@", "nobody_here@"), TargetUnusable))


async def test_no_privilege_to_connect(bob: str, pg: asyncpg.Connection) -> None:
    database = await pg.fetchval("SELECT current_database()")
    await pg.execute(f'REVOKE CONNECT ON DATABASE "{database}" FROM PUBLIC')
    assert "GRANT CONNECT" in (await refused(bob, TargetUnusable)).hint


async def test_unknown_host() -> None:
    with pytest.raises((TargetUnusable, ConnectionLost)) as caught:  # without network the name service is what fails
        await connect(f"postgresql://bob:{SECRET}@no-such-host.invalid/app", retry=BRIEF)
    assert "no-such-host.invalid" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = await refused(f"postgresql://bob:{SECRET}@127.0.0.1:{port}/app", ConnectionLost)
        assert f"127.0.0.1:{port}" in str(error)
    await refused(f"postgresql://bob:{SECRET}@/app?host={tmp_path}", ConnectionLost)


async def test_a_server_that_never_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        dsn = f"postgresql://bob:{SECRET}@127.0.0.1:{port}/app?connect_timeout=1&sslmode=disable"
        assert "in time" in str(await refused(dsn, ConnectionLost))


async def test_too_many_connections(bob: str, pg: asyncpg.Connection) -> None:
    await pg.execute("ALTER ROLE bob CONNECTION LIMIT 1")
    first = await connect(bob)
    try:
        assert "--jobs" in (await refused(bob, ConnectionLost)).hint
        with pytest.raises(ConnectionLost):
            async with open_pool(bob, 3, retry=BRIEF):
                pass
    finally:
        await first.close()


async def test_connecting_waits_for_room(bob: str, pg: asyncpg.Connection) -> None:
    await pg.execute("ALTER ROLE bob CONNECTION LIMIT 1")
    first = await connect(bob)
    waiting = asyncio.create_task(connect(bob, retry=Retry(patience_s=30, first_wait_s=0.01)))
    await asyncio.wait({waiting}, timeout=0.2)
    assert not waiting.done()
    await first.close()
    second = await waiting
    await second.close()


@pytest.mark.parametrize("option", ["sslrootcert=/no/such.pem", "sslmode=sometimes"])
async def test_bad_options(option: str) -> None:
    error = await refused(f"postgresql://bob:{SECRET}@127.0.0.1/app?{option}", UsageError)
    assert option.partition("=")[0] in str(error) + error.hint


async def test_pool(pg_dsn: str) -> None:
    seen: list[int] = []

    async def setup(conn: asyncpg.Connection) -> None:
        seen.append(await conn.fetchval("SELECT pg_backend_pid()"))

    async with open_pool(pg_dsn, 2, setup=setup) as pool:
        for _ in range(2):  # the session is set up again after the pool's reset
            async with pool.acquire() as one, pool.acquire() as two:
                assert await one.fetchval("SHOW TimeZone") == await two.fetchval("SHOW TimeZone") == "UTC"
    assert len(seen) == 4
    assert len(set(seen)) == 2


async def test_pool_replaces_a_lost_connection(pg_dsn: str, pg: asyncpg.Connection) -> None:
    async with open_pool(pg_dsn, 1) as pool:
        async with pool.acquire() as conn:
            pid = await conn.fetchval("SELECT pg_backend_pid()")
            await pg.execute("SELECT pg_terminate_backend($1, 5000)", pid)
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)) as caught:
                await conn.execute("SELECT 1")
            assert is_transient(caught.value)
        async with pool.acquire() as conn:
            assert await conn.fetchval("SELECT pg_backend_pid()") != pid


async def test_pool_is_cut_on_cancellation(pg_dsn: str, pg: asyncpg.Connection) -> None:
    async def work() -> None:
        async with open_pool(pg_dsn, 1, application_name="cut me") as pool, pool.acquire() as conn:
            await conn.execute("SELECT pg_sleep(60)")

    # Before the server is in it, a request to cancel it would come too early.
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cut me' AND wait_event = 'PgSleep'"
    task = asyncio.create_task(work())
    while not await pg.fetchval(asleep):
        await pg.execute("SELECT pg_stat_clear_snapshot()")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cut me'"
    async with asyncio.timeout(30):
        while await pg.fetchval(query):
            pass


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (asyncpg.DeadlockDetectedError("x"), True),
        (asyncpg.SerializationError("x"), True),
        (asyncpg.LockNotAvailableError("x"), True),
        (asyncpg.AdminShutdownError("x"), True),
        (asyncpg.ConnectionDoesNotExistError("x"), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (ConnectionLost("x"), True),
        (asyncpg.UniqueViolationError("x"), False),
        (asyncpg.DiskFullError("x"), False),
        (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), False),
        (asyncpg.DataError("x"), False),
        (TargetUnusable("x"), False),
        (ValueError("x"), False),
    ],
)
def test_what_is_transient(error: BaseException, transient: bool) -> None:
    assert is_transient(error) is transient


def _certificate(directory: Path, name: str) -> None:
    """Write NAME.crt and NAME.key, self-signed, for `localhost`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / f"{name}.key").write_bytes(key.private_bytes(*form))
    (directory / f"{name}.key").chmod(0o600)


@pytest.fixture(scope="module")
def tls_server() -> Iterator[tuple[EmbeddedServer, Path]]:
    """A server with a self-signed certificate that takes nothing but TLS over TCP; the wheel's has no TLS."""
    installation = find_installation("system")
    if installation is None:
        pytest.skip("no system PostgreSQL: the wheel's server is built without TLS")
    with reachable_directory() as base:
        for name in ("server", "other"):
            _certificate(base, name)
        server = apart(lambda: start(base / "data", tcp=True, settings=SETTINGS, installation=installation))
        apart(server.stop)
        for name in ("server.crt", "server.key"):
            shutil.copy2(base / name, server.data_dir / name)
            if server.account is not None:
                os.chown(server.data_dir / name, server.account.uid, server.account.gid)
        (server.data_dir / "pg_hba.conf").write_text(
            "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        )
        settings = {**SETTINGS, "ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
        server = apart(lambda: start(base / "data", tcp=True, settings=settings, installation=installation))

        async def role() -> None:
            conn = await connect(server.dsn())
            await conn.execute(f"CREATE ROLE bob LOGIN PASSWORD '{SECRET}'")
            await conn.close()

        apart(role)
        yield server, base
        apart(server.stop)


async def _uses_tls(dsn: str) -> bool:
    conn = await connect(dsn, retry=BRIEF)
    try:
        return bool(await conn.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    finally:
        await conn.close()


async def test_tls(tls_server: tuple[EmbeddedServer, Path]) -> None:
    server, base = tls_server
    dsn = server.tcp_dsn("postgres", "bob", SECRET)
    by_name = dsn.replace("127.0.0.1", "localhost")
    assert await _uses_tls(dsn)  # sslmode=prefer
    assert await _uses_tls(f"{dsn}?sslmode=require")
    assert await _uses_tls(f"{dsn}?sslmode=verify-ca&sslrootcert={base / 'server.crt'}")
    assert await _uses_tls(f"{by_name}?sslmode=verify-full&sslrootcert={base / 'server.crt'}")


async def test_tls_that_is_refused(tls_server: tuple[EmbeddedServer, Path]) -> None:
    server, base = tls_server
    dsn = server.tcp_dsn("postgres", "bob", SECRET)
    error = await refused(f"{dsn}?sslmode=verify-full&sslrootcert={base / 'server.crt'}", TargetUnusable)
    assert str(ipaddress.ip_address("127.0.0.1")) in str(error)  # the certificate names localhost only
    error = await refused(f"{dsn}?sslmode=verify-ca&sslrootcert={base / 'other.crt'}", TargetUnusable)
    assert "certificate" in str(error)
    error = await refused(f"{dsn}?sslmode=disable", TargetUnusable)
    assert "no encryption" in str(error)


async def test_tls_that_is_not_there(bob: str) -> None:
    error = await refused(f"{bob}?sslmode=require", TargetUnusable)
    assert "no TLS" in str(error)
