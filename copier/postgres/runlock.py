"""The lock that keeps a second run away from a target schema, and who holds it when it is taken.

It is a session's advisory lock: it ends with the session, so a killed run leaves none behind, as soon as the server has
noticed. A second, shared lock names the process that holds the first: the ledger knows which process began the
unfinished run, and whether that one is the holder, and still alive, can then be told for certain.
"""

from __future__ import annotations

import os
import socket

import asyncpg

from copier.errors import RunBusy
from copier.postgres.ledger_tables import Connection

_TAKE = """
SELECT CASE WHEN pg_try_advisory_lock(hashtextextended($1, 0))
            THEN pg_try_advisory_lock_shared(hashtextextended($2, 0)) ELSE false END
"""

_HOLDER = """
SELECT a.pid, a.usename, a.application_name, host(a.client_addr) AS client, a.backend_start
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock'
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended($1, 0)
"""

_HOLDS = """
SELECT true FROM pg_catalog.pg_locks l
WHERE l.locktype = 'advisory' AND l.granted AND l.pid = $1
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended($2, 0)
"""


def lock_key(target_schema: str) -> str:
    """Return the text whose hashtextextended(.., 0) is the lock's key."""
    return f"sqlite2pg:{target_schema}"


async def take_lock(connection: Connection, target_schema: str, run_table: str) -> None:
    """Take the lock for the session; RunBusy says who holds it, and whether the holder's process is gone.

    `run_table` is the ledger's table of runs, which need not exist.
    """
    schema_key = lock_key(target_schema)
    if await connection.fetchval(_TAKE, schema_key, _process_key(socket.gethostname(), os.getpid())):
        return
    holder = await connection.fetchrow(_HOLDER, schema_key)
    if holder is None:
        raise RunBusy(f"another run is working on schema {target_schema!r}", hint="try again: it has just ended")
    process = await _process(connection, target_schema, run_table, holder["pid"])
    who = _describe(holder)
    if process is None or not _is_gone(*process):
        who += f", process {process[1]} on {process[0]}" if process else ""
        raise RunBusy(
            f"another run is working on schema {target_schema!r}: {who}",
            hint="wait for it, or end it; `sqlite2pg status` shows its progress. If its client is gone, "
            "pg_terminate_backend() on that backend frees the lock.",
        )
    raise RunBusy(
        f"a run whose process {process[1]} is gone from this host still holds schema {target_schema!r}: {who}",
        hint=f"SELECT pg_terminate_backend({holder['pid']}) frees the lock at once, then run the same command again; "
        "the server frees it itself when it notices that the client is gone, within some minutes",
    )


def _describe(holder: asyncpg.Record) -> str:
    """Return what the server shows of a session; a role without pg_read_all_stats sees less of others."""
    words = f"backend {holder['pid']} of role {holder['usename']}"
    words += f", application {holder['application_name']}" if holder["application_name"] else ""
    words += f", from {holder['client']}" if holder["client"] else ""
    since = holder["backend_start"]
    return words + (f", connected since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "")


async def _process(connection: Connection, target_schema: str, run_table: str, backend: int) -> tuple[str, int] | None:
    """Return host and process id of the unfinished run, when it is the one that holds the lock."""
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", run_table):
        return None
    row = await connection.fetchrow(
        f"SELECT host, pid FROM {run_table} WHERE target_schema = $1 AND finished_at IS NULL"
        " ORDER BY started_at DESC LIMIT 1",
        target_schema,
    )
    if row is None or not await connection.fetchval(_HOLDS, backend, _process_key(row["host"], row["pid"])):
        return None
    return row["host"], row["pid"]


def _process_key(host: str, pid: int) -> str:
    return f"sqlite2pg:process:{host}:{pid}"


def _is_gone(host: str, pid: int) -> bool:
    if host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
