"""Savepoints that leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from copier.postgres.ledger_tables import Connection


@asynccontextmanager
async def savepoint(connection: Connection, *, keep: bool = True) -> AsyncIterator[None]:
    """Run the block in a savepoint of the transaction under way; with `keep` off its work is undone in any case.

    ROLLBACK TO alone keeps the savepoint, so that the next one nests inside it: some thousands of them, each with a
    transaction id that holds a lock, end in "out of shared memory" (PostgreSQL docs, "ROLLBACK TO SAVEPOINT").
    """
    await connection.execute("SAVEPOINT sqlite2pg")
    try:
        yield
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK TO SAVEPOINT sqlite2pg; RELEASE SAVEPOINT sqlite2pg")
        raise
    back = "" if keep else "ROLLBACK TO SAVEPOINT sqlite2pg; "
    await connection.execute(f"{back}RELEASE SAVEPOINT sqlite2pg")
