"""The server's side of `validate`: whether the target can take the copy, found out by trying, without a trace.

Everything that writes happens in transactions that are rolled back.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence

import asyncpg

from copier.errors import CopierError
from copier.plan.bookkeeping import exclude_hint
from copier.plan.existing import find_name
from copier.plan.names import qualify, quote
from copier.postgres.catalog import read_target
from copier.postgres.check import CONTENTS, Check
from copier.postgres.connect import Connection, Retry, ServerInfo, connect, server_info
from copier.postgres.dsn import describe, parse
from copier.postgres.failures import is_transient
from copier.postgres.giving_back import close
from copier.postgres.probe_load import disk_space, settings_advice, slots
from copier.units import plural

__all__ = ["Check", "probe_target", "writable"]

OLDEST_VERSION_NUM = 140000
LOCK_TIMEOUT = "5s"
_NAMES_SHOWN = 5


class _Undo(Exception):
    """Leaves a transaction so that it is rolled back."""


async def probe_target(
    dsn: str,
    schema: str,
    ledger_schema: str,
    *,
    needs: Sequence[str] = (),
    estimate_bytes: int = 0,
    jobs: int = 1,
    allow_rows: bool = False,
    own_tables: Collection[str] = (),
    tables: Collection[str] = (),
    retry: Retry | None = None,
) -> list[Check]:
    """Look at the target and return every check, passed or not; an unreachable server is one failed check.

    `needs` are extensions, `estimate_bytes` is what the copy will take on the target's disk, `jobs` how many
    connections it opens at once. Rows in a target table that one of `tables` (source names) would go to are fatal
    unless `allow_rows`; rows elsewhere, and in `own_tables`, are only mentioned.
    """
    try:
        conn = await connect(dsn, retry=retry)
    except CopierError as error:
        return [Check("connection", False, str(error), error.hint)]
    try:
        info = await server_info(conn)
        checks = [_connection(dsn, info), _version(info), _encoding(info), writable(info)]
        if not all(check.ok for check in checks):
            return checks
        checks += [*_pooler(conn, info), await _schema(conn, schema), await _ledger(conn, ledger_schema)]
        checks += [await _extension(conn, name) for name in needs]
        checks.append(await _contents(conn, schema, allow_rows, own_tables, tables))
        checks += [await slots(conn, info, jobs), await disk_space(conn, info, estimate_bytes)]
        return checks + settings_advice(info, estimate_bytes)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if not is_transient(error):
            raise
        return [Check("connection", False, f"the connection broke during the checks: {error}", "try again")]
    finally:
        await close(conn)


def _connection(dsn: str, info: ServerInfo) -> Check:
    target = parse(dsn)
    detail = f"{describe(target)}: PostgreSQL {info.version}, database {info.database}, role {info.user}"
    if target.ignored:
        detail += f"; ignored in the connection string: {', '.join(target.ignored)}"
    return Check("connection", True, detail)


def _version(info: ServerInfo) -> Check:
    return Check(
        "server version",
        info.version_num >= OLDEST_VERSION_NUM,
        f"PostgreSQL {info.version}",
        f"PostgreSQL {OLDEST_VERSION_NUM // 10000} or newer is needed: upgrade the server, or name another",
    )


def _encoding(info: ServerInfo) -> Check:
    return Check(
        "database encoding",
        info.encoding == "UTF8",
        info.encoding,
        "SQLite text needs a UTF8 database: CREATE DATABASE .. TEMPLATE template0 ENCODING 'UTF8'",
    )


def writable(info: ServerInfo) -> Check:
    """Whether the server takes writes of this session at all."""
    if info.in_recovery:
        return Check("read-write", False, "the server is a standby, in recovery", "name the primary server")
    read_only = info.settings.get("transaction_read_only") == "on"
    hint = (
        f"ALTER DATABASE {quote(info.database)} SET default_transaction_read_only = off, or look at the role's setting"
    )
    return Check("read-write", not read_only, "transactions are read-only" if read_only else "yes", hint)


def _pooler(conn: Connection, info: ServerInfo) -> list[Check]:
    """A pooler makes up the process id it tells at the start."""
    if conn.get_server_pid() == info.backend_pid:
        return []
    detail = "the connection goes through a pooler (PgBouncer or alike)"
    hint = "name the server itself: the lock that keeps two runs apart needs a session of its own"
    return [Check("direct connection", False, detail, hint, fatal=False)]


async def _schema(conn: Connection, schema: str) -> Check:
    """Create, fill, index, refer to and drop a table as the copy will."""
    name = f"sqlite2pg_probe_{secrets.token_hex(4)}"
    table = qualify(schema, name)
    steps = [
        ("create a table", f"CREATE TABLE {table} (id bigint GENERATED BY DEFAULT AS IDENTITY, up bigint, t text)"),
        ("copy into it", ""),
        ("add its keys", f"ALTER TABLE {table} ADD PRIMARY KEY (id), ADD FOREIGN KEY (up) REFERENCES {table} (id)"),
        ("index it", f"CREATE INDEX ON {table} (t)"),
        (
            "set its sequence",
            f"SELECT setval(pg_get_serial_sequence('{table.replace(chr(39), chr(39) * 2)}', 'id'), 7)",
        ),
        ("drop it", f"DROP TABLE {table}"),
    ]
    steps = [*await _creating(conn, schema), *steps]
    words = await _try(conn, steps, schema, name)
    hint = (
        f"ask the owner for GRANT CREATE, USAGE ON SCHEMA {quote(schema)} TO the role (for a new schema: GRANT CREATE "
        "ON DATABASE), or choose a schema you own with --schema"
    )
    return Check(f"privileges in schema {schema}", not words, words or "may create, fill, index and drop tables", hint)


async def _ledger(conn: Connection, schema: str) -> Check:
    name = f"sqlite2pg_probe_{secrets.token_hex(4)}"
    table = qualify(schema, name)
    steps = [
        *await _creating(conn, schema),
        ("create a table", f"CREATE TABLE {table} (id text PRIMARY KEY)"),
        ("write to it", f"INSERT INTO {table} VALUES ('1')"),
    ]
    words = await _try(conn, steps, schema, name)
    hint = "name a schema you may create tables in with --ledger-schema, or ask for GRANT CREATE ON DATABASE"
    return Check(f"privileges for the ledger in schema {schema}", not words, words or "may create and write it", hint)


async def _creating(conn: Connection, schema: str) -> list[tuple[str, str]]:
    if await conn.fetchval("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", schema):
        return []
    return [("create the schema", f"CREATE SCHEMA {quote(schema)}")]


async def _try(conn: Connection, steps: Sequence[tuple[str, str]], schema: str, table: str) -> str:
    """Run the steps and roll them back; return '' or what failed. An empty statement stands for a COPY to `table`."""
    doing = ""
    try:
        async with conn.transaction():
            await conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            for step, statement in steps:
                doing = step
                if statement:
                    await conn.execute(statement)
                else:
                    rows = [(1, None, "one"), (2, 1, "two")]
                    await conn.copy_records_to_table(table, records=rows, schema_name=schema)
            raise _Undo
    except _Undo:
        return ""
    except asyncpg.PostgresError as error:
        if is_transient(error) and not isinstance(error, asyncpg.LockNotAvailableError):
            raise
        return f"cannot {doing}: {error}"


async def _extension(conn: Connection, name: str) -> Check:
    title, hint = f"extension {name}", "install it on the server, or take it out of the plan"
    version = await conn.fetchval("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = $1", name)
    if version is not None:
        return Check(title, True, f"installed, version {version}")
    if not await conn.fetchval("SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = $1", name):
        return Check(title, False, "the server does not have it", hint)
    words = await _try(conn, [("create it", f"CREATE EXTENSION {quote(name)} CASCADE")], "", "")
    hint = f"ask an administrator to run: CREATE EXTENSION {quote(name)}"
    return Check(title, not words, words or "available, and this role may create it", hint)


async def _contents(
    conn: Connection, schema: str, allow_rows: bool, own_tables: Collection[str], tables: Collection[str]
) -> Check:
    target = await read_target(conn, schema)
    others = [table for table in target.tables if table.name not in own_tables]
    filled = [table.name for table in others if table.is_empty is False]
    goals = {find_name(name, name, [table.name for table in others]) for name in tables}
    in_the_way = [name for name in filled if name in goals]
    shown = ", ".join((in_the_way or filled)[:_NAMES_SHOWN]) + (
        " .." if len(in_the_way or filled) > _NAMES_SHOWN else ""
    )
    there = f"{plural(len(others), 'table')} in schema {schema}"
    detail = there if target.exists else f"schema {schema} does not exist yet"
    detail += f", {len(filled)} with rows: {shown}" if filled else ""
    hint = "choose another --schema, or say what to do with the rows: --existing=append, truncate or replace"
    return Check(CONTENTS, allow_rows or not in_the_way, detail, exclude_hint(in_the_way) or hint)
