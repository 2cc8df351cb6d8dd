"""Schema objects on the page: what became of them, and the SQL of those that a person must look at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from copier.page.view import SQL_CHARS, Listed, cut, first
from copier.plan.model import ObjectNote
from copier.plan.reasons import OWN_TO_SQLITE, is_decided, needs_person
from copier.report import Report
from copier.units import plural

_OPEN = 100
_TRANSLATED = 300

_SQL = re.compile(r"(?P<reason>.*?): (?P<sql>CREATE\s.*)", re.DOTALL | re.IGNORECASE)
"""Where a note's detail goes over into the object's own SQL."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One object, as it is read."""

    kind: str
    name: str
    reason: str
    sql: str


@dataclass(frozen=True, slots=True)
class OpenObjects:
    """Objects that somebody should look at, for one kind of reason."""

    title: str
    told: str
    shown: Sequence[Shown]


def shown(note: ObjectNote) -> Shown:
    """Return an object with its SQL apart from the reason."""
    name = f"{note.table}: {note.name}" if note.table and note.table != note.name else note.name
    split = _SQL.fullmatch(note.detail)
    reason, sql = (split["reason"], split["sql"]) if split else (note.detail, "")
    return Shown(cut(note.kind), cut(name), cut(reason, SQL_CHARS), cut(sql, SQL_CHARS))


def open_objects(notes: Sequence[ObjectNote]) -> list[OpenObjects]:
    """Return what PostgreSQL refused, and what was not carried over."""
    groups = []
    for status, title in (("failed", "Refused by PostgreSQL"), ("skipped", "Not carried over")):
        found = [n for n in notes if n.status == status and needs_person(n)]
        if found:
            listed = first([shown(n) for n in found[:_OPEN]], _OPEN, len(found))
            groups.append(OpenObjects(title, listed.told, listed.shown))
    return groups


def translated(notes: Sequence[ObjectNote]) -> Listed[Shown]:
    """Return what has another form in PostgreSQL than in SQLite."""
    found = [n for n in notes if n.status == "translated"]
    rows = first([shown(n) for n in found[:_TRANSLATED]], _TRANSLATED, len(found))
    return Listed(rows.shown, f"{plural(len(found), 'object')} translated" if found else "")


def object_sentences(report: Report) -> list[str]:
    """Return what happened to all others, by kind."""
    sentences = [
        ("Also in PostgreSQL: ", [n for n in report.objects if n.status in ("created", "translated")]),
        ("Only SQLite needs, and left behind: ", [n for n in report.objects if n.kind in OWN_TO_SQLITE]),
        ("Left out, or left as the target has it: ", [n for n in report.objects if is_decided(n)]),
    ]
    return [
        words + ", ".join(plural(n, kind) for kind, n in Counter(cut(o.kind, 60) for o in notes).most_common(30)) + "."
        for words, notes in sentences
        if notes
    ] or ["No schema objects beside the tables."]
