"""The snapshot: one state for all readers, the source unchanged, and a clear word for every file that is none."""

# ruff: noqa: ASYNC220, ASYNC221 (a test may block its own loop)

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from copier.errors import SourceBusy, SourceUnreadable
from copier.sqlite.connection import query, run
from copier.sqlite.header import wal_state
from copier.sqlite.snapshot import open_snapshot

COUNT = "SELECT count(*) FROM t"


def make(path: Path, *, rows: int = 10, wal: bool = False, before: str = "") -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode = {'wal' if wal else 'delete'}")
        if before:
            db.execute(before)
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
        db.execute("BEGIN")
        db.executemany("INSERT INTO t (x) VALUES (?)", ((f"row {n}",) for n in range(rows)))
        db.execute("COMMIT")
    return path


def make_leftover_wal(path: Path) -> Path:
    """A database whose application died: a -wal with frames nobody checkpointed, and no -shm."""
    live = path.with_name("live.db")
    with closing(sqlite3.connect(live, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = wal")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("INSERT INTO t (x) VALUES ('only in the wal')")
        shutil.copy(live, path)
        shutil.copy(f"{live}-wal", f"{path}-wal")
    return path


def make_hot_journal(path: Path) -> Path:
    """A database whose application died in the middle of a write, its journal synced."""
    make(path, rows=2000)
    script = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "db.execute('PRAGMA cache_size = 1'); db.execute('BEGIN'); db.execute('UPDATE t SET x = 7'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert Path(f"{path}-journal").stat().st_size > 0
    return path


def sums(path: Path) -> dict[str, str]:
    names = (path, Path(f"{path}-wal"), Path(f"{path}-journal"))
    return {name.name: hashlib.sha256(name.read_bytes()).hexdigest() for name in names if name.exists()}


async def count(connection: object) -> int:
    [(rows,)] = await query(connection, COUNT)  # type: ignore[arg-type]
    return int(rows)


async def test_wal_readers_stay_on_one_state_while_the_application_writes(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", wal=True)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as writer:
        async with open_snapshot(path, readers=2) as snapshot:
            assert snapshot.mode == "wal"
            writer.execute("INSERT INTO t (x) VALUES ('later')")
            async with snapshot.reader() as one, snapshot.reader() as two:
                assert (await count(one), await count(two)) == (10, 10)
                writer.execute("DELETE FROM t")
                assert (await count(one), await count(two)) == (10, 10)
        async with open_snapshot(path, readers=1) as snapshot, snapshot.reader() as one:
            assert await count(one) == 0


async def test_wal_readers_agree_however_often_a_writer_commits(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", wal=True)
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as db:
            while not stop.is_set():
                db.execute("INSERT INTO t (x) VALUES ('more')")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            async with open_snapshot(path, readers=4) as snapshot:
                counts = set()
                for reader in snapshot._readers:
                    counts.add(await count(reader))
                assert len(counts) == 1
    finally:
        stop.set()
        await asyncio.to_thread(writer.join)


async def test_wal_mode_does_not_wait_for_a_long_transaction_of_the_application(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", wal=True)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as application:
        application.execute("BEGIN IMMEDIATE")
        application.execute("DELETE FROM t")
        digests = set()
        for _ in range(2):
            async with open_snapshot(path, readers=2, busy_timeout_s=0.01) as snapshot, snapshot.reader() as reader:
                assert await count(reader) == 10
                digests.add(snapshot.fingerprint.digest())
        assert len(digests) == 2, "a state that cannot be recognised again must not look like another"
        with pytest.raises(SourceBusy):
            async with open_snapshot(path, readers=1, freeze=True, busy_timeout_s=0.01):
                pass
        application.execute("COMMIT")


async def test_journal_mode_freezes_writers_but_not_readers_until_it_ends(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as application:
        async with open_snapshot(path, readers=2) as snapshot:
            assert snapshot.mode == "frozen"
            assert "cannot write until the copy ends" in snapshot.note
            assert application.execute(COUNT).fetchone() == (10,)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                application.execute("DELETE FROM t")
        application.execute("DELETE FROM t")


async def test_freeze_in_wal_mode_keeps_writers_out(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", wal=True)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as application:
        async with open_snapshot(path, readers=1, freeze=True) as snapshot:
            assert snapshot.mode == "frozen"
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                application.execute("DELETE FROM t")
        application.execute("DELETE FROM t")


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("kind", ["delete", "wal", "leftover wal"])
async def test_source_bytes_stay_as_they_are(tmp_path: Path, kind: str, freeze: bool) -> None:
    path = tmp_path / "a.db"
    if kind == "leftover wal":
        make_leftover_wal(path)
    else:
        make(path, wal=kind == "wal")
    before = sums(path)
    async with open_snapshot(path, readers=3, freeze=freeze) as snapshot, snapshot.reader() as reader:
        assert await count(reader) == (1 if kind == "leftover wal" else 10)
    assert sums(path) == before
    assert len(before) == (2 if kind == "leftover wal" else 1)


async def test_no_connection_can_write(tmp_path: Path) -> None:
    async with open_snapshot(make(tmp_path / "a.db", wal=True), readers=1) as snapshot, snapshot.reader() as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await query(reader, "DELETE FROM t")


@pytest.mark.parametrize(
    "name", ["a?b.db", "a#b.db", "100%25.db", "a b&c=d.db", "ünï'\".db", "a\nb.db", "a;mode=rw.db"]
)
async def test_names_that_mean_something_in_a_uri(tmp_path: Path, name: str) -> None:
    for wal in (False, True):
        path = make(tmp_path / f"{wal}{name}", wal=wal)
        async with open_snapshot(path, readers=1) as snapshot, snapshot.reader() as reader:
            assert await count(reader) == 10


async def test_symbolic_link_finds_the_wal_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = make_leftover_wal(tmp_path / "real" / "a.db")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    async with open_snapshot(link, readers=1) as snapshot, snapshot.reader() as reader:
        assert await count(reader) == 1


@pytest.mark.parametrize(
    "before", ["PRAGMA page_size = 512", "PRAGMA page_size = 65536", "PRAGMA encoding = 'UTF-16le'"]
)
async def test_page_sizes_and_encodings(tmp_path: Path, before: str) -> None:
    path = make(tmp_path / "a.db", before=before)
    async with open_snapshot(path, readers=1) as snapshot, snapshot.reader() as reader:
        [(size,)] = await query(reader, "PRAGMA page_size")
        assert snapshot.fingerprint.page_size == size
        assert await query(reader, "SELECT x FROM t WHERE id = 1") == [("row 0",)]


async def fingerprint(path: Path) -> str:
    async with open_snapshot(path, readers=1) as snapshot:
        return snapshot.fingerprint.digest()


@pytest.mark.parametrize("wal", [False, True])
async def test_fingerprint_changes_with_every_commit_and_only_then(tmp_path: Path, wal: bool) -> None:
    path = make(tmp_path / "a.db", wal=wal)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        seen = [await fingerprint(path)]
        for _ in range(3):
            assert await fingerprint(path) == seen[-1]
            db.execute("UPDATE t SET x = x || 'z' WHERE id = 1")
            seen.append(await fingerprint(path))
        assert len(set(seen)) == 4
    seen.append(await fingerprint(path))
    make_change(path)
    assert await fingerprint(path) not in seen


async def test_fingerprint_sees_commits_that_reuse_a_log_of_the_same_size(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", wal=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for _ in range(20):
            db.execute("UPDATE t SET x = x || 'z' WHERE id = 1")
        db.execute("PRAGMA wal_checkpoint(RESTART)")
        size = Path(f"{path}-wal").stat().st_size
        states = set()
        for _ in range(3):
            db.execute("UPDATE t SET x = x || 'z' WHERE id = 1")
            states.add(await fingerprint(path))
        assert Path(f"{path}-wal").stat().st_size == size
        assert len(states) == 3


def test_wal_state_of_no_log(tmp_path: Path) -> None:
    assert wal_state(tmp_path / "none-wal") == ""
    (tmp_path / "junk-wal").write_bytes(b"x" * 500)
    assert wal_state(tmp_path / "junk-wal") == ""


async def test_immutable_when_asked(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", wal=True)
    async with open_snapshot(path, readers=2, immutable=True) as snapshot, snapshot.reader() as reader:
        assert snapshot.mode == "immutable"
        assert await count(reader) == 10
        assert not await snapshot.changed()
        make_change(path)
        assert await snapshot.changed()


def make_change(path: Path) -> None:
    script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('DELETE FROM t'); db.commit()"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)


async def test_immutable_refuses_a_wal_with_content(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="-wal file"):
        async with open_snapshot(make_leftover_wal(tmp_path / "a.db"), readers=1, immutable=True):
            pass


def make_bad(kind: str, path: Path) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif kind == "empty":
        path.touch()
    elif kind == "random":
        path.write_bytes(hashlib.sha512(b"seed").digest() * 100)
    elif kind == "gzip":
        path.write_bytes(b"\x1f\x8b\x08" + bytes(500))
    elif kind == "dump":
        path.write_text("PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCOMMIT;\n")
    elif kind == "header only":
        path.write_bytes(b"SQLite format 3\0" + bytes(40))
    elif kind == "truncated":
        make(path, rows=5000)
        os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)
    elif kind == "cut in a page":
        make(path, rows=5000)
        os.truncate(path, path.stat().st_size - 1000)
    elif kind == "broken schema":
        make(path)
        raw = bytearray(path.read_bytes())
        place = raw.index(b"CREATE TABLE")
        raw[place : place + 12] = b"CREATE TABEL"
        path.write_bytes(raw)
    elif kind == "broken page":
        make(path)
        raw = bytearray(path.read_bytes())
        raw[100:4096] = b"\xff" * 3996
        path.write_bytes(raw)


@pytest.mark.parametrize(
    ("kind", "message", "hint"),
    [
        ("missing", "does not exist", "--sqlite"),
        ("directory", "is a directory", "file itself"),
        ("fifo", "not a regular file", "file itself"),
        ("socket", "not a regular file", "file itself"),
        ("empty", "is empty: it holds no database", "path"),
        ("random", "not a SQLite database", "encrypted"),
        ("gzip", "not a SQLite database", "gzip"),
        ("dump", "not a SQLite database", "SQL dump"),
        ("header only", "not a SQLite database", "encrypted"),
        ("truncated", "truncated: [1-9][0-9]* bytes", "copy it again"),
        ("cut in a page", "truncated: 1000 bytes", "copy it again"),
        ("broken schema", "damaged: malformed", "integrity_check"),
        ("broken page", "damaged", "integrity_check"),
    ],
)
async def test_files_that_are_no_readable_database(tmp_path: Path, kind: str, message: str, hint: str) -> None:
    path = tmp_path / "a.db"
    make_bad(kind, path)
    with pytest.raises(SourceUnreadable, match=message) as caught:
        async with open_snapshot(path, readers=2):
            pass
    assert caught.value.exit_code == 5
    assert hint in caught.value.hint
    assert str(path) in str(caught.value)


async def test_a_url_instead_of_a_path() -> None:
    with pytest.raises(SourceUnreadable, match="does not exist") as caught:
        async with open_snapshot(Path("sqlite+aiosqlite:///./app.db"), readers=1):
            pass
    assert caught.value.hint == "give the path of the file, not a URL"


async def test_hot_journal_is_left_alone_and_explained(tmp_path: Path) -> None:
    path = make_hot_journal(tmp_path / "a.db")
    before = sums(path)
    with pytest.raises(SourceUnreadable, match="hot journal") as caught:
        async with open_snapshot(path, readers=1):
            pass
    assert "a.db-journal" in caught.value.hint
    assert sums(path) == before


async def test_permission_denied(unprivileged: Path) -> None:
    path = make(unprivileged / "a.db")
    path.chmod(0)
    with pytest.raises(SourceUnreadable, match="permission denied"):
        async with open_snapshot(path, readers=1):
            pass


@pytest.mark.parametrize("shared", ["file", "directory", "both"])
@pytest.mark.parametrize("application", [False, True])
async def test_wal_mode_without_the_right_to_write(unprivileged: Path, shared: str, application: bool) -> None:
    path = make(unprivileged / "a.db", wal=True)
    db = sqlite3.connect(path, isolation_level=None, timeout=0) if application else None
    if db:
        db.execute("INSERT INTO t (x) VALUES ('in the wal')")
    if shared in ("file", "both"):
        path.chmod(0o400)
    if shared in ("directory", "both"):
        unprivileged.chmod(0o500)
    try:
        if not application and shared != "file":
            with pytest.raises(SourceUnreadable, match="directory cannot be written") as caught:
                async with open_snapshot(path, readers=2):
                    pass
            assert "copy it to a directory" in caught.value.hint
            return
        async with open_snapshot(path, readers=2) as snapshot, snapshot.reader() as one, snapshot.reader() as two:
            assert snapshot.mode == "wal"
            if db:
                db.execute("INSERT INTO t (x) VALUES ('later')")
            assert await count(one) == await count(two) == (11 if application else 10)
    finally:
        if db:
            db.close()


async def test_leftover_wal_in_a_directory_that_cannot_be_written(unprivileged: Path) -> None:
    path = make_leftover_wal(unprivileged / "a.db")
    path.chmod(0o400)
    unprivileged.chmod(0o500)
    with pytest.raises(SourceUnreadable, match=r"a\.db-wal that cannot be read") as caught:
        async with open_snapshot(path, readers=1):
            pass
    assert "together with its -wal" in caught.value.hint


async def test_journal_mode_without_the_right_to_write_still_freezes(unprivileged: Path) -> None:
    path = make(unprivileged / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as application:
        application.execute(COUNT)
        path.chmod(0o400)
        async with open_snapshot(path, readers=3) as snapshot:
            assert snapshot.mode == "frozen"
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                application.execute("DELETE FROM t")


async def test_a_lock_names_its_holder(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "db.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(SourceBusy, match="is locked") as caught:
            async with open_snapshot(path, readers=2, busy_timeout_s=0.05):
                pass
        if Path("/proc/self/fd").exists():
            assert f"pid {holder.pid} (" in caught.value.hint
        holder.communicate()


async def test_a_second_snapshot_of_the_process_does_not_drop_the_locks_of_the_first(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0); db.execute('DELETE FROM t'); db.commit()"
    )
    async with open_snapshot(path, readers=1) as snapshot:
        with pytest.raises(SourceBusy):
            async with open_snapshot(path, readers=1, busy_timeout_s=0):
                pass
        other = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
        assert "database is locked" in other.stderr
        async with snapshot.reader() as reader:
            assert await count(reader) == 10


async def test_readers_are_lent_exclusively(tmp_path: Path) -> None:
    async with open_snapshot(make(tmp_path / "a.db", wal=True), readers=2) as snapshot:
        async with snapshot.reader() as one, snapshot.reader() as two:
            assert one is not two
            third = asyncio.ensure_future(snapshot.reader().__aenter__())
            await asyncio.wait([third], timeout=0.01)
            assert not third.done()
            third.cancel()
            with pytest.raises(asyncio.CancelledError):
                await third
        async with snapshot.reader():
            pass


async def test_a_connection_that_lost_its_state_is_not_lent_again(tmp_path: Path) -> None:
    async with open_snapshot(make(tmp_path / "a.db", wal=True), readers=1) as snapshot:
        async with snapshot.reader() as reader:
            await query(reader, "ROLLBACK")
        with pytest.raises(SourceUnreadable, match="lost its snapshot"):
            async with snapshot.reader():
                pass


async def test_cancelling_a_query_interrupts_sqlite(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    async with open_snapshot(make(tmp_path / "a.db", wal=True), readers=1) as snapshot:
        async with snapshot.reader() as reader:
            running = threading.Event()

            def work(raw: sqlite3.Connection) -> None:
                running.set()
                raw.execute(endless).fetchall()

            task = asyncio.ensure_future(run(reader, work))
            await asyncio.to_thread(running.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await count(reader) == 10


async def test_cancelled_while_opening_leaves_nothing_open(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db", wal=True)
    for steps in range(60):
        snapshot = open_snapshot(path, readers=3)
        task = asyncio.ensure_future(snapshot.__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await snapshot.__aexit__(None, None, None)
        assert not Path(f"{path}-wal").exists()
