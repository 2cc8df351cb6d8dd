"""What earlier runs into the schema mean for the next one: it goes on with one that did not end, or tells of one that
did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from copier.config import Settings
from copier.errors import ResumeRefused
from copier.plan.existing import ExistingTable
from copier.plan.file import dump_plan
from copier.plan.model import Plan
from copier.postgres.check import CONTENTS, Check
from copier.postgres.ledger import Run
from copier.run.backups import is_still
from copier.run.session import Source, Target, digest, plan_options, read_plan_file

CHANGED = {
    "source": "the SQLite file changed",
    "plan": "the plan differs",
    "target": "the target's tables changed",
    "options": "the options differ",
    "command": "it was another command",
}
"""Part of a run's setup -> what to say when it is another one now. `log` and `choices` stand behind two of them."""

ENDED_HINT = (
    "nothing was changed. `sqlite2pg check` compares both sides again, `rollback` removes it; "
    "--existing=append, truncate or replace would copy once more"
)


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run of the same command, source and settings that has ended: killed before it could say so, or forgotten."""

    id: str
    outcome: str
    finished_at: datetime

    def __str__(self) -> str:
        """Say it, as a part of a sentence."""
        when = f"{self.finished_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"run {self.id}, of the same source and setup, ended {self.outcome} at {when}, and its rows are there"

    def explain(self, check: Check) -> Check:
        """Return the check that found rows in the target's tables with the reason; any other as it is."""
        if check.ok or check.name != CONTENTS:
            return check
        return replace(check, detail=f"{check.detail}; {self}", hint=ENDED_HINT)


async def filled_tables(settings: Settings, target: Target) -> frozenset[str]:
    """Return the target tables that the unfinished run writes to, if there is one: their rows may be its own."""
    control, ledger = target.control, target.ledger
    former = await ledger.unfinished(control, settings.schema) if await ledger.exists(control) else None
    if former is None:
        return frozenset()
    return frozenset(row["target"] for row in (await ledger.table_states(control, former.id)).values())


async def ended_run(settings: Settings, source: Source, target: Target, command: str) -> EndedRun | None:
    """Return the newest run into the schema, if it has ended and is what this command would do again."""
    control, ledger = target.control, target.ledger
    run = await ledger.latest(control, settings.schema) if await ledger.exists(control) else None
    if run is None or run.outcome is None or run.finished_at is None:
        return None
    basis = _basis(settings, source, command)
    same = _same_parts(run, basis) >= {"source", "options", "command", "choices"}
    return EndedRun(run.id, run.outcome, run.finished_at) if same else None


def read_setup(
    settings: Settings, source: Source, command: str, plan: Plan, existing: Mapping[str, ExistingTable]
) -> dict[str, str]:
    """Return the parts of the setup fingerprint: what must be the same for a run to go on."""
    used = sorted(t.target for t in plan.tables if t.existing)
    return {
        **_basis(settings, source, command),
        "plan": digest(dump_plan(plan)),
        "target": digest(*(repr(existing[name]) for name in used)),
    }


def _basis(settings: Settings, source: Source, command: str) -> dict[str, str]:
    """Return what is known before there is a plan; of `choices` the plan is made, with the source and the target."""
    file = read_plan_file(settings.plan) if settings.plan is not None else ""
    return {
        "source": source.snapshot.fingerprint.digest(),
        "log": source.snapshot.fingerprint.log_digest(),
        "options": digest(settings.existing, settings.orphans, str(settings.with_rowid)),
        "command": command,
        "choices": digest(repr(plan_options(settings)), str(settings.sample), file),
    }


async def refuse_changed(settings: Settings, source: Source, former: Run, setup: Mapping[str, str]) -> None:
    """Raise ResumeRefused when the unfinished run began with another setup."""
    same = _same_parts(former, setup)
    if "source" not in same and await is_still(source.snapshot, settings, former.setup_parts.get("source", "")):
        same.add("source")  # the log that said so is gone, and nothing else
    changed = [words for part, words in CHANGED.items() if part not in same]
    if changed:
        raise ResumeRefused(
            f"run {former.id} did not end, and cannot go on: {' and '.join(changed)} since it began",
            hint="`sqlite2pg rollback` removes what it did, then run again; or restore what changed",
        )


def _same_parts(former: Run, setup: Mapping[str, str]) -> set[str]:
    same = {part for part in setup if former.setup_parts.get(part) == setup[part]}
    if setup["log"] and "log" in same:
        same.add("source")  # checkpointed since, no more
    return same
