"""Connections to the target: one, or a pool; retried while the failure may pass, and explained when it does not.

Prepared statements are not cached (`statement_cache_size=0`), so everything but the run's advisory lock also works
through PgBouncer in transaction mode; the statements sent here are few, COPY needs none.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from copier.errors import ConnectionLost, UsageError
from copier.postgres.cutoff import remember
from copier.postgres.dsn import Dsn, parse
from copier.postgres.failures import is_transient, translate
from copier.postgres.giving_back import close
from copier.postgres.passfile import file_password

__all__ = ["Connection", "Retry", "ServerInfo", "connect", "is_transient", "open_pool", "server_info", "translate"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Setup = Callable[[Connection], Awaitable[None]]
CONNECT_TIMEOUT_S = 10.0

_TIMEOUTS = {
    "statement_timeout": 0,
    "lock_timeout": 0,
    "idle_in_transaction_session_timeout": 0,
    "idle_session_timeout": 14,
    "transaction_timeout": 17,
}
"""Setting -> first server version that has it, where that is not all."""

_SESSION = """
SELECT set_config(name, setting, false) FROM (VALUES ('tcp_keepalives_idle', '60'), ('tcp_keepalives_interval', '10'),
    ('tcp_keepalives_count', '6'), ('client_connection_check_interval', '10s')) AS wanted (name, setting)
    WHERE pg_catalog.version() LIKE '%linux%' AND current_setting('server_version_num')::int >= 140000;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';
SET extra_float_digits = 1; SET bytea_output = 'hex'; SET standard_conforming_strings = on
"""
"""A load takes as long as it takes, and what we read as text must not depend on the role's settings. search_path stays
the role's own: an existing table's triggers and checks may rely on it, and our own statements qualify every name.

A client that is gone must not hold the run's lock for long: the server looks after two minutes of silence, and every
ten seconds while a statement runs (on Linux: elsewhere it may refuse these settings). What the ledger calls done must
survive a crash, also where the role commits asynchronously; chunks choose for themselves."""

_SETTINGS_READ = (
    "max_connections",
    "superuser_reserved_connections",
    "reserved_connections",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "maintenance_work_mem",
    "fsync",
    "full_page_writes",
    "wal_level",
    "synchronous_commit",
    "synchronous_standby_names",
    "data_directory",
    "default_transaction_read_only",
    "transaction_read_only",
    "max_worker_processes",
    "max_parallel_maintenance_workers",
    "archive_mode",
)


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to try connecting: a failure that may pass is tried again at growing, random intervals."""

    patience_s: float = 20.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 3.0


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the server says of itself and of our session."""

    version_num: int
    """150018 for 15.18."""
    version: str
    encoding: str
    database: str
    user: str
    is_superuser: bool
    in_recovery: bool
    settings: Mapping[str, int | str]
    """Settings by name; numbers in base units: sizes in bytes, times in seconds. One the role may not see is absent."""
    backend_pid: int = 0
    host: str | None = None
    """The address connected to, None through a unix socket."""

    @property
    def major(self) -> int:
        """14, 15, ..."""
        return self.version_num // 10000


async def connect(
    dsn: str, *, application_name: str = "sqlite2pg", retry: Retry | None = None
) -> asyncpg.Connection[asyncpg.Record]:
    """Return a connection set up for a load.

    Raises TargetUnusable when trying again would not help, ConnectionLost when it did not help within `retry`,
    UsageError for a DSN that cannot be read. No message holds the password.
    """
    target = _usable(parse(dsn))
    async for attempt in _attempts(retry or Retry()):
        with attempt:
            return await _dial(target, application_name)
    raise AssertionError("unreachable: the last attempt raises")


@contextlib.asynccontextmanager
async def open_pool(
    dsn: str, size: int, *, application_name: str = "sqlite2pg", setup: Setup | None = None, retry: Retry | None = None
) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Open `size` connections at once, so that a server without room for them says so here; close them at the end.

    `setup` runs whenever a connection is acquired. Errors are those of `connect`, also when the pool replaces a lost
    connection later. At the end idle connections are closed, and any still in use are cut.
    """
    patience = retry or Retry()

    async def dial(*_: object, **__: object) -> asyncpg.Connection[asyncpg.Record]:
        return await connect(dsn, application_name=application_name, retry=patience)

    async def prepare(conn: Connection) -> None:
        if setup is not None:
            await setup(conn)

    pool = asyncpg.create_pool(
        connect=dial,
        setup=prepare,
        reset=_reset,
        min_size=size,
        max_size=size,
        max_inactive_connection_lifetime=0,
        max_queries=2**62,
    )
    try:
        await pool
        yield pool
    except BaseException:
        pool.terminate()
        raise
    await close(pool)


def _session(conn: asyncpg.Connection[asyncpg.Record]) -> str:
    major = conn.get_server_version().major
    return "".join(f"SET {name} = 0; " for name, since in _TIMEOUTS.items() if major >= since) + _SESSION


async def _reset(conn: asyncpg.Connection[asyncpg.Record]) -> None:
    """Make a released connection new, in one round trip; the pool replaces one that cannot be.

    The pool has ended a transaction that was left open already.
    """
    try:
        # RESET ALL is part of it, and an idle session must not end by the role's own timeouts.
        await conn.execute(f"{conn.get_reset_query()};{_session(conn)}")
    except Exception:
        conn.terminate()


async def server_info(conn: Connection) -> ServerInfo:
    """Ask the server about itself; needs no privilege."""
    row = await conn.fetchrow(
        """
        SELECT current_setting('server_version_num')::int AS version_num, current_setting('server_version') AS version,
               current_setting('server_encoding') AS encoding, current_database()::text AS database,
               current_user::text AS "user", pg_is_in_recovery() AS in_recovery, pg_backend_pid() AS backend_pid,
               coalesce((SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), false)
                   AS is_superuser,
               host(inet_server_addr()) AS host
        """
    )
    rows = await conn.fetch(
        "SELECT name, setting, unit, vartype FROM pg_catalog.pg_settings WHERE name = ANY($1::text[])",
        list(_SETTINGS_READ),
    )
    settings = {one["name"]: _base_units(one["setting"], one["unit"], one["vartype"]) for one in rows}
    assert row is not None  # a SELECT without FROM has one row
    return ServerInfo(**row, settings=settings)


_UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "8kB": 8 << 10, "ms": 0.001, "s": 1, "min": 60}


def _base_units(setting: str, unit: str | None, vartype: str) -> int | str:
    if vartype != "integer":
        return setting
    return int(int(setting) * _UNITS.get(unit or "", 1))


def _attempts(retry: Retry) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(ConnectionLost),
        stop=stop_after_delay(retry.patience_s),
        wait=wait_random_exponential(multiplier=retry.first_wait_s, max=retry.longest_wait_s),
        reraise=True,
    )


async def _dial(target: Dsn, application_name: str) -> asyncpg.Connection[asyncpg.Record]:
    password = file_password(target, os.environ)
    try:
        conn = await asyncpg.connect(
            target.url,
            password=password,
            timeout=target.connect_timeout_s or CONNECT_TIMEOUT_S,
            statement_cache_size=0,
            server_settings={"application_name": target.options.get("application_name") or application_name},
        )
        try:
            await conn.execute(_session(conn))
        except BaseException:
            conn.terminate()
            raise
        remember(conn)
        return conn
    except Exception as error:
        given = bool(password or target.password or os.environ.get("PGPASSWORD"))
        failure = translate(error, target, password_given=given)
    raise failure  # outside the handler: neither cause nor context may carry the DSN


def _usable(target: Dsn) -> Dsn:
    """Name the certificate file that is missing, and find the system's authorities for `sslrootcert=system`."""
    options = dict(target.options)
    if options.get("sslrootcert") == "system":
        paths = ssl.get_default_verify_paths()
        found = paths.cafile or next((str(p) for p in _bundles() if p.exists()), None)
        if found is None:
            raise UsageError("sslrootcert=system: this system has no bundle of authorities", hint="name a file")
        options |= {"sslrootcert": found, "sslmode": "verify-full"}
    for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
        if options.get(name) and not Path(options[name]).expanduser().is_file():
            raise UsageError(f"{name} names {options[name]}, which is no file", hint="check the path")
    return replace(target, options=options)


def _bundles() -> list[Path]:
    return [
        Path("/etc/ssl/certs/ca-certificates.crt"),
        Path("/etc/pki/tls/certs/ca-bundle.crt"),
        Path("/etc/ssl/cert.pem"),
    ]
