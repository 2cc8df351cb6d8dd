"""What a session that builds indexes and validates constraints may take of the server.

PostgreSQL docs, "Resource Consumption" (maintenance_work_mem: for CREATE INDEX and ADD FOREIGN KEY, one such operation
per session at a time; max_parallel_maintenance_workers: taken from max_worker_processes, limited by
max_parallel_workers) and "CREATE INDEX" (each worker of a parallel build needs a 32 MB share of maintenance_work_mem,
and so does its leader).

maintenance_work_mem is also what a foreign key is validated with: the server's own check of the rows that are there
sets work_mem to it, so work_mem of the session is of no account.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from copier.postgres.connect import Connection, ServerInfo

_MIB = 1 << 20
LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES = 64 * _MIB, 1024 * _MIB
PER_PROCESS_BYTES = 32 * _MIB
"""The share of maintenance_work_mem below which the server takes fewer workers."""


@dataclass(frozen=True, slots=True)
class BuilderSettings:
    """Settings of one of several sessions that build at once."""

    maintenance_work_mem_bytes: int
    max_parallel_maintenance_workers: int


@dataclass(frozen=True, slots=True)
class ServerMeans:
    """What the server has, by its own settings."""

    shared_buffers_bytes: int
    maintenance_work_mem_bytes: int
    max_worker_processes: int
    max_parallel_workers: int
    cores: int | None = None
    """None where it is not known: on another machine."""


def builder_settings(means: ServerMeans, builders: int) -> BuilderSettings:
    """Return the share of each of `builders` sessions.

    Memory: half of shared_buffers for all of them, since shared_buffers is what somebody thought right for this machine
    (by the docs a quarter of its memory), each between 64 MiB and 1 GiB; never less than the server's own setting.
    Workers: each session's part of those the server may start, as far as their memory goes, and on this machine not
    more than the other cores, so that a lone build of a large table still uses them all.
    """
    share = max(LEAST_MEMORY_BYTES, min(MOST_MEMORY_BYTES, means.shared_buffers_bytes // 2 // builders))
    memory = max(share, means.maintenance_work_mem_bytes)
    workers = min(means.max_worker_processes, means.max_parallel_workers) // builders
    workers = min(workers, memory // PER_PROCESS_BYTES - 1)
    if means.cores is not None:
        workers = min(workers, means.cores - 1)
    return BuilderSettings(memory, max(0, workers))


def tuned_for(info: ServerInfo, builders: int) -> Callable[[Connection], Awaitable[None]]:
    """Return what sets up one of `builders` sessions on the server."""
    cores = os.cpu_count() if _is_local(info) else None

    async def tune(connection: Connection) -> None:
        settings = builder_settings(await _means(connection, cores), builders)
        await connection.execute(
            "SELECT set_config('maintenance_work_mem', $1, false),"
            " set_config('max_parallel_maintenance_workers', $2, false)",
            f"{settings.maintenance_work_mem_bytes >> 10}kB",
            str(settings.max_parallel_maintenance_workers),
        )

    return tune


def _is_local(info: ServerInfo) -> bool:
    return info.host is None or ipaddress.ip_address(info.host).is_loopback


async def _means(connection: Connection, cores: int | None) -> ServerMeans:
    row = await connection.fetchrow(
        "SELECT pg_size_bytes(current_setting('shared_buffers')) AS buffers,"
        " pg_size_bytes(current_setting('maintenance_work_mem')) AS memory,"
        " current_setting('max_worker_processes')::int AS processes,"
        " current_setting('max_parallel_workers')::int AS workers"
    )
    assert row is not None  # a SELECT without FROM has one row
    return ServerMeans(row["buffers"], row["memory"], row["processes"], row["workers"], cores)
