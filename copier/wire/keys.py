"""Keyset keys as JSON text, exactly: for the ledger, reports and messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from copier.plan.model import TablePlan
from copier.plan.source import Key, Value
from copier.wire.cast import BrokenText
from copier.wire.values import CUT, is_cut, value_from_json


def key_to_json(key: Key) -> str:
    """Return the key as a JSON array.

    Integers, and text without NUL, are themselves; other values are tagged objects: {"real": hex float},
    {"text": hex of UTF-8}, {"broken": hex of bytes that are no UTF-8}, {"blob": hex}.
    """
    return "[" + ",".join(_value_to_json(value) for value in key) + "]"


def _value_to_json(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    tagged: dict[str, str]
    if isinstance(value, float):
        tagged = {"real": value.hex()}
    elif isinstance(value, BrokenText):
        tagged = {"broken": value.hex()}
    elif isinstance(value, bytes):
        tagged = {"blob": value.hex()}
    elif "\0" in value:
        tagged = {"text": value.encode().hex()}
    else:
        return orjson.dumps(value).decode()
    return orjson.dumps(tagged).decode()


def key_from_json(text: str) -> Key:
    """Return the key that `key_to_json` wrote; ValueError when it did not write this."""
    values = orjson.loads(text)
    if not isinstance(values, list):
        raise ValueError("a key is a JSON array")
    return tuple(_value_from_json(value) for value in values)


def _value_from_json(value: Any) -> Value:
    if value is None or isinstance(value, int | str):
        return value
    match value:
        case {"real": str(text)}:
            return float.fromhex(text)
        case {"text": str(text)}:
            return bytes.fromhex(text).decode()
        case {"broken": str(text)}:
            return BrokenText(bytes.fromhex(text))
        case {"blob": str(text)}:
            return bytes.fromhex(text)
    raise ValueError("not a key value")


def show_key(names: tuple[str, ...], key: Key) -> str:
    """Return the key for a person: `id=5`, `a='x', b=x'00ff'`."""
    return ", ".join(f"{name}={show_value(value)}" for name, value in zip(names, key, strict=False))


def show_row(table: TablePlan, values: Mapping[str, Value], key: Key) -> str:
    """Name a row for a person: by the columns that identify it, else by its keyset key; `values` by source column."""
    names = table.identity_columns
    if names and all(name in values for name in names):
        return show_key(names, tuple(values[name] for name in names))
    return show_key(table.key, key)


def show_stored(pair: list[str]) -> str:
    """Return a value for a person as the ledger has it in a row: of one too large for it there is only the length."""
    kind = pair[0].removesuffix(CUT)
    return f"({kind} of length {int(pair[1]):,})" if is_cut(pair) else show_value(value_from_json(pair))


def show_value(value: Value, limit: int = 60) -> str:
    """Return a value for a person, printable, quoted as in SQL, at most about `limit` characters."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = value[:limit].hex()
        return f"x'{text[:limit]}'" + ("..." if len(value) * 2 > limit else "")
    if isinstance(value, str):
        shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value[:limit])
        return f"'{shown}'" + ("..." if len(value) > limit else "")
    return repr(value)
