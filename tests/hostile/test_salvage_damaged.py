"""Salvage of files damaged at seeded places: it ends, keeps every row anybody could read, and hides no loss.

SQLITE2PG_FAULTS_WHOLE=1 tries 200 places of each file in each way, otherwise a few.
"""

# ruff: noqa: ASYNC221 (a test may block its own loop)

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from data.damage import Rows, read_from_both_ends, read_rows
from fix_faults import WHOLE
from fix_migrate import sha256
from fix_tally import TALLY
from test_corrupt import MAKERS, damaged

from copier.errors import SourceUnreadable
from copier.sqlite.salvage.result import Loss, SalvageResult
from copier.sqlite.salvage.run import salvage

PLACES = 200 if WHOLE else 10
HANG_S = 60.0


def _levels(path: Path) -> None:
    """Trees of three levels, and keys that rise by three from a negative one on."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "PRAGMA page_size = 512; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT NOT NULL, w REAL);"
            "CREATE TABLE u (a TEXT, b BLOB); CREATE TABLE x (id INTEGER PRIMARY KEY AUTOINCREMENT, k TEXT UNIQUE)"
        )
        db.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n * 3 - 1000, f"v{n}" * 3, n / 7) for n in range(1000)])
        db.executemany("INSERT INTO u VALUES (?, ?)", [(f"v{n}" * 3, b"ab" * (n % 400)) for n in range(300)])
        db.executemany("INSERT INTO x (k) VALUES (?)", [(f"key{n * 7919 % 10007}",) for n in range(500)])
        db.commit()


def _search(path: Path) -> None:
    """Full-text search; its tables are ordinary ones."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "PRAGMA page_size = 1024; CREATE VIRTUAL TABLE f USING fts4(a, b);"
            "CREATE TABLE m (id INTEGER PRIMARY KEY, z); CREATE VIEW mv AS SELECT * FROM m;"
            "CREATE TRIGGER tr AFTER INSERT ON m BEGIN INSERT INTO f (a) VALUES (new.z); END"
        )
        db.executemany("INSERT INTO m VALUES (?, ?)", [(n, f"word{n} text {n % 7}") for n in range(400)])
        db.commit()


FILES: dict[str, Callable[[Path], None]] = {**MAKERS, "levels": _levels, "search": _search}


def page_damaged(sound: bytes, name: str, place: int) -> bytes:
    """Return the file with whole pages gone: zeros, noise, neighbours, another page's content, a head, or its end."""
    rng = random.Random(f"pages of {name} {place}")
    size = int.from_bytes(sound[16:18]) or 65536
    raw, count = bytearray(sound), len(sound) // size
    match place % 6:
        case 0 | 1 as how:
            for page in rng.sample(range(1, count), min(count - 1, rng.choice((1, 1, 2, 5)))):
                raw[page * size : (page + 1) * size] = rng.randbytes(size) if how else bytes(size)
        case 2:
            first = rng.randrange(1, count)
            last = min(count, first + rng.randrange(1, 12))
            raw[first * size : last * size] = rng.randbytes((last - first) * size)
        case 3:
            one, other = rng.sample(range(1, count), 2)
            raw[one * size : (one + 1) * size] = raw[other * size : (other + 1) * size]
        case 4:
            at = rng.randrange(1, count) * size
            for place_in_head in range(rng.choice((1, 2, 12, 40))):
                raw[at + place_in_head] = rng.randrange(256)
        case _:
            del raw[rng.randrange(size, len(raw)) :]
    return bytes(raw)


WAYS = {"bytes": damaged, "pages": page_damaged}


def damages(name: str, directory: Path) -> Iterator[tuple[str, bytes, Rows]]:
    """Yield what was done to the file, what became of it, and the rows that were in it."""
    sound = directory / "original.db"
    FILES[name](sound)
    rows, raw = read_rows(sound), sound.read_bytes()
    for way, damage in WAYS.items():
        for place in range(PLACES):
            yield f"{way} {place}", damage(raw, name, place), rows


@pytest.mark.parametrize("name", FILES)
@pytest.mark.timeout(3000 if WHOLE else 300)
async def test_damaged_files(name: str, tmp_path: Path) -> None:
    trouble: list[str] = []
    for what, raw, rows in damages(name, tmp_path):
        (tmp_path / "work").mkdir()
        path, to = tmp_path / "work" / "app.db", tmp_path / "work" / "sound.db"
        path.write_bytes(raw)
        before = sha256(path)
        try:
            async with asyncio.timeout(HANG_S):
                result = await salvage(path, to)
        except SourceUnreadable as error:
            readable = sum(
                len(found & rows[table]) for table, found in read_from_both_ends(path).items() if table in rows
            )
            if readable or not error.hint:
                trouble.append(f"{what}: refused ({error}), and {readable} rows can be read")
            TALLY.inputs["damaged files, nothing to salvage"] += 1
            left = {"app.db"}
        else:
            trouble += [f"{what}: {one}" for one in faults(rows, read_rows(to), read_from_both_ends(path), result)]
            TALLY.inputs["damaged files, salvaged"] += 1
            left = {"app.db", "sound.db", "sound.db.json", "sound.db.sha256"}
        assert sha256(path) == before
        assert {one.name for one in path.parent.iterdir()} == left
        shutil.rmtree(path.parent)
    assert trouble == []


def faults(rows: Rows, carried: Rows, readable: Rows, result: SalvageResult) -> Iterator[str]:
    """Yield what a salvage did wrong."""
    for table, original in rows.items():
        found = carried.get(table, set())
        if missed := (readable.get(table, set()) & original) - found:
            yield f"{table}: {len(missed)} rows that SQLite reads are not there"
        losses = [loss for loss in result.losses if loss.table in (table, "sqlite_schema", "(no table)")]
        kept = {key_of(row) for row in found}
        hidden = [row for row in original - found if not (told(row, losses) or key_of(row) in kept or result.notes)]
        if hidden and not undetectable(found - original, len(hidden)):
            yield f"{table}: {len(hidden)} rows are missing, and nothing says so: {hidden[0][:2]}"


def key_of(row: tuple[object, ...]) -> object:
    """The rowid, or the key of the one table without."""
    return row[0] or row[1:3]


def told(row: tuple[object, ...], losses: list[Loss]) -> bool:
    """Whether an entry of the list covers a row."""
    return any(
        loss.table == "sqlite_schema"
        or loss.key
        or loss.kind == "object"
        or (loss.first is None and loss.last is None)
        or _within(loss, row[0])
        for loss in losses
    )


def _within(loss: Loss, rowid: object) -> bool:
    assert isinstance(rowid, int)
    return (loss.first is None or loss.first <= rowid) and (loss.last is None or rowid <= loss.last)


def undetectable(strange: set[tuple[object, ...]], missing: int) -> bool:
    """Whether other rows are in the place of the missing ones.

    A key that became another one in its place, or a whole page that became another table's, reads as well as before.
    """
    return len(strange) >= min(missing, 15)


def recovers() -> bool:
    """Whether the SQLite shell is here and its .recover works; some distributions leave out what it needs."""
    if shutil.which("sqlite3") is None:
        return False
    made = subprocess.run(["sqlite3", ":memory:", "CREATE TABLE t (a)", ".recover"], capture_output=True, check=False)
    return b"CREATE TABLE" in made.stdout


@pytest.mark.parametrize("name", FILES if WHOLE else ["small pages", "utf-16", "levels"])
async def test_it_carries_what_recover_does(name: str, tmp_path: Path) -> None:
    """All but single rows that .recover fills with NULL where a value cannot be read; they are listed instead."""
    if not recovers():
        pytest.skip("the SQLite shell here cannot recover")
    ours = theirs = 0
    for _, raw, rows in damages(name, tmp_path):
        path, to, other = tmp_path / "app.db", tmp_path / "sound.db", tmp_path / "recovered.db"
        path.write_bytes(raw)
        try:
            await salvage(path, to)
        except SourceUnreadable:
            continue
        script = subprocess.run(["sqlite3", path, ".recover"], capture_output=True, check=False).stdout
        subprocess.run(["sqlite3", other], input=script, capture_output=True, check=False)
        carried, recovered = read_rows(to), read_rows(other) if other.exists() else {}
        ours += sum(len(carried.get(table, set()) & rows[table]) for table in rows)
        theirs += sum(len(recovered.get(table, set()) & rows[table]) for table in rows)
        for one in (*tmp_path.glob("sound.db*"), other):
            one.unlink(missing_ok=True)
    assert ours >= theirs
