"""The plan file: what is written reads back as the same plan, and every mistake has its line and its choices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fix_corpus import CORPUS_NAMES
from fix_plan import Source, SourceOf
from hypothesis import given
from hypothesis import strategies as st

from copier.errors import PlanError
from copier.plan.existing import ExistingColumn, ExistingTable
from copier.plan.file import dump_plan
from copier.plan.model import Plan
from copier.plan.pgtype import PgType
from copier.plan.reasons import needs_person
from copier.plan.toml import line_of, read_toml, toml_string, toml_table

SQL = """
    CREATE TABLE users (id TEXT PRIMARY KEY, "odd ""name" TEXT DEFAULT 'a\\b''"', created_at INTEGER);
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY, sender TEXT REFERENCES users, body TEXT NOT NULL, ok BOOLEAN DEFAULT 1
    );
    CREATE INDEX messages_body ON messages (body);
    CREATE TABLE empty_one (x DECIMAL(10, 2));
    INSERT INTO users VALUES ('8f14e45f-ceea-467f-a0e6-91d4c2d4c8a1', 'x', 1700000000);
    INSERT INTO messages VALUES (1, '8f14e45f-ceea-467f-a0e6-91d4c2d4c8a1', 'hello', 1);
"""


@pytest.fixture
async def source(source_of: SourceOf) -> Source:
    return await source_of(SQL)


def test_a_file_reads_back_as_the_plan(source: Source) -> None:
    plan = source.plan(names="snake", schema="app")
    text = dump_plan(plan)
    assert source.load(text) == plan
    assert dump_plan(source.load(text)) == text
    assert '"id" = { target = "id", from = "TEXT", type = "uuid", cast = "uuid", policy = "reject"' in text


@pytest.mark.parametrize("name", CORPUS_NAMES)
async def test_files_of_real_databases_read_back(name: str, corpus: Callable[[str], Path], source_of: SourceOf) -> None:
    source = await source_of(corpus(name))
    plan = source.plan()
    assert source.load(dump_plan(plan)) == plan


def test_what_the_file_says_is_done(source: Source) -> None:
    text = """
format = 1
schema = "app"
types = "faithful"
extensions = ["pg_trgm"]
after_data = ["SELECT 1"]
[table."users"]
target = "people"
[table."users".columns]
"id" = { target = "uid", type = "uuid", policy = "fail", reason = "mine" }
"odd ""name" = { skip = true }
"created_at" = { type = "timestamptz", cast = "epoch_s", not_null = true, default = "now()" }
[table."messages"]
drop_indexes = ["messages_body"]
add_columns = { tsv = "tsvector GENERATED ALWAYS AS (to_tsvector('english', text_body)) STORED" }
add_indexes = { messages_tsv = "USING gin (tsv)" }
[table.messages.columns]
body = { target = "text_body", default = "" }
ok = { default = "" }
sender = { type = "uuid", cast = "uuid" }
[table.empty_one]
skip = true
""".replace('"odd ""name"', r'"odd \"name"')
    plan = source.load(text)
    users, messages = plan.tables
    assert (plan.schema, plan.types, plan.extensions, plan.after_data) == (
        "app",
        "faithful",
        ("pg_trgm",),
        ("SELECT 1",),
    )
    assert [(c.target, c.type.sql, c.cast, c.policy) for c in users.columns] == [
        ("uid", "uuid", "uuid", "fail"),
        ("created_at", "timestamptz", "epoch_s", "reject"),
    ]
    assert users.columns[0].reason == "mine"
    assert (users.columns[1].not_null, users.columns[1].default) == (True, "now()")
    assert messages.foreign_keys[0].parent_table == "people"
    assert messages.foreign_keys[0].parent_columns == ("uid",)
    assert [i.name for i in messages.indexes] == ["messages_pkey"]
    assert messages.added_indexes == (("messages_tsv", "USING gin (tsv)"),)
    assert [c.default for c in messages.columns if c.source == "ok"] == [None]
    notes = {(note.kind, note.name): note.detail for note in plan.notes}
    assert notes["table", "empty_one"] == "skipped by the plan file"
    assert notes["column", 'odd "name'] == "skipped by the plan file"
    assert notes["index", "messages_body"] == "dropped by the plan file"
    assert 'column "id" is not in the plan file' in " ".join(plan.warnings)
    assert skips(source.load(dump_plan(plan))) == skips(plan)


def skips(plan: Plan) -> set[tuple[str, str]]:
    return {(note.kind, note.name) for note in plan.notes if "by the plan file" in note.detail}


GOOD = """\
format = 1

[table."messages"]
target = "messages"
[table."messages".columns]
"id" = { target = "id", type = "bigint", cast = "int", policy = "reject" }
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('type = "bigint"', 'type = "uid"', 6, r"""table "messages", column "id": type 'uid' is not .* uuid"""),
        ('cast = "int"', 'cast = "uuid"', 6, r'cast "uuid" does not lead to bigint; choose one of int'),
        ('type = "bigint"', 'type = "text"', 6, r'cast "int" does not lead to text; choose one of text'),
        ('policy = "reject"', 'policy = "drop"', 6, r'policy "drop" is not one of reject, fail'),
        ("policy =", "polcy =", 6, r"unknown key 'polcy'; choose one of cast, default, from"),
        ('"id" =', '"ID2" =', 6, r'column "ID2": the source has no such column; the table has "body", "id"'),
        ('target = "id"', 'target = ""', 6, r"cannot be a name"),
        ('target = "id"', "target = 5", 6, r"target = 5: .*string"),
        ('target = "id"', 'default = "1"', 6, r"identity column cannot have a default"),
        ('target = "id"', "skip = true", 6, None),
        ("messages", "massages", 3, r'table "massages": the source has no such table; it has "empty_one"'),
        ('target = "messages"', 'taget = "messages"', 4, r"""messages": unknown key 'taget'; choose one of add_"""),
        ('target = "messages"', 'drop_indexes = ["x"]', 4, r'no index "x"; the table has "messages_body"'),
        ("format = 1", "format = 2", 1, r"format = 2"),
        ("format = 1", "formt = 1", 1, r"unknown key 'formt'; choose one of after_data, ext"),
        ("format = 1", 'format = 1\ntypes = "nativ"', 2, r"types = 'nativ'.*faithful"),
        ("format = 1", "format = ", 1, r"this is not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_line_and_its_choices(
    source: Source, old: str, new: str, line: int, words: str | None
) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new)
    if words is None:
        source.load(text)
        return
    with pytest.raises(PlanError, match=words) as caught:
        source.load(text)
    assert caught.value.line == line, caught.value


STRING, LIST = "write a string in quotes", r'write a list of strings, such as ["a", "b"]'
WRONG_TOP = [
    ("schema = ''", "schema = '': write a name; without the line it is public"),
    ("schema = 5", f"schema = 5: {STRING}"),
    ("types = 5", "types = 5: write 'native' or 'faithful'"),
    ("names = true", "names = true: write 'exact', 'lower' or 'snake'"),
    ("extensions = 'a'", f"extensions = 'a': {LIST}"),
    ("after_data = ['a', 5]", f"entry 2 of after_data = 5: {STRING}"),
    ("settled = { a = 5 }", f"settled = {{'a': 5}}: {LIST}"),
    ("table = 5", 'table = 5: write a section [table."NAME"]'),
    ("table = { users = 5 }", 'table "users" = 5: write a section [table."users"]'),
]
WRONG_TABLE = [
    ("target = 5", f"target = 5: {STRING}"),
    ("skip = 'no'", "skip = 'no': write true or false"),
    ("columns = 5", 'columns = 5: write a section [table."users".columns], with a line per column'),
    ("columns = { id = 5 }", 'column "id" = 5: write its keys in braces, such as { skip = true }'),
    ("columns = { id = 'uuid' }", "column \"id\" = 'uuid': write its keys in braces"),
    ("add_columns = []", 'add_columns = []: write names and definitions in braces: { name = "definition" }'),
    ("add_indexes = { i = 5 }", f'add_indexes "i" = 5: {STRING}'),
    ("drop_indexes = 'i'", f"drop_indexes = 'i': {LIST}"),
    ("drop_indexes = [['i']]", f"entry 1 of drop_indexes = ['i']: {STRING}"),
    ("target = [" + "'many', " * 20 + "]", "'many', 'ma ...: write a string"),
]
WRONG_COLUMN = [
    *((f"{key} = 5", f"{key} = 5: {STRING}") for key in ("target", "from", "type", "cast", "policy", "reason")),
    ("default = false", f"default = false: {STRING}"),
    ("not_null = 'yes'", "not_null = 'yes': write true or false"),
    ("skip = 1", "skip = 1: write true or false"),
    ("cast = ''", 'cast "" does not lead to'),
    ("policy = ''", 'policy "" is not one of'),
    ("type = ''", "type '' is not"),
]


@pytest.mark.parametrize(
    ("line", "head", "words"),
    [
        *(("{}", "", words) for words in WRONG_TOP),
        *(("[table.users]\n{}", 'table "users": ', words) for words in WRONG_TABLE),
        *(("[table.users.columns]\nid = {{ {} }}", 'table "users", column "id": ', words) for words in WRONG_COLUMN),
    ],
)
def test_a_wrong_value_is_told_in_the_words_of_the_file(
    source: Source, line: str, head: str, words: tuple[str, str]
) -> None:
    text = f"format = 1\n{line.format(words[0])}\n"
    with pytest.raises(PlanError) as caught:
        source.load(text)
    told = str(caught.value)
    assert told.startswith(f"line {text.count(chr(10))}: {head}"), told
    assert words[1] in told
    assert not any(word in told.lower() for word in ("dictionary", "instance", "entry,", "input"))


async def test_settled_objects_stay_in_the_report_and_need_nobody(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE t (id INTEGER PRIMARY KEY, day TEXT);
        CREATE INDEX by_day ON t (date(day));
        CREATE INDEX plain ON t (day);
        CREATE TABLE log (n INTEGER);
        CREATE TRIGGER noted AFTER INSERT ON t BEGIN INSERT OR REPLACE INTO log VALUES (new.id); END;
        CREATE TRIGGER other AFTER DELETE ON t BEGIN INSERT OR REPLACE INTO log VALUES (old.id); END;
        CREATE VIEW days AS SELECT day FROM t;
        CREATE VIEW ids AS SELECT id FROM t;
        CREATE VIRTUAL TABLE words USING fts5 (day, content='t', content_rowid='id');
    """)
    loaded = source.load('format = 1\nsettled = ["by_day", "noted", "days", "words", "plain"]\n')
    assert [view.source for view in loaded.views] == ["ids"]
    assert [note.name for note in loaded.notes if needs_person(note)] == ["other"]
    settled = {note.name: note.detail for note in loaded.notes if note.detail.startswith("settled by the plan file")}
    assert set(settled) == {"by_day", "noted", "days", "words"}
    assert "INTO log" in settled["noted"], "what it was stays"
    assert "plain" in {index.name for table in loaded.tables for index in table.indexes}, "what carries over is made"
    assert source.load(dump_plan(loaded)).settled == loaded.settled
    with pytest.raises(PlanError, match=r'line 2: settled: the source has no "wrods"; it has "by_day", "days"'):
        source.load('format = 1\nsettled = ["wrods"]\n')


def test_names_that_collide_are_refused(source: Source) -> None:
    with pytest.raises(PlanError, match=r'the plan file: .* would both become "body"'):
        source.load(GOOD.replace('target = "id"', 'target = "body"'))


def test_an_empty_file_keeps_the_planners_choices(source: Source) -> None:
    plan = source.load("format = 1\n")
    assert plan.tables == source.plan().tables
    assert sum("is not in the plan file" in warning for warning in plan.warnings) == 3


def test_globs_narrow_a_file(source: Source) -> None:
    text = dump_plan(source.plan())
    assert [t.source for t in source.load(text, tables=("users",)).tables] == ["users"]


def test_types_of_the_target_stand_over_the_file(source: Source) -> None:
    text = dump_plan(source.plan())
    mood = PgType("text", name=("public", "mood"))
    there = {"users": ExistingTable("users", (ExistingColumn("id", mood, "mood"),))}
    plan = source.load(text, there)
    assert plan.tables[0].columns[0].type == mood
    assert "is mood in the target, not uuid as in the plan file" in " ".join(plan.warnings)
    again = source.load(dump_plan(plan), there)
    assert again.tables == plan.tables


@given(st.text())
def test_strings_read_back(text: str) -> None:
    safe = text.encode(errors="replace").decode()
    assert read_toml(f"a = {toml_string(safe)}") == {"a": safe}
    assert read_toml(f"a = {toml_table({safe: safe, 'b': True})}")["a"] == {safe: safe, "b": True} | (
        {"b": True} if safe == "b" else {}
    )


def test_lines_are_found_in_any_spelling() -> None:
    text = "a = 1\n# [x]\n[table.'m n'.columns]\n'id' = { type = 1 }\n\"k=\\\"1\" = 2\n  [ table . b ]  # c\nx.y = 3\n"
    assert line_of(text, ("table", "m n", "columns", "id", "type")) == 4
    assert line_of(text, ("table", "m n", "columns", 'k="1')) == 5
    assert line_of(text, ("table", "b", "x", "y")) == 7
    assert line_of(text, ("table", "b", "z")) == 6
    assert line_of(text, ("a",)) == 1
    assert line_of(text, ("none",)) == 0
