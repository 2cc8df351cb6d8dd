"""A connection lost while a chunk was being written, and how long the chunk is tried again."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from copier.errors import ConnectionLost
from copier.postgres.ledger_tables import Connection

PATIENCE_S = 60.0
"""How long a chunk is tried again after its connection was lost: time for a restart or a failover."""


class Lost(ConnectionLost):
    """Carries the process id of the backend that may still hold the chunk's transaction open."""

    def __init__(self, backend: int | None) -> None:
        super().__init__(
            "the connection to PostgreSQL was lost",
            hint="run the same command again: committed chunks are kept",
        )
        self.backend = backend


@dataclass(slots=True)
class Loss:
    """The backend that was lost last, and how long the server has been away."""

    backend: int | None = None
    since_s: float | None = None

    def note(self, backend: int | None) -> None:
        """Remember one more loss."""
        self.backend = backend
        if self.since_s is None:
            self.since_s = time.monotonic()

    def is_final(self, _: object) -> bool:
        """Whether to give up."""
        # Counted in time, not in tries: each may take long, since connecting has retries of its own.
        return self.since_s is not None and time.monotonic() - self.since_s >= PATIENCE_S


async def end_backend(connection: Connection, pid: int) -> None:
    """End a backend whose client has lost it, so that its transaction cannot stay open."""
    with suppress(asyncpg.InsufficientPrivilegeError):
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND pid <> pg_backend_pid()"
            " AND usename = current_user AND application_name = current_setting('application_name')",
            pid,
        )
