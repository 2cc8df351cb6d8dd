"""A whole column of a page at once: the fast paths, for clean values only.

A fast path takes values of which none is NULL and returns their payloads, exactly as the reference path would. Any
value it does not know makes it raise one of MISSES, and the caller then goes the reference path for that column. It
never decides what a bad value means.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import orjson

from copier.plan.pgtype import PgType
from copier.plan.source import Value
from copier.wire.cast import INT_RANGES, MAX_FIELD_BYTES, BrokenText, CastError
from copier.wire.cast_json import check_jsonb
from copier.wire.cast_time import TIMESTAMP_END_US, TIMESTAMP_MIN_US, UNIX_EPOCH_US
from copier.wire.field import STRUCTS, ColumnSpec, FieldEncoder

MISSES = (CastError, ValueError, TypeError, AttributeError, KeyError, OverflowError, struct.error)
"""What a fast path raises when it does not know a value (CastError and Unicode errors are ValueErrors)."""

FastColumn = Callable[[Sequence[Value]], Sequence[bytes]]

_NUL = 0
_BOOLS: dict[Value, bytes] = {
    **dict.fromkeys((1, "1", "t", "true", "True", "TRUE", "yes", "y", "on"), b"\x01"),
    **dict.fromkeys((0, "0", "f", "false", "False", "FALSE", "no", "n", "off"), b"\x00"),
}
_EPOCH_SCALES = {"epoch_s": 1_000_000, "epoch_ms": 1000, "epoch_us": 1}
_ISO_COLUMN = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{6}|\.[0-9]{3})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-5]):[0-5][0-9])?)?\n)*"
)
_EPOCH_NAIVE = datetime(2000, 1, 1)
_EPOCH_UTC = datetime(2000, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def fast_column(spec: ColumnSpec, field: FieldEncoder) -> FastColumn:
    """Return the fast path of a column; `field` is its reference path."""
    wire = spec.type.wire
    if wire in INT_RANGES:
        return _integers(STRUCTS[wire])
    if spec.type.is_text:
        return _texts(spec.type)
    if wire in ("json", "jsonb"):
        return _jsonb if wire == "jsonb" else _json
    if spec.cast in _EPOCH_SCALES and wire != "date":
        return _epochs(_EPOCH_SCALES[spec.cast])
    if spec.cast == "iso" and wire in ("timestamp", "timestamptz"):
        return _iso if wire == "timestamptz" else _iso_naive
    plain: dict[str, FastColumn] = {"bool": _bools, "float8": _doubles, "bytea": _blobs, "uuid": _uuids}
    if wire == "float4":  # 0.0 and -0.0 are one dict key and two payloads
        return lambda column: [field.payload(v) for v in column]  # type: ignore[arg-type]
    return plain[wire] if wire in plain else _distinct(field)


def _integers(form: struct.Struct) -> FastColumn:
    return lambda column: list(map(form.pack, column))


def _doubles(column: Sequence[Value]) -> list[bytes]:
    if set(map(type, column)) != {float}:  # struct would round a large integer
        raise TypeError
    return list(map(STRUCTS["float8"].pack, column))


def _bools(column: Sequence[Value]) -> list[bytes]:
    return list(map(_BOOLS.__getitem__, column))


def _blobs(column: Sequence[Value]) -> Sequence[bytes]:
    if set(map(type, column)) - {bytes, BrokenText}:
        raise TypeError
    if sum(map(len, column)) > MAX_FIELD_BYTES:  # type: ignore[arg-type]
        raise OverflowError
    return column  # type: ignore[return-value]


def _texts(type: PgType) -> FastColumn:
    max_chars = type.args[0] if type.args else 1 if type.wire == "bpchar" else None

    def texts(column: Sequence[str]) -> list[bytes]:
        encoded = [v.encode() for v in column]
        _check_text(b"".join(encoded))
        if max_chars is not None and max(map(len, column)) > max_chars:
            raise OverflowError
        return encoded

    return texts  # type: ignore[return-value]


def _check_text(joined: bytes) -> None:
    if _NUL in joined or len(joined) > MAX_FIELD_BYTES:
        raise ValueError


def _uuids(column: Sequence[Value]) -> list[bytes]:
    """Take UUIDs of one length, 36 or 32: all in one `fromhex`, which skips blanks, so lengths are checked as well."""
    count = len(column)
    text = "".join(column)  # type: ignore[arg-type]
    lengths = set(map(len, column))  # type: ignore[arg-type]
    if lengths == {36}:
        hyphens = "-" * count
        for place in (8, 13, 18, 23):
            if text[place::36] != hyphens:
                raise ValueError
        text = text.replace("-", "")
    elif lengths != {32}:
        raise ValueError
    raw = bytes.fromhex(text)
    if len(raw) != 16 * count:
        raise ValueError
    return [v for (v,) in _UUID_BYTES.iter_unpack(raw)]


_UUID_BYTES = struct.Struct("16s")


def _json(column: Sequence[Value]) -> list[bytes]:
    encoded = [v.encode() for v in column]  # type: ignore[union-attr]
    _check_text(b"".join(encoded))
    for raw in encoded:
        orjson.loads(raw)
    return encoded


def _jsonb(column: Sequence[Value]) -> list[bytes]:
    encoded = _json(column)
    joined = b"".join(encoded)
    if any(mark in joined for mark in _JSONB_MARKS) or max(map(len, encoded)) > 16000:
        for v, raw in zip(column, encoded, strict=True):
            check_jsonb(v, len(raw), True)  # type: ignore[arg-type]
    return [b"\x01" + raw for raw in encoded]


_JSONB_MARKS = (b"\\u0000", b"e-", b"E-", b"0e", b"0E")
"""What `check_jsonb` looks for in JSON within the range of doubles."""


def _epochs(scale: int) -> FastColumn:
    pack = STRUCTS["timestamp"].pack
    low = -((-TIMESTAMP_MIN_US - UNIX_EPOCH_US) // scale)
    high = (TIMESTAMP_END_US + UNIX_EPOCH_US - 1) // scale

    def epochs(column: Sequence[int]) -> list[bytes]:
        if min(column) < low or max(column) > high:
            raise OverflowError
        return [pack(v * scale - UNIX_EPOCH_US) for v in column]

    return epochs  # type: ignore[return-value]


def _iso(column: Sequence[Value]) -> list[bytes]:
    if _ISO_COLUMN.fullmatch("\n".join(column) + "\n") is None:  # type: ignore[arg-type]
        raise ValueError
    pack = STRUCTS["timestamp"].pack
    return [pack(_microseconds(datetime.fromisoformat(v))) for v in column]  # type: ignore[arg-type]


def _microseconds(moment: datetime) -> int:
    return (moment - (_EPOCH_NAIVE if moment.tzinfo is None else _EPOCH_UTC)) // _US


def _iso_naive(column: Sequence[Value]) -> list[bytes]:
    if any(_ZONE_SIGN.search(v, 10) for v in column):  # type: ignore[arg-type]
        raise ValueError
    return _iso(column)


_ZONE_SIGN = re.compile("[+-]")


def _distinct(field: FieldEncoder) -> FastColumn:
    """Take columns of one storage class by the reference path, each distinct value once."""

    def distinct(column: Sequence[Value]) -> list[bytes]:
        if len(set(map(type, column))) != 1:  # 1 and 1.0 are one dict key, and may be two payloads
            raise TypeError
        payloads = {v: field.payload(v) for v in set(column)}  # type: ignore[arg-type]
        return [payloads[v] for v in column]

    return distinct
