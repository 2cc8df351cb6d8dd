"""What changed in the target since a run, and whether that forbids to take the run back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from copier.errors import RollbackRefused
from copier.plan.names import qualify
from copier.postgres.ledger import Run
from copier.postgres.ledger_objects import ObjectRow
from copier.postgres.undo import ActingKey, acting_keys, count_sql, find_dragged, lock_sql
from copier.run.session import Target
from copier.units import plural


@dataclass(frozen=True, slots=True)
class TableChange:
    """How a table differs from what the run left."""

    source: str
    target: str
    created: bool
    written: int
    """Rows the run wrote."""
    unchanged: int
    """Of these, rows still as it wrote them."""
    others: int
    """Rows somebody else added, or changed since."""
    xids: list[int]
    """The transactions that wrote the run's rows."""


async def lock_and_count(target: Target, run: Run, objects: Sequence[ObjectRow]) -> list[TableChange]:
    """Lock the run's tables that are there, and compare them with what the ledger knows."""
    control, chunks = target.control, target.ledger.chunks
    states = await target.ledger.table_states(control, run.id)
    totals = await chunks.totals(control, run.id)
    created = {o.source_table for o in objects if o.kind == "table" and o.state == "created"}
    changes = []
    for source, row in states.items():
        place = (run.target_schema, row["target"])
        if not await control.fetchval("SELECT to_regclass($1) IS NOT NULL", qualify(*place)):
            continue
        await control.execute(lock_sql(*place))
        xids = await chunks.xids(control, run.id, source)
        counts = await control.fetchrow(count_sql(*place, xids))
        assert counts is not None
        ours, others = counts["ours"], counts["all_rows"] - counts["ours"]
        written = totals[source].rows if source in totals else 0
        changes.append(TableChange(source, row["target"], source in created, written, ours, others, xids))
    return changes


async def keys_in_the_way(target: Target, run: Run, changes: Sequence[TableChange]) -> list[ActingKey]:
    """Return the foreign keys by which deleting the run's rows acts on other rows."""
    written = {change.target: change.xids for change in changes if not change.created}
    gone = frozenset(change.target for change in changes if change.created)
    return await acting_keys(target.control, run.target_schema, written, gone)


def refuse_changes(run: Run, changes: Sequence[TableChange]) -> None:
    """Raise RollbackRefused, with counts, when rows were added or changed since."""
    found = []
    for change in changes:
        gone = change.written - change.unchanged
        others = change.others if change.created else 0
        if others or gone:
            parts = [
                f"{plural(others, 'row')} added or changed" if others else "",
                f"{gone:,} of its rows gone or changed" if gone else "",
            ]
            found.append(f"{change.target}: {', '.join(filter(None, parts))}")
    if found:
        raise RollbackRefused(
            f"the target changed since run {run.id}: {'; '.join(found)}",
            hint="nothing was removed. --discard-changes removes the tables all the same, after the dump",
        )


async def refuse_dragged(target: Target, run: Run, keys: Sequence[ActingKey]) -> None:
    """Rows of others must not go, or change, because a row of the run that they refer to goes."""
    dragged = await find_dragged(target.control, keys)
    if dragged:
        listed = "; ".join(
            f"{one.table}: {plural(one.rows, 'row')} by {one.constraint} (ON DELETE {one.action})" for one in dragged
        )
        raise RollbackRefused(
            f"rows of others refer to rows of run {run.id}, and would go or change with them: {listed}",
            hint="nothing was removed. Move those rows to other parents; --discard-changes lets them go all the same",
        )


async def refuse_later(target: Target, run: Run) -> None:
    """Tables of this run may have been made anew by a later one: then they are not this run's to remove."""
    later = await target.ledger.later_runs(target.control, run.id)
    if later:
        raise RollbackRefused(
            f"run {later[0]} came after run {run.id} and worked on the same tables",
            hint=f"roll that back first: sqlite2pg rollback --run {later[0]}",
        )
