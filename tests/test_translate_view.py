"""Views: PostgreSQL's rows and column names must be SQLite's."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fix_twin import TWIN, WORLD, Twin, alike, column

from copier.plan.model import ColumnPlan, TablePlan
from copier.plan.names import qualify, quote
from copier.plan.pgtype import CASTS, PgType
from copier.plan.translate.relation import unique_names
from copier.plan.translate.scope import Scope
from copier.plan.translate.value import affinity_of
from copier.plan.translate.views import TranslatedView, Untranslatable, translate_view, translate_views

VIEWS = """
SELECT a, s FROM t ORDER BY id
SELECT * FROM t ORDER BY id
SELECT id, max(A) AS x, max("s") AS 'a b', id + 1, count(*) FROM t GROUP BY id ORDER BY id
SELECT t.*, x.id FROM t JOIN t AS x ON x.id = t.id ORDER BY 1
SELECT a > 1 AS big, ok, ok = 1, NOT ok FROM t ORDER BY id
SELECT a AS x, a + 1 AS y FROM t WHERE x > 0 AND y < 10 ORDER BY y
SELECT s FROM t ORDER BY s
SELECT s FROM t ORDER BY s DESC
SELECT DISTINCT s FROM t ORDER BY s
SELECT DISTINCT ok FROM t ORDER BY 1
SELECT s FROM t ORDER BY s COLLATE NOCASE, id
SELECT "Mixed Case" FROM t ORDER BY lower("Mixed Case"), id
SELECT a FROM t ORDER BY a
SELECT a FROM t ORDER BY a DESC NULLS FIRST
SELECT a FROM t ORDER BY 1 LIMIT 2
SELECT a FROM t ORDER BY a LIMIT 1, 2
SELECT a FROM t ORDER BY a LIMIT 2 OFFSET 1
SELECT a FROM t ORDER BY a LIMIT -1
SELECT s FROM t UNION SELECT s2 FROM t ORDER BY s
SELECT s FROM t UNION ALL SELECT NULL UNION SELECT s2 FROM t ORDER BY 1 LIMIT 4
SELECT a FROM t UNION SELECT b FROM t EXCEPT SELECT 7 INTERSECT SELECT 2 ORDER BY 1
SELECT ok FROM t UNION SELECT a > 1 FROM t ORDER BY 1
SELECT a FROM t UNION SELECT f FROM t ORDER BY 1
SELECT count(*), count(a), count(DISTINCT ok), sum(a), total(b), avg(b), min(s), max(s), max(ok), min(d) FROM t
SELECT sum(a > 0), avg(a > 0), sum(f), sum(n), max(u) FROM t
SELECT sum(a), total(a), max(a), count(*) FROM t WHERE 0
SELECT ok, group_concat(id) FROM t GROUP BY ok ORDER BY ok
SELECT group_concat(DISTINCT ok) FROM t WHERE ok
SELECT group_concat(s, '; ') FROM (SELECT s FROM t WHERE s <> '' ORDER BY id)
SELECT ok AS k, count(*) AS c FROM t GROUP BY k HAVING c > 1 ORDER BY k
SELECT substr(s, 1, 1) AS first, count(*) FROM t GROUP BY first ORDER BY first
SELECT s IS NULL AS n, count(*) FROM t GROUP BY 1 ORDER BY 1
SELECT count(*) FILTER (WHERE a > 0) AS c, sum(a) FILTER (WHERE ok) FROM t
SELECT id, row_number() OVER (ORDER BY a, id) AS r, rank() OVER (ORDER BY ok) FROM t ORDER BY id
SELECT id, sum(b) OVER (PARTITION BY ok ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS w FROM t ORDER BY id
SELECT id, lag(a) OVER w AS p, lead(s, 1, 'none') OVER w, last_value(a) OVER w FROM t WINDOW w AS (ORDER BY id)
SELECT id, ntile(2) OVER (ORDER BY id), percent_rank() OVER (ORDER BY id) FROM t ORDER BY id
SELECT id, (SELECT max(b) FROM t AS i WHERE i.id < t.id) AS m FROM t ORDER BY id
SELECT id, (SELECT s FROM t AS i WHERE i.id > t.id ORDER BY id) AS m FROM t ORDER BY id
SELECT id FROM t WHERE a IN (SELECT b FROM t) ORDER BY id
SELECT id FROM t WHERE a > (SELECT avg(a) FROM t WHERE a < 100) ORDER BY id
SELECT id FROM t WHERE EXISTS (SELECT 1 FROM t AS i WHERE i.u = t.u AND i.id <> t.id) ORDER BY id
SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM t AS i WHERE i.a = t.b) ORDER BY id
SELECT id FROM t WHERE id NOT IN (SELECT id FROM t WHERE ok) ORDER BY id
SELECT x.id, y.id AS other FROM t x, t y WHERE x.u = y.u AND x.id < y.id ORDER BY 1, 2
SELECT x.id, y.s FROM t x LEFT JOIN t y ON y.id = x.id + 4 ORDER BY x.id
SELECT x.id, y.id FROM t x, t y LEFT JOIN t z ON z.id = x.id WHERE y.id = 1 ORDER BY 1
SELECT x.id, y.a FROM t x JOIN t y USING (id) ORDER BY id
SELECT * FROM (SELECT id, a FROM t) JOIN (SELECT id, b FROM t) USING (ID) ORDER BY id
SELECT * FROM (SELECT id, a FROM t) NATURAL JOIN (SELECT id, b FROM t) ORDER BY id
SELECT x.id FROM t x CROSS JOIN t y ON x.id = y.id ORDER BY 1
SELECT x.id FROM t x JOIN (t y JOIN t z ON y.id = z.id) ON x.id = z.id ORDER BY x.id
SELECT q.total FROM (SELECT ok, sum(b) AS total FROM t GROUP BY ok) AS q ORDER BY q.total
SELECT * FROM (SELECT a + 1, count(*) FROM t GROUP BY a + 1) ORDER BY 1
WITH q AS (SELECT id, a FROM t) SELECT q.id, q.a FROM q WHERE q.a > 0 ORDER BY id
WITH q(x, y) AS (SELECT id, s FROM t), r AS (SELECT x FROM q) SELECT y FROM q JOIN r USING (x) ORDER BY x
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) SELECT n FROM c
WITH c(n, path) AS (SELECT 1, 'x' UNION ALL SELECT n + 1, path || n FROM c WHERE n < 4) SELECT * FROM c
SELECT a / 2, a / 0, a % 2, 7 / 2, 7 / 2.0, n / 2, -7 / 2 FROM t ORDER BY id
SELECT CAST(s2 AS INTEGER), CAST(a AS TEXT), s2 + 1, '12a' + 1 FROM t ORDER BY id
SELECT s + s2 FROM t ORDER BY id
SELECT first || ' ' || last AS name FROM (SELECT s AS first, s2 AS last FROM t ORDER BY id)
SELECT CASE WHEN ok = 1 THEN 'active' ELSE '' END AS notes FROM t ORDER BY id
SELECT date(ts), time(ts), datetime(ts), strftime('%Y', ts) AS year, count(*) FROM t GROUP BY ts ORDER BY ts
SELECT strftime('%Y-%m', ms / 1000, 'unixepoch') AS month, count(*) FROM t GROUP BY month ORDER BY month
SELECT julianday(ts) - julianday(d) AS days FROM t ORDER BY id
SELECT id FROM t WHERE ts BETWEEN datetime('2023-01-01') AND datetime('2024-12-31') ORDER BY id
SELECT id FROM t WHERE date(ts) >= date('2024-01-31', '-1 day') ORDER BY id
SELECT id FROM t WHERE ts > datetime('now', '-100 years') ORDER BY id
SELECT json_extract(j, '$.a.b') AS b, j ->> '$.a.b', json_array_length(j, '$.l') FROM t ORDER BY id
SELECT id FROM t WHERE json_extract(j, '$.a.n') > 5 ORDER BY id
SELECT id FROM t WHERE json_extract(js, '$.a') = 1 ORDER BY id
SELECT rowid, oid FROM t ORDER BY _rowid_
SELECT typeof(a), typeof(s), typeof(f) FROM t ORDER BY id
SELECT hex(bl), length(bl), quote(s) FROM t ORDER BY id
SELECT 1, 'x', NULL, 1.5, x'00ff', TRUE
SELECT 'x' AS k, "no such column" AS v
SELECT 'it''s' AS "a ""b"" c"
SELECT coalesce(s, '-') AS s, ifnull(a, 0), iif(a > 1, 'y', 'n'), nullif(a, 7), max(a, b), min(s, s2) FROM t ORDER BY id
SELECT id FROM t WHERE s LIKE 'A%' OR s2 GLOB '[A-Z]*' ORDER BY id
SELECT count(*) FROM main.t
SELECT id FROM t NOT INDEXED WHERE a
SELECT a as count, b as "order", id AS [select] FROM t ORDER BY "select"
SELECT max(id), s FROM t GROUP BY s ORDER BY 1
SELECT [Mixed Case] FROM t WHERE `mixed case` IS NOT NULL ORDER BY id
SELECT t.id ID, T.S FROM T ORDER BY ID
SELECT printf('%s: %d', s, b) AS p FROM t WHERE s IS NOT NULL AND b IS NOT NULL ORDER BY id
"""
QUERIES = [line for line in VIEWS.strip().splitlines() if line]


def _row_alike(mine: tuple[Any, ...], theirs: asyncpg.Record) -> bool:
    pairs = zip(mine, tuple(theirs), strict=True)
    return all(alike(m, t) or _stored_time(m, t) or _same_json(m, t) for m, t in pairs)


def _same_json(mine: Any, theirs: Any) -> bool:
    if not isinstance(mine, str) or not isinstance(theirs, str) or not mine.startswith(("[", "{")):
        return False
    return bool(json.loads(mine) == json.loads(theirs))


def _stored_time(mine: Any, theirs: Any) -> bool:
    """Whether a time column itself came through: its values are compared elsewhere."""
    return hasattr(theirs, "tzinfo") and mine is not None


async def test_views_give_the_same(twin_any: Twin) -> None:
    for number, query in enumerate(QUERIES):
        await _compare(twin_any, f"v{number}", query)


async def _compare(twin: Twin, view: str, query: str) -> None:
    sql = f"CREATE VIEW {view} AS {query}"
    twin.lite.execute(sql)
    shown = translate_view(sql, WORLD)
    await twin.pg.execute(f"CREATE VIEW {view} AS {shown}")
    attributes = (await twin.pg.prepare(f"SELECT * FROM {view}")).get_attributes()
    names = [row[1] for row in twin.lite.execute(f"PRAGMA table_info({view})")]
    assert [a.name for a in attributes] == [n.replace("Mixed Case", "mixed_case") if "(" not in n else n for n in names]
    mine, theirs = twin.lite.execute(f"SELECT * FROM {view}").fetchall(), await twin.pg.fetch(f"SELECT * FROM {view}")
    assert len(mine) == len(theirs), query
    if "ORDER BY" not in query:
        mine, theirs = sorted(mine, key=repr), sorted(theirs, key=lambda r: repr(tuple(r)))
    wrong = [(m, tuple(t)) for m, t in zip(mine, theirs, strict=True) if not _row_alike(m, t)]
    assert not wrong, (query, shown, wrong)


@pytest.mark.parametrize(
    "head",
    [
        "CREATE VIEW v(one, [two 2]) AS",
        "CREATE TEMP VIEW IF NOT EXISTS v(one, 'two 2') AS",
        'create temporary view main."v" (one,"two 2") as',
        "CREATE VIEW /* a remark */ [v] -- and another\n (one, `two 2`) AS",
    ],
)
def test_heads(head: str) -> None:
    shown = translate_view(f"{head} SELECT a, s FROM t", WORLD)
    assert shown == 'SELECT "twin"."a" AS "one", "twin"."s" AS "two 2" FROM "public"."twin"'


REFUSED = {
    "SELECT * FROM sqlite_master": "reads sqlite_master, which is not in the target",
    "SELECT * FROM json_each('[1]')": "json_each() in FROM",
    "SELECT * FROM other.t": "attached database other",
    "SELECT nope FROM t": "no column nope",
    "SELECT t2.a FROM t": "names no table",
    "SELECT a FROM t x, t y": "could be a column of several",
    "SELECT a FROM t; DROP TABLE t": "more than one statement",
    "INSERT INTO t VALUES (1)": "not a query",
    "DELETE FROM t": "not a query",
    "SELECT pg_sleep(1)": "pg_sleep() has no counterpart",
    "SELECT last_insert_rowid()": "last_insert_rowid()",
    "SELECT f || 'x' FROM t": "reals",
    "SELECT a FROM t UNION SELECT s FROM t": "different types",
    "SELECT a, b FROM t UNION SELECT a FROM t": "different numbers of columns",
    "SELECT row_number() FROM t": "without OVER",
    "SELECT a FROM t ORDER BY s COLLATE RTRIM": "COLLATE RTRIM",
    "SELECT a FROM t LIMIT (SELECT 1)": "LIMIT",
    "SELECT a FROM t WHERE a IN t": "IN followed by the name of a table",
    "SELECT my_agg(a) OVER () FROM t": "my_agg()",
    "SELECT length(f) FROM t": "reals",
    "SELECT ts || '' FROM t": "text SQLite had is not kept",
    "VALUES (1)": "not a query",
    "SELECT -- nothing": "without columns",
    "SELECT id FROM t WHERE ms > s": "stored as a number",
}


@pytest.mark.parametrize("query", REFUSED)
def test_refused_with_a_reason(query: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate_view(f"CREATE VIEW v AS {query}", WORLD)
    assert REFUSED[query] in str(caught.value)


@pytest.mark.parametrize("sql", ["DROP TABLE t", "CREATE TABLE v AS SELECT 1", "CREATE VIEW v AS", "", "CREATE VIEW"])
def test_no_view(sql: str) -> None:
    with pytest.raises(Untranslatable):
        translate_view(sql, WORLD)


def test_views_of_views_come_in_the_order_of_creation() -> None:
    found = translate_views(
        [
            ("top", "top", "CREATE VIEW top AS SELECT sum(x) AS s, max(name) FROM middle"),
            ("bad", "bad", "CREATE VIEW bad AS SELECT * FROM nowhere"),
            ("middle", "Mid", "CREATE VIEW middle AS SELECT a AS x, s AS name FROM t"),
        ],
        Scope.of("public", [TWIN], {"middle": ("Mid", ["x", "name"]), "top": ("top", ["s"])}),
    )
    assert list(found) == ["middle", "top", "bad"]
    top = found["top"]
    assert isinstance(top, TranslatedView)
    assert top.query.startswith('SELECT sum("Mid"."x")::bigint AS "s"')
    assert isinstance(found["bad"], Untranslatable)


def test_names_of_the_chosen_style() -> None:
    table = TablePlan(
        "Order Items", "order_items", (column("UnitPrice", "REAL", "double precision", target="unit_price"),)
    )
    scope = Scope.of("app", [table], names="snake")
    shown = translate_view("CREATE VIEW v AS SELECT UnitPrice, UnitPrice * 2 AS TwicePrice FROM [order items]", scope)
    assert shown == (
        'SELECT "order_items"."unit_price", "order_items"."unit_price" * 2 AS "twice_price" FROM "app"."order_items"'
    )


def test_long_names_are_shortened() -> None:
    shown = translate_view(f"CREATE VIEW v AS SELECT {' + '.join(['a'] * 40)} FROM t", WORLD)
    name = shown.split(' AS "')[1].split('"')[0]
    assert len(name) == 63


def test_unique_names() -> None:
    assert unique_names(["id", "ID", "x", "id", "x"]) == ["id", "ID:1", "x", "id:2", "x:1"]


def test_views_whose_columns_have_no_known_type_can_be_read() -> None:
    scope = Scope.of("public", [], {"w": ("W", ["x", "y"])})
    assert translate_view("CREATE VIEW v AS SELECT * FROM w WHERE x = 1", scope) == (
        'SELECT "W"."x", "W"."y" FROM "public"."W" WHERE "W"."x" = 1'
    )


CORPUS = ("datasette_fixtures", "linq2db_testdata", "northwind_small", "pocketbase", "sakila", "sqlite_fdw_core")
UNTRANSLATABLE = {"type_FLOAT_INF+": "reals"}  # length() of a REAL column counts the characters of SQLite's own form


def _plain_type(declared: str) -> str:
    name = declared.upper()
    if "BOOL" in name:
        return "bool"
    if name.startswith("BLOB"):
        return "bytea"
    kinds = {"integer": "int8", "text": "text", "blob": "text", "real": "float8", "numeric": "numeric"}
    return "jsonb" if name == "JSON" else kinds[affinity_of("TEXT" if name[:4] in ("DATE", "TIME") else declared)]


def _planned(lite: sqlite3.Connection) -> list[TablePlan]:
    """Return every table with the plainest types."""
    found = []
    names = lite.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
    for (name,) in names:
        with contextlib.suppress(sqlite3.OperationalError):  # virtual tables whose module is not loaded
            rows = lite.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
            columns = [
                ColumnPlan(r[1], r[1], r[2], PgType(kind), CASTS[kind][0]) for r in rows for kind in [_plain_type(r[2])]
            ]
            found.append(TablePlan(name, name, tuple(columns)))
    return found


@pytest.mark.parametrize("name", CORPUS)
async def test_views_of_the_corpus(pg: asyncpg.Connection, corpus: Callable[[str], Path], name: str) -> None:
    with contextlib.closing(sqlite3.connect(f"file:{corpus(name)}?mode=ro&immutable=1", uri=True)) as lite:
        lite.text_factory = lambda raw: raw.decode(errors="replace")
        tables = _planned(lite)
        for table in tables:
            columns = ", ".join(f"{quote(c.target)} {c.type.sql}" for c in table.columns)
            await pg.execute(f"CREATE TABLE {quote(table.target)} ({columns})")
        views = lite.execute("SELECT name, name, sql FROM sqlite_schema WHERE type = 'view'").fetchall()
        for view, found in translate_views(views, Scope.of("public", tables)).items():
            if isinstance(found, Untranslatable):
                assert UNTRANSLATABLE.get(view, "nothing") in str(found)
                continue
            await pg.execute(f"CREATE VIEW {qualify('public', view)} AS {found.query}")
            statement = await pg.prepare(f"SELECT * FROM {quote(view)}")
            names = [row[1] for row in lite.execute(f"PRAGMA table_info({quote(view)})")]
            assert [a.name for a in statement.get_attributes()] == names
        if name in ("northwind_small", "sakila"):
            await _compare_rows(pg, lite, tables, [v[0] for v in views])


async def _compare_rows(
    pg: asyncpg.Connection, lite: sqlite3.Connection, tables: list[TablePlan], views: list[str]
) -> None:
    for table in tables:
        kinds = [c.type.wire for c in table.columns]
        rows = lite.execute(f"SELECT * FROM {quote(table.source)}").fetchall()
        loaded = [tuple(_loaded(v, k) for v, k in zip(row, kinds, strict=True)) for row in rows]
        await pg.copy_records_to_table(table.target, records=loaded)
    for view in views:
        mine = lite.execute(f"SELECT * FROM {quote(view)}").fetchall()
        theirs = await pg.fetch(f"SELECT * FROM {quote(view)}")
        assert len(mine) == len(theirs), view
        first, second = sorted(map(_shown, mine), key=_sorting), sorted(map(_shown, theirs), key=_sorting)
        for one, other in zip(first, second, strict=True):
            assert all(map(_close, one, other)), (view, one, other)


def _loaded(value: Any, kind: str) -> Any:
    if value is None:
        return None
    convert = {"numeric": lambda v: Decimal(str(v)), "text": str, "float8": float, "int8": int}.get(kind)
    if kind == "bytea":
        return value if isinstance(value, bytes) else str(value).encode()
    return convert(value) if convert else value


def _shown(row: Any) -> tuple[Any, ...]:
    return tuple(v.decode(errors="replace") if isinstance(v, bytes) else v for v in tuple(row))


def _sorting(row: tuple[Any, ...]) -> str:
    return repr([_rough(float(v)) if isinstance(v, int | float | Decimal) else v for v in row])


def _rough(value: float) -> str:
    return str(int(value)) if value.is_integer() else f"{value:.4g}"


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, int | float):
        return other is not None and math.isclose(one, float(other), rel_tol=1e-9)
    return bool(one == other)
