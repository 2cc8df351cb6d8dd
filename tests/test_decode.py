"""The reader of binary COPY streams, and payloads shown to a person."""

from __future__ import annotations

import itertools
import struct
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copier.plan.pgtype import CASTS, PgType, parse_type
from copier.wire.binary import HEADER, SIGNATURE, TRAILER, ColumnSpec, FieldEncoder
from copier.wire.decode import Fields, TupleReader, decode_field


def stream(rows: list[Fields], header: bytes = HEADER) -> bytes:
    out = header
    for row in rows:
        out += struct.pack(">h", len(row))
        for field in row:
            out += struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field
    return out + TRAILER


def read(columns: int, pieces: list[bytes]) -> tuple[list[Fields], bool]:
    reader = TupleReader(columns)
    rows = [row for piece in pieces for row in reader.feed(piece)]
    return rows, reader.finished


ROWS = st.integers(0, 4).flatmap(
    lambda width: st.tuples(
        st.just(width),
        st.lists(st.tuples(*[st.none() | st.binary(max_size=6)] * width), max_size=5),
    )
)


@settings(max_examples=60, deadline=None)
@given(table=ROWS, cuts=st.lists(st.integers(0, 200), max_size=8), extension=st.binary(max_size=3))
def test_any_split_gives_the_same_rows(table: tuple[int, list[Fields]], cuts: list[int], extension: bytes) -> None:
    width, rows = table
    raw = stream(rows, SIGNATURE + struct.pack(">Ii", 1, len(extension)) + extension)
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(places)]
    assert read(width, pieces) == (rows, True)
    assert read(width, [raw[i : i + 1] for i in range(len(raw))]) == (rows, True)


def test_rows_come_as_soon_as_they_are_whole() -> None:
    raw = stream([(b"one", None), (b"two", b"")])
    reader = TupleReader(2)
    first = len(HEADER) + 2 + 4 + 3 + 4
    assert reader.feed(raw[: first - 1]) == []
    assert reader.feed(raw[first - 1 : first]) == [(b"one", None)]
    assert reader.feed(raw[first:-1]) == [(b"two", b"")]
    assert not reader.finished
    assert reader.feed(raw[-1:]) == []
    assert reader.finished
    assert reader.feed(b"") == []


def test_a_large_field_in_many_pieces() -> None:
    field = bytes(range(256)) * 8192
    raw = stream([(field,), (b"after",)])
    assert read(1, [raw[i : i + 1000] for i in range(0, len(raw), 1000)]) == ([(field,), (b"after",)], True)


MALFORMED = {
    "no signature": b"PGCOPX\n\xff\r\n\0" + bytes(8),
    "unknown critical flag": SIGNATURE + struct.pack(">Ii", 1 << 16, 0),
    "negative extension": SIGNATURE + struct.pack(">Ii", 0, -1),
    "too many fields": HEADER + struct.pack(">h", 3) + bytes(12),
    "negative field count": HEADER + struct.pack(">h", -2),
    "negative length": HEADER + struct.pack(">hi", 2, -2) + bytes(4),
    "data after the trailer": HEADER + TRAILER + b"\0",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_streams_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"binary COPY"):
        read(2, [raw])
    with pytest.raises(ValueError, match=r"binary COPY"):
        read(2, [raw[i : i + 1] for i in range(len(raw))])


SHOWN = [
    ("boolean", "bool", 0, "false"),
    ("smallint", "int", -5, "-5"),
    ("bigint", "int", 1 << 62, str(1 << 62)),
    ("real", "float", 3.14, "3.14"),
    ("double precision", "float", 0.1, "0.1"),
    ("numeric", "numeric", "-12345.6700", "-12345.6700"),
    ("numeric", "numeric", "0.00012", "0.00012"),
    ("numeric", "numeric", "0.00", "0.00"),
    ("numeric", "numeric", "1e9", "1000000000"),
    ("numeric", "numeric", float("-inf"), "-Infinity"),
    ("text", "text", "naïve", "naïve"),
    ("bytea", "bytes", b"\0\xff", "\\x00ff"),
    ("uuid", "uuid", "00112233445566778899AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeff"),
    ("json", "json", "[1, 2]", "[1, 2]"),
    ("jsonb", "json", "[1]", "[1]"),
    ("inet", "inet", "10.0.0.1", "10.0.0.1"),
    ("inet", "inet", "10.0.0.1/8", "10.0.0.1/8"),
    ("cidr", "inet", "::1", "::1/128"),
    ("timestamptz", "epoch_ms", 1700000000120, "2023-11-14 22:13:20.12+00"),
    ("timestamp", "iso", "0001-01-01 00:00", "0001-01-01 00:00:00"),
    ("timestamptz", "julian", 0, "4714-11-24 12:00:00+00 BC"),
    ("timestamptz", "epoch_s", 9224318015999, "294276-12-31 23:59:59+00"),
    ("timestamptz", "epoch_s", -210866803200, "4714-11-24 00:00:00+00 BC"),
    ("date", "iso", "2024-02-29", "2024-02-29"),
    ("time", "iso", "01:02:03.000004", "01:02:03.000004"),
]


@pytest.mark.parametrize(("declared", "cast", "value", "text"), SHOWN)
def test_fields_are_shown(declared: str, cast: str, value: str | int | float | bytes, text: str) -> None:
    pg_type = parse_type(declared)
    assert decode_field(pg_type, FieldEncoder(ColumnSpec(pg_type, cast)).payload(value)) == text


def test_infinite_times_are_shown() -> None:
    assert decode_field(PgType("timestamptz"), struct.pack(">q", (1 << 63) - 1)) == "infinity"
    assert decode_field(PgType("date"), struct.pack(">i", -(1 << 31))) == "-infinity"
    assert decode_field(PgType("numeric"), bytes.fromhex("00000000c0000000")) == "NaN"


@pytest.mark.parametrize("wire", [wire for wire in CASTS if wire != "bytea"])
def test_a_payload_of_another_type_is_shown_as_hex(wire: str) -> None:
    assert decode_field(PgType(wire), b"\xff\xfe\xff") == "\\xfffeff"


@settings(max_examples=60, deadline=None)
@given(number=st.decimals(-(10**40), 10**40))
def test_numeric_is_shown_exactly(number: Decimal) -> None:
    payload = FieldEncoder(ColumnSpec(PgType("numeric"), "numeric")).payload(str(number))
    shown = decode_field(PgType("numeric"), payload)
    assert shown == format(abs(number) if number.is_zero() else number, "f")
