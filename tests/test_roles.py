"""The roles script on real servers: each role can do what it is for, and nothing more."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from fix_postgres import KINDS, Servers

from copier import migration
from copier.config import Settings
from copier.errors import UsageError
from copier.plan.names import quote
from copier.plan.roles import Roles, roles_script
from copier.postgres.binaries import installations
from copier.postgres.dsn import parse
from copier.postgres.embedded import EmbeddedServer

Denied = asyncpg.InsufficientPrivilegeError

SCRIPT = """
CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT NOT NULL, updated_at TEXT);
CREATE TABLE note (id INTEGER PRIMARY KEY, author INTEGER REFERENCES author, body TEXT);
CREATE TRIGGER touch AFTER UPDATE ON author BEGIN
  UPDATE author SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id; END;
CREATE VIEW loud AS SELECT upper(body) AS body FROM note;
INSERT INTO author (name) VALUES ('a'), ('b');
INSERT INTO note (author, body) VALUES (1, 'x'), (2, 'y');
"""

PSQL = next((one.bin_dir / "psql" for one in installations() if (one.bin_dir / "psql").exists()), None)


@dataclass(frozen=True, slots=True)
class Place:
    """A database on one server, and the roles to make in it."""

    server: EmbeddedServer
    database: str
    roles: Roles

    def dsn(self, role: str = "postgres") -> str:
        one = parse(self.server.dsn(self.database))
        return one.url.replace("postgres@", f"{role}@", 1)

    async def apply(self, role: str = "postgres", script: str | None = None) -> tuple[int, str]:
        assert PSQL is not None
        environment = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
        process = await asyncio.create_subprocess_exec(
            *(str(PSQL), "-X", "-q", "-d", self.dsn(role), "-f", "-"),
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate((script or roles_script(self.roles)).encode())
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def connect(self, role: str) -> asyncpg.Connection:
        return await asyncpg.connect(self.dsn(role))


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest, pg_servers: Servers) -> AsyncIterator[Place]:
    if PSQL is None:
        pytest.skip("no psql on this machine")
    server = pg_servers.get(request.param)
    async with pg_servers.database(request.param) as name:
        place = Place(server, name, Roles(schema="my shop", database=name, prefix="shop"))
        yield place
        admin = await asyncpg.connect(server.dsn(name))
        try:
            for role in (*place.roles.all, "clouddba"):
                if await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                    await admin.execute(f"DROP OWNED BY {quote(role)} CASCADE; ALTER DATABASE {name} OWNER TO postgres")
                    await admin.execute(f"DROP ROLE {quote(role)}")
        finally:
            await admin.close()


def make_source(path: Path) -> Path:
    with sqlite3.connect(path) as db:
        db.executescript(SCRIPT)
    db.close()
    return path


async def migrate_as_migrator(place: Place, path: Path) -> None:
    settings = Settings(
        sqlite=make_source(path), postgres=place.dsn(place.roles.migrator), schema="my shop", no_backup=True
    )
    report = await migration.full(settings)
    assert report.outcome == "verified", report.to_json().decode()


async def denied(connection: asyncpg.Connection, *statements: str) -> None:
    for statement in statements:
        with pytest.raises((Denied, asyncpg.ReadOnlySQLTransactionError)):
            await connection.execute(statement)


DDL = (
    "CREATE TABLE mine (x int)",
    'CREATE TABLE "my shop".mine (x int)',
    "CREATE TABLE public.mine (x int)",
    "CREATE TEMP TABLE mine (x int)",
    "CREATE SCHEMA mine",
    "ALTER TABLE note ADD COLUMN mine int",
    "DROP TABLE note",
    "TRUNCATE note",
    "CREATE INDEX ON note (body)",
    "CREATE ROLE mine",
    "SELECT * FROM sqlite2pg.reject",
)


async def test_each_role_can_do_its_work_and_nothing_more(place: Place, tmp_path: Path) -> None:
    roles = place.roles
    for _ in range(2):
        code, output = await place.apply()
        assert code == 0, output
        assert f'\\password "{roles.user}"' in output
    await migrate_as_migrator(place, tmp_path / "app.db")
    code, output = await place.apply()
    assert code == 0, output

    app = await place.connect(roles.user)
    try:
        await app.execute("INSERT INTO author (name) VALUES ('c'); UPDATE author SET name = 'd' WHERE id = 3")
        assert await app.fetchval("SELECT updated_at IS NOT NULL FROM author WHERE id = 3"), "the trigger works"
        await app.execute("DELETE FROM author WHERE id = 3")
        assert await app.fetchval("SELECT count(*) FROM loud") == 2
        await denied(app, *DDL, "SET ROLE postgres", f"SET ROLE {quote(roles.migrator)}")
    finally:
        await app.close()

    analytics = await place.connect(roles.analytics)
    try:
        assert await analytics.fetchval("SELECT count(*) FROM note JOIN author ON author.id = author") == 2
        await analytics.execute("SET default_transaction_read_only = off")
        await denied(analytics, *DDL, "INSERT INTO author (name) VALUES ('c')", "UPDATE note SET body = ''")
        await denied(analytics, "DELETE FROM note", "SELECT nextval('author_id_seq')", "COPY note TO PROGRAM 'cat'")
    finally:
        await analytics.close()

    backup = await place.connect(roles.backup)
    try:
        await backup.execute("SET default_transaction_read_only = off")
        await denied(backup, *DDL[:-1], "DELETE FROM note", "INSERT INTO sqlite2pg.run (id) VALUES ('x')")
    finally:
        await backup.close()


async def test_the_backup_role_dumps_the_whole_database(place: Place, tmp_path: Path) -> None:
    assert (await place.apply())[0] == 0
    await migrate_as_migrator(place, tmp_path / "app.db")
    dump = max((one for one in installations() if (one.bin_dir / "pg_dump").exists()), key=lambda one: one.major)
    process = await asyncio.create_subprocess_exec(
        *(str(dump.bin_dir / "pg_dump"), "-d", place.dsn(place.roles.backup)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert b'COPY "my shop".note' in output
    assert b"COPY sqlite2pg.chunk" in output


async def test_nobody_else_gets_in(place: Place) -> None:
    """Not by being PUBLIC; and a role that has more rights than the script gives is refused."""
    admin = await asyncpg.connect(place.dsn())
    try:
        await admin.execute("CREATE ROLE clouddba LOGIN")
        await (await place.connect("clouddba")).close()
        assert (await place.apply())[0] == 0
        with pytest.raises(Denied):
            await place.connect("clouddba")
        await admin.execute(f'GRANT ALL ON SCHEMA "my shop" TO {quote(place.roles.analytics)}')
        await admin.execute(f"ALTER ROLE {quote(place.roles.user)} CREATEDB")
        code, output = await place.apply()
        assert code == 3
        assert f"attributes of an administrator: {place.roles.user}" in output
    finally:
        await admin.close()


async def test_a_role_that_owns_the_database_and_may_create_roles_is_enough(place: Place, tmp_path: Path) -> None:
    """As managed servers give it: no superuser."""
    admin = await asyncpg.connect(place.dsn())
    try:
        await admin.execute("CREATE ROLE clouddba LOGIN CREATEROLE CREATEDB")
        await admin.execute(f"ALTER DATABASE {place.database} OWNER TO clouddba")
    finally:
        await admin.close()
    for _ in range(2):
        code, output = await place.apply("clouddba")
        assert code == 0, output
    await migrate_as_migrator(place, tmp_path / "app.db")


async def test_verifiers_are_taken_and_passwords_are_not(place: Place) -> None:
    verifier = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$" + "A" * 43 + "=:" + "B" * 43 + "="
    given = f"\\set user_verifier '{verifier}'\n\\set backup_verifier 'secret'\n"
    code, output = await place.apply(script=given + roles_script(place.roles))
    assert code == 0, output
    admin = await asyncpg.connect(place.dsn())
    try:
        stored = dict(await admin.fetch("SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'shop%'"))
    finally:
        await admin.close()
    assert stored == {name: verifier if name == place.roles.user else None for name in place.roles.all}


async def test_names_are_only_names(pg_servers: Servers, tmp_path: Path) -> None:
    """And the database is created when it is not there."""
    if PSQL is None:
        pytest.skip("no psql on this machine")
    server = pg_servers.get("wheel18")
    odd = 'o\'dd "x" %I \\ :y $$ ; --'
    place = Place(server, "postgres", Roles(schema=odd, ledger_schema=odd + "l", database=odd, prefix=odd))
    admin = await asyncpg.connect(server.dsn())
    try:
        for _ in range(2):
            code, output = await place.apply()
            assert code == 0, output
        found = {row[0] for row in await admin.fetch("SELECT rolname FROM pg_roles")}
        assert set(place.roles.all) <= found
        assert await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", odd)
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {quote(odd)}")
        for role in place.roles.all:
            await admin.execute(f"DROP ROLE IF EXISTS {quote(role)}")
        await admin.close()


def test_a_name_too_long_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be a name"):
        roles_script(Roles(prefix="x" * 60))


async def test_the_command_prints_it(bare_environment: None) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "copier", "roles", "--print", "--schema", "shop", "--prefix", "shop"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.decode() == roles_script(Roles(schema="shop", prefix="shop"))
