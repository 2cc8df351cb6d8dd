"""Plans of real SQLite files: keys, indexes, foreign keys, names, and an account of every object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fix_corpus import CORPUS_NAMES
from fix_plan import Source, SourceOf

from copier.errors import PlanError, UsageError
from copier.plan.existing import ExistingColumn, ExistingTable
from copier.plan.file import dump_plan
from copier.plan.model import ColumnPlan, IndexPlan, Plan, TablePlan
from copier.plan.pgtype import PgType, parse_type
from copier.plan.source import SourceSchema
from copier.plan.unindexed import proposed_indexes

UUIDS = ("8f14e45f-ceea-467f-a0e6-91d4c2d4c8a1", "45c48cce-2e2d-4fbd-aa1a-fc51c7c6ad26")


def table(plan: Plan, name: str) -> TablePlan:
    found = plan.table(name)
    assert found is not None
    return found


def column(plan: Plan, table_name: str, name: str) -> ColumnPlan:
    return next(c for c in table(plan, table_name).columns if c.source == name)


def index(plan: Plan, table_name: str, name: str) -> IndexPlan:
    return next(i for i in table(plan, table_name).indexes if i.name == name)


def details(plan: Plan, kind: str) -> dict[str, str]:
    return {note.name: note.detail for note in plan.notes if note.kind == kind}


async def test_keys(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT);
        CREATE TABLE b (p TEXT, q INT, v, PRIMARY KEY (q, p)) WITHOUT ROWID;
        CREATE TABLE c (rowid TEXT, v);
        CREATE TABLE d (code TEXT PRIMARY KEY, v);
        INSERT INTO d VALUES (NULL, 1), ('x', 2);
        INSERT INTO a VALUES (7, 'x'); DELETE FROM a;
    """)
    plan = source.plan()
    a, b, c, d = (table(plan, name) for name in "abcd")
    assert (a.key in (("id",), ("rowid",)), a.key_is_rowid, a.sequence) == (True, True, 7)
    assert a.identity is not None
    assert [(i.name, i.constraint, i.columns) for i in a.indexes] == [("a_pkey", "primary key", ("id",))]
    assert (b.key, b.key_is_rowid, b.identity_columns) == (("q", "p"), False, ("q", "p"))
    assert b.indexes[0].columns == ("q", "p")
    assert c.key == ("_rowid_",)
    assert (c.indexes, c.identity_columns) == ((), ())
    assert d.indexes[0].constraint == "unique"
    assert any("holds 1 NULL, which" in warning for warning in plan.warnings)


async def test_indexes(source_of: SourceOf) -> None:
    source = await source_of(
        """
        CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT, email TEXT COLLATE NOCASE UNIQUE, z TEXT, UNIQUE (a, b));
        CREATE INDEX plain ON t (b DESC, a);
        CREATE UNIQUE INDEX part ON t (a) WHERE b > 5;
        CREATE INDEX expr ON t (lower(a), b);
        CREATE INDEX nocase ON t (a COLLATE NOCASE DESC);
        CREATE INDEX odd ON t (random_thing(a)) WHERE 0;
    """.replace("CREATE INDEX odd ON t (random_thing(a)) WHERE 0;", "")
    )
    plan = source.plan()
    found = {i.name: i for i in table(plan, "t").indexes}
    assert found["plain"].parts == ('"b" DESC', '"a"')
    assert found["plain"].columns == ("b", "a")
    assert (found["part"].unique, found["part"].constraint) == (True, "")
    assert found["part"].where is not None
    assert '"b" > 5' in found["part"].where
    assert found["expr"].columns == ()
    assert "lower" in found["expr"].parts[0]
    assert found["nocase"].parts == ('lower("a") DESC',)
    assert found["t_a_b_key"].constraint == "unique"
    assert (found["t_email_key"].constraint, found["t_email_key"].parts) == ("", ('lower("email")',))
    assert any("NOCASE" in warning for warning in plan.warnings)


async def test_a_nocase_primary_key_stays_unique_in_any_case(source_of: SourceOf) -> None:
    plan = (await source_of("CREATE TABLE t (name TEXT COLLATE NOCASE PRIMARY KEY)")).plan()
    assert [(i.constraint, i.unique, i.parts) for i in table(plan, "t").indexes] == [
        ("primary key", True, ('"name"',)),
        ("", True, ('lower("name")',)),
    ]


async def test_foreign_keys(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE parent (a INT, b INT, c INT, PRIMARY KEY (a, b), UNIQUE (c));
        CREATE TABLE child (id INTEGER PRIMARY KEY, a INT, b INT, c INT, n INT, up INT REFERENCES Child,
            FOREIGN KEY (a, b) REFERENCES PARENT ON DELETE CASCADE ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED,
            FOREIGN KEY (c) REFERENCES parent (C),
            FOREIGN KEY (n) REFERENCES parent (b),
            FOREIGN KEY (n) REFERENCES nowhere (b),
            FOREIGN KEY (n) REFERENCES parent,
            FOREIGN KEY (n) REFERENCES parent (z));
        INSERT INTO child VALUES (1, 5, 5, NULL, NULL, 1);
    """)
    plan = source.plan()
    keys = {key.columns: key for key in table(plan, "child").foreign_keys}
    assert set(keys) == {("a", "b"), ("c",), ("up",)}
    pair = keys["a", "b"]
    assert (pair.parent_table, pair.parent_columns, pair.orphans) == ("parent", ("a", "b"), 1)
    assert (pair.on_delete, pair.on_update, pair.deferrable, pair.initially_deferred) == (
        "CASCADE",
        "SET NULL",
        True,
        True,
    )
    assert (keys["up",].parent_table, keys["up",].parent_columns) == ("child", ("id",))
    listed = " / ".join(details(plan, "foreign key").values())
    for reason in ("not a unique key", "not a table of the source", "1 column cannot reference 2", "no column 'z'"):
        assert reason in listed
    assert len([n for n in plan.notes if n.kind == "foreign key"]) == 4


async def test_circular_foreign_keys_and_a_parent_left_out(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE a (id INTEGER PRIMARY KEY, b INT REFERENCES b, c INT REFERENCES c);
        CREATE TABLE b (id INTEGER PRIMARY KEY, a INT REFERENCES a);
        CREATE TABLE c (id INTEGER PRIMARY KEY);
    """)
    plan = source.plan(exclude=("C*",))
    assert [key.parent_table for t in plan.tables for key in t.foreign_keys] == ["b", "a"]
    assert "left out" in details(plan, "foreign key")["c -> c"]
    assert "left out" in details(plan, "table")["c"]
    with pytest.raises(UsageError, match="matches no table"):
        source.plan(tables=("nosuch*",))


async def test_hex_digits_are_uuids_where_something_says_so(source_of: SourceOf) -> None:
    """An MD5 or a token read back with hyphens would be another text to the application."""
    one, two = (uuid.replace("-", "") for uuid in UUIDS)
    source = await source_of(f"""
        CREATE TABLE files (id INTEGER PRIMARY KEY, etag2 TEXT, content TEXT, owner_uuid TEXT);
        CREATE TABLE made (id TEXT PRIMARY KEY DEFAULT (lower(hex(randomblob(16)))));
        CREATE TABLE uses (made TEXT REFERENCES made, plain TEXT);
        CREATE TABLE deep (made TEXT REFERENCES uses (made), same TEXT REFERENCES blobs);
        CREATE TABLE blobs (key TEXT PRIMARY KEY);
        CREATE UNIQUE INDEX uses_made ON uses (made);
        INSERT INTO files VALUES (1, '{one}', '{two}', '{two}');
        INSERT INTO made VALUES ('{one}');
        INSERT INTO uses VALUES ('{one}', '{one}');
        INSERT INTO blobs VALUES ('{two}');
        INSERT INTO deep VALUES ('{one}', '{two}');
    """)
    for plan in (source.plan(), source.plan(tables=("files", "uses", "deep"))):
        found = {f"{t.source}.{c.source}": c.type.sql for t in plan.tables for c in t.columns if c.source != "id"}
        assert {name for name, type_ in found.items() if type_ == "uuid"} == {
            "files.owner_uuid", "uses.made", "deep.made"
        }  # fmt: skip
        assert found["files.content"] == found["uses.plain"] == found["deep.same"] == "text"
        assert "nothing says that they are UUIDs" in column(plan, "files", "content").reason
    assert column(source.plan(), "made", "id").type == PgType("uuid")
    assert column(source.plan(), "blobs", "key").type == PgType("text")


async def test_types_agree_across_foreign_keys(source_of: SourceOf) -> None:
    one, two = UUIDS
    source = await source_of(f"""
        CREATE TABLE users (id TEXT PRIMARY KEY);
        CREATE TABLE posts (id TEXT PRIMARY KEY, author TEXT REFERENCES users, editor TEXT REFERENCES users);
        CREATE TABLE likes (post TEXT REFERENCES posts, stray TEXT REFERENCES posts);
        CREATE TABLE nums (id INTEGER PRIMARY KEY);
        CREATE TABLE refs (n TEXT REFERENCES nums, m TEXT REFERENCES nums);
        INSERT INTO users VALUES ('{one}');
        INSERT INTO posts VALUES ('{two}', '{one}', NULL);
        INSERT INTO likes VALUES ('{two}', 'gone');
        INSERT INTO nums VALUES (1);
        INSERT INTO refs VALUES ('1', 'x');
    """)
    plan = source.plan()
    assert column(plan, "users", "id").type == PgType("uuid")
    assert column(plan, "posts", "editor").type == PgType("uuid")
    assert column(plan, "likes", "stray").type == PgType("text")
    assert column(plan, "posts", "id").type == PgType("text")
    assert column(plan, "likes", "post").type == PgType("text")
    assert "across a foreign key" in column(plan, "likes", "post").reason
    assert column(plan, "refs", "n").type == PgType("int8")
    assert column(plan, "refs", "m").type == PgType("text")
    assert "do not allow one type" in details(plan, "foreign key")["m -> nums"]


async def test_names(source_of: SourceOf) -> None:
    long = "x" * 70
    source = await source_of(f"""
        CREATE TABLE "Order Details" ("OrderID" INT, "xmin" INT, "{long}" INT);
        CREATE INDEX "order_details" ON "Order Details" ("OrderID");
        CREATE INDEX "{long}i" ON "Order Details" ("OrderID");
        CREATE VIEW "All Orders" AS SELECT 1;
    """)
    exact, snake = source.plan(), source.plan(names="snake")
    assert [c.target for c in table(exact, "Order Details").columns][:2] == ["OrderID", "xmin_"]
    assert table(snake, "Order Details").target == "order_details"
    names = [i.name for i in table(snake, "Order Details").indexes]
    assert "order_details_1" in names
    assert all(len(c.target) <= 63 for c in table(exact, "Order Details").columns)
    assert len({*names}) == 2


async def test_names_that_collide_are_refused(source_of: SourceOf) -> None:
    source = await source_of('CREATE TABLE "A b" (x); CREATE TABLE a_b (x, "Y z", y_z);')
    with pytest.raises(PlanError, match=r'"A b" and "a_b" would both become "a_b"'):
        source.plan(names="snake")
    with pytest.raises(PlanError, match=r'"Y z" and "y_z" would both become "y_z"'):
        source.plan(names="snake", exclude=("A b",))


async def test_definitions(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE t (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x', odd TEXT DEFAULT (sqlite_version()),
            n INT CHECK (n > 0), twice INT AS (n * 2) STORED, thrice INT AS (twice + n),
            CONSTRAINT strange CHECK (name <> sqlite_version())
        );
        INSERT INTO t (name, n) VALUES ('a', 1);
    """)
    plan = source.plan()
    t = table(plan, "t")
    assert column(plan, "t", "name").default is not None
    assert column(plan, "t", "name").default_constant == "x"
    assert column(plan, "t", "name").not_null
    assert column(plan, "t", "odd").default is None
    assert "sqlite_version" in details(plan, "default")["odd"]
    assert [check.name for check in t.checks] == ["t_n_check"]
    assert "strange" in details(plan, "check")
    assert column(plan, "t", "twice").generated is not None
    assert column(plan, "t", "thrice").generated is None
    assert "another generated column" in details(plan, "generated column")["thrice"]


async def test_rowid_as_a_column(source_of: SourceOf) -> None:
    source = await source_of("CREATE TABLE t (a); CREATE TABLE u (id INTEGER PRIMARY KEY); CREATE TABLE v (rowid, a)")
    plan = source.plan(with_rowid=True)
    assert (column(plan, "t", "rowid").type, column(plan, "t", "rowid").identity) == (PgType("int8"), False)
    assert [c.source for c in table(plan, "u").columns] == ["id"]
    assert [c.source for c in table(plan, "v").columns] == ["rowid", "a", "_rowid_"]


async def test_full_text_search_becomes_a_proposal(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT, body TEXT);
        INSERT INTO posts VALUES (1, 'a', 'b');
        CREATE VIRTUAL TABLE posts_fts USING fts5(title, body, content='posts', content_rowid='id');
    """)
    plan = source.plan()
    proposal = details(plan, "virtual table")["posts_fts"]
    assert "to_tsvector" in proposal
    assert "USING gin" in proposal
    added = "\n".join(part.strip() for part in proposal.partition("plan file: ")[2].split(" and add_indexes"))
    text = f'format = 1\n[table."posts"]\n{added.replace(chr(10), chr(10) + "add_indexes")}\n'
    loaded = source.load(text)
    assert [name for name, _ in table(loaded, "posts").added_columns] == ["title_body_tsvector"]
    assert [name for name, _ in table(loaded, "posts").added_indexes] == ["posts_fts_idx"]


async def test_bookkeeping_and_changes_are_said(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
        CREATE TABLE t (ok BOOLEAN, created_at INTEGER);
        INSERT INTO t VALUES (1, 1700000000);
    """)
    said = " ".join(source.plan().warnings)
    for words in ("Alembic", "t.ok", "t.created_at"):
        assert words in said
    assert "t.ok" not in " ".join(source.plan(types="faithful").warnings)


async def test_another_kind_than_declared_is_said(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE t (name TEXT, amount INTEGER, price REAL, body BLOB, note TEXT);
        INSERT INTO t VALUES (x'ff', 'a', 1.5, x'00', 'b'), (x'fe', 'b', 2, x'01', 'c');
    """)
    for types in ("native", "faithful"):
        said = source.plan(types=types).warnings
        assert [w.partition(".")[0] for w in said if w.startswith("Now ")] == [
            "Now bytea, declared as text: t",
            "Now text, declared as numbers: t",
        ]
        assert "t.name." in said[0]
        assert "t.amount." in said[1]


def existing(name: str, *columns: tuple[str, str, bool]) -> ExistingTable:
    return ExistingTable(name, tuple(ExistingColumn(c, parse_type(t), t, not_null) for c, t, not_null in columns))


async def test_an_existing_table_is_the_plan(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE UserPosts (
            id INTEGER PRIMARY KEY, createdAt INTEGER DEFAULT 0, Old TEXT, flag INT CHECK (flag < 2)
        );
        CREATE INDEX posts_flag ON UserPosts (flag);
        INSERT INTO UserPosts VALUES (1, 1700000000000, 'x', 1);
    """)
    there = existing(
        "user_posts", ("id", "integer", True), ("created_at", "timestamptz", True), ("flag", "boolean", False),
        ("tenant", "uuid", True),
    )  # fmt: skip
    plan = source.plan({"user_posts": there})
    t = table(plan, "UserPosts")
    assert (t.target, t.existing, t.indexes, t.checks) == ("user_posts", True, (), ())
    assert [(c.target, c.type.wire, c.cast) for c in t.columns] == [
        ("id", "int4", "int"),
        ("created_at", "timestamptz", "epoch_ms"),
        ("flag", "bool", "bool"),
    ]
    assert "not in the target" in details(plan, "column")["Old"]
    assert any('"tenant" is NOT NULL' in warning for warning in plan.warnings)
    assert "exists already" in details(plan, "index")["posts_flag"]
    assert_accounted(source.schema, plan)


# Every object of the source is in the plan or in exactly one note.

Object = tuple[str, str, str]


def source_objects(schema: SourceSchema) -> Iterator[Object]:
    """Yield (kind, table, name) of everything; unnamed things count by table and kind alone."""
    for t in schema.tables:
        yield "table", t.name, t.name
        if t.primary_key:
            yield "primary key", t.name, ""
        for one in t.indexes:
            if one.origin != "pk":
                yield "index", t.name, one.name
        yield from (("foreign key", t.name, "") for _ in t.foreign_keys)
        yield from (("check", t.name, "") for _ in t.checks)
        for c in t.columns:
            if c.default is not None and c.default.strip("() ").lower() != "null":
                yield "default", t.name, c.name
            if c.generated:
                yield "generated column", t.name, c.name
    for one in schema.objects:
        yield one.kind, "", one.name


def planned_objects(plan: Plan) -> Iterator[Object]:
    for t in plan.tables:
        yield "table", t.source, t.source
        for one in t.indexes:
            if one.constraint == "primary key" or one.name.endswith("_pkey"):
                yield "primary key", t.source, ""
            elif one.source_name:
                yield "index", t.source, one.source_name
        yield from (("foreign key", t.source, "") for _ in t.foreign_keys)
        yield from (("check", t.source, "") for _ in t.checks)
        for c in t.columns:
            if c.default is not None and not t.existing:
                yield "default", t.source, c.source
            if c.generated is not None and not t.existing:
                yield "generated column", t.source, c.source
    yield from (("view", "", view.source) for view in plan.views)
    yield from (("trigger", "", trigger.source) for trigger in plan.triggers)
    for note in plan.notes:
        kind = "index" if note.kind == "unique" else note.kind
        if kind in ("primary key", "foreign key", "check"):
            yield kind, note.table or "", ""
        elif kind in ("view", "trigger") or kind.endswith(" table"):
            yield kind, "", note.name
        elif kind != "column":
            yield kind, note.table or "", note.name


def assert_accounted(schema: SourceSchema, plan: Plan) -> None:
    wanted, found = Counter(source_objects(schema)), Counter(planned_objects(plan))
    nulls = {item for item in found if item[0] == "default"} - set(wanted)  # DEFAULT NULL may be noted, and need not
    assert not (wanted - found), "not accounted for"
    assert not {item for item in found - wanted if item not in nulls}, "accounted for twice, or made up"


@pytest.mark.parametrize("types", ["native", "faithful"])
@pytest.mark.parametrize("name", CORPUS_NAMES)
async def test_every_object_is_accounted_for(
    name: str, types: str, corpus: Callable[[str], Path], source_of: SourceOf
) -> None:
    source: Source = await source_of(corpus(name))
    plan = source.plan(types=types)
    assert_accounted(source.schema, plan)
    assert len({c for t in plan.tables for c in [t.target]}) == len(plan.tables)
    first = source.schema.tables[0].name
    assert_accounted(source.schema, source.plan(types=types, exclude=(first,)))


async def test_foreign_keys_without_an_index_are_said_and_proposed(source_of: SourceOf) -> None:
    source = await source_of("""
        CREATE TABLE p (id INTEGER PRIMARY KEY);
        CREATE TABLE a (x INT REFERENCES p, y INT REFERENCES p, z INT REFERENCES p, "W" INT REFERENCES p);
        CREATE INDEX a_y ON a (y DESC, x);
        CREATE INDEX a_z ON a (z) WHERE z > 5;
        CREATE TABLE b (x INT REFERENCES p, y INT REFERENCES p, PRIMARY KEY (x, y)) WITHOUT ROWID;
    """)
    plan = source.plan()
    said = next(warning for warning in plan.warnings if "without an index" in warning)
    assert "a.W, a.z, a.x, b.y." in said
    proposed = {name: proposed_indexes(table(plan, name)) for name in ("p", "a", "b")}
    wanted = {"a_W_idx": '("W")', "a_z_idx": '("z")', "a_x_idx": '("x")'}
    assert proposed == {
        "p": {},
        "a": {name: f"USING btree {columns}" for name, columns in wanted.items()},
        "b": {"b_y_idx": 'USING btree ("y")'},
    }
    uncommented = dump_plan(plan).replace("# add_indexes = { a_", "add_indexes = { a_")
    loaded = source.load(uncommented)
    assert dict(table(loaded, "a").added_indexes) == proposed["a"]
    assert proposed_indexes(table(loaded, "a")) == {}
    assert "without an index: b.y." in " ".join(loaded.warnings)
    added = 'add_indexes = { i = "USING gin (x)", j = "USING btree (z)", k = "(\\"W\\") WHERE y > 1" }'
    half = source.load(f"format = 1\n[table.a]\n{added}")
    assert set(proposed_indexes(table(half, "a"))) == {"a_W_idx", "a_x_idx"}


@pytest.mark.parametrize(("word", "kept"), [("maybe", True), ("no", False)])
async def test_a_stray_word_in_a_boolean_column_costs_its_row_and_no_index(
    source_of: SourceOf, word: str, kept: bool
) -> None:
    """SQLite does not find a row with 'no' by gone = 0, but PostgreSQL would; 'maybe' does not arrive there."""
    source = await source_of(f"""
        CREATE TABLE t (id INTEGER PRIMARY KEY, gone BOOLEAN);
        CREATE INDEX live ON t (id) WHERE gone = 0;
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        INSERT INTO t SELECT i, CASE i WHEN 7 THEN '{word}' ELSE i % 2 END FROM n;
    """)
    plan = source.plan()
    assert (column(plan, "t", "gone").type.sql, column(plan, "t", "gone").policy) == ("boolean", "reject")
    assert [(i.name, i.where) for i in table(plan, "t").indexes if i.where] == (
        [("live", '"gone" = FALSE')] if kept else []
    )
    assert ("live" in details(plan, "index")) is not kept


async def test_constraints_keep_the_names_they_have(source_of: SourceOf) -> None:
    """Later migrations of the application drop and alter them by name."""
    source = await source_of("""
        CREATE TABLE parent (id INTEGER CONSTRAINT pk_parent PRIMARY KEY, code TEXT CONSTRAINT uq_code UNIQUE);
        CREATE TABLE child (
            "A" INT NOT NULL, b INT CONSTRAINT fk_b REFERENCES parent (id), c INT UNIQUE REFERENCES parent,
            CONSTRAINT pk_child PRIMARY KEY ("A", b), CONSTRAINT "uq Child" UNIQUE (b, a), UNIQUE (c, b),
            CONSTRAINT fk_c FOREIGN KEY (c) REFERENCES parent (id), CONSTRAINT positive CHECK (c > 0)
        );
        CREATE TABLE other (id TEXT CONSTRAINT pk_child PRIMARY KEY, p INT CONSTRAINT parent REFERENCES parent);
    """)
    plan = source.plan()
    names = {t.source: [i.name for i in t.indexes] + [k.name for k in t.foreign_keys] for t in plan.tables}
    assert names["parent"] == ["pk_parent", "uq_code"]
    assert names["child"] == [
        *("pk_child", "child_c_key", "uq Child", "child_c_b_key"),
        *("fk_c", "child_c_fkey", "fk_b"),
    ]
    assert names["other"] == ["pk_child_1", "parent_1"], "an index and a table share one name space"
    lower = source.plan(names="snake")
    assert table(lower, "child").indexes[2].name == "uq_child"
