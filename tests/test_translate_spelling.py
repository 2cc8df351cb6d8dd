"""Expressions: how the usual ones are written, and which are refused with what reason. No database."""

from __future__ import annotations

import pytest
from fix_twin import SCOPE, column

from copier.plan.translate.expression import Untranslatable, translate_expression
from copier.plan.translate.match import glob_regex
from copier.plan.translate.scope import TableScope


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("is_online = 1", '"is_online" = TRUE'),
        ("is_online", '"is_online"'),
        ("active", '"active" <> 0'),
        ("NOT active", '"active" = 0'),
        ("status IN ('pending', 'sent')", "\"status\" IN ('pending', 'sent')"),
        (
            "LENGTH(content) >= 1 AND length(CONTENT) <= 5000",
            '(length("content") >= 1) AND (length("content") <= 5000)',
        ),
        ("user1_id < user2_id", '"user1_id" < "user2_id"'),
        ("email != ''", "\"email\" <> ''"),
        ("created_at > 1700000000000", '"created_at" > to_timestamp(1700000000)'),
        ("created_at > 1700000000001", '"created_at" > to_timestamp(1700000000001 / 1000.0)'),
        ('status = "sent"', "\"status\" = 'sent'"),
        ("name LIKE 'a%'", '"na""me" COLLATE "C" ILIKE \'a%\''),
    ],
)
def test_spelling(sql: str, expected: str) -> None:
    assert translate_expression(sql, CHAT) == expected


CHAT = TableScope(
    "users",
    "users",
    {
        c.source.lower(): c
        for c in (
            column("is_online", "BOOLEAN", "boolean"),
            column("active", "INTEGER", "bigint"),
            column("status", "TEXT", "text"),
            column("content", "TEXT", "text"),
            column("user1_id", "TEXT", "uuid"),
            column("user2_id", "TEXT", "uuid"),
            column("email", "TEXT", "text"),
            column("name", "TEXT", "text", target='na"me'),
            column("created_at", "INTEGER", "timestamptz", "epoch_ms"),
        )
    },
)

REFUSED = {
    "": "empty",
    "a > 1; DROP TABLE t": "more than one statement",
    "a) , (b": "not one expression",
    "1) UNION SELECT (1": "not one expression",
    "a FROM t": "cannot be read",
    "(SELECT 1)": "subquery",
    "a IN (SELECT a FROM t)": "subquery",
    "EXISTS (SELECT 1)": "subquery",
    "a = b LIKE 'c'": "parentheses",
    "nope(a)": "nope() has no counterpart",
    "pg_sleep(10)": "pg_sleep() has no counterpart",
    "pg_read_file('/etc/passwd')": "pg_read_file() has no counterpart",
    "changes() > 0": "changes()",
    "missing > 1": "no column missing",
    "other.a > 1": "no column of t",
    "s + 1": "used as a number",
    "CAST(s AS INTEGER)": "can fail",
    "s || f": "reals",
    "length(u) = 36": "text SQLite had is not kept",
    "u LIKE 'a%'": "text SQLite had is not kept",
    "json_valid(s)": "PostgreSQL 16",
    "typeof(ok) = 'integer'": "typeof()",
    "s GLOB s2": "not constant",
    "s GLOB '[a'": "does not end",
    "s COLLATE RTRIM = 'a'": "COLLATE RTRIM",
    "substr(s, a)": "may be negative",
    "a >> b": "shift",
    "ts > '2024-01-01'": "with a date",
    "strftime('%W', ts) = '01'": "%W",
    "date(sec) = '2024-01-01'": "unix time",
    "random() > 0": "default only",
    "a MATCH 'x'": "MATCH",
    "?1 > 0": "cannot be read",
    ":name > 0": "not understood",
    "bl > 'a'": "another type",
    "ts = d": "differ as texts",
    "s = 'a' 'b'": "CONCAT",
    "a > 'x\x00y'": "NUL",
    "substr(s, 1) = 5": "text with a number",
    "ms > ts": "stored as",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_refused_with_a_reason(sql: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate_expression(sql, SCOPE)
    assert REFUSED[sql] in str(caught.value)


@pytest.mark.parametrize(
    "sql", ["date(ts) = d", "d = date('now')", "hex(s) = 'x'", "strftime('%Y', ts) = '2024'", "CURRENT_DATE > d"]
)
def test_immutable_expressions_only(sql: str) -> None:
    with pytest.raises(Untranslatable, match="immutable"):
        translate_expression(sql, SCOPE, immutable=True)


def test_generated_column_of_another_type_is_refused() -> None:
    with pytest.raises(Untranslatable, match="may be a real"):
        translate_expression("a * 1.5", SCOPE, immutable=True, column=column("g", "INTEGER", "bigint"))


@pytest.mark.parametrize("declared", ["TIMESTAMPTZ", "INTEGER", "REAL"])
@pytest.mark.parametrize("sql", ["hex(s)", "s", "substr(s, 1, 3)", "s || s2", "'5.0'"])
def test_generated_text_that_sqlite_may_store_as_a_number_is_refused(sql: str, declared: str) -> None:
    """hex('cf') is '636', and a column of numeric affinity holds 636."""
    with pytest.raises(Untranslatable, match="makes numbers"):
        translate_expression(sql, SCOPE, column=column("g", declared, "text"))
    assert translate_expression(sql, SCOPE, column=column("g", "TEXT", "text"))


def test_thousands_of_terms() -> None:
    assert translate_expression(" OR ".join(f"a = {n}" for n in range(3000)), SCOPE).count(" OR ") == 2999


def test_depth_without_end() -> None:
    with pytest.raises(Untranslatable, match="nested too deeply"):
        translate_expression("(" * 3000 + "a" + ")" * 3000, SCOPE)


def test_index_expression_reads_as_queries_do() -> None:
    assert translate_expression("lower(s)", SCOPE, immutable=True, value=True, index=True) == 'lower("s")'


@pytest.mark.parametrize(
    ("pattern", "regex"),
    [("a*", "^a"), ("*.txt", r"^.*\.txt$"), ("[^]a]?", r"^[^\]a].$"), ("", "^$"), ("a[b-d]", "^a[b-d]$")],
)
def test_glob_regex(pattern: str, regex: str) -> None:
    assert glob_regex(pattern) == regex
