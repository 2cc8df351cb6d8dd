"""The tests' own checks can fail: the accounting of objects, and the independent reading of rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from data.accounting import Accounts
from data.compare import SourceRows, column_types, read_source, read_target
from data.expected import types

from copier.plan.model import ObjectNote
from copier.report import Report, TableReport


class TestAccounts:
    """The accounting finds what is missing, doubled or invented."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "small.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(
                "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE DEFAULT 'CHECK (' CHECK (a <> ''),"
                " b INT REFERENCES t (id), c INT AS (b + 1));"
                "CREATE INDEX i ON t (b); CREATE VIEW v AS SELECT 1 AS one;"
                "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END; CREATE VIRTUAL TABLE f USING rtree(id, x, y);"
            )
        return path

    @pytest.fixture
    def report(self) -> Report:
        lines = [
            ("primary key", "t_pkey", "t"),
            ("unique", "t_a_key", "t"),
            ("default", "a", "t"),
            ("check", "t_a_check", "t"),
            ("foreign key", "t_b_fkey", "t"),
            ("generated column", "c", "t"),
            ("index", "i", "t"),
            ("view", "v", None),
            ("trigger", "g", "t"),
            ("virtual table", "f", None),
            *(("shadow table", f"f_{part}", "f") for part in ("node", "rowid", "parent")),
            ("internal table", "sqlite_sequence", None),
        ]
        return Report(tables=[TableReport("t", "t")], objects=[ObjectNote(*line, status="created") for line in lines])

    def test_a_full_report_has_no_faults(self, path: Path, report: Report) -> None:
        assert Accounts(path, report).faults() == []

    @pytest.mark.parametrize("place", range(14))
    def test_a_missing_line_is_found(self, path: Path, report: Report, place: int) -> None:
        del report.objects[place]
        assert len(Accounts(path, report).faults()) == 1

    @pytest.mark.parametrize("place", range(14))
    def test_a_doubled_line_is_found(self, path: Path, report: Report, place: int) -> None:
        report.objects.append(report.objects[place])
        assert Accounts(path, report).faults()

    def test_a_missing_and_an_invented_table_are_found(self, path: Path, report: Report) -> None:
        report.tables[0].source = "other"
        assert len(Accounts(path, report).faults()) == 2


class TestCompare:
    """The independent reading finds equal what is equal, and only that."""

    TYPES = types(
        "t: i bigint, r double, n numeric(10,2), b bool, s text, x bytea, u uuid, at timestamptz, d date, "
        "j jsonb, a inet"
    )
    VALUES = (
        *(5, 0.1, 2.5, 1, "Grüße", b"\x00\xff", "6F1F9C1E3F0A4C399A52000000000001", 1_700_000_000_123),
        *("2024-02-29", '{"b": [1, true], "a": 1.0}', "10.0.0.1"),
    )
    AS_SQL = (
        "5, 0.1, 2.50, true, 'Grüße', '\\x00ff', '6f1f9c1e-3f0a-4c39-9a52-000000000001', "
        "'2023-11-14 23:13:20.123+01', '2024-02-29', '{\"a\": 1.0, \"b\": [1, true]}', '10.0.0.1'"
    )

    @pytest.fixture
    async def source(self, tmp_path: Path, pg: asyncpg.Connection) -> SourceRows:
        kinds = self.TYPES["t"]
        await pg.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in kinds.items())})")
        await pg.execute(f"INSERT INTO t VALUES ({self.AS_SQL}), ({', '.join(['NULL'] * len(kinds))})")
        with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
            connection.execute(f"CREATE TABLE t ({', '.join(kinds)})")
            places = ", ".join("?" * len(kinds))
            nothing = (None,) * len(kinds)
            impossible = ("five", *nothing[1:])
            connection.executemany(f"INSERT INTO t VALUES ({places})", [self.VALUES, nothing, impossible])
        return read_source(tmp_path / "a.db", "t", kinds)

    async def test_equal_values_are_equal(self, source: SourceRows, pg: asyncpg.Connection) -> None:
        assert source.impossible == 1
        assert await column_types(pg, "t") == self.TYPES["t"]
        assert await read_target(pg, "t", self.TYPES["t"]) == source.rows

    @pytest.mark.parametrize(
        "change",
        [
            "i = 6",
            "r = 0.1 + 1e-16",
            "n = 2.51",
            "b = false",
            "s = 'Gruße'",
            "x = '\\x00fe'",
            "u = '6f1f9c1e-3f0a-4c39-9a52-000000000002'",
            "at = at + interval '1 us'",
            "d = d + 1",
            'j = \'{"a": 1, "b": [1, 1]}\'',
            "a = '10.0.0.1/24'",
            "s = NULL",
        ],
    )
    async def test_a_changed_value_is_found(self, source: SourceRows, pg: asyncpg.Connection, change: str) -> None:
        await pg.execute(f"UPDATE t SET {change} WHERE i IS NOT NULL")
        assert await read_target(pg, "t", self.TYPES["t"]) != source.rows
