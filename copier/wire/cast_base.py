"""What every cast shares: the values it takes and the error it raises."""

from __future__ import annotations


class BrokenText(bytes):
    """TEXT of SQLite whose bytes are not valid UTF-8."""

    __slots__ = ()


class CastError(ValueError):
    """The value cannot become the type. `str()` is a short reason for a person; it never contains the value."""


Filled = int | float | str | bytes
"""A SQLite value that is not NULL."""

MAX_FIELD_BYTES = (1 << 30) - (1 << 20)
"""Longest field, and longest row, that travels: PostgreSQL allocates at most 1 GiB - 1 byte at once (MaxAllocSize in
`memutils.h`) for a row with its headers, in COPY as in storage; 1 MiB is left for those headers."""


def utf8(text: str) -> bytes:
    """Return `text` as UTF-8 that PostgreSQL can store; CastError on NUL, lone surrogates and over-long text."""
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise CastError("contains a lone surrogate, which UTF-8 cannot hold") from None
    if 0 in raw:
        raise CastError("contains a NUL character")
    return sized(raw)


def sized(raw: bytes) -> bytes:
    """Return `raw`; CastError when it is longer than a PostgreSQL field can be."""
    if len(raw) > MAX_FIELD_BYTES:
        raise CastError(f"longer than {MAX_FIELD_BYTES} bytes, the most PostgreSQL can hold in a field")
    return raw


def kind(v: Filled) -> str:
    """Name the storage class of `v` for a person: "a BLOB", "text", "an integer", "a real"."""
    if isinstance(v, BrokenText):
        return "text that is not valid UTF-8"
    if isinstance(v, bytes):
        return "a BLOB"
    if isinstance(v, str):
        return "text"
    return "a real number" if isinstance(v, float) else "an integer"
