"""What triggers and foreign keys set off: one change of a table, and all that follows from it."""

from __future__ import annotations

from collections.abc import Iterable

from copier.plan.translate.trigger.actions import Change, Program
from copier.plan.translate.trigger.facts import Facts


def set_off(changes: Iterable[Change], facts: Facts) -> tuple[list[Program], set[Change]]:
    """Return the triggers that changes set off, directly or by others, and all changes that come of it."""
    programs: list[Program] = []
    waiting, seen = list(changes), set(changes)
    while waiting:
        change = waiting.pop()
        follow = list(_cascades(change, facts))
        for program in facts.programs:
            if program.runs_at(change) and program not in programs:
                programs.append(program)
                follow += program.changes
        fresh = set(follow) - seen
        seen |= fresh
        waiting += fresh
    return programs, seen


def _cascades(change: Change, facts: Facts) -> Iterable[Change]:
    """Return what foreign keys do to children."""
    if change.event == "INSERT":
        return
    for key in facts.keys:
        if key.parent != change.table:
            continue
        action = key.plan.on_delete if change.event == "DELETE" else key.plan.on_update
        if action == "CASCADE" and change.event == "DELETE":
            yield Change(key.child, "DELETE")
        elif action not in ("NO ACTION", "RESTRICT"):
            yield Change(key.child, "UPDATE", key.columns)
