"""Triggers in both databases: after the same statements, the same rows; and which triggers are not translated."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fix_migrate import Migrated, MigrateOnce, full
from fix_plan import SourceOf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copier.config import Settings
from copier.plan import ddl
from copier.plan.names import literal, quote
from copier.run import retry

_ROOMS = """
CREATE TABLE @rooms (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0, total REAL DEFAULT 0, last TEXT);
CREATE TABLE @m (id INTEGER PRIMARY KEY, room INTEGER, body TEXT, qty INTEGER, gone INTEGER DEFAULT 0);
CREATE TABLE @log (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, m INTEGER, at DATETIME);
INSERT INTO @rooms (id, n) VALUES (1, 2), (2, 1), (3, 0);
INSERT INTO @m (id, room, body, qty) VALUES (1, 1, 'a', 5), (2, 1, 'b', 7), (3, 2, 'c', NULL);
INSERT INTO @log VALUES (1, 'start', NULL, '2024-01-01 00:00:00');
"""
_WORK = (
    "INSERT INTO @m (id, room, body, qty) VALUES (10, 1, 'x', 1), (11, 2, 'y', 20), (12, 1, 'z', NULL)",
    "INSERT INTO @m (id, room, body) SELECT 20 + id, room, body || '!' FROM @m WHERE id < 3",
    "UPDATE @m SET room = 2 WHERE room = 1 AND id < 12",
    "UPDATE @m SET room = NULL WHERE id = 11",
    "UPDATE @m SET qty = qty + 1, body = upper(body)",
    "UPDATE @m SET room = CASE room WHEN 1 THEN 2 ELSE 1 END",
    "UPDATE @m SET gone = 1 WHERE id IN (2, 10)",
    "DELETE FROM @m WHERE id IN (1, 3)",
    "DELETE FROM @m WHERE room IS NULL",
    "DELETE FROM @rooms WHERE id = 3",
    "INSERT INTO @m (id, room, body, qty) VALUES (40, 1, 'keep', 3)",
    "DELETE FROM @m WHERE id = 40",
)

SHAPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "counter": (
        """
        CREATE TRIGGER @i AFTER INSERT ON @m BEGIN UPDATE @rooms SET n = n + 1 WHERE id = NEW.room; END;
        CREATE TRIGGER @d AFTER DELETE ON @m BEGIN UPDATE @rooms SET n = n - 1 WHERE id = OLD.room; END;
        CREATE TRIGGER @u AFTER UPDATE OF room ON @m WHEN OLD.room IS NOT NEW.room BEGIN
          UPDATE @rooms SET n = n - 1 WHERE id = OLD.room; UPDATE @rooms SET n = n + 1 WHERE id = NEW.room; END;
        """,
        (),
    ),
    "sum_of_values": (
        """
        CREATE TRIGGER @i AFTER INSERT ON @m WHEN NEW.qty IS NOT NULL BEGIN
          UPDATE @rooms SET n = n + NEW.qty, total = total + NEW.qty * 0.5, last = NEW.body WHERE id = NEW.room; END;
        CREATE TRIGGER @d AFTER DELETE ON @m BEGIN
          UPDATE @rooms SET n = n - coalesce(OLD.qty, 0), total = max(total - 1, 0) WHERE id = OLD.room; END;
        """,
        (),
    ),
    "recount": (
        """
        CREATE TRIGGER @i AFTER INSERT ON @m BEGIN
          UPDATE @rooms SET n = (SELECT count(*) FROM @m WHERE @m.room = NEW.room) WHERE id = NEW.room; END;
        CREATE TRIGGER @d AFTER DELETE ON @m BEGIN
          UPDATE @rooms SET n = (SELECT count(*) FROM @m WHERE room = OLD.room AND qty > 0),
            last = (SELECT body FROM @m AS x WHERE x.room = @rooms.id ORDER BY x.id DESC LIMIT 1)
          WHERE @rooms.id = OLD.room; END;
        CREATE TRIGGER @u AFTER UPDATE OF room, gone ON @m BEGIN
          UPDATE @rooms SET n = (SELECT count(*) FROM @m WHERE room = OLD.room AND NOT gone) WHERE id = OLD.room;
          UPDATE @rooms SET n = (SELECT count(*) FROM @m WHERE room = NEW.room AND NOT gone) WHERE id = NEW.room; END;
        """,
        (),
    ),
    "audit": (
        """
        CREATE TRIGGER @i AFTER INSERT ON @m BEGIN
          INSERT INTO @log VALUES (NULL, 'insert ' || NEW.body, NEW.id, datetime('now')); END;
        CREATE TRIGGER @u AFTER UPDATE ON @m WHEN OLD.body <> NEW.body OR OLD.qty IS NOT NEW.qty BEGIN
          INSERT INTO @log (what, m, at) VALUES ('was ' || OLD.body, OLD.id, CURRENT_TIMESTAMP), ('is', NEW.qty, NULL);
          INSERT INTO @log (what) SELECT what FROM @log WHERE id = 1; END;
        CREATE TRIGGER @d BEFORE DELETE ON @m BEGIN
          INSERT INTO @log (what, m) SELECT body, room FROM @m WHERE id >= OLD.id ORDER BY id LIMIT 1; END;
        """,
        (),
    ),
    "children": (
        """
        CREATE TRIGGER @d AFTER DELETE ON @rooms BEGIN DELETE FROM @m WHERE room = OLD.id; END;
        CREATE TRIGGER @u AFTER UPDATE OF id ON @rooms BEGIN UPDATE @m SET room = NEW.id WHERE room = OLD.id; END;
        CREATE TRIGGER @md AFTER DELETE ON @m BEGIN INSERT INTO @log (what, m) VALUES ('gone', OLD.id); END;
        """,
        ("UPDATE @rooms SET id = 7 WHERE id = 2", "DELETE FROM @rooms WHERE id IN (1, 7)"),
    ),
    "cascade": (
        """
        CREATE TABLE @p (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0);
        CREATE TABLE @c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES @p (id) ON DELETE CASCADE, o INTEGER);
        CREATE TABLE @o (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 0);
        INSERT INTO @p VALUES (1, 2), (2, 1);
        INSERT INTO @o VALUES (1, 3);
        INSERT INTO @c VALUES (1, 1, 1), (2, 1, 1), (3, 2, 1);
        CREATE TRIGGER @c_d AFTER DELETE ON @c BEGIN
          UPDATE @p SET n = n - 1 WHERE id = OLD.p; UPDATE @o SET n = n - 1 WHERE id = OLD.o; END;
        CREATE TRIGGER @p_d BEFORE DELETE ON @p BEGIN UPDATE @o SET n = n + 100; END;
        """,
        ("DELETE FROM @c WHERE id = 3", "DELETE FROM @p WHERE id = 1"),
    ),
    "refusal": (
        """
        CREATE TRIGGER @d BEFORE DELETE ON @m WHEN OLD.body = 'keep' BEGIN SELECT RAISE(ABORT, 'it''s kept'); END;
        CREATE TRIGGER @i BEFORE INSERT ON @m BEGIN
          SELECT RAISE(ROLLBACK, 'no such room') WHERE NEW.room IS NOT NULL
            AND (SELECT id FROM @rooms WHERE id = NEW.room) IS NULL;
          SELECT CASE WHEN NEW.qty < 0 THEN RAISE(FAIL, 'below') WHEN NEW.qty > 90 THEN RAISE(IGNORE) ELSE 1 END;
          SELECT RAISE(ABORT, 'full') FROM @m WHERE room = NEW.room AND qty = 1 AND body = NEW.body; END;
        CREATE TRIGGER @u BEFORE UPDATE OF body ON @m BEGIN
          SELECT RAISE(ABORT, 'taken') FROM @m WHERE body = NEW.body AND id <> NEW.id; END;
        """,
        (
            "INSERT INTO @m (room, qty) VALUES (9, 1)",
            "INSERT INTO @m (room, qty) VALUES (1, -1)",
            "INSERT INTO @m (id, room, qty) VALUES (60, 1, 91), (61, 1, 1)",
            "UPDATE @m SET body = 'same'",
        ),
    ),
    "ignore_then_count": (
        """
        CREATE TABLE @days (day TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0, seen INTEGER);
        CREATE TRIGGER @i AFTER INSERT ON @m BEGIN
          INSERT OR IGNORE INTO @days (day) VALUES (NEW.body); UPDATE @days SET n = n + 1 WHERE day = NEW.body; END;
        CREATE TRIGGER @u AFTER UPDATE OF qty ON @m BEGIN
          INSERT INTO @days (day, n) VALUES (coalesce(NEW.body, '?'), 1)
            ON CONFLICT (day) DO UPDATE SET n = n + excluded.n, seen = NEW.qty WHERE n < 3; END;
        CREATE TRIGGER @d AFTER DELETE ON @m BEGIN
          INSERT INTO @days (day, n) SELECT 'd' || OLD.id, 0 WHERE OLD.qty > 1 ON CONFLICT DO NOTHING; END;
        """,
        (
            "INSERT INTO @m (id, body) VALUES (70, NULL), (71, 'x'), (72, 'x')",
            "UPDATE @m SET qty = 4",
            "DELETE FROM @m",
        ),
    ),
    "chain": (
        """
        CREATE TRIGGER @i AFTER INSERT ON @m BEGIN UPDATE @rooms SET n = n + 1 WHERE id = NEW.room; END;
        CREATE TRIGGER @r AFTER UPDATE OF n ON @rooms BEGIN
          INSERT INTO @log (what, m) VALUES (NEW.id || ' has ' || NEW.n, OLD.n); END;
        CREATE TRIGGER @l AFTER INSERT ON @log WHEN NEW.m > 2 BEGIN
          UPDATE @log SET at = datetime('now') WHERE id = NEW.id; END;
        """,
        (),
    ),
    "own_row_and_log": (
        """
        CREATE TRIGGER @u AFTER UPDATE ON @m BEGIN
          UPDATE @m SET qty = coalesce(NEW.qty, 0) + 100 WHERE id = NEW.id;
          INSERT INTO @log (what, m) VALUES ('updated', NEW.id); END;
        CREATE TRIGGER @i AFTER INSERT ON @m BEGIN
          UPDATE @m SET body = body || '.' || (SELECT count(*) FROM @rooms) WHERE id = NEW.id;
          UPDATE @rooms SET last = NEW.body WHERE id = NEW.room; END;
        """,
        (),
    ),
    "beside_touch": (
        """
        CREATE TABLE @t (id INTEGER PRIMARY KEY, room INTEGER, updated DATETIME);
        CREATE TRIGGER @touch AFTER UPDATE ON @t BEGIN UPDATE @t SET updated = datetime('now') WHERE id = NEW.id; END;
        CREATE TRIGGER @u AFTER UPDATE OF room ON @t BEGIN UPDATE @rooms SET n = n + 1 WHERE id = NEW.room; END;
        """,
        ("INSERT INTO @t (id, room) VALUES (1, 1), (2, 2)", "UPDATE @t SET room = 1", "UPDATE @t SET id = id + 5"),
    ),
    "touch_sets_off_touch": (
        """
        CREATE TABLE @t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER);
        CREATE TRIGGER @i AFTER INSERT ON @t BEGIN UPDATE @t SET a = 1 WHERE id = NEW.id; END;
        CREATE TRIGGER @u AFTER UPDATE ON @t BEGIN UPDATE @t SET b = 2 WHERE id = NEW.id; END;
        """,
        ("INSERT INTO @t (id) VALUES (1), (2)", "UPDATE @t SET a = 3 WHERE id = 2"),
    ),
    "view": (
        """
        CREATE VIEW @v AS SELECT m.id, m.body, r.id AS room, r.last AS last
          FROM @m AS m JOIN @rooms AS r ON r.id = m.room;
        CREATE TRIGGER @vi INSTEAD OF INSERT ON @v BEGIN
          INSERT INTO @m (id, body, room) VALUES (900, NEW.body, NEW.room); END;
        CREATE TRIGGER @vu INSTEAD OF UPDATE ON @v WHEN NEW.body IS NOT NULL BEGIN
          UPDATE @m SET body = NEW.body WHERE id = OLD.id; UPDATE @rooms SET last = NEW.last WHERE id = OLD.room; END;
        CREATE TRIGGER @vd INSTEAD OF DELETE ON @v BEGIN DELETE FROM @m WHERE id = OLD.id; END;
        """,
        (
            "INSERT INTO @v (id, body, room) VALUES (80, 'by view', 2)",
            "UPDATE @v SET body = 'changed', last = 'l' WHERE id = 2",
            "UPDATE @v SET body = NULL WHERE room = 2",
            "DELETE FROM @v WHERE room = 1",
        ),
    ),
    "types": (
        """
        CREATE TABLE @a (id INTEGER PRIMARY KEY, price DECIMAL(10,2), ok BOOLEAN, ts DATETIME, name VARCHAR(8));
        CREATE TABLE @b (id INTEGER PRIMARY KEY, a INTEGER, sum DECIMAL(10,2) DEFAULT 0, ok BOOLEAN, ts DATETIME,
                         name VARCHAR(8));
        INSERT INTO @a VALUES (1, 1.25, 1, '2024-01-01 00:00:00', 'x');
        INSERT INTO @b VALUES (1, 1, 1.25, 0, '2024-01-01 00:00:00', 'y');
        CREATE TRIGGER @i AFTER INSERT ON @a WHEN NEW.ok BEGIN
          INSERT INTO @b (a, sum, ok, ts, name)
            VALUES (NEW.id, coalesce(NEW.price, 0) + 1, NOT NEW.ok, NEW.ts, NEW.name);
          UPDATE @b SET sum = sum + NEW.price, ok = 1 WHERE a = 1; END;
        """,
        ("INSERT INTO @a (price, ok, ts, name) VALUES (2.5, TRUE, '2024-02-02 10:00:00', 'n')",
         "INSERT INTO @a (price, ok) VALUES (3.75, FALSE), (4.5, TRUE)"),
    ),
}  # fmt: skip


def _named(name: str, text: str) -> str:
    return text.replace("@", f"{name}_")


def _script(name: str) -> str:
    own = SHAPES[name][0]
    return _named(name, _ROOMS + own)


@pytest.fixture(scope="module")
def all_shapes(migrated_once: MigrateOnce, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migrated]:
    """All shapes in one file, each with tables of its own, and its copy."""
    path = tmp_path_factory.mktemp("triggers") / "a.db"
    with contextlib.closing(sqlite3.connect(path)) as lite:
        for name in SHAPES:
            lite.executescript(_script(name))
    with migrated_once(path) as found:
        yield found


class Sides:
    """The source and its copy, to be written alike."""

    def __init__(self, lite: sqlite3.Connection, pg: asyncpg.Connection) -> None:
        self.lite = lite
        self.pg = pg

    async def run(self, sql: str) -> bool:
        """Run a statement on both sides; return whether both took it. One side alone fails."""
        mine = theirs = ""
        try:
            self.lite.execute(sql)
        except sqlite3.Error as error:
            mine = str(error)
        try:
            await self.pg.execute(sql)
        except asyncpg.PostgresError as error:
            theirs = str(error)
        assert bool(mine) == bool(theirs), f"{sql}: SQLite: {mine or 'done'}; PostgreSQL: {theirs or 'done'}"
        assert not mine or mine == theirs or "constraint" in mine
        return not mine

    async def differences(self, prefix: str) -> dict[str, Any]:
        """Return the rows of tables that differ, of both sides."""
        names = self.lite.execute(
            f"SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB {literal(prefix + '_*')}"
        )
        found = {}
        for (table,) in names.fetchall():
            rows = self.lite.execute(f"SELECT * FROM {quote(table)}")
            # In which order one statement comes by its rows is nobody's promise: so the log's ids are not compared.
            columns = ", ".join(
                "NULL" if table.endswith("_log") and c[0] == "id" else quote(c[0]) for c in rows.description
            )
            rows = self.lite.execute(f"SELECT {columns} FROM {quote(table)}")
            mine = sorted((tuple(map(_shown, row)) for row in rows), key=repr)
            copied = await self.pg.fetch(f"SELECT {columns} FROM {quote(table)}")
            theirs = sorted((tuple(map(_shown, row)) for row in copied), key=repr)
            if mine != theirs:
                found[table] = (mine, theirs)
        return found


def _shown(value: Any) -> Any:
    """Return a value in the form both sides share; times of the present are all alike."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal | float):
        return round(float(value), 9)
    if isinstance(value, str) and value[4:5] == "-" and len(value) == 19:
        value = datetime.fromisoformat(value).replace(tzinfo=UTC)
    if isinstance(value, datetime):
        return "now" if abs((datetime.now(UTC) - value).total_seconds()) < 600 else value.isoformat()
    return value


@pytest.fixture
async def sides(all_shapes: Migrated) -> AsyncIterator[Sides]:
    """Both sides."""
    pg = await asyncpg.connect(all_shapes.dsn)
    try:
        with contextlib.closing(sqlite3.connect(all_shapes.path, isolation_level=None)) as lite:
            lite.execute("PRAGMA foreign_keys = ON")
            yield Sides(lite, pg)
    finally:
        await pg.close()


@pytest.mark.parametrize("name", SHAPES)
async def test_the_same_statements_leave_the_same_rows(name: str, all_shapes: Migrated, sides: Sides) -> None:
    mine = {n.name: n for n in all_shapes.report.objects if n.kind == "trigger" and n.name.startswith(f"{name}_")}
    assert {n.status for n in mine.values()} == {"translated"}, mine
    assert await sides.differences(name) == {}, "no trigger ran while the rows were copied"
    for statement in (*_WORK, *SHAPES[name][1]):
        await sides.run(_named(name, statement))
        assert await sides.differences(name) == {}, statement
    assert sides.lite.execute("SELECT total_changes()").fetchone()[0] > 5


_ROOM = st.sampled_from(("NULL", "1", "2", "3"))
_FEW = st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True).map(lambda ids: ", ".join(map(str, ids)))
_STATEMENTS = st.one_of(
    st.lists(st.tuples(_ROOM, st.sampled_from(("NULL", "0", "4"))), min_size=1, max_size=4).map(
        lambda rows: "INSERT INTO @m (id, room, qty) VALUES " + ", ".join(f"(?, {room}, {qty})" for room, qty in rows)
    ),
    st.tuples(_ROOM, _FEW).map(lambda t: f"UPDATE @m SET room = {t[0]} WHERE id IN ({t[1]})"),
    _FEW.map(lambda ids: f"UPDATE @m SET qty = coalesce(qty, 0) + 1, gone = 1 - gone WHERE id IN ({ids})"),
    _FEW.map(lambda ids: f"DELETE FROM @m WHERE id IN ({ids})"),
)
_COUNTS = ("counter", "recount", "sum_of_values")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(statements=st.lists(_STATEMENTS, min_size=1, max_size=8))
async def test_any_statements_leave_the_same_counts(sides: Sides, statements: list[str]) -> None:
    await sides.run("BEGIN")
    ids = itertools.count(4)
    for statement in ("DELETE FROM @m WHERE id > 3", *statements):
        while "?" in statement:
            statement = statement.replace("?", str(next(ids)), 1)
        for name in _COUNTS:
            assert await sides.run(_named(name, statement))
    for name in _COUNTS:
        assert await sides.differences(name) == {}
    await sides.run("ROLLBACK")


_PLAIN = """
CREATE TABLE rooms (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0, peak INTEGER, name TEXT UNIQUE);
CREATE TABLE m (id INTEGER PRIMARY KEY, room INTEGER REFERENCES rooms (id), body TEXT, at DATETIME, ok BOOLEAN, r REAL,
                price DECIMAL(10,2), code STRING, short VARCHAR(4));
CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT, at DATETIME);
CREATE TABLE held (id INTEGER PRIMARY KEY, x TEXT CHECK (x <> ''), y INTEGER UNIQUE ON CONFLICT REPLACE);
CREATE TABLE odd (id INTEGER PRIMARY KEY, x TEXT DEFAULT (sqlite_version()), c INTEGER CHECK (c > 0));
INSERT INTO rooms (id, name) VALUES (1, 'a');
INSERT INTO m VALUES (1, 1, 'x', '2024-01-01 00:00:00', 1, 1.5, 1.25, 'c1', 'abcd');
INSERT INTO log (what, at) VALUES ('x', '2024-01-01 00:00:00');
INSERT INTO odd (x, c) VALUES ('x', 1);
"""

NOT_TRANSLATED: dict[str, tuple[str, str]] = {
    "reads its own table": (
        "AFTER INSERT ON m BEGIN INSERT INTO log (what) SELECT count(*) FROM m; END",
        "it reads its own table",
    ),
    "counts anew under a condition": (
        "AFTER INSERT ON m WHEN NEW.ok BEGIN UPDATE rooms SET n = (SELECT count(*) FROM m WHERE room = NEW.room) "
        "WHERE id = NEW.room; END",
        "it reads its own table",
    ),
    "counts anew on one side of a move": (
        "AFTER UPDATE OF room ON m BEGIN UPDATE rooms SET n = (SELECT count(*) FROM m WHERE room = NEW.room) "
        "WHERE id = NEW.room; END",
        "it reads its own table",
    ),
    "counts anew onto what there was": (
        "AFTER INSERT ON m BEGIN UPDATE rooms SET n = n + (SELECT count(*) FROM m WHERE room = NEW.room) "
        "WHERE id = NEW.room; END",
        "it reads its own table",
    ),
    "counts all rows": (
        "AFTER INSERT ON m BEGIN UPDATE rooms SET n = (SELECT count(*) FROM m) WHERE id = NEW.room; END",
        "it reads its own table",
    ),
    "a count that another looks at": (
        "AFTER INSERT ON m BEGIN UPDATE rooms SET n = (SELECT count(*) FROM m WHERE room = NEW.room) "
        "WHERE id = NEW.room; END;"
        "CREATE TRIGGER u AFTER UPDATE ON rooms BEGIN UPDATE rooms SET peak = max(n, peak) WHERE id = NEW.id; END",
        "u, which it sets off, would see another count",
    ),
    "its own table's other rows": ("AFTER INSERT ON m BEGIN DELETE FROM m WHERE id < NEW.id - 100; END", "other rows"),
    "a way back": (
        "AFTER INSERT ON m BEGIN UPDATE rooms SET n = n + 1 WHERE id = NEW.room; END;"
        "CREATE TRIGGER u AFTER UPDATE ON rooms WHEN NEW.n > 9 BEGIN DELETE FROM m WHERE room = NEW.id; END",
        "u, which it sets off, comes back to its table",
    ),
    "a touched row": (
        "AFTER UPDATE ON m BEGIN INSERT INTO log (what) VALUES (NEW.body); END;"
        "CREATE TRIGGER u AFTER UPDATE ON m BEGIN UPDATE m SET at = datetime('now') WHERE id = NEW.id; END",
        "u updates the same row",
    ),
    "what a touch sets": (
        "AFTER INSERT ON m BEGIN INSERT INTO log (at) VALUES (NEW.at); END;"
        "CREATE TRIGGER u AFTER INSERT ON m BEGIN UPDATE m SET at = datetime('now') WHERE id = NEW.id; END",
        "it reads what u sets",
    ),
    "two touches that count": (
        "AFTER UPDATE ON rooms BEGIN UPDATE rooms SET n = n + 1 WHERE id = NEW.id; END;"
        "CREATE TRIGGER u AFTER UPDATE ON rooms BEGIN UPDATE rooms SET peak = 1 WHERE id = NEW.id; END",
        "u updates the same row",
    ),
    "a limit beside its counter": (
        "BEFORE INSERT ON m BEGIN SELECT RAISE(ABORT, 'full') FROM rooms WHERE id = NEW.room AND n > 4; END;"
        "CREATE TRIGGER u AFTER INSERT ON m BEGIN UPDATE rooms SET n = n + 1 WHERE id = NEW.room; END",
        "u works on the same rows",
    ),
    "another order": (
        "AFTER INSERT ON m BEGIN UPDATE rooms SET n = n + 1 WHERE id = NEW.room; END;"
        "CREATE TRIGGER u AFTER INSERT ON m BEGIN INSERT INTO log (what) SELECT n FROM rooms WHERE id = NEW.room; END",
        "u works on the same rows",
    ),
    "children behind a foreign key": (
        "AFTER DELETE ON rooms BEGIN DELETE FROM m WHERE room = OLD.id; END",
        "the foreign key of m is looked at before it",
    ),
    "a child before its parent": (
        "BEFORE INSERT ON rooms BEGIN INSERT INTO m (room) VALUES (1); END",
        "whose foreign key needs a row that is not there yet",
    ),
    "child and parent the wrong way": (
        "AFTER INSERT ON log BEGIN INSERT INTO m (room) VALUES (7); INSERT INTO rooms (id) VALUES (7); END",
        "before rooms, which its foreign key needs",
    ),
    "an id not known yet": ("BEFORE INSERT ON m BEGIN INSERT INTO log (what) VALUES (NEW.id); END", "BEFORE INSERT"),
    "replace": ("AFTER INSERT ON m BEGIN INSERT OR REPLACE INTO log (id) VALUES (1); END", "INSERT OR REPLACE"),
    "update or ignore": ("AFTER INSERT ON m BEGIN UPDATE OR IGNORE rooms SET n = 1; END", "cannot be read"),
    "ignore where checks are": ("AFTER INSERT ON m BEGIN INSERT OR IGNORE INTO odd (x) VALUES (1); END", "CHECK"),
    "constraints with a conflict clause": ("AFTER INSERT ON m BEGIN INSERT INTO held (x) VALUES ('a'); END", "held"),
    "a default that is lost": ("AFTER INSERT ON m BEGIN INSERT INTO odd (c) VALUES (1); END", "to a default"),
    "no unique key": (
        "AFTER INSERT ON m BEGIN INSERT INTO log (what) VALUES ('x') ON CONFLICT (what) DO UPDATE SET at = NULL; END",
        "no unique key",
    ),
    "a number in a boolean": ("AFTER INSERT ON log BEGIN UPDATE m SET ok = ok + 1; END", "boolean"),
    "text of a real": ("AFTER INSERT ON m BEGIN INSERT INTO log (what) VALUES (NEW.r); END", "reals"),
    "text that SQLite makes a number": ("AFTER INSERT ON m BEGIN UPDATE rooms SET n = NEW.body; END", "type text"),
    "a text for a declared number": ("AFTER INSERT ON log BEGIN UPDATE m SET code = NEW.what; END", "makes numbers"),
    "more digits": ("AFTER INSERT ON log BEGIN UPDATE m SET price = price * price; END", "too small"),
    "a longer text": ("AFTER INSERT ON log BEGIN UPDATE m SET short = 'abcdef'; END", "does not fit"),
    "a time of another form": ("AFTER INSERT ON m BEGIN UPDATE rooms SET n = NEW.at; END", "stored as text"),
    "the connection's counters": (
        "AFTER INSERT ON m BEGIN INSERT INTO log (what) VALUES (last_insert_rowid()); END",
        "last_insert_rowid() belongs to the connection",
    ),
    "a function of the application": ("AFTER INSERT ON m BEGIN SELECT notify(NEW.id); END", "a SELECT"),
    "full text": (
        "AFTER INSERT ON m BEGIN INSERT INTO words (rowid, body) VALUES (NEW.id, NEW.body); END",
        "it keeps the full-text table words in step; a tsvector column needs no trigger",
    ),
    "a view read": (
        "AFTER INSERT ON m BEGIN INSERT INTO log (what) SELECT body FROM bodies; END",
        "it reads bodies, which is not in the target",
    ),
    "columns of a view": ("INSTEAD OF UPDATE OF body ON bodies BEGIN DELETE FROM log; END", "INSTEAD OF UPDATE OF"),
}


@pytest.mark.parametrize("name", NOT_TRANSLATED)
async def test_listed_with_a_reason(name: str, source_of: SourceOf) -> None:
    trigger, reason = NOT_TRANSLATED[name]
    source = await source_of(
        f"{_PLAIN} CREATE VIEW bodies AS SELECT body FROM m; CREATE VIRTUAL TABLE words USING fts5 (body, content='m');"
        f"CREATE TRIGGER a {trigger};"
    )
    plan = source.plan()
    assert "a" not in {one.source for one in plan.triggers}
    [note] = [note for note in plan.notes if note.kind == "trigger" and note.name == "a"]
    assert reason in note.detail
    assert note.detail.endswith(trigger.split("; END")[0] + "; END"), "its SQL stands there too"


async def test_a_body_is_looked_at_before_its_trigger_is_made(
    source_of: SourceOf, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    """CREATE FUNCTION reads the syntax only: what the server would refuse later is refused now."""
    source = await source_of(f"{_PLAIN} CREATE TRIGGER a AFTER INSERT ON log BEGIN UPDATE rooms SET n = n + 1; END;")
    [statement] = ddl.triggers(source.plan())
    await full(tmp_path / "source.db", pg_dsn)
    assert await pg.fetchval("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == "a"
    await pg.execute(statement.trial_sql)
    await pg.execute("ALTER TABLE rooms RENAME n TO another")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await pg.execute(statement.trial_sql)


async def test_rows_tried_again_set_off_no_trigger(tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    """A row that was rejected is counted already: SQLite's trigger did that."""
    path = tmp_path / "a.db"
    with contextlib.closing(sqlite3.connect(path)) as lite:
        lite.executescript(_named("t", _ROOMS + SHAPES["counter"][0] + "ALTER TABLE @m ADD at TEXT;"))
        lite.execute("UPDATE t_m SET at = CASE id WHEN 1 THEN 'soon' ELSE '2024-01-01 00:00:00' END")
        lite.commit()
    plan = tmp_path / "plan.toml"
    plan.write_text('format = 1\n[table.t_m.columns]\nat = { type = "timestamptz", cast = "iso", policy = "reject" }\n')
    report = await full(path, pg_dsn, plan=plan)
    assert sum(table.rejected_rows for table in report.tables) == 1
    before = await pg.fetch("SELECT * FROM t_rooms ORDER BY id")
    plan.write_text(plan.read_text().replace('"reject"', '"null"'))
    settings_again = Settings(sqlite=None, postgres=pg_dsn, plan=plan, no_backup=True)
    again = await retry.retry_rejects(settings_again)
    assert [one.moved_rows for one in again.retries] == [1]
    assert await pg.fetchval("SELECT count(*) FROM t_m") == 3
    assert await pg.fetch("SELECT * FROM t_rooms ORDER BY id") == before
    await pg.execute("INSERT INTO t_m (id, room) VALUES (9, 3)")
    assert await pg.fetchval("SELECT n FROM t_rooms WHERE id = 3") == before[2]["n"] + 1, "they run again"
