"""Reading binary COPY: a stream into field payloads, and a payload into text for a person."""

from __future__ import annotations

import ipaddress
import struct
import uuid
from collections.abc import Callable

from copier.plan.pgtype import PgType
from copier.wire.binary import SIGNATURE
from copier.wire.cast_time import US_PER_DAY, US_PER_S
from copier.wire.field import (
    NUMERIC_INFINITY,
    NUMERIC_MINUS_INFINITY,
    NUMERIC_NAN,
    NUMERIC_NEGATIVE,
    STRUCTS,
)

Fields = tuple[bytes | None, ...]

_int16_at = struct.Struct(">h").unpack_from
_int32_at = struct.Struct(">i").unpack_from
_FIXED_HEADER_BYTES = len(SIGNATURE) + 8
_CRITICAL_FLAGS = 0xFFFF0000


class TupleReader:
    """Splits a binary COPY OUT stream, fed in pieces of any size, into rows of field payloads (None for NULL).

    Holds no more than the unfinished row. ValueError when the stream is not what COPY writes for `columns` columns.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._needed_bytes = _FIXED_HEADER_BYTES
        """Bytes without which nothing more can be read: a large field is not walked again for each of its pieces."""
        self._started = False
        self.finished = False
        """Whether the trailer was read."""

    def feed(self, data: bytes | bytearray | memoryview) -> list[Fields]:
        """Return the rows that `data` completes."""
        if self.finished and data:
            raise ValueError("data after the trailer of a binary COPY")
        self._pieces.append(bytes(data))
        self._held_bytes += len(data)
        if self._held_bytes < self._needed_bytes:
            return []
        held = b"".join(self._pieces)
        start = 0 if self._started else self._skip_header(held)
        rows: list[Fields] = []
        if self._started:
            start = self._walk(held, start, rows)
        self._pieces = [held[start:]]
        self._held_bytes = len(held) - start
        if self.finished and self._held_bytes:
            raise ValueError("data after the trailer of a binary COPY")
        return rows

    def _skip_header(self, held: bytes) -> int:
        if not held.startswith(SIGNATURE):
            raise ValueError("not a binary COPY: the signature is missing")
        flags, extension_bytes = struct.unpack_from(">Ii", held, len(SIGNATURE))
        if flags & _CRITICAL_FLAGS:
            raise ValueError(f"binary COPY with unknown flags {flags:#x}")
        if extension_bytes < 0:
            raise ValueError("binary COPY with a malformed header")
        end = _FIXED_HEADER_BYTES + int(extension_bytes)
        if len(held) < end:
            self._needed_bytes = end
            return 0
        self._started = True
        return end

    def _walk(self, held: bytes, start: int, rows: list[Fields]) -> int:
        """Append the whole rows from `start` on to `rows`; return where the unfinished one begins."""
        size, columns = len(held), range(self._columns)
        at = start
        try:
            while True:
                (count,) = _int16_at(held, start)
                at = start + 2
                if count != self._columns:
                    return self._end(count, at)
                row: list[bytes | None] = []
                for _ in columns:
                    (length,) = _int32_at(held, at)
                    at += 4
                    if length >= 0:
                        end = at + length
                        row.append(held[at:end])
                        at = end
                    else:
                        row.append(None)
                        _check_null(length)
                if at > size:
                    self._needed_bytes = at - start
                    return start
                rows.append(tuple(row))
                start = at
        except struct.error:  # the next length word is not here yet, or lies behind a field that is not
            self._needed_bytes = max(at + 2, size + 1) - start
            return start

    def _end(self, count: int, at: int) -> int:
        if count != -1:
            raise ValueError(f"binary COPY row of {count} fields where {self._columns} were expected")
        self.finished = True
        return at


def _check_null(length: int) -> None:
    if length != -1:
        raise ValueError(f"binary COPY field of length {length}")


def decode_field(type: PgType, payload: bytes) -> str:
    """Return the payload of one field as text for a person, close to how psql shows it.

    A payload that is not one of its type is shown as hex: this serves error messages, so it raises nothing.
    """
    try:
        return _DECODERS[type.wire](payload)
    except (ValueError, KeyError, IndexError, struct.error):
        return "\\x" + payload.hex()


def decode_numeric(payload: bytes) -> str:
    """Return the text of a numeric payload, without exponent; ValueError or struct.error when it is none."""
    count, weight, sign, scale = struct.unpack_from(">HhHH", payload)
    if sign in _SPECIAL_NUMERICS:
        return _SPECIAL_NUMERICS[sign]
    words = struct.unpack_from(f">{count}H", payload, 8)
    digits = "".join(f"{word:04d}" for word in words)
    point = 4 * (weight + 1)
    if point <= 0:
        digits, point = "0" * (4 - point) + digits, 4
    digits = digits.ljust(point + scale, "0")
    whole = digits[:point].lstrip("0") or "0"
    text = f"{whole}.{digits[point : point + scale]}" if scale else whole
    return "-" + text if sign == NUMERIC_NEGATIVE else text


_SPECIAL_NUMERICS = {NUMERIC_NAN: "NaN", NUMERIC_INFINITY: "Infinity", NUMERIC_MINUS_INFINITY: "-Infinity"}


def _unpacked(wire: str) -> Callable[[bytes], str]:
    form = STRUCTS[wire]
    return lambda payload: str(form.unpack(payload)[0])


def _float4(payload: bytes) -> str:
    (value,) = STRUCTS["float4"].unpack(payload)
    texts = (f"{value:.{digits}g}" for digits in range(6, 10))
    return next((text for text in texts if STRUCTS["float4"].pack(float(text)) == payload), str(value))


def _bool(payload: bytes) -> str:
    return "true" if STRUCTS["bool"].unpack(payload)[0] else "false"


def _inet(payload: bytes) -> str:
    _, bits, cidr, size = payload[:4]
    raw = payload[4:]
    if size != len(raw):
        raise ValueError
    address = ipaddress.ip_address(raw)
    return str(address) if bits == 8 * size and not cidr else f"{address}/{bits}"


def _timestamp(zone: str) -> Callable[[bytes], str]:
    def decode(payload: bytes) -> str:
        (us,) = STRUCTS["timestamp"].unpack(payload)
        if us in (_INT64_MIN, _INT64_MAX):
            return "infinity" if us > 0 else "-infinity"
        days, us_of_day = divmod(us, US_PER_DAY)
        day, era = _civil(days)
        return f"{day} {_clock(us_of_day)}{zone}{era}"

    return decode


_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1


def _date(payload: bytes) -> str:
    (days,) = STRUCTS["date"].unpack(payload)
    if days in (_INT32_MIN, _INT32_MAX):
        return "infinity" if days > 0 else "-infinity"
    return "".join(_civil(days))


def _time(payload: bytes) -> str:
    return _clock(STRUCTS["time"].unpack(payload)[0])


def _clock(us: int) -> str:
    seconds, fraction = divmod(us, US_PER_S)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") if fraction else text


def _civil(days: int) -> tuple[str, str]:
    """Return the proleptic Gregorian date `days` after 2000-01-01, of any year, and " BC" where it is one."""
    era, day = divmod(days + 730_425, 146_097)  # days since 0000-03-01; 400 years have 146,097 days
    year_of_era = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year_of_era + year_of_era // 4 - year_of_era // 100
    march_month = (5 * day + 2) // 153
    year = year_of_era + 400 * era + (march_month >= 10)
    month = march_month + 3 if march_month < 10 else march_month - 9
    day_of_month = day - (153 * march_month + 2) // 5 + 1
    shown = year if year > 0 else 1 - year
    return f"{shown:04d}-{month:02d}-{day_of_month:02d}", "" if year > 0 else " BC"


_DECODERS: dict[str, Callable[[bytes], str]] = {
    **{wire: _unpacked(wire) for wire in ("int2", "int4", "int8", "float8")},
    **dict.fromkeys(("text", "varchar", "bpchar", "json"), bytes.decode),
    "bool": _bool,
    "float4": _float4,
    "numeric": decode_numeric,
    "bytea": lambda payload: "\\x" + payload.hex(),
    "uuid": lambda payload: str(uuid.UUID(bytes=payload)),
    "jsonb": lambda payload: payload[1:].decode(),
    "inet": _inet,
    "cidr": _inet,
    "timestamptz": _timestamp("+00"),
    "timestamp": _timestamp(""),
    "date": _date,
    "time": _time,
}
