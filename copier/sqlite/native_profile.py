"""The profile by the scanner: columns are counted while SQLite steps, without the GIL.

What the scanner cannot judge comes back as questions, which the forms themselves answer; the result is that of
`ColumnCounter`, value for value. Parents of foreign keys are looked up in the same pass where that is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import aiosqlite

from copier.plan.source import ColumnProfile, SourceSchema, SourceTable, Value
from copier.plan.types.times import EPOCH_UNITS, plausible_range
from copier.sqlite.engine import Counted
from copier.sqlite.form_counter import BLOCK_ROWS, PATIENCE, TOLERANCE, Tally, examples, shown
from copier.sqlite.forms import FORMS, JULIAN_RANGE, Kind
from copier.sqlite.native import NativeReader
from copier.sqlite.parents import ParentSets
from copier.sqlite.tally import ColumnCounter, most_int_digits, scale_of, text_digits

if TYPE_CHECKING:
    from copier.wire.kernel import Library, ProfileScanner, Question

PAGE_BYTES = 4 << 20
"""Bytes of values counted per call: a few milliseconds."""

FEW_ROWS = 10_000
"""For fewer rows than this, SQLite looks parents up itself sooner than they are loaded."""


class NativeProfiler:
    """Counts whole tables of one database; the parents it has loaded serve all of them."""

    def __init__(self, library: Library, schema: SourceSchema) -> None:
        self._library = library
        self._parents = ParentSets(library, schema)

    async def count(
        self,
        connection: aiosqlite.Connection,
        table: SourceTable,
        key: Sequence[str],
        most_rows: int,
        on_rows: Callable[[int], None],
    ) -> Counted | None:
        """Count a table, walked by `key`; None where that is for the counters. Errors as of `PageReader.pages`.

        `most_rows`: that the table has no more than so many.
        """
        if not key:
            return None
        scanner = self._scanner(table, len(key))
        watched = await self._watch(connection, table, scanner) if most_rows >= FEW_ROWS else None
        names = [column.name for column in table.columns]
        reader = NativeReader(connection, table.name, names, key)
        judge, rows = _Judge(scanner), 0
        async with aclosing(reader.scan_pages(None, scanner.scan)) as pages:
            async for questions, read_rows, *_ in pages:
                judge.answer(questions)
                scanner.end_block()
                rows += read_rows
                on_rows(read_rows)
        scanner.end_block(last=True)
        tallies = [scanner.tally(i) for i in range(len(table.columns))]
        columns = {
            c.name: judge.profile(i, tally) for i, (c, tally) in enumerate(zip(table.columns, tallies, strict=True))
        }
        orphans = None if watched is None else _orphans(watched, scanner.orphans())
        return Counted(rows, columns, sum(tally["bytes"] for tally in tallies), orphans)

    async def _watch(
        self, connection: aiosqlite.Connection, table: SourceTable, scanner: ProfileScanner
    ) -> list[int] | None:
        """Have the parents of all foreign keys looked up; return the ids of the keys, None where one cannot be."""
        found = []
        for foreign in table.foreign_keys:
            parents = await self._parents.find(connection, table, foreign)
            if parents is None:
                return None
            found.append(([c.name.lower() for c in table.columns].index(foreign.columns[0].lower()), parents))
        for column, parents in found:
            scanner.watch(column, parents)
        return [foreign.id for foreign in table.foreign_keys]

    def _scanner(self, table: SourceTable, key_width: int) -> ProfileScanner:
        from copier.wire.kernel import Columns, ProfileScanner

        columns = Columns([("text", "", ())] * len(table.columns))
        scanner = ProfileScanner(self._library, columns, key_width, PAGE_BYTES)
        counters = map(ColumnCounter, table.columns)
        scanner.expect(
            [(counter.counts_digits, counter.counts_text_digits) for counter in counters],
            [*map(plausible_range, EPOCH_UNITS), JULIAN_RANGE],
            (PATIENCE, TOLERANCE, BLOCK_ROWS),
        )
        return scanner


def _orphans(watched: Sequence[int], found: Sequence[int | None]) -> dict[int, int] | None:
    counts = {}
    for key, count in zip(watched, found, strict=True):
        if count is None:
            return None
        if count:
            counts[key] = count
    return counts


class _Judge:
    """Answers the scanner's questions, and keeps the examples of what forms were refuted by."""

    def __init__(self, scanner: ProfileScanner) -> None:
        self._scanner = scanner
        self._misfits: dict[tuple[int, int, Kind], tuple[int, str]] = {}

    def answer(self, questions: Iterable[Question]) -> None:
        """Answer what one page left open."""
        for column, row, kind, value, unsure, misfit, wants_digits in questions:
            for form in misfit:
                self._note(column, form, kind, row, value)
            for form in unsure:
                fits = FORMS[form].fits(value)
                self._scanner.settle(column, form, fits)
                if not fits:
                    self._note(column, form, kind, row, value)
            if wants_digits:
                digits = text_digits(value) if isinstance(value, str) else (scale_of(repr(value)), 0)
                self._scanner.widen(column, *digits)

    def _note(self, column: int, form: int, kind: Kind, row: int, value: Value) -> None:
        """Keep the earliest of each storage class: answers come later than what the scanner saw itself."""
        known = self._misfits.get((column, form, kind))
        if known is None or row < known[0]:
            self._misfits[column, form, kind] = row, shown(value)

    def profile(self, column: int, tally: Mapping[str, Any]) -> ColumnProfile:
        """Return what a column holds, from the scanner's tally of it."""
        names = [form.name for form in FORMS]
        tallies = {name: Tally(*counts) for name, counts in tally["forms"].items()}
        for (where, form, kind), (_, text) in self._misfits.items():
            if where == column and names[form] in tallies:
                tallies[names[form]].misfits[kind] = text
        integers = (tally["int_min"], tally["int_max"]) if tally["integers"] else (None, None)
        reals = (tally["real_min"], tally["real_max"]) if tally["reals_finite"] else (None, None)
        ends = integers + reals if tally["counts_digits"] else integers
        same = ("nulls", "integers", "reals", "texts", "blobs", "reals_integral", "reals_infinite", "empty", "nul")
        return ColumnProfile(
            **{name: tally[name] for name in (*same, "broken", "scale")},
            int_min=integers[0],
            int_max=integers[1],
            real_min=reals[0],
            real_max=reals[1],
            text_max_chars=tally["most_chars"],
            text_max_bytes=tally["most_bytes"],
            blob_min_bytes=tally["blob_min"] if tally["blobs"] else None,
            blob_max_bytes=tally["blob_max"],
            fits={form.name: tallies[form.name].fitted for form in FORMS if form.name in tallies},
            int_digits=max(tally["digits"], most_int_digits(ends)),
            examples=examples(tallies, tally["empty"]),
        )
