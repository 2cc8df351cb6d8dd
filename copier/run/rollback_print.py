"""`rollback --print`: a rollback that is tried and taken back, and the script of what it did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from copier.config import Settings
from copier.events import Listener, ignore
from copier.plan.names import quote
from copier.plan.rollback_script import (
    CountedTable,
    GuardedKey,
    LedgerSql,
    RollbackScript,
    rollback_script,
    with_literals,
)
from copier.postgres.cutoff import run_until_cancelled
from copier.postgres.ledger import Ledger, Run
from copier.postgres.ledger_undo import (
    ANY_RUN,
    FORGET_RUN,
    LATER_RUNS,
    OURS,
    OURS_ALONE,
    drop_schema,
    drop_tables,
)
from copier.postgres.runlock import lock_key
from copier.postgres.undo import ACTING_KEYS, count_sql, lock_sql
from copier.report import Report
from copier.run.ours import errors
from copier.run.progress import Progress
from copier.run.rollback import Undone, What, take, undo
from copier.run.session import Target, open_target
from copier.run.structure import EMPTIED, REPLACED


async def print_rollback(
    settings: Settings, listener: Listener = ignore, *, run: str | None = None, discard_changes: bool = False
) -> str:
    """Return the SQL that takes a run back, the newest by default, as a script for psql; changes nothing.

    The rollback is tried in a transaction that is taken back, so the same is refused, and raised, as by `rollback`;
    and the script holds what was run, in that order. It refuses what changed between the printing and its own run.
    """
    progress = Progress(Report(command="rollback"), listener)
    with errors():
        return await run_until_cancelled(_print(settings, progress, What(run, None, True, discard_changes)))


async def _print(settings: Settings, progress: Progress, what: What) -> str:
    async with open_target(settings) as target:
        run = await take(target, what.run)
        with progress.phase("rollback"):
            undone = await undo(target, run, progress, what, keep=False)
        return rollback_script(_script(target, run, undone, what.discard_changes))


def _script(target: Target, run: Run, undone: Undone, discard_changes: bool) -> RollbackScript:
    schema = run.target_schema
    counted = [
        CountedTable(c.target, count_sql(schema, c.target, c.xids), c.written, c.created) for c in undone.changes
    ]
    deleting = [change.target for change in undone.changes if not change.created and change.xids]
    return RollbackScript(
        run=run.id,
        about=list(_about(target, run)),
        schema=schema,
        lock_key=lock_key(schema),
        ledger=_ledger(target.ledger, run),
        locks=[lock_sql(schema, change.target) for change in undone.changes],
        tables=[] if discard_changes else counted,
        keys=[GuardedKey(key.table, key.name, key.action, key.count_sql) for key in undone.keys],
        new_keys="" if discard_changes or not deleting else _new_keys(schema, deleting, undone),
        statements=undone.statements,
        lost=[f"{row.kind} {row.name}" for row in undone.objects if row.kind in (EMPTIED, REPLACED)],
        discard_changes=discard_changes,
    )


def _about(target: Target, run: Run) -> Iterator[str]:
    yield f"{run.command} of {run.source} into schema {quote(run.target_schema)} of database {target.info.database}"
    ended = "not ended" if run.finished_at is None else f"ended {run.outcome} {_moment(run.finished_at)}"
    yield f"started {_moment(run.started_at)}, {ended}; printed {_moment(datetime.now(UTC))}"


def _moment(when: datetime | None) -> str:
    assert when is not None, "the run is recorded"
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _ledger(ledger: Ledger, run: Run) -> LedgerSql:
    """A resume, and a retry of rejects, counts an attempt: the same number means the same chunks and objects."""
    recorded = ledger.sql("SELECT FROM {run} WHERE id = $1") + f" AND attempts = {run.attempts}"
    return LedgerSql(
        unchanged=f"EXISTS ({with_literals(recorded, run.id)})",
        later=with_literals(ledger.sql(LATER_RUNS), run.id),
        any_run=ledger.sql(ANY_RUN),
        ours_alone=with_literals(OURS_ALONE, ledger.schema, OURS),
        forget=with_literals(ledger.sql(FORGET_RUN), run.id),
        drop_tables=drop_tables(ledger.names),
        drop_schema=drop_schema(ledger.names),
    )


def _new_keys(schema: str, deleting: list[str], undone: Undone) -> str:
    """Return the query for keys that came since: what they would act on was not counted."""
    known = [f"{key.schema}.{key.table}.{key.name}" for key in undone.keys]
    keys = with_literals(ACTING_KEYS, quote(schema), deleting)
    name = "k.schema || '.' || k.child || '.' || k.name"
    return f"SELECT EXISTS (SELECT FROM ({keys.strip()}) AS k WHERE {name} <> ALL ({with_literals('$1', known)}))"
