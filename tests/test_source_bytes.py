"""The source is only ever read: its bytes are the same after every verb, however it ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import asyncpg
import pytest
from fix_migrate import sha256

from copier import migration
from copier.config import Settings
from copier.errors import RowRefused, TargetUnusable

Journal = Literal["delete", "wal", "wal left behind"]
"""`wal`: an application has it open, and its log holds most rows; the last: the application was killed."""

NOTES = 6000


class Source:
    """A file in one journal mode, with what lies beside it."""

    def __init__(self, path: Path, journal: Journal) -> None:
        self.path, self.journal = path, journal
        self.application: sqlite3.Connection | None = None
        db = sqlite3.connect(path)
        db.executescript(
            "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT, at DATETIME); CREATE INDEX b ON note (body);"
        )
        if journal != "delete":
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA wal_autocheckpoint = 0")
        with db:
            db.executemany(
                "INSERT INTO note (body, at) VALUES (?, '2024-05-06')", ((f"n {i}" * 9,) for i in range(NOTES))
            )
        if journal == "wal":
            self.application = db
        elif journal == "wal left behind":
            kept = path.with_name("kept.db")
            for end in ("", "-wal"):
                shutil.copy(f"{path}{end}", f"{kept}{end}")
            db.close()
            self.path = kept
        else:
            db.close()

    def state(self) -> dict[str, str | int]:
        """Digests of the file and its log; the index of the log (-shm) is no content."""
        names = [self.path.name + end for end in ("", "-wal", "-journal")]
        files = [self.path.with_name(name) for name in names]
        return {path.name: sha256(path) for path in files if path.exists()} | {"inode": self.path.stat().st_ino}


@pytest.fixture(params=["delete", "wal", "wal left behind"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    (tmp_path / "source").mkdir()
    one = Source(tmp_path / "source" / "app.db", request.param)
    yield one
    if one.application is not None:
        one.application.close()


async def start(source: Source, dsn: str, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "copier", *words, "--sqlite", str(source.path), "--progress", "none"),
        *("--log-file", "none", "--script", "none", "--no-backup"),
        env={**os.environ, "DATABASE_URL": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_every_verb(source: Source, pg_dsn: str, tmp_path: Path) -> None:
    before = source.state()
    settings = Settings(sqlite=source.path, postgres=pg_dsn)
    verbs: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("inspect", lambda: migration.inspect(settings)),
        ("validate", lambda: migration.validate(replace(settings, deep=True))),
        ("backup", lambda: migration.backup(source.path, tmp_path / "copy.db")),
        ("schema --print", lambda: migration.schema_script(settings)),
        ("schema", lambda: migration.schema(settings)),
        ("data", lambda: migration.data(settings)),
        ("check", lambda: migration.check(settings)),
        ("rejects --retry", lambda: migration.retry_rejects(settings)),
        ("status", lambda: migration.status(settings)),
        ("rollback", lambda: migration.rollback(settings, no_dump=True)),
        ("rollback", lambda: migration.rollback(settings, no_dump=True)),
        ("full", lambda: migration.full(settings)),
        ("rollback", lambda: migration.rollback(settings, no_dump=True)),
        ("full --freeze", lambda: migration.full(replace(settings, freeze=True, no_backup=True))),
    ]
    for name, verb in verbs:
        outcome = getattr(await verb(), "outcome", "verified")
        assert outcome == "verified", name
        assert source.state() == before, name


@pytest.mark.parametrize("freeze", [False, True])
async def test_runs_that_fail(source: Source, pg_dsn: str, pg: asyncpg.Connection, freeze: bool) -> None:
    before = source.state()
    settings = Settings(sqlite=source.path, postgres=pg_dsn, no_backup=True, freeze=freeze, on_reject="fail")
    with pytest.raises(TargetUnusable):
        await migration.full(replace(settings, postgres=pg_dsn.replace("postgres@", "nobody_here@")))
    assert source.state() == before
    await pg.execute("CREATE TABLE note (id bigint PRIMARY KEY); INSERT INTO note VALUES (1)")
    with pytest.raises(TargetUnusable):
        await migration.full(settings)
    assert source.state() == before
    await pg.execute("DROP TABLE note; CREATE TABLE note (id bigint PRIMARY KEY CHECK (id < 5000), body text, at date)")
    with pytest.raises(RowRefused):
        await migration.data(settings)
    assert source.state() == before


@pytest.mark.parametrize(("kill", "freeze"), [("SIGKILL", True), ("SIGTERM", False)])
async def test_runs_that_are_killed(
    source: Source, pg_dsn: str, pg: asyncpg.Connection, kill: str, freeze: bool
) -> None:
    """In the middle of the copy; then the run goes on."""
    before = source.state()
    words = ("full", "--chunk-bytes", "65536", *(("--freeze",) if freeze else ()))
    process = await start(source, pg_dsn, *words)
    while process.returncode is None and not await pg.fetchval("SELECT to_regclass('sqlite2pg.chunk') IS NOT NULL"):
        await asyncio.sleep(0)
    while process.returncode is None and not await pg.fetchval("SELECT count(*) FROM sqlite2pg.chunk"):
        await asyncio.sleep(0)
    assert process.returncode is None, "the copy must be under way"
    process.kill() if kill == "SIGKILL" else process.terminate()
    await process.communicate()
    assert process.returncode != 0
    assert source.state() == before
    again = await start(source, pg_dsn, *words)
    _, errors = await again.communicate()
    assert again.returncode == 0, errors.decode()
    assert source.state() == before
