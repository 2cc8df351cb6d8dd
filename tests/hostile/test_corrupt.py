"""Bytes flipped at seeded places of five databases: refused in one sentence, or moved as SQLite itself reads them.

Each database is moved in a child process, so that a crash would be seen as one. SQLITE2PG_FAULTS_WHOLE=1 tries 200
places in each database on each engine, otherwise a few.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fix_faults import WHOLE
from fix_migrate import full
from fix_tally import TALLY

from copier.errors import CopierError
from copier.sqlite.chatdb import make_chat_database

PLACES = 200 if WHOLE else 6
ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("move_damaged.py")


def _small_pages(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA page_size = 512; CREATE TABLE t (id INTEGER PRIMARY KEY, v, w TEXT)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n, n * 1.5, f"{n}" * (n % 300)) for n in range(300)])
        db.execute("CREATE INDEX t_v ON t (v)")
        db.commit()


def _without_rowid(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE p (a TEXT, b INT, c BLOB, PRIMARY KEY (a, b)) WITHOUT ROWID")
        db.executemany("INSERT INTO p VALUES (?, ?, ?)", [(f"k{n % 40}", n, bytes([n % 256]) * n) for n in range(400)])
        db.commit()


def _utf16(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA encoding = 'UTF-16le'; CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        db.executemany("INSERT INTO u (name) VALUES (?)", [(f"größe {n} 日本" * (n % 20),) for n in range(400)])
        db.commit()


def _large_blobs(path: Path) -> None:
    rng = random.Random(5)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, body BLOB)")
        db.executemany("INSERT INTO b (body) VALUES (?)", [(rng.randbytes(rng.randrange(30_000)),) for _ in range(60)])
        db.commit()


MAKERS: dict[str, Callable[[Path], None]] = {
    "chat": lambda path: make_chat_database(path, 500),
    "small pages": _small_pages,
    "without rowid": _without_rowid,
    "utf-16": _utf16,
    "large blobs": _large_blobs,
}


def damaged(sound: bytes, name: str, place: int) -> bytes:
    """Return the file with some bytes changed: one bit, one byte, or a run of them, also in the header."""
    rng = random.Random(f"{name} {place}")
    raw = bytearray(sound)
    start = rng.randrange(100) if place % 20 == 0 else rng.randrange(len(raw))
    length = rng.choice((1, 1, 1, 4, 64))
    for at in range(start, min(len(raw), start + length)):
        raw[at] ^= rng.randrange(1, 256) if length > 1 or place % 2 else 1 << rng.randrange(8)
    return bytes(raw)


@pytest.mark.parametrize("engine", ["native", "portable"])
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.timeout(3000 if WHOLE else 300)
def test_flipped_bytes(name: str, engine: str, tmp_path: Path, pg_dsn: str, request: pytest.FixtureRequest) -> None:
    if engine == "native":
        request.getfixturevalue("kernel")
    sound = tmp_path / "sound.db"
    MAKERS[name](sound)
    raw = sound.read_bytes()
    outcomes = list(_moved(raw, name, engine, tmp_path, pg_dsn))
    assert len(outcomes) == PLACES
    assert [one for one in outcomes if one["trouble"]] == []
    refused = sum(one["refused"] for one in outcomes)
    TALLY.inputs[f"corrupt files on the {engine} engine, refused"] += refused
    TALLY.inputs[f"corrupt files on the {engine} engine, moved as SQLite reads them"] += len(outcomes) - refused


def _moved(raw: bytes, name: str, engine: str, directory: Path, dsn: str) -> Iterator[dict[str, Any]]:
    """Move the damaged files in one child process; yields what it says of each."""
    paths = []
    for place in range(PLACES):
        path = directory / f"damaged{place}.db"
        path.write_bytes(damaged(raw, name, place))
        paths.append(str(path))
    command = [sys.executable, str(CHILD), dsn]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SQLITE2PG_ENGINE": engine},
    ) as child:
        output, _ = child.communicate("\n".join(paths))
    lines = output.splitlines()
    assert child.returncode == 0, f"the process died ({child.returncode}) after {lines[-1:]}, at place {len(lines)}"
    for line in lines:
        yield json.loads(line)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95, 0.999])
async def test_truncated(share: float, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    """A file cut short is refused before anything is made."""
    whole, cut = tmp_path / "whole.db", tmp_path / "cut.db"
    make_chat_database(whole, 500)
    shutil.copyfile(whole, cut)
    with cut.open("r+b") as file:
        file.truncate(int(cut.stat().st_size * share))
    with pytest.raises(CopierError) as told:
        await full(cut, pg_dsn)
    assert told.value.exit_code in (1, 5)
    assert str(told.value)
    assert told.value.hint
    assert await pg.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
