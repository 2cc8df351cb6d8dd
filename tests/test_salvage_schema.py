"""Salvage of what the schema says: broken entries, constraints that refuse rows, objects of all kinds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from data.damage import leaves, overwrite, read_page, read_rows, write_page
from data.salvage_case import Case, case, make, schema_of
from fix_migrate import sha256

from copier.sqlite.salvage.result import LISTED_PER_TABLE, Loss, Losses
from copier.sqlite.salvage.run import salvage


def write(path: Path, *statements: str) -> None:
    """Run statements; also ones SQLite would not let anybody run on its schema."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            db.execute(statement)


def replace_bytes(path: Path, old: bytes, new: bytes) -> None:
    """Change bytes of the file, wherever they stand."""
    raw = path.read_bytes()
    assert len(old) == len(new)
    assert old in raw
    path.write_bytes(raw.replace(old, new))


@pytest.fixture
def notes(tmp_path: Path) -> Case:
    return case(make(tmp_path / "app.db"))


async def test_a_broken_entry_of_an_index_hides_nothing(notes: Case) -> None:
    write(notes.path, "UPDATE sqlite_master SET sql = 'CREATE INDEX note_body ON nowhere (x)' WHERE name = 'note_body'")
    result, found = await notes.salvage()
    assert found == notes.rows
    [loss] = result.losses
    assert (loss.kind, loss.where, loss.table) == ("object", "index note_body", "note")
    assert loss.reason == "no such table: main.nowhere"
    names = {"note", "plain", "pair", "sqlite_sequence", "note_score", "loud", "note_made"}
    assert {name for _, name, *_ in schema_of(notes.to)} == names


@pytest.mark.parametrize("sql", ["CREATE TABEL plain (a, b TEXT)", "CREATE TABLE plain (a, a)", "", "-- nothing"])
async def test_a_table_whose_text_is_broken_is_listed(notes: Case, sql: str) -> None:
    write(notes.path, f"UPDATE sqlite_master SET sql = '{sql}' WHERE name = 'plain'")
    result, found = await notes.salvage()
    assert found == {name: rows for name, rows in notes.rows.items() if name != "plain"}
    assert [(loss.kind, loss.where) for loss in result.losses] == [("object", "table plain")]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE note",
        "CREATE TABLE other (a, b)",
        "CREATE TABLE plain AS SELECT * FROM note",
        "CREATE TABLE plain (a, b TEXT); DROP TABLE note",
        "ATTACH 'PLACE' AS plain",
        "PRAGMA user_version = 1",
        "DELETE FROM note",
    ],
)
async def test_an_entry_that_does_something_else_is_not_obeyed(notes: Case, sql: str, tmp_path: Path) -> None:
    place = tmp_path / "attached.db"
    write(
        notes.path,
        "UPDATE sqlite_master SET sql = '{}' WHERE name = 'plain'".format(
            sql.replace("PLACE", str(place)).replace("'", "''")
        ),
    )
    result, found = await notes.salvage()
    assert {name: found[name] for name in ("note", "pair")} == {name: notes.rows[name] for name in ("note", "pair")}
    assert "plain" not in found
    assert [loss.where for loss in result.losses] == ["table plain"]
    assert not place.exists()
    with closing(sqlite3.connect(notes.to)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (7,)


async def test_lost_entries_of_the_schema_are_said(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "PRAGMA page_size = 512;"
            + "".join(f"CREATE TABLE t{n:02} (a, b, c); INSERT INTO t{n:02} VALUES (1, 2, 3);" for n in range(30))
        )
    many = case(path)
    overwrite(path, leaves(path, "sqlite_schema")[1:2])
    result, found = await many.salvage()
    assert 0 < len(found) < 30
    assert all(rows == many.rows[name] for name, rows in found.items())
    schema = [loss for loss in result.losses if loss.table == "sqlite_schema"]
    assert [(loss.kind, loss.pages) for loss in schema] == [("pages", 1)]
    unknown = next(loss for loss in result.losses if loss.table == "(no table)")
    assert unknown.pages == 30 - len(found), "their pages are still there, and whose they were is not"


async def test_rows_that_the_table_refuses(notes: Case) -> None:
    write(
        notes.path,
        "UPDATE plain SET b = NULL WHERE a IN (7, 8)",
        "UPDATE sqlite_master SET sql = 'CREATE TABLE plain (a, b TEXT NOT NULL)' WHERE name = 'plain'",
    )
    notes = case(notes.path)
    result, found = await notes.salvage()
    assert notes.rows["plain"] - found["plain"] == {row for row in notes.rows["plain"] if row[1] in (7, 8)}
    refused = [loss for loss in result.losses if loss.kind == "refused"]
    assert [(loss.where, loss.rows, loss.reason) for loss in refused] == [
        ("rowid 8..9", 2, "NOT NULL constraint failed: plain.b")
    ]


async def test_equal_keys_of_a_unique_index(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)",
        "CREATE UNIQUE INDEX t_x ON t (x)",
        "INSERT INTO t VALUES (1, 'aaaaaaaa'), (2, 'bbbbbbbb')",
    )
    replace_bytes(path, b"bbbbbbbb", b"aaaaaaaa")
    twins = case(path)
    result, found = await twins.salvage()
    assert len(found["t"]) == 2
    assert [(loss.kind, loss.where, loss.reason) for loss in result.losses] == [
        ("object", "index t_x", "UNIQUE constraint failed: t.x")
    ]


async def test_conflict_clauses_of_the_table_lose_nothing_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT UNIQUE ON CONFLICT REPLACE)",
        "INSERT INTO t VALUES (1, 'aaaaaaaa'), (2, 'bbbbbbbb'), (3, 'c')",
    )
    replace_bytes(path, b"bbbbbbbb", b"aaaaaaaa")
    twins = case(path)
    result, found = await twins.salvage()
    assert found["t"] == {row for row in twins.rows["t"] if row[0] != 2}
    assert [(loss.kind, loss.where, loss.reason) for loss in result.losses] == [
        ("refused", "rowid 2", "UNIQUE constraint failed: t.x")
    ]


async def test_full_text_search_works_in_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as db:
        try:
            db.execute("CREATE VIRTUAL TABLE docs USING fts5(title, body)")
        except sqlite3.OperationalError:
            pytest.skip("this SQLite has no FTS5")
        db.executemany("INSERT INTO docs VALUES (?, ?)", [(f"t{n}", f"word{n % 5} text") for n in range(500)])
        db.executescript("CREATE TABLE side (x); INSERT INTO side VALUES (1)")
    docs = case(path)
    _, found = await docs.salvage()
    assert found == docs.rows
    assert schema_of(docs.to) == schema_of(docs.path)
    with closing(sqlite3.connect(docs.to)) as db:
        assert db.execute("SELECT count(*) FROM docs WHERE docs MATCH 'word3'").fetchone() == (100,)


async def test_a_module_this_sqlite_has_not(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    entry = "('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING nobodys(a, b)')"
    write(path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)", f"INSERT INTO sqlite_master VALUES {entry}")
    result = await salvage(path, tmp_path / "sound.db")
    assert result.losses == ()
    assert schema_of(tmp_path / "sound.db") == schema_of(path)


async def test_collations_and_functions_of_the_application(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as db:
        db.create_collation("backwards", lambda a, b: (a < b) - (a > b))
        db.create_function("twice", 1, lambda x: x * 2, deterministic=True)
        db.execute("CREATE TABLE t (x TEXT COLLATE backwards UNIQUE, y INT CHECK (twice(y) > 0))")
        db.execute("CREATE INDEX t_y ON t (twice(y))")
        db.executemany("INSERT INTO t VALUES (?, ?)", [(f"k{n}", n + 1) for n in range(50)])
        db.commit()
    to = tmp_path / "sound.db"
    result = await salvage(path, to)
    assert result.rows == 50
    assert [(loss.where, loss.reason) for loss in result.losses] == [("index t_y", "no such function: twice")]
    [note] = result.notes
    assert "table t uses the collation backwards" in note
    assert {sql for *_, sql in schema_of(to)} < {sql for *_, sql in schema_of(path)}


async def test_names_that_are_no_text_are_kept_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, grXXe TEXT)", "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    replace_bytes(path, b"grXXe", b"gr\xf6\xdfe")
    result = await salvage(path, tmp_path / "sound.db")
    assert (result.losses, result.rows) == ((), 2)
    with closing(sqlite3.connect(tmp_path / "sound.db")) as db:
        db.text_factory = bytes
        assert db.execute("SELECT sql FROM sqlite_master").fetchone() == (
            b"CREATE TABLE t (id INTEGER PRIMARY KEY, gr\xf6\xdfe TEXT)",
        )
        rows = db.execute("WITH named (a, b) AS (SELECT * FROM t) SELECT a, b FROM named")
        assert rows.fetchall() == [(1, b"a"), (2, b"b")]


async def test_records_older_than_their_table(tmp_path: Path) -> None:
    """Columns added later, columns that are computed, whole numbers in REAL columns: decoded as SQLite reads them."""
    path = tmp_path / "app.db"
    write(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, v AS (r + 1), s AS (r * 2) STORED)",
        *(f"INSERT INTO t (r) VALUES ({n})" for n in range(40)),
        "ALTER TABLE t ADD COLUMN late TEXT DEFAULT 'none'",
        "INSERT INTO t (r, late) VALUES (0.5, 'x')",
    )
    old = case(path)
    page = leaves(path, "t")[0]
    raw = bytearray(read_page(path, page))
    raw[8:10] = (0).to_bytes(2)  # one row is lost, so that the others are decoded
    write_page(path, page, bytes(raw))
    result, found = await old.salvage()
    assert old.rows["t"] - found["t"] == {row for row in old.rows["t"] if row[0] == 1}
    assert found["t"] < old.rows["t"]
    assert [loss.where for loss in result.losses if loss.kind == "row"] == ["rowid ..1"]


async def test_columns_that_hide_the_rowid(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(
        path,
        "CREATE TABLE t (rowid TEXT, oid TEXT, _rowid_ INTEGER)",
        "INSERT INTO t VALUES ('a', 'b', 1), ('a', 'b', 1)",
    )
    to = tmp_path / "sound.db"
    assert (await salvage(path, to)).rows == 2
    with closing(sqlite3.connect(to)) as db:
        assert db.execute("SELECT * FROM t").fetchall() == [("a", "b", 1)] * 2


async def test_a_file_without_tables(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    write(path, "PRAGMA encoding = 'UTF-16be'", "CREATE TABLE t (a)", "DROP TABLE t", "PRAGMA user_version = 3")
    before = sha256(path)
    result = await salvage(path, tmp_path / "sound.db")
    assert (result.tables, result.losses) == ((), ())
    assert sha256(path) == before
    assert read_rows(tmp_path / "sound.db") == {}


class TestLosses:
    def test_neighbours_become_one_entry(self) -> None:
        losses = Losses()
        for rowid in (5, 6, 9):
            losses.add(Loss("refused", "t", "why", rowid, rowid, rows=1))
        losses.carried()
        losses.add(Loss("refused", "t", "why", 20, 20, rows=1))
        losses.add(Loss("refused", "t", "another why", 21, 21, rows=1))
        assert [(loss.where, loss.rows) for loss in losses.all()] == [
            ("rowid 5..9", 3),
            ("rowid 20", 1),
            ("rowid 21", 1),
        ]
        assert losses.count("t") == 3

    def test_open_ends_stay_open(self) -> None:
        losses = Losses()
        losses.add(Loss("pages", "t", "why", None, 10, pages=1, page=3))
        losses.add(Loss("pages", "t", "why", 11, None, pages=2, page=5))
        assert [(loss.where, loss.pages) for loss in losses.all()] == [("page 3", 3)]

    def test_a_list_without_end_has_one(self) -> None:
        losses = Losses()
        for n in range(LISTED_PER_TABLE + 500):
            losses.add(Loss("refused", "t", f"why {n}", 2 * n, 2 * n, rows=1))
            losses.add(Loss("refused", "w", f"why {n}", key=f"a={n}", rows=1))
            losses.carried()
        for table in ("t", "w"):
            found = [loss for loss in losses.all() if loss.table == table]
            assert len(found) == LISTED_PER_TABLE
            assert sum(loss.rows for loss in found) == LISTED_PER_TABLE + 500
        assert found[-1].where == f"a={LISTED_PER_TABLE - 1}, and others after it"
