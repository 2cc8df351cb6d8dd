"""The verb `salvage`, and `--salvage`: a run whose source is damaged goes on from what could be read of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from data.damage import leaves, overwrite, read_page, read_rows, write_page
from data.salvage_case import ROWS, Case, case, make
from fix_migrate import sha256
from rich.console import Console

from copier import migration
from copier.cli import main
from copier.cli.render import render_report
from copier.config import Settings
from copier.documents import read_document
from copier.errors import PreflightError, SourceUnreadable, UsageError
from copier.events import Event, Message
from copier.page.render import render_page
from copier.report import LOSSES_SHOWN, Report
from copier.verdict import headline

DRIVER = Path(__file__).parent / "faults" / "kill_at.py"


@pytest.fixture
def notes(tmp_path: Path) -> Case:
    """A file with a destroyed leaf; `rows` are those that are left."""
    path = make(tmp_path / "app.db")
    rows = read_rows(path)
    page = leaves(path, "note")[4]
    overwrite(path, [page])
    lost = {row[0] for row in rows["note"]} - {row[0] for row in read_everything(path)}
    return Case(
        path, path.with_name("app.salvaged.db"), rows | {"note": {row for row in rows["note"] if row[0] not in lost}}
    )


def read_everything(path: Path) -> list[tuple[int]]:
    """Return the rowids that single look-ups find."""
    found = []
    with closing(sqlite3.connect(path)) as db:
        for rowid in range(-60, 2 * ROWS):
            try:
                found += db.execute("SELECT id FROM note NOT INDEXED WHERE id = ?", (rowid,)).fetchall()
            except sqlite3.DatabaseError:
                continue
    return found


async def target_rows(pg: asyncpg.Connection) -> dict[str, set[tuple[Any, ...]]]:
    notes = await pg.fetch("SELECT id, id, body, score, extra FROM note")
    return {
        "note": {(*row[:2], row[2].encode(), *row[3:]) for row in map(tuple, notes)},
        "plain": {(row[0], row[1].encode()) for row in await pg.fetch("SELECT a, b FROM plain")},
        "pair": {(0, row[0].encode(), row[1], row[2]) for row in await pg.fetch("SELECT a, b, c FROM pair")},
    }


async def assert_moved(notes: Case, pg: asyncpg.Connection) -> None:
    """The target has the rows that are left, each with its values."""
    found = await target_rows(pg)
    assert found["note"] == notes.rows["note"]
    assert found["pair"] == notes.rows["pair"]
    assert found["plain"] == {row[1:] for row in notes.rows["plain"]}


def settings(notes: Case, dsn: str, **more: Any) -> Settings:
    return Settings(sqlite=notes.path, postgres=dsn, salvage=True, **more)


class TestVerb:
    @pytest.mark.usefixtures("bare_environment")
    def test_lists_what_is_lost_and_ends_with_3(self, notes: Case, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["salvage", "--sqlite", str(notes.path), "--to", "sound.db", "--progress", "none"]) == 3
        shown = capfd.readouterr().out
        for said in ("1 page lost", "rowid ", "database disk", "malformed", "sound.db.json", "sha256"):
            assert said in shown
        assert read_rows(Path("sound.db")) == notes.rows

    @pytest.mark.usefixtures("bare_environment")
    def test_prints_the_listing_as_json(self, notes: Case, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["salvage", "--sqlite", str(notes.path), "--to", "sound.db", "--json", "--progress", "none"]) == 3
        told = json.loads(capfd.readouterr().out)
        listed = json.loads(Path("sound.db.json").read_text())
        assert listed == {"kind": "salvage", "version": 1} | told
        assert told["counts"] == {"pages": 1}

    @pytest.mark.usefixtures("bare_environment")
    def test_a_sound_file_ends_with_0(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = make(tmp_path / "whole.db")
        assert main(["salvage", "--sqlite", str(path), "--to", "sound.db", "--progress", "none"]) == 0
        assert "nothing was lost" in capfd.readouterr().out

    @pytest.mark.usefixtures("bare_environment")
    def test_wrong_usage(self, notes: Case, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["salvage", "--sqlite", str(notes.path)]) == 2
        assert main(["salvage", "--sqlite", str(notes.path), "--to", str(notes.path)]) == 2
        notes.path.write_bytes(b"no database")
        assert main(["salvage", "--sqlite", str(notes.path), "--to", "sound.db"]) == 5
        assert capfd.readouterr().err.count("error: ") == 3


async def test_full_moves_what_is_left_and_says_what_is_lost(notes: Case, pg_dsn: str, pg: asyncpg.Connection) -> None:
    before = sha256(notes.path)
    heard: list[Event] = []
    report = await migration.full(settings(notes, pg_dsn), heard.append)
    await assert_moved(notes, pg)
    assert (report.outcome, report.exit_code) == ("attention", 3)
    assert {table.verified for table in report.tables} == {"content"}
    assert (report.source["path"], report.source["salvaged_from"]) == (str(notes.to), str(notes.path))
    assert report.source["backup"] is None
    assert sha256(notes.path) == before
    assert report.salvage is not None
    assert (report.salvage["lost"], report.salvage["lost_pages"], len(report.salvage["losses"])) == (1, 1, 1)
    assert "1 loss from the damaged source" in headline(report)
    warnings = [event.text for event in heard if isinstance(event, Message) and event.level == "warning"]
    assert any(f"{notes.path} is damaged" in text and "app.salvaged.db.json" in text for text in warnings)
    assert report.phases[0]["name"] == "salvage"
    assert not list(notes.path.parent.glob("*.backup"))


async def test_the_report_and_its_page_tell_it(notes: Case, pg_dsn: str, tmp_path: Path) -> None:
    report = await migration.full(settings(notes, pg_dsn))
    assert report.salvage is not None
    report.salvage["losses"][0]["where"] += "<script>"
    (tmp_path / "out.json").write_bytes(report.to_json())
    again = read_document(tmp_path / "out.json")
    assert isinstance(again, Report)
    assert again.salvage is not None
    assert again.salvage["losses"][0].items() <= report.salvage["losses"][0].items()
    assert [again.salvage[key] for key in ("path", "lost")] == [report.salvage[key] for key in ("path", "lost")]
    page = render_page(again)
    for said in ("The damaged source", "is damaged", "1 page lost", "app.salvaged.db.json", "rowid ", "&lt;script&gt;"):
        assert said in page
    assert "<script>" not in page
    console = Console(width=200, record=True)
    render_report(again, console)
    shown = console.export_text()
    for said in ("What ", " has lost", "cannot be read (1 page)", "database disk image is malformed", "source:"):
        assert said in shown
    broken = json.loads(report.to_json())
    broken["salvage"]["lost"] = "many"
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    with pytest.raises(UsageError, match="lost"):
        read_document(tmp_path / "broken.json")


def kill(moment: str, notes: Case, dsn: str) -> asyncio.Future[Any]:
    words = ["full", "--salvage", "--sqlite", str(notes.path), "--script", "none", "--log-file", "none"]
    words += ["--progress", "none", "--chunk-bytes", str(64 << 10), "--report", str(notes.path.with_name("out.json"))]
    return asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *(sys.executable, str(DRIVER), "SIGKILL", moment, *words),
            env={**os.environ, "DATABASE_URL": dsn},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    )


@pytest.mark.parametrize("moment", ["after:salvage", "before:constraints"])
async def test_killed_it_goes_on_from_the_same_file(
    notes: Case, moment: str, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    process = await kill(moment, notes, pg_dsn)
    await process.communicate()
    assert process.returncode == -signal.SIGKILL
    made = notes.to.stat().st_ino
    again = await kill("never", notes, pg_dsn)
    _, said = await again.communicate()
    assert again.returncode == 3, said.decode()
    assert notes.to.stat().st_ino == made
    assert "is there already" in said.decode()
    await assert_moved(notes, pg)
    report = json.loads(notes.path.with_name("out.json").read_bytes())
    assert (report["outcome"], report["salvage"]["lost"]) == ("attention", 1)
    if moment == "before:constraints":
        assert await pg.fetchval("SELECT attempts FROM sqlite2pg.run") == 1


async def test_a_file_of_another_state_is_refused(notes: Case, pg_dsn: str, pg: asyncpg.Connection) -> None:
    await migration.salvage(notes.path, notes.to)
    with closing(sqlite3.connect(notes.path)) as db:
        db.execute("DELETE FROM pair")
        db.commit()
    with pytest.raises(PreflightError, match="it was not salvaged from this state") as told:
        await migration.full(settings(notes, pg_dsn))
    assert "move it away" in told.value.hint
    assert not await pg.fetchval("SELECT to_regclass('sqlite2pg.run') IS NOT NULL")


async def test_a_sound_source_is_moved_as_ever(tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    whole = case(make(tmp_path / "app.db"))
    heard: list[Event] = []
    report = await migration.full(settings(whole, pg_dsn), heard.append)
    assert "loss" not in headline(report)
    await assert_moved(whole, pg)
    assert report.salvage is None
    assert "salvaged_from" not in report.source
    assert any("is sound: --salvage changes nothing" in one.text for one in heard if isinstance(one, Message))
    assert not list(tmp_path.glob("*.salvaged.db*"))
    assert len(list(tmp_path.glob("*.backup"))) == 1


async def test_a_damaged_index_is_no_loss(tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
    whole = case(make(tmp_path / "app.db"))
    overwrite(whole.path, leaves(whole.path, "note_body")[1:3])
    backup = tmp_path / "kept" / "app.backup"
    backup.parent.mkdir()
    report = await migration.full(settings(whole, pg_dsn, backup=backup))
    assert report.salvage is not None
    assert (report.salvage["lost"], report.salvage["losses"]) == (0, [])
    assert report.source["path"] == str(backup.with_name("app.salvaged.db")), "beside --backup where one is named"
    assert backup.exists()
    assert "loss" not in headline(report)
    await assert_moved(whole, pg)


async def test_data_goes_into_tables_that_exist(notes: Case, pg_dsn: str, pg: asyncpg.Connection) -> None:
    await pg.execute("CREATE TABLE plain (a bigint, b text)")
    report = await migration.data(settings(notes, pg_dsn, tables=("plain",)))
    assert (report.outcome, report.command) == ("attention", "data")
    assert await pg.fetchval("SELECT count(*) FROM plain") == len(notes.rows["plain"])


async def test_without_the_flag_the_refusal_names_it(notes: Case, pg_dsn: str) -> None:
    wanted = Settings(sqlite=notes.path, postgres=pg_dsn)
    with pytest.raises(SourceUnreadable, match="is damaged") as told:
        await migration.full(wanted)
    assert told.value.exit_code == 5
    assert "--salvage" in told.value.hint
    with pytest.raises(SourceUnreadable, match="source passes quick_check") as told:
        await migration.full(replace(wanted, no_backup=True))
    assert "--salvage" in told.value.hint


async def test_a_report_lists_the_first_losses_and_counts_all(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", before="PRAGMA page_size = 512")
    for table in ("note", "pair"):
        for page in leaves(path, table)[::2]:
            raw = read_page(path, page)
            write_page(path, page, raw[:8] + bytes(len(raw) - 8))
    result = await migration.salvage(path, tmp_path / "sound.db")
    shown = result.document(LOSSES_SHOWN)
    assert len(shown["losses"]) == LOSSES_SHOWN < shown["lost"]
    assert shown["lost"] == len(result.losses) == sum(shown["counts"].values())
