"""A file to damage, what was in it, and its salvage."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fix_migrate import sha256

from copier.sqlite.salvage.result import Loss, SalvageResult, read_listing
from copier.sqlite.salvage.run import salvage
from data.damage import Rows, read_rows

MALFORMED = "database disk image is malformed"
ROWS = 600

SCRIPT = """
CREATE TABLE note (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL, score REAL, extra BLOB);
CREATE TABLE plain (a, b TEXT);
CREATE TABLE pair (a TEXT, b INT, c BLOB, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE INDEX note_score ON note (score DESC) WHERE score > 1;
CREATE UNIQUE INDEX note_body ON note (body);
CREATE VIEW loud AS SELECT id, upper(body) AS body FROM note;
CREATE TRIGGER note_made AFTER INSERT ON note BEGIN INSERT INTO plain VALUES (new.id, new.body); END;
PRAGMA user_version = 7; PRAGMA application_id = 99;
"""


def make(path: Path, *, first: int = -50, before: str = "PRAGMA page_size = 1024") -> Path:
    """Three tables of several pages each; rowids from `first` on, with gaps."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(before + ";" + SCRIPT)
        db.execute("DROP TRIGGER note_made")
        db.execute("BEGIN")
        notes = [
            (first + 2 * n, f"größe {n} " + "x" * (n % 40), n / 3, bytes([n % 256]) * (n % 9)) for n in range(ROWS)
        ]
        db.executemany("INSERT INTO note VALUES (?, ?, ?, ?)", notes)
        db.executemany("INSERT INTO plain VALUES (?, ?)", [(n, f"p{n}") for n in range(ROWS)])
        db.executemany("INSERT INTO pair VALUES (?, ?, ?)", [(f"k{n % 30:02}", n, b"z" * 20) for n in range(ROWS)])
        db.execute("DELETE FROM note WHERE id > ?", (first + 2 * ROWS - 10,))
        db.execute("COMMIT")
        db.execute(SCRIPT.splitlines()[7])
    return path


@dataclass(frozen=True)
class Case:
    """A file, what was in it, and where the salvaged one goes."""

    path: Path
    to: Path
    rows: Rows

    async def salvage(self, **options: Any) -> tuple[SalvageResult, Rows]:
        """Salvage; the source stays as it is, every listed table is there, and what is there is sound."""
        before = sha256(self.path)
        result = await salvage(self.path, self.to, **options)
        assert sha256(self.path) == before
        assert read_listing(self.to) == result
        with closing(sqlite3.connect(self.to)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = read_rows(self.to)
        assert {table.name: table.rows for table in result.tables} == {name: len(rows) for name, rows in found.items()}
        return result, found


def case(path: Path) -> Case:
    return Case(path, path.with_name("sound.db"), read_rows(path))


def within(loss: Loss, rowid: int) -> bool:
    return (loss.first is None or loss.first <= rowid) and (loss.last is None or rowid <= loss.last)


def lost_keys(case: Case, result: SalvageResult, table: str) -> set[int]:
    """Return the original rowids that the list names."""
    losses = [loss for loss in result.losses if loss.table == table and not loss.key]
    return {row[0] for row in case.rows[table] if any(within(loss, row[0]) for loss in losses)}


def schema_of(path: Path) -> set[tuple[str, str, str, str | None]]:
    with closing(sqlite3.connect(path)) as db:
        return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))
