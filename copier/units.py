"""Sizes, counts and durations, as people write and read them; text made safe for a terminal."""

from __future__ import annotations

import re

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(text: str) -> int:
    """Return the bytes in `8MiB`, `32M` or `1000000`; K, M, G and T count in 1024s, with or without `iB`.

    Raises ValueError for anything else.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError("write a size as 8MiB, 32M or 1000000")
    number, unit, _ = found.groups()
    return int(float(number) * 1024 ** _POWERS[unit.lower()])


def count(n: int) -> str:
    """Return `1234567` as `1,234,567`."""
    return f"{n:,}"


def plural(n: int, noun: str) -> str:
    """Return `1 row`, `2 rows`, `0 indexes`, `3 foreign keys`."""
    if n == 1:
        return f"1 {noun}"
    if noun.endswith(("s", "x", "ch")):
        return f"{n:,} {noun}es"
    return f"{n:,} {noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{n:,} {noun}s"


def size(n: float) -> str:
    """Return bytes as `812 B`, `3.4 kB`, `12.0 MB` or `1.2 GB` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} B" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def duration(seconds: float) -> str:
    """Return `0.4 s`, `12 s`, `3 min 05 s` or `1 h 02 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def printable(text: str) -> str:
    """Return `text` on one line, with nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else " " if c in "\r\n\t" else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
