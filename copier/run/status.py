"""The runs recorded in a target."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from copier.config import Settings
from copier.events import Listener, ignore
from copier.postgres.cutoff import run_until_cancelled
from copier.run.ours import errors
from copier.run.session import open_target


@dataclass(frozen=True, slots=True)
class RunStatus:
    """One run. `outcome` is None while it is under way or interrupted; `running` tells which."""

    run: str
    command: str
    source: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    tables_done: int
    tables: int
    rows: int
    """Rows copied or rejected so far."""
    total_rows: int
    rejects: int
    rows_per_s: float | None
    """Over the chunks of the last minute, for a run in progress."""
    seconds_left: float | None
    running: bool


_STATUS = """
SELECT r.id, r.command, r.source, r.target_schema, r.started_at, r.finished_at, r.outcome,
       coalesce(t.tables, 0) AS tables, coalesce(t.done, 0) AS done, coalesce(t.total, 0)::bigint AS total,
       coalesce(c.rows, 0)::bigint AS rows, coalesce(c.rejected, 0)::bigint AS rejected,
       coalesce(c.recent_rows, 0)::bigint AS recent_rows, c.recent_s,
       r.finished_at IS NULL AND EXISTS (
           SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND ((l.classid::bigint << 32) | l.objid::bigint) = hashtextextended('sqlite2pg:' || r.target_schema, 0)
       ) AND NOT EXISTS (
           SELECT FROM {run} later WHERE later.target_schema = r.target_schema AND later.started_at > r.started_at
       ) AS running
FROM {run} r
LEFT JOIN (
    SELECT run, count(*) AS tables, count(*) FILTER (WHERE state IN ('copied', 'built')) AS done,
           sum(source_rows) AS total
    FROM {run_table} GROUP BY run
) t ON t.run = r.id
LEFT JOIN (
    SELECT run, sum(rows + rejected) AS rows, sum(rejected) AS rejected,
           sum(rows + rejected) FILTER (WHERE written_at > clock_timestamp() - interval '1 minute') AS recent_rows,
           extract(epoch FROM clock_timestamp() - min(written_at)
                   FILTER (WHERE written_at > clock_timestamp() - interval '1 minute'))::float8 AS recent_s
    FROM {chunk} GROUP BY run
) c ON c.run = r.id
ORDER BY r.started_at
"""


async def status(settings: Settings, listener: Listener = ignore) -> list[RunStatus]:
    """Return the runs recorded in the target, oldest first; none when there is no ledger."""
    with errors():
        return await run_until_cancelled(_status(settings))


async def _status(settings: Settings) -> list[RunStatus]:
    async with open_target(settings) as target:
        if not await target.ledger.exists(target.control):
            return []
        rows = await target.control.fetch(target.ledger.sql(_STATUS))
    found = []
    for row in rows:
        rate = row["recent_rows"] / row["recent_s"] if row["running"] and row["recent_s"] else None
        left = (row["total"] - row["rows"]) / rate if rate else None
        found.append(
            RunStatus(
                run=row["id"],
                command=row["command"],
                source=row["source"],
                started_at=row["started_at"],
                finished_at=row["finished_at"],
                outcome=row["outcome"],
                tables_done=row["done"],
                tables=row["tables"],
                rows=row["rows"],
                total_rows=row["total"],
                rejects=row["rejected"],
                rows_per_s=rate,
                seconds_left=left,
                running=row["running"],
            )
        )
    return found
