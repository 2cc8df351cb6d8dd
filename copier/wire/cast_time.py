"""Casts to timestamps, dates and times: integers of PostgreSQL's own epoch, 2000-01-01."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from fractions import Fraction

from copier.wire.cast_base import CastError, Filled
from copier.wire.cast_number import INT_RANGES, to_float, to_int

US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S
UNIX_EPOCH_DAYS = 10_957
"""Days from 1970-01-01 to 2000-01-01."""
UNIX_EPOCH_US = UNIX_EPOCH_DAYS * US_PER_DAY

TIMESTAMP_MIN_US = -211_813_488_000_000_000
TIMESTAMP_END_US = 9_223_371_331_200_000_000
"""4714-11-24 BC and 294277-01-01, the ends of timestamp (MIN_TIMESTAMP, END_TIMESTAMP in `timestamp.h`)."""

_JULIAN_END = 5_373_484.5  # 10000-01-01, the end of SQLite's own julian days
_JULIAN_2000_MS = 211_813_444_800_000  # 2000-01-01 00:00 in SQLite's milliseconds of julian day
_ORDINAL_2000 = date(2000, 1, 1).toordinal()
_CLOCK = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
_ISO = re.compile(
    rf"([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})(?:[ T]{_CLOCK}(?:(Z|z)|([+-])([0-9]{{2}})(?::?([0-9]{{2}}))?)?)?"
)
_TIME = re.compile(_CLOCK)


def epoch_s(v: Filled) -> int:
    """Return microseconds since 2000-01-01 UTC for seconds since 1970; reals are rounded to the microsecond."""
    if isinstance(v, float):
        if abs(v) > 1e13:  # also infinities
            raise _out_of_range()
        return _in_range(round(Fraction(v) * US_PER_S) - UNIX_EPOCH_US)
    return _in_range(_whole(v) * US_PER_S - UNIX_EPOCH_US)


def epoch_ms(v: Filled) -> int:
    """Return microseconds since 2000-01-01 UTC for milliseconds since 1970; reals must be whole microseconds."""
    if isinstance(v, float):
        if abs(v) > 1e16:
            raise _out_of_range()
        exact = Fraction(v) * 1000
        if exact.denominator != 1:
            raise CastError("not a whole number of microseconds")
        return _in_range(exact.numerator - UNIX_EPOCH_US)
    return _in_range(_whole(v) * 1000 - UNIX_EPOCH_US)


def epoch_us(v: Filled) -> int:
    """Return microseconds since 2000-01-01 UTC for whole microseconds since 1970."""
    return _in_range(_whole(v) - UNIX_EPOCH_US)


def julian(v: Filled) -> int:
    """Return microseconds since 2000-01-01 UTC for a julian day, read to the millisecond as SQLite reads it.

    A double holds a present julian day to 40 microseconds; SQLite computes it from whole milliseconds, which rounding
    gives back (SQLite docs, "Date And Time Functions").
    """
    days = to_float(v)
    if not 0 <= days < _JULIAN_END:
        raise CastError("not a julian day")
    return (int(days * 86_400_000 + 0.5) - _JULIAN_2000_MS) * 1000


def _whole(v: Filled) -> int:
    return to_int(v, *INT_RANGES["int8"])


def _in_range(us: int) -> int:
    if not TIMESTAMP_MIN_US <= us < TIMESTAMP_END_US:
        raise _out_of_range()
    return us


def _out_of_range() -> CastError:
    return CastError("out of range for a timestamp")


def iso(v: Filled, zoned: bool = True) -> int:
    """Return microseconds since 2000-01-01 UTC for ISO 8601 text, exact to the microsecond.

    `YYYY-MM-DD`, then optionally a blank or T, `HH:MM[:SS[.fraction]]`, and a zone: none (UTC), Z, +HH, +HH:MM or
    +HHMM. With `zoned` false (type timestamp) a zone other than UTC is a CastError.
    """
    match = _ISO.fullmatch(v) if isinstance(v, str) else None
    if match is None:
        raise CastError("not a date and time")
    year, month, day, hour, minute, second, fraction, _, sign, zone_hour, zone_minute = match.groups()
    us = _days(year, month, day, "not a date and time") * US_PER_DAY
    if hour is not None:
        us += _clock(hour, minute, second, fraction, "not a date and time")
    if sign is not None:
        offset_min = int(zone_hour) * 60 + int(zone_minute or 0)
        if int(zone_hour) > 15 or int(zone_minute or 0) > 59:  # PostgreSQL's MAX_TZDISP_HOUR
            raise CastError("not a date and time")
        if offset_min and not zoned:
            raise CastError("has a time zone")
        us -= (offset_min if sign == "+" else -offset_min) * 60 * US_PER_S
    return us


def _days(year: str, month: str, day: str, reason: str) -> int:
    try:
        return date(int(year), int(month), int(day)).toordinal() - _ORDINAL_2000
    except ValueError:
        raise CastError(reason) from None


def _clock(hour: str, minute: str, second: str | None, fraction: str | None, reason: str) -> int:
    h, m, s = int(hour), int(minute), int(second or 0)
    if h > 23 or m > 59 or s > 59:
        raise CastError(reason)
    digits = fraction or ""
    if digits[6:].strip("0"):
        raise CastError("finer than a microsecond")
    return ((h * 60 + m) * 60 + s) * US_PER_S + int(digits[:6].ljust(6, "0"))


def iso_time(v: Filled) -> int:
    """Return microseconds since midnight for `HH:MM[:SS[.fraction]]`; CastError otherwise."""
    match = _TIME.fullmatch(v) if isinstance(v, str) else None
    if match is None:
        raise CastError("not a time of day")
    hour, minute, second, fraction = match.groups()
    return _clock(hour, minute, second, fraction, "not a time of day")


def iso_date(v: Filled) -> int:
    """Return days since 2000-01-01 for ISO 8601 text at midnight UTC; CastError otherwise."""
    return whole_days(iso(v, zoned=False))


def whole_days(us: int) -> int:
    """Return `us` microseconds as days; CastError when it is not midnight."""
    days, rest = divmod(us, US_PER_DAY)
    if rest:
        raise CastError("has a time of day")
    return days


TIMESTAMP_CASTS: dict[str, Callable[[Filled], int]] = {
    "iso": iso,
    "epoch_s": epoch_s,
    "epoch_ms": epoch_ms,
    "epoch_us": epoch_us,
    "julian": julian,
}
"""Cast -> function of a timestamptz."""
