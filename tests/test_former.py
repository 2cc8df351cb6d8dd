"""A run that has ended, and could not say so or was forgotten: the same command tells of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from copier import migration
from copier.config import Settings
from copier.errors import TargetUnusable


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.executescript(
            'CREATE TABLE "Note" (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO "Note" VALUES (1, \'a\')'
        )
    db.close()
    return path


async def refusal(settings: Settings) -> TargetUnusable:
    with pytest.raises(TargetUnusable) as caught:
        await migration.full(settings)
    assert caught.value.exit_code == 5
    return caught.value


@pytest.mark.parametrize("names", ["exact", "lower"])
async def test_the_same_command_again(app: Path, pg_dsn: str, names: str) -> None:
    """Both places that refuse: the checks, and, where the names differ from the source's, the run's own beginning."""
    settings = Settings(sqlite=app, postgres=pg_dsn, no_backup=True, names=names)  # type: ignore[arg-type]
    report = await migration.full(settings)
    error = await refusal(settings)
    assert f"run {report.run}, of the same source and setup, ended verified at 20" in str(error)
    assert "its rows are there" in str(error)
    assert all(word in error.hint for word in ("sqlite2pg check", "rollback", "--existing="))
    assert (await migration.check(settings)).outcome == "verified", "as the hint says"
    await migration.rollback(settings, no_dump=True)
    assert (await migration.full(settings)).outcome == "verified", "as the hint says"


async def test_a_checkpoint_since_makes_no_other_source(app: Path, pg_dsn: str) -> None:
    db = sqlite3.connect(app, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("INSERT INTO Note VALUES (2, 'b')")
    settings = Settings(sqlite=app, postgres=pg_dsn, no_backup=True)
    await migration.full(settings)
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert "ended verified" in str(await refusal(settings))
    db.execute("INSERT INTO Note VALUES (3, 'c')")
    assert "ended" not in str(await refusal(settings))
    db.close()


async def test_the_outcome_is_the_recorded_one(app: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    settings = Settings(sqlite=app, postgres=pg_dsn, no_backup=True)
    await migration.full(settings)
    await pg.execute("UPDATE sqlite2pg.run SET outcome = 'attention'")
    assert "ended attention at" in str(await refusal(settings))


def _other_source(settings: Settings) -> Settings:
    assert settings.sqlite is not None
    with sqlite3.connect(settings.sqlite) as db:
        db.execute("INSERT INTO Note VALUES (2, 'b')")
    db.close()
    return settings


def _other_plan(settings: Settings) -> Settings:
    assert settings.sqlite is not None
    path = settings.sqlite.with_name("plan.toml")
    path.write_text("format = 1\n")
    return replace(settings, plan=path)


@pytest.mark.parametrize(
    "change",
    [
        _other_source,
        _other_plan,
        lambda settings: replace(settings, types="faithful"),
        lambda settings: replace(settings, orphans="quarantine"),
    ],
    ids=["source", "plan file", "types", "orphans"],
)
async def test_another_run_is_not_told_as_the_same(
    app: Path, pg_dsn: str, change: Callable[[Settings], Settings]
) -> None:
    settings = Settings(sqlite=app, postgres=pg_dsn, no_backup=True)
    await migration.full(settings)
    error = await refusal(change(settings))
    assert "ended" not in str(error)
    assert "--existing=append" in error.hint


async def test_the_newest_run_counts(app: Path, pg_dsn: str) -> None:
    """What another run did after it may have changed the rows."""
    settings = Settings(sqlite=app, postgres=pg_dsn, no_backup=True)
    await migration.full(settings)
    await migration.data(replace(settings, existing="truncate"))
    assert "ended" not in str(await refusal(settings))
