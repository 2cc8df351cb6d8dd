"""Every cast through a real server: what the encoder accepts the server accepts, and means the same by it.

Values go in as binary COPY beside their own text. The server's parser is the judge of the text; the bytes are then
COPYed out again and compared.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copier.plan.pgtype import CASTS, PgType, parse_type
from copier.plan.source import Value
from copier.wire.binary import HEADER, TRAILER, ColumnSpec, RowEncoder
from copier.wire.cast import BrokenText, number_text
from copier.wire.decode import Fields, TupleReader, decode_field
from copier.wire.digest import canonical

INT8 = st.integers(-(1 << 63), (1 << 63) - 1)
REAL = st.floats(allow_nan=False)
JUNK: st.SearchStrategy[Value] = (
    st.none()
    | INT8
    | REAL
    | st.text(max_size=10)
    | st.binary(max_size=10)
    | st.binary(max_size=3).map(lambda raw: BrokenText(raw + b"\xff"))
    | st.sampled_from(["", "a\0", "NaN", "now", "infinity", "0000-00-00", "24:00:00", "\x7f", "1e5", "-0", "{}"])
)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: abs(d.adjusted()) < 20000).map(str)
WORDS = st.sampled_from(["t", "F", "TRUE", "false", "yes", "NO", "y", "n", "On", "off", "0", "1"])
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50)
UUIDS = st.uuids().flatmap(lambda u: st.sampled_from([str(u), u.hex, f"{{{u}}}", str(u).upper()]))
NUMBERS = INT8 | st.floats(allow_nan=False, allow_infinity=False) | DECIMALS
JSON_SCALARS = st.none() | st.booleans() | st.integers() | REAL.filter(lambda v: abs(v) < 1e308) | st.text(max_size=8)
JSON = st.recursive(
    JSON_SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
).map(json.dumps) | st.sampled_from(
    [
        r'"\u0000"',
        r'"\ud800"',
        r'"\ud83d\ude00"',
        r'["\\u0000", "\/"]',
        "[1e400, 1E-400]",
        "1e131000",
        "1e131072",
        "1e-16383",
        "1e-16384",
        "0e131000",
        "0e-16384",
        "0e9999999999",
        '{"a": 1, "a": 2}',
        "[" * 1024 + "]" * 1024,
        "\t[1.50 ,2]\n",
    ]
)
NETWORKS = st.one_of(
    st.ip_addresses().map(str),
    st.builds("{}/{}".format, st.ip_addresses(v=4), st.integers(0, 32)),
    st.builds("{}/{}".format, st.ip_addresses(v=6), st.integers(0, 128)),
    st.builds("{}.0.0.0/8".format, st.integers(0, 255)),
    st.sampled_from(["::ffff:1.2.3.4", "0.0.0.0/0", "::/0", "10.1/16", "1.2.3.4/032"]),
)
ZONES = st.sampled_from(["", "Z", "+00", "+02:00", "-0330", "+15:59", "-15:59"])
STAMPS = st.builds(
    lambda moment, separator, spec, zone: moment.isoformat(separator, spec) + zone,
    st.datetimes(),
    st.sampled_from(" T"),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
    ZONES,
) | st.dates().map(str)
MIDNIGHTS = st.dates().map(str) | st.dates().map(lambda d: f"{d} 00:00:00")
CLOCKS = st.times().map(str) | st.times().map(lambda t: t.isoformat("minutes"))
DAY_S = 86400


def plain(value: Value) -> str:
    """Return a value as text that PostgreSQL's parsers read."""
    return number_text(value) if isinstance(value, int | float) else str(value)


@dataclass(frozen=True)
class Case:
    """Values for one (type, cast), their text for the server, and what the server must find true of `v` and `raw`."""

    declared: str
    cast: str
    values: st.SearchStrategy[Value]
    truth: str
    raw: Callable[[Value], str] = plain

    @property
    def type(self) -> PgType:
        return parse_type(self.declared)


def as_hex(value: Value) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return plain(value).encode().hex()


def uuid_text(value: Value) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


SINCE_1970 = "extract(epoch FROM v::timestamp - timestamp 'epoch')"
"""Exact to the end of the range; `extract(epoch FROM v)` is not where the number overflows eight bytes."""


def epoch(scale: int) -> str:
    """The exact number of seconds since 1970 times `scale` is the number itself, rounded to the microsecond."""
    return f"abs({SINCE_1970} * {scale} - raw::numeric) <= 0.0000005 * {scale}"


JULIAN = f"abs({SINCE_1970} / 86400 + 2440587.5 - raw::numeric) <= 0.0006 / 86400"
"""To the nearest millisecond, and the error of a double product as SQLite computes it."""
BOOL_TRUTH = "v = CASE WHEN raw ~ '[.]' THEN raw::numeric = 1 ELSE raw::boolean END"
BYTES_TRUTH = "v = decode(raw, 'hex')"
DAYS = st.integers(-2_500_000, 110_000_000)
TIMES = ("timestamptz", "timestamp", "date")

CASES = [
    Case("boolean", "bool", st.sampled_from([0, 1, 0.0, 1.0]) | WORDS, BOOL_TRUTH),
    Case("smallint", "int", st.integers(-40000, 40000) | st.integers(-40000, 40000).map(str), "v = raw::numeric"),
    Case("integer", "int", st.integers(-(1 << 32), 1 << 32) | REAL, "v = raw::numeric"),
    Case("bigint", "int", INT8 | INT8.map(str) | INT8.map(float), "v = raw::numeric"),
    Case("real", "float", st.floats(width=32, allow_nan=False) | st.sampled_from([3.14, "2.5"]), "v = raw::real"),
    Case("double precision", "float", REAL | INT8 | DECIMALS, "v = raw::double precision"),
    Case("numeric", "numeric", REAL | INT8 | DECIMALS, "v = raw::numeric"),
    Case("numeric(10,2)", "numeric", st.decimals(-(10**8), 10**8, places=2).map(str) | NUMBERS, "v = raw::numeric"),
    Case("numeric(30)", "numeric", NUMBERS, "v = raw::numeric"),
    Case("numeric(2,-3)", "numeric", st.integers(-100, 100).map(lambda n: n * 1000), "v = raw::numeric"),
    Case("numeric(3,5)", "numeric", st.integers(-1000, 1000).map(lambda n: f"{n}e-5"), "v = raw::numeric"),
    Case("text", "text", TEXT | INT8 | REAL, 'v = raw COLLATE "C"'),
    Case("varchar(9)", "text", TEXT, 'v = raw COLLATE "C"'),
    Case("char(9)", "text", TEXT, "v = raw::char(9)"),
    Case("bytea", "bytes", st.binary() | TEXT | INT8 | REAL, BYTES_TRUTH, as_hex),
    Case("uuid", "uuid", UUIDS | st.binary(min_size=16, max_size=16), "v = raw::uuid", uuid_text),
    Case("json", "json", JSON | NUMBERS, "v::text = raw"),
    Case("jsonb", "json", JSON | NUMBERS, "v = raw::jsonb"),
    Case("inet", "inet", NETWORKS, "v = raw::inet"),
    Case("cidr", "inet", NETWORKS, "v = raw::cidr"),
    Case("timestamptz", "iso", STAMPS, "v = raw::timestamptz"),
    Case("timestamp", "iso", STAMPS, "v = raw::timestamp"),
    Case("date", "iso", MIDNIGHTS, "v = raw::date"),
    Case("time", "iso", CLOCKS, "v = raw::time"),
    *[Case(wire, "epoch_s", DAYS.map(lambda n: n * DAY_S), epoch(1)) for wire in TIMES],
    *[Case(wire, "epoch_ms", DAYS.map(lambda n: n * DAY_S * 10**3), epoch(1000)) for wire in TIMES],
    *[Case(wire, "epoch_us", DAYS.map(lambda n: n * DAY_S * 10**6), epoch(10**6)) for wire in TIMES],
    *[Case(wire, "julian", st.integers(0, 5_400_000).map(lambda n: n + 0.5), JULIAN) for wire in TIMES],
    Case("timestamptz", "epoch_s", st.floats(-1e12, 1e13) | INT8.map(str), epoch(1)),
    Case("timestamptz", "epoch_ms", st.floats(-1e13, 1e13).map(lambda v: int(v) + 0.5) | INT8, epoch(1000)),
    Case("timestamptz", "epoch_us", INT8 | INT8.map(str), epoch(10**6)),
    Case("timestamptz", "julian", st.floats(0, 5_400_000), JULIAN),
]


def test_every_cast_has_a_case() -> None:
    assert {(case.type.wire, case.cast) for case in CASES} == {(w, c) for w, casts in CASTS.items() for c in casts}


def exact(value: Value) -> str:
    """Return a number as the decimal that it is, not the shortest that reads back as it."""
    return f"{value:.30f}" if isinstance(value, float) and abs(value) < 1e300 else plain(value)


async def copy_in(pg: asyncpg.Connection, case: Case, values: list[Value]) -> list[Value]:
    """Load the values the encoder accepts, each with its number and its text; return them."""
    raw = exact if case.cast in ("int", "epoch_s", "epoch_ms", "epoch_us", "julian") else case.raw
    encoder = RowEncoder([ColumnSpec(case.type, case.cast)])
    refused = {reject.row for reject in encoder.encode([(v,) for v in values]).rejects}
    kept = [v for row, v in enumerate(values) if row not in refused]
    specs = [ColumnSpec(PgType("int4"), "int"), ColumnSpec(PgType("text"), "text"), ColumnSpec(case.type, case.cast)]
    page = RowEncoder(specs).encode([(i, None if v is None else raw(v), v) for i, v in enumerate(kept)])
    assert not page.rejects, "the text of an accepted value is text"
    source = io.BytesIO(HEADER + page.payload + TRAILER)
    await pg.copy_to_table("t", source=source, columns=["i", "raw", "v"], format="binary")
    return kept


async def copy_out(pg: asyncpg.Connection) -> list[Fields]:
    reader = TupleReader(1)
    rows: list[Fields] = []

    async def take(data: bytes) -> None:
        rows.extend(reader.feed(data))

    await pg.copy_from_query("SELECT v FROM t ORDER BY i", output=take, format="binary")
    assert reader.finished
    return rows


def same_text(case: Case) -> bool:
    """Whether `decode_field` writes this type exactly as the server casts it to text."""
    return case.type.wire not in ("inet", "cidr", "float4", "float8", "bpchar")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.declared}-{case.cast}")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_round_trip(pg: asyncpg.Connection, case: Case, data: st.DataObject) -> None:
    values = data.draw(st.lists(case.values | case.values | JUNK, min_size=1, max_size=40))
    await pg.execute("SET timezone TO 'UTC'; SET datestyle TO 'ISO, YMD'; DROP TABLE IF EXISTS t")
    await pg.execute(f"CREATE TABLE t (i int, raw text, v {case.type.sql})")
    kept = await copy_in(pg, case, values)

    assert await pg.fetchval("SELECT count(*) FROM t WHERE (v IS NULL) <> (raw IS NULL)") == 0
    wrong = await pg.fetch(f"SELECT raw, v::text FROM t WHERE raw IS NOT NULL AND ({case.truth}) IS NOT TRUE")
    assert [tuple(row) for row in wrong] == []

    sent, _ = RowEncoder([ColumnSpec(case.type, case.cast)]).encode_fields([(v,) for v in kept])
    back = await copy_out(pg)
    form = canonical(case.type) or (lambda payload: payload)
    assert [v and form(v) for (v,) in back] == [v and form(v) for (v,) in sent]

    if same_text(case):
        texts = [row[0] for row in await pg.fetch("SELECT v::text FROM t ORDER BY i")]
        assert texts == [None if v is None else decode_field(case.type, v) for (v,) in back]


async def test_limits_of_numeric(pg: asyncpg.Connection) -> None:
    await pg.execute("CREATE TABLE t (i int, raw text, v numeric)")
    case = Case("numeric", "numeric", st.none(), "")
    values: list[Value] = ["9" * 131072, "0." + "9" * 16383, "9" * 131072 + "." + "9" * 16383, "1e131071", "1e-16383"]
    assert await copy_in(pg, case, values) == values
    assert await pg.fetchval("SELECT count(*) FROM t WHERE v <> raw::numeric") == 0
    assert [decode_field(PgType("numeric"), v) for (v,) in await copy_out(pg) if v is not None] == [
        row[0] for row in await pg.fetch("SELECT v::text FROM t ORDER BY i")
    ]


async def test_large_jsonb_that_is_accepted_is_stored(pg: asyncpg.Connection) -> None:
    await pg.execute("CREATE TABLE t (i int, raw text, v jsonb)")
    text = "[" + "0.5," * 2_000_000 + "{}]"
    encoder = RowEncoder([ColumnSpec(PgType("int4"), "int"), ColumnSpec(PgType("jsonb"), "json")])
    page = encoder.encode([(1, text)])
    assert page.rows == 1
    source = io.BytesIO(HEADER + page.payload + TRAILER)
    await pg.copy_to_table("t", source=source, columns=["i", "v"], format="binary")
    assert await pg.fetchval("SELECT jsonb_array_length(v) FROM t") == 2_000_001
