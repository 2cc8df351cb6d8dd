"""Why an object of the source is not in the plan, where somebody has decided so: nobody needs to look again."""

from __future__ import annotations

from copier.plan.model import ObjectNote

SKIPPED_BY_PLAN = "skipped by the plan file"
DROPPED_BY_PLAN = "dropped by the plan file"
SETTLED_BY_PLAN = "settled by the plan file"
LEFT_OUT = "left out by --tables or --exclude"
TABLE_LEFT_OUT = "its table is left out"
TABLE_EXISTS = "the table exists already"

ONLY_DATA = "`data` brings rows alone"

OWN_TO_SQLITE = frozenset({"internal table", "shadow table"})
"""Kinds of objects that nobody misses in PostgreSQL."""

_DECIDED = (
    *(SKIPPED_BY_PLAN, DROPPED_BY_PLAN, SETTLED_BY_PLAN),
    *(LEFT_OUT, TABLE_LEFT_OUT, TABLE_EXISTS, ONLY_DATA),
)


def is_decided(note: ObjectNote) -> bool:
    """Whether a skipped object was left out by the user's options, the plan file, or a target table made by others."""
    return note.status == "skipped" and note.detail.startswith(_DECIDED)


def needs_person(note: ObjectNote) -> bool:
    """Whether somebody should look at what became of an object: PostgreSQL refused it, or it was not carried over."""
    if note.kind in OWN_TO_SQLITE:
        return False
    return note.status == "failed" or (note.status == "skipped" and not is_decided(note))
