"""Pitfalls of values: what is stored is not what was declared."""

from __future__ import annotations

from .pitfall import Broken, PitfallCase, column_case

BASE_S = 1_700_000_000
"""2023-11-14 22:13:20 UTC."""
BASE_TEXT = "2023-11-14 22:13:20"

WORD_ROW = "SELECT v FROM {} WHERE id = {}"


def _at(table: str, number: int, column: str = "v") -> str:
    return f"SELECT (\"{column}\" AT TIME ZONE 'UTC')::text FROM {table} WHERE id = {number}"


NUMBERS = (
    column_case("int_few_texts", "INTEGER", [*range(298), "", "abc"], "bigint", rejected=2),
    column_case("int_few_reals", "INTEGER", [*range(298), 1.5, 2.5], "bigint", rejected=2),
    column_case(
        "int_many_reals",
        "INTEGER",
        [*range(270), *(number + 0.5 for number in range(30))],
        "numeric|double",
        probes=[("SELECT v = 0.5 FROM int_many_reals WHERE id = 271", True)],
    ),
    column_case(
        "int_many_texts",
        "INTEGER",
        [*range(270), *["n/a"] * 30],
        "text",
        probes=[(WORD_ROW.format("int_many_texts", 8), "7"), (WORD_ROW.format("int_many_texts", 300), "n/a")],
    ),
    column_case(
        "real_exact",
        "REAL",
        [3.14159265358979, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 2.0**53, -123456.789],
        "double",
        probes=[
            ("SELECT v::text FROM real_exact WHERE id = 1", "3.14159265358979"),
            ("SELECT v::text FROM real_exact WHERE id = 3", "0.3333333333333333"),
            ("SELECT v = 5e-324 FROM real_exact WHERE id = 4", True),
        ],
    ),
    column_case(
        "real_many_texts",
        "REAL",
        [0.1, 1e16, 100, *["unknown"] * 30],
        "text",
        probes=[
            (WORD_ROW.format("real_many_texts", 1), "0.1"),
            (WORD_ROW.format("real_many_texts", 2), "1e+16"),
            (WORD_ROW.format("real_many_texts", 3), "100.0"),
        ],
    ),
    column_case("real_few_texts", "DOUBLE", [*(n / 7 for n in range(298)), "", "unknown"], "double", rejected=2),
    column_case(
        "int_wide",
        "INT",
        [2**31, 2**63 - 1, -(2**63), 0],
        "bigint",
        probes=[("SELECT v FROM int_wide WHERE id = 2", 2**63 - 1), ("SELECT v FROM int_wide WHERE id = 3", -(2**63))],
    ),
    column_case(
        "real_infinity",
        "REAL",
        [float("inf"), float("-inf"), 0.5],
        "double",
        probes=[("SELECT v::text FROM real_infinity WHERE id = 2", "-Infinity")],
    ),
    column_case(
        "numeric_infinity",
        "NUMERIC(10,2)",
        [float("inf"), 1.25, 3],
        "numeric",
        probes=[("SELECT v::text FROM numeric_infinity WHERE id = 1", "Infinity")],
    ),
    column_case(
        "decimal_fits",
        "DECIMAL(10,2)",
        [0.1, 12345678.91, -3, 0],
        "numeric(10,2)",
        probes=[("SELECT v::text FROM decimal_fits WHERE id = 1", "0.10")],
    ),
    column_case(
        "decimal_overflows",
        "DECIMAL(5,2)",
        [12345.678, 1.005],
        "numeric",
        probes=[
            ("SELECT v::text FROM decimal_overflows WHERE id = 1", "12345.678"),
            ("SELECT v::text FROM decimal_overflows WHERE id = 2", "1.005"),
        ],
    ),
)

BOOLEANS = (
    column_case(
        "bool_words",
        "BOOLEAN",
        [0, 1, "t", "f", "true", "false"] * 10,
        "bool",
        probes=[("SELECT count(*) FROM bool_words WHERE v", 30)],
    ),
    column_case("bool_few_strays", "BOOLEAN", [*[0, 1] * 149, 2], "bool", rejected=1),
    column_case(
        "bool_levels",
        "BOOLEAN",
        [0, 1, 2] * 50,
        "smallint|bigint",
        probes=[("SELECT count(*) FROM bool_levels WHERE v = 2", 50)],
    ),
)

TIMES = (
    column_case(
        "epoch_s",
        "INTEGER",
        [BASE_S + n for n in range(50)],
        "timestamptz",
        column="created_at",
        probes=[(_at("epoch_s", 1, "created_at"), BASE_TEXT)],
    ),
    column_case(
        "epoch_ms",
        "INTEGER",
        [BASE_S * 1000 + n for n in range(50)],
        "timestamptz",
        column="updated_at",
        probes=[(_at("epoch_ms", 2, "updated_at"), BASE_TEXT + ".001")],
    ),
    column_case(
        "epoch_us",
        "TIMESTAMP",
        [BASE_S * 1_000_000 + n for n in range(50)],
        "timestamptz",
        probes=[(_at("epoch_us", 2), BASE_TEXT + ".000001")],
    ),
    column_case(
        "epoch_datetime",
        "DATETIME",
        [BASE_S + n for n in range(50)],
        "timestamptz",
        probes=[(_at("epoch_datetime", 11), "2023-11-14 22:13:30")],
    ),
    column_case(
        "julian_day",
        "DATETIME",
        [2_460_263.5 + n for n in range(50)],
        "timestamptz",
        probes=[(_at("julian_day", 1), "2023-11-15 00:00:00")],
    ),
    column_case(
        "epoch_implausible",
        "INTEGER",
        range(300),
        "bigint",
        column="repeat_at",
        probes=[("SELECT repeat_at FROM epoch_implausible WHERE id = 300", 299)],
    ),
    column_case(
        "days_in_seconds",
        "DATE",
        [86_400 * n for n in range(1, 51)],
        "bigint|date|timestamptz",
        probes=[("SELECT count(*) FROM days_in_seconds WHERE v::text LIKE '86400-%'", 0)],
    ),
    column_case(
        "iso_forms",
        "DATETIME",
        [
            "2024-01-02",
            "2024-01-02 03:04",
            "2024-01-02 03:04:05",
            "2024-01-02T03:04:05Z",
            "2024-01-02T03:04:05.123456+02:00",
            "2024-01-02 03:04:05.5",
        ],
        "timestamptz",
        probes=[
            (_at("iso_forms", 1), "2024-01-02 00:00:00"),
            (_at("iso_forms", 3), "2024-01-02 03:04:05"),
            (_at("iso_forms", 4), "2024-01-02 03:04:05"),
            (_at("iso_forms", 5), "2024-01-02 01:04:05.123456"),
            (_at("iso_forms", 6), "2024-01-02 03:04:05.5"),
        ],
    ),
    column_case(
        "iso_few_bad",
        "DATETIME",
        [*["2024-05-06 07:08:09"] * 496, "", "0000-00-00", "25:00", "now"],
        "timestamptz",
        rejected=4,
    ),
    column_case(
        "iso_many_bad",
        "DATETIME",
        [*["2024-05-06 07:08:09"] * 70, *["now"] * 30],
        "text",
        probes=[(WORD_ROW.format("iso_many_bad", 1), "2024-05-06 07:08:09")],
    ),
    column_case("iso_dates", "DATE", ["2024-02-29", "0001-01-01", "9999-12-31"], "date"),
    column_case("iso_times", "TIME", ["12:34:56", "00:00", "23:59:59.999999"], "time"),
)

TEXTS = (
    column_case(
        "nul_few",
        "TEXT",
        [*["plain"] * 298, "a\0b", "\0"],
        "text",
        rejected=2,
        probes=[("SELECT count(*) FROM nul_few WHERE v <> 'plain'", 0)],
    ),
    column_case("utf8_few", "TEXT", [*["größer"] * 298, Broken(b"caf\xe9"), Broken(b"\xff")], "text", rejected=2),
    column_case(
        "utf8_most",
        "TEXT",
        [*["plain"] * 10, *[Broken(b"caf\xe9")] * 40],
        "bytea",
        probes=[("SELECT encode(v, 'hex') FROM utf8_most WHERE id = 50", "636166e9")],
    ),
    column_case(
        "blobs_in_text",
        "TEXT",
        [*["häß"] * 20, *[b"\x00\xff"] * 20],
        "bytea",
        probes=[
            ("SELECT encode(v, 'hex') FROM blobs_in_text WHERE id = 40", "00ff"),
            ("SELECT convert_from(v, 'UTF8') FROM blobs_in_text WHERE id = 1", "häß"),
        ],
    ),
    column_case("blobs_few_in_text", "TEXT", [*["plain"] * 298, b"\x00\xff", b"plain"], "text", rejected=2),
    column_case(
        "text_in_blob",
        "BLOB",
        [b"\x01\x02", "häß", "aGVsbG8=", b""],
        "bytea",
        probes=[
            ("SELECT convert_from(v, 'UTF8') FROM text_in_blob WHERE id = 2", "häß"),
            ("SELECT convert_from(v, 'UTF8') FROM text_in_blob WHERE id = 3", "aGVsbG8="),
            ("SELECT octet_length(v) FROM text_in_blob WHERE id = 4", 0),
        ],
    ),
    column_case(
        "empty_and_null",
        "TEXT",
        ["", None, "x"] * 20,
        "text",
        probes=[
            ("SELECT count(*) FROM empty_and_null WHERE v = ''", 20),
            ("SELECT count(*) FROM empty_and_null WHERE v IS NULL", 20),
        ],
    ),
    column_case(
        "blobs_large",
        "BLOB",
        [bytes((n,)) * 3_000_000 for n in range(4)],
        "bytea",
        probes=[("SELECT sum(octet_length(v)) FROM blobs_large", 12_000_000)],
    ),
    column_case("varchar_fits", "VARCHAR(5)", ["äöüßé", "", "abc"], "varchar(5)"),
    column_case("varchar_overflows", "VARCHAR(5)", ["abc", "abcdef"], "text"),
)

VALUE_CASES: tuple[PitfallCase, ...] = (*NUMBERS, *BOOLEANS, *TIMES, *TEXTS)
