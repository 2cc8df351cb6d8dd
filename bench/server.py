"""The server all measurements share: embedded, on this machine, with settings that do not hold a load back."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from copier.postgres.embedded import EmbeddedServer, embedded_server
from copier.tune.here import cpu_model

SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "min_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "512MB",
}
"""Stated in RESULTS.md; everything else is PostgreSQL's default: fsync on, wal_level replica."""

SMALL = {"shared_buffers": "64MB"}
"""For tests that only ask whether the benchmarks work."""


@asynccontextmanager
async def bench_server(settings: dict[str, str] | None = None) -> AsyncIterator[EmbeddedServer]:
    """Run a server in a directory of its own, removed at the end; it also listens on 127.0.0.1."""
    with reachable_directory() as base:
        async with embedded_server(base / "postgres", keep=False, tcp=True, settings=settings or SETTINGS) as server:
            yield server


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """Make a directory that the server's account reaches too; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="sqlite2pg-bench-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o711)
        yield Path(scratch)


def cache_directory() -> Path:
    """Return where the made SQLite files stay: SQLITE2PG_BENCH_DIR, or a directory of this user's own."""
    named = os.environ.get("SQLITE2PG_BENCH_DIR")
    base = Path(named) if named else Path.home() / ".cache" / "sqlite2pg-bench"
    base.mkdir(parents=True, exist_ok=True)
    return base


async def machine(connection: asyncpg.Connection) -> dict[str, Any]:
    """Return what stands beside every figure: the machine, the server, its settings."""
    shown = [*SETTINGS, "fsync", "wal_level", "synchronous_commit"]
    settings = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in shown}
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": (await connection.fetchval("SHOW server_version")).split()[0],
        "settings": settings,
        "sqlite2pg": version("sqlite2pg"),
    }
