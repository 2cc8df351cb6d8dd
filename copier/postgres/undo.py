"""Taking back what a run wrote into a table, row by row: by the transactions the ledger knows."""

from __future__ import annotations

from copier.plan.names import qualify
from copier.postgres.ledger import Ledger
from copier.postgres.ledger_tables import Connection


def xmin_filter(xids: list[int]) -> str:
    """Return a WHERE condition for rows that these transactions wrote and nobody changed since.

    xmin holds the low 32 bits of a transaction id, and keeps them when the row is frozen (PostgreSQL docs, "System
    Columns").
    """
    low = ",".join(f"'{xid & 0xFFFFFFFF}'" for xid in sorted(set(xids)))
    return f"xmin::text = ANY (ARRAY[{low}]::text[])"


async def delete_written_rows(
    connection: Connection, ledger: Ledger, run: str, source: str, schema: str, table: str
) -> int:
    """Delete the rows of a table that the run's chunks wrote, with their ledger rows; return how many rows."""
    xids = await ledger.chunks.xids(connection, run, source)
    if not xids:
        return 0
    status = await connection.execute(f"DELETE FROM {qualify(schema, table)} WHERE {xmin_filter(xids)}")
    await ledger.chunks.forget(connection, run, source)
    return int(status.rpartition(" ")[2])
