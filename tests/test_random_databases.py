"""Random whole databases are moved, and nothing is lost or changed unsaid, by a reading that shares no code.

SQLITE2PG_RANDOM_DATABASES is how many databases are made, SQLITE2PG_RANDOM_SEED the first seed.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from data.accounting import Accounts
from data.audit import faults
from data.random_db import Maker
from fix_migrate import check, sha256

from copier import migration
from copier.config import Settings
from copier.errors import CopierError

COUNT = int(os.environ.get("SQLITE2PG_RANDOM_DATABASES", "40"))
FIRST = int(os.environ.get("SQLITE2PG_RANDOM_SEED", "1"))
REFUSED_EXITS = (2, 5)

CATALOG = """
SELECT format('%s %s', o, i.identity) AS name
FROM (SELECT 'pg_class'::regclass AS o, oid FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace
      UNION ALL SELECT 'pg_namespace'::regclass, oid FROM pg_namespace WHERE nspname NOT LIKE 'pg_t%'
      UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type
      UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc
      UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation
      UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
      UNION ALL SELECT 'pg_extension'::regclass, oid FROM pg_extension) AS all_of_it,
     pg_identify_object(o, oid, 0) AS i
WHERE oid >= 16384
"""


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
async def test_a_random_database(seed: int, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    path = Maker(seed).build(tmp_path / "random.db")
    assert await trouble(path, pg_dsn, pg, **chosen(seed)) == []


def chosen(seed: int) -> dict[str, Any]:
    """Return the settings of a seed."""
    r = random.Random(f"settings {seed}")
    return {
        "types": r.choice(("native", "native", "faithful")),
        "names": r.choice(("exact", "exact", "lower", "snake")),
        "chunk_bytes": r.choice((1, 300, 5000, 4 << 20)),
        "schema": r.choice(("public", f"s {seed}")),
    }


async def trouble(path: Path, dsn: str, pg: asyncpg.Connection, **options: Any) -> list[str]:
    """Move a file, look at everything, take it back; return what is wrong."""
    settings = Settings(sqlite=path, postgres=dsn, no_backup=True, **options)
    before, digest = sorted(await names(pg)), sha256(path)
    try:
        report = await migration.full(settings)
    except CopierError as error:
        left = [n for n in set(await names(pg)) - set(before) if "sqlite2pg" not in n]
        refused = error.exit_code in REFUSED_EXITS and str(error) and not left
        return [] if refused else [f"{type(error).__name__}: {error} ({error.hint}); left behind: {left}"]
    if report.outcome not in ("verified", "attention"):
        return [f"{report.outcome}: {report.error} {report.mismatches[:3]}"]
    found = Accounts(path, report).faults()
    found += [f"nothing is said about {n}" for n in report.objects if n.status == "skipped" and not n.detail]
    found += [f"{t.source!r} is not verified" for t in report.tables if t.verified != "content"]
    found += await faults(path, pg, report, settings.schema)
    again = await check(path, dsn, **options)
    if again.mismatches or again.outcome not in ("verified", "attention"):
        found.append(f"check says {again.outcome}, full said {report.outcome}: {again.mismatches[:3]}")
    await migration.rollback(settings, no_dump=True)
    if (after := sorted(await names(pg))) != before:
        found.append(f"rollback left {set(after) ^ set(before)}")
    if sha256(path) != digest:
        found.append("the source file changed")
    return found


async def names(pg: asyncpg.Connection) -> list[str]:
    return [row["name"] for row in await pg.fetch(CATALOG)]
