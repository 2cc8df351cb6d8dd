"""The steps of one salvage.

1. The schema is read from the pages, and the tables are created by their own text.
2. Tables whose pages SQLite's check finds sound are carried inside SQLite, one statement each, no value passing through
   Python. A damaged tree is walked page by page instead: sound leaves are carried by ranges of keys, the others cell by
   cell. What the tree no longer reaches is searched for.
3. Indexes; integrity_check; views, triggers and virtual tables, which no check needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import aiosqlite

from copier.errors import CopyFailed, SourceUnreadable
from copier.plan.names import quote
from copier.sqlite.btree_walk import tree_pages
from copier.sqlite.connection import connect, finish, query, run
from copier.sqlite.health import quick_check
from copier.sqlite.salvage.form import SEQUENCE, SOURCE, TableForm, read_forms
from copier.sqlite.salvage.orphans import SecondLook
from copier.sqlite.salvage.result import Loss, Losses, SalvageResult, TableSalvage
from copier.sqlite.salvage.rows import RowWriter
from copier.sqlite.salvage.schema import SchemaEntry, SchemaWriter, compare_binary, read_entries, stored_encoding
from copier.sqlite.salvage.source import MOST_PROBLEMS, SalvageSource
from copier.sqlite.salvage.table import TableCarrier

T = TypeVar("T")

PROBLEMS_LISTED = 100
_CACHE_KIB = 32 << 10
_PAGE = re.compile(r"\bpage (?:number )?(\d+)", re.IGNORECASE)
_CARRIED_PRAGMAS = ("user_version", "application_id")


class SalvageJob:
    """Fills the new file `partial` from an opened source; `problems` is what SQLite's check says of it."""

    def __init__(self, opened: SalvageSource, partial: Path, problems: Sequence[str]) -> None:
        self._opened = opened
        self._file = opened.pages
        self._partial = partial
        self._problems = problems
        self._losses = Losses()
        self._stop = threading.Event()
        self._entries: list[SchemaEntry] = []
        self._forms: list[TableForm] = []
        self._rows: dict[str, int] = {}
        self._collations: dict[str, str] = {}
        self._garbled: list[SchemaEntry] = []
        self._notes: list[str] = []

    async def run(self) -> None:
        """Do it. Raises sqlite3.Error, SourceUnreadable, CopyFailed."""
        settings = await run(self._opened.connection, _read_settings)
        self._encoding = stored_encoding(str(settings["encoding"]))
        self._read_schema()
        async with self._target() as target:
            await self._step(target, lambda raw: self._create_tables(raw, settings))
        if self._forms:
            async with self._target() as target:
                await self._step(target, self._carry)
        async with self._target() as target:
            await self._step(target, lambda raw: self._create_rest(raw, ("index",)))
            await self._check(target)
            await self._step(target, lambda raw: self._create_rest(raw, ("view", "trigger")))

    def result(self, to: Path, size_bytes: int, digest: str) -> SalvageResult:
        """Return what came of it."""
        notes = [
            f"{what} uses the collation {name}, which only the application has: let it run REINDEX on the new file"
            for name, what in self._collations.items()
        ]
        return SalvageResult(
            source=self._opened.path,
            path=to,
            size_bytes=size_bytes,
            sha256=digest,
            state=self._opened.state,
            tables=tuple(
                TableSalvage(form.name, self._rows[form.name], self._losses.count(form.name))
                for form in self._forms
                if form.name != SEQUENCE
            ),
            losses=self._losses.all(),
            problems=tuple(self._problems[:PROBLEMS_LISTED]),
            notes=(*self._notes, *notes),
        )

    def _read_schema(self) -> None:
        self._entries = read_entries(self._file, self._encoding, self._losses)
        lost = self._losses.all()
        if lost and not self._entries:
            raise _nothing(self._opened.path, f"its schema, which names the tables, cannot be read ({lost[0].reason})")

    def _create_tables(self, raw: sqlite3.Connection, settings: Mapping[str, str | int]) -> None:
        raw.execute(f"PRAGMA page_size = {self._file.page_bytes}")
        raw.execute(f"PRAGMA encoding = '{settings['encoding']}'")
        raw.execute(f"PRAGMA auto_vacuum = {settings['auto_vacuum']}")
        writer = SchemaWriter(raw, self._encoding, self._losses)
        tables = [e for e in self._entries if e.type == "table" and not e.is_internal and not e.is_virtual]
        raw.execute("BEGIN")
        created = writer.create(tables, functions=True)
        for name in _CARRIED_PRAGMAS:
            raw.execute(f"PRAGMA {name} = {settings[name]}")
        raw.execute("COMMIT")
        if tables and not created:
            reason = self._losses.all()[-1].reason
            raise _nothing(self._opened.path, f"the text of none of its tables is understood ({reason})")
        self._collations, self._garbled = writer.collations, writer.garbled
        internal = [entry for entry in self._entries if entry.name == SEQUENCE]
        self._forms = read_forms(raw, [*created, *internal])

    def _carry(self, raw: sqlite3.Connection) -> None:
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(f"ATTACH ? AS {SOURCE}", (self._opened.uri,))
        suspects = self._suspects()
        writer = RowWriter(raw, self._file, self._encoding, self._stop)
        carrier = TableCarrier(writer, self._losses, suspects)
        for form in self._forms:
            with _sequence_kept(raw, form):
                rows = None if self._is_damaged(form, suspects) else carrier.whole(form)
                if rows is None:
                    rows = carrier.rescue(form, thorough=self._is_half_checked(form))
                self._rows[form.name] = rows
            self._add_table_problems(form)
        second = SecondLook(self._file, self._entries, self._forms, carrier, self._losses, self._stop)
        # Where there are views or virtual tables, SQLite's check may not look for pages that nothing uses.
        half = any(entry.type == "view" or entry.is_virtual for entry in self._entries)
        unused = half or any("never used" in line for line in self._problems)
        for name, rows in second.run(unused=unused).items():
            self._rows[name] += rows
        self._notes += second.notes

    def _add_table_problems(self, form: TableForm) -> None:
        """List what the check says of a table's values without naming a page: they may be another table's."""
        for line in self._problems:
            if f" in {form.name}." in line:
                self._losses.add(Loss("suspect", form.name, line))

    def _suspects(self) -> dict[int, str]:
        """Return page -> the first line of the check that names it."""
        found: dict[int, str] = {}
        for line in self._problems:
            for number in _PAGE.findall(line):
                found.setdefault(int(number), line)
        return found

    def _is_damaged(self, form: TableForm, suspects: Mapping[int, str]) -> bool:
        """Whether the check found something about the pages of a table; SQLite might read them all the same."""
        if len(self._problems) >= MOST_PROBLEMS:
            return True
        return bool(suspects) and any(number in suspects for number in tree_pages(self._file, form.root))

    def _is_half_checked(self, form: TableForm) -> bool:
        """Whether the check ended before it had seen all of a table."""
        return len(self._problems) >= MOST_PROBLEMS or any(
            line.startswith(f"table {form.name}: ") for line in self._problems
        )

    def _create_rest(self, raw: sqlite3.Connection, kinds: Sequence[str]) -> None:
        """Create indexes, or all that comes after them."""
        writer = SchemaWriter(raw, self._encoding, self._losses)
        writer.collations, writer.garbled = self._collations, self._garbled
        entries = [entry for entry in self._entries if entry.type in kinds and not entry.is_internal]
        raw.execute("BEGIN")
        writer.create(sorted(entries, key=lambda entry: kinds.index(entry.type)))
        if "view" in kinds:
            writer.add_virtual([entry for entry in self._entries if entry.is_virtual])
            writer.put_back(writer.garbled)
        raw.execute("COMMIT")

    async def _check(self, target: aiosqlite.Connection) -> None:
        """Prove that the new file is sound and has the rows that were carried."""
        if problems := await quick_check(target, deep=True):
            raise CopyFailed(
                f"the salvaged file is damaged itself: {problems[0]}",
                hint="a disk or memory may fail: check them, and salvage again to another disk",
            )
        for form in self._forms:
            [(rows,)] = await query(target, f"SELECT count(*) FROM {quote(form.name)}")
            if form.name == SEQUENCE:
                self._rows[form.name] = rows
            elif rows != self._rows[form.name]:
                raise CopyFailed(
                    f"the salvaged file has {rows} rows in {form.name}, but {self._rows[form.name]} were carried",
                    hint="a disk or memory may fail: check them, and salvage again to another disk",
                    table=form.name,
                )

    @contextlib.asynccontextmanager
    async def _target(self) -> AsyncIterator[aiosqlite.Connection]:
        """A connection to the new file, which nobody else sees before it is whole and synced."""
        target = await connect(self._partial, "rw")
        try:
            for pragma in (
                "journal_mode = MEMORY",
                "synchronous = OFF",
                f"cache_size = -{_CACHE_KIB}",
                "foreign_keys = OFF",
                "ignore_check_constraints = ON",
            ):
                await query(target, f"PRAGMA {pragma}")
            await run(target, self._register)
            yield target
        finally:
            await finish(target.close())

    def _register(self, raw: sqlite3.Connection) -> None:
        for name in self._collations:
            raw.create_collation(name, compare_binary)

    async def _step(self, connection: aiosqlite.Connection, step: Callable[[sqlite3.Connection], T]) -> T:
        """Run a step on the connection's thread; a cancelled one ends at its next statement."""
        work = asyncio.ensure_future(run(connection, step))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self._stop.set()
            work.cancel()
            await asyncio.wait([work])
            raise


def _read_settings(raw: sqlite3.Connection) -> dict[str, str | int]:
    return {
        name: raw.execute(f"PRAGMA {name}").fetchone()[0] for name in ("encoding", "auto_vacuum", *_CARRIED_PRAGMAS)
    }


@contextlib.contextmanager
def _sequence_kept(raw: sqlite3.Connection, form: TableForm) -> Iterator[None]:
    """Around carrying sqlite_sequence: what inserting rows has left there goes first, and comes back if it is more."""
    if form.name != SEQUENCE:
        yield
        return
    made = raw.execute(f"SELECT name, seq FROM main.{SEQUENCE}").fetchall()
    raw.execute(f"DELETE FROM main.{SEQUENCE}")
    yield
    for name, seq in made:
        known = raw.execute(f"SELECT max(seq) FROM main.{SEQUENCE} WHERE name = ?", (name,)).fetchone()[0]
        if known is None:
            raw.execute(f"INSERT INTO main.{SEQUENCE} (name, seq) VALUES (?, ?)", (name, seq))
        elif isinstance(known, int) and known < seq:
            raw.execute(f"UPDATE main.{SEQUENCE} SET seq = ? WHERE name = ?", (seq, name))


def _nothing(path: Path, why: str) -> SourceUnreadable:
    return SourceUnreadable(f"nothing can be salvaged from {path}: {why}", hint="restore a backup of it")
