"""The engine: how rows of a table become COPY bytes. One interface; `portable` is the definition of it.

SQLITE2PG_ENGINE forces one: `portable`, `native` (an error when it is absent, so that no run degrades unseen), `auto`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import aiosqlite

from copier.errors import UsageError
from copier.plan.chunk import RejectedRow
from copier.plan.model import ColumnPlan, TablePlan
from copier.plan.source import Key, Value
from copier.sqlite.pages import Page, PageReader
from copier.wire.binary import ColumnSpec, RowEncoder

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


class TableSource(Protocol):
    """One table, open for reading on one connection."""

    def pages(self, after: Key | None, upto: Key | None) -> AsyncGenerator[Page]:
        """Yield pages of the rows with after < key <= upto, in key order."""

    def convert(self, page: Page) -> Batch:
        """Convert a page; never raises for a value."""


class Engine(Protocol):
    """Opens tables."""

    name: str

    def table(
        self, connection: aiosqlite.Connection, table: TablePlan, *, refused: Mapping[Key, str] | None = None
    ) -> TableSource:
        """Return the table, read through a connection nobody else uses meanwhile.

        `refused` are rows to reject whatever their values are, with the reason of each (orphans to quarantine).
        """


def column_specs(columns: Sequence[ColumnPlan]) -> list[ColumnSpec]:
    """Return what the encoder needs to know of each column."""
    return [ColumnSpec(c.type, c.cast, c.policy, c.default_constant) for c in columns]


def orphan_reason(parent: str) -> str:
    """The words for a row whose parent is missing."""
    return f"no row in {parent} that its foreign key names"


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

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    def table(
        self, connection: aiosqlite.Connection, table: TablePlan, *, refused: Mapping[Key, str] | None = None
    ) -> TableSource:
        """Return the table."""
        return PortableTable(connection, table, self._turn, refused or {})


def choose_engine(wish: str = "auto") -> Engine:
    """Return the engine asked for; UsageError when it is unknown or absent."""
    if wish not in ENGINES:
        raise UsageError(
            f"SQLITE2PG_ENGINE is {wish!r}, which is no engine", hint=f"choose one of {', '.join(ENGINES)}"
        )
    makers: dict[str, Callable[[], Engine]] = {"portable": PortableEngine}
    for name in ("native", "portable") if wish == "auto" else (wish,):
        if name in makers:
            return makers[name]()
    raise UsageError(f"the {wish} engine is not installed", hint="leave SQLITE2PG_ENGINE unset, or set it to portable")
