"""Casts to text, bytea and uuid."""

from __future__ import annotations

import re

from copier.wire.cast_base import BrokenText, CastError, Filled, sized, utf8
from copier.wire.cast_number import number_text

_UUID = re.compile(
    r"(?:urn:uuid:)?(\{)?(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})(?(1)\})",
    re.ASCII | re.IGNORECASE,
)


def to_text(v: Filled, max_chars: int | None = None) -> str:
    """Return text PostgreSQL can store, at most `max_chars` code points; numbers in their shortest exact form.

    CastError for NUL characters, invalid UTF-8, a BLOB, and text that is too long.
    """
    if isinstance(v, str):
        utf8(v)
        text = v
    elif isinstance(v, int | float):
        text = number_text(v)
    elif isinstance(v, BrokenText):
        raise CastError("not valid UTF-8")
    else:
        raise CastError("a BLOB in a text column")
    if max_chars is not None and len(text) > max_chars:
        raise CastError(f"longer than {max_chars} character{'s' if max_chars != 1 else ''}")
    return text


def to_bytes(v: Filled) -> bytes:
    """Return the bytes of a BLOB or of the text as SQLite stores it; numbers give the bytes of their text form."""
    if isinstance(v, bytes):
        return sized(bytes(v))
    if isinstance(v, str):
        try:
            return sized(v.encode())
        except UnicodeEncodeError:
            raise CastError("contains a lone surrogate, which UTF-8 cannot hold") from None
    return number_text(v).encode()


def to_uuid(v: Filled) -> bytes:
    """Return the 16 bytes of a UUID: hyphenated or 32 hex digits, in braces or with urn:uuid: or plain, or 16 bytes."""
    if isinstance(v, str) and _UUID.fullmatch(v) is not None:
        return bytes.fromhex(v.lower().removeprefix("urn:uuid:").strip("{}").replace("-", ""))
    if isinstance(v, bytes) and not isinstance(v, BrokenText) and len(v) == 16:
        return bytes(v)
    raise CastError("not a UUID")
