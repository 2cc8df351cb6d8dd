"""The rows of one table on both sides, read with plain sqlite3 and as PostgreSQL's own text, in comparable form.

Written from PostgreSQL's and SQLite's documents, not from the copier: it shares no code with what it checks.
"""

from __future__ import annotations

import ipaddress
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from copier.plan.names import qualify, quote

from .expected import Value

Row = tuple[Any, ...]

_TRUE, _FALSE = ("1", "1.0", "t", "true", "y", "yes", "on"), ("0", "0.0", "f", "false", "n", "no", "off")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JULIAN_OF_EPOCH = 2_440_587.5


class Broken(bytes):
    """Text of the source that is not valid UTF-8."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Rows of the source as the target should hold them, and how many it cannot hold."""

    rows: Counter[Row]
    impossible: int


def read_source(path: Path, table: str, types: Mapping[str, str]) -> SourceRows:
    """Read a table; `types` are format_type spellings by column. A row with an impossible value is only counted."""
    rows: Counter[Row] = Counter()
    impossible = 0
    listed = ", ".join(map(quote, types))
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        connection.text_factory = _text
        for row in connection.execute(f"SELECT {listed} FROM {quote(table)}"):
            try:
                rows[tuple(_convert(value, kind) for value, kind in zip(row, types.values(), strict=True))] += 1
            except (ValueError, ArithmeticError):
                impossible += 1
    return SourceRows(rows, impossible)


async def read_target(
    pg: asyncpg.Connection, table: str, types: Mapping[str, str], schema: str = "public"
) -> Counter[Row]:
    """Read a table as text and bring it into the form of `read_source`."""
    listed = ", ".join(f"{quote(column)}::text" for column in types)
    async with pg.transaction():
        await pg.execute("SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL bytea_output = 'hex'")
        found = await pg.fetch(f"SELECT {listed} FROM {qualify(schema, table)}")
    kinds = list(types.values())
    return Counter(tuple(_read(value, kind) for value, kind in zip(row, kinds, strict=True)) for row in found)


async def column_types(pg: asyncpg.Connection, table: str, schema: str = "public") -> dict[str, str]:
    """Return column -> type as format_type() spells it, in the order of the table."""
    found = await pg.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
        "WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        qualify(schema, table),
    )
    return {row["attname"]: row["type"] for row in found}


def _text(raw: bytes) -> str | Broken:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Broken(raw)


def _convert(value: Value, kind: str) -> Any:
    if value is None:
        return None
    return _FROM_SOURCE[_base(kind)](value)


def _read(text: str | None, kind: str) -> Any:
    if text is None:
        return None
    return _FROM_TARGET[_base(kind)](text)


def _base(kind: str) -> str:
    return kind.partition("(")[0]


def _integer(value: Any) -> int:
    if isinstance(value, bytes) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(value)
    return int(value)


def _double(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise ValueError(value)
    return float(value)


def _numeric(value: Any) -> Decimal:
    if isinstance(value, bytes):
        raise ValueError(value)
    return Decimal(value if isinstance(value, str) else repr(value))


def _boolean(value: Any) -> bool:
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(value)
    return word in _TRUE


def _string(value: Any) -> str:
    if isinstance(value, bytes) or (isinstance(value, str) and "\0" in value):
        raise ValueError(value)
    return value if isinstance(value, str) else repr(value)


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes) else str(value).encode()


def _uuid(value: Any) -> UUID:
    return UUID(bytes=value) if isinstance(value, bytes) else UUID(value)


def _instant(value: Any) -> datetime:
    if isinstance(value, bytes):
        raise ValueError(value)
    if isinstance(value, str):
        found = datetime.fromisoformat(value)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    if isinstance(value, float):
        return _EPOCH + timedelta(milliseconds=round((value - _JULIAN_OF_EPOCH) * 86_400_000))
    unit = 1 if abs(value) >= 10**14 else 1000 if abs(value) >= 10**11 else 1_000_000
    return _EPOCH + timedelta(microseconds=value * unit)


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        raise ValueError(value)
    return _freeze(json.loads(value if isinstance(value, str) else repr(value), parse_float=Decimal))


def _freeze(value: Any) -> Any:
    """Return a hashable form in which true is not 1, and the order of keys does not count."""
    if isinstance(value, dict):
        return "object", frozenset((key, _freeze(one)) for key, one in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_freeze, value))
    return isinstance(value, bool), value


_FROM_SOURCE: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("bigint", "integer", "smallint"), _integer),
    "double precision": _double,
    "numeric": _numeric,
    "boolean": _boolean,
    **dict.fromkeys(("text", "character varying"), _string),
    "bytea": _bytes,
    "uuid": _uuid,
    "timestamp with time zone": _instant,
    "date": date.fromisoformat,
    "time without time zone": time.fromisoformat,
    **dict.fromkeys(("json", "jsonb"), _json),
    "inet": lambda value: ipaddress.ip_interface(value),
}

_FROM_TARGET: dict[str, Callable[[str], Any]] = {
    **_FROM_SOURCE,
    "double precision": float,
    "boolean": lambda text: text == "true",
    "bytea": lambda text: bytes.fromhex(text.removeprefix("\\x")),
}
