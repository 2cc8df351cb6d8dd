"""Constants: SQLite's reading of them, and their spelling as a value of a PostgreSQL type."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, date, datetime, timedelta, timezone

import orjson

from copier.plan.names import literal
from copier.plan.translate.value import Constant, Kind
from copier.plan.types.times import EPOCH_UNITS

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[ \t\n\v\f\r]*")
_PREFIX = re.compile(r"[ \t\n\v\f\r]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")
_TRUE = frozenset(("t", "true", "yes", "y", "on", "1"))
_FALSE = frozenset(("f", "false", "no", "n", "off", "0"))


def as_integer(value: int) -> int | float:
    """Return an integer literal as SQLite reads it: a real when it does not fit 64 bits."""
    return value if -(2**63) <= value < 2**63 else float(value)


def number_of(text: str) -> int | float | None:
    """Return the number a text is by numeric affinity, None when it is none as a whole."""
    match = _NUMBER.fullmatch(text)
    return None if match is None else _number(match.group(1))


def number_prefix(text: str) -> int | float:
    """Return the number arithmetic sees in a text: its longest numeric prefix, else 0."""
    match = _PREFIX.match(text)
    return 0 if match is None else _number(match.group(1))


def _number(digits: str) -> int | float:
    if re.fullmatch(r"[+-]?[0-9]+", digits):
        return as_integer(int(digits))
    return float(digits)


def number_text(value: int | float) -> str:
    """Return the text SQLite makes of a number ("%!.15g" for reals)."""
    if isinstance(value, int):
        return str(value)
    shown = f"{value:.15g}"
    mantissa, e, exponent = shown.partition("e")
    return (mantissa if "." in mantissa else mantissa + ".0") + e + exponent


def boolean_of(value: Constant) -> bool | None:
    """Return the boolean a constant is in a boolean column, None when it is none."""
    if isinstance(value, str):
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else None
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def moment_of(text: str) -> datetime | None:
    """Return the UTC moment of ISO 8601 text; None when it is none."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        clock = (int(hour or 0), int(minute or 0), int(second or 0))
        found = datetime(int(year), int(month), int(day), *clock, tzinfo=UTC)
        found = found.replace(microsecond=int((fraction or "0").ljust(6, "0")))
        return found if zone in (None, "Z") else found.replace(tzinfo=_zone(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(text: str) -> timezone:
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def moment_sql(moment: datetime, kind: Kind) -> str:
    """Return a UTC moment as a literal of type timestamptz, timestamp or date."""
    shown = moment.replace(tzinfo=None).isoformat(sep=" ")
    if kind == "date":
        return f"DATE '{shown[:10]}'"
    return f"TIMESTAMPTZ '{shown}+00'" if kind == "timestamptz" else f"TIMESTAMP '{shown}'"


def epoch_sql(value: int | float, kind: Kind, cast: str) -> str | None:
    """Return a stored epoch or julian day as SQL of type timestamptz, timestamp or date; None beyond year 9999."""
    if cast == "julian" or not isinstance(value, int):
        return None
    units = EPOCH_UNITS[cast]
    if not -62_135_596_800 <= value // units < 253_402_300_800:
        return None
    whole = value % units == 0
    shown = f"to_timestamp({value // units})" if whole else f"to_timestamp({value} / {units}.0)"
    if kind == "timestamptz":
        return shown
    return f"({shown} AT TIME ZONE 'UTC')" + ("::date" if kind == "date" else "")


def constant_sql(value: Constant, kind: Kind, cast: str = "") -> str | None:
    """Return a constant as SQL of a PostgreSQL kind, as a column that is stored with `cast` would hold it.

    None when no value of that kind is the constant. Never a value that the server could refuse.
    """
    if value is None:
        return "NULL"
    if kind in ("int", "num", "float"):
        return _number_sql(value, kind)
    if kind == "bool":
        truth = boolean_of(value)
        return None if truth is None else str(truth).upper()
    if kind in ("timestamptz", "timestamp", "date"):
        return _time_sql(value, kind, cast)
    if kind == "bytea":
        raw = value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else None
        return None if raw is None else f"{literal(chr(92) + 'x' + raw.hex())}::bytea"
    return _text_sql(value, kind)


def _number_sql(value: str | int | float | bytes, kind: Kind) -> str | None:
    number = number_of(value) if isinstance(value, str) else value if isinstance(value, int | float) else None
    if number is None or number in (float("inf"), float("-inf")):
        return None
    if kind == "int":
        return str(int(number)) if number == int(number) and -(2**63) <= number < 2**63 else None
    if isinstance(number, float) and kind == "num" and number == int(number) and abs(number) < 1e15:
        return str(int(number))
    return repr(number)


def _time_sql(value: str | int | float | bytes, kind: Kind, cast: str) -> str | None:
    if cast == "iso":
        moment = moment_of(value) if isinstance(value, str) else None
        if moment is None or (kind == "date" and moment.time() != datetime.min.time()):
            return None
        return moment_sql(moment, kind)
    number = number_of(value) if isinstance(value, str) else value if isinstance(value, int | float) else None
    return None if number is None else epoch_sql(number, kind, cast)


def _text_sql(value: str | int | float | bytes, kind: Kind) -> str | None:
    if isinstance(value, bytes):
        return None
    text = value if isinstance(value, str) else number_text(value)
    if "\x00" in text:
        return None
    if kind == "uuid":
        return f"{literal(text)}::uuid" if _UUID.fullmatch(text) else None
    if kind in ("json", "jsonb"):
        return f"{literal(text)}::{kind}" if _is_json(text) else None
    if kind == "inet":
        return f"{literal(text)}::inet" if _is_address(text) else None
    if kind == "time":
        return f"TIME {literal(text)}" if _CLOCK.fullmatch(text) else None
    return literal(text)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return "\\u0000" not in text and not re.search(r"[eE][+-]?[0-9]{3}", text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return re.search(r"%|/.*[.:]", text) is None  # no scope, no netmask in dotted form


def is_date_only(text: str) -> bool:
    """Whether the text is YYYY-MM-DD."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10
