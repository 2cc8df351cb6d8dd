"""The DDL of plans: its text, and what a real server says to it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from fix_corpus import CORPUS_NAMES
from fix_plan import SourceOf

from copier.plan import ddl
from copier.plan.model import ColumnPlan, ForeignKeyPlan, IndexPlan, Plan, TablePlan, ViewPlan
from copier.plan.pgtype import PgType
from copier.plan.script import script
from copier.postgres.sequences import IdColumn, advance_sequences

ID = ColumnPlan("id", "id", "INTEGER", PgType("int8"), "int", identity=True, not_null=True)
BODY = ColumnPlan("Body", 'Bo"dy', "TEXT", PgType("text"), "text", not_null=True, default="'it''s'")
SIZE = ColumnPlan("size", "size", "INT", PgType("int8"), "int", generated='length("Bo""dy")')
TABLE = TablePlan(
    "notes",
    "notes",
    (ID, BODY, SIZE),
    indexes=(
        IndexPlan("notes_body", "notes_body", ('lower("Bo""dy") DESC',), unique=True, where='"id" > 0'),
        IndexPlan("notes_pkey", "", ('"id"',), unique=True, constraint="primary key", columns=("id",)),
    ),
    foreign_keys=(ForeignKeyPlan("notes_fk", ("id",), "notes", ("id",), on_delete="CASCADE", deferrable=True),),
    added_columns=(("tsv", """tsvector GENERATED ALWAYS AS (to_tsvector('english', "Bo""dy")) STORED"""),),
    added_indexes=(("notes_tsv", "USING gin (tsv)"),),
    sequence=41,
)
PLAN = Plan((TABLE,), schema="my app", views=(ViewPlan("v", "v", 'SELECT "id" FROM "my app"."notes"', ""),))


async def run(pg: asyncpg.Connection, statements: list[ddl.Statement]) -> None:
    for statement in statements:
        await pg.execute(statement.sql)
        if statement.validate_sql:
            await pg.execute(statement.validate_sql)


async def create(pg: asyncpg.Connection, plan: Plan) -> list[ddl.Statement]:
    groups = [ddl.before_data(plan)]
    groups += [ddl.table_after_data(plan.schema, table) for table in plan.tables]
    groups += [ddl.constraints(plan), ddl.views(plan)]
    for group in groups:
        await run(pg, group)
    return [statement for group in groups for statement in group]


async def test_a_plan_is_created_and_undone(pg: asyncpg.Connection) -> None:
    done = await create(pg, PLAN)
    await pg.execute('INSERT INTO "my app".notes ("Bo""dy") VALUES (DEFAULT)')
    row = await pg.fetchrow('SELECT * FROM "my app".v JOIN "my app".notes USING (id)')
    assert (row["id"], row['Bo"dy'], row["size"]) == (1, "it's", 4)
    for statement in reversed(done):
        if statement.drop_sql:
            await pg.execute(statement.drop_sql)
    assert await pg.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'my app'") == 0


async def test_a_plain_table_has_no_expressions(pg: asyncpg.Connection) -> None:
    await run(pg, [ddl.before_data(PLAN)[0], ddl.create_table(PLAN.schema, ddl.plain_table(TABLE))])
    await pg.execute("""INSERT INTO "my app".notes ("Bo""dy", size) VALUES ('abc', 7)""")
    assert await pg.fetchval('SELECT size FROM "my app".notes') == 7


@pytest.mark.parametrize(
    ("max_id", "sequence", "following"),
    [(None, None, 1), (None, 41, 42), (7, 41, 42), (50, 41, 51), (-5, None, 1), (0, None, 1), (1, None, 2)],
)
async def test_the_sequence_goes_on_after_the_greatest_id(
    pg: asyncpg.Connection, max_id: int | None, sequence: int | None, following: int
) -> None:
    table = TablePlan("t", "T t", (ID,), sequence=sequence)
    await run(pg, ddl.before_data(Plan((table,))))
    if max_id is not None:
        await pg.execute('INSERT INTO "T t" VALUES ($1)', max_id)
    assert await advance_sequences(pg, "public", [IdColumn("T t", "id", sequence)]) == [following - 1]
    assert await pg.fetchval('INSERT INTO "T t" DEFAULT VALUES RETURNING id') == following


async def test_a_sequence_at_its_end_says_so(pg: asyncpg.Connection) -> None:
    table = TablePlan("t", "t", (ID,))
    await run(pg, ddl.before_data(Plan((table,))))
    await advance_sequences(pg, "public", [IdColumn("t", "id", 2**63 - 1)])
    with pytest.raises(asyncpg.SequenceGeneratorLimitExceededError):
        await pg.execute("INSERT INTO t DEFAULT VALUES")


async def test_sequences_are_found_among_columns_that_have_none(pg: asyncpg.Connection) -> None:
    await pg.execute("CREATE TABLE a (x int); CREATE TABLE b (n smallserial); CREATE TABLE c (i int)")
    await pg.execute("INSERT INTO b VALUES (12); INSERT INTO c VALUES (5)")
    columns = [IdColumn("a", "x", 5), IdColumn("b", "n", 2**40), IdColumn("c", "i", None)]
    assert await advance_sequences(pg, "public", columns) == [None, 2**15 - 1, None]
    assert await advance_sequences(pg, "public", [IdColumn("b", "n", 3)]) == [2**15 - 1], "never back"
    assert await advance_sequences(pg, "public", []) == []


async def test_a_constraint_in_two_steps_is_the_same(pg: asyncpg.Connection) -> None:
    shape = "SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p'"
    await run(pg, ddl.before_data(PLAN))
    [whole] = [s for s in ddl.table_after_data(PLAN.schema, TABLE) if s.kind == "primary key"]
    assert whole.index is not None
    await pg.execute(whole.sql)
    once = await pg.fetch(shape)
    await pg.execute(whole.drop_sql)
    await pg.execute(whole.index.sql)
    await pg.execute(whole.attach_sql)
    assert await pg.fetch(shape) == once
    with pytest.raises(asyncpg.DependentObjectsStillExistError):
        await pg.execute(whole.index.drop_sql)
    await pg.execute(whole.drop_sql)
    assert await pg.fetchval("SELECT count(*) FROM pg_indexes WHERE schemaname = $1", PLAN.schema) == 0


async def test_a_key_column_is_not_null_from_the_beginning(pg: asyncpg.Connection) -> None:
    """Else the key, made of its index, would read the whole table once more."""
    key = IndexPlan("t_pkey", "", ('"Bo""dy"',), unique=True, constraint="primary key", columns=('Bo"dy',))
    table = TablePlan("t", "t", (replace(BODY, not_null=False), SIZE), indexes=(key,))
    await run(pg, [ddl.create_table("public", table)])
    rows = await pg.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 AND attnotnull"
    )
    assert [row["attname"] for row in rows] == ['Bo"dy']


async def test_views_follow_what_they_select_from(source_of: SourceOf) -> None:
    plan = (
        await source_of("""
        CREATE TABLE t (x INT);
        CREATE VIEW b AS SELECT x FROM a;
        CREATE VIEW a AS SELECT x FROM t;
    """)
    ).plan()
    assert [statement.name for statement in ddl.views(plan)] == ["a", "b"]


async def psql(dsn: str, text: str, path: Path) -> tuple[int, str]:
    program = shutil.which("psql") or shutil.which("psql", path="/usr/lib/postgresql/15/bin")
    if program is None:
        pytest.skip("no psql on this machine")
    await asyncio.to_thread(path.write_text, text)
    arguments = ("-X", "-q", "-f", str(path), "-d", dsn)
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


async def test_psql_runs_the_script(pg_dsn: str, pg: asyncpg.Connection, tmp_path: Path) -> None:
    code, errors = await psql(pg_dsn, script(PLAN), tmp_path / "plan.sql")
    assert (code, errors) == (0, "")
    assert await pg.fetchval("""INSERT INTO "my app".notes ("Bo""dy") VALUES ('x') RETURNING id""") == 42


@pytest.mark.parametrize("names", ["exact", "lower"])
@pytest.mark.parametrize("name", CORPUS_NAMES)
async def test_psql_runs_the_script_of_real_databases(
    name: str, names: str, corpus: Callable[[str], Path], source_of: SourceOf, pg_dsn: str, tmp_path: Path
) -> None:
    plan = (await source_of(corpus(name))).plan(names=names)
    code, errors = await psql(pg_dsn, script(plan), tmp_path / "plan.sql")
    assert code == 0, errors
    refused = [line for line in errors.splitlines() if "ERROR" in line]
    assert not refused, refused


RICH = """
    CREATE TABLE "Parent Table" (
        "Key" TEXT COLLATE NOCASE PRIMARY KEY, code VARCHAR(5) UNIQUE, at DATETIME DEFAULT CURRENT_TIMESTAMP,
        flags INT DEFAULT 0 CHECK (flags IN (0, 1, 2)), ok BOOLEAN DEFAULT 1 CHECK (ok IN (0, 1)), "select" REAL,
        doc JSON DEFAULT '{}', raw BLOB DEFAULT x'00ff', price DECIMAL(10, 2) DEFAULT 1.5,
        uid TEXT DEFAULT (lower(hex(randomblob(16)))), body TEXT, words INT AS (length(body)) STORED,
        UNIQUE (code, flags)
    );
    CREATE TABLE child (
        id INTEGER PRIMARY KEY AUTOINCREMENT, parent TEXT REFERENCES "Parent Table" ON DELETE SET NULL,
        code TEXT, flags INT, up INTEGER REFERENCES child DEFERRABLE INITIALLY DEFERRED, created_at INTEGER,
        FOREIGN KEY (code, flags) REFERENCES "Parent Table" (code, flags) ON UPDATE CASCADE
    );
    CREATE INDEX i1 ON child (created_at DESC) WHERE flags > 0;
    CREATE UNIQUE INDEX i2 ON child (lower(code), flags);
    CREATE INDEX i3 ON child (code COLLATE NOCASE, up);
    CREATE TABLE wide ("LONGx" INT, "LONGy" INT);
    INSERT INTO "Parent Table" ("Key", code, at, doc, uid, body)
        VALUES ('k', 'c', '2024-01-01', '{"a": 1}', '8f14e45fceea467fa0e691d4c2d4c8a1', 'two words');
    INSERT INTO child VALUES (5, 'k', 'c', 0, NULL, 1700000000);
""".replace("LONG", "x" * 70)


@pytest.mark.parametrize("types", ["native", "faithful"])
@pytest.mark.parametrize("names", ["exact", "snake"])
async def test_every_kind_of_object_is_accepted(
    names: str, types: str, source_of: SourceOf, pg_dsn: str, pg: asyncpg.Connection, tmp_path: Path
) -> None:
    plan = (await source_of(RICH)).plan(names=names, types=types, schema="x")
    code, errors = await psql(pg_dsn, script(plan), tmp_path / "plan.sql")
    assert (code, errors) == (0, "")
    assert not plan.notes or {note.kind for note in plan.notes} <= {"internal table"}
    parent = plan.tables[0].target
    await pg.execute(
        f'INSERT INTO x."{parent}" ("{plan.tables[0].columns[0].target}", body) VALUES ($1, $2)', "q", "abc"
    )
    row = await pg.fetchrow(f'SELECT * FROM x."{parent}"')
    assert (row["words"], row["flags"], row["raw"], str(row["price"])) == (
        3,
        0,
        b"\x00\xff",
        "1.50"[: 4 if types == "native" else 3],
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await pg.execute(f'INSERT INTO x."{parent}" ("{plan.tables[0].columns[0].target}") VALUES ($1)', "Q")
    assert await pg.fetchval("INSERT INTO x.child (flags) VALUES (NULL) RETURNING id") == 6
