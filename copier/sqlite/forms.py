"""Forms a value can have (a UUID, a JSON document, milliseconds since 1970 ...), each a hypothesis about a column.

Whether a value has a form is asked of the very casts that will convert it, so that plan and copy cannot disagree. A
hypothesis that many values refute early is given up, and then costs nothing more.

    uuid            any spelling `to_uuid` takes, or a BLOB of 16 bytes
    uuid_canonical  36 characters, lower case, hyphenated
    json            text that is one JSON value
    json_container  a JSON object or array that loses nothing as jsonb
    inet            an IP address, or a network
    iso             an ISO 8601 date, or date and time
    iso_date        the same, date only
    iso_zoned       the same, with a zone
    iso_time        a time of day
    bool            0, 1, or a word such as true, f, yes, off
    bool01          the integers 0 and 1
    int_text        text of a 64-bit integer
    num_text        text of a decimal number
    epoch_s, epoch_ms, epoch_us
                    integers that are instants of the years 1980 to 2100 in that unit since 1970, or 0
    julian          reals that are Julian day numbers of the years 1900 to 2100
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from copier.plan.types.times import EPOCH_UNITS, plausible_range
from copier.wire.cast import (
    INT_RANGES,
    CastError,
    iso,
    iso_time,
    json_container,
    to_bool,
    to_inet,
    to_int,
    to_json,
    to_numeric,
    to_uuid,
)

Kind = Literal["integer", "real", "text", "blob", "broken"]
"""Storage class of a value that is not NULL; broken: text that is not valid UTF-8."""

JULIAN_RANGE = (2_415_020.0, 2_488_435.0)


@dataclass(frozen=True, slots=True)
class Form:
    """One hypothesis: the storage classes it can hold in, the test of one value, and a quick test of many.

    `all_fit` may say no although all fit; it never says yes wrongly. `implies` names a form that is the wider one.
    """

    name: str
    kinds: tuple[Kind, ...]
    fits: Callable[[Any], bool]
    all_fit: Callable[[Sequence[Any]], bool]
    implies: str = ""


def _by_cast(name: str, kinds: tuple[Kind, ...], cast: Callable[[Any], object], implies: str = "") -> Form:
    """Make a form of the values a cast takes."""

    def fits(value: Any) -> bool:
        try:
            cast(value)
        except CastError:
            return False
        return True

    def all_fit(values: Sequence[Any]) -> bool:
        try:
            deque(map(cast, values), maxlen=0)
        except CastError:
            return False
        return True

    return Form(name, kinds, fits, all_fit, implies)


_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_HYPHENS = (8, 13, 18, 23)


def _is_canonical(text: str) -> bool:
    return _CANONICAL.fullmatch(text) is not None


def _all_canonical(texts: Sequence[str]) -> bool:
    """Whether all are canonical UUIDs: a few passes over one joined string, a tenth of the cost of a regex each."""
    if set(map(len, texts)) != {36}:
        return False
    joined = "".join(texts)
    if not joined.isascii() or joined != joined.lower():
        return False
    if any(joined[place::36].count("-") != len(texts) for place in _HYPHENS):
        return False
    try:
        return len(bytes.fromhex(joined.replace("-", ""))) == 16 * len(texts)
    except ValueError:
        return False


_DIGITS = dict.fromkeys(map(ord, "123456789"), "0")
_LONGEST_ISO = 27
_PLAIN_ISO = re.compile(r"0000-00-00(?:[ T]00:00(?::00(?:\.0{1,6})?)?Z?)?")


def _all_plain_iso(texts: Sequence[str], shape: re.Pattern[str] = _PLAIN_ISO) -> bool:
    """Whether all have one of the usual ISO shapes and are real dates; the C parser checks the ranges."""
    if max(map(len, texts)) > _LONGEST_ISO:
        return False
    joined = "\n".join(texts)
    shapes = set(joined.translate(_DIGITS).split("\n"))
    if len(shapes) > 32 or not all(map(shape.fullmatch, shapes)):
        return False
    if " 24:" in joined or "T24:" in joined:  # later Pythons take the hour 24, the cast does not
        return False
    try:
        deque(map(datetime.fromisoformat, texts), maxlen=0)
    except ValueError:
        return False
    return True


_ISO = _by_cast("iso", ("text",), iso)
_ZONE = re.compile(r".{10,}(?:[Zz]|[+-][0-9:]+)", re.ASCII)


def _has_zone(text: str) -> bool:
    return _ZONE.fullmatch(text) is not None


def _iso_part(name: str, has_part: Callable[[str], bool], plain: str) -> Form:
    """Make a form of ISO text that also has the part; `plain` is the shape of the usual spelling."""
    return Form(
        name,
        ("text",),
        lambda text: has_part(text) and _ISO.fits(text),
        partial(_all_plain_iso, shape=re.compile(plain)),
        implies="iso",
    )


def _all_json_containers(texts: Sequence[str]) -> bool:
    return all(map(json_container, texts))


def _all_short_digits(texts: Sequence[str]) -> bool:
    return max(map(len, texts)) <= 18 and "".join(texts).isdigit() and "".join(texts).isascii()


def _all_01(values: Sequence[int]) -> bool:
    return set(values) <= {0, 1}


def _within(name: str, kind: Kind, first: float, last: float, *, zero: bool) -> Form:
    """Make a form of the numbers from `first` to `last`, and 0 where it stands for no time."""

    def fits(value: float) -> bool:
        return first <= value <= last or (zero and value == 0)

    def all_fit(values: Sequence[float]) -> bool:
        return first <= min(values) and max(values) <= last

    return Form(name, (kind,), fits, all_fit)


FORMS: tuple[Form, ...] = (
    Form("uuid_canonical", ("text",), _is_canonical, _all_canonical, implies="uuid"),
    _by_cast("uuid", ("text", "blob"), to_uuid),
    Form("json_container", ("text",), json_container, _all_json_containers, implies="json"),
    _by_cast("json", ("text",), partial(to_json, jsonb=False)),
    _by_cast("inet", ("text",), to_inet),
    _iso_part("iso_date", lambda text: len(text) == 10, r"0000-00-00"),
    _iso_part("iso_zoned", _has_zone, r"0000-00-00[ T]00:00(?::00(?:\.0{1,6})?)?Z"),
    Form("iso", ("text",), _ISO.fits, lambda texts: _all_plain_iso(texts) or _ISO.all_fit(texts)),
    _by_cast("iso_time", ("text",), iso_time),
    Form("bool01", ("integer",), lambda value: value in (0, 1), _all_01, implies="bool"),
    _by_cast("bool", ("integer", "real", "text"), to_bool),
    Form(
        "int_text",
        ("text",),
        _by_cast("", ("text",), partial(to_int, lo=INT_RANGES["int8"][0], hi=INT_RANGES["int8"][1])).fits,
        _all_short_digits,
        implies="num_text",
    ),
    _by_cast("num_text", ("text",), to_numeric),
    *(_within(unit, "integer", *plausible_range(unit), zero=True) for unit in EPOCH_UNITS),
    _within("julian", "real", *JULIAN_RANGE, zero=False),
)
"""All forms, the narrower before the wider one it implies."""
