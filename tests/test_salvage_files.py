"""Salvage and its files: what may be read and written where, and what is left after an end that was none."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from data.damage import interior, leaves, overflow, overwrite, read_rows
from data.salvage_case import Case, case, make
from fix_migrate import sha256

from copier.errors import CopyFailed, PreflightError, SourceUnreadable, UsageError
from copier.sqlite.btree import Damaged, PageFile, TreePage, read_varint
from copier.sqlite.btree_record import StoredText, read_record
from copier.sqlite.btree_walk import in_order
from copier.sqlite.header import RawFile
from copier.sqlite.salvage.result import read_listing
from copier.sqlite.salvage.run import salvage


@pytest.fixture
def notes(tmp_path: Path) -> Case:
    return case(make(tmp_path / "app.db"))


def state(directory: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in directory.iterdir() if path.is_file()}


async def test_changes_in_a_leftover_log_are_carried(tmp_path: Path) -> None:
    live = make(tmp_path / "live.db", before="PRAGMA journal_mode = wal")
    (tmp_path / "left").mkdir()
    source = tmp_path / "left" / "app.db"
    with closing(sqlite3.connect(live, isolation_level=None)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [first] = leaves(live, "note")[:1]
        db.execute("INSERT INTO note VALUES (99999, 'only in the log', 1, NULL)")
        db.execute("DELETE FROM plain WHERE a < 100")
        expected = read_rows(live)
        shutil.copy(live, source)
        shutil.copy(f"{live}-wal", f"{source}-wal")
    overwrite(source, [first])
    before = state(source.parent)
    result = await salvage(source, tmp_path / "sound.db")
    assert state(source.parent) | before == state(source.parent), "file and log are as they were"
    found = read_rows(tmp_path / "sound.db")
    assert {name: found[name] for name in ("plain", "pair")} == {name: expected[name] for name in ("plain", "pair")}
    assert 99999 in {row[0] for row in found["note"]}
    assert [(loss.kind, loss.table, loss.page) for loss in result.losses] == [("pages", "note", first)]
    assert not list(tmp_path.glob(".*"))


async def test_a_log_that_must_not_be_read_is_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "app.db", before="PRAGMA journal_mode = wal")
    with closing(sqlite3.connect(source, isolation_level=None)) as db:
        db.execute("INSERT INTO plain VALUES (1, 1)")
        with pytest.raises(SourceUnreadable, match="-wal file"):
            await salvage(source, tmp_path / "sound.db", immutable=True)


@pytest.mark.parametrize("wal", [False, True])
async def test_a_file_that_this_user_may_only_read(unprivileged: Path, wal: bool) -> None:
    (unprivileged / "media").mkdir()
    (unprivileged / "out").mkdir()
    source = make(unprivileged / "media" / "app.db", before=f"PRAGMA journal_mode = {'wal' if wal else 'delete'}")
    expected = read_rows(source)
    overwrite(source, leaves(source, "note")[3:4])
    source.chmod(0o400)
    source.parent.chmod(0o500)
    try:
        before = state(source.parent)
        result = await salvage(source, unprivileged / "out" / "sound.db", immutable=wal)
        assert state(source.parent) == before
    finally:
        source.parent.chmod(0o700)
    found = read_rows(result.path)
    assert found["plain"] == expected["plain"]
    assert [loss.kind for loss in result.losses] == ["pages"]


BROKEN = {
    "empty": (lambda raw: b"", "is empty"),
    "encrypted": (lambda raw: bytes(byte ^ 0x5A for byte in raw), "is not a SQLite database"),
    "page size": (lambda raw: raw[:16] + b"\x03\xe8" + raw[18:], "nothing can be salvaged .* its first page"),
    "format": (lambda raw: raw[:18] + b"\x09\x09" + raw[20:], "nothing can be salvaged .* its first page"),
    "schema": (lambda raw: raw[:100] + bytes(924) + raw[1024:], "nothing can be salvaged .* its schema"),
    "encoding": (lambda raw: raw[:56] + (2).to_bytes(4) + raw[60:], "nothing can be salvaged .* its schema"),
    "texts": (lambda raw: raw.replace(b"CREATE TABLE", b"CREATE TABEL"), "text of none of its tables is understood"),
    "first page alone": (lambda raw: raw[:90], "nothing can be salvaged"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_file_of_which_nothing_can_be_read_is_refused(notes: Case, what: str) -> None:
    change, message = BROKEN[what]
    notes.path.write_bytes(change(notes.path.read_bytes()))
    before = state(notes.path.parent)
    with pytest.raises(SourceUnreadable, match=message) as told:
        await salvage(notes.path, notes.to)
    assert told.value.exit_code == 5
    assert told.value.hint
    assert "\n" not in str(told.value)
    assert state(notes.path.parent) == before


@pytest.mark.parametrize("name", ["sound.db", "sound.db.json", "sound.db.sha256"])
async def test_files_of_others_are_not_overwritten(notes: Case, name: str) -> None:
    notes.to.with_name(name).write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        await salvage(notes.path, notes.to)
    assert notes.to.with_name(name).read_text() == "precious"
    with pytest.raises(UsageError, match="exists already"):
        await salvage(notes.path, notes.path)


async def test_what_a_killed_salvage_left_is_replaced(notes: Case) -> None:
    """Listing and checksum come first: without their database they are remains."""
    await salvage(notes.path, notes.to)
    notes.to.unlink()
    notes.to.with_name(".sound.db.1999999999.partial").write_text("half")
    notes.to.with_name(".sound.db.source.1999999999.partial").write_text("half")
    result, found = await notes.salvage()
    assert found == notes.rows
    assert json.loads(result.listing.read_text())["sha256"] == sha256(notes.to)
    assert not list(notes.to.parent.glob(".*"))


async def test_places_that_cannot_be_written(unprivileged: Path) -> None:
    source = make(unprivileged / "app.db")
    (unprivileged / "locked").mkdir(mode=0o500)
    with pytest.raises(PreflightError, match="Permission denied"):
        await salvage(source, unprivileged / "locked" / "sound.db")
    with pytest.raises(UsageError, match="not a directory"):
        await salvage(source, unprivileged / "none" / "sound.db")


@pytest.mark.parametrize("kib", [1, 40])
async def test_a_disk_that_takes_no_more_leaves_nothing_behind(notes: Case, kib: int) -> None:
    overwrite(notes.path, leaves(notes.path, "note")[3:4])
    before = state(notes.path.parent)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kib << 10, usual[1]))
    try:
        with pytest.raises(CopyFailed, match="the salvaged file could not be written") as told:
            await salvage(notes.path, notes.to)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert "bytes are free" in told.value.hint
    assert state(notes.path.parent) == before


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.06, 0.1])
async def test_a_cancelled_salvage_leaves_nothing_behind(tmp_path: Path, moment: float) -> None:
    source = make(tmp_path / "app.db", before="PRAGMA page_size = 512")
    overwrite(source, leaves(source, "note")[2::5])
    before = state(tmp_path)
    task = asyncio.ensure_future(salvage(source, tmp_path / "sound.db"))
    await asyncio.wait([task], timeout=moment)
    task.cancel()
    done, _ = await asyncio.wait([task])
    assert done == {task}
    assert task.cancelled() or moment
    if task.cancelled():
        assert state(tmp_path) == before


async def test_an_application_that_writes_is_kept_waiting_or_not_seen(tmp_path: Path) -> None:
    """In a rollback-journal mode nobody can commit meanwhile: what is carried is one state."""
    source = make(tmp_path / "app.db")
    waited: list[str] = []

    def write(done: int, pages: int) -> None:
        if not waited:
            with closing(sqlite3.connect(source, timeout=0, isolation_level=None)) as db:
                try:
                    db.execute("DELETE FROM note")
                except sqlite3.OperationalError as error:
                    waited.append(str(error))

    result = await salvage(source, tmp_path / "sound.db", write)
    assert waited == ["database is locked"]
    assert result.losses == ()


async def test_progress_ends_with_all_pages(notes: Case) -> None:
    steps: list[tuple[int, int]] = []
    await salvage(notes.path, notes.to, lambda done, pages: steps.append((done, pages)))
    assert steps
    assert steps[-1][0] <= steps[-1][1] == notes.path.stat().st_size // 1024


FAILING_DISK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int fails(int fd, size_t size, off_t at) {
    char link[64], name[512];
    off_t bad = atol(getenv("BAD_OFFSET"));
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0 || at + (off_t)size <= bad || at >= bad + 1024) return 0;
    name[length] = 0;
    return !strcmp(name, getenv("BAD_FILE")) && (errno = EIO);
}
#define READ(name) ssize_t name(int fd, void *to, size_t size, off_t at) { \\
    ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, #name); \\
    return fails(fd, size, at) ? -1 : real(fd, to, size, at); }
READ(pread)
READ(pread64)
"""


@pytest.mark.skipif(not shutil.which("cc") or sys.platform != "linux", reason="needs a C compiler, and /proc")
@pytest.mark.parametrize("kind", ["leaf", "interior", "overflow"])
def test_a_disk_that_does_not_give_a_page(notes: Case, kind: str) -> None:
    """Neither to SQLite nor to us; what is on all others is carried."""
    with closing(sqlite3.connect(notes.path)) as db:
        db.execute("UPDATE note SET extra = zeroblob(5000) WHERE id = 150")
        db.commit()
    rows = read_rows(notes.path)
    page = {"leaf": leaves, "interior": interior, "overflow": overflow}[kind](notes.path, "note")[0]
    shim = notes.path.with_name("disk.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-xc", "-", "-o", shim, "-ldl"], input=FAILING_DISK.encode(), check=True)
    done = subprocess.run(
        [sys.executable, "-m", "copier", "salvage", "--sqlite", notes.path, "--to", notes.to, "--progress", "none"],
        env=os.environ | {"LD_PRELOAD": str(shim), "BAD_FILE": str(notes.path), "BAD_OFFSET": str((page - 1) * 1024)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr.decode()
    result, found = read_listing(notes.to), read_rows(notes.to)
    assert {loss.reason for loss in result.losses} == {"disk I/O error"}
    lost = rows["note"] - found["note"]
    match kind:
        case "leaf":
            assert {row[0] for row in lost} == {
                row[0] for row in rows["note"] if row[0] <= (result.losses[0].last or 0)
            }
        case "interior":
            assert (lost, result.losses[0].found_rows) == (set(), len(rows["note"]))
        case _:
            assert {row[0] for row in lost} == {150}
    assert {name: found[name] for name in ("plain", "pair")} == {name: rows[name] for name in ("plain", "pair")}


class TestPages:
    def test_varints(self) -> None:
        assert read_varint(b"\x05", 0) == (5, 1)
        assert read_varint(b"\x81\x00", 0) == (128, 2)
        assert read_varint(b"\xff" * 9, 0) == (-1, 9)
        assert read_varint(b"\x80" * 8 + b"\x01", 0) == (1, 9)
        for cut in (b"", b"\x81", b"\xff" * 8):
            with pytest.raises(Damaged):
                read_varint(cut, 0)

    def test_records(self) -> None:
        head = bytes([10, 0, 1, 2, 8, 9, 7, 6, 13 + 2 * 2, 12 + 2 * 1])
        body = b"\xff" + b"\x01\x00" + bytes.fromhex("3ff8000000000000") + (-2).to_bytes(8, signed=True) + b"ab" + b"\0"
        values = (None, -1, 256, 0, 1, 1.5, -2, StoredText(b"ab"), b"\0")
        assert read_record(head + body) == (values, len(head + body))
        for damaged in (b"", b"\x01", b"\x05\x01", head, bytes([2, 10]), bytes([3, 1, 1, 5])):
            with pytest.raises(Damaged):
                read_record(damaged)

    def test_cells_outside_of_their_page(self) -> None:
        page = TreePage(7, bytes(8) + b"\x00\x05\x00\xc8\x00\x0e" + bytes(10), 0x0D, 3, 8, 255)
        for place in (0, 1, 9):
            with pytest.raises(Damaged):
                page.cell(place)
        assert page.cell(2) == 14

    def test_keys_in_order(self) -> None:
        assert in_order([1, 2, 3], None, None) == [1, 2, 3]
        assert in_order([10, 999, 12, 13, None, 5, 20], None, None) == [10, None, 12, 13, None, None, 20]
        assert in_order([4, 4, 5], 3, 5) == [4, None, 5]
        assert in_order([3, 4, 5], 3, 4) == [None, 4, None]
        assert in_order([], 1, 2) == []

    def test_free_pages(self, tmp_path: Path) -> None:
        path = make(tmp_path / "app.db")
        with closing(sqlite3.connect(path)) as db:
            db.execute("DROP TABLE plain")
            db.commit()
            [(count,)] = db.execute("PRAGMA freelist_count")
        raw = RawFile(path)
        try:
            free = PageFile(raw).free()
            assert free is not None
            assert len(free) == count > 0
            overwrite(path, [int.from_bytes(raw.read_at(32, 4))], garble=True)
            assert PageFile(raw).free() is None
        finally:
            raw.close()
