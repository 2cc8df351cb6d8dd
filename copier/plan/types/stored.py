"""The type that holds everything stored in a column, whatever was declared: the last rule of every family."""

from __future__ import annotations

from dataclasses import dataclass

from copier.plan.pgtype import PgType
from copier.plan.source import ColumnProfile, SourceColumn
from copier.plan.types import fit
from copier.plan.types.declared import Declared
from copier.plan.types.hints import says_uuid

FEW_SHARE = 0.01
"""Share of misfits up to which a declared type is kept and its misfits rejected; more of them are no accident."""

BIGINT = PgType("int8")
DOUBLE = PgType("float8")
NUMERIC = PgType("numeric")
TEXT = PgType("text")
BYTEA = PgType("bytea")


@dataclass(frozen=True, slots=True)
class TypeChoice:
    """A type with the cast that leads to it, what happens to values it refuses, and why it was chosen."""

    type: PgType
    cast: str
    policy: str
    reason: str


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What the table around a column says about it."""

    rowid_alias: bool = False
    indexed: bool = False
    """Part of a key, constraint or index: `json` cannot be."""
    unique: bool = False
    """Alone in a key: two spellings of one value must not become equal."""
    says_uuid: bool = False
    """It, or a column that foreign keys tie it to, says that it holds UUIDs."""


@dataclass(frozen=True, slots=True)
class Case:
    """One column with all that is known of it."""

    column: SourceColumn
    declared: Declared
    profile: ColumnProfile
    facts: ColumnFacts

    @property
    def rows(self) -> str:
        """How many values there are, in words: rows, or values where some rows have none."""
        return count_text(self.profile.filled, "value" if self.profile.nulls else "row")

    def all_fit(self, form: str) -> bool:
        """Whether every value has this form."""
        return self.profile.all_fit(form)

    @property
    def all_bare_hex(self) -> bool:
        """Whether every value is a text of 32 hex digits: a UUID without its hyphens, or a digest, a token ..."""
        p = self.profile
        return self.all_fit("uuid") and p.texts == p.filled and p.text_max_chars == 32

    @property
    def says_uuid(self) -> bool:
        """Whether something beside the values says that they are UUIDs."""
        return self.facts.says_uuid or says_uuid(self.column)


def by_storage(case: Case) -> TypeChoice:
    """Return the narrowest type by storage classes that takes every value; text keeps numbers in shortest form."""
    p = case.profile
    numbers = p.integers + p.reals
    if numbers == p.filled:
        type_, cast = _number_type(case)
        return TypeChoice(type_, cast, "reject", _said(case))
    if fit.numbers(p) == p.filled and case.declared.family in ("int", "real", "decimal"):
        return TypeChoice(NUMERIC, "numeric", "reject", _said(case))
    if _is_binary(p):
        return TypeChoice(BYTEA, "bytes", "reject", _said(case))
    return TypeChoice(TEXT, "text", "reject", _said(case) + _text_trouble(p) + bare_hex(case) + _near(case))


def _number_type(case: Case) -> tuple[PgType, str]:
    p = case.profile
    if p.integers == p.filled:
        return BIGINT, "int"
    if p.reals == p.filled:
        return DOUBLE, "float"
    exact = fit.fitting(p, DOUBLE, "float") == p.filled
    if exact and case.declared.family not in ("int", "decimal"):
        return DOUBLE, "float"
    return NUMERIC, "numeric"


def _is_binary(p: ColumnProfile) -> bool:
    """Whether bytea serves better than text: many BLOBs, or mostly text that PostgreSQL's text cannot hold."""
    return p.blobs > p.filled * FEW_SHARE or p.nul + p.broken > p.filled / 2


def _said(case: Case) -> str:
    p = case.profile
    counts = {"integer": p.integers, "real": p.reals, "text": p.texts, "BLOB": p.blobs}
    held = [(name, count) for name, count in counts.items() if count]
    if len(held) == 1:
        stored = f"{held[0][0]} in all {case.rows}"
    else:
        stored = "mixed: " + ", ".join(f"{name} in {count_text(count, 'row')}" for name, count in held)
    declared = f"declared {case.column.declared}; " if case.column.declared else "no declared type; "
    return declared + stored


def _text_trouble(p: ColumnProfile) -> str:
    troubles = {"a NUL": p.nul, "invalid UTF-8": p.broken, "a BLOB": p.blobs}
    said = [f"{count_text(count, 'row')} with {what}" for what, count in troubles.items() if count]
    return f"; {' and '.join(said)} will be quarantined" if said else ""


_NEAR_SHARE = 0.9
_NEAR_FORMS = {"uuid": "a UUID", "json_container": "a JSON object or array", "inet": "an IP address"}


def bare_hex(case: Case) -> str:
    """Say that values stay text which a uuid column would give back with hyphens."""
    if not case.all_bare_hex or case.profile.uuid_collision or case.says_uuid:
        return ""
    return "; 32 hex digits in each, but nothing says that they are UUIDs (type uuid would take them, with hyphens)"


def _near(case: Case) -> str:
    """Say which richer type most values would take, for a person to decide."""
    p = case.profile
    if p.uuid_collision and case.all_fit("uuid"):
        return "; UUIDs, but two different texts are one UUID"
    if case.all_fit("iso"):
        return "; all are ISO dates: timestamptz (cast iso) would take them"
    for form, name in _NEAR_FORMS.items():
        count = p.fits.get(form, 0)
        if p.filled * _NEAR_SHARE <= count < p.filled:
            example = f", not {p.examples[form]!r}" if form in p.examples else ""
            return f"; {name} in {count:,} of them{example}"
    return ""


def count_text(count: int, noun: str) -> str:
    """Return `1 row`, `1,000 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
