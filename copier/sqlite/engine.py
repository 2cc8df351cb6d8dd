"""The engine: how rows of a table become COPY bytes. One interface; `portable` is the definition of it.

SQLITE2PG_ENGINE forces one: `portable`, `native` (an error when it is absent, so that no run degrades unseen), `auto`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import aiosqlite

from copier.errors import UsageError
from copier.plan.chunk import RejectedRow
from copier.plan.model import ColumnPlan, TablePlan
from copier.plan.source import ColumnProfile, Key, SourceSchema, SourceTable, Value
from copier.sqlite.pages import Page, PageReader
from copier.wire.binary import ColumnSpec, RowEncoder
from copier.wire.digest import Fields

ENGINES = ("auto", "native", "portable")


@dataclass(frozen=True, slots=True)
class Batch:
    """One converted page. `rows` went into `payload` (COPY tuples without header and trailer)."""

    read_rows: int
    rows: int
    payload: bytes
    last_key: Key
    rejects: tuple[RejectedRow, ...] = ()
    adjusted: Mapping[str, int] = field(default_factory=dict)
    """Source column -> values changed by its policy."""
    fallback_rows: int = 0
    """Rows that the native engine handed to the portable path."""


class TableSource(Protocol):
    """One table, open for reading on one connection."""

    def pages(self, after: Key | None, upto: Key | None) -> AsyncGenerator[Page]:
        """Yield pages of the rows with after < key <= upto, in key order."""

    def convert(self, page: Page) -> Batch:
        """Convert a page; never raises for a value."""


@dataclass(frozen=True, slots=True)
class DigestPage:
    """A page already digested, but for `rows`, values of all columns and the key, and `fields`, field payloads."""

    read_rows: int
    rows: list[tuple[Value, ...]]
    fields: list[Fields]


class Digester(Protocol):
    """Sums up both sides of one table as `TableDigest` does; what it cannot digest it hands back."""

    def pages(self, connection: aiosqlite.Connection) -> AsyncGenerator[DigestPage, None]:
        """Digest the source, in key order."""

    def feed(self, data: bytes) -> list[Fields]:
        """Digest a piece of the target's binary COPY; ValueError when it is none."""

    def source_sums(self) -> tuple[list[int], list[int]]:
        """Return what `TableDigest.merge` takes."""

    def target_sums(self) -> tuple[list[int], list[int]]:
        """Return what `TableDigest.merge` takes."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one pass over a table found."""

    rows: int
    columns: dict[str, ColumnProfile]
    bytes: int
    orphans: dict[int, int] | None
    """Foreign key id -> rows without a parent; None where SQLite must be asked."""


class Profiler(Protocol):
    """Counts what the tables of one database hold, as `ColumnCounter` does."""

    async def count(
        self,
        connection: aiosqlite.Connection,
        table: SourceTable,
        key: Sequence[str],
        most_rows: int,
        on_rows: Callable[[int], None],
    ) -> Counted | None:
        """Count a table, walked by `key`, of at most `most_rows`; None where that is for `ColumnCounter`.

        `on_rows` hears of each page how many rows were read. Errors as of `PageReader.pages`.
        """


class Engine(Protocol):
    """Opens tables."""

    name: str

    def table(
        self, connection: aiosqlite.Connection, table: TablePlan, *, refused: Mapping[Key, str] | None = None
    ) -> TableSource:
        """Return the table, read through a connection nobody else uses meanwhile.

        `refused` are rows to reject whatever their values are, with the reason of each (orphans to quarantine).
        """

    def digester(
        self, table: TablePlan, columns: Sequence[ColumnPlan], key: Sequence[int], buckets: int, rejected: Iterable[Key]
    ) -> Digester | None:
        """Return what digests the table, or None where `TableDigest` must.

        `key` are indexes into `columns`; rows with a `rejected` key come back as values, to be left out.
        """

    def profiler(self, schema: SourceSchema) -> Profiler | None:
        """Return what profiles the tables of `schema`, or None where `ColumnCounter` must."""


def column_specs(columns: Sequence[ColumnPlan]) -> list[ColumnSpec]:
    """Return what the encoder needs to know of each column."""
    return [ColumnSpec(c.type, c.cast, c.policy, c.default_constant) for c in columns]


class PortableTable:
    """Pages through aiosqlite, casts in Python."""

    def __init__(
        self,
        connection: aiosqlite.Connection,
        table: TablePlan,
        turn: asyncio.Lock,
        refused: Mapping[Key, str],
    ) -> None:
        self._columns = [c.source for c in table.copied]
        self._reader = PageReader(connection, table.source, self._columns, table.key)
        self._encoder = RowEncoder(column_specs(table.copied))
        self._refused = refused
        self._turn = turn

    async def pages(self, after: Key | None, upto: Key | None) -> AsyncGenerator[Page]:
        """Yield pages; while one is fetched no other portable table is.

        sqlite3 gives up the GIL at every step. Were another thread converting rows meanwhile, each step would wait
        for it up to the interpreter's switch interval (5 ms): thousands of times per page. One at a time loses nothing,
        since the GIL lets only one run anyway.
        """
        async with aclosing(self._reader.pages(after, upto)) as pages:
            while True:
                async with self._turn:
                    page = await anext(pages, None)
                if page is None:
                    return
                yield page

    def convert(self, page: Page) -> Batch:
        """Convert a page column by column."""
        rows, refused = self._set_apart(page.rows)
        encoded = self._encoder.encode(rows)
        width = len(self._columns)
        unfit = [
            RejectedRow(rows[r.row][width:], r.column, r.reason, rows[r.row][:width], r.fatal) for r in encoded.rejects
        ]
        adjusted = {self._columns[column]: count for column, count in encoded.adjusted.items()}
        return Batch(len(page.rows), encoded.rows, encoded.payload, page.last_key, (*refused, *unfit), adjusted)

    def _set_apart(self, rows: list[tuple[Value, ...]]) -> tuple[list[tuple[Value, ...]], list[RejectedRow]]:
        if not self._refused:
            return rows, []
        width = len(self._columns)
        kept, apart = [], []
        for row in rows:
            reason = self._refused.get(row[width:])
            if reason is None:
                kept.append(row)
            else:
                apart.append(RejectedRow(row[width:], None, reason, row[:width]))
        return kept, apart


class PortableEngine:
    """Always available; the definition of what a value means."""

    name = "portable"

    def __init__(self, missing: str = "") -> None:
        """`missing`: why the native engine, which would have been preferred, is not here."""
        self.missing = missing
        self._turn = asyncio.Lock()

    def table(
        self, connection: aiosqlite.Connection, table: TablePlan, *, refused: Mapping[Key, str] | None = None
    ) -> TableSource:
        """Return the table."""
        return PortableTable(connection, table, self._turn, refused or {})

    def digester(
        self, table: TablePlan, columns: Sequence[ColumnPlan], key: Sequence[int], buckets: int, rejected: Iterable[Key]
    ) -> None:
        """Return None: `TableDigest` is the definition."""

    def profiler(self, schema: SourceSchema) -> None:
        """Return None: `ColumnCounter` is the definition."""


def choose_engine(wish: str = "auto") -> Engine:
    """Return the engine asked for; UsageError when it is unknown or absent."""
    if wish not in ENGINES:
        raise UsageError(
            f"SQLITE2PG_ENGINE is {wish!r}, which is no engine", hint=f"choose one of {', '.join(ENGINES)}"
        )
    if wish == "portable":
        return PortableEngine()
    from copier.sqlite.library import LibraryAbsent
    from copier.sqlite.native import NativeEngine

    try:
        return NativeEngine()
    except LibraryAbsent as error:
        if wish == "native":
            raise UsageError(
                f"the native engine is not here: {error}",
                hint="install sqlite2pg where a C compiler is, or leave SQLITE2PG_ENGINE unset",
            ) from error
        return PortableEngine(missing=str(error))
