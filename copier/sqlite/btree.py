"""The b-tree pages of a SQLite file, read without SQLite: where it stops at damage, the rest is still to be found.

Every number in a page may be wrong: what does not fit raises `Damaged`, and nothing else.

Source: SQLite docs, "Database File Format" 1.3 (header), 1.5 (freelist), 1.6 (b-tree pages).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from copier.sqlite.header import RawFile

TABLE_INTERIOR, TABLE_LEAF = 0x05, 0x0D
INDEX_INTERIOR, INDEX_LEAF = 0x02, 0x0A

_KINDS = {
    TABLE_INTERIOR: "the inside of a table",
    TABLE_LEAF: "rows",
    INDEX_INTERIOR: "the inside of an index",
    INDEX_LEAF: "entries of an index",
}
_FILE_HEADER_BYTES = 100
_LOCK_BYTE = 1 << 30
_SIGN = 1 << 63


MALFORMED = "database disk image is malformed"
_IO_ERROR = "disk I/O error"


class Damaged(Exception):
    """A page, cell or record cannot be read; `str()` says why, `sentence` what SQLite says of the like."""

    sentence = MALFORMED


class DiskFailed(Damaged):
    """The disk does not give a page."""

    sentence = _IO_ERROR


class PageFile:
    """The pages of a file that nobody changes meanwhile, numbered from 1; the file's size counts, not its header."""

    def __init__(self, raw: RawFile) -> None:
        head = raw.read_at(0, _FILE_HEADER_BYTES).ljust(_FILE_HEADER_BYTES, b"\0")
        self._raw = raw
        self.page_bytes = raw.header().page_size_bytes
        self.usable_bytes = max(0, self.page_bytes - head[20])
        self.count = -(-raw.size_bytes() // max(1, self.page_bytes))
        self._freelist: tuple[int, int] = struct.unpack_from(">II", head, 32)

    def read(self, number: int) -> bytes:
        """Return a page's usable bytes, fewer at the end of a file that was cut short. Raises Damaged."""
        if not 1 <= number <= self.count:
            raise Damaged(f"page {number} is not in the file")
        try:
            return self._raw.read_at((number - 1) * self.page_bytes, self.usable_bytes)
        except OSError as error:
            raise DiskFailed(f"page {number}: {os.strerror(error.errno or 0)}") from error

    def kind(self, number: int) -> int:
        """Return the first byte of a page, -1 when there is none."""
        try:
            return (self._raw.read_at((number - 1) * self.page_bytes, 1) or b"\xff")[0]
        except OSError:
            return -1

    def is_lock_byte(self, number: int) -> bool:
        """Whether this page is the one that is never used."""
        return number == _LOCK_BYTE // self.page_bytes + 1

    def free(self) -> frozenset[int] | None:
        """Return the pages of the freelist, None when it is damaged."""
        trunk, promised = self._freelist
        found: set[int] = set()
        try:
            while trunk:
                data = self.read(trunk)
                trunk_next, leaves = struct.unpack_from(">II", data)
                pages = struct.unpack_from(f">{min(leaves, self.page_bytes // 4)}I", data, 8)
                if trunk in found or not found.isdisjoint(pages):
                    return None
                found.update((trunk, *pages))
                trunk = trunk_next
        except (Damaged, struct.error):
            return None
        return frozenset(found) if len(found) == promised else None


@dataclass(frozen=True, slots=True)
class TreePage:
    """One b-tree page whose header makes sense; its cells need not."""

    number: int
    data: bytes
    kind: int
    cells: int
    pointers: int
    """Where the array of cell pointers begins."""
    mask: int
    """What counts of a pointer: SQLite looks at no other bits."""

    @property
    def is_leaf(self) -> bool:
        """Whether it has no children."""
        return self.kind in (TABLE_LEAF, INDEX_LEAF)

    def cell(self, place: int) -> int:
        """Return where a cell begins. Raises Damaged."""
        at = self.pointers + 2 * place
        if at + 2 > len(self.data):
            raise Damaged(f"page {self.number} is cut short")
        found = int.from_bytes(self.data[at : at + 2]) & self.mask
        if not self.pointers + 2 * self.cells <= found < len(self.data):
            raise Damaged(f"cell {place} of page {self.number} lies outside of it")
        return found

    def child(self, place: int) -> int:
        """Return the page left of a cell of an interior page, or, at `cells`, right of the last. Raises Damaged."""
        at = self.pointers - 4 if place == self.cells else self.cell(place)
        if at + 4 > len(self.data):
            raise Damaged(f"cell {place} of page {self.number} is cut short")
        return int.from_bytes(self.data[at : at + 4])

    def rowid(self, place: int) -> int:
        """Return the key of a cell of a table's page. Raises Damaged."""
        at = self.cell(place)
        if self.kind == TABLE_INTERIOR:
            return read_varint(self.data, at + 4)[0]
        return read_varint(self.data, read_varint(self.data, at)[1])[0]

    def rowids(self) -> Iterator[int | None]:
        """Yield the keys of all cells, None for one that cannot be read."""
        for place in range(self.cells):
            try:
                yield self.rowid(place)
            except Damaged:
                yield None


def read_page(file: PageFile, number: int, kinds: tuple[int, ...]) -> TreePage:
    """Return a page that is of one of `kinds`. Raises Damaged."""
    data = file.read(number)
    at = _FILE_HEADER_BYTES if number == 1 else 0
    head_bytes = 12 if data[at : at + 1] in (b"\x05", b"\x02") else 8
    if len(data) < at + head_bytes:
        raise Damaged(f"page {number} is cut short")
    kind, cells = data[at], int.from_bytes(data[at + 3 : at + 5])
    if kind not in kinds:
        raise Damaged(f"page {number} is {_KINDS.get(kind, 'no b-tree page')}, not {_KINDS[kinds[-1]]}")
    if cells > (file.page_bytes - 8) // 6:
        raise Damaged(f"page {number} has more cells than fit")
    return TreePage(number, data, kind, cells, at + head_bytes, file.page_bytes - 1)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the signed 64-bit number at a place, and the place behind it. Raises Damaged at the end of the data."""
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    value = 0
    for place in range(at, at + 8):
        if place >= len(data):
            raise Damaged("a number is cut short")
        byte = data[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    if at + 8 >= len(data):
        raise Damaged("a number is cut short")
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value & _SIGN else value, at + 9
