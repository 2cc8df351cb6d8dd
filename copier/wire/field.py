"""One value to one field of binary COPY: the reference path, policies included."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import cast as typed

from copier.plan.pgtype import POLICIES, PgType
from copier.plan.source import Value
from copier.wire.cast import BrokenText, Canonical, CastError, Filled, caster

NULL = b"\xff\xff\xff\xff"
"""A NULL field: length -1, no payload."""

_LENGTH = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """How one column's values travel.

    `default` is the constant (its text) that the policy `default` puts in place of a value the cast refuses; None when
    the column has no constant default, and such values are then rejected.
    """

    type: PgType
    cast: str
    policy: str = "reject"
    default: str | None = None


def encode_field(spec: ColumnSpec, value: Value) -> bytes:
    """Return length and payload of one value, or NULL; CastError when cast and policy both refuse it."""
    payload, _ = FieldEncoder(spec).encode(value)
    return NULL if payload is None else _LENGTH.pack(len(payload)) + payload


class FieldEncoder:
    """Encodes the values of one column, one at a time.

    ValueError for a cast or policy that does not exist, and for a default that its own cast refuses.
    """

    def __init__(self, spec: ColumnSpec) -> None:
        if spec.policy not in POLICIES:
            raise ValueError(f"{spec.policy!r} is not a policy; choose one of {', '.join(POLICIES)}")
        self.fatal = spec.policy == "fail"
        self._policy = spec.policy
        self._cast = caster(spec.type, spec.cast)
        self._pack = packer(spec.type)
        self._default = self.payload(spec.default) if spec.default is not None and spec.policy == "default" else None

    def payload(self, value: Filled) -> bytes:
        """Return the payload of one value; CastError when the cast refuses it, whatever the policy."""
        return self._pack(self._cast(value))

    def encode(self, value: Value) -> tuple[bytes | None, bool]:
        """Return the payload (None for NULL) and whether the policy changed the value; CastError when rejected."""
        if value is None:
            return None, False
        try:
            return self.payload(value), False
        except CastError:
            if self._policy == "null" or (self._policy == "null_if_empty" and value == ""):
                return None, True
            if self._default is not None:
                return self._default, True
            if self._policy in ("strip", "replace"):
                mended = mend(value, self._policy)
                if mended is not None:
                    return self.payload(mended), True
            raise


def mend(value: Filled, policy: str) -> str | None:
    """Return text without its NULs and bytes that are no UTF-8 (`strip`), or with U+FFFD for each (`replace`).

    None when `value` is no text, or has nothing to mend.
    """
    strip = policy == "strip"
    if isinstance(value, BrokenText):
        text = value.decode(errors="ignore" if strip else "replace")
    elif isinstance(value, str) and "\0" in value:
        text = value
    else:
        return None
    return text.replace("\0", "" if strip else "\ufffd")


def packer(type: PgType) -> Callable[[Canonical], bytes]:
    """Return the function from a canonical value of `type` to its payload."""
    form = STRUCTS.get(type.wire)
    if form is not None:
        return form.pack
    if type.is_text:
        return lambda v: typed(str, v).encode()
    if type.wire == "jsonb":
        return lambda v: b"\x01" + typed(bytes, v)
    if type.wire == "numeric":
        return lambda v: pack_numeric(typed(Decimal, v))
    return lambda v: typed(bytes, v)


STRUCTS: dict[str, struct.Struct] = {
    "bool": struct.Struct(">?"),
    "int2": struct.Struct(">h"),
    "int4": struct.Struct(">i"),
    "int8": struct.Struct(">q"),
    "float4": struct.Struct(">f"),
    "float8": struct.Struct(">d"),
    "date": struct.Struct(">i"),
    "time": struct.Struct(">q"),
    "timestamp": struct.Struct(">q"),
    "timestamptz": struct.Struct(">q"),
}
"""Wire type -> payload of the types of fixed width: days and microseconds count from 2000-01-01 and midnight."""

_NUMERIC_HEAD = struct.Struct(">HhHH")
NUMERIC_NEGATIVE, NUMERIC_NAN, NUMERIC_INFINITY, NUMERIC_MINUS_INFINITY = 0x4000, 0xC000, 0xD000, 0xF000
"""Signs of numeric_send (`numeric.c`)."""


def pack_numeric(number: Decimal) -> bytes:
    """Return the payload of numeric_send: digit count, weight, sign, scale, then digits in base 10000."""
    if not number.is_finite():
        return _NUMERIC_HEAD.pack(0, 0, NUMERIC_INFINITY if number > 0 else NUMERIC_MINUS_INFINITY, 0)
    whole, _, fraction = f"{number:f}".lstrip("-").partition(".")
    scale = len(fraction)
    if number.is_zero():
        return _NUMERIC_HEAD.pack(0, 0, 0, scale)
    whole = whole.zfill(-(-len(whole) // 4) * 4)
    groups = whole + fraction.ljust(-(-scale // 4) * 4, "0")
    words = [int(groups[i : i + 4]) for i in range(0, len(groups), 4)]
    first, end = 0, len(words)
    while not words[first]:
        first += 1
    while not words[end - 1]:
        end -= 1
    words = words[first:end]
    weight = len(whole) // 4 - 1
    negative = number.is_signed()
    head = _NUMERIC_HEAD.pack(len(words), weight - first, NUMERIC_NEGATIVE if negative else 0, scale)
    return head + struct.pack(f">{len(words)}H", *words)
