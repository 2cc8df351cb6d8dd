"""What will go wrong, known before anything is copied: values their new type refuses, orphans, broken keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from copier.plan.model import ColumnPlan, Plan, TablePlan
from copier.plan.source import ColumnProfile, SourceSchema, SourceTable, TableProfile
from copier.plan.types.fit import fitting
from copier.units import plural

Kind = Literal["stop", "rejected", "null in key", "collision", "orphans", "changed", "almost"]

_ORDER: tuple[Kind, ...] = ("stop", "rejected", "null in key", "collision", "orphans", "changed", "almost")

_ALMOST_SHARE = 0.9
_RICHER = {
    "uuid": ("UUID", "uuid"),
    "json_container": ("JSON object or array", "jsonb"),
    "inet": ("IP address", "inet"),
}
"""Form -> what it is called, and the type it would allow."""

_NOUNS = {
    "bool": "boolean",
    "int2": "small integer",
    "int4": "integer of 32 bits",
    "int8": "integer",
    "float4": "number that real can hold exactly",
    "float8": "number that double precision can hold exactly",
    "numeric": "number that fits",
    "uuid": "UUID",
    "json": "JSON",
    "jsonb": "JSON",
    "inet": "IP address",
    "cidr": "IP network",
    "timestamptz": "time",
    "timestamp": "time",
    "date": "date",
    "time": "time of day",
}
_FORMS = {"bool": "bool", "uuid": "uuid", "json": "json", "jsonb": "json", "inet": "inet", "cidr": "inet"}
_CAST_FORMS = {"int": "int_text", "float": "num_text", "numeric": "num_text"}

_CHANGES = {
    "null": "become NULL",
    "default": "become the column's default",
    "strip": "lose the characters PostgreSQL cannot hold",
    "replace": "get U+FFFD in place of what PostgreSQL cannot hold",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing a person should know before the copy.

    stop: the copy would end there. rejected: rows go to the ledger instead of the table. null in key: a key cannot be
    made as it was. collision: values that differ become equal, or would. orphans: rows whose parent is missing.
    changed: values the policy replaces. almost: a few values keep a column from a richer type.
    """

    kind: Kind
    table: str
    column: str | None
    rows: int
    """Rows concerned; the most there can be when `exact` is false, 0 when unknown."""
    exact: bool
    text: str
    example: str | None = None


def find_problems(schema: SourceSchema, profiles: Mapping[str, TableProfile], plan: Plan) -> tuple[Problem, ...]:
    """Return all problems, worst kind and most rows first."""
    found: list[Problem] = []
    for table in plan.tables:
        source, profile = schema.table(table.source), profiles.get(table.source)
        if source is not None and profile is not None:
            found += _value_problems(table, profile)
            found += _key_problems(table, source, profile)
            found += _orphans(table, source, profile)
    return tuple(sorted(found, key=lambda p: (_ORDER.index(p.kind), -p.rows)))


def _value_problems(table: TablePlan, profile: TableProfile) -> Iterator[Problem]:
    for column in table.copied:
        stored = profile.columns.get(column.source)
        if stored is None:
            continue
        fits = fitting(stored, column.type, column.cast)
        refused = stored.filled - fits
        if column.policy == "null_if_empty" and column.cast not in ("text", "bytes"):
            emptied = min(stored.empty, refused)
            refused -= emptied
            if emptied:
                text = f"{plural(emptied, 'empty text')} will become NULL"
                yield Problem("changed", table.source, column.source, emptied, True, text)
        if not refused:
            yield from _almost(table.source, column, stored)
        else:
            yield _refused(table.source, column, stored, refused, exact=fits > 0 and not profile.sampled)


def _refused(table: str, column: ColumnPlan, stored: ColumnProfile, refused: int, *, exact: bool) -> Problem:
    rows = plural(refused, "row") if exact else f"up to {plural(refused, 'row')}"
    form = _CAST_FORMS.get(column.cast) or _FORMS.get(column.type.wire, column.cast)
    example = stored.examples.get(form)
    why = _why(column, stored) + (f", such as {example!r}" if example is not None else "")
    kind: Kind = "rejected"
    text = f"{rows} will be set aside: values {why}"
    if column.policy in _CHANGES:
        kind, text = "changed", f"{rows}: values {why} will {_CHANGES[column.policy]}"
    elif column.policy == "fail":
        kind, text = "stop", f"the copy will stop: {rows} with values {why}"
    return Problem(kind, table, column.source, refused, exact, text, example)


def _almost(table: str, column: ColumnPlan, stored: ColumnProfile) -> Iterator[Problem]:
    if column.cast != "text" or stored.texts != stored.filled:
        return
    for form, (noun, type_) in _RICHER.items():
        misfits = stored.filled - stored.fits.get(form, 0)
        if 0 < misfits <= stored.filled * (1 - _ALMOST_SHARE):
            example = stored.examples.get(form)
            such = f", such as {example!r}" if example is not None else ""
            some = f"{misfits:,} of {plural(stored.filled, 'value')} {'is' if misfits == 1 else 'are'}"
            text = f"stays text: {some} no {noun}{such}; {type_} otherwise"
            yield Problem("almost", table, column.source, misfits, True, text, example)
            return


def _why(column: ColumnPlan, stored: ColumnProfile) -> str:
    """Return what is wrong with the values, as a relative clause."""
    if column.cast != "text":
        return f"that are no {_NOUNS.get(column.type.wire, column.type.sql)}"
    wrong = {
        "hold a NUL character": stored.nul,
        "are not valid UTF-8": stored.broken,
        "are BLOBs": stored.blobs,
    }
    said = [f"{what} ({count:,})" for what, count in wrong.items() if count]
    if column.type.args and stored.text_max_chars > column.type.args[0]:
        said.append(f"are longer than {column.type.args[0]} characters")
    return "that " + " or ".join(said or [f"do not fit {column.type.sql}"])


def _key_problems(table: TablePlan, source: SourceTable, profile: TableProfile) -> Iterator[Problem]:
    has_key = any(index.constraint == "primary key" for index in table.indexes)
    for column in table.columns:
        name, stored = column.source, profile.columns.get(column.source)
        if stored is None:
            continue
        if stored.nulls and name in source.primary_key and name != source.rowid_alias:
            outcome = "they will be set aside" if has_key else "the key becomes UNIQUE instead of PRIMARY KEY"
            text = f"{plural(stored.nulls, 'row')} with NULL in the primary key: {outcome}"
            yield Problem("null in key", table.source, name, stored.nulls, True, text)
        if stored.uuid_collision:
            outcome = "one of the rows cannot be copied" if column.type.wire == "uuid" else f"stays {column.type.sql}"
            text = f"texts that differ are the same UUID (upper and lower case, or hyphens): {outcome}"
            yield Problem("collision", table.source, name, 0, False, text)


def _orphans(table: TablePlan, source: SourceTable, profile: TableProfile) -> Iterator[Problem]:
    targets = {column.source.lower(): column.target for column in table.columns}
    planned = {key.columns for key in table.foreign_keys}
    for key in source.foreign_keys:
        count = profile.orphans.get(key.id, 0)
        if not count:
            continue
        kept = tuple(targets.get(column.lower(), column) for column in key.columns) in planned
        verb, rows = ("names", "it") if count == 1 else ("name", "they")
        outcome = f"; the foreign key will be made NOT VALID, so that {rows} can stay" if kept else ""
        text = f"{plural(count, 'row')} {verb} a parent in {key.parent} that is not there{outcome}"
        yield Problem("orphans", table.source, ", ".join(key.columns), count, True, text)
