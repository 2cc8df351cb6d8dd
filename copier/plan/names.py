"""Identifiers: the one quoting function, and the shortening of names PostgreSQL cannot hold."""

from __future__ import annotations

import hashlib
import re

MAX_IDENTIFIER_BYTES = 63
"""NAMEDATALEN - 1 of every stock PostgreSQL build (PostgreSQL docs, "Lexical Structure")."""


def quote(name: str) -> str:
    """Return `name` as a quoted identifier; SQLite and PostgreSQL share this form."""
    return '"' + name.replace('"', '""') + '"'


def qualify(schema: str, name: str) -> str:
    """Return `"schema"."name"`."""
    return f"{quote(schema)}.{quote(name)}"


def literal(text: str) -> str:
    """Return `text` as a PostgreSQL string literal that no setting can misread."""
    doubled = text.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in text else f"'{doubled}'"


def shorten(name: str) -> str:
    """Return `name`, cut to 63 bytes with a hash of the whole at its end when it is longer."""
    raw = name.encode()
    if len(raw) <= MAX_IDENTIFIER_BYTES:
        return name
    tag = "_" + hashlib.sha256(raw).hexdigest()[:8]
    head = raw[: MAX_IDENTIFIER_BYTES - len(tag)].decode(errors="ignore")
    return head + tag


def fold(name: str, style: str) -> str:
    """Return `name` in the given style: `exact`, `lower`, or `snake` (`OrderDetails` -> `order_details`)."""
    if style == "exact":
        return name
    if style == "snake":
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
        name = re.sub(r"[^0-9A-Za-z_\u0080-\U0010ffff]+", "_", name).strip("_") or "_"
    return name.lower()
