"""Rows of b-tree pages, decoded: their values as SQLite would bind them again, or the reason why they cannot be read.

Source: SQLite docs, "Database File Format" 1.6 (cells, overflow pages), 2.1 (record format).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from copier.sqlite.btree import INDEX_INTERIOR, TABLE_LEAF, Damaged, DiskFailed, PageFile, TreePage, read_varint

Encoding = Literal["utf-8", "utf-16-le", "utf-16-be"]

_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@dataclass(frozen=True, slots=True)
class StoredText:
    """Text as its bytes stand in the file, in the file's encoding, valid or not."""

    raw: bytes

    def decode(self, encoding: Encoding) -> str:
        """Return it as Python text, with a mark for what is not valid."""
        return self.raw.decode(encoding, errors="replace")


Stored = int | float | bytes | StoredText | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `rowid` is 0 in an index b-tree."""

    rowid: int
    values: tuple[Stored, ...]
    whole: bool = True
    """False: its length is wrong, or what lies behind its values is; SQLite would not read it."""


def read_row(file: PageFile, page: TreePage, place: int) -> Row:
    """Return the row of a cell: of a table's leaf, or of any page of an index b-tree. Raises Damaged."""
    at = page.cell(place)
    if page.kind == INDEX_INTERIOR:
        at += 4
    payload_bytes, at = read_varint(page.data, at)
    rowid = 0
    if page.kind == TABLE_LEAF:
        rowid, at = read_varint(page.data, at)
    try:
        payload = _payload(file, page, at, payload_bytes)
        values, used_bytes = read_record(payload)
        return Row(rowid, values, used_bytes == len(payload))
    except DiskFailed:
        raise
    except Damaged:
        # its length may be what is wrong: its head tells the length of its values too
        values, _ = read_record(page.data[at : at + _most_local_bytes(file, page)])
        return Row(rowid, values, whole=False)


def _payload(file: PageFile, page: TreePage, at: int, payload_bytes: int) -> bytes:
    if not 0 < payload_bytes <= file.count * file.usable_bytes:
        raise Damaged(f"a cell of page {page.number} has no sensible length")
    local = _local_bytes(file.usable_bytes, _most_local_bytes(file, page), payload_bytes)
    payload = page.data[at : at + local]
    if len(payload) < local:
        raise Damaged(f"a cell of page {page.number} is cut short")
    return payload + _overflow(file, page, at + local, payload_bytes - local) if local < payload_bytes else payload


def _most_local_bytes(file: PageFile, page: TreePage) -> int:
    """Return how much of a payload stands in the cell itself at most."""
    return file.usable_bytes - 35 if page.kind == TABLE_LEAF else (file.usable_bytes - 12) * 64 // 255 - 23


def _local_bytes(usable_bytes: int, most: int, payload_bytes: int) -> int:
    """Return how much of a payload stands in the cell itself."""
    if payload_bytes <= most:
        return payload_bytes
    least = (usable_bytes - 12) * 32 // 255 - 23
    share = least + (payload_bytes - least) % (usable_bytes - 4)
    return share if share <= most else least


def _overflow(file: PageFile, page: TreePage, at: int, left: int) -> bytes:
    if at + 4 > len(page.data):
        raise Damaged(f"a cell of page {page.number} is cut short")
    number = int.from_bytes(page.data[at : at + 4])
    parts: list[bytes] = []
    seen: set[int] = set()
    while left > 0:
        if number in seen:
            raise Damaged(f"overflow page {number} comes twice in one row")
        seen.add(number)
        data = file.read(number)
        part = data[4 : 4 + left]
        if len(part) < min(left, file.usable_bytes - 4):
            raise Damaged(f"overflow page {number} is cut short")
        parts.append(part)
        left -= len(part)
        number = int.from_bytes(data[:4])
    return b"".join(parts)


def read_record(payload: bytes) -> tuple[tuple[Stored, ...], int]:
    """Return the values of a record, at least one, and how many bytes they take. Raises Damaged."""
    head_bytes, at = read_varint(payload, 0)
    if not at <= head_bytes <= len(payload):
        raise Damaged("the head of a record does not fit")
    values: list[Stored] = []
    body = head_bytes
    while at < head_bytes:
        kind, at = read_varint(payload, at)
        value, body = _value(payload, kind, body)
        values.append(value)
    if at != head_bytes or not values:
        raise Damaged("the head of a record does not fit")
    return tuple(values), body


def _value(payload: bytes, kind: int, at: int) -> tuple[Stored, int]:
    if kind in (0, 8, 9):
        return None if kind == 0 else kind - 8, at
    if kind in (10, 11) or kind < 0:
        raise Damaged("a value is of no known type")
    size = _INTEGER_BYTES.get(kind) or (8 if kind == 7 else (kind - 12) // 2)
    raw = payload[at : at + size]
    if len(raw) < size:
        raise Damaged("a value is cut short")
    if kind == 7:
        return struct.unpack(">d", raw)[0], at + size
    if kind < 7:
        return int.from_bytes(raw, signed=True), at + size
    return (StoredText(raw) if kind % 2 else raw), at + size
