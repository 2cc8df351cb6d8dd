"""The scanner's profile: equal to that of the counters, on every kind of value; quick to cancel; parents looked up."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from data import pitfalls, pitfalls_files
from data.seeds import APPLICATIONS
from fix_corpus import CORPUS_NAMES
from fix_engine import Kernel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kernel import damaged_files
from test_profile import FITTING, REFUSED

from copier.errors import SourceUnreadable
from copier.plan.source import TableProfile
from copier.sqlite.catalog import read_schema
from copier.sqlite.chatdb import make_chat_database
from copier.sqlite.connection import connect, run
from copier.sqlite.forms import FORMS
from copier.sqlite.native import NativeEngine
from copier.sqlite.native_profile import FEW_ROWS
from copier.sqlite.profile import profile_table
from copier.wire.cast import BrokenText

DECLARED = ("", "TEXT", "INTEGER", "REAL", "NUMERIC", "DECIMAL(10,2)", "BLOB", "VARCHAR(20)", "DATETIME", "BOOLEAN")
CANCEL_S = 0.1

MARKS = '0123456789abcdefABCDEF-:TZ+. {}[]",/urnid\\eEtf\n\0é\U0001f600'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab\\"', max_size=2), inner, max_size=3),
    max_leaves=6,
)
SAMPLES = [value for some in (*FITTING.values(), *REFUSED.values()) for value in some]
EXTREMES = [
    *(0, 1, 2**63 - 1, -(2**63), 315_532_799, 315_532_800, 4_102_444_800_000, 4_102_444_800_001),
    *(0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 1e300, 5e-324, 0.1 + 0.2, float("inf"), float("-inf"), 2_415_020.0, 1e-5),
    *("", " ", "\0", "a\0b", "+", "-", ".", "-.", "5.", ".5", "+.5e3", "1e400", "00012.5000", "9223372036854775808"),
    *("-9223372036854775808", "0" * 70 + "1", "1" * 61, "12:34:5", "12:34:56.", "2024-01-01T10:00:00.1234567"),
    *("2024-01-01 10:00:00." + "0" * 60, "2024-01-01 10:00+16", "2024-01-01z", "2024-01-01 10:00z", "2024-02-30"),
    *('{"a": 1, "a": 2}', '{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}', '{"\\u0061": 1, "a": 1}', '["\\ud800"]'),
    *("NaN", "Infinity", "nul", "null ", "\ufeff{}", " [1]", "[" * 70 + "]" * 70, '{"a":1e9999}', "[1,]"),
    *("::1", "1.2.3.4/33", "1.2.3.04", "fe80::1%eth0", "1:2:3:4:5:6:7:8/129", "Yes", "ON", "oN ", "T", "K"),
    *("{0f8fad5b-d9cb-469f-a165-70867728950e}", "urn:uuid:0f8fad5bd9cb469fa16570867728950e", "0" * 32, "x" * 34),
    *(b"", b"x" * 16, b"y" * 60, b"z" * 500, "long " * 200, "é" * 400, BrokenText(b"\xff")),
    BrokenText(b"1" * 500 + b"\xff"),
]  # fmt: skip

VALUES = st.one_of(
    st.none(),
    st.sampled_from([*SAMPLES, *EXTREMES]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.decimals(-1000, 1000, places=3).map(float),
    st.text(max_size=40).filter(lambda text: text.isascii() or not any(0xD800 <= ord(c) < 0xE000 for c in text)),
    st.text(MARKS, max_size=40),
    st.binary(max_size=20),
    st.binary(max_size=8).map(BrokenText),
    st.uuids().map(str),
    st.datetimes().map(str),
    st.dates().map(str),
    st.times().map(str),
    st.ip_addresses().map(str),
    JSON.map(lambda value: json.dumps(value)),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
)


def near(value: object) -> st.SearchStrategy[object]:
    """Values, and texts with one character other than in a value."""
    if not isinstance(value, str) or not value:
        return st.just(value)
    cut = st.integers(0, len(value) - 1)
    return st.just(value) | st.builds(lambda at, c: value[:at] + c + value[at + 1 :], cut, st.sampled_from(MARKS))


COLUMNS = st.lists(VALUES, max_size=30) | st.lists(VALUES.flatmap(near), min_size=1, max_size=60)


def store(path: Path, declared: str, values: Iterable[object]) -> None:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})")
        for value in values:
            cast = "CAST(? AS TEXT)" if isinstance(value, BrokenText) else "?"
            raw.execute(f"INSERT INTO t (c) VALUES ({cast})", (value,))


async def both(path: Path) -> list[tuple[TableProfile, TableProfile]]:
    """Profile every table by the counters and by the scanner."""
    connection = await connect(path)
    try:
        schema = await read_schema(connection)
        profiler = NativeEngine().profiler(schema)
        return [
            (await profile_table(connection, table), await profile_table(connection, table, profiler=profiler))
            for table in schema.tables
        ]
    finally:
        await connection.close()


async def assert_same(path: Path) -> None:
    for portable, native in await both(path):
        assert native == portable


def test_forms_and_kinds_are_those_of_the_counters(kernel: Kernel) -> None:
    assert tuple(form.name for form in FORMS) == kernel.module.PROFILE_FORMS
    assert set(kernel.module.PROFILE_KINDS) == {"text", "integer", "real", "blob", "broken"}


@pytest.mark.parametrize("declared", DECLARED)
async def test_every_case_of_every_form(kernel: Kernel, tmp_path: Path, declared: str) -> None:
    """All in one column, and each in a column of its own."""
    values = [*SAMPLES, *EXTREMES]
    store(tmp_path / "a.db", declared, values)
    await assert_same(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "b.db")) as raw, raw:
        for first in range(0, len(values), 100):
            some = values[first : first + 100]
            names = ", ".join(f"c{number} {declared}" for number in range(len(some)))
            raw.execute(f"CREATE TABLE t{first} ({names})")
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(value, BrokenText) else "?" for value in some)
            raw.execute(f"INSERT INTO t{first} VALUES ({marks})", some)
    await assert_same(tmp_path / "b.db")


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(st.sampled_from(DECLARED), COLUMNS, st.sampled_from([1, 1, 40]))
def test_random_columns(kernel: Kernel, tmp_path: Path, declared: str, values: Sequence[object], times: int) -> None:
    """Also repeated, so that forms are given up, and with values to ask for on both sides of a block's end."""
    store(tmp_path / "t.db", declared, list(values) * times)
    asyncio.run(assert_same(tmp_path / "t.db"))


async def test_chat_database(kernel: Kernel, tmp_path: Path) -> None:
    make_chat_database(tmp_path / "chat.db", 5000, dirty=True)
    await assert_same(tmp_path / "chat.db")


@pytest.mark.parametrize("name", CORPUS_NAMES)
async def test_corpus(kernel: Kernel, corpus: Callable[[str], Path], name: str) -> None:
    await assert_same(corpus(name))


async def test_pitfalls(kernel: Kernel, tmp_path: Path) -> None:
    pitfalls.build(tmp_path / "pitfalls.db")
    await assert_same(tmp_path / "pitfalls.db")


@pytest.mark.parametrize("name", APPLICATIONS)
async def test_seeds(kernel: Kernel, tmp_path: Path, name: str) -> None:
    APPLICATIONS[name].build(tmp_path / "seed.db", 1500)
    await assert_same(tmp_path / "seed.db")


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
async def test_other_encodings(kernel: Kernel, tmp_path: Path, encoding: str) -> None:
    await assert_same(pitfalls_files.build_utf16(tmp_path / "a.db", encoding))


async def test_tables_of_every_shape(kernel: Kernel, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as raw, raw:
        raw.executescript("""
            CREATE TABLE empty (a, b TEXT);
            CREATE TABLE keyless (rowid TEXT, _rowid_ TEXT, oid TEXT);
            INSERT INTO keyless VALUES ('1', '2', NULL);
            CREATE TABLE ordered (a TEXT, b INT, c, PRIMARY KEY (a, b DESC)) WITHOUT ROWID;
            INSERT INTO ordered VALUES ('x', 1, '2024-01-01'), ('x', 2, 'no'), ('a', 0, 'neither');
            CREATE TABLE generated (a INT, b TEXT AS (a || '-') VIRTUAL, c INT AS (a * 2) STORED);
            INSERT INTO generated VALUES (1), (NULL), (-5);
        """)
        raw.execute(f"CREATE TABLE wide ({', '.join(f'c{n}' for n in range(1500))})")
        raw.execute("INSERT INTO wide (c0, c1499) VALUES (1, 'x')")
        raw.execute("CREATE TABLE big (v)")
        raw.executemany("INSERT INTO big VALUES (zeroblob(?))", [(size,) for size in (0, 16, 5 << 20, 6 << 20)])
        raw.executemany("INSERT INTO big VALUES (?)", [("x" * (3 << 20),), ("[" + "1," * (3 << 20) + "1]",)])
    await assert_same(tmp_path / "a.db")


ORPHANS = """
    CREATE TABLE t_parent (id TEXT PRIMARY KEY, n INT); CREATE TABLE i_parent (id INTEGER PRIMARY KEY);
    CREATE TABLE nocase (id TEXT COLLATE NOCASE PRIMARY KEY); CREATE TABLE no_type (id PRIMARY KEY);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    INSERT INTO t_parent SELECT printf('%08x-0000', i), i FROM n;
    INSERT INTO i_parent SELECT n FROM t_parent; INSERT INTO nocase SELECT id FROM t_parent;
    INSERT INTO no_type SELECT n FROM t_parent;
    INSERT INTO t_parent VALUES (NULL, 0), (x'00ff', 0), ('', 0);
"""
KEYS = {
    "TEXT REFERENCES t_parent": "printf('%08x-0000', i % 3100)",
    "VARCHAR(9) REFERENCES t_parent (id)": "iif(i % 2, NULL, x'00ff')",
    "BIGINT REFERENCES i_parent": "i % 3010 - 5",
    "INT REFERENCES i_parent (ID)": "iif(i = 77, 5.5, i % 3000)",
    "TEXT REFERENCES nocase": "upper(printf('%08x-0000', i % 3100))",
    "TEXT REFERENCES i_parent": "i % 3010",
    "REFERENCES no_type": "iif(i % 2, i % 4000, i % 4000 + 0.0)",
    "TEXT REFERENCES nowhere": "i",
    "TEXT REFERENCES t_parent (n)": "i",
}


@pytest.mark.parametrize("key", KEYS)
async def test_orphans_as_sqlite_counts_them(kernel: Kernel, tmp_path: Path, key: str) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as raw, raw:
        raw.executescript(f"""
            {ORPHANS} CREATE TABLE child (id INTEGER PRIMARY KEY, a INT, k {key}, o TEXT REFERENCES t_parent);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {2 * FEW_ROWS})
            INSERT INTO child SELECT i, i, {KEYS[key]}, iif(i % 500, '00000001-0000', 'gone') FROM n;
        """)
    for portable, native in await both(tmp_path / "a.db"):
        assert native == portable


async def test_plain_keys_are_looked_up_in_the_same_pass(kernel: Kernel, tmp_path: Path) -> None:
    make_chat_database(tmp_path / "chat.db", FEW_ROWS)
    connection = await connect(tmp_path / "chat.db")
    try:
        table = (schema := await read_schema(connection)).table("messages")
        assert table is not None
        profiler = NativeEngine().profiler(schema)
        found = await profiler.count(connection, table, ("rowid",), FEW_ROWS, lambda _: None)
    finally:
        await connection.close()
    assert found is not None
    assert found.orphans == {}


async def test_parents_beyond_the_limit_are_left_to_sqlite(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copier.sqlite.parents.MAX_BYTES", 8192)
    make_chat_database(tmp_path / "chat.db", 2 * FEW_ROWS)
    await assert_same(tmp_path / "chat.db")


async def test_damage_is_the_same_error(kernel: Kernel, tmp_path: Path) -> None:
    broken = 0
    for bad in damaged_files(tmp_path / "a.db", 60):
        found: list[object] = []
        for native in (False, True):
            connection = await connect(bad)
            try:
                schema = await read_schema(connection)
                profiler = NativeEngine().profiler(schema) if native else None
                found.append(await profile_table(connection, schema.tables[0], profiler=profiler))
            except SourceUnreadable as error:
                found.append(str(error).rpartition(": ")[2])
            except sqlite3.Error as error:
                found.append(str(error))
            finally:
                await connection.close()
        assert found[0] == found[1]
        broken += isinstance(found[0], str)
    assert broken > 5


async def test_a_cancel_ends_it_at_once(kernel: Kernel, tmp_path: Path) -> None:
    make_chat_database(tmp_path / "chat.db", 50_000)
    connection = await connect(tmp_path / "chat.db")
    try:
        table = (schema := await read_schema(connection)).table("messages")
        assert table is not None
        profiler = NativeEngine().profiler(schema)
        under_way = asyncio.Event()
        work = asyncio.create_task(
            profile_table(connection, table, on_rows=lambda _: under_way.set(), profiler=profiler)
        )
        await under_way.wait()
        start_s = time.perf_counter()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert time.perf_counter() - start_s < CANCEL_S
        assert await run(connection, lambda raw: raw.execute("SELECT count(*) FROM messages").fetchone()) == (50_000,)
    finally:
        await connection.close()
