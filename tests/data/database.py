"""Writes a generated database, spoils some of its values, and keeps account of what must be rejected."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from copier.plan.names import quote

from .expected import Expected, Rejected, Value
from .faker import Faker

FEW = 100
"""One misfit in so many filled values keeps a column's type; more would widen it."""


class Database:
    """A new SQLite file being filled. Use as a context manager; `finish` gives the expectations."""

    def __init__(self, path: Path, *, seed: int, dirt: bool) -> None:
        self.fake = Faker(seed)
        self.connection = sqlite3.connect(path, isolation_level=None)
        self._dirt = dirt
        self._spoiled: defaultdict[str, set[int]] = defaultdict(set)
        self._misfits: Counter[tuple[str, str]] = Counter()
        self._rejected: list[Rejected] = []
        self._orphans: dict[tuple[str, str], int] = {}

    def __enter__(self) -> Self:
        # Nobody else reads the file yet: no journal, no fsync.
        self.connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        self.connection.execute("BEGIN")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with closing(self.connection):
            if kind is None:
                self.connection.execute("COMMIT")

    def script(self, sql: str) -> None:
        """Run several statements inside the open transaction."""
        statement = ""
        for line in sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self.connection.execute(statement)
                statement = ""
        if statement.strip():
            raise ValueError(f"not a whole statement: {statement.strip()!r}")

    def fill(self, table: str, columns: str, rows: Iterable[Sequence[Value]]) -> None:
        """Insert rows; `columns` are names separated by spaces."""
        names = columns.split()
        places = ", ".join("?" * len(names))
        listed = ", ".join(map(quote, names))
        self.connection.executemany(f"INSERT INTO {quote(table)} ({listed}) VALUES ({places})", rows)

    def spoil(self, table: str, column: str, values: Sequence[Value | bytes], why: str, *, where: str = "TRUE") -> None:
        """Put values that the column's type cannot hold, each into a row of its own that must then be rejected.

        Bytes are stored as text. Only as many are put as leave the column its type, so few or none in a small table.
        """
        for rowid in self._victims(table, column, len(values), where):
            value = values[self._misfits[table, column] % len(values)]
            bind = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
            key = self._key(table, rowid)
            self.connection.execute(
                f"UPDATE {quote(table)} SET {quote(column)} = {bind} WHERE rowid = ?", (value, rowid)
            )
            self._misfits[table, column] += 1
            self._rejected.append(Rejected(table, key, column, why, rowid))

    def orphan(self, table: str, column: str, values: Sequence[Value]) -> None:
        """Point rows at parents that do not exist; they are copied all the same."""
        if put := self.set(table, column, values):
            self._orphans[table, column] = put

    def set(self, table: str, column: str, values: Sequence[Value]) -> int:
        """Put unusual values that must arrive; return how many were put."""
        victims = self._victims(table, column, len(values), "TRUE")
        for rowid, value in zip(victims, values, strict=False):
            self.connection.execute(f"UPDATE {quote(table)} SET {quote(column)} = ? WHERE rowid = ?", (value, rowid))
        return len(victims)

    def finish(self, types: Mapping[str, Mapping[str, str]]) -> Expected:
        """Count the rows and return what is expected."""
        count = "SELECT count(*) FROM {}"
        rows = {table: self.connection.execute(count.format(quote(table))).fetchone()[0] for table in types}
        real = {table: dict(columns) for table, columns in types.items()}
        return Expected(rows, real, tuple(self._rejected), dict(self._orphans), next_ids(self.connection, types))

    def _victims(self, table: str, column: str, wanted: int, where: str) -> list[int]:
        """Return rowids with a value in the column, spread over the table, no row twice."""
        if not self._dirt:
            return []
        filled = f"FROM {quote(table)} WHERE {quote(column)} IS NOT NULL"
        (total,) = self.connection.execute(f"SELECT count(*) {filled}").fetchone()
        wanted = min(wanted, total // FEW - self._misfits[table, column])
        found = self.connection.execute(f"SELECT rowid {filled} AND ({where}) ORDER BY rowid").fetchall()
        free = [rowid for (rowid,) in found if rowid not in self._spoiled[table]]
        if wanted <= 0 or len(free) < wanted:
            return []
        step = len(free) // wanted
        chosen = free[step // 2 :: step][:wanted]
        self._spoiled[table].update(chosen)
        return chosen

    def _key(self, table: str, rowid: int) -> tuple[Value, ...]:
        info = self.connection.execute(f"PRAGMA table_info({quote(table)})").fetchall()
        names = [name for _, name, _, _, _, place in sorted(info, key=lambda row: row[5]) if place]
        listed = ", ".join(map(quote, names))
        found = self.connection.execute(f"SELECT {listed} FROM {quote(table)} WHERE rowid = ?", (rowid,)).fetchone()
        return tuple(found)


def next_ids(connection: sqlite3.Connection, tables: Iterable[str]) -> dict[str, int]:
    """Return for each table with an INTEGER PRIMARY KEY the id that SQLite would give next."""
    found: dict[str, int] = {}
    has_sequence = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'").fetchone()
    for table in tables:
        keys = [row for row in connection.execute(f"PRAGMA table_info({quote(table)})") if row[5]]
        if len(keys) != 1 or keys[0][2].upper() != "INTEGER":
            continue
        (last,) = connection.execute(f"SELECT max({quote(keys[0][1])}) FROM {quote(table)}").fetchone()
        kept = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        sequence = connection.execute(kept, (table,)).fetchone() if has_sequence else None
        found[table] = max(last or 0, sequence[0] if sequence else 0) + 1
    return found
