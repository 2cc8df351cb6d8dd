"""What a declared type of SQLite means: its family and its length, or precision and scale."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Family = Literal[
    "int", "real", "decimal", "bool", "text", "blob", "date", "datetime", "time", "uuid", "json", "inet", "none"
]


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared type, read. `args` are the numbers in parentheses."""

    family: Family
    args: tuple[int, ...] = ()
    sized: bool = False
    """A character type whose length means something: VARCHAR(20), not TEXT(20)."""


_EXACT: dict[str, Family] = {
    **dict.fromkeys(("BOOL", "BOOLEAN", "BIT", "LOGICAL"), "bool"),
    **dict.fromkeys(("UUID", "GUID", "UNIQUEIDENTIFIER"), "uuid"),
    **dict.fromkeys(("JSON", "JSONB", "JSONTEXT", "JSON TEXT"), "json"),
    **dict.fromkeys(("INET", "CIDR", "IP", "IPADDRESS", "IP_ADDRESS", "IPADDR"), "inet"),
    **dict.fromkeys(("DATE", "DATEONLY"), "date"),
    **dict.fromkeys(("TIME", "TIMEONLY", "TIME WITHOUT TIME ZONE"), "time"),
    **dict.fromkeys(
        (
            *("DATETIME", "DATETIME2", "SMALLDATETIME", "DATETIMEOFFSET", "TIMESTAMP", "TIMESTAMPTZ", "DATE_TIME"),
            *("TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITHOUT TIME ZONE", "TIMESTAMP_NTZ", "DATETIME TEXT"),
        ),
        "datetime",
    ),
    **dict.fromkeys(
        ("DECIMAL", "NUMERIC", "DEC", "NUMBER", "MONEY", "SMALLMONEY", "CURRENCY", "FIXED", "DECIMAL TEXT"), "decimal"
    ),
    **dict.fromkeys(("SERIAL", "BIGSERIAL", "SMALLSERIAL"), "int"),
    **dict.fromkeys(("BYTEA", "BINARY", "VARBINARY", "IMAGE", "RAW", "LONG RAW", "BYTES"), "blob"),
    **dict.fromkeys(("STRING", "NAME", "CITEXT", "SYSNAME", "XML", "ENUM"), "text"),
    **dict.fromkeys(("POINT", "INTERVAL", "ANY", "GEOMETRY", ""), "none"),
}

_CONTAINED: tuple[tuple[str, Family], ...] = (
    ("INT", "int"),
    ("CHAR", "text"),
    ("CLOB", "text"),
    ("TEXT", "text"),
    ("BLOB", "blob"),
    ("REAL", "real"),
    ("FLOA", "real"),
    ("DOUB", "real"),
)
"""SQLite's own affinity rules, in their order (sqlite.org/datatype3.html, 3.1)."""

_FORM = re.compile(r"\s*([^(]*?)\s*(?:\(\s*([+-]?\d+)\s*(?:,\s*([+-]?\d+)\s*)?[^)]*\)\s*(.*?))?\s*", re.S)


def read_declared(text: str) -> Declared:
    """Read a declared type; anything unknown is of family `none`, as if nothing had been declared."""
    match = _FORM.fullmatch(text)
    if match is None:
        return Declared("none")
    base = " ".join(f"{match.group(1)} {match.group(4) or ''}".upper().split())
    args = tuple(int(number) for number in match.group(2, 3) if number is not None)
    contained: Family = next((found for part, found in _CONTAINED if part in base), "none")
    family = _EXACT.get(base, contained)
    return Declared(family, args, sized=family == "text" and "CHAR" in base)
