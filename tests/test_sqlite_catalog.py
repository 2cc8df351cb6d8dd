"""The catalog: what SQLite's pragmas and the text of CREATE statements say, each object exactly once."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from fix_corpus import CORPUS_NAMES

from copier.errors import SourceUnreadable
from copier.plan.source import SourceCheck, SourceObject, SourceSchema, SourceTable
from copier.sqlite.catalog import classify, list_entries, read_schema, read_schema_sync
from copier.sqlite.connection import connect
from copier.sqlite.ddl_text import read_index, read_table, virtual_module
from copier.sqlite.ddl_tokens import Unreadable, tokenize


def schema_of(*statements: str) -> SourceSchema:
    with closing(sqlite3.connect(":memory:")) as db:
        for statement in statements:
            db.execute(statement)
        return read_schema_sync(db)


def table_of(*statements: str, name: str = "t") -> SourceTable:
    table = schema_of(*statements).table(name)
    assert table is not None
    return table


def test_columns() -> None:
    table = table_of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a VarChar(10) NOT NULL DEFAULT 'x' COLLATE nocase, "
        "b, c INT GENERATED ALWAYS AS (id * 2) VIRTUAL, d TEXT AS (a || ')' /* ) */) STORED NOT NULL)",
        "INSERT INTO t (a) VALUES ('p'), ('q')",
        "DELETE FROM t",
    )
    by_name = {c.name: c for c in table.columns}
    assert by_name["a"].declared == "VarChar(10)"
    assert (by_name["a"].not_null, by_name["a"].default, by_name["a"].collation) == (True, "'x'", "NOCASE")
    assert (by_name["b"].declared, by_name["b"].default, by_name["b"].collation) == ("", None, "BINARY")
    assert (by_name["c"].generated, by_name["c"].generated_sql) == ("virtual", "id * 2")
    assert (by_name["d"].generated, by_name["d"].generated_sql) == ("stored", "a || ')'")
    assert table.autoincrement
    assert table.sequence == 2
    assert table.unparsed == ""


@pytest.mark.parametrize(
    ("definition", "alias"),
    [
        ("id INTEGER PRIMARY KEY", "id"),
        ("id integer primary key asc", "id"),
        ("id INTEGER PRIMARY KEY DESC", None),
        ("id INTEGER, PRIMARY KEY (id)", "id"),
        ("id INTEGER, PRIMARY KEY (id DESC)", "id"),
        ("id INT PRIMARY KEY", None),
        ("id BIGINT PRIMARY KEY", None),
        ('id "INTEGER" PRIMARY KEY', "id"),
        ("id INTEGER, b, PRIMARY KEY (id, b)", None),
        ("id INTEGER UNIQUE", None),
    ],
)
def test_rowid_alias(definition: str, alias: str | None) -> None:
    assert table_of(f"CREATE TABLE t ({definition})").rowid_alias == alias
    with_rowid = table_of(f"CREATE TABLE t ({definition})")
    assert with_rowid.rowid_name == "rowid"
    if "PRIMARY" in definition.upper():
        without = table_of(f"CREATE TABLE t ({definition}) WITHOUT ROWID")
        assert (without.rowid_alias, without.rowid_name, without.without_rowid) == (None, None, True)


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ("a", "rowid"),
        ("ROWID TEXT", "_rowid_"),
        ('"rowid" TEXT, _ROWID_ INT', "oid"),
        ("rowid TEXT, _rowid_ INT, oid BLOB", None),
        ("rowid TEXT, _rowid_ INT, oid INTEGER PRIMARY KEY", "oid"),
        ("rowid INTEGER PRIMARY KEY, b", "_rowid_"),
    ],
)
def test_rowid_name(columns: str, name: str | None) -> None:
    assert table_of(f"CREATE TABLE t ({columns})").rowid_name == name


def test_keys_strict_and_without_rowid() -> None:
    table = table_of("CREATE TABLE t (a ANY, b TEXT, c INT, PRIMARY KEY (c, a)) STRICT, WITHOUT ROWID")
    assert (table.primary_key, table.strict, table.without_rowid) == (("c", "a"), True, True)
    assert [c.pk for c in table.columns] == [2, 0, 1]


def test_indexes() -> None:
    table = table_of(
        "CREATE TABLE t (a TEXT COLLATE NOCASE, b INT, c TEXT, UNIQUE (b, c))",
        "CREATE UNIQUE INDEX one ON t (a DESC, b) WHERE b > 1 AND c <> ')' -- the end",
        "CREATE INDEX two ON t (lower(a) COLLATE RTRIM DESC, (b + 1), c COLLATE nocase, substr(c, 1, 2) ASC)",
    )
    unique, one, two = table.indexes
    assert (unique.origin, unique.unique, unique.sql) == ("u", True, None)
    assert [p.column for p in unique.parts] == ["b", "c"]
    assert [(p.column, p.descending, p.collation) for p in one.parts] == [
        ("a", True, "NOCASE"),
        ("b", False, "BINARY"),
    ]
    assert (one.origin, one.where) == ("c", "b > 1 AND c <> ')'")
    assert [(p.column, p.expression, p.descending, p.collation) for p in two.parts] == [
        (None, "lower(a)", True, "RTRIM"),
        (None, "(b + 1)", False, "BINARY"),
        ("c", None, False, "NOCASE"),
        (None, "substr(c, 1, 2)", False, "BINARY"),
    ]
    assert table.unparsed == ""


def test_foreign_keys() -> None:
    table = table_of(
        "CREATE TABLE t (a INT REFERENCES P, b INT CONSTRAINT why REFERENCES q (x) ON DELETE SET DEFAULT ON UPDATE "
        "CASCADE NOT DEFERRABLE INITIALLY DEFERRED CHECK (b > 0), c INT, "
        "FOREIGN KEY (a, b) REFERENCES r (x, y) DEFERRABLE INITIALLY DEFERRED "
        "CONSTRAINT fk FOREIGN KEY (c, a) REFERENCES t ON DELETE SET NULL DEFERRABLE)",
    )
    keys = {key.columns: key for key in table.foreign_keys}
    assert sorted(key.id for key in table.foreign_keys) == [0, 1, 2, 3]
    assert (keys[("a",)].parent, keys[("a",)].parent_columns, keys[("a",)].deferrable) == ("P", (), False)
    b = keys[("b",)]
    assert (b.parent, b.parent_columns, b.on_delete, b.on_update) == ("q", ("x",), "SET DEFAULT", "CASCADE")
    assert (b.deferrable, b.initially_deferred) == (False, False)
    r = keys[("a", "b")]
    assert (r.parent_columns, r.deferrable, r.initially_deferred) == (("x", "y"), True, True)
    own = keys[("c", "a")]
    assert (own.parent, own.parent_columns, own.on_delete) == ("t", (), "SET NULL")
    assert (own.deferrable, own.initially_deferred) == (True, False)
    assert table.checks == (SourceCheck("b > 0", None, "b"),)
    assert table.unparsed == ""


def test_checks() -> None:
    table = table_of(
        "CREATE TABLE t (a INT CONSTRAINT positive CHECK (a > 0) CHECK(a<9), b TEXT DEFAULT (')') NOT NULL,\n"
        "  -- CHECK (comment)\n  CONSTRAINT \"two words\" CHECK ( /* why */ b <> '--' AND b != 'it''s' -- note\n ),\n"
        "  CHECK ((a) IN (1, (2))))"
    )
    assert table.checks == (
        SourceCheck("a > 0", "positive", "a"),
        SourceCheck("a<9", None, "a"),
        SourceCheck("b <> '--' AND b != 'it''s'", "two words", None),
        SourceCheck("(a) IN (1, (2))", None, None),
    )


def test_a_constraint_name_belongs_to_the_next_constraint_only() -> None:
    assert table_of("CREATE TABLE t (a INT CONSTRAINT filled NOT NULL CHECK (a > 0))").checks[0].name is None
    assert table_of("CREATE TABLE t (a INT CONSTRAINT d DEFAULT 1 CHECK (a > 0))").checks[0].name is None


def test_text_after_alter_table_and_create_as() -> None:
    schema = schema_of(
        "CREATE TABLE t (a INT, b TEXT COLLATE NOCASE, CHECK (a > 0))",
        "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'x,(' COLLATE RTRIM",
        "ALTER TABLE t ADD COLUMN d INT REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED",
        'ALTER TABLE t RENAME COLUMN a TO "new name"',
        "ALTER TABLE t DROP COLUMN b",
        "CREATE TABLE u AS SELECT *, 1 AS one, 'x' AS \"select\" FROM t",
    )
    table = schema.table("t")
    assert table is not None
    assert [(c.name, c.collation) for c in table.columns] == [("new name", "BINARY"), ("c", "RTRIM"), ("d", "BINARY")]
    assert table.checks == (SourceCheck('"new name" > 0'),)
    assert table.foreign_keys[0].initially_deferred
    made = schema.table("u")
    assert made is not None
    assert [c.name for c in made.columns] == ["new name", "c", "d", "one", "select"]
    assert (table.unparsed, made.unparsed) == ("", "")


def test_odd_names_and_white_space() -> None:
    make = (
        'CREATE TABLE/**/"a""b\n\'"--x\n(\n[key] INT,`if`TEXT,\'lit\' BLOB,"pri,(mary" INT CHECK([pri,(mary]>0),'
        'abort INT, begin TEXT, "check" INT CHECK ("check" > 1), né INT, $ TEXT, trailing)'
    ).replace("$ TEXT, ", "")
    schema = schema_of(make)
    [table] = schema.tables
    assert table.name == "a\"b\n'"
    names = ["key", "if", "lit", "pri,(mary", "abort", "begin", "check", "né", "trailing"]
    assert [c.name for c in table.columns] == names
    assert [c.expression for c in table.checks] == ["[pri,(mary]>0", '"check" > 1']
    assert table.unparsed == ""


def test_views_triggers_virtual_and_internal_tables() -> None:
    schema = schema_of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)",
        "CREATE INDEX i ON t (a)",
        "CREATE VIEW good AS SELECT id AS number, a FROM t",
        "CREATE VIEW broken AS SELECT * FROM nowhere",
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE docs USING fts5(title, body)",
        'CREATE VIRTUAL TABLE "old docs" USING FTS4(body)',
        "CREATE VIRTUAL TABLE box USING rtree(id, x0, x1)",
        "CREATE TABLE docs_extra (a)",
        "CREATE TABLE t_data (a)",
        "ANALYZE",
    )
    assert [t.name for t in schema.tables] == ["t", "docs_extra", "t_data"]
    found = {o.name: o for o in schema.objects}
    assert (found["good"].kind, found["good"].columns) == ("view", ("number", "a"))
    assert (found["broken"].kind, found["broken"].columns) == ("view", ())
    assert (found["tr"].kind, found["tr"].table) == ("trigger", "t")
    assert (found["docs"].kind, found["docs"].detail, found["docs"].columns) == (
        "virtual table",
        "fts5",
        ("title", "body"),
    )
    assert found["old docs"].detail == "fts4"
    assert (found["docs_data"].kind, found["docs_data"].table) == ("shadow table", "docs")
    assert (found["old docs_segdir"].kind, found["old docs_segdir"].table) == ("shadow table", "old docs")
    assert (found["box_node"].kind, found["box_node"].table) == ("shadow table", "box")
    assert found["sqlite_sequence"].kind == found["sqlite_stat1"].kind == "internal table"
    assert len(found) == len(schema.objects)


def test_a_virtual_table_whose_module_is_missing() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE words_data (id INTEGER PRIMARY KEY, block BLOB)")
        db.execute("CREATE TABLE place_more (a)")
        db.execute("PRAGMA writable_schema = ON")
        insert = "INSERT INTO sqlite_master VALUES ('table', ?, ?, 0, ?)"
        for name, module in (("words", "fts5"), ("place", "spatial_thing")):
            db.execute(insert, (name, name, f"CREATE VIRTUAL TABLE {name} USING {module}(a)"))
        db.execute("PRAGMA writable_schema = RESET")
        schema = read_schema_sync(db)
    kinds = {o.name: o for o in schema.objects}
    assert kinds["place"] == SourceObject(
        "virtual table", "place", None, "CREATE VIRTUAL TABLE place USING spatial_thing(a)", "spatial_thing"
    )
    assert (kinds["words_data"].kind, kinds["words_data"].table) == ("shadow table", "words")
    assert [t.name for t in schema.tables] == ["place_more"]


def test_settings_of_the_file() -> None:
    schema = schema_of(
        "PRAGMA encoding = 'UTF-16be'",
        "PRAGMA page_size = 1024",
        "PRAGMA user_version = 7",
        "PRAGMA application_id = 99",
        'CREATE TABLE "é" (a)',
    )
    assert (schema.encoding, schema.page_size_bytes, schema.user_version) == ("UTF-16be", 1024, 7)
    assert (schema.application_id, schema.page_count, schema.tables[0].name) == (99, 2, "é")


def test_sequences_of_a_damaged_table() -> None:
    table = table_of(
        "CREATE TABLE T (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "CREATE TABLE other (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO sqlite_sequence VALUES ('T', 5), ('T', 9), ('T', 'x'), ('gone', 3)",
    )
    assert table.sequence == 9


def test_text_that_cannot_be_read_is_said_and_never_raised() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a INT CHECK (a > 0), b TEXT)")
        db.execute("CREATE INDEX i ON t (lower(b)) WHERE a > 1")
        schema = read_schema_sync(db)
        facts = classify(db, list_entries(db), table_list=True)
        assert facts.kinds == {"t": "table"}
    assert schema.tables[0].unparsed == ""
    for text in ("", "CREATE TABLE t", "CREATE TABLE t (a, b", "CREATE TABLE t ('a", "CREATE TABLE t (,)", "garbage ("):
        with pytest.raises(Unreadable):
            read_table(text)
    for text in ("", "CREATE INDEX i ON t (a", "CREATE INDEX i ON t (a) WHY b"):
        with pytest.raises(Unreadable):
            read_index(text)
    assert virtual_module("CREATE VIRTUAL TABLE x") == ""
    assert virtual_module("CREATE VIRTUAL TABLE 'x") == ""


def test_tokens() -> None:
    text = "a'b''c'\"d\"\"\"[e]]`f`x'0A' X'' 1.5e+3.5 0xFFé_1$ <> /* open"
    kinds = [(token.kind, token.text) for token in tokenize(text)]
    assert kinds == [
        ("word", "a"),
        ("string", "'b''c'"),
        ("quoted", '"d"""'),
        ("quoted", "[e]"),
        ("other", "]"),
        ("quoted", "`f`"),
        ("blob", "x'0A'"),
        ("blob", "X''"),
        ("number", "1.5e+3"),
        ("number", ".5"),
        ("number", "0xFF"),
        ("word", "é_1$"),
        ("other", "<>"),
    ]
    assert tokenize('"d"""')[0].name == 'd"'


def copied(path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(path, tmp_path / "copy.db"))


@pytest.mark.parametrize("name", CORPUS_NAMES)
async def test_corpus_every_object_once_and_every_text_read(
    corpus: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    connection = await connect(copied(corpus(name), tmp_path), "ro")
    try:
        schema = await read_schema(connection)
    finally:
        await connection.close()
    assert [(t.name, t.unparsed) for t in schema.tables if t.unparsed] == []
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        listed = db.execute("SELECT name, type, sql FROM sqlite_master").fetchall()
        entries = list_entries(db)
        assert classify(db, entries, table_list=True) == classify(db, entries, table_list=False)
    names = [t.name for t in schema.tables] + [o.name for o in schema.objects]
    assert sorted(names) == sorted(n for n, kind, _ in listed if kind != "index")
    shadows = {o.name for o in schema.objects if o.kind == "shadow table"}
    indexes = [i.name for t in schema.tables for i in t.indexes]
    assert sorted(indexes) == sorted(n for n, kind, _ in listed if kind == "index" and n not in shadows)
    # every CHECK of the texts is somewhere
    wanted = sum(
        len(re.findall(r"\bcheck\s*\(", sql or "", re.IGNORECASE)) for _, kind, sql in listed if kind == "table"
    )
    assert sum(len(t.checks) for t in schema.tables) == wanted


async def test_corpus_details(corpus: Callable[[str], Path], tmp_path: Path) -> None:
    connection = await connect(copied(corpus("sakila"), tmp_path), "ro")
    try:
        schema = await read_schema(connection)
    finally:
        await connection.close()
    film = schema.table("FILM")
    assert film is not None
    assert film.checks[1].expression == "rating in ('G','PG','PG-13','R','NC-17')"
    assert sum(o.kind == "trigger" for o in schema.objects) == 30
    assert {f.parent for f in film.foreign_keys} == {"language"}


async def test_a_broken_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (a)")
        db.commit()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABEL"))
    connection = await connect(path, "ro")
    try:
        with pytest.raises(SourceUnreadable, match="malformed"):
            await read_schema(connection)
    finally:
        await connection.close()
