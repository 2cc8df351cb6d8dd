"""pg_dump of parts of a target, and what is said when it cannot be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from fix_postgres import Servers

from copier.errors import TargetUnusable
from copier.postgres import binaries
from copier.postgres import dump as module
from copier.postgres.connect import connect, server_info
from copier.postgres.dump import dump

SCHEMA = """
CREATE SCHEMA "My s"; CREATE TABLE "My s"."T ""1"" x" (id int PRIMARY KEY, t text); CREATE TABLE "My s".t2 (id int);
INSERT INTO "My s"."T ""1"" x" VALUES (1, 'it''s'), (2, NULL); CREATE TABLE other (id int);
"""


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_tables_come_back(pg_any: str, pg_servers: Servers, tmp_path: Path) -> None:
    conn = await connect(pg_any)
    try:
        await conn.execute(SCHEMA)
        version = (await server_info(conn)).version_num
        path = await dump(pg_any, [("My s", 'T "1" x')], tmp_path / "one.sql", version)
        assert path == tmp_path / "one.sql"
        assert path.stat().st_mode & 0o777 == 0o600
        assert names(tmp_path) == ["one.sql"]
        assert 'CREATE TABLE "My s".t2 ' not in path.read_text()
        await conn.execute('DROP TABLE "My s"."T ""1"" x"')
        newest = binaries.installations()[0].bin_dir / "psql"
        await asyncio.to_thread(
            binaries.run, [str(newest), "-X", "-v", "ON_ERROR_STOP=1", "-d", pg_any, "-f", str(path)], None
        )
        rows = await conn.fetch('SELECT * FROM "My s"."T ""1"" x" ORDER BY id')
        assert [tuple(row) for row in rows] == [(1, "it's"), (2, None)]
        whole = (await dump(pg_any, "My s", tmp_path / "schema.sql", version)).read_text()
        assert 'CREATE TABLE "My s".t2 ' in whole
        assert "public.other" not in whole
        assert (await dump(pg_any, "My s", tmp_path / "x.dump", version)).read_bytes().startswith(b"PGDMP")
    finally:
        await conn.close()


async def test_password_over_tcp(pg: asyncpg.Connection, pg_servers: Servers, tmp_path: Path) -> None:
    await pg.execute(SCHEMA + "CREATE ROLE erin LOGIN PASSWORD 'p @/:?#'; GRANT pg_read_all_data TO erin")
    try:
        database = await pg.fetchval("SELECT current_database()")
        dsn = pg_servers.get("wheel18").tcp_dsn(database, "erin", "p @/:?#")
        assert "it's" in (await dump(dsn, "My s", tmp_path / "x.sql", 180000)).read_text()
        with pytest.raises(TargetUnusable, match="password authentication failed") as caught:
            await dump(dsn.replace("p%20", "q%20"), "My s", tmp_path / "y.sql", 180000)
        assert "@/:" not in str(caught.value) + caught.value.hint
        assert not (tmp_path / "y.sql").exists()
    finally:
        await pg.execute("DROP OWNED BY erin; DROP ROLE erin")


async def test_what_fails_leaves_nothing(pg_dsn: str, tmp_path: Path) -> None:
    with pytest.raises(TargetUnusable, match="no matching tables"):
        await dump(pg_dsn, [("public", "nothing")], tmp_path / "x.sql", 180000)
    assert names(tmp_path) == []
    with pytest.raises(TargetUnusable, match="cannot be written"):
        await dump(pg_dsn, "public", tmp_path / "no" / "x.sql", 180000)
    with pytest.raises(TargetUnusable, match="no pg_dump here for PostgreSQL 99"):
        await dump(pg_dsn, "public", tmp_path / "x.sql", 990000)


async def test_a_pg_dump_without_tls_gives_way(pg_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = [one for one in binaries.installations() if one.origin == "wheel"]
    monkeypatch.setattr(module, "installations", lambda: wheel)
    with pytest.raises(TargetUnusable, match="SSL support is not compiled in") as caught:
        await dump(pg_dsn + "&sslmode=require", "public", tmp_path / "x.sql", 160000)
    assert "client package" in caught.value.hint


async def test_cancelled(pg: asyncpg.Connection, pg_dsn: str, tmp_path: Path) -> None:
    await pg.execute("CREATE TABLE locked (id int)")
    async with pg.transaction():
        await pg.execute("LOCK TABLE locked")
        task = asyncio.create_task(dump(pg_dsn, "public", tmp_path / "x.sql", 180000))
        async with asyncio.timeout(30):
            while not await pg.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert names(tmp_path) == []
