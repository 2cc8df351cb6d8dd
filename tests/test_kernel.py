"""The kernel alone: byte for byte what the reference path gives, or the row is handed over."""

from __future__ import annotations

import gc
import json
import random
import sqlite3
import struct
import sys
import tracemalloc
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from fix_engine import Kernel, Scanned
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from copier.plan.pgtype import CASTS, PgType, parse_type
from copier.plan.source import Value
from copier.wire.cast import BrokenText, CastError
from copier.wire.field import ColumnSpec, encode_field

HEAD = struct.pack(">h", 1)

TYPES = [
    *((parse_type(name), cast) for name, casts in CASTS.items() for cast in casts),
    *((parse_type(name), "text") for name in ("varchar(5)", "char(3)")),
    *((parse_type(name), "numeric") for name in ("numeric(10,2)", "numeric(5)", "numeric(3,5)", "numeric(4,-2)")),
]


def name_of(pair: tuple[PgType, str]) -> str:
    return f"{pair[0].sql}-{pair[1]}"


def fill(db: sqlite3.Connection, values: Sequence[Value]) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v)")
    db.execute("DELETE FROM t")
    for row, value in enumerate(values):
        place = "CAST(? AS TEXT)" if isinstance(value, BrokenText) else "?"
        db.execute(f"INSERT INTO t VALUES (?, {place})", (row, value))


def scan_values(kernel: Kernel, pair: tuple[PgType, str], values: Sequence[Value]) -> Scanned:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        fill(db, values)
        return kernel.scan(db, [pair], "SELECT t.v, t.id FROM t ORDER BY id")


def reference(pair: tuple[PgType, str], value: Value) -> bytes | None:
    try:
        return HEAD + encode_field(ColumnSpec(*pair), value)
    except CastError:
        return None


def check(kernel: Kernel, pair: tuple[PgType, str], values: Sequence[Value]) -> list[Value]:
    """Compare with the reference; return the values handed over."""
    scanned = scan_values(kernel, pair, values)
    handed = {row[1]: row[0] for row in scanned.handed}
    expected = [reference(pair, value) for row, value in enumerate(values) if row not in handed]
    assert None not in expected, "the scanner took a value that the reference refuses"
    assert scanned.payload == b"".join(filter(None, expected))
    assert (scanned.read_rows, scanned.rows, scanned.more) == (len(values), len(values) - len(handed), False)
    for row, value in handed.items():
        assert type(value) is type(values[row])
        assert value == values[row]
    return list(handed.values())


CLOCKS = st.from_regex(r"[0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,9})?)?", fullmatch=True)
DATES = st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]", fullmatch=True) | st.dates().map(str)
ZONES = st.from_regex(r"(Z|z|[+-][01][0-9](:?[0-6][0-9])?)?", fullmatch=True)
MOMENTS = st.builds(lambda d, t, c, z: d + t + c + z, DATES, st.sampled_from("T x"), CLOCKS, ZONES)
DECIMALS = st.from_regex(r"[+-]?[0-9]{0,19}(\.[0-9]{0,17})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
UUIDS = st.uuids().map(str) | st.uuids().map(lambda u: u.hex.upper()) | st.uuids().map(lambda u: "{" + str(u) + "}")
ADDRESSES = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,3})?", fullmatch=True) | st.ip_addresses().map(str)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
JSONS = st.builds(
    lambda value, ascii, indent: json.dumps(value, ensure_ascii=ascii, indent=indent),
    JSON,
    st.booleans(),
    st.sampled_from([None, 1]),
)
WORDS = st.sampled_from(
    ["t", "True", "YES", "y", "on", "1", "F", "false", "no", "N", "oFf", "0", "oN", "tru", "\u212a"]
)


def damaged(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts with one character replaced, added or taken away."""

    def damage(text: str, at: int, char: str, width: int) -> str:
        at %= len(text) + 1
        return text[:at] + char + text[at + width :]

    return st.builds(
        damage,
        texts,
        st.integers(0, 200),
        st.sampled_from(list('0959azAF-+:. TZ/,"\\{}[]u\0\n\u00e9')),
        st.integers(0, 2),
    )


SHAPED = WORDS | CLOCKS | DATES | MOMENTS | DECIMALS | UUIDS | ADDRESSES | JSONS
TEXTS = (st.text() | SHAPED | damaged(SHAPED) | st.text(max_size=7)).filter(lambda v: v.isascii() or _encodes(v))
BYTES = st.binary() | st.binary(min_size=16, max_size=16) | TEXTS.map(str.encode)
EDGES = [
    s * (b + d)
    for b in (0, 1, 1 << 15, 1 << 31, 1 << 53, 10**14, 10**18, (1 << 63) - 2)
    for d in (-1, 0, 1)
    for s in (1, -1)
]
INTEGERS = (
    st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-5, 5) | st.sampled_from(EDGES) | st.integers(0, 4 * 10**12)
)
REALS = (
    st.floats(allow_nan=False)
    | st.integers(-(10**15), 10**15).map(float)
    | st.builds(lambda n, k: n / 10**k, st.integers(-(10**16), 10**16), st.integers(0, 18))
    | st.builds(lambda n, d: n / d, st.integers(-(10**13), 10**13), st.sampled_from([2, 8, 64, 1 << 20, 1 << 21]))
)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _broken(raw: bytes) -> BrokenText | str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return BrokenText(raw)


VALUES = st.none() | INTEGERS | REALS | TEXTS | BYTES | BYTES.map(_broken)


@pytest.mark.parametrize("pair", TYPES, ids=name_of)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(values=st.lists(VALUES, max_size=40))
@example(
    values=[*EDGES[:8], 0.0, -0.0, float("inf"), -float("inf"), 5e-324, 1.7976931348623157e308, "", b"", "-0", "-0.0"]
)
@example(values=[n / 1e6 + d for n in (-1.5, -0.5, 0.5, 1.5, 2.5) for d in (0, 1, -1, 1700000000, 2.0**-30)])
def test_the_same_bytes_or_handed_over(kernel: Kernel, pair: tuple[PgType, str], values: list[Value]) -> None:
    check(kernel, pair, [v for v in values if not isinstance(v, int) or -(1 << 63) <= v < 1 << 63])


@pytest.mark.parametrize("pair", TYPES, ids=name_of)
def test_shaped_text_that_was_damaged(kernel: Kernel, pair: tuple[PgType, str]) -> None:
    """Many more of them than hypothesis tries, from a fixed seed."""
    rng = random.Random(7)
    samples = [
        *("2024-02-29T23:59:59.123456+05:30", "1999-12-31 00:00", "0001-01-01", "12:34:56.7890000", "-12345.678900"),
        *("00012", "123456789012345678", str(uuid.UUID(int=5)), uuid.UUID(int=1 << 127).hex),
        *("192.168.0.1/24", "10.0.0.0/8", ' [ true , false , "" , 0 ] ', "\u00fc\u20ac\U0001f600", "true"),
        '{"a":[1,2.5,-3e10,{"b":null}],"\\u00e9\\ud83d\\ude00":"x\\n"}',
    ]
    alphabet = '0123456789-+:. TZ/,"\\{}[]uaeEfn\0\n\u00e9\u20ac'
    values: list[Value] = list(samples)
    for _ in range(4000):
        text = list(rng.choice(samples))
        for _ in range(rng.randint(1, 2)):
            text[rng.randrange(len(text))] = rng.choice(["", *alphabet])
        values.append("".join(text))
        raw = bytearray(rng.choice(samples).encode())
        raw[rng.randrange(len(raw))] = rng.randrange(256)
        values.append(_broken(bytes(raw)))
    check(kernel, pair, values)


CLEAN: list[tuple[str, str, list[Value]]] = [
    ("smallint", "int", [0, -32768, 32767, 5.0, "7", "-12", None]),
    ("integer", "int", [2**31 - 1, -(2**31)]),
    ("bigint", "int", [2**63 - 1, -(2**63), 0, -1]),
    ("boolean", "bool", [0, 1, "t", "FALSE", "yes", "off", "1", 1.0]),
    ("real", "float", [0.5, 3, -0.0, float("inf")]),
    ("double precision", "float", [0.1, 1e308, -0.0, float("-inf"), 3, "1.25", 2**53]),
    ("numeric", "numeric", [0, 10000, -99999999, 1.5, 0.1, 1e-5, "12.50", "-0.000", 123456789.25, 2**63 - 1]),
    ("numeric(10,2)", "numeric", [0, 4.99, 100, "12.5", "1.500"]),
    ("text", "text", ["", "abc", "\u00fcber \u20ac \U0001f600", "x" * 100_000, 5, -7, 1.5]),
    ("varchar(5)", "text", ["12345", "\u00fc\u20ac\U0001f600ab", 12345]),
    ("bytea", "bytes", [b"", b"\0\xff", "text", "nul\0", BrokenText(b"\xff"), 5]),
    ("uuid", "uuid", [str(uuid.UUID(int=3)), uuid.UUID(int=3).hex.upper(), bytes(16)]),
    ("jsonb", "json", ['{"a": [1, -2.5e3, true, null, "\\u00fc\\ud83d\\ude00\\\\u0000"]}', "[]", '""', "0", 5]),
    ("json", "json", ['{"a": {}}']),
    ("inet", "inet", ["0.0.0.0", "255.255.255.255", "10.0.0.0/8"]),
    ("timestamptz", "epoch_s", [0, 1700000000, -1, 1700000000.123456, -0.3]),
    ("timestamptz", "epoch_ms", [1700000000123, 1700000000123.5]),
    ("timestamptz", "epoch_us", [1700000000123456]),
    ("timestamptz", "iso", ["2024-02-29", "2024-02-29 12:30:00.123456", "2024-02-29T12:30+05:30", "2024-02-29 12:30Z"]),
    ("timestamp", "iso", ["2024-02-29 12:30:00", "9999-12-31T23:59:59.999999"]),
    ("timestamptz", "julian", [2460000.5, 2460000]),
    ("date", "iso", ["0001-01-01", "2024-02-29", "9999-12-31"]),
    ("date", "epoch_s", [86400 * 19000]),
    ("time", "iso", ["00:00", "23:59:59.999999"]),
]  # fmt: skip


@pytest.mark.parametrize(("type", "cast", "values"), CLEAN, ids=[f"{t}-{c}" for t, c, _ in CLEAN])
def test_clean_values_stay_native(kernel: Kernel, type: str, cast: str, values: list[Value]) -> None:
    assert check(kernel, (parse_type(type), cast), values) == []


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "text",
    [nested(2000), nested(257), "[" * 100_000, '{"a":' * 300, '"\\u0000"', '"\\ud800"', "1e999", "01", "\ufeff1"],
)
def test_doubtful_json_is_handed_over(kernel: Kernel, text: str) -> None:
    assert check(kernel, (parse_type("jsonb"), "json"), [text, nested(256)]) == [text]


def test_several_columns_and_what_a_failed_one_leaves(kernel: Kernel) -> None:
    """A row that fails in its last column leaves the buffer as it was."""
    pairs = [(parse_type("text"), "text"), (parse_type("integer"), "int")]
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a, b, k TEXT, PRIMARY KEY (k, b)) WITHOUT ROWID")
        rows = [("x", 1, "a"), ("y" * 9000, "bad", "b"), (None, 3, "c")]
        db.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        found = kernel.scan(db, pairs, "SELECT a, b, k, b FROM t WHERE k > ? ORDER BY k", ("",), key_width=2)
    assert found.payload == b"\0\x02\0\0\0\x01x\0\0\0\x04\0\0\0\x01" + b"\0\x02\xff\xff\xff\xff\0\0\0\x04\0\0\0\x03"
    assert found.handed == [("y" * 9000, "bad", "b", "bad")]
    assert (found.first_key, found.last_key, found.rows, found.read_rows) == (("a", 1), ("c", 3), 2, 3)


def test_keys_of_every_storage_class_are_bound_and_returned(kernel: Kernel) -> None:
    key = (None, -5, 2.5, "t\0\u00fc", b"\0b")
    with closing(sqlite3.connect(":memory:")) as db:
        found = kernel.scan(db, [], "SELECT ?1, ?2, ?3, ?4, ?5", key, key_width=5)
    assert found.first_key == found.last_key == key
    assert found.payload == b"\0\0"


def test_pages_end_where_they_are_full(kernel: Kernel) -> None:
    pairs = [(parse_type("text"), "text")]
    with closing(sqlite3.connect(":memory:")) as db:
        fill(db, ["x" * 1000] * 100)
        sql = "SELECT v, id FROM t WHERE id > ? ORDER BY id"
        found = kernel.scan(db, pairs, sql, (-1,), page_bytes=10_000)
        assert (found.rows, found.last_key, found.more) == (10, (9,), True)
        assert kernel.scan(db, pairs, sql, (99,)).read_rows == 0
        fill(db, [b"x" * 1000] * 100)
        found = kernel.scan(db, pairs, sql, (-1,), page_bytes=10_000)
        assert (len(found.handed), found.rows, found.more) == (10, 0, True)


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_utf16(kernel: Kernel, encoding: str) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"PRAGMA encoding = '{encoding}'")
        fill(db, ["a\u00fc\U0001f600", ""])
        found = kernel.scan(db, [(parse_type("text"), "text")], "SELECT v, v FROM t ORDER BY id")
    assert found.payload == b"".join(HEAD + struct.pack(">i", len(v)) + v for v in ("a\u00fc\U0001f600".encode(), b""))
    assert found.last_key == ("",)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT nowhere, 1 FROM t", "no such column: nowhere"),
        ("SELEC", "syntax error"),
        ("", "not a query"),
        ("DELETE FROM t RETURNING v, id", "not a query"),
        ("SELECT 1", "not the columns"),
        ("SELECT abs(-9223372036854775808), 1", "integer overflow"),
    ],
)
def test_errors_carry_the_message_of_sqlite(kernel: Kernel, sql: str, message: str) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        fill(db, [1])
        with pytest.raises(kernel.module.ScanError, match=message):
            kernel.scan(db, [(parse_type("bigint"), "int")], sql)
        assert kernel.scan(db, [(parse_type("bigint"), "int")], "SELECT v, id FROM t").rows == 1


def test_a_closed_connection(kernel: Kernel) -> None:
    db = sqlite3.connect(":memory:")
    db.close()
    with pytest.raises(kernel.module.ScanError, match="is closed"):
        kernel.scan(db, [], "SELECT 1")


def test_what_is_missing_is_said(kernel: Kernel) -> None:
    with pytest.raises(ValueError, match="no function prepare_v2"):
        kernel.module.Library({})
    with pytest.raises(ValueError, match="no point"):
        kernel.module.Columns([("point", "point", ())])


def damaged_files(path: Path, count: int) -> Iterator[Path]:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA page_size = 512")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v, w TEXT)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n, n * n, f"{n}" * (n % 200)) for n in range(400)])
        db.commit()
    sound = path.read_bytes()
    rng = random.Random(3)
    for number in range(count):
        raw = bytearray(sound)
        for _ in range(rng.randint(1, 30)):
            raw[rng.randrange(512, len(raw))] = rng.randrange(256)
        bad = path.with_name(f"bad{number}.db")
        bad.write_bytes(raw)
        yield bad


def test_damaged_files_end_as_in_python(kernel: Kernel, tmp_path: Path) -> None:
    pairs = [(parse_type("bigint"), "int"), (parse_type("text"), "text")]
    outcomes = set()
    for bad in damaged_files(tmp_path / "a.db", 150):
        with closing(sqlite3.connect(bad)) as db:
            db.text_factory = bytes
            sql = "SELECT v, w, id FROM t ORDER BY id"
            try:
                expected: str | int = len(db.execute(sql).fetchall())
            except sqlite3.DatabaseError as error:
                expected = str(error)
            try:
                found: str | int = kernel.scan(db, pairs, sql, page_bytes=1 << 30).read_rows
            except kernel.module.ScanError as error:
                found = str(error)
        assert found == expected
        outcomes.add(type(found))
    assert outcomes == {str, int}


def test_no_leak(kernel: Kernel) -> None:
    values: list[Value] = ["x" * 500, 5, 2.5, None, b"blob" * 50, BrokenText(b"\xff\xfe"), "nul\0"] * 20
    pair = (parse_type("text"), "text")
    process = psutil.Process()
    with closing(sqlite3.connect(":memory:")) as db:
        fill(db, values)

        def work(count: int) -> None:
            for _ in range(count):
                kernel.scan(db, [pair], "SELECT v, id FROM t WHERE id > ? ORDER BY id", (-1,))
                with pytest.raises(kernel.module.ScanError):
                    kernel.scan(db, [pair], "SELECT abs(-9223372036854775808), v FROM t")

        work(300)
        gc.collect()
        before_bytes = process.memory_info().rss
        tracemalloc.start()
        try:
            work(20)
            gc.collect()
            first, _ = tracemalloc.get_traced_memory()
            work(100)
            gc.collect()
            second, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert second - first < 20_000
        nones = sys.getrefcount(None)
        work(1500)
        gc.collect()
        assert sys.getrefcount(None) - nones < 1000
    assert process.memory_info().rss - before_bytes < 16 << 20
