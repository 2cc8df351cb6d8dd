"""Target tables that somebody else made: their types are the plan, and what they have is respected."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import asyncpg
import pytest

from copier import CopierError, Settings, migrate, migration
from copier.errors import RowRefused, RunBusy, SourceUnreadable, TargetUnusable, UsageError
from copier.events import Event, Message

Pg = asyncpg.Connection


def make(path: Path, sql: str) -> Path:
    with sqlite3.connect(path) as db:
        db.executescript(sql)
    db.close()
    return path


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return make(
        tmp_path / "people.db",
        """
        CREATE TABLE Person (Id INTEGER PRIMARY KEY, FullName TEXT, Born TEXT, Seen INTEGER, Active INTEGER, Role TEXT);
        INSERT INTO Person VALUES (1, 'Ada', '1815-12-10', 1700000000, 1, 'admin'),
                                  (2, 'Bob', NULL, 1700000001, 0, 'user');
        CREATE TABLE post (id INTEGER PRIMARY KEY, person INTEGER, title TEXT);
        INSERT INTO post VALUES (1, 1, 'first'), (2, 2, 'second');
        """,
    )


@pytest.mark.parametrize(
    ("there", "said"),
    [((), "2 tables not in the target: Person, post"), (("post",), "1 table not in the target: Person")],
)
async def test_tables_that_data_misses_are_counted(
    people: Path, there: tuple[str, ...], said: str, pg_dsn: str, pg: Pg
) -> None:
    for name in there:
        await pg.execute(f"CREATE TABLE {name} (id integer PRIMARY KEY, person integer, title text)")
    with pytest.raises(UsageError) as caught:
        await migration.data(Settings(sqlite=people, postgres=pg_dsn))
    assert str(caught.value) == said


async def make_target(pg: Pg) -> None:
    await pg.execute("CREATE TYPE role AS ENUM ('user', 'admin')")
    await pg.execute(
        "CREATE TABLE person (id serial PRIMARY KEY, full_name varchar(10) NOT NULL, born date, seen timestamptz,"
        " active boolean, role role, note text DEFAULT 'kept')"
    )
    await pg.execute("CREATE TABLE post (id integer PRIMARY KEY, person integer REFERENCES person, title text)")
    await pg.execute("CREATE INDEX post_title ON post (title) WHERE title <> ''")
    await pg.execute(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN NEW.title := upper(NEW.title); RETURN NEW; END'"
    )
    await pg.execute("CREATE TRIGGER post_shout BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION shout()")


async def structure(pg: Pg) -> list[tuple[str, ...]]:
    rows = await pg.fetch(
        "SELECT 'index', indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) || convalidated::text FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype <> 'n'"
        " UNION ALL SELECT 'trigger', tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
    )
    return [tuple(row) for row in rows]


async def test_their_types_are_the_plan_and_their_structure_comes_back(people: Path, pg_dsn: str, pg: Pg) -> None:
    await make_target(pg)
    before = await structure(pg)
    report = await migrate(Settings(sqlite=people, postgres=pg_dsn, no_backup=True))
    assert [t.verified for t in report.tables] == ["content", "content"]
    rows = await pg.fetch(
        "SELECT id, full_name, born::text, seen::text, active, role::text, note FROM person ORDER BY 1"
    )
    assert [tuple(r) for r in rows] == [
        (1, "Ada", "1815-12-10", "2023-11-14 22:13:20+00", True, "admin", "kept"),
        (2, "Bob", None, "2023-11-14 22:13:21+00", False, "user", "kept"),
    ]
    titles = [r[0] for r in await pg.fetch("SELECT title FROM post ORDER BY id")]
    assert titles == ["first", "second"], "triggers are set aside while loading"
    assert await structure(pg) == before
    assert await pg.fetchval("INSERT INTO person (full_name) VALUES ('new') RETURNING id") == 3


async def test_a_column_they_lack_and_one_they_need_are_said(people: Path, pg_dsn: str, pg: Pg) -> None:
    await pg.execute("CREATE TABLE post (id bigint, title text, must text NOT NULL DEFAULT 'x', need int NOT NULL)")
    messages: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Message):
            messages.append(event.text)

    report = await migrate(
        Settings(sqlite=people, postgres=pg_dsn, no_backup=True, tables=("post",), on_reject="quarantine"), listen
    )
    assert any(note.kind == "column" and note.name == "person" for note in report.objects)
    assert any("need" in warning for warning in report.warnings)
    assert any("need" in message for message in messages), "said before anything is copied"
    assert report.outcome == "attention"
    [table] = report.tables
    assert (table.source_rows, table.copied_rows, table.rejected_rows) == (2, 0, 2)
    assert "need" in report.rejects[0].reason


async def test_rows_the_server_refuses_are_rejected_with_its_words(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    rows = ", ".join(f"({i}, {i % 400})" for i in range(1, 2001))
    path = make(tmp_path / "a.db", f"CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES {rows};")
    await pg.execute("CREATE TABLE t (id bigint PRIMARY KEY, n bigint UNIQUE CHECK (n <> 7))")
    report = await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True))
    [table] = report.tables
    assert (table.copied_rows, table.rejected_rows, table.verified) == (399, 1601, "content")
    reasons = {
        r[0]
        for r in await pg.fetch("SELECT DISTINCT regexp_replace(reason, ' (Key|Failing).*', '') FROM sqlite2pg.reject")
    }
    assert reasons == {
        'duplicate key value violates unique constraint "t_n_key"',
        'new row for relation "t" violates check constraint "t_n_check"',
    }
    stored = await pg.fetchrow(
        "SELECT key::text, row_data::text FROM sqlite2pg.reject WHERE reason LIKE '%check%' LIMIT 1"
    )
    assert stored is not None
    assert tuple(stored) == ("[7]", '[["integer","7"],["integer","7"]]')
    again = await migration.check(Settings(sqlite=path, postgres=pg_dsn))
    assert again.mismatches == []


async def test_appending_what_is_there_already_rejects_every_row_and_harms_nothing(
    tmp_path: Path, pg_dsn: str, pg: Pg
) -> None:
    path = make(
        tmp_path / "a.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT);"
        "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 9000)"
        " INSERT INTO t SELECT i, 'x' FROM s;",
    )
    await pg.execute("CREATE TABLE t (id bigint PRIMARY KEY, n text)")
    await pg.execute("INSERT INTO t SELECT i, 'theirs' FROM generate_series(1, 9000) i")
    report = await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, existing="append"))
    [table] = report.tables
    assert (table.copied_rows, table.rejected_rows) == (0, 9000)
    assert await pg.fetchval("SELECT count(*) FROM t WHERE n = 'theirs'") == 9000


async def test_truncate_and_replace_are_choices(people: Path, pg_dsn: str, pg: Pg) -> None:
    await pg.execute("CREATE TABLE post (id bigint, person bigint, title text); INSERT INTO post VALUES (9, 9, 'old')")
    settings = Settings(sqlite=people, postgres=pg_dsn, no_backup=True, tables=("post",))
    with pytest.raises(TargetUnusable, match="post"):
        await migrate(settings)
    assert await pg.fetchval("SELECT count(*) FROM post") == 1
    truncating = Settings(sqlite=people, postgres=pg_dsn, no_backup=True, tables=("post",), existing="truncate")
    assert (await migrate(truncating)).exit_code in (0, 3)
    assert await pg.fetchval("SELECT array_agg(title ORDER BY id) FROM post") == ["first", "second"]
    replacing = Settings(sqlite=people, postgres=pg_dsn, no_backup=True, tables=("post",), existing="replace")
    assert (await migrate(replacing)).outcome == "verified"
    assert await pg.fetchval("SELECT count(*) FROM pg_constraint WHERE conname = 'post_pkey'") == 1


ORPHANS = """
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent (id));
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (1, 1), (2, 99), (3, NULL), (4, 98);
"""


async def test_orphans_are_a_choice(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = make(tmp_path / "o.db", ORPHANS)
    with pytest.raises(SourceUnreadable, match="2 rows of child"):
        await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, orphans="fail"))
    report = await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, orphans="quarantine"))
    assert {(t.source, t.copied_rows, t.rejected_rows) for t in report.tables} == {("parent", 1, 0), ("child", 2, 2)}
    assert await pg.fetchval(
        "SELECT convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid = 'child'::regclass"
    )
    await migration.rollback(Settings(postgres=pg_dsn), no_dump=True)
    report = await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True))
    assert report.outcome == "attention"
    assert await pg.fetchval("SELECT count(*) FROM child") == 4
    assert not await pg.fetchval(
        "SELECT convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid = 'child'::regclass"
    )
    [bad] = [c for c in report.checks if c["name"].startswith("constraint")]
    assert "2 rows" in bad["detail"]


async def test_on_reject_fail_stops_before_the_row_is_lost(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    rows = ", ".join(f"({i}, {i})" for i in range(1, 300))
    path = make(
        tmp_path / "f.db",
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES {rows}, (300, 'x');",
    )
    with pytest.raises(RowRefused, match="not an integer") as caught:
        await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, on_reject="fail"))
    assert (caught.value.table, caught.value.column, caught.value.key) == ("t", "n", "id=300")
    assert await pg.fetchval("SELECT count(*) FROM sqlite2pg.reject") == 0


async def test_a_second_run_into_the_same_schema_is_refused_with_the_holder(people: Path, pg_dsn: str, pg: Pg) -> None:
    await pg.execute("SELECT pg_advisory_lock(hashtextextended('sqlite2pg:public', 0))")
    with pytest.raises(RunBusy, match=f"backend {pg.get_server_pid()}"):
        await migrate(Settings(sqlite=people, postgres=pg_dsn, no_backup=True))


async def test_cancelling_leaves_a_run_that_goes_on(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = make(
        tmp_path / "c.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT);"
        "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 50000)"
        " INSERT INTO t SELECT i, hex(zeroblob(100)) FROM s;",
    )
    settings = Settings(sqlite=path, postgres=pg_dsn, no_backup=True, chunk_bytes=64 << 10)
    progressed = asyncio.Event()

    def listen(event: Event) -> None:
        if type(event).__name__ == "TableProgress" and getattr(event, "phase", "") == "data":
            progressed.set()

    task = asyncio.create_task(migrate(settings, listen))
    await progressed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    busy = await pg.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state <> 'idle'"
    )
    assert busy == 0, "every COPY has ended"
    kept = await pg.fetchval("SELECT count(*) FROM t")
    assert 0 < kept < 50_000
    report = await migrate(settings)
    assert report.outcome == "verified"
    assert await pg.fetchval("SELECT count(*) FROM t") == 50_000


async def test_the_password_is_in_nothing_that_is_said(people: Path, pg_dsn: str, pg: Pg) -> None:
    await pg.execute("CREATE ROLE secretive LOGIN PASSWORD 'open-sesame-42'")
    try:
        address = pg_dsn.replace("postgres@", "secretive:open-sesame-42@")
        with pytest.raises(CopierError) as caught:
            await migrate(Settings(sqlite=people, postgres=address, schema="nowhere", no_backup=True))
        text = repr(caught.value) + str(caught.value) + caught.value.hint + repr(caught.value.report)
        assert "sesame" not in text
        await pg.execute("GRANT CREATE ON SCHEMA public TO secretive")
        await pg.execute(f'GRANT CREATE ON DATABASE "{await pg.fetchval("SELECT current_database()")}" TO secretive')
        report = await migrate(Settings(sqlite=people, postgres=address, no_backup=True))
        assert report.outcome == "verified"
        assert b"sesame" not in report.to_json()
    finally:
        await pg.execute("DROP OWNED BY secretive CASCADE; DROP ROLE secretive")


async def test_hostile_names_are_only_names(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = make(
        tmp_path / "h.db",
        """
        CREATE TABLE "x""; DROP TABLE victim; --" ("a""b" TEXT DEFAULT 'it''s; DROP', "new
line" INTEGER PRIMARY KEY, "select" TEXT);
        INSERT INTO "x""; DROP TABLE victim; --" VALUES ('1', 2, 'three');
        CREATE INDEX "i'; DROP TABLE victim; --" ON "x""; DROP TABLE victim; --" ("a""b");
        """,
    )
    await pg.execute("CREATE TABLE victim (x int)")
    report = await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True))
    assert report.outcome == "verified"
    assert await pg.fetchval("SELECT to_regclass('victim') IS NOT NULL")
    row = await pg.fetchrow('SELECT * FROM "x""; DROP TABLE victim; --"')
    assert row is not None
    assert tuple(row.items()) == (('a"b', "1"), ("new\nline", 2), ("select", "three"))


async def test_a_run_that_never_ends_gives_back_what_it_set_aside(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = make(
        tmp_path / "s.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT);"
        "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 50000)"
        " INSERT INTO t SELECT i, hex(zeroblob(100)) FROM s;",
    )
    await pg.execute("CREATE TABLE t (id bigint PRIMARY KEY, b text); CREATE INDEX t_b ON t (b)")
    before = await structure(pg)
    task = asyncio.create_task(migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, chunk_bytes=64 << 10)))
    while not task.done() and not await pg.fetchval("SELECT EXISTS (SELECT FROM t)"):
        await asyncio.sleep(0)
    assert await structure(pg) != before, "the index is set aside while loading"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await structure(pg) != before
    result = await migration.rollback(Settings(postgres=pg_dsn), no_dump=True)
    assert result.put_back == ["index t_b"]
    assert await structure(pg) == before
    assert not await pg.fetchval("SELECT EXISTS (SELECT FROM t)")


async def test_an_ordinary_role_that_owns_one_schema_is_enough(people: Path, pg_dsn: str, pg: Pg) -> None:
    await pg.execute("CREATE ROLE plain LOGIN; CREATE SCHEMA theirs AUTHORIZATION plain")
    try:
        settings = Settings(
            sqlite=people,
            postgres=pg_dsn.replace("postgres@", "plain@"),
            schema="theirs",
            ledger_schema="theirs",
            no_backup=True,
        )
        assert (await migrate(settings)).outcome == "verified"
        assert (await migration.check(settings)).outcome == "verified"
        assert await pg.fetchval("SELECT count(*) FROM theirs.sqlite2pg_run") == 1
        await migration.rollback(settings, no_dump=True)
        left = "SELECT count(*) FROM pg_class WHERE relnamespace = 'theirs'::regnamespace"
        assert await pg.fetchval(left) == 0
        assert await pg.fetchval("SELECT to_regnamespace('theirs') IS NOT NULL"), "we did not make it"
    finally:
        await pg.execute("DROP OWNED BY plain CASCADE; DROP ROLE plain")


async def test_the_rowid_can_come_along(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = make(tmp_path / "r.db", "CREATE TABLE t (x TEXT); INSERT INTO t (rowid, x) VALUES (7, 'a'), (-3, 'b');")
    report = await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, with_rowid=True))
    assert report.outcome == "verified"
    assert [tuple(r) for r in await pg.fetch("SELECT rowid, x FROM t ORDER BY 1")] == [(-3, "b"), (7, "a")]


async def test_globs_choose_tables_and_other_foreign_keys_stay(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = make(
        tmp_path / "g.db",
        """
        CREATE TABLE users (id INTEGER PRIMARY KEY);
        CREATE TABLE rooms (id INTEGER PRIMARY KEY);
        CREATE TABLE seats (u INTEGER REFERENCES users (id), r INTEGER REFERENCES rooms (id));
        INSERT INTO users VALUES (1); INSERT INTO rooms VALUES (2); INSERT INTO seats VALUES (1, 2);
        """,
    )
    report = await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True, exclude=("ro*",)))
    assert {t.source for t in report.tables} == {"users", "seats"}
    keys = await pg.fetch(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'seats'::regclass AND contype = 'f'"
    )
    assert [row[0] for row in keys] == ["FOREIGN KEY (u) REFERENCES users(id)"]
    assert any(n.kind == "foreign key" and "rooms" in n.name and n.status == "skipped" for n in report.objects)


async def test_json_that_jsonb_does_not_keep_whole_is_said(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    path = make(
        tmp_path / "j.db",
        """
        CREATE TABLE t (id INTEGER PRIMARY KEY, m TEXT);
        INSERT INTO t VALUES (1, '{"a":1,"a":2}'), (2, '{"b":1}');
        """,
    )
    await pg.execute("CREATE TABLE t (id bigint PRIMARY KEY, m jsonb)")
    report = await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True))
    assert [w for w in report.warnings if 'column "m": 1 JSON values' in w and "repeat a key" in w]
    await migration.rollback(Settings(postgres=pg_dsn), no_dump=True)
    await pg.execute("DROP TABLE t")
    assert (await migrate(Settings(sqlite=path, postgres=pg_dsn, no_backup=True))).outcome == "verified"
    assert await pg.fetchval("SELECT m FROM t WHERE id = 1") == '{"a":1,"a":2}', "by our own choice it stays text"


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    """300 rows of `many` with a word for a number, 1 of `few` without a date; `few` names parents that do not come."""
    return make(
        tmp_path / "untidy.db",
        """
        CREATE TABLE many (id INTEGER PRIMARY KEY, n TEXT);
        WITH RECURSIVE i (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 301)
        INSERT INTO many SELECT x, iif(x < 301, 'word', '7') FROM i;
        CREATE TABLE few (id INTEGER PRIMARY KEY, day TEXT, many INTEGER);
        INSERT INTO few VALUES (1, 'some day', 301), (2, '2024-02-29', 301), (3, '2024-02-29', 5);
        """,
    )


async def make_strict(pg: Pg) -> None:
    await pg.execute("CREATE TABLE many (id int PRIMARY KEY, n int)")
    await pg.execute("CREATE TABLE few (id int PRIMARY KEY, day date, many int CONSTRAINT few_many REFERENCES many)")


async def test_inspect_can_look_at_the_target_and_writes_nothing(untidy: Path, pg_dsn: str, pg: Pg) -> None:
    await make_strict(pg)
    settings = Settings(sqlite=untidy, postgres=pg_dsn)
    assert not [p for p in (await migration.inspect(settings)).problems if p.kind == "rejected"]
    found = await migration.inspect(settings, look_at_target=True)
    # Where most values do not fit the profile stops counting, and says "up to".
    assert [(p.kind, p.table, p.column, p.rows if p.exact else "up to") for p in found.problems] == [
        ("rejected", "many", "n", "up to"),
        ("rejected", "few", "day", 1),
    ]
    assert all(table.existing for table in found.tables)
    assert await pg.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = 'sqlite2pg'") == 0
    with pytest.raises(TargetUnusable):
        await migration.inspect(Settings(sqlite=untidy, postgres=pg_dsn.replace("?", "_nowhere?")), look_at_target=True)


async def test_a_script_says_which_tables_it_leaves_out(untidy: Path, pg_dsn: str, pg: Pg) -> None:
    await pg.execute("CREATE TABLE few (id int)")
    script = await migration.schema_script(Settings(sqlite=untidy, postgres=pg_dsn))
    assert '-- In the target already, and left as it is: "few"\n' in script
    assert script.count("CREATE TABLE") == 1


async def test_every_kind_of_reject_is_in_the_report_and_a_foreign_key_is_there_again(
    untidy: Path, pg_dsn: str, pg: Pg
) -> None:
    await make_strict(pg)
    settings = Settings(sqlite=untidy, postgres=pg_dsn, no_backup=True)
    report = await migration.data(settings)
    assert [(t.source, t.rejected_rows) for t in report.tables] == [("many", 300), ("few", 1)]
    assert len(report.rejects) == 100
    assert {(r.table, r.column) for r in report.rejects} == {("many", "n"), ("few", "day")}
    [note] = [o for o in report.objects if o.name == "few_many" and o.status == "failed"]
    assert note.detail.startswith("put back NOT VALID, so that only new rows are held to it: ")
    [check] = [c for c in report.checks if c["name"] == "constraint few_many of few"]
    assert check["detail"] == "not valid: 1 row violates it; new rows are held to it"
    await pg.execute("UPDATE few SET many = 301; ALTER TABLE few ADD CONSTRAINT late CHECK (id > 2) NOT VALID")
    again = {c["name"]: (c["ok"], c["detail"]) for c in (await migration.check(settings)).checks}
    assert again["constraint few_many of few"] == (False, "not valid, though no row violates it any more")
    assert again["constraint late of few"] == (False, "not valid: 1 row violates it; new rows are held to it")
    await pg.execute(check["hint"].removeprefix("correct the rows, then "))
    assert await pg.fetchval("SELECT convalidated FROM pg_constraint WHERE conname = 'few_many'")


async def test_orphans_are_counted_as_the_target_sees_them(tmp_path: Path, pg_dsn: str, pg: Pg) -> None:
    """In SQLite a UUID in capitals is another text; in PostgreSQL it is the same uuid."""
    one, two = "8f14e45f-ceea-467f-a0e6-91d4c2d4c8a1", "45c48cce-2e2d-4fbd-aa1a-fc51c7c6ad26"
    source = make(
        tmp_path / "u.db",
        f"CREATE TABLE p (id TEXT PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY, p TEXT REFERENCES p (id));"
        f"INSERT INTO p VALUES ('{one}'); INSERT INTO c VALUES (1, '{one.upper()}'), (2, '{one}'), (3, '{two}');",
    )
    report = await migrate(Settings(sqlite=source, postgres=pg_dsn, no_backup=True))
    details = [c["detail"] for c in report.checks if c["name"].startswith("constraint")]
    assert details == ["not valid: 1 row violates it; new rows are held to it"]
    [key] = [o for o in report.objects if o.kind == "foreign key"]
    assert "2 rows" not in key.detail
    assert "kept NOT VALID" in key.detail


async def test_a_column_only_a_trigger_fills_is_said_with_what_fills_it(people: Path, pg_dsn: str, pg: Pg) -> None:
    await pg.execute(
        "CREATE TABLE post (id integer PRIMARY KEY, person integer, title text, words tsvector, note text)"
    )
    await pg.execute(
        "CREATE TRIGGER search BEFORE INSERT OR UPDATE ON post FOR EACH ROW"
        " EXECUTE FUNCTION tsvector_update_trigger('words', 'pg_catalog.english', 'title')"
    )
    await pg.execute("CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    await pg.execute("CREATE TRIGGER silent BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION quiet()")
    await pg.execute("CREATE TRIGGER late AFTER INSERT ON post FOR EACH ROW EXECUTE FUNCTION quiet('words')")
    report = await migration.data(Settings(sqlite=people, postgres=pg_dsn, tables=("post",)))
    assert (report.outcome, [t.verified for t in report.tables]) == ("attention", ["content"])
    [note] = [o for o in report.objects if o.kind == "trigger"]
    assert (note.name, note.status) == ("search", "skipped")
    assert "leaves words empty: UPDATE" in note.detail
    assert any("trigger search of post did not run" in warning for warning in report.warnings)
    await pg.execute(note.detail.partition("empty: ")[2])
    assert await pg.fetchval("SELECT array_agg(words::text ORDER BY id) FROM post") == ["'first':1", "'second':1"]
    assert (await migration.check(Settings(sqlite=people, postgres=pg_dsn, tables=("post",)))).outcome == "verified"
