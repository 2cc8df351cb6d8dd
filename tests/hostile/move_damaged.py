"""Moves each file named on stdin into one database, and says as a JSON line per file how it ended.

    python move_damaged.py DSN < paths

"trouble" is what a person would have to complain about: no sentence, something left visible, rows that differ from what
SQLite itself reads. An error in the middle is none, when `rollback` can take the run back.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import asyncpg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.audit import faults

from copier import migration
from copier.config import Settings
from copier.errors import CopierError


async def move(path: Path, dsn: str, pg: asyncpg.Connection) -> dict[str, Any]:
    """Move one file, look at the target, take it back."""
    settings = Settings(sqlite=path, postgres=dsn, no_backup=True)
    ended: dict[str, Any] = {"file": path.name, "refused": 0, "trouble": []}
    try:
        report = await migration.full(settings)
    except CopierError as error:
        ended["refused"] = 1
        if not str(error) or not error.hint:
            ended["trouble"].append(f"no sentence or hint: {error!r}")
    except Exception:
        ended["trouble"].append(traceback.format_exc())
    else:
        if report.outcome not in ("verified", "attention"):
            ended["trouble"].append(f"{report.outcome}: {report.error} {report.mismatches[:2]}")
        ended["trouble"] += await _read_again(path, pg, report)
    ended["trouble"] += await _take_back(settings, pg)
    return ended


async def _read_again(path: Path, pg: asyncpg.Connection, report: Any) -> list[str]:
    """Compare with what plain sqlite3 reads."""
    try:
        found = await faults(path, pg, report, "public")
        # A damaged index, which only --deep looks for, lets SQLite's own views answer otherwise than its tables.
        return [one for one in found if not one.startswith("view ")]
    except Exception:
        return [f"it said {report.outcome}, and reading it again fails: {traceback.format_exc()}"]


async def _take_back(settings: Settings, pg: asyncpg.Connection) -> list[str]:
    """Roll the run back, if there was one; nothing may be left in the schema."""
    if await pg.fetchval("SELECT to_regclass('sqlite2pg.run')") is not None:
        if await pg.fetchval("SELECT count(*) FROM sqlite2pg.run"):
            try:
                await migration.rollback(settings, no_dump=True)
            except CopierError as error:
                return [f"rollback: {error}"]
        await pg.execute("DROP SCHEMA IF EXISTS sqlite2pg CASCADE")
    left = await pg.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    return [f"left behind: {row['relname']}" for row in left]


async def main(dsn: str) -> None:
    """Move one after the other."""
    pg = await asyncpg.connect(dsn)
    try:
        for line in sys.stdin.read().splitlines():
            print(json.dumps(await move(Path(line), dsn, pg)), flush=True)
    finally:
        await pg.close()


asyncio.run(main(sys.argv[1]))
