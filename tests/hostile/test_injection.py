"""Names and texts of the source that would do harm if any of them were executed on the target as they are.

A table `canary` stands in the target before; nothing may touch it, and no role, function or table may come to be that
the plan does not have. Where a text cannot be translated it is reported, not run.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from data.accounting import Accounts
from data.audit import faults
from fix_migrate import full
from fix_tally import TALLY

from copier import migration
from copier.config import Settings
from copier.plan.names import quote

HARM = "DROP TABLE canary; CREATE TABLE harmed (x int); CREATE ROLE harmed SUPERUSER"

NAMES = (
    f'x"; {HARM}; --',
    f"x'; {HARM}; --",
    f"x$$; {HARM}; $$",
    f"x/*; {HARM}; */",
    f"x\n; {HARM};\n--",
    f"x\\'; {HARM}; --",
    "x\\0y",
    "x\ty\rz",
    "\u202eevil",
    '""',
    "'",
    "--",
    "%s {0} $1 :a",
    "pg_catalog.pg_class",
)


async def harm_done(pg: asyncpg.Connection) -> list[str]:
    """Return what stands in the database that no honest run would leave there."""
    found = [
        f"{row['relname']} was made" for row in await pg.fetch("SELECT relname FROM pg_class WHERE relname = 'harmed'")
    ]
    found += [
        f"role {row['rolname']}" for row in await pg.fetch("SELECT rolname FROM pg_roles WHERE rolname = 'harmed'")
    ]
    if await pg.fetchval("SELECT count(*) FROM public.canary") != 1:
        found.append("the canary is gone")
    return found


async def move(path: Path, dsn: str, pg: asyncpg.Connection) -> None:
    """Move the file beside the canary; everything must be right, and no harm done."""
    await pg.execute("CREATE TABLE public.canary (x int); INSERT INTO public.canary VALUES (1)")
    report = await full(path, dsn)
    assert await harm_done(pg) == []
    assert report.outcome in ("verified", "attention")
    assert Accounts(path, report).faults() == []
    assert await faults(path, pg, report, "public") == []


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:30])
async def test_names(name: str, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    """As the name of a table, a column, an index, a constraint, a view and a trigger at once."""
    path = tmp_path / "a.db"
    quoted = quote(name)
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            f"CREATE TABLE {quoted} (id INTEGER PRIMARY KEY, {quoted} TEXT, CONSTRAINT {quoted} UNIQUE ({quoted}))"
        )
        db.execute(f"CREATE INDEX {quote('i' + name)} ON {quoted} ({quoted} DESC)")
        db.execute(f"CREATE VIEW {quote('v' + name)} AS SELECT {quoted} FROM {quoted}")
        db.execute(
            f"CREATE TRIGGER {quote('t' + name)} AFTER INSERT ON {quoted} BEGIN"
            f" UPDATE {quoted} SET {quoted} = {quoted} WHERE id = NEW.id; END"
        )
        db.execute(f"INSERT INTO {quoted} ({quoted}) VALUES (?), (NULL)", (name,))
        db.commit()
    await move(path, pg_dsn, pg)
    TALLY.inputs["hostile names"] += 1


TEXTS = {
    "default": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT DEFAULT 'x''); {HARM}; --')",
    "default expression": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT DEFAULT ('x' || '); {HARM}; --'))",
    "default dollar": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT DEFAULT '$$; {HARM}; $$')",
    "default backslash": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT DEFAULT '\\''; {HARM}; --')",
    "default blob": "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB DEFAULT x'44524f50205441424c452063616e617279')",
    "declared type": f'CREATE TABLE t (id INTEGER PRIMARY KEY, v "text); {HARM}; --")',
    "collation": "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT COLLATE nocase)",
    "check": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (v <> '); {HARM}; --'))",
    "check function": "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (length(v) < 10 OR v LIKE '%; --%'))",
    "generated": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, g TEXT AS (v || '); {HARM}; --') STORED)",
    "partial index": "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);"
    f" CREATE INDEX i ON t (v) WHERE v <> '; {HARM}; --'",
    "expression index": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE INDEX i ON t (v || '); {HARM}; --')",
    "view": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE VIEW w AS SELECT v, '; {HARM}; --' AS x FROM t",
    "view comment": "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);"
    f" CREATE VIEW w AS SELECT v /* */ FROM t -- ; {HARM}",
    "view of dangerous functions": "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);"
    " CREATE VIEW w AS SELECT load_extension('x'), writefile('a', v), pg_read_file('/etc/passwd') FROM t",
    "trigger": f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TRIGGER g AFTER UPDATE ON t BEGIN"
    f" UPDATE t SET v = '$$; {HARM}; $$' WHERE id = NEW.id; END",
    "foreign key": f'CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT REFERENCES "p""; {HARM}; --" (id))',
}


@pytest.mark.parametrize("what", TEXTS)
async def test_texts(what: str, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as db:
        # A view may name functions that SQLite does not have here; it is only asked when it is read.
        db.executescript(TEXTS[what])
        db.execute("INSERT INTO t (v) VALUES (?), ('plain')", (f"'); {HARM}; --",))
        db.commit()
    await pg.execute("CREATE TABLE public.canary (x int); INSERT INTO public.canary VALUES (1)")
    report = await full(path, pg_dsn)
    assert await harm_done(pg) == []
    assert report.outcome in ("verified", "attention")
    assert await faults(path, pg, report, "public") == []
    TALLY.inputs["hostile texts"] += 1


async def test_the_script_does_no_harm_either(tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    """`schema --print` of all hostile names, run by psql."""
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("psql is not here")
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as db:
        for number, name in enumerate(NAMES):
            quoted = quote(f"{number}{name}")
            db.execute(f"CREATE TABLE {quoted} (id INTEGER PRIMARY KEY, {quoted} TEXT DEFAULT '''; {HARM}; --')")
        db.commit()
    await pg.execute("CREATE TABLE public.canary (x int); INSERT INTO public.canary VALUES (1)")
    script = await migration.schema_script(Settings(sqlite=path))
    ended = await asyncio.to_thread(
        subprocess.run, [psql, "-X", "-q", pg_dsn], input=script, text=True, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert await harm_done(pg) == []
    assert await pg.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == len(NAMES) + 1
