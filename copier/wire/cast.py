"""The reference meaning of every cast: one Python function each, from a SQLite value to a canonical value.

A function takes one value that is not NULL (int, float, str, bytes or BrokenText) and returns the canonical value, or
raises CastError. Faster paths, compiled or column-wise, must agree with these functions byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from copier.plan.pgtype import CASTS, PgType
from copier.wire.cast_base import MAX_FIELD_BYTES, BrokenText, CastError, Filled
from copier.wire.cast_inet import to_inet
from copier.wire.cast_json import json_container, to_json
from copier.wire.cast_number import INT_RANGES, number_text, to_bool, to_float, to_float4, to_int, to_numeric
from copier.wire.cast_text import to_bytes, to_text, to_uuid
from copier.wire.cast_time import (
    TIMESTAMP_CASTS,
    epoch_ms,
    epoch_s,
    epoch_us,
    iso,
    iso_date,
    iso_time,
    julian,
    whole_days,
)

__all__ = [
    "INT_RANGES",
    "MAX_FIELD_BYTES",
    "BrokenText",
    "Canonical",
    "CastError",
    "Filled",
    "caster",
    "epoch_ms",
    "epoch_s",
    "epoch_us",
    "iso",
    "iso_date",
    "iso_time",
    "json_container",
    "julian",
    "number_text",
    "to_bool",
    "to_bytes",
    "to_float",
    "to_float4",
    "to_inet",
    "to_int",
    "to_json",
    "to_numeric",
    "to_text",
    "to_uuid",
    "whole_days",
]

Canonical = object
"""int, float, bool, Decimal, str or bytes, depending on the type (see `copier.wire.binary`)."""

_PLAIN: dict[str, Callable[[Filled], Canonical]] = {
    "bool": to_bool,
    "float4": to_float4,
    "float8": to_float,
    "text": to_text,
    "bytea": to_bytes,
    "uuid": to_uuid,
    "json": partial(to_json, jsonb=False),
    "jsonb": to_json,
    "inet": to_inet,
    "cidr": partial(to_inet, cidr=True),
    "time": iso_time,
    "timestamptz": iso,
}


def caster(type: PgType, cast: str) -> Callable[[Filled], Canonical]:
    """Return the function of a (type, cast) pair; ValueError when the pair is not in `pgtype.CASTS`."""
    if cast not in CASTS.get(type.wire, ()):
        raise ValueError(f"no cast {cast!r} leads to {type.sql}")
    if type.wire in INT_RANGES:
        lo, hi = INT_RANGES[type.wire]
        return lambda v: to_int(v, lo, hi)
    if type.wire == "numeric" and type.args:
        return partial(to_numeric, precision=type.args[0], scale=type.args[1] if len(type.args) > 1 else 0)
    if type.wire in ("varchar", "bpchar"):
        # SQL spells bpchar without a length `char`, which is char(1).
        return partial(to_text, max_chars=type.args[0] if type.args else 1 if type.wire == "bpchar" else None)
    if type.wire == "date":
        return iso_date if cast == "iso" else _whole_day(TIMESTAMP_CASTS[cast])
    if type.wire == "timestamp" and cast == "iso":
        return partial(iso, zoned=False)
    if type.wire in ("timestamp", "timestamptz"):
        return TIMESTAMP_CASTS[cast]
    return _PLAIN.get(type.wire, to_numeric)


def _whole_day(timestamp: Callable[[Filled], int]) -> Callable[[Filled], int]:
    return lambda v: whole_days(timestamp(v))
