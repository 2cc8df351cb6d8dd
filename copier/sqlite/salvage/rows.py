"""Writes rows into the new file: whole ranges inside SQLite, or single ones decoded from a damaged page."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator

from copier.sqlite.btree import MALFORMED, Damaged, PageFile, TreePage
from copier.sqlite.btree_record import Encoding, Row, Stored, StoredText, read_row
from copier.sqlite.salvage.form import TableForm
from copier.sqlite.salvage.result import Loss
from copier.sqlite.salvage.schema import raise_unless_content
from copier.wire.cast import BrokenText
from copier.wire.keys import show_key

TOO_LONG = "the row has more values than the table has columns: it may be another table's"
NOT_WHOLE = "the row's length and its values disagree"
TOO_SHORT = "the row has fewer values than its key has columns"


class Stopped(Exception):
    """The call was cancelled."""


class RowWriter:
    """Writes over one connection: `main` is the new file, the damaged one, `file`, is attached."""

    def __init__(self, raw: sqlite3.Connection, file: PageFile, encoding: Encoding, stop: threading.Event) -> None:
        self.file = file
        self._raw = raw
        self._encoding = encoding
        self._stop = stop

    def statement(self, sql: str, parameters: tuple[int, ...] = (), wanted: int | None = None) -> int | None:
        """Run one statement as a transaction; None, and nothing done, when it fails or is about other rows."""
        self.go_on()
        self._raw.execute("BEGIN")
        try:
            rows = self._raw.execute(sql, parameters).rowcount
            if wanted is not None and rows != wanted:
                self._raw.execute("ROLLBACK")
                return None
            self._raw.execute("COMMIT")
        except (sqlite3.DatabaseError, MemoryError) as error:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
            raise_unless_content(error)
            return None
        return rows

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written in it stays, or nothing of it."""
        self.go_on()
        self._raw.execute("BEGIN")
        try:
            yield
            self._raw.execute("COMMIT")
        except BaseException:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")
            raise

    def go_on(self) -> None:
        """Raise Stopped when the call was cancelled."""
        if self._stop.is_set():
            raise Stopped

    def carry_cell(self, form: TableForm, page: TreePage, place: int, *, in_place: bool = True) -> Loss | None:
        """Carry one row; return what is to be said of it. `in_place` is whether its rowid is in order."""
        try:
            row = read_row(self.file, page, place)
        except Damaged as error:
            return Loss("row", form.name, error.sentence, rows=1, page=page.number)
        if not row.whole and len(row.values) != form.stored:
            return Loss("row", form.name, MALFORMED, rows=1, page=page.number)
        key = self.key(form, row) if form.without_rowid else ""
        refusal = TOO_SHORT if len(row.values) < len(form.key) else self._insert(form, row)
        if refusal is not None:
            return Loss("refused", form.name, refusal, key=key, rows=1, page=page.number)
        doubt = f"Rowid {row.rowid} out of order" if not in_place else "" if row.whole else NOT_WHOLE
        if len(row.values) > form.stored:
            doubt = doubt or TOO_LONG
        return Loss("suspect", form.name, doubt, key=key, rows=1, page=page.number) if doubt else None

    def _insert(self, form: TableForm, row: Row) -> str | None:
        """Insert a row; return SQLite's sentence when it refuses."""
        values = row.values[: form.stored]
        given: list[Stored] = [
            row.rowid if place is None else values[place]
            for place in form.places
            if place is None or place < len(values)
        ]
        kinds = tuple(isinstance(value, StoredText) for value in given)
        bound = [value.raw if isinstance(value, StoredText) else value for value in given]
        try:
            self._raw.execute(form.insert(kinds, len(values)), bound)
        except (sqlite3.DatabaseError, MemoryError) as error:
            raise_unless_content(error)
            return str(error)
        return None

    def key(self, form: TableForm, row: Row) -> str:
        """Return the primary key of a row, as a person reads it."""
        return show_key(form.key, tuple(self._shown(value) for value in row.values[: len(form.key)]))

    def _shown(self, value: Stored) -> int | float | str | bytes | None:
        if not isinstance(value, StoredText):
            return value
        try:
            return value.raw.decode(self._encoding)
        except UnicodeDecodeError:
            return BrokenText(value.raw)
