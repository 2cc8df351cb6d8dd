"""Room and speed: connection slots, disk space, and settings that would make the load slow."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import asyncpg

from copier.postgres.check import Check
from copier.postgres.connect import Connection, ServerInfo
from copier.units import size

_MIB = 1 << 20
SMALL_LOAD_BYTES = 128 * _MIB
"""Below this no setting is worth changing: the load takes seconds."""
WANTED_SHARED_BUFFERS_BYTES = 256 * _MIB
WANTED_WAL_BYTES = 4096 * _MIB
WANTED_CHECKPOINT_S = 300

_SLOTS = """
SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend') AS used,
       (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user) AS role_limit,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = current_user) AS role_used,
       (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = current_database()) AS database_limit,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()
          AND backend_type = 'client backend') AS database_used
"""


async def slots(conn: Connection, info: ServerInfo, jobs: int) -> Check:
    """Whether `jobs` more connections fit under the limits of server, role and database."""
    row = await conn.fetchrow(_SLOTS)
    assert row is not None  # a SELECT without FROM has one row
    reserved = 0 if info.is_superuser else _number(info, "superuser_reserved_connections")
    reserved += 0 if info.is_superuser else _number(info, "reserved_connections")
    left = {"the server": _number(info, "max_connections") - reserved - row["used"]}
    if not info.is_superuser:
        for who, limit, used in (("role", "role_limit", "role_used"), ("database", "database_limit", "database_used")):
            if row[limit] is not None and row[limit] >= 0:
                left[f"the {who}"] = row[limit] - row[used]
    least = min(left, key=lambda who: left[who])
    return Check(
        "connection slots",
        left[least] >= jobs,
        f"{least} has {left[least]} left, the copy needs {jobs}",
        f"close other clients, raise the limit, or use --jobs {max(1, left[least])}",
    )


async def disk_space(conn: Connection, info: ServerInfo, estimate_bytes: int) -> Check:
    """Free space where the database lies: known only for a server on this machine that tells its directory."""
    title, needed = "disk space on the server", f"the copy needs about {size(estimate_bytes)}"
    directory = await _directory(conn, info)
    if directory is None:
        return Check(title, True, f"unknown from here: {needed}")
    try:
        stat = os.statvfs(directory)
    except OSError:
        return Check(title, True, f"unknown from here: {needed}")
    free = stat.f_bavail * stat.f_frsize
    hint = f"free some space in the file system of {directory}, or choose another server or tablespace"
    return Check(title, free >= estimate_bytes, f"{size(free)} free, {needed}", hint)


async def _directory(conn: Connection, info: ServerInfo) -> Path | None:
    """The default tablespace of the database; None when it is not on this machine, or not for us to see."""
    local = info.host is None or ipaddress.ip_address(info.host).is_loopback
    data = info.settings.get("data_directory")
    if not local or not isinstance(data, str):
        return None
    try:
        location = await conn.fetchval(
            "SELECT pg_tablespace_location(dattablespace) FROM pg_catalog.pg_database"
            " WHERE datname = current_database()"
        )
    except asyncpg.PostgresError:
        return None
    return Path(location or data)


def settings_advice(info: ServerInfo, estimate_bytes: int) -> list[Check]:
    """Settings worth changing before this load; one passed check when there is none."""
    advice = _durability(info)
    if estimate_bytes >= SMALL_LOAD_BYTES:
        advice += _speed(info, estimate_bytes)
    return advice or [Check("settings for the load", True, "nothing to change for a load of this size", fatal=False)]


def _durability(info: ServerInfo) -> list[Check]:
    unsafe = [name for name in ("fsync", "full_page_writes") if info.settings.get(name) == "off"]
    return [
        _advise(name, "off: a crash of the machine can corrupt the database", "on", "fine for a trial run only")
        for name in unsafe
    ]


def _speed(info: ServerInfo, estimate_bytes: int) -> list[Check]:
    found = []
    wal, wanted_wal = _number(info, "max_wal_size"), min(WANTED_WAL_BYTES, _round_up(estimate_bytes))
    if 0 < wal < wanted_wal:
        detail = f"{size(wal)}: the load will force checkpoints"
        found.append(_advise("max_wal_size", detail, f"{wanted_wal // _MIB}MB", "set it back after the load"))
    buffers = _number(info, "shared_buffers")
    if 0 < buffers < WANTED_SHARED_BUFFERS_BYTES:
        wanted = f"{WANTED_SHARED_BUFFERS_BYTES // _MIB}MB"
        found.append(_advise("shared_buffers", f"{size(buffers)} is little", wanted, "needs a restart"))
    checkpoint_s = _number(info, "checkpoint_timeout")
    if 0 < checkpoint_s < WANTED_CHECKPOINT_S:
        detail = f"{checkpoint_s} s: frequent checkpoints write pages again and again"
        found.append(_advise("checkpoint_timeout", detail, "15min", "set it back after the load"))
    if info.settings.get("synchronous_standby_names"):
        detail = "each table's last commit, and every index, waits for a standby"
        found.append(_advise("synchronous_standby_names", detail, "", "set it back after the load"))
    return found


def _advise(name: str, detail: str, value: str, remark: str) -> Check:
    command = f"ALTER SYSTEM SET {name} = '{value}'; SELECT pg_reload_conf();"
    return Check(f"setting {name}", False, detail, f"{command} -- {remark}", fatal=False)


def _number(info: ServerInfo, name: str) -> int:
    value = info.settings.get(name, 0)
    return value if isinstance(value, int) else 0


def _round_up(n: int) -> int:
    """To a power of two."""
    return 1 << max(0, n - 1).bit_length()
