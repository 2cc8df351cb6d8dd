"""Walks the b-tree of one table from its root, each page at most once, past whatever is damaged.

Source: SQLite docs, "Database File Format" 1.6.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from copier.sqlite.btree import (
    INDEX_INTERIOR,
    INDEX_LEAF,
    MALFORMED,
    TABLE_INTERIOR,
    TABLE_LEAF,
    Damaged,
    PageFile,
    TreePage,
    read_page,
)

MAX_DEPTH = 20
"""Levels of a tree; SQLite's own limit."""

_NEAR = 20
"""Neighbours among which a key that makes sense is looked for."""

_Bounds = tuple[int | None, int | None]
_OPEN: _Bounds = (None, None)

_TABLE = (TABLE_INTERIOR, TABLE_LEAF)
_INDEX = (INDEX_INTERIOR, INDEX_LEAF)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of a table, and the keys between which its rows lie: lower < rowid <= upper, None where it is open."""

    page: TreePage
    lower: int | None = None
    upper: int | None = None

    @property
    def keys(self) -> list[int | None]:
        """The keys of its rows, None for one that cannot be read or is not in order."""
        return in_order(list(self.page.rowids()), self.lower, self.upper)

    @property
    def ends(self) -> tuple[int, int] | None:
        """The keys of its first and last row, None where they cannot be read."""
        try:
            return self.page.rowid(0), self.page.rowid(self.page.cells - 1)
        except Damaged:
            return None


@dataclass(frozen=True, slots=True)
class Hole:
    """A page that should be there, and everything below it."""

    page: int
    reason: str
    """SQLite's sentence for it."""
    lower: int | None = None
    upper: int | None = None
    astray: bool = False
    """The page is sound, but its keys are others than its place says: either the page or the pointer to it is wrong, or
    a key beside the pointer is."""
    around: tuple[int | None, int | None] = (None, None)
    """Of a page that is astray: the bounds of its place by the rows of its neighbours."""


class TableWalk:
    """The leaves of a table with rowids, in the order of the tree."""

    def __init__(self, file: PageFile) -> None:
        self._file = file
        self.seen = bytearray(file.count + 1)
        """1 for each page of the tree that was reached."""
        self._astray: list[Hole] = []

    def leaves(self, root: int) -> Iterator[Leaf | Hole]:
        """Yield leaves and holes; last come pages that seem to be in a wrong place and were not reached rightly."""
        yield from self._below(root, _OPEN, lambda: _OPEN, MAX_DEPTH)
        for hole in self._astray:
            yield replace(hole, astray=not self.seen[hole.page])

    def _below(self, number: int, bounds: _Bounds, around: Callable[[], _Bounds], levels: int) -> Iterator[Leaf | Hole]:
        lower, upper = bounds
        try:
            page = self._enter(number, levels)
        except Damaged as error:
            yield Hole(number, error.sentence, lower, upper)
            return
        if not _fits(page, lower, upper):
            self._astray.append(Hole(number, MALFORMED, lower, upper, around=around()))
            return
        self.seen[number] = 1
        if page.is_leaf:
            yield Leaf(page, lower, upper)
            return
        keys = [lower, *in_order(list(page.rowids()), lower, upper), upper]
        for place in range(page.cells + 1):
            inner = _nearest(keys[place::-1]), _nearest(keys[place + 1 :])
            try:
                child = page.child(place)
            except Damaged as error:
                yield Hole(number, error.sentence, *inner)
            else:
                yield from self._below(child, inner, partial(self._around, page, place, bounds), levels - 1)

    def _around(self, page: TreePage, place: int, bounds: _Bounds) -> _Bounds:
        """Return what lies between the rows of a child's neighbours, whatever the keys beside the child say."""
        lower, upper = bounds
        with suppress(Damaged):
            if place > 0:
                before = read_page(self._file, page.child(place - 1), _TABLE)
                lower = before.rowid(before.cells - 1)
        with suppress(Damaged):
            if place < page.cells:
                upper = read_page(self._file, page.child(place + 1), _TABLE).rowid(0) - 1
        return lower, upper

    def _enter(self, number: int, levels: int) -> TreePage:
        if levels == 0:
            raise Damaged(f"the tree is deeper than {MAX_DEPTH} levels")
        page = read_page(self._file, number, _TABLE)
        if self.seen[number]:
            raise Damaged(f"page {number} is referred to twice")
        if page.cells == 0 and levels < MAX_DEPTH:
            raise Damaged(f"page {number} is empty")
        return page


def tree_pages(file: PageFile, root: int) -> Iterator[int]:
    """Yield the pages of a tree of either kind, each once; of a leaf only the first byte is read."""
    seen = bytearray(file.count + 1)
    waiting = [root]
    while waiting:
        number = waiting.pop()
        if not 1 <= number <= file.count or seen[number]:
            continue
        seen[number] = 1
        yield number
        if number != root and file.kind(number) not in (TABLE_INTERIOR, INDEX_INTERIOR):
            continue
        with suppress(Damaged):
            page = read_page(file, number, _TABLE + _INDEX)
            if not page.is_leaf:
                waiting += _children(page)


def _children(page: TreePage) -> Iterator[int]:
    for place in range(page.cells + 1):
        with suppress(Damaged):
            yield page.child(place)


def edge_leaves(file: PageFile, root: int) -> Iterator[TreePage]:
    """Yield the first and the last leaf of a tree of either kind. Raises Damaged."""
    for last in (False, True):
        page = read_page(file, root, _TABLE + _INDEX)
        for _ in range(MAX_DEPTH):
            if page.is_leaf:
                yield page
                break
            page = read_page(file, page.child(page.cells if last else 0), _TABLE + _INDEX)


def walk_index(file: PageFile, root: int, seen: bytearray | None = None) -> Iterator[tuple[TreePage, int] | Hole]:
    """Yield each cell of an index b-tree, as page and place, in the order of the tree, and holes between them."""
    seen = bytearray(file.count + 1) if seen is None else seen
    return _cells(file, root, seen, MAX_DEPTH)


def _cells(file: PageFile, number: int, seen: bytearray, levels: int) -> Iterator[tuple[TreePage, int] | Hole]:
    try:
        page = read_page(file, number, _INDEX)
        if seen[number]:
            raise Damaged(f"page {number} is referred to twice")
        if levels == 0:
            raise Damaged(f"the tree is deeper than {MAX_DEPTH} levels")
    except Damaged as error:
        yield Hole(number, error.sentence)
        return
    seen[number] = 1
    for place in range(page.cells + (not page.is_leaf)):
        if not page.is_leaf:
            try:
                child = page.child(place)
            except Damaged as error:
                yield Hole(number, error.sentence)
            else:
                yield from _cells(file, child, seen, levels - 1)
        if place < page.cells:
            yield page, place


def _fits(page: TreePage, lower: int | None, upper: int | None) -> bool:
    """Whether the keys of a page lie where the page above says; not all of them need to be right."""
    if page.cells == 0 or (lower, upper) == _OPEN:
        return True
    with suppress(Damaged):
        first, last = page.rowid(0), page.rowid(page.cells - 1)
        if first <= last and (lower is None or lower < first) and (upper is None or last <= upper):
            return True
    keys = [key for key in page.rowids() if key is not None]
    return 2 * sum(key is not None for key in in_order(keys, lower, upper)) >= len(keys)


def _nearest(keys: Sequence[int | None]) -> int | None:
    """Return the first key that is known."""
    return next((key for key in keys[:_NEAR] if key is not None), None)


def in_order(keys: Sequence[int | None], lower: int | None, upper: int | None) -> list[int | None]:
    """Return the keys of a page that lie between its bounds and rise: as many as possible, None for each other one."""
    known = [
        key for key in keys if key is not None and (lower is None or lower < key) and (upper is None or key <= upper)
    ]
    if len(known) == len(keys) and all(one < other for one, other in pairwise(known)):
        return list(keys)
    places: list[int] = []
    tails: list[int] = []
    before: list[int] = []
    for place, key in enumerate(keys):
        before.append(-1)
        if key is None or (lower is not None and key <= lower) or (upper is not None and key > upper):
            continue
        length = bisect_left(tails, key)  # of the longest row of keys that this one can follow
        if length < len(tails) and tails[length] == key:
            continue  # of two that are equal, the first
        before[place] = places[length - 1] if length else -1
        tails[length : length + 1], places[length : length + 1] = [key], [place]
    kept: list[int | None] = [None] * len(keys)
    place = places[-1] if places else -1
    while place >= 0:
        kept[place] = keys[place]
        place = before[place]
    return kept
