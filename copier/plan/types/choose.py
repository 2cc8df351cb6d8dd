"""Which PostgreSQL type a column gets: the declared family and what is stored, in one table.

`NATIVE` and `FAITHFUL` list for each family the rules that are tried in order; the first that offers a type wins, and
`copier.plan.types.stored.by_storage` always does. A rule offers a type when every value takes its cast, or all but a
few: then the type stays and those rows go to quarantine. A type that was not declared (a UUID in TEXT) is offered only
when every value takes it. `docs/types.md` explains the rules to users.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from copier.plan.model import Types
from copier.plan.pgtype import PgType
from copier.plan.source import ColumnProfile, SourceColumn
from copier.plan.types import fit, hints
from copier.plan.types.declared import Declared, Family, read_declared
from copier.plan.types.stored import (
    BIGINT,
    BYTEA,
    DOUBLE,
    FEW_SHARE,
    NUMERIC,
    TEXT,
    Case,
    ColumnFacts,
    TypeChoice,
    bare_hex,
    by_storage,
    count_text,
)
from copier.plan.types.times import is_time_name

MAX_VARCHAR = 10_485_760
"""Longest n of varchar(n) (PostgreSQL `htup_details.h`, MaxAttrSize)."""

_DECLARED: dict[Family, tuple[PgType, str]] = {
    "int": (BIGINT, "int"),
    "real": (DOUBLE, "float"),
    "decimal": (NUMERIC, "numeric"),
    "bool": (PgType("bool"), "bool"),
    "text": (TEXT, "text"),
    "blob": (BYTEA, "bytes"),
    "date": (PgType("date"), "iso"),
    "datetime": (PgType("timestamptz"), "iso"),
    "time": (PgType("time"), "iso"),
    "uuid": (PgType("uuid"), "uuid"),
    "json": (PgType("jsonb"), "json"),
    "inet": (PgType("inet"), "inet"),
    "none": (TEXT, "text"),
}
"""Family -> type and cast by the declaration alone."""


__all__ = ["FEW_SHARE", "ColumnFacts", "TypeChoice", "choose_type"]

Rule = Callable[[Case], TypeChoice | None]


def choose_type(
    column: SourceColumn, profile: ColumnProfile | None, policy: Types, *, facts: ColumnFacts | None = None
) -> TypeChoice:
    """Return the type for a column; without values the declaration alone decides."""
    facts = facts or ColumnFacts()
    declared = read_declared(column.declared)
    if facts.rowid_alias:
        return TypeChoice(BIGINT, "int", "reject", "INTEGER PRIMARY KEY: the rowid itself")
    if profile is None or not profile.filled:
        return _by_declaration(column, declared, policy, profiled=profile is not None)
    case = Case(column, declared, profile, facts)
    rules = NATIVE[declared.family] if policy == "native" else FAITHFUL.get(declared.family, ())
    found = next((choice for rule in rules if (choice := rule(case)) is not None), None)
    return found or by_storage(case)


def _by_declaration(column: SourceColumn, declared: Declared, policy: Types, *, profiled: bool) -> TypeChoice:
    type_, cast = _DECLARED[declared.family]
    if policy == "faithful":
        type_, cast = {"bool": (BIGINT, "int")}.get(declared.family, (type_, cast))
        if type_.wire not in ("int8", "float8", "numeric", "bytea"):
            type_, cast = TEXT, "text"
    elif declared.family == "decimal":
        type_ = _decimal_type(declared)
    elif declared.sized:
        type_ = _varchar_type(declared) or type_
    said = f"declared {column.declared}" if column.declared else "no declared type"
    return TypeChoice(type_, cast, "reject", f"{said}; {'no values' if profiled else 'not profiled'}")


def _decimal_type(declared: Declared) -> PgType:
    if not declared.args or not 1 <= declared.args[0] <= 1000:
        return NUMERIC
    scale = declared.args[1] if len(declared.args) > 1 else 0
    return PgType("numeric", (declared.args[0], scale)) if 0 <= scale <= declared.args[0] else NUMERIC


def _varchar_type(declared: Declared) -> PgType | None:
    fits = declared.sized and declared.args and 1 <= declared.args[0] <= MAX_VARCHAR
    return PgType("varchar", declared.args[:1]) if fits else None


# Offers: a type, when the values take it.


def _offer(case: Case, type_: PgType, cast: str, what: str) -> TypeChoice | None:
    """Offer a declared type: all values take it, or all but a few."""
    misfits = case.profile.filled - fit.fitting(case.profile, type_, cast)
    if misfits > case.profile.filled * FEW_SHARE:
        return None
    if not misfits:
        return TypeChoice(type_, cast, "reject", f"{what} in all {case.rows}")
    hint = "; all of them are '': null_if_empty would take them" if misfits == case.profile.empty else ""
    said = f"{what}; {misfits:,} of {case.rows} {'is' if misfits == 1 else 'are'} not and will be quarantined{hint}"
    return TypeChoice(type_, cast, "reject", said)


def _best(case: Case, offers: Iterable[tuple[PgType, str, str]]) -> TypeChoice | None:
    """Offer the type that most values take; the first of equals."""
    ranked = sorted(offers, key=lambda offer: -fit.fitting(case.profile, offer[0], offer[1]))
    return next((found for offer in ranked if (found := _offer(case, *offer)) is not None), None)


def _boolean(case: Case) -> TypeChoice | None:
    words = "0 and 1" if case.all_fit("bool01") else "a boolean"
    return _offer(case, PgType("bool"), "bool", f"declared {case.column.declared}: {words}")


def _small_integer(case: Case) -> TypeChoice | None:
    p = case.profile
    if p.integers != p.filled or fit.fitting(p, PgType("int2"), "int") != p.filled:
        return None
    said = f"declared {case.column.declared}, but holds integers from {p.int_min} to {p.int_max}"
    return TypeChoice(PgType("int2"), "int", "reject", said)


def _declared_time(case: Case) -> TypeChoice | None:
    said, zoned = f"declared {case.column.declared}", PgType("timestamptz")
    offers = [(zoned, "iso", f"{said}: ISO date and time, UTC where no zone is given")]
    if case.declared.family == "date":
        offers.insert(0, (PgType("date"), "iso", f"{said}: ISO date"))
    if (unit := fit.plausible_epoch(case.profile)) is not None:
        offers.append((zoned, unit, f"{said}: {_UNIT_WORDS[unit]} since 1970"))
    offers.append((zoned, "julian", f"{said}: julian day"))
    return _best(case, offers)


_UNIT_WORDS = {"epoch_s": "seconds", "epoch_ms": "milliseconds", "epoch_us": "microseconds"}


def _named_time(case: Case) -> TypeChoice | None:
    unit = fit.plausible_epoch(case.profile)
    if unit is None or not is_time_name(case.column.name):
        return None
    return _offer(case, PgType("timestamptz"), unit, f"named as a time: {_UNIT_WORDS[unit]} since 1970")


def _time_of_day(case: Case) -> TypeChoice | None:
    return _offer(case, PgType("time"), "iso", f"declared {case.column.declared}: ISO time")


_LITERAL = re.compile(r"""[(\s]*(?:'(.*)'|"(.*)")[)\s]*""", re.S)
_FORM = {"uuid": re.compile(r"[{]?[0-9a-fA-F-]{32,36}[}]?"), "inet": re.compile(r"[0-9a-fA-F:.]*[:.][0-9a-fA-F:./]*")}


def _default_denies(column: SourceColumn, wire: str) -> bool:
    """Whether the application's own default is a text that a type only seen in the values would refuse, such as ''."""
    literal = _LITERAL.fullmatch(column.default or "")
    if literal is None:
        return False
    text = literal.group(1) or literal.group(2) or ""
    return not (_defaults_to_json(column) if wire == "jsonb" else _FORM[wire].fullmatch(text))


def _declared_uuid(case: Case) -> TypeChoice | None:
    if case.profile.uuid_collision:
        return None
    return _offer(case, PgType("uuid"), "uuid", f"declared {case.column.declared}: UUID")


def _stored_uuid(case: Case) -> TypeChoice | None:
    p = case.profile
    if not case.all_fit("uuid") or p.texts != p.filled or p.uuid_collision or _default_denies(case.column, "uuid"):
        return None
    doubtful = case.all_bare_hex or hints.is_digest_name(case.column.name)
    if doubtful and not case.all_fit("uuid_canonical") and not case.says_uuid:
        return None
    form = "UUID" if case.all_fit("uuid_canonical") else "UUID (not all in the canonical form)"
    return TypeChoice(PgType("uuid"), "uuid", "reject", f"{form} in all {case.rows}")


def _declared_json(case: Case) -> TypeChoice | None:
    said = f"declared {case.column.declared}"
    jsonb = case.profile.fits.get("json_container", 0)
    if case.profile.fits.get("json", 0) > jsonb:
        if case.facts.indexed:  # json cannot be, and jsonb would drop keys that occur twice
            return None
        return _offer(case, PgType("json"), "json", f"{said}: JSON, some of it bare values or more than jsonb keeps")
    if case.profile.filled - jsonb <= case.profile.filled * FEW_SHARE:
        return _offer(case, PgType("jsonb"), "json", f"{said}: JSON object or array")
    return None


def _defaults_to_json(column: SourceColumn) -> bool:
    """Whether the default says what the column is for: a JSON object or array."""
    text = (column.default or "").strip("() '\"")
    return text[:1] + text[-1:] in ("{}", "[]")


def _loses_as_jsonb(profile: ColumnProfile) -> bool:
    return profile.fits.get("json", 0) != profile.fits.get("json_container", 0)


def _stored_json(case: Case) -> TypeChoice | None:
    if not case.facts.unique and _defaults_to_json(case.column) and not _loses_as_jsonb(case.profile):
        return _offer(case, PgType("jsonb"), "json", f"JSON object or array, as its default {case.column.default} is")
    if not case.all_fit("json_container") or case.facts.unique or _default_denies(case.column, "jsonb"):
        return None
    return TypeChoice(PgType("jsonb"), "json", "reject", f"JSON object or array in all {case.rows}")


def _declared_inet(case: Case) -> TypeChoice | None:
    return _offer(case, PgType("inet"), "inet", f"declared {case.column.declared}: IP address")


def _named_inet(case: Case) -> TypeChoice | None:
    if not case.all_fit("inet") or not hints.is_address_name(case.column.name) or case.facts.unique:
        return None
    if _default_denies(case.column, "inet"):
        return None
    return TypeChoice(PgType("inet"), "inet", "reject", f"named as an IP address, and one in all {case.rows}")


def _decimal(case: Case) -> TypeChoice | None:
    wanted, said = _decimal_type(case.declared), f"declared {case.column.declared}"
    if wanted.args and fit.fitting(case.profile, wanted, "numeric") == case.profile.filled:
        return _offer(case, wanted, "numeric", f"{said}: fits")
    p = case.profile
    if case.declared.args:
        said += f", but holds up to {p.int_digits} digits before and {p.scale} after the point, or no numbers"
    return _plain_numeric(case, said)


def _plain_numeric(case: Case, said: str = "") -> TypeChoice | None:
    return _offer(case, NUMERIC, "numeric", f"{said or 'declared ' + case.column.declared}: number")


def _real(case: Case) -> TypeChoice | None:
    return _offer(case, DOUBLE, "float", f"declared {case.column.declared}: number")


def _integer(case: Case) -> TypeChoice | None:
    return _offer(case, BIGINT, "int", f"declared {case.column.declared}: integer")


def _varchar(case: Case) -> TypeChoice | None:
    type_, p = _varchar_type(case.declared), case.profile
    if type_ is None or p.texts != p.filled or p.text_max_chars > type_.args[0] or p.nul or p.broken:
        return None
    said = f"declared {case.column.declared}: at most {count_text(p.text_max_chars, 'character')} in all {case.rows}"
    return TypeChoice(type_, "text", "reject", said + bare_hex(case))


def _bytes(case: Case) -> TypeChoice | None:
    p = case.profile
    if p.integers + p.reals > p.filled * FEW_SHARE:
        return None
    texts = f"; {p.texts:,} of {case.rows} hold text, kept as its bytes" if p.texts else ""
    return TypeChoice(BYTEA, "bytes", "reject", f"declared {case.column.declared}{texts}")


_TEXT_RULES: tuple[Rule, ...] = (_stored_uuid, _stored_json, _named_inet)

NATIVE: dict[Family, tuple[Rule, ...]] = {
    "int": (_named_time, _integer),
    "real": (_real,),
    "decimal": (_named_time, _decimal),
    "bool": (_boolean, _small_integer),
    "text": (*_TEXT_RULES, _varchar),
    "blob": (_bytes,),
    "date": (_declared_time,),
    "datetime": (_declared_time,),
    "time": (_time_of_day,),
    "uuid": (_declared_uuid,),
    "json": (_declared_json,),
    "inet": (_declared_inet,),
    "none": (_named_time, *_TEXT_RULES),
}
FAITHFUL: dict[Family, tuple[Rule, ...]] = {
    "int": (_integer,),
    "real": (_real,),
    "decimal": (_plain_numeric,),
}
