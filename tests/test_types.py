"""Which type a column gets: each row is a declared type, what is stored, and the choice."""

from __future__ import annotations

from typing import Any

import pytest

from copier.plan.pgtype import PgType, parse_type
from copier.plan.source import ColumnProfile, SourceColumn
from copier.plan.types.choose import ColumnFacts, TypeChoice, choose_type
from copier.plan.types.declared import read_declared
from copier.plan.types.fit import suitable_cast
from copier.plan.types.times import epoch_unit, is_time_name

NOW_S, NOW_MS, NOW_US = 1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000
BIG = 2**62


def ints(count: int = 1000, low: int = 0, high: int = 9, **more: Any) -> ColumnProfile:
    return ColumnProfile(integers=count, int_min=low, int_max=high, **more)


def epoch(unit: str, low: int, high: int, **more: Any) -> ColumnProfile:
    return ints(1000, low, high, fits={unit: 1000}, **more)


def reals(count: int = 1000, **more: Any) -> ColumnProfile:
    return ColumnProfile(reals=count, real_min=0.5, real_max=9.5, **more)


def texts(count: int = 1000, **more: Any) -> ColumnProfile:
    fits = {form: count if number is True else number for form, number in more.pop("fits", {}).items()}
    return ColumnProfile(texts=count, fits=fits, text_max_chars=more.pop("text_max_chars", 20), **more)


def choose(
    declared: str, profile: ColumnProfile | None, *, name: str = "c", types: str = "native", **facts: bool
) -> TypeChoice:
    column = SourceColumn(name, declared)
    return choose_type(column, profile, types, facts=ColumnFacts(**facts))  # type: ignore[arg-type]


UUID = {"uuid": True, "uuid_canonical": True}
BARE = {"text_max_chars": 32, "fits": {"uuid": True}}
"""32 hex digits, no hyphens: a UUID, an MD5, a token ..."""
JSON = {"json": True, "json_container": True}

NATIVE = [
    # name, declared, profile, type, cast
    ("c", "INTEGER", ints(), "bigint", "int"),
    ("c", "TINYINT(1)", ints(), "bigint", "int"),
    ("c", "INT", ints(5, reals=995, real_min=0.5, real_max=1.5), "numeric", "numeric"),
    ("c", "INT", ints(995, texts=5), "bigint", "int"),
    ("c", "INT", ints(900, texts=100), "text", "text"),
    ("c", "INT", ints(900, texts=100, fits={"num_text": 100}), "numeric", "numeric"),
    ("c", "REAL", reals(), "double precision", "float"),
    ("c", "FLOAT", reals(500, integers=500, int_min=0, int_max=5), "double precision", "float"),
    ("c", "FLOAT", reals(500, texts=500), "text", "text"),
    ("c", "", reals(500, integers=500, int_min=0, int_max=5), "double precision", "float"),
    ("c", "", reals(500, integers=500, int_min=0, int_max=BIG), "numeric", "numeric"),
    ("c", "", ints(), "bigint", "int"),
    ("c", "", texts(), "text", "text"),
    ("c", "", ColumnProfile(blobs=9), "bytea", "bytes"),
    ("c", "ANY", texts(fits=UUID), "uuid", "uuid"),
    ("c", "POINT", texts(), "text", "text"),
    ("c", "DECIMAL(10,2)", reals(int_digits=8, scale=2), "numeric(10,2)", "numeric"),
    ("c", "DECIMAL(10,2)", reals(int_digits=9, scale=2), "numeric", "numeric"),
    ("c", "DECIMAL(10,2)", reals(int_digits=8, scale=3), "numeric", "numeric"),
    ("c", "NUMERIC", ints(), "numeric", "numeric"),
    ("c", "numeric(3,-6)", ints(), "numeric", "numeric"),
    ("c", "MONEY", reals(), "numeric", "numeric"),
    ("c", "BOOLEAN", ints(1000, 0, 1, fits={"bool": 1000, "bool01": 1000}), "boolean", "bool"),
    ("c", "BOOLEAN", texts(fits={"bool": True}), "boolean", "bool"),
    ("c", "BOOLEAN", ints(1000, 0, 2, fits={"bool": 999, "bool01": 999}), "boolean", "bool"),
    ("c", "BOOLEAN", ints(1000, 0, 2, fits={"bool": 500}), "smallint", "int"),
    ("c", "BOOLEAN", texts(fits={"bool": 500}), "text", "text"),
    ("c", "INTEGER", ints(1000, 0, 1, fits={"bool": 1000, "bool01": 1000}), "bigint", "int"),
    ("created_at", "INTEGER", epoch("epoch_s", 0, NOW_S), "timestamp with time zone", "epoch_s"),
    ("createdAt", "INTEGER", epoch("epoch_ms", NOW_MS - 9, NOW_MS), "timestamp with time zone", "epoch_ms"),
    ("c", "DATETIME", epoch("epoch_us", NOW_US - 9, NOW_US), "timestamp with time zone", "epoch_us"),
    ("created_at", "INTEGER", epoch("epoch_s", NOW_S, NOW_MS), "bigint", "int"),
    ("created_at", "INTEGER", epoch("epoch_s", 0, 0), "bigint", "int"),
    ("c", "INTEGER", epoch("epoch_s", NOW_S, NOW_S), "bigint", "int"),
    ("c", "DATE", ints(1000, 86400, 86400), "bigint", "int"),
    ("c", "DATE", texts(fits={"iso": True, "iso_date": True}), "date", "iso"),
    ("c", "DATE", texts(fits={"iso": True, "iso_date": 400}), "timestamp with time zone", "iso"),
    ("c", "DATETIME", texts(fits={"iso": True, "iso_zoned": 3}), "timestamp with time zone", "iso"),
    ("c", "TIMESTAMP", texts(fits={"iso": 995}, empty=5), "timestamp with time zone", "iso"),
    ("c", "TIMESTAMP", texts(fits={"iso": 500}), "text", "text"),
    ("created_at", "TEXT", texts(fits={"iso": True}), "text", "text"),
    ("c", "DATETIME", reals(fits={"julian": 1000}), "timestamp with time zone", "julian"),
    ("c", "TIME", texts(fits={"iso_time": True}), "time", "iso"),
    ("id", "TEXT", texts(fits=UUID), "uuid", "uuid"),
    ("id", "VARCHAR(36)", texts(fits=UUID), "uuid", "uuid"),
    ("id", "TEXT", texts(fits=UUID, uuid_collision=True), "text", "text"),
    ("id", "TEXT", texts(fits={"uuid": 999}), "text", "text"),
    ("id", "TEXT", texts(fits={"uuid": True}, text_max_chars=36), "uuid", "uuid"),
    ("id", "TEXT", texts(**BARE), "text", "text"),
    ("c", "", texts(**BARE), "text", "text"),
    ("row_key", "VARCHAR(32)", texts(**BARE), "varchar(32)", "text"),
    ("row_key", "CHAR(32)", texts(**BARE), "varchar(32)", "text"),
    ("id", "CHAR(32)", texts(**BARE), "uuid", "uuid"),
    ("ownerId", "char (32)", texts(**BARE), "uuid", "uuid"),
    ("sid", "CHAR(32)", texts(**BARE), "varchar(32)", "text"),
    ("uuid", "TEXT", texts(**BARE), "uuid", "uuid"),
    ("sessionUuid", "TEXT", texts(**BARE), "uuid", "uuid"),
    ("guid_of_owner", "TEXT", texts(**BARE), "uuid", "uuid"),
    ("uuid_hash", "TEXT", texts(**BARE), "text", "text"),
    ("c", "UUIDTEXT", texts(**BARE), "uuid", "uuid"),
    ("c", "UUID", texts(**BARE), "uuid", "uuid"),
    ("file_md5", "TEXT", texts(fits={"uuid": True}), "text", "text"),
    ("file_md5", "TEXT", texts(**BARE), "text", "text"),
    ("sid", "TEXT", texts(fits={"uuid": True}), "text", "text"),
    ("sessionId", "TEXT", texts(fits={"uuid": True}), "text", "text"),
    ("session_id", "TEXT", texts(fits=UUID), "uuid", "uuid"),
    ("inside", "TEXT", texts(fits={"uuid": True}), "uuid", "uuid"),
    ("id", "BLOB", ColumnProfile(blobs=9, fits={"uuid": 9}), "bytea", "bytes"),
    ("id", "GUID", ColumnProfile(blobs=9, fits={"uuid": 9}), "uuid", "uuid"),
    ("c", "TEXT", texts(fits=JSON), "jsonb", "json"),
    ("c", "TEXT", texts(fits={"json": True, "json_container": 999}), "text", "text"),
    ("c", "JSON", texts(fits=JSON), "jsonb", "json"),
    ("c", "JSON", texts(fits={"json": True, "json_container": 600}), "json", "json"),
    ("c", "JSON", texts(fits={"json": 400, "json_container": 400}), "text", "text"),
    ("ip", "TEXT", texts(fits={"inet": True}), "inet", "inet"),
    ("client_ip", "VARCHAR(45)", texts(fits={"inet": True}), "inet", "inet"),
    ("recipe", "TEXT", texts(fits={"inet": True}), "text", "text"),
    ("c", "VARCHAR(20)", texts(text_max_chars=20), "varchar(20)", "text"),
    ("c", "NVARCHAR(20)", texts(text_max_chars=21), "text", "text"),
    ("c", "CHAR(1)", texts(text_max_chars=1), "varchar(1)", "text"),
    ("c", "TEXT(20)", texts(text_max_chars=1), "text", "text"),
    ("c", "VARCHAR(20)", texts(995, blobs=5), "text", "text"),
    ("c", "TEXT", texts(nul=3), "text", "text"),
    ("c", "TEXT", texts(broken=900), "bytea", "bytes"),
    ("c", "TEXT", texts(500, blobs=500), "bytea", "bytes"),
    ("c", "BLOB", ColumnProfile(blobs=5, texts=5), "bytea", "bytes"),
    ("c", "BLOB", ints(), "bigint", "int"),
    ("c", "STRING", ints(), "bigint", "int"),
    ("c", "STRING", ints(500, texts=500), "text", "text"),
]


@pytest.mark.parametrize(("name", "declared", "profile", "wanted", "cast"), NATIVE)
def test_native(name: str, declared: str, profile: ColumnProfile, wanted: str, cast: str) -> None:
    chosen = choose(declared, profile, name=name)
    assert (chosen.type, chosen.cast) == (parse_type(wanted), cast), chosen
    assert chosen.policy == "reject"
    assert chosen.reason


@pytest.mark.parametrize(
    ("name", "default", "fits", "wanted"),
    [
        ("c", "''", JSON, "text"),
        ("c", "('none')", JSON, "text"),
        ("c", "'[]'", JSON, "jsonb"),
        ("c", "NULL", JSON, "jsonb"),
        ("c", "json_array()", JSON, "jsonb"),
        ("c", "''", UUID, "text"),
        ("auth_token", "(lower(hex(randomblob(16))))", {"uuid": True}, "uuid"),
        ("auth_token", None, {"uuid": True}, "text"),
        ("c", "(lower(hex(randomblob(16))))", UUID, "uuid"),
        ("c", "'00000000-0000-0000-0000-000000000000'", UUID, "uuid"),
        ("ip", "''", {"inet": True}, "text"),
        ("ip", "'unknown'", {"inet": True}, "text"),
        ("ip", "'0.0.0.0'", {"inet": True}, "inet"),
        ("ip", "'::'", {"inet": True}, "inet"),
    ],
)
def test_a_default_that_a_stored_type_would_refuse(
    name: str, default: str | None, fits: dict[str, bool], wanted: str
) -> None:
    """The application writes its default in any row to come, whatever the rows are now."""
    profile = texts(fits={**fits})
    assert choose_type(SourceColumn(name, "TEXT", default=default), profile, "native").type.sql == wanted


@pytest.mark.parametrize(
    ("declared", "profile", "wanted"),
    [
        ("DATETIME", texts(fits={"iso": True}), "text"),
        ("DATETIME", epoch("epoch_s", NOW_S, NOW_S), "bigint"),
        ("BOOLEAN", ints(fits={"bool": 1000}), "bigint"),
        ("TEXT", texts(fits=UUID), "text"),
        ("JSON", texts(fits=JSON), "text"),
        ("VARCHAR(20)", texts(), "text"),
        ("DECIMAL(10,2)", reals(int_digits=1, scale=1), "numeric"),
        ("GUID", ColumnProfile(blobs=9, fits={"uuid": 9}), "bytea"),
        ("DATE", None, "text"),
        ("BOOLEAN", None, "bigint"),
        ("VARCHAR(9)", None, "text"),
    ],
)
def test_faithful_knows_only_storage_classes(declared: str, profile: ColumnProfile | None, wanted: str) -> None:
    assert choose(declared, profile, types="faithful").type == parse_type(wanted)


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        ("INT", "bigint"), ("BOOL", "boolean"), ("DATETIME", "timestamptz"), ("DATE", "date"), ("TIME", "time"),
        ("UUID", "uuid"), ("JSON", "jsonb"), ("VARCHAR(9)", "varchar(9)"), ("DECIMAL(9,2)", "numeric(9,2)"),
        ("DOUBLE PRECISION", "double precision"), ("BLOB", "bytea"), ("", "text"), ("WHATEVER", "text"),
        ("TIMESTAMP WITH TIME ZONE", "timestamptz"), ("serial", "bigint"), ("CLOB", "text"), ("varbinary(5)", "bytea"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("profile", [None, ColumnProfile(nulls=7)])
def test_without_values_the_declaration_decides(declared: str, wanted: str, profile: ColumnProfile | None) -> None:
    assert choose(declared, profile).type == parse_type(wanted)


def test_the_rowid_is_bigint_whatever_it_looks_like() -> None:
    profile = epoch("epoch_s", NOW_S, NOW_S)
    assert choose("INTEGER", profile, name="created_at", rowid_alias=True).type == PgType("int8")


def test_reasons_count_what_will_be_quarantined() -> None:
    reason = choose("TIMESTAMP", texts(fits={"iso": 995}, empty=5)).reason
    assert "5 of 1,000 rows" in reason
    assert "null_if_empty" in reason
    assert "3 rows with a NUL will be quarantined" in choose("TEXT", texts(nul=3)).reason
    assert "a UUID in 999 of them" in choose("TEXT", texts(fits={"uuid": 999})).reason


@pytest.mark.parametrize("declared", ["TEXT", "VARCHAR(40)", ""])
def test_the_reason_says_why_hex_digits_stay_text(declared: str) -> None:
    said = "32 hex digits in each, but nothing says that they are UUIDs"
    assert said in choose(declared, texts(**BARE)).reason
    assert choose(declared, texts(**BARE), says_uuid=True).type == PgType("uuid")
    assert said not in choose(declared, texts(**BARE, uuid_collision=True), says_uuid=True).reason
    assert said not in choose(declared, texts(text_max_chars=32)).reason


def test_json_that_keeps_its_text_is_not_indexed() -> None:
    profile = texts(fits={"json": True, "json_container": 600})
    assert choose("JSON", profile, indexed=True).type == PgType("text")
    assert choose("TEXT", texts(fits=JSON), unique=True).type == PgType("text")


@pytest.mark.parametrize(
    "name", ["created_at", "createdAt", "updated", "LastSeen", "expires", "expires_on", "event_time", "birth_date",
             "ts", "timestamp", "sent_at_ms", "date_joined", "DateCreated", "last_login"],
)  # fmt: skip
def test_names_of_times(name: str) -> None:
    assert is_time_name(name)


@pytest.mark.parametrize(
    "name", ["format", "cat", "status", "duration", "timeout", "play_time", "expires_in", "counts", "parts", "at",
             "update_count", "time_spent_s", "private", "rating", "parts_ts_count", "candidate"],
)  # fmt: skip
def test_names_that_are_no_times(name: str) -> None:
    assert not is_time_name(name)


@pytest.mark.parametrize(
    ("low", "high", "unit"),
    [
        (NOW_S, NOW_S, "epoch_s"), (0, NOW_MS, "epoch_ms"), (NOW_US, NOW_US, "epoch_us"), (0, 0, None),
        (NOW_S, NOW_MS, None), (-1, NOW_S, None), (0, 86400, None), (NOW_S, 2**63 - 1, None),
    ],
)  # fmt: skip
def test_units_are_told_apart_by_range(low: int, high: int, unit: str | None) -> None:
    assert epoch_unit(low, high) == unit


@pytest.mark.parametrize(
    ("text", "family", "args"),
    [
        ("varchar (20)", "text", (20,)), ("DECIMAL( 10 , 2 )", "decimal", (10, 2)), ("unsigned big int", "int", ()),
        ("VARYING CHARACTER(255)", "text", (255,)), ("(", "none", ()), ("INT(11) UNSIGNED", "int", (11,)),
        ("timestamp(6) with time zone", "datetime", (6,)), ("FLOATING POINT", "int", ()),
    ],
)  # fmt: skip
def test_declared_types_are_read_as_sqlite_reads_them(text: str, family: str, args: tuple[int, ...]) -> None:
    declared = read_declared(text)
    assert (declared.family, declared.args) == (family, args)


def test_a_given_type_gets_the_cast_that_takes_most() -> None:
    moment = PgType("timestamptz")
    assert suitable_cast(moment, epoch("epoch_ms", NOW_MS, NOW_MS)) == "epoch_ms"
    assert suitable_cast(moment, texts(fits={"iso": True})) == "iso"
    assert suitable_cast(moment, reals(fits={"julian": 1000})) == "julian"
    assert suitable_cast(moment, None) == "iso"
