"""Keyset pages: a table's rows in key order, a bounded number of rows and bytes at a time, one thread hop each."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass

import aiosqlite

from copier.errors import SourceUnreadable
from copier.plan.names import quote
from copier.plan.source import Key, Value
from copier.sqlite.connection import query, run
from copier.sqlite.keyset import Keyset, make_keyset
from copier.wire.cast import BrokenText
from copier.wire.keys import show_key

Row = tuple[Value, ...]

FAST_VALUE_BYTES = 64 << 10
"""Larger values are fetched row by row. SQLite refuses them to the fast path before it reads them
(SQLITE_LIMIT_LENGTH), so that no run of huge values after small ones can fill the memory."""

MAX_CHUNK_ROWS = 256
"""Rows fetched without a look at their size: with the limit above, at most 16 MiB per column."""

SAMPLE_EVERY = 16
"""Measuring every value would cost a sixth of reading it."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page: the selected columns followed by the key. Never empty."""

    rows: list[Row]
    first_key: Key
    last_key: Key
    """() in a scan without a key."""
    bytes: int
    """Rough size of the values."""


class PageReader:
    """Reads one table through one connection that nobody else uses meanwhile.

    `key` is a spelling of rowid, or the whole primary key, or () for a table that can only be read in one scan. Errors:
    SourceUnreadable with the table and the last key read, when SQLite cannot read on.
    """

    def __init__(
        self,
        connection: aiosqlite.Connection,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        *,
        page_rows: int = 1000,
        page_bytes: int = 1 << 20,
    ) -> None:
        self._connection = connection
        self._table = table
        self._columns = tuple(columns)
        self._key = tuple(key)
        self._page_rows = max(1, page_rows)
        self._page_bytes = max(1, page_bytes)
        self._chunk_rows = SAMPLE_EVERY
        self._keyset: Keyset | None = None

    async def pages(self, after: Key | None = None, upto: Key | None = None) -> AsyncGenerator[Page, None]:
        """Yield the rows with after < key <= upto in the key's order; close it (`aclosing`) when left early."""
        if not self._key:
            if after is not None or upto is not None:
                raise ValueError("a scan has no key to begin or end at")
            async with aclosing(self._scan()) as pages:
                async for page in pages:
                    yield page
            return
        width, more = len(self._key), True
        while more:
            rows, size, more = await self._read_page(after, upto)
            if not rows:
                return
            first, last = rows[0][-width:], rows[-1][-width:]
            if first == after:
                raise self._unreadable("its key does not come back as it was stored, so it has no order", after)
            after = last
            yield Page(rows, first, last, size)

    async def _read_page(self, after: Key | None, upto: Key | None) -> tuple[list[Row], int, bool]:
        def read(raw: sqlite3.Connection) -> tuple[list[Row], int, bool]:
            if self._keyset is None:
                self._keyset = make_keyset(raw, self._table, self._columns, self._key)
            return self._fetch(raw, *self._keyset.page(after, upto))

        try:
            return await run(self._connection, read)
        except sqlite3.Error as error:
            raise self._unreadable(str(error), after) from error

    def _fetch(self, raw: sqlite3.Connection, sql: str, parameters: Sequence[Value]) -> tuple[list[Row], int, bool]:
        """Return rows, their rough size, and whether there may be more."""
        usual = raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, FAST_VALUE_BYTES)
        try:
            return self._fetch_fast(raw, sql, parameters)
        except sqlite3.Error as error:
            if not (_is_too_big(error) or _is_broken_text(error)):
                raise
        finally:
            raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, usual)
        cursor = raw.cursor()
        with _careful_text(raw):
            try:
                return self._fetch_rows(cursor.execute(sql, parameters))
            finally:
                cursor.close()

    def _fetch_fast(
        self, raw: sqlite3.Connection, sql: str, parameters: Sequence[Value]
    ) -> tuple[list[Row], int, bool]:
        rows: list[Row] = []
        size = 0
        cursor = raw.cursor()
        try:
            cursor.execute(sql, parameters)
            while len(rows) < self._page_rows and size < self._page_bytes:
                wanted = min(self._chunk_rows, self._page_rows - len(rows))
                chunk = cursor.fetchmany(wanted)
                rows += chunk
                if len(chunk) < wanted:
                    return rows, size + _rough_bytes(chunk), False
                chunk_bytes = _rough_bytes(chunk)
                size += chunk_bytes
                self._adapt(wanted, chunk_bytes)
        except sqlite3.DataError as error:
            if not (rows and _is_too_big(error)):
                raise
        finally:
            cursor.close()
        return rows, size, True

    def _adapt(self, chunk_rows: int, chunk_bytes: int) -> None:
        """Aim at four chunks a page, growing slowly and shrinking at once."""
        fitting = self._page_bytes * chunk_rows // (4 * chunk_bytes)
        self._chunk_rows = max(1, min(fitting, 4 * chunk_rows, MAX_CHUNK_ROWS))

    def _fetch_rows(self, cursor: sqlite3.Cursor) -> tuple[list[Row], int, bool]:
        """Fetch row by row with exact sizes."""
        rows: list[Row] = []
        size = 0
        while len(rows) < self._page_rows and size < self._page_bytes:
            row = cursor.fetchone()
            if row is None:
                return rows, size, False
            rows.append(row)
            size += _row_bytes(row)
        return rows, size, True

    async def _scan(self) -> AsyncGenerator[Page, None]:
        """One statement over all pages: an error would end it for good, so it reads with care from the start."""
        names = ", ".join(f"t.{quote(name)}" for name in self._columns)
        sql = f"SELECT {names} FROM {quote(self._table)} AS t"
        cursors: list[sqlite3.Cursor] = []

        def read(raw: sqlite3.Connection) -> tuple[list[Row], int, bool]:
            with _careful_text(raw):
                if not cursors:
                    cursors.append(raw.cursor())
                    cursors[0].execute(sql)
                return self._fetch_rows(cursors[0])

        def close(_: sqlite3.Connection) -> None:
            for cursor in cursors:
                cursor.close()

        more = True
        try:
            while more:
                rows, size, more = await run(self._connection, read)
                if rows:
                    yield Page(rows, (), (), size)
        except sqlite3.Error as error:
            raise self._unreadable(str(error), None) from error
        finally:
            with suppress(ValueError, sqlite3.ProgrammingError):  # the connection may be closed already
                await run(self._connection, close)

    def _unreadable(self, reason: str, last: Key | None) -> SourceUnreadable:
        shown = show_key(self._key, last) if last else None
        where = f" after {shown}" if shown else ""
        return SourceUnreadable(
            f"table {self._table} cannot be read{where}: {reason}",
            hint="run `sqlite3 FILE 'PRAGMA integrity_check'`; restore a backup if it reports damage",
            table=self._table,
            key=shown,
        )


async def count_rows(connection: aiosqlite.Connection, table: str) -> int:
    """Return the number of rows of `table`; raises sqlite3.Error."""
    sql = f"SELECT count(*) FROM {quote(table)}"
    try:
        [(count,)] = await query(connection, sql)
    except sqlite3.OperationalError as error:
        if "no such collation" not in str(error):
            raise
        # SQLite counts over the smallest index, which here needs a collation only the application has
        [(count,)] = await query(connection, f"{sql} NOT INDEXED")
    return int(count)


@contextmanager
def _careful_text(raw: sqlite3.Connection) -> Iterator[None]:
    usual = raw.text_factory
    raw.text_factory = _str_or_broken
    try:
        yield
    finally:
        raw.text_factory = usual


def _str_or_broken(raw: bytes) -> str | BrokenText:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return BrokenText(raw)


def _is_too_big(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "") == "SQLITE_TOOBIG"


def _is_broken_text(error: sqlite3.Error) -> bool:
    """Python's own error for text that is not UTF-8: it has a message only."""
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith("Could not decode to UTF-8")


def _row_bytes(row: Row) -> int:
    return 8 * len(row) + sum([len(value) for value in row if isinstance(value, str | bytes)])


def _rough_bytes(rows: list[Row]) -> int:
    """Size of a chunk, from a sample when it is long."""
    if len(rows) <= SAMPLE_EVERY:
        return sum(map(_row_bytes, rows))
    sample = rows[::SAMPLE_EVERY]
    return sum(map(_row_bytes, sample)) * len(rows) // len(sample)
