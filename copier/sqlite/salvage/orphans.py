"""A second look at what a damaged tree no longer reaches: leaves in a wrong place, and leaves nothing refers to.

Where a page inside a table's tree is destroyed, the leaves below it are sound, but no way leads to them. Such a leaf is
known by three things: no tree refers to it, it is not free, and its keys lie in a hole of exactly one table whose
columns its records fit. Only then it is carried.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

from copier.sqlite.btree import INDEX_LEAF, TABLE_LEAF, Damaged, PageFile, TreePage, read_page
from copier.sqlite.btree_record import Row, read_row
from copier.sqlite.btree_walk import Hole, Leaf, TableWalk, tree_pages
from copier.sqlite.salvage.form import TableForm
from copier.sqlite.salvage.result import Loss, Losses
from copier.sqlite.salvage.rows import Stopped
from copier.sqlite.salvage.schema import SCHEMA_TABLE, SchemaEntry
from copier.sqlite.salvage.table import TableCarrier, loss_of

NO_TABLE = "(no table)"
"""In the place of a table's name."""

_NOBODYS = "no table refers to them, and they fit none, or several"
_WHERE = "leaves of a tree that is not known"
_NOT_SEARCHED = (
    "the list of free pages is damaged: which pages are free and which were lost cannot be told, so no rows were "
    "searched for on pages that nothing refers to"
)

_LOOK_EVERY = 4096
"""Pages between two looks whether the call was cancelled."""


@dataclass(frozen=True, slots=True)
class _Orphan:
    """A leaf that belongs to one table only."""

    page: int
    form: TableForm
    first: int
    last: int


class SecondLook:
    """Goes over the file once more when a table lost pages, or the check says that `unused` ones are there."""

    def __init__(
        self,
        file: PageFile,
        entries: Sequence[SchemaEntry],
        forms: Sequence[TableForm],
        carrier: TableCarrier,
        losses: Losses,
        stop: threading.Event,
    ) -> None:
        self._file = file
        self._roots = [1, *(entry.root for entry in entries)]
        self._forms = {form.name: form for form in forms}
        self._carrier = carrier
        self._losses = losses
        self._stop = stop
        self._owned = bytearray(file.count + 1)
        self.notes: list[str] = []

    def run(self, *, unused: bool) -> Mapping[str, int]:
        """Carry what is found; return the rows by table."""
        if not unused and not self._carrier.astray and not any(loss.kind == "pages" for loss in self._losses.all()):
            return {}
        found = Counter(self._settle_astray(self._mark_owned()))
        free = self._file.free()
        if free is None:
            self.notes.append(_NOT_SEARCHED)
            return found
        orphans, others = self._orphans(free)
        parts: dict[str, list[tuple[_Orphan, int]]] = {}
        for orphan in orphans:
            page = read_page(self._file, orphan.page, (TABLE_LEAF,))
            rows = self._carrier.carry_leaf(orphan.form, Leaf(page), quietly=True)
            parts.setdefault(orphan.form.name, []).append((orphan, rows))
            found[orphan.form.name] += rows
        self._losses.change(lambda loss: _with_found(loss, parts.get(loss.table, [])))
        if others:
            self._losses.add(Loss("pages", NO_TABLE, _NOBODYS, key=_WHERE, pages=len(others), page=others[0]))
        return found

    def _mark_owned(self) -> Counter[int]:
        """Mark the pages that trees reach; return in how many trees each page of doubtful place is."""
        astray = {hole.page for _, hole in self._carrier.astray}
        trees: Counter[int] = Counter()
        for root in self._roots:
            for number in tree_pages(self._file, root):
                if number in astray:
                    trees[number] += 1
                else:
                    self._owned[number] = 1
        return trees

    def _settle_astray(self, trees: Counter[int]) -> dict[str, int]:
        """Carry leaves of doubtful place when only one place leads to them; else what belongs there is missing."""
        found: dict[str, int] = {}
        places = Counter(hole.page for _, hole in self._carrier.astray)
        for form, hole in self._carrier.astray:
            self._owned[hole.page] |= trees[hole.page] > 1
            if trees[hole.page] > 1 or places[hole.page] > 1:
                self._losses.add(loss_of(form, hole))
                continue
            rows, whole = self._carry_astray(form, hole)
            found[form.name] = found.get(form.name, 0) + rows
            if not whole:
                self._losses.add(loss_of(form, hole))
        return found

    def _carry_astray(self, form: TableForm, hole: Hole) -> tuple[int, bool]:
        """Carry what is on a page of doubtful place and below it, where it could be of this table.

        Return the rows, and whether they are what belongs there: all lie in their place but for one key beside the way.
        """
        rows, whole = 0, True
        for one in TableWalk(self._file).leaves(hole.page):
            if isinstance(one, Hole):
                self._losses.add(loss_of(form, replace(hole, page=one.page, reason=one.reason)))
                continue
            self._owned[one.page.number] = 1
            in_place = None not in Leaf(one.page, *hole.around).keys
            if not self._could_be(form, one.page):
                whole = False
                continue
            leaf = one if in_place else Leaf(one.page, hole.lower, hole.upper)
            carried = self._carrier.carry_leaf(form, leaf)
            rows += carried
            whole = whole and in_place and carried == one.page.cells
        return rows + self._carrier.carry_late(form), whole

    def _could_be(self, form: TableForm, page: TreePage) -> bool:
        """Whether the rows of a leaf that can be read could be of a table."""
        return all(form.could_hold(row.values) for row in self._readable(page))

    def _readable(self, page: TreePage) -> Iterator[Row]:
        for place in range(page.cells):
            with suppress(Damaged):
                yield read_row(self._file, page, place)

    def _holes(self) -> dict[str, list[Loss]]:
        """Return the lost ranges of tables with rowids; none when the schema itself lost entries, whose tables may
        have left leaves behind."""
        holes: dict[str, list[Loss]] = {}
        for loss in self._losses.all():
            if loss.table == SCHEMA_TABLE:
                return {}
            form = self._forms.get(loss.table)
            if loss.kind == "pages" and form is not None and not form.without_rowid:
                holes.setdefault(loss.table, []).append(loss)
        return holes

    def _orphans(self, free: frozenset[int]) -> tuple[list[_Orphan], list[int]]:
        """Return the leaves that nothing refers to and that belong to one table, and the other such pages.

        Where two of a table overlap, one is older than the other, and nobody can tell which.
        """
        holes = self._holes()
        found, others = [], []
        for number in self._unowned(free):
            orphan = self._claim(number, holes)
            if orphan is not None:
                found.append(orphan)
            elif self._holds_rows(number):
                others.append(number)
        found.sort(key=lambda orphan: (orphan.form.name, orphan.first))
        clear = []
        for place, one in enumerate(found):
            before = found[place - 1] if place else None
            after = found[place + 1] if place + 1 < len(found) else None
            if _overlap(before, one) or _overlap(one, after):
                others.append(one.page)
            else:
                clear.append(one)
        return clear, sorted(others)

    def _unowned(self, free: frozenset[int]) -> Iterator[int]:
        for number in range(2, self._file.count + 1):
            if number % _LOOK_EVERY == 0 and self._stop.is_set():
                raise Stopped
            if not self._owned[number] and number not in free:
                yield number

    def _holds_rows(self, number: int) -> bool:
        """Whether a page is a leaf of a table; one of an index counts where it fits a table that is an index itself."""
        kind = self._file.kind(number)
        if kind != INDEX_LEAF:
            return kind == TABLE_LEAF
        with suppress(Damaged):
            page = read_page(self._file, number, (INDEX_LEAF,))
            return any(form.without_rowid and self._could_be(form, page) for form in self._forms.values())
        return False

    def _claim(self, number: int, holes: Mapping[str, Sequence[Loss]]) -> _Orphan | None:
        """Return whose leaf a page is, None when it is nobody's, or could be several tables'."""
        try:
            page = read_page(self._file, number, (TABLE_LEAF,))
            rows = [read_row(self._file, page, place) for place in range(page.cells)]
        except Damaged:
            return None
        keys = [row.rowid for row in rows]
        if not keys or not all(row.whole for row in rows) or any(one >= other for one, other in pairwise(keys)):
            return None
        owners = [
            self._forms[name]
            for name, lost in holes.items()
            if any(_covers(loss, keys[0], keys[-1]) for loss in lost) and _fits(self._forms[name], rows)
        ]
        return _Orphan(number, owners[0], keys[0], keys[-1]) if len(owners) == 1 else None


def _with_found(loss: Loss, carried: list[tuple[_Orphan, int]]) -> Loss:
    """Count found rows in the entry of the hole they were in, each in one."""
    if loss.kind != "pages" or not carried:
        return loss
    mine = [part for part in carried if _covers(loss, part[0].first, part[0].last)]
    carried[:] = [part for part in carried if part not in mine]
    return replace(loss, found_rows=loss.found_rows + sum(rows for _, rows in mine))


def _fits(form: TableForm, rows: Sequence[Row]) -> bool:
    return all(form.could_hold(row.values) for row in rows)


def _covers(loss: Loss, first: int, last: int) -> bool:
    return (loss.first is None or loss.first <= first) and (loss.last is None or last <= loss.last)


def _overlap(one: _Orphan | None, other: _Orphan | None) -> bool:
    return one is not None and other is not None and one.form is other.form and other.first <= one.last
