"""What a table is made of, as far as carrying its rows needs: columns to write, their places in a stored record.

Source: SQLite docs, "Database File Format" 2.3 (representation of SQL tables), 2.4 (of WITHOUT ROWID tables).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from copier.plan.names import qualify, quote
from copier.plan.source import SourceTable
from copier.sqlite.btree_record import Stored
from copier.sqlite.catalog import TABLE_LIST_SINCE, classify, list_entries
from copier.sqlite.catalog_table import TableFacts, read_source_table
from copier.sqlite.salvage.schema import SchemaEntry

SOURCE = "src"
"""The name the damaged file is attached by."""

SEQUENCE = "sqlite_sequence"


@dataclass(frozen=True)
class TableForm:
    """One table. `places` are those of `columns` in a record; the rowid has none."""

    name: str
    root: int
    columns: tuple[str, ...]
    places: tuple[int | None, ...]
    rowid: str | None
    """A name that reaches the rowid, None in a WITHOUT ROWID table and where the columns hide all names."""
    without_rowid: bool
    stored: int
    """Values in a whole record."""
    alias_place: int | None = None
    """Where a record has NULL because the rowid is the value."""
    text_places: tuple[int, ...] = ()
    """Where a record has no number, as the column's affinity makes text of it."""
    filled_places: tuple[int, ...] = ()
    """Where a whole record is not NULL."""
    key: tuple[str, ...] = ()
    """Columns of the primary key of a WITHOUT ROWID table; their places in a record are the first."""

    def could_hold(self, values: Sequence[Stored]) -> bool:
        """Whether a record could be one of this table's."""
        if not max(1, len(self.key)) <= len(values) <= self.stored:
            return False
        given = range(len(values))
        return (
            not any(isinstance(values[place], int | float) for place in self.text_places if place in given)
            and not any(values[place] is None for place in self.filled_places if place in given)
            and (self.alias_place not in given or values[self.alias_place or 0] is None)
        )

    @cached_property
    def carry(self) -> str:
        """The statement that carries all rows, to which a condition may be added before `LIMIT`.

        NOT INDEXED walks the table itself, never a covering index. LIMIT keeps SQLite from moving whole records, which
        would keep what is wrong in them. OR ABORT goes before what the table's constraints say about conflicts.
        """
        names = ", ".join(map(quote, self.columns))
        read = ", ".join(f"t.{quote(name)}" for name in self.columns)  # a wrong name is an error, not a string
        return (
            f"INSERT OR ABORT INTO {qualify('main', self.name)} ({names}) "
            f"SELECT {read} FROM {qualify(SOURCE, self.name)} AS t NOT INDEXED"
        )

    def insert(self, kinds: tuple[bool, ...], values: int) -> str:
        """Return the statement for one record with so many values; `kinds` says which parameters are text.

        Text is given as its bytes, in the encoding of both files: what || makes of them is text, and the same bytes. A
        CAST would take them for UTF-8.
        """
        names = [name for name, place in zip(self.columns, self.places, strict=True) if place is None or place < values]
        marks = ", ".join("? || x''" if text else "?" for text in kinds)
        listed = ", ".join(map(quote, names))
        return f"INSERT OR ABORT INTO {qualify('main', self.name)} ({listed}) VALUES ({marks})"


def read_forms(raw: sqlite3.Connection, entries: Iterable[SchemaEntry]) -> list[TableForm]:
    """Return the tables of the new file, in the order of `entries`, with the roots they have in the damaged one."""
    roots = {entry.name: entry.root for entry in entries if entry.type == "table" and not entry.is_virtual}
    usual = raw.text_factory
    raw.text_factory = lambda text: text.decode(errors="replace")
    try:
        facts = classify(raw, list_entries(raw), table_list=sqlite3.sqlite_version_info >= TABLE_LIST_SINCE).facts
        found = [_form(raw, facts[name], roots[name]) for name in roots if name in facts]
        has_sequence = raw.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (SEQUENCE,)).fetchone()
    finally:
        raw.text_factory = usual
    if has_sequence and SEQUENCE in roots:
        names = ("rowid", "name", "seq")
        found.append(TableForm(SEQUENCE, roots[SEQUENCE], names, (None, 0, 1), "rowid", without_rowid=False, stored=2))
    return found


def _form(raw: sqlite3.Connection, facts: TableFacts, root: int) -> TableForm:
    table = read_source_table(raw, facts)
    stored = _stored_columns(raw, table)
    columns = [c.name for c in table.columns if not c.generated]
    places = [None if name == table.rowid_alias else stored.index(name) for name in columns]
    if table.rowid_name is not None and table.rowid_alias is None:
        columns.insert(0, table.rowid_name)
        places.insert(0, None)
    placed = [(stored.index(c.name), c) for c in table.columns if c.generated != "virtual"]
    alias = table.rowid_alias
    return TableForm(
        name=table.name,
        root=root,
        columns=tuple(columns),
        places=tuple(places),
        rowid=table.rowid_name,
        without_rowid=table.without_rowid,
        stored=len(stored),
        alias_place=None if alias is None else stored.index(alias),
        text_places=tuple(place for place, c in placed if _makes_text(c.declared)),
        filled_places=tuple(place for place, c in placed if c.not_null and c.name != alias),
        key=tuple(stored[: len(set(table.primary_key))]) if table.without_rowid else (),
    )


def _makes_text(declared: str) -> bool:
    """Whether a declared type has TEXT affinity (SQLite docs, "Datatypes" 3.1)."""
    upper = declared.upper()
    return "INT" not in upper and any(word in upper for word in ("CHAR", "CLOB", "TEXT"))


def _stored_columns(raw: sqlite3.Connection, table: SourceTable) -> list[str]:
    """Return the columns in the order of a record: as declared; the primary key first where that is the table."""
    columns = [c.name for c in table.columns if c.generated != "virtual"]
    if not table.without_rowid:
        return columns
    index = next(index.name for index in table.indexes if index.origin == "pk")
    return [str(name) for (name,) in raw.execute("SELECT name FROM pragma_index_xinfo(?) ORDER BY seqno", (index,))]
