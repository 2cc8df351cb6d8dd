"""SQLite's date and time functions.

All of them work on a moment: a timestamp without zone, in UTC (sqlite.org/lang_datefunc.html). What they return is
text, so each result also carries its moment; comparing it with a time column compares moments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from copier.plan.names import literal
from copier.plan.translate.constant import moment_of, moment_sql
from copier.plan.translate.convert import moment
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import MOMENTS, Rules, Value, integer, real, text

NOW = "(now() AT TIME ZONE 'UTC')"
LOCAL_NOW = "LOCALTIMESTAMP"

_FORMS = {"date": "YYYY-MM-DD", "time": "HH24:MI:SS", "datetime": "YYYY-MM-DD HH24:MI:SS"}
_SHIFT = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]+)?) *(day|hour|minute|second|month|year)s?")
_CODES = {
    **{"Y": "YYYY", "m": "MM", "d": "DD", "H": "HH24", "M": "MI", "S": "SS", "f": "SS.MS", "j": "DDD"},
    **{"F": "YYYY-MM-DD", "T": "HH24:MI:SS", "R": "HH24:MI"},
}
"""strftime code -> to_char template."""
_NUMERIC_CODES = frozenset(("%Y", "%m", "%d", "%H", "%M", "%S", "%j", "%w", "%s"))

_TEXT_MOMENT = (
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?Z?)?$"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """A timestamp without zone as SQL, always an operand."""

    sql: str
    now: bool = False
    not_null: bool = False


def time_function(name: str, args: Sequence[Value], rules: Rules) -> Value:
    """Return date(), time(), datetime(), julianday(), unixepoch() or strftime() of translated arguments."""
    if name == "strftime":
        if not args or not isinstance(args[0].constant, str):
            raise Untranslatable("strftime() with a format that is not constant")
        return strftime(args[0].constant, moment_argument(args[1:], rules), rules)
    at = moment_argument(args, rules)
    if name == "julianday":
        days = real(f"({_epoch(at)} / 86400.0 + 2440587.5)::double precision", not_null=at.not_null)
        return replace(days, now_units=-1 if at.now else 0)
    if name == "unixepoch":
        return replace(integer(f"floor({_epoch(at)})::bigint", not_null=at.not_null), now_units=float(at.now))
    rules.mutable(f"{name}()")
    return _shown(at, _FORMS[name], name)


def current(name: str, rules: Rules) -> Value:
    """Return CURRENT_TIMESTAMP, CURRENT_DATE or CURRENT_TIME: UTC text in SQLite."""
    form = {"current_timestamp": "datetime", "current_date": "date", "current_time": "time"}[name]
    rules.mutable(name.upper())
    return _shown(Moment(NOW, now=True, not_null=True), _FORMS[form], form)


def _shown(at: Moment, template: str, form: str) -> Value:
    """Return a moment as text that remembers what it shows."""
    exact = ".MS" in template or (at.sql.startswith("TIMESTAMP '") and form == "datetime")
    kept = at.sql if exact else f"date_trunc('{'day' if form == 'date' else 'second'}', {at.sql})"
    shown = text(_template(template, at), not_null=at.not_null)
    return replace(shown, moment=kept, moment_form=form, now=at.now)


def _epoch(at: Moment) -> str:
    return f"extract(epoch FROM {at.sql})"


def moment_argument(args: Sequence[Value], rules: Rules) -> Moment:
    """Return the moment that a time value and its modifiers name."""
    modifiers = [_modifier(m) for m in args[1:]]
    if not args:
        rules.mutable("the present time")
        return Moment(NOW, now=True, not_null=True)
    value, unit = args[0], ""
    if modifiers and modifiers[0] in ("unixepoch", "julianday"):
        unit = modifiers.pop(0)
    at = _base(value, unit, rules)
    for modifier in modifiers:
        at = replace(_modified(at, modifier, rules), not_null=at.not_null)
    return at


def _modifier(value: Value) -> str:
    if not isinstance(value.constant, str):
        raise Untranslatable("a date modifier that is not constant")
    return " ".join(value.constant.lower().split())


def _base(value: Value, unit: str, rules: Rules) -> Moment:
    if isinstance(value.constant, str) and value.constant.lower() == "now":
        rules.mutable("the present time")
        return Moment(NOW, now=True, not_null=True)
    if value.now and value.moment_form == "datetime" and LOCAL_NOW not in value.moment:
        return Moment(NOW, now=True, not_null=True)
    if value.moment and value.moment_form != "time":
        return Moment(value.moment, not_null=value.not_null)
    if unit:
        return _from_number(value, unit)
    if isinstance(value.constant, str):
        found = moment_of(value.constant)
        if found is None:
            raise Untranslatable(f"{value.constant!r} is no time that can be read")
        return Moment(moment_sql(found, "timestamp"), not_null=True)
    if value.kind in MOMENTS:
        if value.cast not in ("iso", "julian"):
            raise Untranslatable(f"{value.described()} holds a unix time, which SQLite reads as a julian day")
        return Moment(moment(value), not_null=value.not_null)
    return _from_text(value, rules)


def _from_number(value: Value, unit: str) -> Moment:
    if value.kind in MOMENTS:
        if (value.cast, unit) not in (("epoch_s", "unixepoch"), ("julian", "julianday")):
            raise Untranslatable(f"{value.described()} is not stored in the unit its modifier names")
        return Moment(moment(value), not_null=value.not_null)
    if not value.is_number:
        raise Untranslatable(f"'{unit}' on {value.described()}, which is not a number")
    if unit == "unixepoch":
        return Moment(f"(to_timestamp({value.sql}) AT TIME ZONE 'UTC')", not_null=value.not_null)
    days = f"({value.operand} - 2440587.5)"
    return Moment(f"(to_timestamp({days} * 86400.0) AT TIME ZONE 'UTC')", not_null=value.not_null)


def _from_text(value: Value, rules: Rules) -> Moment:
    """Read text as a moment; NULL when it is none, as in SQLite."""
    if value.kind != "text":
        raise Untranslatable(f"{value.described()} is read as a time, but is no text")
    if rules.strict:
        raise Untranslatable(f"{value.described()} is text and read as a time, which can fail")
    guard = literal(_TEXT_MOMENT)
    return Moment(f"(CASE WHEN {value.operand} ~ {guard} THEN {value.operand}::timestamp END)")


def _modified(at: Moment, modifier: str, rules: Rules) -> Moment:
    """Return the moment after one modifier."""
    found = _SHIFT.fullmatch(modifier)
    if found is not None:
        sign, amount, unit = found.groups()
        return Moment(_shifted(at.sql, "-" if sign == "-" else "+", amount, unit))
    if modifier in ("start of month", "start of year", "start of day"):
        return Moment(f"date_trunc('{modifier.rsplit(maxsplit=1)[1]}', {at.sql})")
    if re.fullmatch(r"weekday [0-6]", modifier):
        wait = f"((7 + {modifier[-1]} - extract(dow FROM {at.sql})::integer) % 7)"
        return Moment(f"({at.sql} + {wait} * INTERVAL '1 day')")
    if modifier == "localtime":
        rules.mutable("local time")
        zone = "current_setting('TimeZone')"
        return Moment(LOCAL_NOW if at.now else f"({at.sql} AT TIME ZONE 'UTC' AT TIME ZONE {zone})", now=at.now)
    raise Untranslatable(f"the date modifier '{modifier}' has no sure counterpart")


def _shifted(at: str, sign: str, amount: str, unit: str) -> str:
    if unit not in ("month", "year"):
        return f"({at} {sign} INTERVAL '{amount} {unit}s')"
    if "." in amount:
        raise Untranslatable(f"a fraction of a {unit}")
    # SQLite runs over into the next month where PostgreSQL stops at its last day: 31 January + 1 month.
    start = f"date_trunc('month', {at})"
    return f"({start} {sign} INTERVAL '{amount} {unit}s' + ({at} - {start}))"


def strftime(form: str, at: Moment, rules: Rules) -> Value:
    """Return strftime(form, at)."""
    if form != "%s":
        rules.mutable("strftime()")
    templates, parts = "", []
    for piece in re.findall(r"%.|[^%]+|%", form, re.S):
        if piece[0] == "%" and piece[1:] in _CODES:
            templates += _CODES[piece[1:]]
        elif piece[0] != "%" or piece == "%%":
            templates += _quoted(piece.replace("%%", "%"))
        else:
            parts += [_template(templates, at)] if templates else []
            templates = ""
            parts.append(_code(piece, at))
    whole = _whole_form(templates) if not parts else ""
    if whole:
        return _shown(at, templates, whole)
    parts += [_template(templates, at)] if templates else []
    shown = " || ".join(parts) or "''"
    digits = ""
    if form in _NUMERIC_CODES:
        digits = f"floor({_epoch(at)})::bigint" if form == "%s" else f"({shown})::bigint"
    return replace(
        text(shown, atom=len(parts) == 1, not_null=at.not_null),
        digits=digits,
        now=at.now,
        now_units=float(at.now and form == "%s"),
    )


def _whole_form(template: str) -> str:
    """Return date or datetime when a template shows no less than that."""
    plain = template.replace('"T"', " ").removesuffix('"Z"').removesuffix(".MS")
    return {"YYYY-MM-DD": "date", "YYYY-MM-DD HH24:MI:SS": "datetime"}.get(plain, "")


def _quoted(piece: str) -> str:
    """Return literal text inside a to_char template."""
    if not any(c.isalpha() or c in '"\\' for c in piece):
        return piece
    return '"' + piece.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _template(template: str, at: Moment) -> str:
    return f"to_char({at.sql}, {literal(template)})"


def _code(piece: str, at: Moment) -> str:
    if piece == "%s":
        return f"floor({_epoch(at)})::bigint::text"
    if piece == "%w":
        return f"extract(dow FROM {at.sql})::integer::text"
    raise Untranslatable(f"strftime() code {piece} has no sure counterpart")
