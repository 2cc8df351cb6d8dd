"""Carries a damaged WITHOUT ROWID table, cell by cell: it is an index b-tree, with rows on all of its pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from copier.sqlite.btree import MALFORMED, Damaged, TreePage
from copier.sqlite.btree_record import read_row
from copier.sqlite.btree_walk import Hole, walk_index
from copier.sqlite.salvage.form import TableForm
from copier.sqlite.salvage.result import Loss, Losses
from copier.sqlite.salvage.rows import RowWriter

CELLS_PER_COMMIT = 2000

_Cell = tuple[TreePage, int]


class IndexCarrier:
    """Carries such tables; `suspects` is what SQLite's check says of pages."""

    def __init__(self, writer: RowWriter, losses: Losses, suspects: Mapping[int, str]) -> None:
        self._writer = writer
        self._losses = losses
        self._suspects = suspects

    def rescue(self, form: TableForm) -> int:
        """Carry what can be read; return the rows carried."""
        rows = 0
        suspect: set[int] = set()
        cells: list[_Cell] = []
        for found in walk_index(self._writer.file, form.root):
            if isinstance(found, Hole):
                rows += self._carry_cells(form, cells)
                before = self._near(form, cells[-1:])
                cells = []
                key = f"page {found.page}{before}"
                self._losses.add(Loss("pages", form.name, found.reason, key=key, pages=1, page=found.page))
            else:
                cells.append(found)
                suspect.update({found[0].number} & self._suspects.keys())
                if len(cells) >= CELLS_PER_COMMIT:
                    rows += self._carry_cells(form, cells[:-1])
                    cells = cells[-1:]
        rows += self._carry_cells(form, cells)
        for number in sorted(suspect):
            line = self._suspects[number]
            self._losses.add(Loss("suspect", form.name, line, key=f"page {number}", pages=1, page=number))
        return rows

    def _carry_cells(self, form: TableForm, cells: Sequence[_Cell]) -> int:
        """Carry rows. A page most of whose rows are there already, or do not fit, has replaced one that is lost."""
        rows = 0
        refused: Counter[int] = Counter()
        with self._writer.transaction():
            for page, place in cells:
                lost = self._writer.carry_cell(form, page, place)
                rows += lost is None or lost.kind == "suspect"
                if lost is not None:
                    self._losses.add(lost if lost.key else replace(lost, key=f"a row of page {page.number}"))
                    refused[page.number] += lost.kind == "refused"
        sizes = {page.number: page.cells for page, _ in cells}
        for number, count in refused.items():
            if 2 * count >= sizes[number]:
                key = f"what stood on page {number} before"
                self._losses.add(Loss("pages", form.name, MALFORMED, key=key, pages=1, page=number))
        return rows

    def _near(self, form: TableForm, cells: Sequence[_Cell]) -> str:
        for page, place in cells:
            try:
                return f", after {self._writer.key(form, read_row(self._writer.file, page, place))}"
            except Damaged:
                pass
        return ""
