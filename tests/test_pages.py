"""Keyset pages: every row exactly once, in key order, whatever the key holds; bounded by rows and by bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path

import aiosqlite
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copier.errors import SourceUnreadable
from copier.plan.source import Key, Value
from copier.sqlite.connection import connect, run
from copier.sqlite.keyset import make_keyset
from copier.sqlite.pages import FAST_VALUE_BYTES, Page, PageReader, count_rows
from copier.wire.cast import BrokenText
from copier.wire.keys import key_from_json, key_to_json

Rows = list[tuple[Value, ...]]


@asynccontextmanager
async def opened(path: Path, *statements: str | tuple[str, Sequence[object]]) -> AsyncIterator[aiosqlite.Connection]:
    """A new database made by the statements, open for reading."""
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            if isinstance(statement, str):
                db.execute(statement)
            else:
                db.executemany(*statement)
        db.commit()
    connection = await connect(path)
    try:
        yield connection
    finally:
        await connection.close()


async def pages_of(reader: PageReader, after: Key | None = None, upto: Key | None = None) -> list[Page]:
    async with aclosing(reader.pages(after, upto)) as pages:
        return [page async for page in pages]


async def rows_of(reader: PageReader, after: Key | None = None, upto: Key | None = None) -> Rows:
    return [row for page in await pages_of(reader, after, upto) for row in page.rows]


async def test_rowids_at_both_ends_of_their_range(tmp_path: Path) -> None:
    ids = [-(2**63), -(2**63) + 1, -5, -1, 0, 1, 7, 2**31, 2**63 - 2, 2**63 - 1]
    fill = ("INSERT INTO t VALUES (?)", [(n,) for n in ids])
    async with opened(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY)", fill) as db:
        for page_rows in (1, 3, 1000):
            reader = PageReader(db, "t", ["id"], ["rowid"], page_rows=page_rows)
            assert await rows_of(reader) == [(n, n) for n in ids]
        assert await rows_of(reader, (-5,), (1,)) == [(-1, -1), (0, 0), (1, 1)]
        assert await rows_of(reader, None, (-(2**63),)) == [(-(2**63), -(2**63))]
        assert await rows_of(reader, (2**63 - 1,)) == []
        assert await count_rows(db, "t") == len(ids)


async def test_page_has_its_keys_and_size(tmp_path: Path) -> None:
    fill = ("INSERT INTO t VALUES (?, ?)", [(n, "x" * 100) for n in range(25)])
    async with opened(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)", fill) as db:
        pages = await pages_of(PageReader(db, "t", ["x"], ["id"], page_rows=10))
    assert [(len(p.rows), p.first_key, p.last_key) for p in pages] == [
        (10, (0,), (9,)),
        (10, (10,), (19,)),
        (5, (20,), (24,)),
    ]
    assert pages[0].rows[0] == ("x" * 100, 0)
    assert pages[0].bytes == 10 * (100 + 16)


async def test_names_with_quotes_and_newlines(tmp_path: Path) -> None:
    make = 'CREATE TABLE "a""b\n\'c" ("x ""y\nz" TEXT, "select" INT, rowid TEXT, _rowid_ INT)'
    fill = ('INSERT INTO "a""b\n\'c" VALUES (?, ?, ?, ?)', [("a", 1, "b", 2), ("c", 3, "d", 4)])
    async with opened(tmp_path / "a.db", make, fill) as db:
        columns = ['x "y\nz', "select", "rowid", "_rowid_"]
        expected = [("a", 1, "b", 2, 1), ("c", 3, "d", 4, 2)]
        assert await rows_of(PageReader(db, "a\"b\n'c", columns, ["oid"])) == expected


async def test_a_wrong_name_is_an_error_and_no_literal(tmp_path: Path) -> None:
    fill = "INSERT INTO t VALUES ('a')"
    async with opened(tmp_path / "a.db", "CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID", fill) as db:
        with pytest.raises(SourceUnreadable, match="no such column"):
            await rows_of(PageReader(db, "t", ["a"], ["rowid"]))
        with pytest.raises(SourceUnreadable, match="no such column"):
            await rows_of(PageReader(db, "t", ["b"], ["a"]))


KEYS = {
    "text": ("a TEXT, PRIMARY KEY (a)", ["a"]),
    "blob": ("a BLOB, PRIMARY KEY (a)", ["a"]),
    "any": ("a, PRIMARY KEY (a)", ["a"]),
    "numeric": ("a NUMERIC, PRIMARY KEY (a)", ["a"]),
    "falling": ("a TEXT, PRIMARY KEY (a DESC)", ["a"]),
    "no case": ("a TEXT COLLATE NOCASE, PRIMARY KEY (a)", ["a"]),
    "no case in the key only": ("a TEXT, PRIMARY KEY (a COLLATE NOCASE)", ["a"]),
    "no case in the column only": ("a TEXT COLLATE NOCASE, PRIMARY KEY (a COLLATE BINARY)", ["a"]),
    "composite": ("a TEXT, b INT, PRIMARY KEY (a, b)", ["a", "b"]),
    "composite, other order": ("a TEXT, b INT, PRIMARY KEY (b, a)", ["b", "a"]),
    "composite, mixed directions": ("a TEXT, b INT, PRIMARY KEY (a, b DESC)", ["a", "b"]),
    "composite, all falling": ("a TEXT, b INT, PRIMARY KEY (a DESC, b DESC)", ["a", "b"]),
    "composite, trimmed": ("a TEXT, b TEXT COLLATE RTRIM, PRIMARY KEY (a COLLATE NOCASE, b)", ["a", "b"]),
    "composite, any": ("a, b, PRIMARY KEY (a DESC, b)", ["a", "b"]),
}

values = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.text(st.sampled_from("aAbB \0é1"), max_size=4),
    st.text(max_size=6),
    st.binary(max_size=4),
)


@pytest.mark.parametrize("shape", KEYS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_every_row_once_and_in_order_without_rowid(
    tmp_path_factory: pytest.TempPathFactory, shape: str, data: st.DataObject
) -> None:
    definition, key = KEYS[shape]
    rows = data.draw(st.lists(st.tuples(*[values] * len(key)), max_size=25))
    path = tmp_path_factory.mktemp("pages") / "a.db"
    names = ", ".join(sorted(key))
    make = f"CREATE TABLE t ({definition}) WITHOUT ROWID"
    fill = (f"INSERT OR IGNORE INTO t ({names}) VALUES ({', '.join('?' * len(key))})", rows)
    async with opened(path, make, fill) as db:
        order = ", ".join(key)
        stored = await run(db, lambda raw: raw.execute(f"SELECT {order} FROM t").fetchall())
        reader = PageReader(db, "t", key, key, page_rows=data.draw(st.integers(1, 5)))
        read = await rows_of(reader)
        width = len(key)
        assert sorted(map(repr, (row[width:] for row in read))) == sorted(map(repr, stored))
        if read:
            split = data.draw(st.integers(0, len(read) - 1))
            last = read[split][width:]
            assert await rows_of(reader, None, last) == read[: split + 1]
            assert await rows_of(reader, last, None) == read[split + 1 :]
            assert await rows_of(reader, last, read[-1][width:]) == read[split + 1 :]


@pytest.mark.parametrize("shape", [*KEYS, "rowid"])
async def test_pages_walk_an_index_and_never_sort(tmp_path: Path, shape: str) -> None:
    definition, key = KEYS.get(shape, ("a TEXT, b INT", ["rowid"]))
    tail = "" if shape == "rowid" else " WITHOUT ROWID"
    extra = "CREATE INDEX tempting ON t (c)"
    make = f"CREATE TABLE t (c TEXT, d TEXT, {definition}){tail}"
    async with opened(tmp_path / "a.db", make, extra) as db:
        keyset = await run(db, lambda raw: make_keyset(raw, "t", ["c"], key))
        values: Key = tuple("x" for _ in key)
        for after, upto in ((None, None), (values, None), (None, values), (values, values)):
            sql, parameters = keyset.page(after, upto)
            plan = await run(db, lambda raw, s=sql, p=parameters: raw.execute("EXPLAIN QUERY PLAN " + s, p).fetchall())
            text = " ".join(str(row[3]) for row in plan)
            assert "TEMP B-TREE" not in text
            assert "tempting" not in text
            assert text.startswith("SEARCH" if after or upto else "SCAN")


async def test_utf16_keys(tmp_path: Path) -> None:
    words = ["", "a", "B", "é", "ß", "zebra", "日本語", "\U0001f600", "a\0b"]
    make = "CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID"
    fill = ("INSERT INTO t VALUES (?)", [(w,) for w in words])
    async with opened(tmp_path / "a.db", "PRAGMA encoding = 'UTF-16le'", make, fill) as db:
        read = await rows_of(PageReader(db, "t", ["a"], ["a"], page_rows=2))
    assert sorted(row[0] for row in read) == sorted(words)


async def test_broken_text_is_read_with_care_on_its_page_only(tmp_path: Path) -> None:
    make = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)"
    fill = ("INSERT INTO t (x) VALUES (?)", [(f"row {n}",) for n in range(30)])
    spoil = "UPDATE t SET x = CAST(x'ff41' AS TEXT) WHERE id IN (5, 25)"
    async with opened(tmp_path / "a.db", make, fill, spoil) as db:
        pages = await pages_of(PageReader(db, "t", ["x"], ["rowid"], page_rows=10))
        assert db.text_factory is str
    assert [len(page.rows) for page in pages] == [10, 10, 10]
    broken = [(row[1], row[0]) for page in pages for row in page.rows if isinstance(row[0], bytes)]
    assert broken == [(5, BrokenText(b"\xffA")), (25, BrokenText(b"\xffA"))]
    assert all(type(value) is BrokenText for _, value in broken)


async def test_broken_text_in_a_key(tmp_path: Path) -> None:
    make = "CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID"
    texts = [b"a", b"\x80", b"\xe9t\xe9", b"\xff", b"z\xff", b"\xc3\xa9"]
    fill = ("INSERT INTO t VALUES (CAST(? AS TEXT))", [(t,) for t in texts])
    blobs = ("INSERT INTO t VALUES (?)", [(b"\xe9t\xe9",), (b"a",)])
    async with opened(tmp_path / "a.db", make, fill, blobs) as db:
        read = [row[0] for row in await rows_of(PageReader(db, "t", ["a"], ["a"], page_rows=1))]
    expected = ["a", BrokenText(b"z\xff"), BrokenText(b"\x80"), "é", BrokenText(b"\xe9t\xe9"), BrokenText(b"\xff")]
    assert read == [*expected, b"a", b"\xe9t\xe9"]
    assert [type(value) for value in read] == [type(value) for value in expected] + [bytes, bytes]


async def test_pages_are_bounded_by_bytes(tmp_path: Path) -> None:
    make = "CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB)"
    small = ("INSERT INTO t (x) VALUES (?)", [(b"s",)] * 500)
    large = "INSERT INTO t (x) SELECT zeroblob(300000) FROM t LIMIT 40"
    async with opened(tmp_path / "a.db", make, small, large, small) as db:
        reader = PageReader(db, "t", ["x"], ["rowid"], page_bytes=1_000_000)
        pages = await pages_of(reader)
        assert await rows_of(reader, (520,), (521,)) == [(bytes(300000), 521)]
    assert [row[1] for page in pages for row in page.rows] == list(range(1, 1041))
    assert max(len([r for r in page.rows if len(r[0]) > 1000]) for page in pages) == 4
    assert max(page.bytes for page in pages) <= 1_300_000
    assert len(pages) < 20


async def test_a_row_larger_than_a_page_is_a_page(tmp_path: Path) -> None:
    make = "CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB)"
    fill = "INSERT INTO t (x) VALUES (zeroblob(5000000)), (zeroblob(5000000)), (x'00')"
    async with opened(tmp_path / "a.db", make, fill) as db:
        limit = await run(db, lambda raw: raw.getlimit(sqlite3.SQLITE_LIMIT_LENGTH))
        pages = await pages_of(PageReader(db, "t", ["x"], ["rowid"], page_bytes=1000))
        assert await run(db, lambda raw: raw.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)) == limit
    assert [len(page.rows) for page in pages] == [1, 1, 1]


async def test_a_key_larger_than_the_fast_path_takes(tmp_path: Path) -> None:
    make = "CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID"
    keys = [letter * (FAST_VALUE_BYTES + 10) for letter in "abc"] + ["d"]
    async with opened(tmp_path / "a.db", make, ("INSERT INTO t VALUES (?)", [(k,) for k in keys])) as db:
        assert [row[0] for row in await rows_of(PageReader(db, "t", ["a"], ["a"], page_rows=1))] == keys


async def test_scan_without_a_key(tmp_path: Path) -> None:
    make = "CREATE TABLE t (rowid TEXT, _rowid_ TEXT, oid TEXT)"
    fill = ("INSERT INTO t VALUES (?, CAST(x'ff' AS TEXT), ?)", [(str(n), b"b" * n) for n in range(25)])
    async with opened(tmp_path / "a.db", make, fill) as db:
        reader = PageReader(db, "t", ["rowid", "_rowid_", "oid"], (), page_rows=10)
        pages = await pages_of(reader)
        with pytest.raises(ValueError, match="no key"):
            await rows_of(reader, (1,))
        async with aclosing(reader.pages()) as left_early:
            await anext(left_early)
    assert [len(page.rows) for page in pages] == [10, 10, 5]
    assert [(page.first_key, page.last_key) for page in pages] == [((), ())] * 3
    assert pages[0].rows[3] == ("3", BrokenText(b"\xff"), b"bbb")


async def test_empty_table(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db", "CREATE TABLE t (a TEXT)") as db:
        assert await pages_of(PageReader(db, "t", ["a"], ["rowid"])) == []
        assert await pages_of(PageReader(db, "t", ["a"], ())) == []


async def test_damage_names_the_table_and_the_last_good_key(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)"
    fill = ("INSERT INTO t (x) VALUES (?)", [("x" * 100,)] * 2000)
    async with opened(path, make, fill):
        pass
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 2 // 4096 * 4096
    raw[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(raw)
    connection = await connect(path)
    read: Rows = []

    async def read_on() -> None:
        async with aclosing(PageReader(connection, "t", ["x"], ["rowid"], page_rows=10).pages()) as pages:
            async for page in pages:
                read.extend(page.rows)

    try:
        with pytest.raises(SourceUnreadable, match=r"table t cannot be read after rowid=\d+: .*malformed") as caught:
            await read_on()
    finally:
        await connection.close()
    assert caught.value.table == "t"
    assert caught.value.key == f"rowid={len(read)}"
    assert len(read) > 100


@settings(max_examples=200)
@given(key=st.lists(values | st.binary(max_size=5).map(BrokenText), min_size=1, max_size=4).map(tuple))
def test_keys_survive_the_ledger(key: Key) -> None:
    back = key_from_json(key_to_json(key))
    assert [(type(v), repr(v)) for v in back] == [(type(v), repr(v)) for v in key]
