"""The native engine: the compiled scanner reads pages and writes COPY bytes without holding the GIL.

It steps the very connection that the snapshot pinned, on that connection's own thread, so it is in the same transaction
by construction. Rows with a value it does not know go through `PortableTable`, as do rows refused beforehand, and what
it cannot read at all: tables without a key, and ranges that end somewhere (a gap of a resumed run, a chunk read again
row by row).
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import aiosqlite

from copier.plan.model import ColumnPlan, TablePlan
from copier.plan.source import Key, SourceSchema, Value
from copier.sqlite.connection import run
from copier.sqlite.engine import Batch, DigestPage, PortableEngine, TableSource
from copier.sqlite.keyset import make_keyset
from copier.sqlite.library import LibraryAbsent, find_functions, handle_of
from copier.sqlite.pages import Page, PageReader
from copier.wire.digest import Fields
from copier.wire.hashes import find_hashes

if TYPE_CHECKING:
    from copier.sqlite.native_profile import NativeProfiler
    from copier.wire.kernel import Columns, Digest, Library, Scanner

T = TypeVar("T")
Found = tuple[T, int, int, Key, Key, list[tuple[Value, ...]], bool]
"""What `Scanner.scan` returns."""
Scan = Callable[[int, bytes, Sequence[Value]], Found[T]]

PAGE_BYTES = 256 << 10
"""Long enough that the hop to the thread costs little, short enough to stay in the cache and to make small chunks."""


@dataclass(frozen=True, slots=True)
class NativePage(Page):
    """A page already converted, but for `rows`: those handed over."""

    payload: bytes
    read_rows: int
    encoded_rows: int


class NativeReader(PageReader):
    """Reads pages with a scanner: what it made of them instead of rows."""

    async def native_pages(self, scanner: Scanner, after: Key | None) -> AsyncGenerator[NativePage, None]:
        """Yield the rows with after < key in the key's order; errors as of `PageReader.pages`."""
        async with aclosing(self.scan_pages(after, scanner.scan)) as pages:
            async for payload, read_rows, encoded, first, last, rows, _ in pages:
                yield NativePage(rows, first, last, len(payload), payload, read_rows, encoded)

    async def digest_pages(self, scanner: Scanner, digest: Digest) -> AsyncGenerator[DigestPage, None]:
        """Digest all rows; errors as of `PageReader.pages`."""

        def scan(handle: int, sql: bytes, parameters: Sequence[Value]) -> Found[list[Fields]]:
            return scanner.scan(handle, sql, parameters, digest)

        async with aclosing(self.scan_pages(None, scan)) as pages:
            async for fields, read_rows, _, _, _, rows, _ in pages:
                yield DigestPage(read_rows, rows, fields)

    async def scan_pages(self, after: Key | None, scan: Scan[T]) -> AsyncGenerator[Found[T], None]:
        """Yield what `scan` returns of each page; errors as of `PageReader.pages`."""
        more = True
        while more:
            found = await self._scan_page(after, scan)
            _, read_rows, _, first, last, _, more = found
            if not read_rows:
                return
            if first == after:
                raise self._unreadable("its key does not come back as it was stored, so it has no order", after)
            after = last
            yield found

    async def _scan_page(self, after: Key | None, scan: Scan[T]) -> Found[T]:
        from copier.wire.kernel import ScanError

        def read(raw: sqlite3.Connection) -> Found[T]:
            if self._keyset is None:
                self._keyset = make_keyset(raw, self._table, self._columns, self._key)
            sql, parameters = self._keyset.page(after, None)
            return scan(handle_of(raw), sql.encode(), parameters)

        try:
            return await run(self._connection, read)
        except (sqlite3.Error, ScanError) as error:
            raise self._unreadable(str(error), after) from error


class NativeTable:
    """One table: pages of the scanner, what it handed over by `portable`."""

    def __init__(self, reader: NativeReader, scanner: Scanner, portable: TableSource) -> None:
        self._reader = reader
        self._scanner = scanner
        self._portable = portable

    async def pages(self, after: Key | None, upto: Key | None) -> AsyncGenerator[Page, None]:
        """Yield pages; those of a range with an end are the portable table's and hold all their rows."""
        if upto is not None:
            async with aclosing(self._portable.pages(after, upto)) as pages:
                async for page in pages:
                    yield page
            return
        async with aclosing(self._reader.native_pages(self._scanner, after)) as natives:
            async for native in natives:
                yield native

    def convert(self, page: Page) -> Batch:
        """Add the rows handed over to a page's payload."""
        if not isinstance(page, NativePage):
            return self._portable.convert(page)
        if not page.rows:
            return Batch(page.read_rows, page.encoded_rows, page.payload, page.last_key)
        rest = self._portable.convert(page)
        return Batch(
            page.read_rows,
            page.encoded_rows + rest.rows,
            page.payload + rest.payload,
            page.last_key,
            rest.rejects,
            rest.adjusted,
            fallback_rows=len(page.rows),
        )


class NativeDigester:
    """The sums of `TableDigest` of one table, its source read by the scanner, its target as binary COPY."""

    def __init__(
        self,
        table: TablePlan,
        columns: Sequence[ColumnPlan],
        key: Sequence[int],
        buckets: int,
        hashes: tuple[int, int],
        scanner: Scanner,
    ) -> None:
        self._table = table
        self._names = [c.source for c in columns]
        self._shape = hashes, [c.type.wire for c in columns], list(key), buckets
        self._scanner = scanner
        self._source = self._digest()
        self._target = self._digest()

    def _digest(self) -> Digest:
        from copier.wire.kernel import Digest

        return Digest(*self._shape)

    async def pages(self, connection: aiosqlite.Connection) -> AsyncGenerator[DigestPage, None]:
        """Digest the source; errors as of `PageReader.pages`."""
        reader = NativeReader(connection, self._table.source, self._names, self._table.key)
        async with aclosing(reader.digest_pages(self._scanner, self._source)) as pages:
            async for page in pages:
                yield page

    def feed(self, data: bytes) -> list[Fields]:
        """Digest a piece of the target's binary COPY; ValueError when it is none."""
        return self._target.feed(data)

    def source_sums(self) -> tuple[list[int], list[int]]:
        """Return what `TableDigest.merge` takes."""
        return self._source.result()

    def target_sums(self) -> tuple[list[int], list[int]]:
        """Return what `TableDigest.merge` takes."""
        return self._target.result()


class NativeEngine:
    """Available where the kernel was built and Python's SQLite shows its functions; else LibraryAbsent."""

    name = "native"

    def __init__(self) -> None:
        self._library = load_library()
        self._portable = PortableEngine()

    def table(
        self, connection: aiosqlite.Connection, table: TablePlan, *, refused: Mapping[Key, str] | None = None
    ) -> TableSource:
        """Return the table."""
        portable = self._portable.table(connection, table, refused=refused)
        if not table.key:
            return portable
        names = [c.source for c in table.copied]
        scanner = make_scanner(self._library, table.copied, len(table.key))
        scanner.set_apart(refused or ())
        return NativeTable(NativeReader(connection, table.source, names, table.key), scanner, portable)

    def digester(
        self, table: TablePlan, columns: Sequence[ColumnPlan], key: Sequence[int], buckets: int, rejected: Iterable[Key]
    ) -> NativeDigester | None:
        """Return what digests the table, or None where `TableDigest` must."""
        hashes = find_hashes()
        if hashes is None or not table.key:
            return None
        scanner = make_scanner(self._library, columns, len(table.key))
        scanner.set_apart(rejected)
        return NativeDigester(table, columns, key, buckets, hashes, scanner)

    def profiler(self, schema: SourceSchema) -> NativeProfiler:
        """Return what profiles the tables of `schema`."""
        from copier.sqlite.native_profile import NativeProfiler

        return NativeProfiler(self._library, schema)


def load_library() -> Library:
    """Return SQLite's functions for the kernel; LibraryAbsent says why there are none."""
    try:
        from copier.wire import kernel
    except ImportError as error:
        raise LibraryAbsent(f"the kernel was not built: {error}") from error
    return kernel.Library(find_functions(kernel.SYMBOLS))


def kernel_columns(columns: Sequence[ColumnPlan]) -> Columns:
    """Return what the scanner needs to know of each column."""
    from copier.wire.kernel import Columns

    return Columns([(c.type.wire, c.cast, c.type.args) for c in columns])


def make_scanner(
    library: Library, columns: Sequence[ColumnPlan], key_width: int, page_bytes: int = PAGE_BYTES
) -> Scanner:
    """Return a scanner of these columns followed by `key_width` of the key."""
    from copier.wire.kernel import Scanner

    return Scanner(library, kernel_columns(columns), key_width, page_bytes)
