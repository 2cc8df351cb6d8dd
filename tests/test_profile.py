"""The profile says what is stored: storage classes, ranges, forms, keys, orphans. Every case is a real file."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copier.errors import UsageError
from copier.plan.source import ColumnProfile, TableProfile
from copier.sqlite.catalog import read_schema
from copier.sqlite.chatdb import make_chat_database
from copier.sqlite.connection import connect
from copier.sqlite.form_counter import EXAMPLE_CHARS, PATIENCE, FormCounter
from copier.sqlite.forms import FORMS
from copier.sqlite.profile import profile_schema, profile_table

Profiled = Callable[..., Awaitable[TableProfile]]
Stored = Callable[..., Awaitable[ColumnProfile]]

UUIDS = [f"{i:08x}-0000-4000-8000-{i:012x}" for i in range(1000)]


@pytest.fixture
def profiled(tmp_path: Path) -> Profiled:
    """Profile one table of the database that a script makes."""

    async def profile(script: str, table: str = "t", *, sample: int = 0) -> TableProfile:
        path = tmp_path / f"{hashlib.sha1(script.encode()).hexdigest()[:8]}.db"
        if not path.exists():
            with closing(sqlite3.connect(path)) as raw:
                raw.executescript(script)
        return await profile_file(path, table, sample=sample)

    return profile


async def profile_file(path: Path, table: str, *, sample: int = 0) -> TableProfile:
    connection = await connect(path)
    try:
        found = (await read_schema(connection)).table(table)
        assert found is not None
        return await profile_table(connection, found, sample=sample)
    finally:
        await connection.close()


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Profile a column of the given declared type that holds the given values."""

    async def profile(declared: str, *values: object) -> ColumnProfile:
        path = tmp_path / "column.db"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute(f"CREATE TABLE t (c {declared})")
            raw.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
        return (await profile_file(path, "t")).columns["c"]

    return profile


class TestStorage:
    async def test_an_empty_table_has_a_profile(self, profiled: Profiled) -> None:
        found = await profiled("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        assert (found.rows, found.bytes, found.key_min, found.key_max) == (0, 0, None, None)
        assert found.columns["a"].filled == 0
        assert not found.columns["a"].all_fit("uuid")

    async def test_every_storage_class_is_counted_apart(self, stored: Stored) -> None:
        p = await stored("", None, 5, -3, 1.5, 2.0, "text", "", b"abc", b"")
        assert (p.nulls, p.integers, p.reals, p.texts, p.blobs, p.filled) == (1, 2, 2, 2, 2, 8)
        assert (p.int_min, p.int_max, p.real_min, p.real_max) == (-3, 5, 1.5, 2.0)
        assert (p.reals_integral, p.empty, p.blob_min_bytes, p.blob_max_bytes) == (1, 1, 0, 3)

    async def test_text_and_fraction_and_empty_in_an_integer_column(self, stored: Stored) -> None:
        p = await stored("INTEGER", 1, "abc", "", 1.5)
        assert (p.integers, p.texts, p.empty, p.reals, p.reals_integral) == (1, 2, 1, 1, 0)
        assert (p.int_digits, p.scale) == (1, 1)

    async def test_extreme_integers(self, stored: Stored) -> None:
        p = await stored("INT", 2**63 - 1, -(2**63))
        assert (p.int_min, p.int_max, p.int_digits) == (-(2**63), 2**63 - 1, 19)

    async def test_infinities_are_counted_and_leave_the_range_alone(self, profiled: Profiled) -> None:
        found = await profiled("CREATE TABLE t (c REAL); INSERT INTO t VALUES (9e999), (-9e999), (1.25)")
        p = found.columns["c"]
        assert (p.reals, p.reals_infinite, p.real_min, p.real_max) == (3, 2, 1.25, 1.25)

    async def test_only_infinities(self, profiled: Profiled) -> None:
        p = (await profiled("CREATE TABLE t (c NUMERIC); INSERT INTO t VALUES (9e999)")).columns["c"]
        assert (p.reals_infinite, p.real_min, p.int_digits, p.scale) == (1, None, 0, 0)

    async def test_text_lengths_in_characters_and_bytes(self, stored: Stored) -> None:
        p = await stored("TEXT", "größer", "abc", "😀")
        assert (p.text_max_chars, p.text_max_bytes) == (6, 8)

    async def test_nul_in_text(self, profiled: Profiled) -> None:
        p = (await profiled("CREATE TABLE t (c TEXT); INSERT INTO t VALUES ('a' || char(0) || 'b'), ('ok')")).columns[
            "c"
        ]
        assert (p.texts, p.nul, p.broken, p.text_max_chars) == (2, 1, 0, 3)

    async def test_invalid_utf8_is_broken_and_fits_nothing(self, profiled: Profiled) -> None:
        script = "CREATE TABLE t (c TEXT); INSERT INTO t VALUES (CAST(x'ff' AS TEXT)), ('2024-01-01')"
        p = (await profiled(script)).columns["c"]
        assert (p.texts, p.blobs, p.broken, p.filled) == (2, 0, 1, 2)
        assert p.fits["iso"] == 1
        assert not p.all_fit("iso")

    async def test_utf16_database(self, profiled: Profiled) -> None:
        p = (
            await profiled("PRAGMA encoding='UTF-16le'; CREATE TABLE t (c TEXT); INSERT INTO t VALUES ('äöü')")
        ).columns["c"]
        assert (p.text_max_chars, p.text_max_bytes, p.broken) == (3, 6, 0)

    async def test_blob_and_text_mixed(self, stored: Stored) -> None:
        p = await stored("BLOB", b"\x00\x01", "text")
        assert (p.blobs, p.texts, p.blob_min_bytes, p.text_max_bytes) == (1, 1, 2, 4)

    async def test_bytes_estimate(self, profiled: Profiled) -> None:
        found = await profiled(
            "CREATE TABLE t (a TEXT, b, c BLOB); INSERT INTO t VALUES ('äb', 1, x'0102'), (NULL, 2.5, NULL)"
        )
        assert found.bytes == 3 + 8 + 2 + 8

    async def test_generated_columns_are_profiled(self, profiled: Profiled) -> None:
        found = await profiled(
            "CREATE TABLE t (a INT, b INT AS (a * 2), c INT AS (a + 1) STORED); INSERT INTO t VALUES (4)"
        )
        assert (found.columns["b"].int_max, found.columns["c"].int_max) == (8, 5)


class TestDigits:
    @pytest.mark.parametrize(
        ("value", "int_digits", "scale"),
        [
            (12.5, 2, 1),
            (0.1 + 0.2, 0, 17),
            (1e21, 22, 0),
            (1.5e-7, 0, 8),
            (-99.995, 2, 3),
            (0.0, 0, 0),
            (100, 3, 0),
        ],
    )
    async def test_by_the_shortest_form(self, stored: Stored, value: float, int_digits: int, scale: int) -> None:
        p = await stored("", value)
        assert (p.int_digits, p.scale) == (int_digits, scale)

    async def test_numeric_text_counts_in_an_untyped_column(self, stored: Stored) -> None:
        p = await stored("BLOB", "12345678901234567890.125", "7.50")
        assert (p.int_digits, p.scale, p.fits["num_text"]) == (20, 3, 2)

    async def test_not_asked_for_in_a_real_column(self, stored: Stored) -> None:
        assert (await stored("REAL", 1.23456)).scale == 0


def blank(hex_text: str) -> str:
    return hex_text.replace("-", "")


FITTING: dict[str, list[object]] = {
    "uuid": [
        UUIDS[1],
        UUIDS[2].upper(),
        blank(UUIDS[3]),
        "{" + UUIDS[4] + "}",
        "urn:uuid:" + UUIDS[5],
        bytes(range(16)),
    ],
    "uuid_canonical": [UUIDS[1], UUIDS[2]],
    "json": ['{"a": 1}', "[]", "1", '"text"', "null", '{"a": 1, "a": 2}'],
    "json_container": ['{"a": {"b": [1, 2]}}', "[]", ' {"a:b": ":"}'],
    "inet": ["10.0.0.1", "2001:db8::1", "10.0.0.0/8"],
    "iso": ["2024-02-29", "2024-01-01 10:00", "2024-01-01T10:00:00.123456Z", "2024-01-01 10:00:00+02:00"],
    "iso_date": ["2024-02-29", "0001-01-01"],
    "iso_zoned": ["2024-01-01T10:00:00Z", "2024-01-01 10:00-05", "2024-01-01 10:00:00.5+05:30"],
    "iso_time": ["10:00", "23:59:59.999999"],
    "bool": [0, 1, "t", "FALSE", "yes", "Off", 1.0],
    "bool01": [0, 1],
    "int_text": ["0", "-12", "007", str(2**63 - 1)],
    "num_text": ["1.5", "-3e10", "12", ".5"],
    "epoch_s": [1_700_000_000, 0, 315_532_800],
    "epoch_ms": [1_700_000_000_000, 0],
    "epoch_us": [1_700_000_000_000_000, 0],
    "julian": [2_460_000.5, 2_451_545.0],
}
REFUSED: dict[str, list[object]] = {
    "uuid": ["not a uuid", blank(UUIDS[1])[:-1], "{" + UUIDS[1], b"short", 5],
    "uuid_canonical": [UUIDS[2].replace("0", "A"), blank(UUIDS[3]), bytes(16), UUIDS[4][:-1] + " "],
    "json": ["{", "abc", "{'a': 1}", 5, b"{}"],
    "json_container": ["1", "null", '{"a": 1, "a": 2}', '["\\u0000"]'],
    "inet": ["unknown", "10.0.0", "10.0.0.1/33", "::1%eth0"],
    "iso": ["0000-00-00", "2023-02-29", "now", "2024-01-01 25:00", "2024-01-01T24:00:00", "20240101", "2024-W01-1"],
    "iso_date": ["2024-01-01 00:00:00", "2023-02-29"],
    "iso_zoned": ["2024-01-01", "2024-01-01 10:00"],
    "iso_time": ["25:00", "2024-01-01"],
    "bool": [2, "maybe", 0.5, b"1"],
    "bool01": [2, "1", 1.0],
    "int_text": ["1.5", "abc", str(2**63), " 1", "1_0"],
    "num_text": ["abc", "1,5", "inf", "0x10"],
    "epoch_s": [86_400, 1_700_000_000_000, -1, 1_700_000_000.5],
    "epoch_ms": [1_700_000_000, "1700000000000"],
    "epoch_us": [1_700_000_000_000],
    "julian": [1.5, 2_460_000, 3e6],
}


class TestForms:
    def test_every_form_has_cases(self) -> None:
        assert {form.name for form in FORMS} == FITTING.keys() == REFUSED.keys()

    @pytest.mark.parametrize("form", FITTING)
    async def test_values_that_fit(self, stored: Stored, form: str) -> None:
        p = await stored("BLOB", None, *FITTING[form])
        assert p.fits[form] == p.filled == len(FITTING[form])
        assert p.all_fit(form)
        assert form not in p.examples

    @pytest.mark.parametrize("form", REFUSED)
    async def test_values_that_do_not(self, stored: Stored, form: str) -> None:
        p = await stored("BLOB", *REFUSED[form])
        assert p.fits[form] == 0

    @pytest.mark.parametrize("form", FITTING)
    async def test_most_fit_and_one_does_not(self, stored: Stored, form: str) -> None:
        p = await stored("BLOB", *FITTING[form] * 3, REFUSED[form][0])
        assert p.fits[form] == p.filled - 1
        assert p.examples[form]

    async def test_empty_text_fits_nothing_and_refutes_nothing(self, stored: Stored) -> None:
        p = await stored("TEXT", *[""] * 5000, "2024-01-01", "2024-01-02")
        assert (p.empty, p.fits["iso"], p.fits["iso_date"]) == (5000, 2, 2)
        assert not p.all_fit("iso")

    async def test_a_form_refuted_by_many_is_given_up(self, stored: Stored) -> None:
        p = await stored("TEXT", *[f"word {i}" for i in range(PATIENCE + 1)], *UUIDS)
        assert p.fits == {}
        assert p.examples == {}

    async def test_a_form_refuted_by_a_few_early_is_kept(self, stored: Stored) -> None:
        p = await stored("TEXT", *["0000-00-00"] * 100, *["2024-01-01"] * 5000)
        assert p.fits["iso_date"] == 5000
        assert p.examples["iso_date"] == "0000-00-00"

    async def test_examples_are_short_and_printable(self, stored: Stored) -> None:
        p = await stored("TEXT", *UUIDS[:5], "\x1b[31m" * 100, None)
        assert len(p.examples["uuid"]) <= EXAMPLE_CHARS
        assert p.examples["uuid"].isprintable()

    async def test_date_times_of_another_page_shape(self, stored: Stored) -> None:
        """Pages of one usual shape are judged at once; a value of no usual shape in a page must not change that."""
        usual = [f"2024-01-01 10:00:{i % 60:02}" for i in range(2500)]
        p = await stored("DATETIME", *usual, "2024-01-01 10:00:00+02:00", "2024-13-01 10:00:00")
        assert (p.fits["iso"], p.fits.get("iso_zoned")) == (2501, None)
        assert p.examples["iso"] == "2024-13-01 10:00:00"

    @given(
        st.lists(st.text(alphabet='0123456789abcdef-:TZ+. {}[]",', max_size=40) | st.datetimes().map(str), min_size=1)
    )
    def test_the_quick_test_of_many_never_says_yes_wrongly(self, texts: list[str]) -> None:
        filled = [text for text in texts if text]
        for form in FORMS:
            if "text" in form.kinds and filled and form.all_fit(filled):
                assert all(map(form.fits, filled)), form.name

    @given(st.lists(st.dates().map(str) | st.uuids().map(str) | st.integers().map(str), min_size=1, max_size=20))
    def test_pages_add_up(self, texts: list[str]) -> None:
        whole, single = FormCounter(), FormCounter()
        whole.add("text", texts)
        for text in texts:
            single.add("text", [text])
        assert whole.fits() == single.fits()


class TestEpochs:
    async def test_units_are_told_apart(self, stored: Stored) -> None:
        p = await stored("INTEGER", *range(1_700_000_000_000, 1_700_000_001_000), 0)
        assert p.all_fit("epoch_ms")
        assert "epoch_s" not in p.fits
        assert "epoch_us" not in p.fits

    async def test_dates_that_are_none(self, stored: Stored) -> None:
        p = await stored("DATETIME", "2024-01-01 00:00:00", "", "0000-00-00", "25:00", "now")
        assert (p.fits["iso"], p.empty, p.fits["iso_date"]) == (1, 1, 0)


class TestKeys:
    async def test_negative_and_largest_rowid(self, profiled: Profiled) -> None:
        found = await profiled(
            f"CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (-5), ({2**63 - 1}), ({-(2**63)})"
        )
        assert (found.rows, found.key_min, found.key_max) == (3, -(2**63), 2**63 - 1)

    async def test_without_rowid(self, profiled: Profiled) -> None:
        script = "CREATE TABLE t (a TEXT, b INT, c, PRIMARY KEY (a, b)) WITHOUT ROWID;"
        script += "INSERT INTO t VALUES ('x', 1, 2), ('x', 2, 3)"
        found = await profiled(script)
        assert (found.rows, found.key_min, found.columns["c"].int_max) == (2, None, 3)

    async def test_no_spelling_of_rowid_left(self, profiled: Profiled) -> None:
        found = await profiled(
            "CREATE TABLE t (rowid TEXT, _rowid_ TEXT, oid TEXT); INSERT INTO t VALUES ('a', 'b', 'c')"
        )
        assert (found.rows, found.key_min, found.columns["oid"].texts) == (1, None, 1)

    async def test_null_in_a_primary_key(self, profiled: Profiled) -> None:
        found = await profiled("CREATE TABLE t (id TEXT PRIMARY KEY); INSERT INTO t VALUES (NULL), (NULL), ('a')")
        assert found.columns["id"].nulls == 2

    @pytest.mark.parametrize(
        ("declaration", "values", "collide"),
        [
            ("TEXT PRIMARY KEY", [UUIDS[200], UUIDS[200].upper()], True),
            ("TEXT PRIMARY KEY", [UUIDS[200], blank(UUIDS[200])], True),
            ("BLOB PRIMARY KEY", [UUIDS[200], bytes.fromhex(blank(UUIDS[200]))], True),
            ("TEXT PRIMARY KEY", [UUIDS[200], "URN:UUID:" + UUIDS[200]], True),
            ("TEXT UNIQUE", [UUIDS[200], "{" + UUIDS[200] + "}"], True),
            ("TEXT PRIMARY KEY", [UUIDS[200], UUIDS[201].upper()], False),
            ("TEXT", [UUIDS[200], UUIDS[200].upper()], False),
        ],
    )
    async def test_two_spellings_of_one_uuid(
        self, tmp_path: Path, declaration: str, values: list[object], collide: bool
    ) -> None:
        path = tmp_path / "uuid.db"
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute(f"CREATE TABLE t (id {declaration})")
            raw.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
        p = (await profile_file(path, "t")).columns["id"]
        assert p.all_fit("uuid")
        assert p.uuid_collision is collide

    async def test_a_composite_key_repeats_a_uuid_without_a_collision(self, profiled: Profiled) -> None:
        upper = UUIDS[171].upper()
        rows = f"('{upper}', 1), ('{upper}', 2)"
        found = await profiled(f"CREATE TABLE t (a TEXT, b INT, PRIMARY KEY (a, b)); INSERT INTO t VALUES {rows}")
        assert found.columns["a"].uuid_collision is False


class TestOrphans:
    SCHEMA = "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT, code TEXT UNIQUE); INSERT INTO p VALUES (1, 'a', 'A');"

    async def test_counted_per_key(self, profiled: Profiled) -> None:
        found = await profiled(
            self.SCHEMA + "CREATE TABLE t (a REFERENCES p(id), b REFERENCES p(code));"
            "INSERT INTO t VALUES (1, 'A'), (2, 'A'), (3, 'B'), (NULL, NULL)"
        )
        assert sorted(found.orphans.values()) == [1, 2]

    async def test_none(self, profiled: Profiled) -> None:
        assert (await profiled(self.SCHEMA + "CREATE TABLE t (a REFERENCES p); INSERT INTO t VALUES (1)")).orphans == {}

    async def test_parent_table_missing(self, profiled: Profiled) -> None:
        found = await profiled("CREATE TABLE t (a REFERENCES nowhere(id)); INSERT INTO t VALUES (1), (2), (NULL)")
        assert found.orphans == {0: 2}

    async def test_parent_columns_not_unique(self, profiled: Profiled) -> None:
        """SQLite refuses to check ("foreign key mismatch"); the rows are compared all the same."""
        found = await profiled(
            self.SCHEMA + "CREATE TABLE t (a REFERENCES p(name), b REFERENCES p, c REFERENCES p(nowhere));"
            "INSERT INTO t VALUES ('a', 1, NULL), ('b', 2, 5), ('c', 1, NULL)"
        )
        assert sorted(found.orphans.values()) == [1, 1, 2]

    async def test_composite_and_self(self, profiled: Profiled) -> None:
        found = await profiled(
            "CREATE TABLE t (a INT, b INT, x INT, y INT, PRIMARY KEY (a, b), FOREIGN KEY (x, y) REFERENCES t (a, b));"
            "INSERT INTO t VALUES (1, 1, NULL, 1), (2, 1, 1, 1), (3, 1, 9, 9)"
        )
        assert found.orphans == {0: 1}

    async def test_collation_that_only_the_application_has(self, tmp_path: Path) -> None:
        path = tmp_path / "collation.db"
        with closing(sqlite3.connect(path)) as raw:
            raw.create_collation("LOCALIZED", lambda a, b: (a > b) - (a < b))
            raw.executescript(
                "CREATE TABLE p (id TEXT COLLATE LOCALIZED PRIMARY KEY);"
                "CREATE TABLE t (id INTEGER PRIMARY KEY, p TEXT REFERENCES p, u COLLATE LOCALIZED UNIQUE);"
                "INSERT INTO p VALUES ('a'), ('b'); INSERT INTO t VALUES (1, 'a', 'x'), (2, 'zz', 'y');"
            )
        found = await profile_file(path, "t")
        assert (found.rows, found.orphans) == (2, {0: 1})


class TestSample:
    SCRIPT = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v INT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        "INSERT INTO t SELECT i, i FROM n;"
    )

    async def test_spread_over_the_keys_with_exact_rows(self, profiled: Profiled) -> None:
        found = await profiled(self.SCRIPT, sample=500)
        v = found.columns["v"]
        assert (found.rows, found.sampled, v.integers) == (20000, True, 500)
        assert v.int_min == 1
        assert v.int_max is not None
        assert v.int_max > 19000
        assert found.bytes == 20000 * 16

    async def test_gaps_in_the_keys_cost_no_rows(self, profiled: Profiled) -> None:
        found = await profiled(self.SCRIPT + f"INSERT INTO t VALUES ({2**62}, 1), ({-(2**62)}, 2);", sample=500)
        assert found.rows == 20002
        assert found.columns["v"].filled > 100

    async def test_more_than_there_is_reads_all(self, profiled: Profiled) -> None:
        found = await profiled(self.SCRIPT, sample=20000)
        assert (found.sampled, found.columns["v"].integers) == (False, 20000)

    async def test_less_than_a_row_per_spot(self, profiled: Profiled) -> None:
        assert (await profiled(self.SCRIPT, sample=3)).columns["v"].integers == 3


class TestWork:
    async def test_progress_adds_up_over_all_tables(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        make_chat_database(path, 3000)
        told: dict[str, int] = {}
        connection = await connect(path)
        try:
            schema = await read_schema(connection)

            def tell(table: str, rows: int) -> None:
                told[table] = told.get(table, 0) + rows

            profiles = await profile_schema(connection, schema.tables, on_rows=tell)
        finally:
            await connection.close()
        assert told == {name: profile.rows for name, profile in profiles.items()}
        assert told["messages"] == 3000

    async def test_can_be_cancelled(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        make_chat_database(path, 20_000)
        connection = await connect(path)
        try:
            table = (await read_schema(connection)).table("messages")
            assert table is not None
            under_way = asyncio.Event()
            work = asyncio.create_task(profile_table(connection, table, on_rows=lambda _: under_way.set()))
            await under_way.wait()
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            whole = await profile_table(connection, replace(table, foreign_keys=()))
            assert whole.rows == 20_000
        finally:
            await connection.close()


class TestChatDatabase:
    @staticmethod
    def dump(path: Path) -> str:
        with closing(sqlite3.connect(path)) as raw:
            return hashlib.sha256("\n".join(raw.iterdump()).encode()).hexdigest()

    def test_equal_seeds_give_equal_content(self, tmp_path: Path) -> None:
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            make_chat_database(tmp_path / name, 500, seed=seed)
        a, b, c = (self.dump(tmp_path / name) for name in "abc")
        assert a == b != c

    @pytest.mark.parametrize("messages", [0, 1, 2500])
    def test_is_sound(self, tmp_path: Path, messages: int) -> None:
        path = tmp_path / "chat.db"
        make_chat_database(path, messages)
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
            assert raw.execute("PRAGMA journal_mode").fetchone() == ("delete",)
            assert raw.execute("SELECT count(*) FROM messages").fetchone() == (messages,)
            assert raw.execute("SELECT sum(message_count) FROM conversations").fetchone() == (messages,)
            raw.execute("SELECT * FROM active_conversations LIMIT 1").fetchall()

    def test_an_existing_file_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        path.write_bytes(b"precious")
        with pytest.raises(UsageError):
            make_chat_database(path, 10)
        assert path.read_bytes() == b"precious"

    async def test_clean_by_default(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        make_chat_database(path, 1000)
        messages = await profile_file(path, "messages")
        assert messages.columns["id"].all_fit("uuid_canonical")
        assert messages.columns["created_at"].all_fit("epoch_ms")
        assert messages.columns["delivered_at"].all_fit("epoch_ms")
        assert messages.columns["is_anonymized"].all_fit("bool01")
        assert (messages.columns["content"].nul, messages.columns["content"].broken) == (0, 0)
        audit = await profile_file(path, "audit_log")
        assert audit.columns["detail"].all_fit("json_container")
        assert audit.columns["ip_address"].all_fit("inet")

    async def test_dirty_on_request(self, tmp_path: Path) -> None:
        path = tmp_path / "chat.db"
        make_chat_database(path, 1000, dirty=True)
        messages = await profile_file(path, "messages")
        assert (messages.columns["content"].nul, messages.columns["content"].broken) == (2, 1)
        assert messages.columns["delivered_at"].empty == 3
        assert list(messages.orphans.values()) == [1]
        audit = await profile_file(path, "audit_log")
        assert audit.columns["detail"].examples["json"].startswith('{"client"')
        assert audit.columns["ip_address"].examples["inet"] == "unknown"
