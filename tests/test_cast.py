"""The reference casts, case by case: what is taken, what it becomes, what is refused and why."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copier.plan.pgtype import CASTS, PgType, parse_type
from copier.wire.cast import (
    BrokenText,
    CastError,
    caster,
    epoch_ms,
    epoch_s,
    epoch_us,
    iso,
    iso_date,
    iso_time,
    json_container,
    julian,
    to_bool,
    to_bytes,
    to_float,
    to_float4,
    to_inet,
    to_json,
    to_numeric,
    to_text,
    to_uuid,
)

BROKEN = BrokenText(b"caf\xe9")
INF = math.inf
ALICE = "6f1c2a34-0b5d-4e8f-9a7b-1c2d3e4f5a6b"
ALICE_BYTES = bytes.fromhex(ALICE.replace("-", ""))


def us(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)  # type: ignore[misc,arg-type]


def cast_of(declared: str, cast: str | None = None) -> Callable[[Any], object]:
    pg_type = parse_type(declared)
    return caster(pg_type, cast or CASTS[pg_type.wire][0])


INT2, INT4, INT8 = cast_of("smallint"), cast_of("integer"), cast_of("bigint")

ACCEPTED: list[tuple[Callable[[Any], object], object, object]] = [
    (INT2, 32767, 32767),
    (INT4, -(1 << 31), -(1 << 31)),
    (INT8, (1 << 63) - 1, (1 << 63) - 1),
    (INT8, 2.0, 2),
    (INT8, -(2.0**63), -(1 << 63)),
    (INT8, "-12", -12),
    (INT8, "+007", 7),
    (INT8, "0" * 5000 + "7", 7),
    (to_float, 0.1, 0.1),
    (to_float, -INF, -INF),
    (to_float, 1 << 53, 2.0**53),
    (to_float, (1 << 60) + (1 << 20), 2.0**60 + 2.0**20),
    (to_float, "0.1", 0.1),
    (to_float, "1e3", 1000.0),
    (to_float, ".5", 0.5),
    (to_float, "0.10", 0.1),
    (to_float4, 0.5, 0.5),
    (to_float4, 3.14, 3.140000104904175),
    (to_float4, INF, INF),
    (to_numeric, 5, Decimal(5)),
    (to_numeric, 0.1, Decimal("0.1")),
    (to_numeric, "12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
    (to_numeric, "1e-16383", Decimal("1e-16383")),
    (to_numeric, "9e131071", Decimal("9e131071")),
    (to_numeric, "0e-99999", Decimal("0")),
    (to_numeric, "1." + "0" * 20000, Decimal(1)),
    (to_numeric, INF, Decimal("Infinity")),
    (to_numeric, "0e99999999999", Decimal("0")),
    (cast_of("numeric(10,2)"), 12345678.9, Decimal("12345678.9")),
    (cast_of("numeric(10,2)"), "1.500", Decimal("1.5")),
    (cast_of("numeric(3)"), 999, Decimal(999)),
    (cast_of("numeric(2,-3)"), 99000, Decimal(99000)),
    (cast_of("numeric(3,5)"), 0.00999, Decimal("0.00999")),
    (cast_of("numeric(3,2)"), 0, Decimal(0)),
    (to_text, "", ""),
    (to_text, "naïve 😀", "naïve 😀"),
    (to_text, 12, "12"),
    (to_text, 0.1, "0.1"),
    (to_text, 1e22, "1e+22"),
    (to_text, -INF, "-Infinity"),
    (cast_of("varchar(2)"), "😀😀", "😀😀"),
    (cast_of("varchar"), "x" * 1000, "x" * 1000),
    (to_bytes, b"\0\xff", b"\0\xff"),
    (to_bytes, "é\0", b"\xc3\xa9\0"),
    (to_bytes, BROKEN, b"caf\xe9"),
    (to_bytes, 1.5, b"1.5"),
    (to_bool, 0, False),
    (to_bool, 1.0, True),
    (to_bool, "TRUE", True),
    (to_bool, "Off", False),
    (to_uuid, ALICE, ALICE_BYTES),
    (to_uuid, ALICE.upper(), ALICE_BYTES),
    (to_uuid, ALICE.replace("-", ""), ALICE_BYTES),
    (to_uuid, "{" + ALICE + "}", ALICE_BYTES),
    (to_uuid, "urn:uuid:" + ALICE, ALICE_BYTES),
    (to_uuid, ALICE_BYTES, ALICE_BYTES),
    (to_json, ' {"a" : 1.50} ', b' {"a" : 1.50} '),
    (to_json, "[1e400]", b"[1e400]"),
    (to_json, "[" * 1000 + "]" * 1000, b"[" * 1000 + b"]" * 1000),
    (to_json, r'"\\u0000"', rb'"\\u0000"'),
    (to_json, 3, b"3"),
    (to_json, 1e22, b"1e+22"),
    (cast_of("json"), r'"\u0000\ud800"', rb'"\u0000\ud800"'),
    (cast_of("json"), "1e200000", b"1e200000"),
    (to_inet, "192.168.0.1", bytes((2, 32, 0, 4, 192, 168, 0, 1))),
    (to_inet, "10.0.0.1/8", bytes((2, 8, 0, 4, 10, 0, 0, 1))),
    (to_inet, "::1", bytes((3, 128, 0, 16)) + bytes(15) + b"\1"),
    (cast_of("cidr"), "10.0.0.0/8", bytes((2, 8, 1, 4, 10, 0, 0, 0))),
    (epoch_s, 0, us(1970, 1, 1)),
    (epoch_s, "1700000000", us(2023, 11, 14, 22, 13, 20)),
    (epoch_s, 1700000000.1234567, us(2023, 11, 14, 22, 13, 20, 123457)),
    (epoch_s, -0.5, us(1969, 12, 31, 23, 59, 59, 500000)),
    (epoch_s, -210866803200, -211_813_488_000_000_000),
    (epoch_ms, 1700000000123, us(2023, 11, 14, 22, 13, 20, 123000)),
    (epoch_ms, 1700000000123.125, us(2023, 11, 14, 22, 13, 20, 123125)),
    (epoch_us, 1700000000123456, us(2023, 11, 14, 22, 13, 20, 123456)),
    (julian, 2451544.5, 0),
    (julian, 2460311.000001424, us(2024, 1, 1, 12, 0, 0, 123000)),
    (julian, 0, -211_813_444_800_000_000),
    (iso, "2000-01-02", us(2000, 1, 2)),
    (iso, "2024-02-29 23:59", us(2024, 2, 29, 23, 59)),
    (iso, "2024-02-29T23:59:58.5", us(2024, 2, 29, 23, 59, 58, 500000)),
    (iso, "2024-02-29T23:59:58.123456000", us(2024, 2, 29, 23, 59, 58, 123456)),
    (iso, "2024-01-01T00:00:00Z", us(2024, 1, 1)),
    (iso, "2024-01-01 00:00:00+02", us(2023, 12, 31, 22)),
    (iso, "2024-01-01 00:00:00-03:30", us(2024, 1, 1, 3, 30)),
    (iso, "2024-01-01 00:00+0530", us(2023, 12, 31, 18, 30)),
    (iso, "0001-01-01 00:00:00+15:59", us(1, 1, 1) - (15 * 60 + 59) * 60_000_000),
    (iso, "9999-12-31 23:59:59.999999", us(9999, 12, 31, 23, 59, 59, 999999)),
    (cast_of("timestamp"), "2024-01-01T00:00:00Z", us(2024, 1, 1)),
    (cast_of("timestamp"), "2024-01-01T00:00:00+00:00", us(2024, 1, 1)),
    (iso_date, "2000-01-01", 0),
    (iso_date, "1999-12-31 00:00:00.000", -1),
    (cast_of("date", "epoch_s"), 86400, 1 - 10957),
    (cast_of("date", "julian"), 2451545.5, 1),
    (iso_time, "00:00", 0),
    (iso_time, "23:59:59.999999", 86_399_999_999),
]

REFUSED: list[tuple[Callable[[Any], object], object, str]] = [
    (INT2, 32768, "out of range for smallint (-32768..32767)"),
    (INT4, 1 << 31, "out of range for integer (-2147483648..2147483647)"),
    (INT8, 2.0**63, "out of range for bigint (-9223372036854775808..9223372036854775807)"),
    (INT8, "9" * 5000, "out of range for bigint (-9223372036854775808..9223372036854775807)"),
    (INT8, 1.5, "not an integer"),
    (INT8, INF, "not an integer"),
    (INT8, "", "not an integer"),
    (INT8, " 1", "not an integer"),
    (INT8, "1\n", "not an integer"),
    (INT8, "1_000", "not an integer"),
    (INT8, "١", "not an integer"),
    (INT8, b"1", "not an integer"),
    (INT8, BROKEN, "not an integer"),
    (to_float, (1 << 53) + 1, "an integer that double precision cannot hold exactly"),
    (to_float, 10**400, "an integer that double precision cannot hold exactly"),
    (to_float, "0.12345678901234567890123", "a number that double precision cannot hold exactly"),
    (to_float, "1e400", "a number that double precision cannot hold exactly"),
    (to_float, "1e-400", "a number that double precision cannot hold exactly"),
    (to_float, "nan", "not a number"),
    (to_float, "1,5", "not a number"),
    (to_float, "0x10", "not a number"),
    (to_float, b"1", "not a number"),
    (to_float4, 3.14159265358979, "a number that real cannot hold exactly"),
    (to_float4, 1e300, "out of range for real"),
    (to_float4, 1e-300, "a number that real cannot hold exactly"),
    (to_numeric, "", "not a number"),
    (to_numeric, "NaN", "not a number"),
    (to_numeric, "1e131072", "has more digits than numeric can hold"),
    (to_numeric, "1e-16384", "has more digits than numeric can hold"),
    (to_numeric, "1e99999999999999999999", "has more digits than numeric can hold"),
    (cast_of("numeric(10,2)"), 1.005, "does not fit numeric(10,2)"),
    (cast_of("numeric(10,2)"), 123456789, "does not fit numeric(10,2)"),
    (cast_of("numeric(10,2)"), INF, "an infinity, which numeric(10,2) cannot hold"),
    (cast_of("numeric(2,-3)"), 99100, "does not fit numeric(2,-3)"),
    (to_text, "a\0b", "contains a NUL character"),
    (to_text, BROKEN, "not valid UTF-8"),
    (to_text, b"a", "a BLOB in a text column"),
    (to_text, "\ud800", "contains a lone surrogate, which UTF-8 cannot hold"),
    (cast_of("varchar(2)"), "abc", "longer than 2 characters"),
    (cast_of("char(2)"), "ab ", "longer than 2 characters"),
    (cast_of("char"), "ab", "longer than 1 character"),
    (cast_of("varchar(2)"), 123, "longer than 2 characters"),
    (to_bytes, "\udcff", "contains a lone surrogate, which UTF-8 cannot hold"),
    (to_bool, 2, "not a boolean"),
    (to_bool, "", "not a boolean"),
    (to_bool, "tru", "not a boolean"),
    (to_bool, b"1", "not a boolean"),
    (to_uuid, ALICE[:-1], "not a UUID"),
    (to_uuid, "{" + ALICE, "not a UUID"),
    (to_uuid, ALICE + "}", "not a UUID"),
    (to_uuid, ALICE.replace("-", " "), "not a UUID"),
    (to_uuid, ALICE[:9] + "-" + ALICE[9:-1], "not a UUID"),
    (to_uuid, ALICE[:-1] + "\u0661", "not a UUID"),
    (to_uuid, b"short", "not a UUID"),
    (to_uuid, BrokenText(b"\xff" * 16), "not a UUID"),
    (to_json, "", "not valid JSON"),
    (to_json, "{'a': 1}", "not valid JSON"),
    (to_json, "[NaN]", "not valid JSON"),
    (to_json, "[1e400, Infinity]", "not valid JSON"),
    (to_json, "\ufeff1", "not valid JSON"),
    (to_json, "[01]", "not valid JSON"),
    (to_json, r'"\u0000"', r"JSON with \u0000, which jsonb cannot hold"),
    (to_json, r'"\ud800"', "JSON with a lone surrogate escape, which jsonb cannot hold"),
    (to_json, r'{"\udc00\ud800":1}', "JSON with a lone surrogate escape, which jsonb cannot hold"),
    (to_json, "1e200000", "JSON with a number that has more digits than jsonb can hold"),
    (to_json, "[1e-20000]", "JSON with a number that has more digits than jsonb can hold"),
    (to_json, "0e99999999999", "JSON with a number that has more digits than jsonb can hold"),
    (to_json, "0." + "1" * 16384, "JSON with a number that has more digits than jsonb can hold"),
    (to_json, "[" * 1025 + "]" * 1025, "JSON nested too deeply"),
    (to_json, INF, "an infinity, which JSON cannot hold"),
    (to_json, b"{}", "a BLOB in a JSON column"),
    (to_json, BROKEN, "not valid UTF-8"),
    (to_json, "[" + "1," * 11_000_000 + "1]", "JSON too large for jsonb"),
    (to_inet, "192.168.0.01", "not an IP address"),
    (to_inet, "192.168.0", "not an IP address"),
    (to_inet, "1.2.3.4/33", "not an IP address"),
    (to_inet, "1.2.3.4/08", "not an IP address"),
    (to_inet, "fe80::1%eth0", "not an IP address"),
    (to_inet, "example.org", "not an IP address"),
    (to_inet, 16843009, "not an IP address"),
    (cast_of("cidr"), "10.0.0.1/8", "a network address with bits set to the right of its mask"),
    (epoch_s, INF, "out of range for a timestamp"),
    (epoch_s, 1 << 62, "out of range for a timestamp"),
    (epoch_s, -210866803201, "out of range for a timestamp"),
    (epoch_s, "now", "not an integer"),
    (epoch_ms, 1700000000123.4567, "not a whole number of microseconds"),
    (epoch_ms, -INF, "out of range for a timestamp"),
    (epoch_us, 1.5, "not an integer"),
    (julian, -1, "not a julian day"),
    (julian, 5373484.5, "not a julian day"),
    (julian, "soon", "not a number"),
    *[
        (iso, text, "not a date and time")
        for text in (
            "",
            "0000-00-00",
            "25:00",
            "now",
            "2024-13-01",
            "2023-02-29",
            "0000-01-01",
            "2024-01-01T24:00:00",
            "2024-01-01 12:60",
            "2024-01-01 12:00:60",
            "2024-01-01 12",
            "2024-01-01  12:00",
            "2024-01-01Z",
            "2024-01-01 00:00+16",
            "2024-01-01 00:00+01:60",
            "2024-01-01\n",
            "20240101",
            "2024-W01-1",
            "01/02/2024",
            "٢٠٢٤-01-01",
        )
    ],
    (iso, 20240101, "not a date and time"),
    (iso, "2024-01-01 00:00:00.1234567", "finer than a microsecond"),
    (cast_of("timestamp"), "2024-01-01 00:00:00+02", "has a time zone"),
    (iso_date, "2024-01-01 00:00:01", "has a time of day"),
    (iso_date, "2024-01-01 00:00:00+02", "has a time zone"),
    (cast_of("date", "epoch_s"), 86401, "has a time of day"),
    (iso_time, "24:00:00", "not a time of day"),
    (iso_time, "12", "not a time of day"),
    (iso_time, "12:00:00Z", "not a time of day"),
    (iso_time, "12:00:00.0000001", "finer than a microsecond"),
]


def name(value: object) -> str:
    return ascii(value)[:30]


@pytest.mark.parametrize(("cast", "value", "expected"), ACCEPTED, ids=name)
def test_accepted(cast: Callable[[Any], object], value: object, expected: object) -> None:
    result = cast(value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(("cast", "value", "reason"), REFUSED, ids=name)
def test_refused(cast: Callable[[Any], object], value: object, reason: str) -> None:
    with pytest.raises(CastError) as caught:
        cast(value)
    assert str(caught.value) == reason


def test_reals_keep_the_sign_of_zero() -> None:
    assert math.copysign(1, to_float(-0.0)) == -1  # type: ignore[arg-type]
    assert math.copysign(1, to_float("-0.0")) == -1  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(days=st.floats(1_721_426, 5_373_484.4))
def test_julian_days_mean_what_sqlite_reads(days: float) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        (text,) = db.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', ?)", (days,)).fetchone()
    assert julian(days) == iso(text)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ('{"a": 1, "b": {"c": [2, {"d": "x:y"}]}}', True),
        (" [1, 2]", True),
        ("{}", True),
        (r'{"a": "\\u0000"}', True),
        ("[1e400]", True),
        ("[" * 200 + "{}" + "]" * 200, True),
        ('{"a": 1, "a": 2}', False),
        ('[{"b": {"a": 1, "\\u0061": 2}}]', False),
        (r'{"a": "\u0000"}', False),
        (r'["\ud800"]', False),
        ("[1e200000]", False),
        ('{"a": 1', False),
        ("12", False),
        ('"text"', False),
        ("null", False),
        ("", False),
        (b"{}", False),
        (5, False),
        (BrokenText(b'["\xff"]'), False),
    ],
    ids=name,
)
def test_json_container(text: Any, whole: bool) -> None:
    assert json_container(text) is whole


@pytest.mark.parametrize("wire", CASTS)
def test_every_pair_has_a_caster(wire: str) -> None:
    for cast in CASTS[wire]:
        assert callable(caster(PgType(wire), cast))
    with pytest.raises(ValueError, match="no cast"):
        caster(PgType(wire), "nonsense")


def test_a_type_that_is_not_written_has_no_caster() -> None:
    with pytest.raises(ValueError, match="no cast"):
        caster(PgType("money"), "int")
