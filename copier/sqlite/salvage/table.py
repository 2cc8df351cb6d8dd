"""Carries the rows of one table into the new file: in one statement where its pages are sound, else past the damage."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from copier.plan.names import quote
from copier.sqlite.btree import MALFORMED, Damaged
from copier.sqlite.btree_record import read_row
from copier.sqlite.btree_walk import Hole, Leaf, TableWalk, edge_leaves
from copier.sqlite.salvage.form import TableForm
from copier.sqlite.salvage.index import IndexCarrier
from copier.sqlite.salvage.result import Loss, Losses
from copier.sqlite.salvage.rows import RowWriter

LEAVES_PER_RUN = 256
"""Neighbouring leaves that one statement carries, about a megabyte; where it fails, halves of them, down to one."""

_LATE_ROWS = 10_000
"""Rows kept back at most."""


class TableCarrier:
    """Carries one table after the other."""

    def __init__(self, writer: RowWriter, losses: Losses, suspects: Mapping[int, str]) -> None:
        self._writer = writer
        self._losses = losses
        self._suspects = suspects
        """Page -> what SQLite's check says of it."""
        self._late: list[tuple[Leaf, Sequence[int | None], int, bool]] = []
        self.astray: list[tuple[TableForm, Hole]] = []
        """Holes that may be none; see `Hole.astray`."""

    def whole(self, form: TableForm) -> int | None:
        """Carry all rows in one statement; None when that is impossible, and nothing was carried."""
        if self._is_anothers(form):
            return None
        return self._writer.statement(f"{form.carry} LIMIT -1")

    def _is_anothers(self, form: TableForm) -> bool:
        """Whether the first or last leaf has rows of another table: of those between, the keys would tell."""
        with contextlib.suppress(Damaged):
            for page in edge_leaves(self._writer.file, form.root):
                rows = (read_row(self._writer.file, page, place) for place in range(page.cells))
                if any(len(row.values) > form.stored for row in rows):
                    return True
        return False

    def rescue(self, form: TableForm, *, thorough: bool) -> int:
        """Carry what can be read; return the rows carried.

        `thorough` looks at the rowids of each leaf: for tables SQLite's check did not get through.
        """
        if form.without_rowid:
            return IndexCarrier(self._writer, self._losses, self._suspects).rescue(form)
        rows = 0
        run: list[Leaf] = []
        for found in TableWalk(self._writer.file).leaves(form.root):
            sound = isinstance(found, Leaf) and form.rowid is not None and self._is_sound(found, thorough)
            if not sound or len(run) >= LEAVES_PER_RUN or not _follows(run, found):
                rows += self._carry_run(form, run)
                run = []
            if isinstance(found, Hole):
                self._add_hole(form, found)
            elif sound:
                run.append(found)
            else:
                rows += self.carry_leaf(form, found)
        return rows + self._carry_run(form, run) + self.carry_late(form)

    def _is_sound(self, leaf: Leaf, thorough: bool) -> bool:
        """Whether a leaf can be carried by the rowids of its first and last row."""
        if leaf.ends is None or leaf.page.number in self._suspects:
            return False
        return None not in leaf.keys if thorough else leaf.ends[0] <= leaf.ends[1]

    def _carry_run(self, form: TableForm, run: Sequence[Leaf]) -> int:
        """Carry neighbouring leaves by SQLite; each of them alone, cell by cell, where it says or does otherwise."""
        if not run:
            return 0
        first, last = run[0].ends, run[-1].ends
        assert first is not None
        assert last is not None
        assert form.rowid is not None
        rows = self._writer.statement(
            f"{form.carry} WHERE t.{quote(form.rowid)} BETWEEN ? AND ? LIMIT -1",
            (first[0], last[1]),
            wanted=sum(leaf.page.cells for leaf in run),
        )
        if rows is not None:
            self._losses.carried()
            return rows
        if len(run) == 1:
            return self.carry_leaf(form, run[0])
        half = len(run) // 2
        return self._carry_run(form, run[:half]) + self._carry_run(form, run[half:])

    def carry_leaf(self, form: TableForm, leaf: Leaf, *, quietly: bool = False) -> int:
        """Carry the rows of one leaf one by one; return how many.

        A page most of whose rows are in doubt has replaced another one: what belongs there is lost. `quietly` lists
        nothing: for a leaf whose place, or the hole it was found for, is listed.
        """
        page, keys = leaf.page, leaf.keys
        before = self._losses.count(form.name)
        rows = doubtful = 0
        if len(self._late) > _LATE_ROWS:
            rows += self.carry_late(form)
        with self._writer.transaction():
            for place, key in enumerate(keys):
                if key is None:
                    self._late.append((leaf, keys, place, quietly))
                    doubtful += 1
                    continue
                lost = self._writer.carry_cell(form, page, place)
                rows += lost is None or lost.kind == "suspect"
                doubtful += lost is not None
                self._say(lost if not quietly else None, leaf, keys, place)
        if quietly:
            return rows
        line = self._suspects.get(page.number)
        if doubtful > 1 and 2 * doubtful >= page.cells:
            self._losses.add(_between(Loss("pages", form.name, MALFORMED, pages=1, page=page.number), leaf))
        elif line is not None and not doubtful and self._losses.count(form.name) == before:
            self._losses.add(_between(Loss("suspect", form.name, line, rows=rows, pages=1, page=page.number), leaf))
        return rows

    def carry_late(self, form: TableForm) -> int:
        """Carry the rows whose rowids are not in order, after all others: it is they who must not be in the way."""
        late, self._late = self._late, []
        rows = 0
        with self._writer.transaction():
            for leaf, keys, place, quietly in late:
                lost = self._writer.carry_cell(form, leaf.page, place, in_place=False)
                rows += lost is None or lost.kind == "suspect"
                self._say(lost if not quietly else None, leaf, keys, place)
        return rows

    def _say(self, lost: Loss | None, leaf: Leaf, keys: Sequence[int | None], place: int) -> None:
        if lost is None:
            self._losses.carried()
        else:
            self._losses.add(_placed(lost, leaf, keys, place))

    def _add_hole(self, form: TableForm, hole: Hole) -> None:
        if hole.astray:
            self.astray.append((form, hole))
        else:
            self._losses.add(loss_of(form, hole))


def _follows(run: Sequence[Leaf], found: Leaf | Hole) -> bool:
    """Whether a leaf comes after those of a run."""
    last = run[-1].ends if run else None
    ends = found.ends if isinstance(found, Leaf) else None
    return last is None or (ends is not None and last[1] < ends[0])


def loss_of(form: TableForm, hole: Hole) -> Loss:
    """Return the entry for a hole in a table."""
    first = None if hole.lower is None else hole.lower + 1
    return Loss("pages", form.name, hole.reason, first, hole.upper, pages=1, page=hole.page)


def _between(loss: Loss, leaf: Leaf) -> Loss:
    """Return the entry with the bounds of a leaf."""
    return replace(loss, first=None if leaf.lower is None else leaf.lower + 1, last=leaf.upper)


def _placed(loss: Loss, leaf: Leaf, keys: Sequence[int | None], place: int) -> Loss:
    """Return the entry with the rowid of a cell, or with those between its neighbours where that cannot be trusted."""
    key = keys[place]
    if key is not None:
        return replace(loss, first=key, last=key)
    own = None
    with contextlib.suppress(Damaged):
        own = leaf.page.rowid(place)  # of two equal ones, nobody knows which is wrong: neither is a bound
    before = next((one for one in reversed(keys[:place]) if one not in (None, own)), leaf.lower)
    after = next((one for one in keys[place + 1 :] if one not in (None, own)), None)
    first = None if before is None else before + 1
    last = leaf.upper if after is None else after - 1
    if first is not None and last is not None and first > last:
        return _between(loss, leaf)
    return replace(loss, first=first, last=last)
