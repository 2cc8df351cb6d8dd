"""SQLite values outside the copy path: what the ledger keeps of a rejected row."""

from __future__ import annotations

from copier.plan.source import Value
from copier.wire.cast import BrokenText


def storage_class(value: Value) -> str:
    """Return the SQLite storage class of a value."""
    if value is None:
        return "null"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "real"
    return "text" if isinstance(value, str | BrokenText) else "blob"


KEPT_BYTES = 128 << 20
"""How much of one value the ledger keeps: hex doubles it, and a field takes 1 GiB; the key finds the rest."""


def original_bytes(value: Value) -> bytes | None:
    """Return a value's original bytes: text and blobs as stored, numbers as their text form."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return bytes(value[:KEPT_BYTES])
    return value.encode()[:KEPT_BYTES] if isinstance(value, str) else repr(value).encode()


def value_to_json(value: Value) -> list[str]:
    """Return [storage class, text], exact: reals as hex floats, blobs and broken text as hex.

    Of a value over KEPT_BYTES the text is its length.
    """
    kind = storage_class(value)
    if isinstance(value, str | bytes) and len(value) > KEPT_BYTES:
        return [f"{kind}, cut", str(len(value))]
    if value is None:
        return [kind, ""]
    if isinstance(value, float):
        return [kind, value.hex()]
    if isinstance(value, BrokenText):
        return ["broken text", value.hex()]
    if isinstance(value, bytes):
        return [kind, value.hex()]
    return [kind, str(value)]


def value_from_json(pair: list[str]) -> Value:
    """Return the value that `value_to_json` wrote."""
    kind, text = pair
    match kind:
        case "integer":
            return int(text)
        case "real":
            return float.fromhex(text)
        case "text":
            return text
        case "broken text":
            return BrokenText(bytes.fromhex(text))
        case "blob":
            return bytes.fromhex(text)
    return None
