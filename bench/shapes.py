"""Four shapes of source tables: made once, kept in a directory, equal for equal row counts."""

from __future__ import annotations

import random
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copier.plan.names import quote
from copier.sqlite.chatdb import make_chat_database

BLOB_BYTES = 64 << 10
_FIRST_MS = 1_704_067_200_000
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a shape: what SQLite declares, what PostgreSQL gets; `pg` also says how a value is converted."""

    name: str
    declared: str
    pg: str
    """bigint, double precision, text, varchar(255), boolean, uuid, bytea or timestamptz (from milliseconds)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One table as every copier of the comparison meets it."""

    name: str
    title: str
    table: str
    columns: tuple[Column, ...]
    rows: int
    """How many a full round copies."""
    proof: str
    """SQL aggregates that give the same numbers in SQLite and in PostgreSQL, whatever types the target has."""
    make: Callable[[Path, int, Shape], None]

    @property
    def converted(self) -> tuple[Column, ...]:
        """Columns whose values look otherwise in their target type: flags and times."""
        return tuple(column for column in self.columns if column.pg in ("boolean", "timestamptz"))

    def ddl(self, schema: str) -> str:
        """Return the target table: native types, no keys, as while loading."""
        columns = ", ".join(f"{quote(c.name)} {c.pg}" for c in self.columns)
        return f"CREATE TABLE {quote(schema)}.{quote(self.table)} ({columns})"

    def source(self, directory: Path, rows: int) -> Path:
        """Return the file, made when it is not there yet."""
        path = directory / f"{self.name}_{rows}.db"
        if not path.exists():
            draft = path.with_suffix(".making")
            draft.unlink(missing_ok=True)
            self.make(draft, rows, self)
            draft.rename(path)
        return path


def proof_of_source(path: Path, shape: Shape) -> list[str]:
    """Return the row count, the shape's proof and that of its converted columns, as SQLite sees them."""
    proofs = ", ".join([shape.proof, *(f"sum({quote(column.name)})" for column in shape.converted)])
    with closing(sqlite3.connect(path)) as connection:
        return as_proof(connection.execute(f"SELECT count(*), {proofs} FROM {quote(shape.table)}").fetchone())


def converted_proof(column: Column, target_type: str) -> str:
    """Return PostgreSQL's expression for what `sum(column)` is in SQLite, whether the target converts or not."""
    name = quote(column.name)
    if target_type == "timestamptz":
        return f"sum(round(extract(epoch FROM {name}) * 1000))"
    return f"sum({name}::integer)" if target_type == "boolean" else f"sum({name})"


def as_proof(row: tuple[Any, ...]) -> list[str]:
    """Return values of either side in one form; sums of no rows are NULL."""
    return [str(value) if value is None or isinstance(value, str) else str(int(value)) for value in row]


def _chat(path: Path, rows: int, shape: Shape) -> None:
    make_chat_database(path, rows)


def _filled(values: Callable[[random.Random, int, int], Iterator[tuple[object, ...]]]) -> Callable[..., None]:
    """Return a maker of a table with an INTEGER PRIMARY KEY from a function (random, first row, rows) -> rows."""

    def make(path: Path, rows: int, shape: Shape) -> None:
        columns = ", ".join(f"{quote(c.name)} {c.declared}" for c in shape.columns)
        places = ", ".join("?" * len(shape.columns))
        rng = random.Random(1)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
            connection.execute(f"CREATE TABLE {quote(shape.table)} ({columns})")
            connection.execute("BEGIN")
            for first in range(0, rows, _BATCH):
                batch = values(rng, first, min(_BATCH, rows - first))
                connection.executemany(f"INSERT INTO {quote(shape.table)} VALUES ({places})", batch)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = DELETE")

    return make


def _readings(rng: random.Random, first: int, rows: int) -> Iterator[tuple[object, ...]]:
    numbers = array("I", rng.randbytes(4 * rows))
    return ((first + i + 1, number & 1023, number >> 10) for i, number in enumerate(numbers))


def _files(rng: random.Random, first: int, rows: int) -> Iterator[tuple[object, ...]]:
    return ((first + i + 1, f"file_{first + i}.bin", rng.randbytes(BLOB_BYTES)) for i in range(rows))


_KINDS = (
    ("n", "INTEGER", "bigint", 20),
    ("x", "REAL", "double precision", 10),
    ("s", "TEXT", "text", 14),
    ("is", "BOOLEAN", "boolean", 5),
    ("u", "TEXT", "uuid", 5),
    ("t", "INTEGER", "timestamptz", 5),
)

_WIDE = (
    Column("id", "INTEGER PRIMARY KEY", "bigint"),
    *(
        Column(f"{kind}{i}{'_at' if kind == 't' else ''}", declared, pg)
        for kind, declared, pg, count in _KINDS
        for i in range(1, count + 1)
    ),
)


def _wide(rng: random.Random, first: int, rows: int) -> Iterator[tuple[object, ...]]:
    for number in range(first + 1, first + rows + 1):
        word = rng.getrandbits(64)
        digits = f"{rng.getrandbits(640):0160x}"
        uuids = [_uuid4(digits[i : i + 32]) for i in range(0, 160, 32)]
        values = [
            *((word >> i) & 0xFFFFF for i in range(20)),
            *((word >> i & 0xFFFFF) / 16 for i in range(10)),
            *(f"{'ä' * (i & 1)}word {digits[5 * i : 5 * i + 8 + i]}" for i in range(14)),
            *(word >> i & 1 for i in range(5)),
            *uuids,
            *(_FIRST_MS + (word >> i & 0x3FFFFFFF) for i in range(5)),
        ]
        values[number % 59] = None  # each column has some; the key is not among these 59
        yield number, *values


def _uuid4(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


_MESSAGES = (
    Column("id", "TEXT PRIMARY KEY NOT NULL", "uuid"),
    *(Column(name, "TEXT NOT NULL", "uuid") for name in ("conversation_id", "sender_id", "recipient_id")),
    Column("content", "TEXT NOT NULL", "text"),
    Column("created_at", "INTEGER NOT NULL", "timestamptz"),
    Column("delivered_at", "INTEGER", "timestamptz"),
    Column("status", "TEXT NOT NULL", "text"),
    Column("is_anonymized", "BOOLEAN NOT NULL", "boolean"),
)

SHAPES = {
    shape.name: shape
    for shape in (
        Shape(
            "messages",
            "chat messages: 4 UUIDs, text of 3 to 30 words, 2 times, status, flag",
            "messages",
            _MESSAGES,
            1_000_000,
            "count(delivered_at), sum(length(content)), max(lower(CAST(id AS text))), sum(length(status))",
            _chat,
        ),
        Shape(
            "ints",
            "narrow integers: 3 columns",
            "readings",
            (
                Column("id", "INTEGER PRIMARY KEY", "bigint"),
                Column("sensor", "INTEGER NOT NULL", "bigint"),
                Column("value", "INTEGER NOT NULL", "bigint"),
            ),
            2_000_000,
            "sum(id), sum(sensor), sum(value)",
            _filled(_readings),
        ),
        Shape(
            "wide",
            "wide mixed: 60 columns of integers, reals, texts, flags, UUIDs and times, some NULL",
            "wide",
            _WIDE,
            100_000,
            "sum(id), sum(n1), sum(n20), count(x3), sum(length(s2)), count(t1_at), max(lower(CAST(u5 AS text)))",
            _filled(_wide),
        ),
        Shape(
            "blobs",
            "blobs of 64 KB",
            "files",
            (
                Column("id", "INTEGER PRIMARY KEY", "bigint"),
                Column("name", "TEXT NOT NULL", "text"),
                Column("data", "BLOB NOT NULL", "bytea"),
            ),
            4_000,
            "sum(id), sum(length(name)), sum(length(data))",
            _filled(_files),
        ),
    )
}
