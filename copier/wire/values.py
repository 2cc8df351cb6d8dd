"""SQLite values outside the copy path: what the ledger keeps of a rejected row."""

from __future__ import annotations

from collections.abc import Sequence

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
"""How much of one value the ledger keeps, and up to which size it keeps one in its row; the key finds the rest."""

KEPT_ROW_BYTES = 6 * KEPT_BYTES
"""How long a row's values may be as JSON, where hex is twice as long and an escaped character up to six times: with
the guilty value beside them they must fit into one message, which PostgreSQL limits to 1 GiB."""

CUT = ", cut"
"""Behind the storage class of a value that is kept as its length alone."""


def original_bytes(value: Value) -> bytes | None:
    """Return a value's original bytes: text and blobs as stored, numbers as their text form."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return bytes(value[:KEPT_BYTES])
    return value.encode()[:KEPT_BYTES] if isinstance(value, str) else repr(value).encode()


def value_to_json(value: Value) -> list[str]:
    """Return [storage class, text], exact: reals as hex floats, blobs and broken text as hex."""
    kind = storage_class(value)
    if value is None:
        return [kind, ""]
    if isinstance(value, float):
        return [kind, value.hex()]
    if isinstance(value, BrokenText):
        return ["broken text", value.hex()]
    if isinstance(value, bytes):
        return [kind, value.hex()]
    return [kind, str(value)]


def row_to_json(values: Sequence[Value]) -> list[list[str]]:
    """Return each value as `value_to_json` does; of those too large to be kept, storage class and length.

    Too large is one over KEPT_BYTES, and, the largest first, what is over KEPT_ROW_BYTES in all.
    """
    sizes = [_json_bytes(value) for value in values]
    excess, cut = sum(sizes) - KEPT_ROW_BYTES, set[int]()
    for i in sorted(range(len(values)), key=sizes.__getitem__, reverse=True):
        value = values[i]
        if isinstance(value, str | bytes) and (excess > 0 or len(value) > KEPT_BYTES):
            cut.add(i)
            excess -= sizes[i]
    return [_cut(value) if i in cut else value_to_json(value) for i, value in enumerate(values)]


def is_cut(pair: list[str]) -> bool:
    """Whether `row_to_json` kept no more of the value than its length."""
    return pair[0].endswith(CUT)


def _json_bytes(value: Value) -> int:
    """How long a value may become as JSON; numbers do not count."""
    if isinstance(value, bytes):
        return 2 * len(value)
    return 6 * len(value) if isinstance(value, str) else 0


def _cut(value: Value) -> list[str]:
    assert isinstance(value, str | bytes)
    return [storage_class(value) + CUT, str(len(value))]


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
