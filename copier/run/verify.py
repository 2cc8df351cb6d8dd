"""The proof: counts and content of both sides, read again.

Every source row is cast and encoded as in the copy, every target row is read back as binary COPY; both are brought to a
canonical form and digested, per bucket of key hashes, in any order. Where buckets differ, only those are read a second
time, and their rows are paired by key to name what differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field

import aiosqlite

from copier.plan.model import TablePlan
from copier.plan.source import Value
from copier.postgres.ledger_tables import Connection
from copier.postgres.readback import Fields, read_back
from copier.report import REJECTS_SHOWN, Mismatch
from copier.run.retried import RetriedRows
from copier.run.sample import can_sample, condition
from copier.sqlite.engine import Digester, Engine, column_specs
from copier.sqlite.pages import PageReader
from copier.sqlite.spread import is_small, sampled_rows
from copier.wire.binary import RowEncoder
from copier.wire.canonical import canonical
from copier.wire.decode import decode_field
from copier.wire.digest import TableDigest
from copier.wire.keys import key_from_json, key_to_json, show_key, show_value

BUCKETS = 4096
FEW_BUCKETS = 64
"""For a small table: with thousands of tables, thousands of buckets each would be most of the work."""

SHOWN_CHARS = 50
"""How much of two long values is shown, around the place where they begin to differ."""

NARROWED = 64
"""Buckets looked into when rows differ: enough for the first mismatches, and memory stays bounded."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class TableCheck:
    """What the comparison of one table found."""

    source_rows: int = 0
    """Rows of the source, rejected ones included."""
    excluded_rows: int = 0
    """Of these, rows the ledger lists as rejected."""
    target_rows: int = 0
    equal: bool = False
    differing_buckets: int = 0
    sampled_rows: int | None = 0
    """Rows compared once more by the portable engine; None where rows cannot be asked for by a key."""
    mismatches: list[Mismatch] = field(default_factory=list)


class ContentCheck:
    """Compares one table. `rejected` are keys, as `key_to_json` writes them, of rows not expected in the target.

    `rejected_rows` is how many rows the ledger lists as rejected: for a table without a key that is all it can say.
    """

    def __init__(
        self,
        table: TablePlan,
        schema: str,
        rejected: Collection[str],
        rejected_rows: int,
        xids: list[int] | None,
        turn: asyncio.Lock,
        engine: Engine,
        progress: Progress,
        retried: RetriedRows | None = None,
    ) -> None:
        self._table = table
        self._schema = schema
        self._rejected = rejected
        self._rejected_rows = rejected_rows
        self._xids = xids
        self._turn = turn
        self._engine = engine
        self._progress = progress
        self._retried = retried or RetriedRows(table, ())
        self._columns = table.columns
        self._types = [c.type for c in self._columns]
        names = [c.source for c in self._columns]
        self._key = [names.index(name) for name in table.identity_columns if name in names]
        if len(self._key) != len(table.identity_columns):
            self._key = []
        self._encoder = RowEncoder(column_specs(self._columns))
        self._unfit: list[Mismatch] = []
        self._buckets = BUCKETS

    async def run(self, source: aiosqlite.Connection, target: Connection) -> TableCheck:
        """Compare, and name what differs."""
        check = TableCheck()
        small = await is_small(source, self._table)
        self._buckets = FEW_BUCKETS if small else BUCKETS
        ours, theirs = self._digest(), self._digest()
        rejected = map(key_from_json, (*self._rejected, *self._retried.keys))
        # A small table goes the portable way as a whole, instead of a sample of it.
        fast = None if small else self._engine.digester(self._table, self._columns, self._key, self._buckets, rejected)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._digest_source(source, ours, check, fast))
            group.create_task(self._digest_target(target, theirs, check, fast))
        differing = ours.differing(theirs)
        check.differing_buckets = len(differing)
        check.mismatches = self._unfit[:REJECTS_SHOWN]
        check.equal = not differing and not self._unfit
        if differing:
            chosen = frozenset(sorted(differing)[:NARROWED])
            room = REJECTS_SHOWN - len(check.mismatches)
            check.mismatches += (await self._narrow(source, target, chosen))[:room]
        elif fast is not None and check.equal:
            check.sampled_rows, found = await self._sample(source, target)
            check.mismatches, check.equal = found[:REJECTS_SHOWN], not found
        return check

    def _digest(self) -> TableDigest:
        return TableDigest(self._types, self._key, self._buckets)

    async def _digest_source(
        self, source: aiosqlite.Connection, digest: TableDigest, check: TableCheck, fast: Digester | None
    ) -> None:
        self._unfit = []
        self._retried.begin()
        async with aclosing(self._source_rows(source) if fast is None else self._digested_rows(source, fast)) as pages:
            async for read_rows, rows in pages:
                digest.add(rows)
                check.source_rows += read_rows
                self._progress(read_rows, 0)
        if fast is not None:
            digest.merge(*fast.source_sums())
        if not self._table.key and len(self._unfit) == self._rejected_rows:
            # Without a key the ledger cannot say which rows it holds, only how many.
            self._unfit = []
        check.excluded_rows = check.source_rows - digest.rows - len(self._unfit)

    async def _digest_target(
        self, target: Connection, digest: TableDigest, check: TableCheck, fast: Digester | None
    ) -> None:
        names = [c.target for c in self._columns]
        feed = None if fast is None else fast.feed
        rows = read_back(target, self._schema, self._table.target, names, xids=self._xids, feed=feed)
        async with aclosing(rows) as found:
            async for some in found:
                digest.add(some)
        if fast is not None:
            digest.merge(*fast.target_sums())
        check.target_rows = digest.rows

    async def _digested_rows(
        self, source: aiosqlite.Connection, fast: Digester
    ) -> AsyncGenerator[tuple[int, list[Fields]], None]:
        """Yield, of each page, how many rows were read, and those that are not digested yet."""
        async with aclosing(fast.pages(source)) as pages:
            async for page in pages:
                yield page.read_rows, page.fields + self._encode(page.rows)

    async def _source_rows(self, source: aiosqlite.Connection) -> AsyncGenerator[tuple[int, list[Fields]], None]:
        names = [c.source for c in self._columns]
        reader = PageReader(source, self._table.source, names, self._table.key)
        async with aclosing(reader.pages(None, None)) as pages:
            while True:
                async with self._turn:
                    page = await anext(pages, None)
                if page is None:
                    return
                yield len(page.rows), self._encode(page.rows)

    def _encode(self, rows: list[tuple[Value, ...]]) -> list[Fields]:
        kept = self._without_rejected(rows, len(self._columns))
        kept, retried = self._retried.apart(kept)
        fields, unfit = self._encoder.encode_fields(kept)
        for reject in unfit:
            known = self._retried.unfit(kept[reject.row])
            if known is not None:
                retried.append(known)
            else:
                self._unfit.append(self._unfit_row(kept[reject.row], reject.column, reject.reason))
        return fields + retried

    def _without_rejected(self, rows: list[tuple[Value, ...]], width: int) -> list[tuple[Value, ...]]:
        if not self._rejected or not self._table.key:
            return rows
        return [row for row in rows if key_to_json(row[width:]) not in self._rejected]

    def _unfit_row(self, row: tuple[Value, ...], column: int, reason: str) -> Mismatch:
        width = len(self._columns)
        key = show_key(self._table.key, row[width:])
        value = f"{show_value(row[column])} ({reason}; neither copied nor listed as rejected)"
        return Mismatch(self._table.source, key, self._columns[column].source, value, None)

    async def _sample(self, source: aiosqlite.Connection, target: Connection) -> tuple[int | None, list[Mismatch]]:
        """Compare some rows without the kernel; return how many, and what differs."""
        if not can_sample(self._columns, self._key):
            return None, []
        names = [c.source for c in self._columns]
        async with self._turn:
            rows = await sampled_rows(source, self._table, names)
        ours = [row for row in self._encode(rows) if all(row[i] is not None for i in self._key)]
        keys = {self._key_of(row) for row in ours}
        only = condition(self._columns, self._key, ours)
        theirs: list[Fields] = []
        targets = [c.target for c in self._columns]
        back = read_back(target, self._schema, self._table.target, targets, xids=self._xids, only=only)
        async with aclosing(back) as found:
            async for some in found:
                theirs += [row for row in some if self._key_of(row) in keys]
        return len(ours), self._pair(self._digest(), ours, theirs) + self._unfit

    async def _narrow(
        self, source: aiosqlite.Connection, target: Connection, buckets: frozenset[int]
    ) -> list[Mismatch]:
        digest = self._digest()
        ours: list[Fields] = []
        self._unfit = []
        self._retried.begin()
        async for _, rows in self._source_rows(source):
            ours += [row for row in rows if digest.bucket_of(row) in buckets]
        theirs: list[Fields] = []
        names = [c.target for c in self._columns]
        async with aclosing(read_back(target, self._schema, self._table.target, names, xids=self._xids)) as found:
            async for rows in found:
                theirs += [row for row in rows if digest.bucket_of(row) in buckets]
        return self._pair(digest, ours, theirs)

    def _pair(self, digest: TableDigest, ours: list[Fields], theirs: list[Fields]) -> list[Mismatch]:
        left, right = _surplus(digest, ours, theirs)
        by_key: dict[tuple[bytes | None, ...], list[Fields]] = {}
        for row in right:
            by_key.setdefault(self._key_of(row), []).append(row)
        found: list[Mismatch] = []
        for row in left:
            partners = by_key.get(self._key_of(row))
            found += self._differences(row, partners.pop() if partners else None)
        for rows in by_key.values():
            for row in rows:
                found += self._differences(None, row)
        return found

    def _key_of(self, row: Fields) -> tuple[bytes | None, ...]:
        return tuple(self._canonical(i, row[i]) for i in self._key or range(len(row)))

    def _differences(self, ours: Fields | None, theirs: Fields | None) -> list[Mismatch]:
        some = ours if ours is not None else theirs
        assert some is not None
        shown = self._key or range(len(self._columns))
        key = ", ".join(f"{self._columns[i].source}={self._show(i, some[i])}" for i in shown)[:300]
        if ours is None or theirs is None:
            present = "present"
            return [Mismatch(self._table.source, key, None, present if ours else None, present if theirs else None)]
        return [
            Mismatch(self._table.source, key, column.source, *_around(self._show(i, ours[i]), self._show(i, theirs[i])))
            for i, column in enumerate(self._columns)
            if self._canonical(i, ours[i]) != self._canonical(i, theirs[i])
        ]

    def _show(self, column: int, payload: bytes | None) -> str:
        return "NULL" if payload is None else decode_field(self._types[column], payload)

    def _canonical(self, column: int, payload: bytes | None) -> bytes | None:
        convert = canonical(self._types[column])
        return payload if payload is None or convert is None else convert(payload)


def _around(ours: str, theirs: str) -> tuple[str, str]:
    """Cut two long texts to where they begin to differ."""
    if max(len(ours), len(theirs)) <= SHOWN_CHARS:
        return ours, theirs
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    start = max(0, same - SHOWN_CHARS // 2)
    end = start + SHOWN_CHARS

    def cut(text: str) -> str:
        return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")

    return cut(ours), cut(theirs)


def _surplus(digest: TableDigest, ours: list[Fields], theirs: list[Fields]) -> tuple[list[Fields], list[Fields]]:
    """Return what is left of both lists when equal rows have cancelled out, one for one."""
    pool: dict[object, list[Fields]] = {}
    for row in theirs:
        pool.setdefault(digest.row_digest(row), []).append(row)
    left = []
    for row in ours:
        twins = pool.get(digest.row_digest(row))
        if twins:
            twins.pop()
        else:
            left.append(row)
    return left, [row for rows in pool.values() for row in rows]
