"""Salvage: a damaged file's rows in a new one, and a list of what is missing that leaves nothing out."""

# ruff: noqa: ASYNC221 (a test may block its own loop)

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from data.damage import interior, leaves, overflow, overwrite, read_page, write_page
from data.salvage_case import MALFORMED, ROWS, Case, case, lost_keys, make, schema_of
from fix_migrate import sha256


@pytest.fixture
def notes(tmp_path: Path) -> Case:
    return case(make(tmp_path / "app.db"))


async def test_a_sound_file_is_carried_whole(notes: Case) -> None:
    result, found = await notes.salvage()
    assert found == notes.rows
    assert (result.losses, result.problems, result.notes) == ((), (), ())
    assert result.rows == sum(map(len, found.values()))
    assert schema_of(notes.to) == schema_of(notes.path)
    with closing(sqlite3.connect(notes.to)) as db:
        pragmas = ("page_size", "encoding", "user_version", "application_id")
        assert [db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == [1024, "UTF-8", 7, 99]
        assert db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'note'").fetchone() == (-50 + 2 * ROWS - 2,)
    assert sorted(path.name for path in notes.path.parent.iterdir()) == [
        *("app.db", "sound.db", "sound.db.json", "sound.db.sha256"),
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in notes.to.parent.glob("sound.db*")} == {0o600}
    assert result.sha256 == sha256(notes.to)
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--strict", "-c", "sound.db.sha256"], cwd=notes.to.parent, check=True)
    assert json.loads(result.listing.read_text())["lost"] == 0


WHERE: dict[str, Callable[[list[int]], list[int]]] = {
    "first": lambda pages: pages[:1],
    "middle": lambda pages: pages[9:10],
    "last": lambda pages: pages[-1:],
    "neighbours": lambda pages: pages[5:9],
    "scattered": lambda pages: pages[2::7],
}


@pytest.mark.parametrize("garble", [False, True])
@pytest.mark.parametrize("where", WHERE)
async def test_destroyed_leaves_lose_their_own_rows_and_no_others(notes: Case, where: str, garble: bool) -> None:
    pages = WHERE[where](leaves(notes.path, "note"))
    overwrite(notes.path, pages, garble=garble)
    result, found = await notes.salvage()
    assert {name: found[name] for name in ("plain", "pair")} == {name: notes.rows[name] for name in ("plain", "pair")}
    lost = notes.rows["note"] - found["note"]
    assert found["note"] < notes.rows["note"]
    assert {row[0] for row in lost} == lost_keys(notes, result, "note"), "the list names them, and nothing else"
    assert {loss.kind for loss in result.losses} == {"pages"}
    assert {loss.reason for loss in result.losses} == {MALFORMED}
    assert sum(loss.pages for loss in result.losses) == len(pages)
    assert len(result.losses) == (1 if where != "scattered" else len(pages))


@pytest.mark.parametrize("garble", [False, True])
@pytest.mark.parametrize("place", [0, 1, -1])
async def test_leaves_below_a_destroyed_interior_page_are_found_again(tmp_path: Path, place: int, garble: bool) -> None:
    notes = case(make(tmp_path / "app.db", before="PRAGMA page_size = 512"))
    assert len(interior(notes.path, "note")) >= 3, "levels"
    [page] = [interior(notes.path, "note")[place]]
    overwrite(notes.path, [page], garble=garble)
    result, found = await notes.salvage()
    assert found == notes.rows
    assert [(loss.kind, loss.table, loss.pages, loss.page) for loss in result.losses] == [("pages", "note", 1, page)]
    assert result.losses[0].found_rows == len(lost_keys(notes, result, "note"))


@pytest.mark.parametrize("pragma", ["page_size = 65536", "auto_vacuum = 1", "auto_vacuum = 2"])
async def test_files_of_another_make(tmp_path: Path, pragma: str) -> None:
    notes = case(make(tmp_path / "app.db", before=f"PRAGMA {pragma}"))
    overwrite(notes.path, leaves(notes.path, "note")[:1])
    result, found = await notes.salvage()
    assert found["pair"] == notes.rows["pair"]
    assert {row[0] for row in notes.rows["note"] - found["note"]} == lost_keys(notes, result, "note")
    with closing(sqlite3.connect(notes.to)) as db:
        name, _, value = pragma.partition(" = ")
        assert db.execute(f"PRAGMA {name}").fetchone() == (int(value),)


async def test_a_broken_overflow_chain_loses_one_row(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db")) as db:
        db.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, body BLOB)")
        db.executemany("INSERT INTO b (body) VALUES (?)", [(bytes([n]) * 30_000,) for n in range(20)])
        db.commit()
    blobs = case(tmp_path / "app.db")
    page = overflow(blobs.path, "b")[30]
    write_page(blobs.path, page, (10**6).to_bytes(4) + read_page(blobs.path, page)[4:])
    result, found = await blobs.salvage()
    [loss] = result.losses
    assert (loss.kind, loss.rows, loss.where) == ("row", 1, f"rowid {loss.first}")
    assert {row[0] for row in blobs.rows["b"] - found["b"]} == {loss.first}


@pytest.mark.parametrize("level", ["leaf", "interior"])
async def test_a_without_rowid_table_keeps_what_can_be_reached(notes: Case, level: str) -> None:
    page = leaves(notes.path, "pair")[5] if level == "leaf" else interior(notes.path, "pair")[0]
    overwrite(notes.path, [page])
    result, found = await notes.salvage()
    assert found["pair"] < notes.rows["pair"]
    if level == "leaf":
        [loss] = result.losses
        assert loss.where.startswith(f"page {page}, after a='k")
        assert len(notes.rows["pair"] - found["pair"]) < 60
    else:
        unreached = [loss for loss in result.losses if loss.table == "(no table)"]
        assert [loss.pages for loss in unreached] == [len(leaves_of_index(notes, page))]


def leaves_of_index(notes: Case, root: int) -> list[int]:
    """Leaves that lost their root, counted in a sound file of the same making."""
    sound = make(notes.path.with_name("again.db"))
    assert interior(sound, "pair") == [root]
    return leaves(sound, "pair")


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
async def test_rows_beside_a_broken_cell_are_carried_to_the_byte(tmp_path: Path, encoding: str) -> None:
    """Of such a page each row is decoded and written anew, text in the file's own encoding."""
    notes = case(make(tmp_path / "app.db", before=f"PRAGMA encoding = '{encoding}'"))
    with closing(sqlite3.connect(notes.path)) as db:
        db.execute("UPDATE note SET body = CAST(x'fffe80' AS TEXT) WHERE id = -40")
        db.commit()
    notes = case(notes.path)
    page = leaves(notes.path, "note")[0]
    raw = bytearray(read_page(notes.path, page))
    raw[8 + 2 * 3 : 8 + 2 * 4] = (0).to_bytes(2)  # the pointer to the fourth cell
    write_page(notes.path, page, bytes(raw))
    result, found = await notes.salvage()
    assert notes.rows["note"] - found["note"] == {row for row in notes.rows["note"] if row[0] == -44}
    assert lost_keys(notes, result, "note") == {-44}
    with closing(sqlite3.connect(notes.to)) as db:
        assert db.execute("PRAGMA encoding").fetchone() == (encoding,)


async def test_damaged_indexes_are_built_anew_and_nothing_is_lost(notes: Case) -> None:
    overwrite(notes.path, leaves(notes.path, "note_body")[2:4])
    overwrite(notes.path, interior(notes.path, "note_score")[:1], garble=True)
    result, found = await notes.salvage()
    assert found == notes.rows
    assert result.losses == ()
    assert result.problems
    assert schema_of(notes.to) == schema_of(notes.path)


async def test_a_damaged_list_of_free_pages_costs_nothing(notes: Case) -> None:
    with closing(sqlite3.connect(notes.path)) as db:
        db.execute("DROP TABLE plain")
        db.commit()
        trunk = notes.path.read_bytes()[32:36]
    notes = case(notes.path)
    overwrite(notes.path, [int.from_bytes(trunk)], garble=True)
    result, found = await notes.salvage()
    assert found == notes.rows
    assert result.losses == ()


async def test_a_truncated_file_keeps_what_is_left(tmp_path: Path) -> None:
    notes = case(make(tmp_path / "app.db"))
    with notes.path.open("r+b") as file:
        file.truncate(notes.path.stat().st_size // 2 + 300)
    result, found = await notes.salvage()
    assert found["note"]
    for name in ("note", "plain"):
        assert {row[0] for row in notes.rows[name] - found[name]} <= lost_keys(notes, result, name)
    assert any("bytes that the header promises are missing" in line for line in result.problems)


async def test_a_wrong_key_inside_the_tree_costs_nothing(notes: Case) -> None:
    """SQLite looks for rows by it and would miss some; reading page by page does not."""
    root = interior(notes.path, "note")[0]
    raw = bytearray(read_page(notes.path, root))
    at = int.from_bytes(raw[12:14])
    raw[at + 4 : at + 5] = bytes([raw[at + 4] ^ 0x40])
    write_page(notes.path, root, bytes(raw))
    result, found = await notes.salvage()
    assert found == notes.rows
    assert {loss.kind for loss in result.losses} <= {"suspect"}


async def test_a_page_that_another_one_replaced_is_missing(notes: Case) -> None:
    """A write that went to the wrong place: its rows are there twice, and those of the page it hit are gone."""
    pages = leaves(notes.path, "note")
    write_page(notes.path, pages[4], read_page(notes.path, pages[9]))
    result, found = await notes.salvage()
    lost = {row[0] for row in notes.rows["note"] - found["note"]}
    assert lost
    assert lost <= lost_keys(notes, result, "note")
    assert found["note"] < notes.rows["note"], "nothing is there that was not"
    assert ("refused", "UNIQUE constraint failed: note.id") in {(loss.kind, loss.reason) for loss in result.losses}


async def test_a_page_that_refers_to_itself_ends(notes: Case) -> None:
    root = interior(notes.path, "note")[0]
    raw = bytearray(read_page(notes.path, root))
    for place in range(4):
        at = int.from_bytes(raw[12 + 2 * place : 14 + 2 * place])
        raw[at : at + 4] = root.to_bytes(4)
    write_page(notes.path, root, bytes(raw))
    result, found = await notes.salvage()
    assert found == notes.rows, "found again: no other page refers to them"
    assert {(loss.kind, loss.table) for loss in result.losses} == {("pages", "note")}
