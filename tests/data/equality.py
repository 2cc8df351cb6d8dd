"""When a SQLite value and PostgreSQL's text of a value are the same: one hashable form for both sides, by type."""

from __future__ import annotations

import ipaddress
import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from .compare import Broken

_TRUE, _FALSE = ("1", "1.0", "t", "true", "y", "yes", "on"), ("0", "0.0", "f", "false", "n", "no", "off")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.A)
_INTEGER = re.compile(r"[+-]?\d+", re.A)
_UNIT_OF_US = {1: 1_000_000, 1_000: 1_000, 1_000_000: 1}
_PLAUSIBLE_S = (315_532_800, 4_102_444_800)

Instants = Callable[[Any], Any]


class Impossible(Exception):
    """The type cannot hold the value."""


def from_source(value: Any, kind: str, instant: Instants | None = None) -> Any:
    """Return the form of a SQLite value in a column of this type; `instant` reads the column's numbers as times."""
    if value is None:
        return None
    base, _, rest = kind.partition("(")
    try:
        form = instant(value) if instant is not None else _SOURCE[base.strip()](value)
    except (ValueError, ArithmeticError, TypeError, RecursionError) as error:
        raise Impossible(f"{kind} cannot hold {value!r}: {error}") from error
    if base.startswith("character varying") and rest and len(form) > int(rest.rstrip(")")):
        raise Impossible(f"{kind} is too short for {value!r}")
    return form


def from_target(text: str | None, kind: str) -> Any:
    """Return the form of PostgreSQL's text."""
    return None if text is None else _TARGET[kind.partition("(")[0].strip()](text)


def instants(values: Sequence[Any]) -> Instants:
    """Return what reads a column's values as times: one unit for all of its integers, told by their range."""
    integers = [v for v in values if isinstance(v, int) and v]
    low, high = _PLAUSIBLE_S
    units = [unit for unit in _UNIT_OF_US if all(low * unit <= v <= high * unit for v in integers)]

    def read(value: Any) -> Any:
        if isinstance(value, str):
            return _iso(value)
        if isinstance(value, bytes):
            raise ValueError("bytes")
        if isinstance(value, float) and not integers:
            return _julian(value)
        if len(units) != 1 and integers:
            raise ValueError("no one unit")
        return _EPOCH + timedelta(microseconds=round(Fraction(value) * _UNIT_OF_US[units[0]]))

    return read


def _julian(days: float) -> datetime:
    """Return what SQLite itself says of a julian day."""
    with closing(sqlite3.connect(":memory:")) as db:
        (text,) = db.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', ?)", (days,)).fetchone()
    return _iso(_only_text(text))


def _iso(text: str) -> datetime:
    if re.search(r"\.\d{6}\d*[1-9]", text):
        raise ValueError("finer than a microsecond")
    found = datetime.fromisoformat(text)
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return aware.astimezone(UTC)


def _only_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bytes) or (isinstance(value, str) and not _INTEGER.fullmatch(value)):
        raise ValueError("no integer")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("no integer")
    if not -(1 << 63) <= (number := int(value)) < 1 << 63:
        raise ValueError("beyond bigint")
    return number


def _small(value: Any) -> int:
    if not -(1 << 15) <= (number := _integer(value)) < 1 << 15:
        raise ValueError("beyond smallint")
    return number


def _double(value: Any) -> str:
    """Bit for bit: 0.0 is not -0.0."""
    number = float(value) if not isinstance(value, bytes) else None
    if number is None or (isinstance(value, str) and _decimal(value) != Decimal(repr(number))):
        raise ValueError("no double says this")
    if isinstance(value, int) and int(number) != value:
        raise ValueError("no double says this")
    return repr(number)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bytes) or (isinstance(value, str) and not _NUMBER.fullmatch(value)):
        raise ValueError("no number")
    return Decimal(value if isinstance(value, str | int) else repr(value))


def _numeric(value: Any) -> Decimal:
    number = _decimal(value)
    if number.is_finite() and number and not -16384 < number.adjusted() < 131072:
        raise ValueError("beyond numeric")
    return number


def _boolean(value: Any) -> bool:
    word = str(value).lower()
    if isinstance(value, bytes) or word not in _TRUE + _FALSE or (isinstance(value, str) and "." in word):
        raise ValueError("no boolean")
    return word in _TRUE


def _string(value: Any) -> str:
    if isinstance(value, bytes) or (isinstance(value, str) and "\0" in value):
        raise ValueError("no text")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, str) else repr(value)


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes) else (value if isinstance(value, str) else _string(value)).encode()


def _uuid(value: Any) -> UUID:
    if isinstance(value, Broken):
        raise ValueError("no text")
    return UUID(bytes=value) if isinstance(value, bytes) else UUID(_only_text(value))


def _json_text(value: Any) -> str:
    """The type json keeps the text as it is."""
    text = _string(value)
    _parse(text, _any_pairs)
    return text


def _jsonb(value: Any) -> Any:
    text = _string(value)
    return _freeze(_parse(text, _single_pairs))


def _parse(text: str, pairs: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse, object_pairs_hook=pairs)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _any_pairs(pairs: list[tuple[str, Any]]) -> Any:
    return dict(pairs)


def _single_pairs(pairs: list[tuple[str, Any]]) -> Any:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key that occurs twice would be lost")
    if any("\0" in key for key in dict(pairs)):
        raise ValueError("a NUL")
    return dict(pairs)


def _freeze(value: Any) -> Any:
    """Return a hashable form in which true is not 1, and the order of keys does not count."""
    if isinstance(value, dict):
        return "object", frozenset((key, _freeze(one)) for key, one in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_freeze, value))
    if isinstance(value, str) and "\0" in value:
        raise ValueError("a NUL")
    return type(value).__name__, value


def _midnight(value: Any) -> date:
    moment = _iso(_only_text(value))
    if moment.time() != time():
        raise ValueError("not midnight")
    return moment.date()


_SOURCE: dict[str, Callable[[Any], Any]] = {
    "bigint": _integer,
    "smallint": _small,
    "double precision": _double,
    "numeric": _numeric,
    "boolean": _boolean,
    **dict.fromkeys(("text", "character varying"), _string),
    "bytea": _bytes,
    "uuid": _uuid,
    "date": _midnight,
    "time without time zone": lambda value: time.fromisoformat(_only_text(value)),
    "json": _json_text,
    "jsonb": _jsonb,
    "inet": lambda value: ipaddress.ip_interface(_only_text(value)),
}

_TARGET: dict[str, Callable[[str], Any]] = {
    **_SOURCE,
    "double precision": lambda text: repr(float(text)),
    "numeric": Decimal,
    "timestamp with time zone": lambda text: datetime.fromisoformat(text).astimezone(UTC),
    "timestamp without time zone": lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
    "date": date.fromisoformat,
    "boolean": lambda text: text == "true",
    "bytea": lambda text: bytes.fromhex(text.removeprefix("\\x")),
}
