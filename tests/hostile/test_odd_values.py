"""Values that break what is done in haste: framing, nesting, sizes, calendars."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from data.audit import faults
from fix_faults import WHOLE
from fix_migrate import full
from fix_tally import TALLY

from copier.wire.binary import HEADER, TRAILER

DEEP = 100_000
BOMB = "[" * DEEP + "]" * DEEP

VALUES: dict[str, tuple[str, list[Any]]] = {
    "COPY's own bytes": ("BLOB", [HEADER, TRAILER, HEADER + TRAILER, TRAILER * 3 + HEADER, b"PGCOPY\n\xff\r\n\0"]),
    "lengths in values": ("BLOB", [struct.pack(">i", n) for n in (-1, 0, 1, 2**31 - 1, -(2**31))] + [b"\0" * 7, b""]),
    "text that ends a text COPY": ("TEXT", ["\\.", "\\.\n", "\\N", "a\tb\\", "\n\\.\n", "\r\n", "\\x00"]),
    "JSON 100,000 deep": ("JSON", [BOMB, '{"a":' * DEEP + "1" + "}" * DEEP, "[1]"]),
    "JSON of long numbers": (
        "JSON",
        ["[" + "9" * 1000 + "]", "[1e400]", "[-0.0]", "[1e-400]", "[" + "1" * 131_073 + "]"],
    ),
    "JSON with a NUL escape": ("JSON", ['{"a": "\\u0000"}', '{"\\u0000": 1}', '["\\ud800"]', '["\\ud83d\\ude00"]']),
    "1,000 digits": ("NUMERIC", ["1" * 1000, "-0." + "3" * 1000, "1e308", "1e-400", "9" * 131_072 + "0"]),
    "decimal text": (
        "DECIMAL(10,2)",
        ["1" * 1000, "0.005", "-0.005", "1e3", "0x10", "1_000", " 1 ", "NaN", "Infinity"],
    ),
    "years far away": (
        "TIMESTAMP",
        ["-4713-01-01 00:00:00", "0000-01-01 00:00:00", "294276-12-31 23:59:59", "294277-01-01 00:00:00", "9999-12-31"],
    ),
    "dates far away": ("DATE", ["0001-01-01", "0000-02-29", "-0044-03-15", "5874897-12-31", "5874898-01-01"]),
    "epochs far away": ("TIMESTAMP", [-(2**63), 2**63 - 1, 0, -1, 253_402_300_800, 9_224_318_015_999, 1e300]),
    "reals at the edges": ("REAL", [5e-324, 1.7976931348623157e308, -0.0, float("inf"), float("-inf"), 0.1 + 0.2]),
    "integers at the edges": ("INTEGER", [2**63 - 1, -(2**63), 2**53 + 1, 0, "9223372036854775808", "1" * 1000]),
    "text that is no UTF-8": (
        "TEXT",
        [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"a\0b"],
    ),
    "uuid nearly": (
        "UUID",
        ["{00000000-0000-0000-0000-000000000000}", "0" * 32, "0" * 31, "g" * 32, b"\0" * 16, b"\0" * 15],
    ),
}


@pytest.mark.parametrize("sql_types", ["native", "faithful"])
@pytest.mark.parametrize("name", VALUES)
async def test_values(name: str, sql_types: str, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    """Every row is in the target as SQLite holds it, or among the rejects."""
    declared, values = VALUES[name]
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
        text = "CAST(? AS TEXT)" if name == "text that is no UTF-8" else "?"
        db.executemany(f"INSERT INTO t (v) VALUES ({text})", [(value,) for value in values])
        db.commit()
    report = await full(path, pg_dsn, types=sql_types)
    assert report.outcome in ("verified", "attention")
    assert await faults(path, pg, report, "public") == []
    [table] = report.tables
    assert table.copied_rows + table.rejected_rows == len(values)
    TALLY.inputs["hostile values"] += len(values)


@pytest.mark.skipif(not WHOLE, reason="a value of nearly 1 GB needs 5 GB of memory: SQLITE2PG_FAULTS_WHOLE=1")
@pytest.mark.parametrize("size_bytes", [400_000_000, 999_999_000])
async def test_values_as_large_as_sqlite_takes(
    size_bytes: int, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    """SQLite's limit is 1,000,000,000 bytes for a row, PostgreSQL's 1 GiB - 1 for a message and a field."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
        db.execute("INSERT INTO t VALUES (1, x'00'), (2, zeroblob(?)), (3, x'ff')", (size_bytes,))
        db.commit()
    report = await full(path, pg_dsn)
    assert report.outcome in ("verified", "attention")
    [table] = report.tables
    assert table.copied_rows + table.rejected_rows == 3
    assert await pg.fetchval("SELECT sum(length(v)) FROM t WHERE id <> 2") == 2
    if not table.rejected_rows:
        assert await pg.fetchval("SELECT length(v) FROM t WHERE id = 2") == size_bytes
