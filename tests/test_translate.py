"""Checks, predicates, index expressions and generated columns: SQLite and PostgreSQL must answer alike."""

from __future__ import annotations

import sqlite3

import asyncpg
import pytest
from fix_twin import SCOPE, SQLITE_DDL, Twin, alike, column

from copier.plan.translate.expression import Untranslatable, translate_expression
from copier.plan.translate.scope import TableScope

CONDITIONS = """
a >= 0 AND [B] < 7
a
NOT a
NOT ok
ok
ok = 1
ok != 1
ok IN (0, 1)
ok IN (1)
ok > 0
ok <> a
ok = (a > 1)
a = '7'
a = 'abc'
a <> 'abc'
a IN (7, 0, NULL)
a NOT IN (7, 0)
a IN ()
a NOT IN ()
a BETWEEN -5 AND 7
a NOT BETWEEN -5 AND 7
a IS 7
a IS NOT 7
a IS NULL
a NOTNULL
a ISNULL
a NOT NULL
a IS b
a IS NOT DISTINCT FROM b
a IS TRUE
a IS NOT FALSE
a = b = ok
a == 7
a <> NULL
7 = a
1.5 < a
f > 0.1
f = 0.1
f >= a
n = 4.99
n > 3
n IN (3, 4.99)
n = '4.99'
s = 'abc'
s = "abc"
s = 5
"Mixed Case" = 5
`mixed case` = '5'
s IN ('abc', 5)
s < s2
s > 'ABC'
s BETWEEN 'A' AND 'a'
s COLLATE NOCASE = s2
s = s2 COLLATE NOCASE
s COLLATE NOCASE < s2
s COLLATE NOCASE IN ('ABC')
[Mixed Case] COLLATE NOCASE = 'äpfel'
s LIKE 'a%'
s LIKE 'A_C'
s NOT LIKE '%b%'
s LIKE 'a!%b' ESCAPE '!'
s2 LIKE 'a\\b'
s2 LIKE '%\\%'
[Mixed Case] LIKE 'äpfel'
[Mixed Case] LIKE 'ÄPFEL'
[Mixed Case] LIKE '%@%.%'
a LIKE '7%'
s LIKE s2
like('A%', s)
s GLOB 'a*'
s GLOB '[A-C]*'
s GLOB '[^a]*'
s GLOB '?b?'
s GLOB '*[%]*'
s GLOB '*'
s GLOB ''
[Mixed Case] GLOB '[0-9]*'
[Mixed Case] GLOB '*[ ]lead'
s2 GLOB 'a[]\\_]b'
glob('a*', s)
length(s) BETWEEN 1 AND 3
length(bl) > 1
length(a) = 1
length(trim(s)) > 0
upper(s) = 'ABC'
lower([Mixed Case]) = 'äpfel'
lower([Mixed Case]) = 'Äpfel'
trim(s, 'a') = 'bc'
ltrim(s, 'ab') = 'c'
rtrim(s, 'bc') = 'a'
substr(s, 1, 1) = 'a'
substr(s, 2) = 'bc'
substr(s, 0, 2) = 'a'
substr(s, -2) = 'bc'
substr(s, -5, 4) = 'ab'
substr(s, -1, 1) = 'c'
substr(s, 3, -2) = 'ab'
substr([Mixed Case], instr([Mixed Case], '@') + 1) = 'b.org'
substr([Mixed Case], 1, instr([Mixed Case], '@') - 1) = 'a'
substr(bl, 1, 1) = x'00'
instr(s, 'b') = 2
instr(s, '') = 1
replace(s, 'b', 'x') = 'axc'
replace(s, '', 'x') = 'abc'
s || s2 = 'abcABC'
s || a = 'abc7'
s || ok = 'abc1'
a || b = '72'
a + b = 9
a - b * 2 = 3
(a - b) * 2 = 10
-a < 0
+a > 0
- -a = 7
a / 2 = 3
a / b = 3
-7 / 2 = -3
a % 3 = 1
a % b = 1
-5 % 3 = -2
a / 0 IS NULL
f / 2 = 1.25
a / 2.0 = 3.5
a * 0.1 > 0.6
n / 2 = 1
n + 1 = 4
n * 2 < 9
a & 3 = 3
a | 8 = 15
a << 2 = 28
a >> 1 = 3
~a = -8
(a > b) + (ok = 1) = 2
(a > 0) = 1
(a > 0) = ok
(a IS NULL) + 1 = 2
abs(a) = 5
abs(f) > 2
max(a, b) = 7
min(a, b, 0) = 0
max(s, s2) = 'abc'
coalesce(a, 0) = 0
ifnull(s, '') = ''
coalesce(a > 1, 0) = 1
coalesce(ok, 0) = 0
nullif(s, '') IS NULL
nullif(a, 7) IS NULL
nullif(u, '') IS NULL
iif(a > b, 1, 0)
iif(a, 'x', 'y') = 'y'
CASE WHEN a > 1 THEN 'big' WHEN a IS NULL THEN 'none' ELSE 'small' END = 'big'
CASE a WHEN 7 THEN 1 WHEN 0 THEN 2 END IS NOT NULL
round(f) = 3
round(f) = -3
round(f, 1) = 2.5
round(a) = 7
typeof(a) = 'integer'
typeof(s) = 'text'
typeof(s) IN ('text', 'null')
typeof(bl) <> 'blob'
typeof(f) = 'real'
typeof(n) IN ('integer', 'real')
typeof(a) NOT IN ('integer')
typeof(a) IS 'integer'
u <> ''
u = '123e4567-e89b-42d3-a456-426614174000'
u IN ('', '123e4567-e89b-42d3-a456-426614174000')
u IS NOT ''
u < '80000000-0000-4000-8000-000000000000'
j <> '[]'
j = '{}'
j <> ''
json_valid(j) OR j IS NULL
json_valid(js) = 1 OR js IS NULL
json_extract(j, '$.a.b') = 'x'
j ->> '$.a.b' = 'x'
js = '[1, 2]'
length(js) = 2
json_array_length(j) = 1
json_array_length(j, '$.l') = 3
json_type(j) = 'array'
json_type(j, '$.a.n') = 'integer'
ms > 1700000000000
ms = 1700000000123
ms = -1500
ms BETWEEN 0 AND 1700000000123
ms IN (0, 1)
ms % 1000 = 123
ms / 1000 = sec
ms > 0 AND sec > 0
ms + 1 > ms
ms IS NULL
sec = 0
sec < 1700000000.5
coalesce(sec, 0) = 0
ts >= '2023-12-31'
ts < '2024-02-29 12:34:56'
ts = '2000-01-01 00:00:00'
ts <> ''
ts >= datetime('2024-01-31 10:20:30')
ts > datetime(ts, '-1 day')
ts = datetime(ts)
d = '2024-02-29'
d > '2000-01-01'
d = date(d)
d IS date(d)
date(ts) = d
date(ts) = '2024-01-31'
datetime(ts, '+1 month') = '2024-03-02 10:20:30'
date(d, '+1 year') = '2025-03-01'
date(d, '-1 month') = '2024-01-29'
date(d, 'start of month') = '2024-02-01'
date(d, 'start of month', '+1 month', '-1 day') = d
date(d, 'weekday 0') = '2024-03-03'
time(ts) = '12:34:56'
date(ms / 1000, 'unixepoch') = '2023-11-14'
datetime(sec, 'unixepoch') = '2023-11-14 22:13:20'
strftime('%Y', ts) = '2024'
strftime('%Y-%m', d) = '2024-02'
strftime('%d.%m.%Y um %H:%M', ts) = '31.01.2024 um 10:20'
strftime('%w', d) = '4'
strftime('%j', d) = '060'
strftime('%s', ts) = '1706696430'
CAST(strftime('%Y', ts) AS INTEGER) = 2024
CAST(strftime('%s', ts) AS INTEGER) > 0
unixepoch(ts) = 1706696430
julianday(ts) > 2460000
julianday(ts) - julianday(d) < 1
CAST(f AS INTEGER) = 2
CAST(f AS INTEGER) = -2
CAST(a AS TEXT) = '7'
CAST(a AS REAL) / 2 = 3.5
CAST(n AS INTEGER) = 4
CAST(CAST(a AS TEXT) AS BLOB) = x'37'
bl = x'00ff'
bl <> x''
hex(bl) = '00FF'
hex(s) = '616263'
quote(s) = '''it''''s'''
quote(a) = '7'
char(97, 98) || 'c' = s
unicode(s) = 97
zeroblob(1) < bl
printf('%05d', b) = '00002'
printf('%d%%', b) = '2%'
printf('%.2f', n) = '4.99'
printf('%s-%s', s, s2) = 'abc-ABC'
printf('%4d', b) = '   2'
rowid = 1
t.a = 7
t.oid > 3
a > 0 OR s = 'x' AND NOT ok
NOT (a > 0 OR ok)
NOT a = 7
NOT a IN (7)
a = 7 IS NULL
likely(a > 0)
a > 0 -- and a remark
a /* one */ > 0
TRUE
FALSE OR a
a = TRUE
ok IS TRUE
NULL IS NULL
0x1F = 31
s REGEXP '^[a-c]+$'
""".strip().splitlines()
"""Each is evaluated by both databases over every row of the twin tables."""

VALUES = """
a + 1
a
s
a > 1
s || '-' || s2
lower(s)
upper([Mixed Case])
coalesce(s, 'none')
coalesce(a, b)
length(s)
a * 1.5
f * 2
iif(a > 1, a, 0)
substr(s, 2, 1)
date(ts)
datetime(ts, '+90 minutes')
strftime('%Y-%m-%dT%H:%M:%S', ts)
strftime('%H:%M:%f', ts)
unixepoch(d)
julianday(ts)
json_extract(j, '$.a.b')
ms / 1000
max(a, b)
round(f, 1)
a = '7'
typeof(s)
CASE WHEN a > 1 THEN 'x' END
CASE WHEN a > 1 THEN 1.5 ELSE a END
hex(bl)
""".strip().splitlines()


@pytest.fixture
def regexp(lite: sqlite3.Connection) -> None:
    import re

    lite.create_function("regexp", 2, lambda p, v: None if v is None else re.search(p, str(v)) is not None)


@pytest.mark.usefixtures("regexp")
async def test_conditions_mean_the_same(twin_any: Twin) -> None:
    twin, wrong = twin_any, []
    for sql in CONDITIONS:
        shown = translate_expression(sql, SCOPE)
        mine = [None if v is None else v != 0 for v in twin.source(f"({sql}\n) + 0")]
        try:
            theirs = await twin.target(shown)
        except asyncpg.PostgresError as error:
            wrong.append((sql, shown, str(error)))
            continue
        if mine != theirs:
            wrong.append((sql, shown, f"{mine} != {theirs}"))
    assert not wrong, "\n".join(map(str, wrong))


async def test_values_mean_the_same(twin_any: Twin) -> None:
    twin, wrong = twin_any, []
    for sql in VALUES:
        shown = translate_expression(sql, SCOPE, value=True)
        mine, theirs = twin.source(sql), await twin.target(shown)
        if not all(map(alike, mine, theirs)):
            wrong.append((sql, shown, mine, theirs))
    assert not wrong, "\n".join(map(str, wrong))


async def test_whatever_passes_as_immutable_is(twin: Twin) -> None:
    refused = []
    for number, sql in enumerate(CONDITIONS):
        try:
            shown = translate_expression(sql, SCOPE, immutable=True, value=False)
        except Untranslatable:
            continue
        try:
            await twin.pg.execute(f"CREATE INDEX i{number} ON twin (id) WHERE {shown}")
            await twin.pg.execute(f"ALTER TABLE twin ADD CONSTRAINT c{number} CHECK ({shown}) NOT VALID")
        except asyncpg.PostgresError as error:
            refused.append((sql, shown, str(error)))
    assert not refused, "\n".join(map(str, refused))


@pytest.mark.parametrize(
    ("sql", "kind", "cast", "declared"),
    [
        ("a + b", "bigint", "", "INTEGER"),
        ("a > b", "bigint", "", "INTEGER"),
        ("a > b", "boolean", "", "BOOLEAN"),
        ("lower(s) || '/' || s2", "text", "", "TEXT"),
        ("a * 1.5", "double precision", "", "REAL"),
        ("ms / 1000", "timestamptz", "epoch_s", "INTEGER"),
        ("ts", "timestamptz", "iso", "DATETIME"),
        ("a", "text", "", "TEXT"),
        ("'x'", "text", "", "TEXT"),
        ("json_extract(j, '$.a.b')", "text", "", "TEXT"),
    ],
)
async def test_generated_columns_have_their_type(twin: Twin, sql: str, kind: str, cast: str, declared: str) -> None:
    plan = column("g", declared, kind, cast)
    shown = translate_expression(sql, SCOPE, immutable=True, column=plan)
    await twin.pg.execute(f"ALTER TABLE twin ADD g {plan.type.sql} GENERATED ALWAYS AS ({shown}) STORED")
    theirs = await twin.target("extract(epoch FROM g)::bigint" if cast == "epoch_s" else "g")
    twin.lite.execute(f"ALTER TABLE t ADD g {declared} AS ({sql})")
    mine = twin.source("g")
    if cast != "iso":
        assert all(map(alike, mine, theirs)), (mine, theirs)


NOCASE = """
s = 'ABC'
s <> s2
s2 = s
s IN ('ABC', 'x')
s LIKE 'A%'
s LIKE '%_%'
s GLOB 'a*'
instr(s, 'b') > 0
replace(s, 'b', 'x') = 'AXC'
substr(s, 1, 1) = 'a'
trim(s, 'a') = 'bc'
length(s) = 3
upper(s) = 'ABC'
s || 'x' = 'ABCx'
coalesce(s, '') = 'ABC'
s BETWEEN 'ABC' AND 'abc'
""".strip().splitlines()


async def test_columns_with_a_collation_of_their_own(twin_any: Twin) -> None:
    """A NOCASE column whose plan has a nondeterministic collation, which not all operators of PostgreSQL take."""
    twin = twin_any
    try:
        await twin.pg.execute(
            "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except asyncpg.FeatureNotSupportedError as error:
        pytest.skip(str(error))
    await twin.pg.execute("ALTER TABLE twin ALTER s TYPE text COLLATE nocase")
    twin.lite.executescript("CREATE TABLE n AS SELECT * FROM t; DROP TABLE t")
    twin.lite.executescript(
        SQLITE_DDL.replace('"s" TEXT', '"s" TEXT COLLATE NOCASE') + "; INSERT INTO t SELECT * FROM n"
    )
    scope = TableScope("t", "twin", {**SCOPE.columns, "s": column("s", "TEXT", "text", collation="nocase")})
    for sql in NOCASE:
        shown = translate_expression(sql, scope)
        assert await twin.target(shown) == [None if v is None else v != 0 for v in twin.source(sql)], (sql, shown)
