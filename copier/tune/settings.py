"""The settings themselves.

Only names that PostgreSQL 14 to 18 all know are used, and lines about CPUs that would repeat the server's defaults are
left out. Nothing here trades safety for speed: fsync, full_page_writes and synchronous_commit stay as they are.

Source: PostgreSQL documentation, chapter "Server Configuration"; "Populating a Database".
"""

from __future__ import annotations

from dataclasses import dataclass

from copier.errors import UsageError
from copier.tune.machine import DISKS, GIB, MIB, Machine, size_text

PURPOSES = ("serve", "load")

DEFAULT_WORKERS, DEFAULT_WORKERS_EACH = 8, 2
"""PostgreSQL's own: max_worker_processes and max_parallel_workers; parallel workers of one query or index build."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of postgresql.conf; `restart` says that a reload is not enough."""

    name: str
    value: str
    why: str
    restart: bool = False


def tune(machine: Machine, purpose: str = "serve") -> tuple[Setting, ...]:
    """Return the settings for `purpose`: "serve" is the whole tuned server, "load" what the cutover changes of it.

    Raises UsageError for another purpose.
    """
    if purpose not in PURPOSES:
        raise UsageError(f"--for {purpose!r} is not known", hint=f"one of {', '.join(PURPOSES)}")
    if purpose == "load":
        return _load(machine)
    return (*_memory(machine), *_wal(), *_checkpoints(), *_planner(machine), *_workers(machine), *_log())


def shared_buffers_bytes(machine: Machine) -> int:
    """Return a quarter of the memory."""
    return machine.ram_bytes // 4


def work_mem_bytes(machine: Machine) -> int:
    """Return what each connection may sort with at once, a power of two from 1 MB to 256 MB."""
    each = (machine.ram_bytes - shared_buffers_bytes(machine)) // machine.connections
    return min(max(1 << (each.bit_length() - 1), MIB), 256 * MIB)


def _memory(machine: Machine) -> tuple[Setting, ...]:
    return (
        Setting(
            "max_connections",
            str(machine.connections),
            "Sessions at once, the pooler's included. Each is a process with memory of its own: more clients than this "
            "wait in a pooler, not here.",
            restart=True,
        ),
        Setting(
            "shared_buffers",
            size_text(shared_buffers_bytes(machine)),
            "The server's own cache: a quarter of the memory. The rest still serves as the system's file cache, which "
            "PostgreSQL relies on too.",
            restart=True,
        ),
        Setting(
            "effective_cache_size",
            size_text(machine.ram_bytes * 3 // 4),
            "What the planner may assume to be cached, here or by the system: three quarters of the memory. Reserves "
            "nothing; higher makes index scans look cheaper.",
        ),
        Setting(
            "maintenance_work_mem",
            size_text(_maintenance_bytes(machine, 16)),
            "For VACUUM, CREATE INDEX and new foreign keys: few run at once, so it may be far above work_mem. A "
            "sixteenth of the memory, 2 GB at most.",
        ),
        Setting(
            "work_mem",
            size_text(work_mem_bytes(machine)),
            "For one sort or hash before it spills to disk; a query can take several, a hash twice this. All "
            "connections with one each still fit beside shared_buffers.",
        ),
    )


def _maintenance_bytes(machine: Machine, share: int) -> int:
    return min(machine.ram_bytes // share, 2 * GIB)


def _wal() -> tuple[Setting, ...]:
    return (
        Setting("wal_level", "replica", "Enough WAL for a standby, base backups and archiving.", restart=True),
        Setting(
            "max_wal_senders",
            "3",
            "Connections that stream WAL: one for each standby, two while pg_basebackup runs.",
            restart=True,
        ),
        Setting(
            "wal_keep_size",
            "1GB",
            "WAL kept for a standby that was away for a while and has no replication slot; further behind, it must be "
            "made anew.",
        ),
    )


def _checkpoints() -> tuple[Setting, ...]:
    return (
        Setting(
            "checkpoint_timeout",
            "15min",
            "Time between checkpoints. The first change of a page after one writes the whole page to WAL, so fewer "
            "checkpoints write less; recovery after a crash takes longer.",
        ),
        Setting(
            "max_wal_size",
            "4GB",
            "WAL after which a checkpoint comes early. Large enough that time, not volume, decides under the usual "
            "load. A soft limit: leave more room on the disk.",
        ),
        Setting("min_wal_size", "1GB", "WAL files up to this are used again instead of being made anew at each peak."),
    )


def _planner(machine: Machine) -> tuple[Setting, ...]:
    cost, concurrency = DISKS[machine.disk]
    seeks = "a seek costs like this on a turning disk" if machine.disk == "hdd" else "hardly more where nothing seeks"
    return (
        Setting(
            "random_page_cost",
            cost,
            f"A page read out of order, beside 1 for the next page in order: {seeks}. Lower favours index scans.",
        ),
        Setting(
            "effective_io_concurrency",
            concurrency,
            "Reads asked for ahead, as in bitmap scans: as many as the disk answers at once. 0 where the system has no "
            "posix_fadvise and PostgreSQL is older than 18.",
        ),
    )


def _workers(machine: Machine) -> tuple[Setting, ...]:
    """Lines only where PostgreSQL's defaults, made for 8 CPUs, do not fit."""
    each = str(max(machine.cpus // 4, min(machine.cpus - 1, 1)))
    wanted = (
        Setting(
            "max_worker_processes",
            str(max(machine.cpus, DEFAULT_WORKERS)),
            "Background processes in all: parallel workers and those of extensions. A standby needs at least as many.",
            restart=True,
        ),
        Setting(
            "max_parallel_workers", str(machine.cpus), "Parallel workers of all queries together: one for each CPU."
        ),
        Setting(
            "max_parallel_workers_per_gather",
            each,
            "Parallel workers of one query: a quarter of the CPUs, so that one report does not take them all.",
        ),
        Setting(
            "max_parallel_maintenance_workers",
            each,
            "Parallel workers of one index build or VACUUM; they share one maintenance_work_mem.",
        ),
    )
    usual = (DEFAULT_WORKERS, DEFAULT_WORKERS, DEFAULT_WORKERS_EACH, DEFAULT_WORKERS_EACH)
    return tuple(one for one, default in zip(wanted, usual, strict=True) if one.value != str(default))


def _log() -> tuple[Setting, ...]:
    return (
        Setting("log_min_duration_statement", "1000", "Statements of a second and more are logged, in milliseconds."),
        Setting(
            "log_checkpoints", "on", "What each checkpoint wrote and how long it took; shows when WAL runs full early."
        ),
        Setting("log_connections", "on", "Who connects. With a pooler these are few."),
        Setting("log_disconnections", "on", "And how long each session lasted."),
    )


def _load(machine: Machine) -> tuple[Setting, ...]:
    found = (
        Setting(
            "max_wal_size",
            "16GB",
            "A load writes its data to WAL too. With room for it no checkpoint interrupts, and no page goes to WAL "
            "whole twice. Needs that much disk.",
        ),
        Setting("checkpoint_timeout", "1h", "The same by time: longer than the window."),
        Setting(
            "maintenance_work_mem",
            size_text(_maintenance_bytes(machine, 8)),
            "Index builds sort in memory instead of on disk; nobody else uses the server yet. 2 GB at most, for two "
            "builds run at once.",
        ),
        Setting(
            "max_parallel_maintenance_workers",
            str(max(machine.cpus // 2, min(machine.cpus - 1, 1))),
            "One index build may take half of the CPUs.",
        ),
    )
    usual = {one.name: one.value for one in tune(machine)}
    usual.setdefault("max_parallel_maintenance_workers", str(DEFAULT_WORKERS_EACH))
    return tuple(one for one in found if usual[one.name] != one.value)
