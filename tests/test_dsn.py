"""Connection strings: every form, and no password shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copier.errors import UsageError
from copier.postgres.connect import connect
from copier.postgres.dsn import describe, parse, redact, resolve_dsn

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgres://bob:pw@db:5433/app", "postgresql://bob:pw@db:5433/app"),
        ("postgresql+asyncpg://bob@db/app", "postgresql://bob@db/app"),
        ("postgresql://", "postgresql://"),
        ("postgresql:///", "postgresql://"),
        ("postgresql://bob@db/", "postgresql://bob@db"),
        ("postgresql:///app", "postgresql:///app"),
        ("postgresql://b%40b:p%2Fw@[::1]:5432/my%20app", "postgresql://b%40b:p%2Fw@[::1]:5432/my%20app"),
        ("postgresql://a:1,b:2/app", "postgresql://a:1,b:2/app"),
        ("postgresql://a,b:2/app", "postgresql://a:5432,b:2/app"),
        ("postgresql://bob:p@ss@db/app", "postgresql://bob:p%40ss@db/app"),
        ("postgresql://bob:p/ss@db/app", "postgresql://bob:p%2Fss@db/app"),
        ("postgresql://%2Fvar%2Frun/app", "postgresql:///app?host=/var/run"),
        ("postgresql://bob@/app?host=/tmp&port=5499", "postgresql://bob@/app?host=/tmp&port=5499"),
        ("postgresql://db/app?ssl=true", "postgresql://db/app?sslmode=require"),
        ("postgresql://db/app?sslmode=verify-full&sslrootcert=/etc/a+b.pem",
         "postgresql://db/app?sslmode=verify-full&sslrootcert=/etc/a%2Bb.pem"),
        ("host=db dbname=app user=bob", "postgresql://bob@db/app"),
        (r"host=/tmp port = 5499 dbname='my app' password='it\'s'", "postgresql://:it%27s@/my%20app?host=/tmp&port=5499"),
        ("host=db hostaddr=10.0.0.1 dbname=app", "postgresql://10.0.0.1/app"),
        ("host=db hostaddr=10.0.0.1 sslmode=verify-full", "postgresql://db?sslmode=verify-full"),
    ],
)  # fmt: skip
def test_forms(text: str, url: str) -> None:
    assert parse(text, {}).url == url
    assert parse(url, {}).url == url


@pytest.mark.parametrize(
    "text",
    [
        "mysql://bob:s3cr3t@db/app",
        "bob:s3cr3t@db/app",
        "app.db",
        "",
        "host=db password='s3cr3t",
        "postgresql://bob:pw@s3cr3t/x@db/app",
        "postgresql://bob:pw@db?s3cr3t@db/app",
        "postgresql://db:s3cr3t/app",
        "postgresql://db:99999/app",
        "postgresql://a,b/app?port=1,2,3",
        "postgresql://[::1/app",
    ],
)
def test_what_cannot_be_read_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, {})
    assert SECRET not in str(caught.value) + caught.value.hint + repr(caught.value)


def test_options_that_have_no_effect_are_listed() -> None:
    dsn = parse("postgresql://db/app?schema=public&connection_limit=5&connect_timeout=3&application_name=x", {})
    assert dsn.ignored == ("connection_limit", "schema")
    assert dsn.connect_timeout_s == 3
    assert dsn.options == {"application_name": "x"}


@pytest.mark.parametrize(
    ("explicit", "environ", "found"),
    [
        ("postgres://a/b", {"DATABASE_URL": "postgres://c/d"}, "postgresql://a/b"),
        (None, {"DATABASE_URL": "postgres://c/d", "PGHOST": "e"}, "postgresql://c/d"),
        (None, {"PGHOST": "e"}, "postgresql://e"),
        (None, {"PGDATABASE": "e"}, "postgresql:///e"),
        (
            None,
            {"PGHOST": "/run", "PGPORT": "5499", "PGUSER": "b", "PGPASSWORD": "p"},
            "postgresql://b@?host=/run&port=5499",
        ),
        (None, {"PGHOSTADDR": "10.0.0.1", "PGHOST": "e", "PGPORT": "1"}, "postgresql://10.0.0.1:1"),
        ("postgresql://b@h", {"PGHOST": "e", "PGUSER": "f", "PGPORT": "1", "PGDATABASE": "g"}, "postgresql://b@h:1/g"),
        ("postgresql://h:2/app", {"PGPORT": "1,2", "PGDATABASE": "g"}, "postgresql://h:2/app"),
        (None, {"PGPORT": "5432"}, None),
        (None, {}, None),
        ("", {"DATABASE_URL": ""}, None),
    ],
)
def test_where_it_comes_from(explicit: str | None, environ: dict[str, str], found: str | None) -> None:
    assert resolve_dsn(explicit, environ) == found


@pytest.mark.parametrize(
    ("explicit", "environ", "said"),
    [
        ("mysql://x", {"DATABASE_URL": "postgres://a/b"}, "--postgres: mysql:// is not a PostgreSQL connection string"),
        (None, {"DATABASE_URL": "sqlite+aiosqlite:///x"}, "DATABASE_URL: sqlite+aiosqlite:// is not a PostgreSQL"),
        (None, {"DATABASE_URL": "postgres://a:99999/b"}, "DATABASE_URL: the port in the connection string is not"),
        (None, {"PGHOST": "db", "PGPORT": "many"}, "PGHOST: the port in PGPORT is not a number"),
        ("postgres://db/app", {"PGPORT": "many"}, "--postgres: the port in PGPORT is not a number"),
        (None, {"PGDATABASE": "app", "PGPORT": "0"}, "PGDATABASE: the port in PGPORT is not a number"),
        (None, {"PGSERVICE": "nope", "HOME": "/nowhere"}, "PGSERVICE: service 'nope' is in no service file"),
    ],
)
def test_an_error_says_where_the_value_came_from(explicit: str | None, environ: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_dsn(explicit, environ)
    assert str(caught.value).startswith(said)
    assert ("--postgres, which comes before it" in caught.value.hint) is said.startswith("DATABASE_URL")


def test_service_files(tmp_path: Path) -> None:
    path = tmp_path / "services"
    path.write_text("[prod]\nhost=db\nport=5433\nuser=bob\npassword=10%off\ndbname=app\n")
    environ = {"PGSERVICEFILE": str(path), "PGSYSCONFDIR": str(tmp_path)}
    assert resolve_dsn(None, {**environ, "PGSERVICE": "prod"}) == "postgresql://bob:10%25off@db:5433/app"
    assert resolve_dsn("service=prod dbname=other", environ) == "postgresql://bob:10%25off@db:5433/other"
    assert resolve_dsn("postgresql:///?service=prod", environ) == "postgresql://bob:10%25off@db:5433/app"
    with pytest.raises(UsageError, match="'test' is in no service file"):
        resolve_dsn("service=test", environ)


async def test_the_variables_lead_to_the_database_they_name(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to the role's own, which is where an empty path leads asyncpg."""
    there = parse(pg_dsn, {})
    assert there.database
    for name, value in (("HOST", there.hosts[0]), ("USER", there.user), ("DATABASE", there.database)):
        monkeypatch.setenv(f"PG{name}", value or "")
    monkeypatch.setenv("PGPORT", str(there.ports[0]) if there.ports else "5432")
    found = resolve_dsn(None, os.environ)
    assert found is not None
    assert f"database {there.database} at {there.hosts[0]}" in describe(found)
    for dsn in (found, "postgresql://", "postgresql:///"):
        connection = await connect(dsn)
        try:
            assert await connection.fetchval("SELECT current_database()") == there.database
        finally:
            await connection.close()


password = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=8, max_size=20).map(
    lambda tail: f"Zq{tail.strip()}Zq"
)


def _everything_said(text: str) -> str:
    try:
        dsn = parse(text, {})
    except UsageError as error:
        return str(error) + error.hint
    return repr(dsn) + describe(dsn) + dsn.public_url


@given(password)
def test_no_password_is_shown(secret: str) -> None:
    quoted = secret.replace("\\", "\\\\").replace("'", "\\'")
    inner = secret[1:-1]
    for text in (f"postgresql://bob:{secret}@db/app", f"host=db password='{quoted}' dbname=app"):
        assert inner not in redact(text)
        assert "db" in redact(text)
        assert inner not in _everything_said(text)


@given(password)
def test_a_password_survives(secret: str) -> None:
    dsn = parse("host=db", {})
    once = parse(type(dsn)(("db",), (5432,), "b@b", secret, "a/b?c").url, {})
    assert (once.password, once.user, once.database) == (secret, "b@b", "a/b?c")


@given(st.text())
def test_redact_takes_anything(text: str) -> None:
    assert isinstance(redact(text), str)
