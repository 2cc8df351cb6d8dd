"""Casts to integers, floats, numeric and boolean."""

from __future__ import annotations

import math
import re
import struct
from decimal import Decimal, InvalidOperation

from copier.wire.cast_base import CastError, Filled

INT_RANGES: dict[str, tuple[int, int]] = {
    "int2": (-(1 << 15), (1 << 15) - 1),
    "int4": (-(1 << 31), (1 << 31) - 1),
    "int8": (-(1 << 63), (1 << 63) - 1),
}
"""Wire type -> least and greatest value."""

NUMERIC_MAX_DIGITS_BEFORE = 131072
NUMERIC_MAX_SCALE = 16383
"""Limits of numeric (PostgreSQL docs, "Arbitrary Precision Numbers")."""

_RANGE_NAMES = {
    INT_RANGES["int2"]: "smallint ",
    INT_RANGES["int4"]: "integer ",
    INT_RANGES["int8"]: "bigint ",
}
_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TRUE = frozenset(("t", "true", "yes", "y", "on", "1"))
_FALSE = frozenset(("f", "false", "no", "n", "off", "0"))
_FLOAT4 = struct.Struct(">f")


def to_int(v: Filled, lo: int, hi: int) -> int:
    """Return an integer: an int, a real without a fraction, or text of a sign and digits; CastError otherwise."""
    if isinstance(v, int):
        number = int(v)
    elif isinstance(v, float):
        if not v.is_integer():
            raise CastError("not an integer")
        number = int(v)
    else:
        number = _parsed_int(v, lo, hi)
    if not lo <= number <= hi:
        raise _out_of_range(lo, hi)
    return number


def _parsed_int(v: str | bytes, lo: int, hi: int) -> int:
    match = _INTEGER.fullmatch(v) if isinstance(v, str) else None
    if match is None:
        raise CastError("not an integer")
    if len(match.group(2)) > 40:  # int() refuses text of thousands of digits with an error of its own
        raise _out_of_range(lo, hi)
    return int(match.group(1) + match.group(2))


def _out_of_range(lo: int, hi: int) -> CastError:
    return CastError(f"out of range for {_RANGE_NAMES.get((lo, hi), '')}({lo}..{hi})")


def to_float(v: Filled) -> float:
    """Return a double that says exactly what `v` says.

    Reals as they are; integers that a double holds exactly; decimal text whose number is the double's shortest
    round-trip form. CastError otherwise.
    """
    if isinstance(v, float):
        return v
    if isinstance(v, int):
        if abs(v) > 1 << 1000 or int(float(v)) != v:
            raise CastError("an integer that double precision cannot hold exactly")
        return float(v)
    if not isinstance(v, str) or _DECIMAL.fullmatch(v) is None:
        raise CastError("not a number")
    number = float(v)
    if math.isinf(number) or Decimal(repr(number)) != _decimal(v):
        raise CastError("a number that double precision cannot hold exactly")
    return number


def to_float4(v: Filled) -> float:
    """Return a single-precision value, as a Python float, whose shortest decimal form is that of `v`; or CastError."""
    double = to_float(v)
    if math.isinf(double) or double == 0:
        return double
    try:
        single: float = _FLOAT4.unpack(_FLOAT4.pack(double))[0]
    except OverflowError:
        raise CastError("out of range for real") from None
    if single != double and _shortest_float4(single) != double:
        raise CastError("a number that real cannot hold exactly")
    return single


def _shortest_float4(single: float) -> float:
    """Return the double spelled like the shortest decimal that reads back as `single`."""
    raw = _FLOAT4.pack(single)
    for digits in range(1, 10):
        spelled = float(f"{single:.{digits}g}")
        try:
            if _FLOAT4.pack(spelled) == raw:
                return spelled
        except OverflowError:
            continue
    return single


def to_numeric(v: Filled, precision: int | None = None, scale: int = 0) -> Decimal:
    """Return a Decimal equal to `v`: never rounded.

    Reals mean their shortest round-trip form; infinities become Decimal("Infinity") (PostgreSQL >= 14). CastError
    when it is no number, or does not fit numeric(precision, scale) or PostgreSQL's own limits.
    """
    if isinstance(v, int):
        number = Decimal(v)
    elif isinstance(v, float):
        number = Decimal(repr(v))
    elif isinstance(v, str) and _DECIMAL.fullmatch(v) is not None:
        number = _decimal(v)
    else:
        raise CastError("not a number")
    if not number.is_finite():
        if precision is not None or number.is_nan():
            raise CastError(f"an infinity, which numeric({precision},{scale}) cannot hold")
        return number
    return _fitted(number, precision, scale)


def _fitted(number: Decimal, precision: int | None, scale: int) -> Decimal:
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    before, after = number.adjusted() + 1, -exponent
    if number.is_zero():
        number, before, after = Decimal((0, (0,), max(min(exponent, 0), -NUMERIC_MAX_SCALE))), 0, 0
    elif digits[-1] == 0:
        after -= _trailing_zeros(digits)
        if -exponent > NUMERIC_MAX_SCALE >= after:  # only zeros stand beyond the limit
            number = Decimal((number.is_signed(), digits[: NUMERIC_MAX_SCALE + exponent], -NUMERIC_MAX_SCALE))
    if precision is not None and (after > scale or before > precision - scale):
        raise CastError(f"does not fit numeric({precision},{scale})")
    if before > NUMERIC_MAX_DIGITS_BEFORE or after > NUMERIC_MAX_SCALE:
        raise CastError("has more digits than numeric can hold")
    return number


def _trailing_zeros(digits: tuple[int, ...]) -> int:
    count = 0
    while digits[-1 - count] == 0:
        count += 1
    return count


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise CastError("has more digits than numeric can hold") from None


def to_bool(v: Filled) -> bool:
    """Return a boolean: 0 or 1, or a word such as t, false, yes, off in any case; CastError otherwise."""
    if isinstance(v, int | float):
        if v in (0, 1):
            return v == 1
    elif isinstance(v, str):
        word = v.lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise CastError("not a boolean")


def number_text(v: int | float) -> str:
    """Return the text of a number: an integer's digits, or the shortest form that reads back as the same double."""
    if isinstance(v, float) and math.isinf(v):
        return "Infinity" if v > 0 else "-Infinity"
    return repr(v)
