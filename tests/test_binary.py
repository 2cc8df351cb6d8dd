"""The encoder: golden bytes, policies, and the fast paths held to the reference path byte for byte."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from copier.plan.pgtype import CASTS, POLICIES, PgType, parse_type
from copier.plan.source import Value
from copier.wire import binary
from copier.wire.binary import (
    HEADER,
    NULL,
    TRAILER,
    ColumnSpec,
    RowEncoder,
    RowReject,
    encode_field,
)
from copier.wire.cast import BrokenText, CastError

BROKEN = BrokenText(b"a\xff")


def spec(declared: str, cast: str | None = None, policy: str = "reject", default: str | None = None) -> ColumnSpec:
    pg_type = parse_type(declared)
    return ColumnSpec(pg_type, cast or CASTS[pg_type.wire][0], policy, default)


GOLDEN: list[tuple[ColumnSpec, Value, str]] = [
    (spec("boolean"), 1, "01"),
    (spec("smallint"), -2, "fffe"),
    (spec("integer"), 258, "00000102"),
    (spec("bigint"), -1, "ffffffffffffffff"),
    (spec("real"), 1.5, "3fc00000"),
    (spec("double precision"), -0.0, "8000000000000000"),
    (spec("numeric"), 0, "0000000000000000"),
    (spec("numeric"), "12345.678", "0003000100000003" + "000109291a7c"),
    (spec("numeric"), -0.0001, "0001ffff40000004" + "0001"),
    (spec("numeric"), "1e8", "0001000200000000" + "0001"),
    (spec("numeric"), "0.00", "0000000000000002"),
    (spec("numeric"), float("inf"), "00000000d0000000"),
    (spec("numeric"), float("-inf"), "00000000f0000000"),
    (spec("text"), "é", "c3a9"),
    (spec("text"), "", ""),
    (spec("varchar(3)"), 1.5, "312e35"),
    (spec("bytea"), b"\0\1", "0001"),
    (spec("bytea"), BROKEN, "61ff"),
    (spec("uuid"), "00112233-4455-6677-8899-aabbccddeeff", "00112233445566778899aabbccddeeff"),
    (spec("json"), "[1]", "5b315d"),
    (spec("jsonb"), "[1]", "015b315d"),
    (spec("inet"), "1.2.3.4/24", "0218000401020304"),
    (spec("cidr"), "1.2.3.0/24", "0218010401020300"),
    (spec("timestamptz"), "2000-01-01T00:00:01Z", "00000000000f4240"),
    (spec("timestamptz", "epoch_ms"), 946684800001, "00000000000003e8"),
    (spec("date"), "1999-12-31", "ffffffff"),
    (spec("time"), "00:00:01", "00000000000f4240"),
]


@pytest.mark.parametrize(("column", "value", "payload"), GOLDEN)
def test_golden_fields(column: ColumnSpec, value: Value, payload: str) -> None:
    raw = bytes.fromhex(payload)
    assert encode_field(column, value) == struct.pack(">i", len(raw)) + raw
    page = RowEncoder([column]).encode([(value,), (None,)])
    assert page.payload == b"\0\1" + struct.pack(">i", len(raw)) + raw + b"\0\1" + NULL


def test_header_and_trailer() -> None:
    assert b"PGCOPY\n\xff\r\n\0" + bytes(8) == HEADER
    assert struct.pack(">h", -1) == TRAILER


POLICY_CASES: list[tuple[ColumnSpec, Value, bytes | None, int]] = [
    (spec("bigint", policy="null_if_empty"), "", None, 1),
    (spec("text", policy="null_if_empty"), "", b"", 0),
    (spec("bigint", policy="null"), "x", None, 1),
    (spec("bigint", policy="null"), "7", struct.pack(">q", 7), 0),
    (spec("jsonb", policy="default", default="{}"), "{oops", b"\x01{}", 1),
    (spec("bigint", policy="default", default="3"), b"", struct.pack(">q", 3), 1),
    (spec("text", policy="strip"), "a\0b", b"ab", 1),
    (spec("text", policy="strip"), BROKEN, b"a", 1),
    (spec("text", policy="replace"), "a\0b", "a\ufffdb".encode(), 1),
    (spec("text", policy="replace"), BROKEN, "a\ufffd".encode(), 1),
    (spec("varchar(2)", policy="strip"), "ab\0", b"ab", 1),
]


@pytest.mark.parametrize(("column", "value", "payload", "adjusted"), POLICY_CASES)
def test_policies_mend(column: ColumnSpec, value: Value, payload: bytes | None, adjusted: int) -> None:
    encoder = RowEncoder([column])
    assert encoder.encode_fields([(value,)]) == ([(payload,)], ())
    assert dict(encoder.encode([(value,)] * 3).adjusted) == ({0: 3 * adjusted} if adjusted else {})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (spec("bigint"), "x"),
        (spec("bigint", policy="null_if_empty"), "x"),
        (spec("bigint", policy="default"), "x"),
        (spec("text", policy="strip"), b"blob"),
        (spec("varchar(1)", policy="strip"), "ab\0"),
        (spec("varchar(2)", policy="replace"), "ab\0"),
        (spec("bigint", policy="fail"), "x"),
    ],
)
def test_policies_reject_what_they_cannot_mend(column: ColumnSpec, value: Value) -> None:
    with pytest.raises(CastError):
        encode_field(column, value)
    page = RowEncoder([column]).encode([(value,)])
    assert (page.rows, page.payload, len(page.rejects)) == (0, b"", 1)
    assert page.rejects[0].fatal == (column.policy == "fail")


def test_a_default_that_its_own_cast_refuses_is_an_error() -> None:
    with pytest.raises(ValueError, match="not an integer"):
        RowEncoder([spec("bigint", policy="default", default="now()")])
    with pytest.raises(ValueError, match="not a policy"):
        RowEncoder([spec("bigint", policy="ignore")])


def test_a_row_is_left_out_whole_and_its_first_bad_column_named() -> None:
    encoder = RowEncoder([spec("text"), spec("integer"), spec("integer", policy="null")])
    rows = [("a", 1, 2), ("b\0", "x", 3), ("c", "x", "y"), ("d", 4, "z")]
    page = encoder.encode(rows)
    assert page.rejects == (
        RowReject(1, 0, "contains a NUL character"),
        RowReject(2, 1, "not an integer"),
    )
    assert page.rows == 2
    assert page.payload == encoder.encode([("a", 1, 2), ("d", 4, None)]).payload
    assert dict(page.adjusted) == {2: 1}, "a change in a row that is left out does not count"
    fields, rejects = encoder.encode_fields(rows)
    assert rejects == page.rejects
    assert fields == [(b"a", bytes(3) + b"\1", bytes(3) + b"\2"), (b"d", bytes(3) + b"\4", None)]


def test_values_after_the_columns_are_ignored() -> None:
    encoder = RowEncoder([spec("integer")])
    assert encoder.encode([(1, "key"), (2, BROKEN)]) == encoder.encode([(1,), (2,)])


def test_no_rows_and_no_columns() -> None:
    assert RowEncoder([spec("integer")]).encode([]).payload == b""
    assert RowEncoder([spec("integer")]).encode_fields([]) == ([], ())
    assert RowEncoder([]).encode([(1,), (2,)]).payload == bytes(4)
    assert RowEncoder([]).encode_fields([(1,), (2,)]) == ([(), ()], ())


def test_rows_that_are_too_short_are_an_error() -> None:
    with pytest.raises(ValueError, match="rows of 1 values for 2 columns"):
        RowEncoder([spec("integer")] * 2).encode([(1,)])


def test_a_row_postgresql_could_not_hold_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "MAX_FIELD_BYTES", 100)
    encoder = RowEncoder([spec("integer"), spec("text"), spec("text")])
    page = encoder.encode([(1, "a" * 40, "b" * 70), (2, "a" * 30, "b" * 30), (3, "", "")])
    assert [(reject.row, reject.column) for reject in page.rejects] == [(0, 2)]
    assert page.rows == 2
    assert page.payload == encoder.encode([(2, "a" * 30, "b" * 30), (3, "", "")]).payload


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
UNUSUAL_TEXTS = st.sampled_from(
    [
        "", "\0", "a\0b", "\ud800", "1", "-0", "1.0", "1e5", " 1", "true", "F", "Infinity", "NaN", "2024-02-30",
        "2024-01-01", "2024-01-01 10:00", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00.5", "2024-01-01 10:00:00.12",
        "2024-01-01 10:00:00.123456+02:00", "2024-01-01 10:00:00-16:00", "2024-01-01 24:00:00", "0000-01-01",
        "2024-01-01 10:00:00+00:00", "10:00", "10:00:00.000001", "1.2.3.4", "::1", "::1/64", "10.0.0.0/8", "{}",
        "[1e400]", '"\\u0000"', '"\\\\u0000"', '"\\ud800"', "[1e-20000]", "0e99999999999", '{"a":1,"a":2}', "null",
        "[" * 300 + "]" * 300,
        "00112233-4455-6677-8899-aabbccddeeff", "00112233445566778899aabbccddeeff",
        "0011223 -4455-6677-8899-aabbccddeef\n", "00112233-4455-6677-8899-aabbccddee-f",
        "{00112233445566778899aabbccddeeff}",
    ]
)  # fmt: skip
INTEGERS = st.sampled_from([0, 1, 2, 86400, 1 << 53, (1 << 53) + 1, 32768, 1 << 31, 1700000000000]) | st.integers(
    -(1 << 70), 1 << 70
)
REALS = st.sampled_from([0.0, -0.0, 1.0, 0.5, 3.14, 1e16, 2451544.5, 1700000000.25]) | st.floats(allow_nan=False)
TEXTS = UNUSUAL_TEXTS | st.text(max_size=8) | st.uuids().map(str) | st.datetimes().map(str)
BLOBS = st.binary(max_size=4) | st.binary(min_size=16, max_size=16)
BROKENS = st.binary(max_size=3).map(lambda raw: BrokenText(raw + b"\xff"))
KINDS = [st.none(), INTEGERS, REALS, TEXTS, BLOBS, BROKENS]

COLUMNS = [ColumnSpec(PgType(wire), cast) for wire, casts in CASTS.items() for cast in casts] + [
    spec("numeric(10,2)"),
    spec("varchar(5)"),
    spec("char(5)"),
]


@st.composite
def columns_of_values(draw: st.DrawFn) -> list[Value]:
    """Mostly of one storage class, as real columns are; then the fast path is taken, or nearly."""
    main = draw(st.sampled_from(KINDS))
    values: list[Value] = draw(st.lists(main | st.one_of(KINDS) if draw(st.booleans()) else main, max_size=12))
    return values


def by_reference(column: ColumnSpec, values: list[Value]) -> tuple[bytes, list[tuple[int, str]]]:
    payload, rejects = b"", []
    for row, value in enumerate(values):
        try:
            payload += b"\0\1" + encode_field(column, value)
        except CastError as error:
            rejects.append((row, str(error)))
    return payload, rejects


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: f"{c.type.sql}-{c.cast}")
@settings(max_examples=60, deadline=None)
@given(pages=st.lists(columns_of_values(), min_size=1, max_size=3), policy=st.sampled_from(POLICIES))
@example(pages=[[1, 1.0, True], [0.0, -0.0]], policy="reject")
def test_fast_paths_agree_with_the_reference(column: ColumnSpec, pages: list[list[Value]], policy: str) -> None:
    column = ColumnSpec(column.type, column.cast, policy)
    encoder = RowEncoder([column])  # one encoder for all pages: it remembers which columns hold NULLs
    for values in pages:
        payload, rejects = by_reference(column, values)
        page = encoder.encode([(value,) for value in values])
        assert [(reject.row, reject.reason) for reject in page.rejects] == rejects
        assert page.payload == payload
        assert page.rows == len(values) - len(rejects)
        fields, _ = encoder.encode_fields([(value,) for value in values])
        assert b"".join(b"\0\1" + (NULL if v is None else struct.pack(">i", len(v)) + v) for (v,) in fields) == payload


CLEAN: list[tuple[ColumnSpec, st.SearchStrategy[Value]]] = [
    (spec("uuid"), st.uuids().map(str)),
    (spec("bigint"), st.integers(-(1 << 63), (1 << 63) - 1)),
    (spec("boolean"), st.integers(0, 1)),
    (spec("timestamptz", "epoch_s"), st.integers(-(10**11), 10**12)),
    (spec("timestamptz", "epoch_ms"), st.integers(-(10**15), 10**16)),
    (spec("timestamptz", "epoch_us"), st.integers(-(1 << 62), 1 << 62)),
    (spec("timestamptz"), st.datetimes(timezones=st.timezones() | st.none()).map(str)),
    (spec("timestamp"), st.datetimes().map(lambda d: d.isoformat(timespec="milliseconds"))),
    (spec("timestamp"), st.dates().map(str)),
    (spec("jsonb"), JSONISH.map(json.dumps)),
    (spec("text"), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
    (spec("double precision"), st.floats(allow_nan=False)),
    (spec("numeric"), st.floats(allow_nan=False)),
    (spec("inet"), st.ip_addresses().map(str)),
]


@pytest.mark.parametrize(
    ("column", "values"), CLEAN, ids=lambda c: f"{c.type.sql}-{c.cast}" if isinstance(c, ColumnSpec) else ""
)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), holes=st.booleans())
def test_clean_columns_agree_with_the_reference(
    column: ColumnSpec, values: st.SearchStrategy[Value], data: st.DataObject, holes: bool
) -> None:
    page = data.draw(st.lists(values | st.none() if holes else values, max_size=20))
    payload, rejects = by_reference(column, page)
    encoded = RowEncoder([column]).encode([(value,) for value in page])
    assert encoded.payload == payload
    assert [(reject.row, reject.reason) for reject in encoded.rejects] == rejects
