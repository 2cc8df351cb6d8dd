"""Objects that the plan file calls settled: somebody has seen that they do not carry over, and dealt with it.

They stay in the report, but no longer ask for a person, so that a rehearsed cutover can end with 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from copier.plan.model import ObjectNote, Plan, TriggerPlan, ViewPlan
from copier.plan.reasons import SETTLED_BY_PLAN, is_decided


def leave_settled(
    views: Iterable[ViewPlan], triggers: Iterable[TriggerPlan], settled: Collection[str]
) -> tuple[tuple[ViewPlan, ...], tuple[TriggerPlan, ...], list[ObjectNote]]:
    """Return the views and triggers to be made, and notes on those that are settled: they are not tried."""
    made_views = tuple(view for view in views if view.source not in settled)
    made_triggers = tuple(trigger for trigger in triggers if trigger.source not in settled)
    notes = [ObjectNote("view", v.source, None, "skipped", SETTLED_BY_PLAN) for v in views if v not in made_views]
    notes += [
        ObjectNote("trigger", t.source, t.table, "skipped", SETTLED_BY_PLAN) for t in triggers if t not in made_triggers
    ]
    return made_views, made_triggers, notes


def settle(notes: Iterable[ObjectNote], settled: Collection[str]) -> Iterator[ObjectNote]:
    """Yield the notes; those on settled objects say so first."""
    for note in notes:
        if note.name in settled and note.status == "skipped" and not is_decided(note):
            yield replace(note, detail=f"{SETTLED_BY_PLAN}; {note.detail}")
        else:
            yield note


def settleable(plan: Plan) -> set[str]:
    """Return the names a plan file may call settled: what is left over, and what PostgreSQL may refuse."""
    names = {note.name for note in plan.notes} | {view.source for view in plan.views}
    names |= {trigger.source for trigger in plan.triggers}
    names |= {index.source_name for table in plan.tables for index in table.indexes}
    return {name for name in names if name and not name.startswith("sqlite_")}
