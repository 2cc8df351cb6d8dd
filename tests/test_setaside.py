"""Taking indexes, foreign keys and triggers off existing tables and putting them back exactly."""

from __future__ import annotations

import asyncpg
import pytest

from copier.postgres.connect import connect
from copier.postgres.setaside import find_set_aside, put_back, set_aside

SCHEMA = """
CREATE SCHEMA "App s";
SET search_path = "App s";
CREATE TABLE parent (id bigint PRIMARY KEY, code text UNIQUE);
CREATE TABLE "Child" (
    id bigint PRIMARY KEY,
    parent bigint REFERENCES parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    code text REFERENCES parent (code),
    old bigint,
    body text
);
COMMENT ON CONSTRAINT "Child_code_fkey" ON "Child" IS 'it''s';
ALTER TABLE "Child" ADD CONSTRAINT old_fk FOREIGN KEY (old) REFERENCES parent NOT VALID;
CREATE INDEX "by Body" ON "Child" (lower(body) DESC) INCLUDE (old) WHERE body IS NOT NULL;
CREATE INDEX plain ON "Child" (parent);
CREATE UNIQUE INDEX only_once ON "Child" (body);
CREATE INDEX commented ON "Child" (code);
COMMENT ON INDEX commented IS 'stays';
CREATE INDEX clustered ON "Child" (old);
CLUSTER "Child" USING clustered;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''fired''; END';
CREATE TRIGGER normal BEFORE INSERT ON "Child" FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER always BEFORE INSERT ON "Child" FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER off BEFORE INSERT ON "Child" FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE "Child" ENABLE ALWAYS TRIGGER always;
ALTER TABLE "Child" DISABLE TRIGGER off;
CREATE TABLE other (id bigint PRIMARY KEY, child bigint REFERENCES "Child");
CREATE INDEX other_child ON other (child);
RESET search_path
"""

STATE = """
SELECT 'index' AS kind, c.relname::text AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = '"App s"'::regnamespace
UNION ALL
SELECT 'constraint', conname::text, pg_get_constraintdef(oid) || ' ' || convalidated
       || coalesce(obj_description(oid, 'pg_constraint'), '')
FROM pg_constraint WHERE connamespace = '"App s"'::regnamespace
UNION ALL
SELECT 'trigger', tgname::text, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1, 2
"""


async def state(conn: asyncpg.Connection) -> list[tuple[str, ...]]:
    return [tuple(row) for row in await conn.fetch(STATE)]


async def test_everything_comes_back_exactly(pg_any: str) -> None:
    conn = await asyncpg.connect(pg_any)
    try:
        await conn.execute(SCHEMA)
        before = await state(conn)
        items = await find_set_aside(conn, "App s", ["Child", "parent", "no such table"])
        assert {(item.kind, item.name) for item in items} == {
            ("trigger", "normal"),
            ("trigger", "always"),
            ("foreign key", "Child_parent_fkey"),
            ("foreign key", "Child_code_fkey"),
            ("foreign key", "old_fk"),
            ("index", "by Body"),
            ("index", "plain"),
        }
        assert {item.table for item in items} == {"Child"}
        assert await conn.fetchval("SHOW search_path") == '"$user", public'
        async with conn.transaction():
            await set_aside(conn, reversed(items))
        assert len(await state(conn)) == len(before) - 5
        await conn.execute("""INSERT INTO "App s"."Child" VALUES (1, NULL, NULL, NULL, 'b')""")  # no trigger fires
        assert await put_back(conn, items) == []
        assert await state(conn) == before
        assert await put_back(conn, items) == []  # again, as after a kill
        assert await state(conn) == before
        with pytest.raises(asyncpg.RaiseError):
            await conn.execute("""INSERT INTO "App s"."Child" VALUES (2)""")
    finally:
        await conn.close()


async def test_inside_a_transaction(pg: asyncpg.Connection) -> None:
    await pg.execute(SCHEMA)
    before = await state(pg)
    async with pg.transaction():
        await pg.execute("SET LOCAL search_path = public")
        items = await find_set_aside(pg, "App s", ["Child"])
        assert await pg.fetchval("SHOW search_path") == "public"
        await set_aside(pg, items)
        assert await put_back(pg, items) == []
    assert await state(pg) == before


async def test_what_is_refused_is_returned_and_the_rest_is_put_back(pg: asyncpg.Connection) -> None:
    await pg.execute(SCHEMA)
    items = await find_set_aside(pg, "App s", ["Child"])
    await set_aside(pg, items)
    await pg.execute("""INSERT INTO "App s"."Child" VALUES (1, 99, NULL, 77, 'b')""")
    refused = await put_back(pg, items)
    assert [item.name for item, _ in refused] == ["Child_parent_fkey"]  # old_fk was NOT VALID before
    assert "violates foreign key constraint" in refused[0][1]
    assert "(parent)=(99)" in refused[0][1]
    valid = dict(await pg.fetch("SELECT conname::text, convalidated FROM pg_constraint WHERE contype = 'f'"))
    assert valid == {
        "Child_parent_fkey": False,
        "Child_code_fkey": True,
        "old_fk": False,
        "other_child_fkey": True,
    }


async def test_a_lost_connection_is_not_a_refusal(pg: asyncpg.Connection, pg_dsn: str) -> None:
    await pg.execute(SCHEMA)
    conn = await connect(pg_dsn)
    items = await find_set_aside(conn, "App s", ["Child"])
    await set_aside(conn, items)
    await pg.execute("SELECT pg_terminate_backend($1, 5000)", conn.get_server_pid())
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await put_back(conn, items)


async def test_only_what_the_role_can_put_back(pg: asyncpg.Connection) -> None:
    await pg.execute(SCHEMA)
    await pg.execute("""CREATE ROLE carol; GRANT USAGE ON SCHEMA "App s" TO carol;
                        ALTER TABLE "App s".other OWNER TO carol; SET ROLE carol""")
    try:
        assert await find_set_aside(pg, "App s", ["Child", "other"]) == []
        await pg.execute("""RESET ROLE; GRANT CREATE ON SCHEMA "App s" TO carol;
                            GRANT REFERENCES ON "App s"."Child" TO carol; SET ROLE carol""")
        items = await find_set_aside(pg, "App s", ["Child", "other"])
        assert [(item.kind, item.name) for item in items] == [
            ("foreign key", "other_child_fkey"),
            ("index", "other_child"),
        ]
        await set_aside(pg, items)
        assert await put_back(pg, items) == []
    finally:
        await pg.execute("RESET ROLE; DROP OWNED BY carol; DROP ROLE carol")


async def test_partitioned_tables(pg: asyncpg.Connection) -> None:
    await pg.execute("""
        CREATE TABLE up (id int PRIMARY KEY);
        CREATE TABLE whole (id int REFERENCES up, part int) PARTITION BY LIST (part);
        CREATE TABLE one PARTITION OF whole FOR VALUES IN (1);
        CREATE INDEX whole_id ON whole (id)""")
    items = await find_set_aside(pg, "public", ["whole", "one"])
    assert [(item.kind, item.table) for item in items] == [("foreign key", "whole")]
    await set_aside(pg, items)
    assert await put_back(pg, items) == []


async def test_no_such_schema(pg: asyncpg.Connection) -> None:
    assert await find_set_aside(pg, "nowhere", ["x"]) == []
