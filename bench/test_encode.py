"""Encoding of one column: the kernel beside the portable engine, both from SQLite's row to COPY bytes, same bytes."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest

from bench.conftest import MESSAGES, RUNS
from copier.plan.pgtype import parse_type
from copier.sqlite.library import LibraryAbsent, find_functions, handle_of
from copier.wire.binary import ColumnSpec, RowEncoder

ROWS = min(20_000, max(200, MESSAGES // 10))
PAGE_ROWS = 1_000
WHOLE_TABLE_BYTES = 1 << 30
_FIRST_MS = 1_704_067_200_000

Make = Callable[[random.Random], Any]

COLUMNS: dict[str, tuple[str, str, Make]] = {
    "smallint": ("smallint", "int", lambda rng: rng.randrange(-32_768, 32_768)),
    "integer": ("integer", "int", lambda rng: rng.randrange(1 << 31)),
    "bigint": ("bigint", "int", lambda rng: rng.randrange(1 << 62)),
    "boolean": ("boolean", "bool", lambda rng: rng.randrange(2)),
    "double precision": ("double precision", "float", lambda rng: rng.random()),
    "text": ("text", "text", lambda rng: "größer word " * rng.randrange(1, 10)),
    "varchar(200)": ("varchar(200)", "text", lambda rng: "größer word " * rng.randrange(1, 10)),
    "bytea": ("bytea", "bytes", lambda rng: rng.randbytes(rng.randrange(100))),
    "uuid": ("uuid", "uuid", lambda rng: str(UUID(int=rng.getrandbits(128)))),
    "timestamptz, milliseconds": ("timestamptz", "epoch_ms", lambda rng: _FIRST_MS + rng.randrange(1 << 36)),
    "timestamptz, ISO text": ("timestamptz", "iso", lambda rng: f"2024-0{rng.randrange(1, 10)}-11 10:15:30.123"),
    "date, ISO text": ("date", "iso", lambda rng: f"2024-0{rng.randrange(1, 10)}-1{rng.randrange(10)}"),
    "numeric(12,2)": ("numeric(12,2)", "numeric", lambda rng: rng.randrange(1 << 30)),
    "jsonb": ("jsonb", "json", lambda rng: json.dumps({"client": "web", "n": rng.randrange(99), "ok": [True, None]})),
    "inet": ("inet", "inet", lambda rng: f"10.{rng.randrange(256)}.{rng.randrange(256)}.1"),
}
"""Name -> target type, cast, how a value is made."""


@pytest.fixture(params=COLUMNS)
def column(request: pytest.FixtureRequest) -> Iterator[tuple[str, ColumnSpec, sqlite3.Connection]]:
    kind, cast, make = COLUMNS[request.param]
    rng = random.Random(1)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as source:
        source.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        source.executemany("INSERT INTO t VALUES (?, ?)", ((i, make(rng)) for i in range(ROWS)))
        yield request.param, ColumnSpec(parse_type(kind), cast), source


def portable(source: sqlite3.Connection, spec: ColumnSpec) -> bytes:
    """Return the COPY tuples of the table, page by page."""
    encoder = RowEncoder([spec])
    cursor = source.execute("SELECT v FROM t ORDER BY id")
    return b"".join(encoder.encode(rows).payload for rows in iter(lambda: cursor.fetchmany(PAGE_ROWS), []))


def native(source: sqlite3.Connection, spec: ColumnSpec) -> bytes:
    """Return the same by the kernel; nothing may be handed over."""
    from copier.wire import kernel

    columns = kernel.Columns([(spec.type.wire, spec.cast, spec.type.args)])
    scanner = kernel.Scanner(kernel.Library(find_functions(kernel.SYMBOLS)), columns, 1, WHOLE_TABLE_BYTES)
    payload, _, rows, _, _, handed, _ = scanner.scan(handle_of(source), b"SELECT v, id FROM t ORDER BY id", ())
    assert (rows, handed) == (ROWS, [])
    return payload


@pytest.mark.parametrize("engine", ["portable", "native"])
def test_encode(benchmark: Any, column: tuple[str, ColumnSpec, sqlite3.Connection], engine: str) -> None:
    name, spec, source = column
    try:
        payload = benchmark.pedantic(
            native if engine == "native" else portable, (source, spec), rounds=RUNS, iterations=1, warmup_rounds=1
        )
    except (ImportError, LibraryAbsent) as error:
        pytest.skip(f"the kernel is not here: {error}")
    assert payload == portable(source, spec)
    benchmark.group = name
    benchmark.extra_info.update(
        suite="encode", type=name, engine=engine, ns_per_value=benchmark.stats.stats.median / ROWS * 1e9
    )
