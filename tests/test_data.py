"""The generators themselves: tables, counts, equal seeds, and checks that can fail."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from data import pitfalls, pitfalls_files
from data.compare import read_source
from data.expected import Expected, format_type, types
from data.faker import Faker
from data.seeds import APPLICATIONS
from fix_migrate import sha256

from copier.plan.file_read import parse_file
from copier.plan.pgtype import CASTS, POLICIES, parse_type

MAX_SECONDS = 10.0
"""Of a build that takes a fraction of one: a machine may be busy."""

NAMED_TABLES = {
    "shadowrealms": "users campaigns locations messages characters npcs combat_state relationships "
    "location_connections ooc_violations location_deletion_log moderation_log",
    "chat": "users conversations messages",
    "liaizen": "migrations users rooms room_members messages threads tasks contacts",
    "truths": "users challenges guesses user_reports token_balances token_transactions user_sessions",
    "osrs": "items trades watchlist alembic_version",
}
EXAMPLE_PLAN = Path(__file__).parent.parent / "docs" / "examples" / "chat.plan.toml"


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


@pytest.fixture(scope="module", params=sorted(APPLICATIONS))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Expected]:
    path = tmp_path_factory.mktemp("seed") / "app.db"
    started = time.perf_counter()
    expected = APPLICATIONS[request.param].build(path)
    assert time.perf_counter() - started < MAX_SECONDS
    return request.param, path, expected


class TestSeeds:
    def test_has_the_tables_of_the_application_and_their_columns(self, built: tuple[str, Path, Expected]) -> None:
        name, path, expected = built
        with closing(sqlite3.connect(path)) as connection:
            found = {
                row[0]: set(columns_of(connection, row[0]))
                for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
                if not row[0].startswith("sqlite_")
            }
        assert set(NAMED_TABLES[name].split()) <= found.keys()
        assert {table: set(columns) for table, columns in expected.types.items()} == found

    def test_counts_are_of_the_file(self, built: tuple[str, Path, Expected]) -> None:
        _, path, expected = built
        assert expected.total >= 10_000
        with closing(sqlite3.connect(path)) as connection:
            for table, rows in expected.rows.items():
                assert connection.execute(f'SELECT count(*) FROM "{table}"').fetchone() == (rows,)
                assert rows > 0

    def test_every_rejected_row_is_there_once_and_its_value_is_impossible(
        self, built: tuple[str, Path, Expected]
    ) -> None:
        _, path, expected = built
        assert len({(row.table, row.key) for row in expected.rejected}) == len(expected.rejected) > 5
        for table, kinds in expected.types.items():
            assert read_source(path, table, kinds).impossible == expected.rejected_in(table), table

    def test_misfits_are_few_enough_to_keep_the_type(self, built: tuple[str, Path, Expected]) -> None:
        _, path, expected = built
        with closing(sqlite3.connect(path)) as connection:
            connection.text_factory = bytes
            for table, column in {(row.table, row.column) for row in expected.rejected}:
                misfits = sum((row.table, row.column) == (table, column) for row in expected.rejected)
                (filled,) = connection.execute(f'SELECT count("{column}") FROM "{table}"').fetchone()
                assert misfits * 100 <= filled, (table, column)

    def test_orphans_are_of_the_rows_that_arrive(self, built: tuple[str, Path, Expected]) -> None:
        _, path, expected = built
        with closing(sqlite3.connect(path)) as connection:
            violations = connection.execute("PRAGMA foreign_key_check").fetchall()
        assert len(violations) == sum(expected.orphans.values()) > 0
        assert {row[0] for row in violations} == {table for table, _ in expected.orphans}

    def test_no_row_refers_to_a_rejected_one(self, built: tuple[str, Path, Expected]) -> None:
        _, path, expected = built
        with closing(sqlite3.connect(path)) as connection:
            before = len(connection.execute("PRAGMA foreign_key_check").fetchall())
            for row in expected.rejected:
                keys = connection.execute(f"SELECT name FROM pragma_table_info('{row.table}') WHERE pk ORDER BY pk")
                where = " AND ".join(f'"{name}" = ?' for (name,) in keys.fetchall())
                assert connection.execute(f'DELETE FROM "{row.table}" WHERE {where}', row.key).rowcount == 1
            assert len(connection.execute("PRAGMA foreign_key_check").fetchall()) == before

    def test_equal_seeds_give_equal_files(self, built: tuple[str, Path, Expected], tmp_path: Path) -> None:
        name, path, expected = built
        assert APPLICATIONS[name].build(tmp_path / "again.db") == expected
        assert sha256(tmp_path / "again.db") == sha256(path)
        APPLICATIONS[name].build(tmp_path / "other.db", seed=8)
        assert sha256(tmp_path / "other.db") != sha256(path)

    def test_without_dirt_everything_fits(self, built: tuple[str, Path, Expected], tmp_path: Path) -> None:
        name, _, dirty = built
        clean = APPLICATIONS[name].build(tmp_path / "clean.db", 500, dirt=False)
        assert (clean.rejected, clean.orphans) == ((), {})
        assert clean.types.keys() == dirty.types.keys()
        for table, kinds in clean.types.items():
            assert read_source(tmp_path / "clean.db", table, kinds).impossible == 0, table


class TestPitfalls:
    def test_the_file_has_the_rows_and_columns_of_every_case(self, tmp_path: Path) -> None:
        pitfalls.build(tmp_path / "all.db")
        with closing(sqlite3.connect(tmp_path / "all.db")) as connection:
            for case in pitfalls.CASES:
                for table, (copied, rejected) in case.tables.items():
                    found = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()
                    assert found == (copied + rejected,), case.name
                for table, column in case.types:
                    assert column in columns_of(connection, table), case.name

    def test_names_are_unique(self) -> None:
        assert len({case.name for case in pitfalls.CASES}) == len(pitfalls.CASES)
        tables = [table for case in pitfalls.CASES for table in case.tables]
        assert len(set(tables)) == len(tables)

    def test_a_rejected_row_means_that_a_person_must_look(self) -> None:
        for case in pitfalls.CASES:
            if any(rejected for _, rejected in case.tables.values()):
                assert case.outcome == "attention", case.name

    @pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
    def test_utf16(self, tmp_path: Path, encoding: str) -> None:
        self.holds_all_notes(pitfalls_files.build_utf16(tmp_path / "a.db", encoding), "PRAGMA encoding", encoding)

    @pytest.mark.parametrize("size", [512, 65536])
    def test_page_size(self, tmp_path: Path, size: int) -> None:
        self.holds_all_notes(pitfalls_files.build_page_size(tmp_path / "a.db", size), "PRAGMA page_size", size)

    def test_wal_holds_half_of_the_rows_beside_the_file(self, tmp_path: Path) -> None:
        path = pitfalls_files.build_wal(tmp_path / "a.db")
        with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
            assert connection.execute("SELECT count(*) FROM notes").fetchone() == (pitfalls_files.ROWS // 2,)
        self.holds_all_notes(path, "PRAGMA journal_mode", "wal")

    def test_hot_journal_takes_back_what_is_in_the_file(self, tmp_path: Path) -> None:
        path = pitfalls_files.build_hot_journal(tmp_path / "a.db")
        assert b"LOST" in path.read_bytes()
        self.holds_all_notes(path, "PRAGMA journal_mode", "delete")

    @staticmethod
    def holds_all_notes(path: Path, pragma: str, value: object) -> None:
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute(pragma).fetchone() == (value,)
            found = dict(connection.execute("SELECT id, body FROM notes"))
        assert found == {n: pitfalls_files.TEXT.format(n) for n in range(1, pitfalls_files.ROWS + 1)}

    @pytest.mark.parametrize("make", pitfalls_files.UNREADABLE)
    def test_what_must_be_refused_is_no_sound_database(self, tmp_path: Path, make: pitfalls_files.Maker) -> None:
        path = make(tmp_path / "a.db")
        if make is pitfalls_files.build_empty:
            assert path.stat().st_size == 0
            return
        with pytest.raises(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT sum(length(body)) FROM notes").fetchall()


class TestFaker:
    def test_equal_seeds_give_equal_values(self) -> None:
        first, second = Faker(5), Faker(5)
        for maker in ("words", "name", "uuid", "hex32", "milliseconds", "ip", "json_object", "orm_datetime"):
            arguments = (2, 5) if maker == "words" else ()
            assert getattr(first, maker)(*arguments) == getattr(second, maker)(*arguments)

    def test_values_have_their_form(self) -> None:
        fake = Faker(1)
        for _ in range(100):
            assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", fake.uuid())
            assert re.fullmatch(r"[0-9a-f]{32}", fake.hex32())
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", fake.orm_datetime())
            assert 1_704_067_200_000 <= fake.milliseconds() < 1_800_000_000_000


class TestExpected:
    def test_types_are_spelled_as_format_type_does(self) -> None:
        assert types("a: x y int, z varchar(5); b: n numeric(10,2)") == {
            "a": {"x": "integer", "y": "integer", "z": "character varying(5)"},
            "b": {"n": "numeric(10,2)"},
        }
        assert format_type("timestamptz") == "timestamp with time zone"


class TestExamplePlan:
    def test_its_words_are_known_and_it_names_every_column(self, tmp_path: Path) -> None:
        document = parse_file(EXAMPLE_PLAN.read_text(encoding="utf-8"))
        expected = APPLICATIONS["chat"].build(tmp_path / "chat.db", 100)
        assert {name: set(table.columns) for name, table in document.table.items()} == {
            name: set(columns) for name, columns in expected.types.items()
        }
        for table in document.table.values():
            for column in table.columns.values():
                assert column.type is not None
                assert column.cast in CASTS[parse_type(column.type).wire]
                assert column.policy in POLICIES
