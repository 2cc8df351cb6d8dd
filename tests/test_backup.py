"""Backup and health: a copy that is proven, an original that stays as it is, and who else uses the file."""

# ruff: noqa: ASYNC221 (a test may block its own loop)

from __future__ import annotations

import asyncio
import hashlib
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from copier import migration
from copier.config import Settings
from copier.errors import CopierError, CopyFailed, PreflightError, SourceBusy, SourceUnreadable, UsageError
from copier.report import Report
from copier.sqlite import backup_source
from copier.sqlite.backup import backup
from copier.sqlite.backup_source import BackupSource
from copier.sqlite.connection import connect
from copier.sqlite.health import free_bytes, other_openers, quick_check


def make(path: Path, *, rows: int = 1000, wal: bool = False) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode = {'wal' if wal else 'delete'}")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
        db.execute('CREATE TABLE "odd ""name" (a)')
        db.execute("CREATE INDEX i ON t (x)")
        db.execute("BEGIN")
        db.executemany("INSERT INTO t (x) VALUES (?)", ((f"row {n} " + "x" * 100,) for n in range(rows)))
        db.execute("COMMIT")
    return path


def state(directory: Path) -> dict[str, str]:
    return {name.name: hashlib.sha256(name.read_bytes()).hexdigest() for name in directory.iterdir() if name.is_file()}


@pytest.mark.parametrize("wal", [False, True])
async def test_copy_is_whole_checked_and_signed(tmp_path: Path, wal: bool) -> None:
    (tmp_path / "source").mkdir()
    source = make(tmp_path / "source" / "a.db", wal=wal)
    before = state(source.parent)
    to = tmp_path / "copy.db"
    steps: list[tuple[int, int]] = []
    result = await backup(source, to, lambda done, total: steps.append((done, total)), pages_per_step=10)
    assert state(source.parent) == before
    assert (result.path, result.bytes) == (to, to.stat().st_size)
    assert result.tables == {"t": 1000, 'odd "name': 0}
    assert not result.source_changed
    assert result.sha256 == hashlib.sha256(to.read_bytes()).hexdigest()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.db", "copy.db.sha256", "source"]
    assert steps == sorted(steps)
    assert len(steps) > 3
    assert steps[-1][0] == steps[-1][1] == to.stat().st_size // 4096
    with closing(sqlite3.connect(to)) as db:
        assert db.execute("SELECT count(*), min(x) FROM t").fetchone() == (1000, "row 0 " + "x" * 100)
    if shutil.which("sha256sum"):
        with_log = subprocess.run(["sha256sum", "-c", "copy.db.sha256"], cwd=tmp_path, capture_output=True, check=False)
        assert with_log.returncode == 0, with_log.stdout


@pytest.mark.parametrize("name", ["with space.db", "new\nline.db", "back\\slash.db"])
async def test_checksum_file_is_readable_for_sha256sum(tmp_path: Path, name: str) -> None:
    if not shutil.which("sha256sum"):
        pytest.skip("no sha256sum here")
    await backup(make(tmp_path / "a.db"), tmp_path / name)
    command = ["sha256sum", "--strict", "-c", f"{name}.sha256"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_content_of_a_leftover_wal_is_in_the_copy(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    live, source = tmp_path / "live.db", tmp_path / "source" / "a.db"
    with closing(sqlite3.connect(make(live, rows=5, wal=True), isolation_level=None)) as db:
        db.execute("INSERT INTO t (x) VALUES ('only in the wal')")
        shutil.copy(live, source)
        shutil.copy(f"{live}-wal", f"{source}-wal")
    before = state(source.parent)
    result = await backup(source, tmp_path / "copy.db")
    assert result.tables["t"] == 6
    after = state(source.parent)
    assert {name: after[name] for name in before} == before


@contextmanager
def writing(path: Path) -> Iterator[list[int]]:
    """Another process that commits all the time; its commits are counted in the list's only item."""
    script = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    db.execute('INSERT INTO t (x) VALUES (1)'); print('.', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    commits = [0]
    assert process.stdout is not None
    output = process.stdout
    assert output.readline() == b"ready\n"
    output.readline()

    def read() -> None:
        for _ in output:
            commits[0] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield commits
    finally:
        process.kill()
        process.wait()
        reader.join()
        output.close()


@pytest.mark.parametrize("wal", [False, True])
async def test_backup_ends_beside_a_writer_that_never_rests(tmp_path: Path, wal: bool) -> None:
    source = make(tmp_path / "a.db", rows=5000, wal=wal)
    with writing(source) as commits:
        before = commits[0]
        result = await backup(source, tmp_path / "copy.db", pages_per_step=20, throttle_s=0.001)
        assert commits[0] > before
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM t").fetchone() == (result.tables["t"],)
    assert result.tables["t"] >= 5001
    if wal:
        assert not result.source_changed, "a pinned source is always comparable"


async def test_a_write_between_copy_and_comparison_is_said(tmp_path: Path) -> None:
    source = make(tmp_path / "a.db")
    async with BackupSource(source) as opened:
        with closing(sqlite3.connect(source)) as db:
            db.execute("DELETE FROM t")
            db.commit()
        assert await opened.compare({"t": 1000, 'odd "name': 0})


async def test_a_copy_with_other_rows_is_refused(tmp_path: Path) -> None:
    async with BackupSource(make(tmp_path / "a.db")) as opened:
        assert await backup_source.count_all(opened.connection) == {"t": 1000, 'odd "name': 0}
        with pytest.raises(CopyFailed, match="rows of the source in t") as caught:
            await opened.compare({"t": 999, 'odd "name': 0})
    assert caught.value.table == "t"


@pytest.mark.parametrize("existing", ["copy.db", "copy.db.sha256"])
async def test_existing_files_are_not_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        await backup(make(tmp_path / "a.db"), tmp_path / "copy.db")
    assert (tmp_path / existing).read_text() == "precious"


async def test_a_directory_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory") as caught:
        await backup(make(tmp_path / "a.db"), tmp_path)
    assert "remove" not in caught.value.hint


async def test_the_source_itself_is_no_target(tmp_path: Path) -> None:
    source = make(tmp_path / "a.db")
    before = state(tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        await backup(source, source)
    assert state(tmp_path) == before


async def test_target_directory_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a directory"):
        await backup(make(tmp_path / "a.db"), tmp_path / "none" / "copy.db")


async def test_target_directory_must_be_writable(unprivileged: Path) -> None:
    source = make(unprivileged / "a.db")
    (unprivileged / "locked").mkdir(mode=0o500)
    with pytest.raises(PreflightError, match="Permission denied"):
        await backup(source, unprivileged / "locked" / "copy.db")


async def test_a_disk_that_takes_no_more_leaves_nothing_behind(tmp_path: Path) -> None:
    source = make(tmp_path / "a.db", rows=20000)
    before = state(tmp_path)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, usual[1]))
    try:
        with pytest.raises(CopyFailed, match="could not be written") as caught:
            await backup(source, tmp_path / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert "bytes are free" in caught.value.hint
    assert state(tmp_path) == before


async def test_bad_sources(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="does not exist"):
        await backup(tmp_path / "none.db", tmp_path / "copy.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(SourceUnreadable, match="is empty"):
        await backup(tmp_path / "empty.db", tmp_path / "copy.db")


async def test_a_locked_source(tmp_path: Path) -> None:
    source = make(tmp_path / "a.db")
    with closing(sqlite3.connect(source, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceBusy):
            await backup(source, tmp_path / "copy.db", busy_timeout_s=0.05)
    assert not (tmp_path / "copy.db").exists()


async def test_cancelled_backup_leaves_nothing_behind(tmp_path: Path) -> None:
    source = make(tmp_path / "a.db", rows=20000)
    before = state(tmp_path)
    started = asyncio.Event()
    task = asyncio.ensure_future(backup(source, tmp_path / "copy.db", lambda *_: started.set(), pages_per_step=1))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state(tmp_path) == before


def damage(path: Path) -> Path:
    """Let index i read the pages of another, empty index."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        [(root,)] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'other'").fetchall()
        db.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = 'i'", (root,))
    return path


async def test_a_damaged_source_makes_no_backup(tmp_path: Path) -> None:
    source = make(tmp_path / "a.db")
    with closing(sqlite3.connect(source)) as db:
        db.execute("CREATE TABLE z (x TEXT)")
        db.execute("CREATE INDEX other ON z (x)")
        db.commit()
    damage(source)
    with pytest.raises(CopyFailed, match="is damaged"):
        await backup(source, tmp_path / "copy.db")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.db"]


async def checked(path: Path, deep: bool) -> list[str]:
    connection = await connect(path)
    try:
        return await quick_check(connection, deep)
    finally:
        await connection.close()


async def test_check_names_the_table(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    assert await checked(path, deep=False) == await checked(path, deep=True) == []
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE z (x TEXT)")
        db.execute("CREATE INDEX other ON z (x)")
        db.commit()
    damage(path)
    problems = await checked(path, deep=True)
    assert "row 1 missing from index i (table t)" in problems


async def test_check_of_a_broken_page(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    raw = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as db:
        [(root,)] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 't'").fetchall()
    raw[(root - 1) * 4096 : (root - 1) * 4096 + 12] = b"\xff" * 12
    path.write_bytes(raw)
    for deep in (False, True):
        problems = await checked(path, deep)
        assert problems
        assert all("table t" in problem for problem in problems)


async def test_collations_and_functions_of_the_application_are_no_damage(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as db:
        db.create_collation("mine", lambda a, b: (a > b) - (a < b))
        db.create_function("own", 1, abs, deterministic=True)
        db.execute("CREATE TABLE z (x TEXT COLLATE mine, y INT CHECK (own(y) = y))")
        db.execute("CREATE INDEX zx ON z (x)")
        db.execute("INSERT INTO z VALUES ('a', 1), ('b', 2)")
        db.commit()
    assert await checked(path, deep=True) == []
    result = await backup(path, tmp_path / "copy.db")
    assert result.tables["z"] == 2
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE q (x TEXT)")
        db.execute("CREATE INDEX other ON q (x)")
        db.commit()
    damage(path)
    assert "row 1 missing from index i (table t)" in await checked(path, deep=True)


def test_other_openers(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here")
    path = make(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as ours:
        ours.execute("SELECT * FROM t").fetchone()
        assert other_openers(path) == []
    script = "import sys; f = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        [found] = other_openers(path)
        assert found.startswith(f"pid {other.pid} (python")
        other.communicate()
    assert other_openers(path) == []


def test_free_bytes_of_what_does_not_exist_yet(tmp_path: Path) -> None:
    assert abs(free_bytes(tmp_path / "a" / "b" / "c.db") - shutil.disk_usage(tmp_path).free) < 1 << 30


@pytest.mark.parametrize("name", ["pocketbase", "chinook", "datasette_fixtures"])
async def test_corpus(corpus: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    source = Path(shutil.copy(corpus(name), tmp_path / "a.db"))
    result = await backup(source, tmp_path / "copy.db")
    assert not result.source_changed
    assert sum(result.tables.values()) > 100


@pytest.mark.parametrize("deep", [True, False])
async def test_deep_also_compares_indexes_with_their_tables(tmp_path: Path, deep: bool) -> None:
    """What `full` leaves out for its backup: it proves every row of the source itself."""
    source = tmp_path / "source.db"
    with closing(sqlite3.connect(source)) as db, db:
        db.executescript(
            "CREATE TABLE t (a, b); CREATE INDEX i ON t (a); INSERT INTO t VALUES (1, 2), (3, 4);"
            "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE INDEX i ON t (b)' WHERE name = 'i'"
        )
    if deep:
        with pytest.raises(CopyFailed, match="damaged"):
            await backup(source, tmp_path / "copy.db", deep=True)
        assert not (tmp_path / "copy.db").exists()
    else:
        assert (await backup(source, tmp_path / "copy.db", deep=False)).tables == {"t": 2}


async def test_full_names_its_own_options(tmp_path: Path, pg_dsn: str) -> None:
    """`--to` is an option of the verb `backup`."""
    source, taken = make(tmp_path / "a.db"), tmp_path / "taken.db"
    taken.write_bytes(b"not a backup")
    for place in (taken, tmp_path / "nowhere" / "b.db"):
        with pytest.raises(CopierError) as caught:
            await migration.full(Settings(sqlite=source, postgres=pg_dsn, backup=place))
        assert "another --backup" in caught.value.hint
        assert "--no-backup" in caught.value.hint
        assert "--to" not in caught.value.hint
        report = caught.value.report
        assert isinstance(report, Report)
        assert report.error is not None
        assert report.error["hint"] == caught.value.hint
    with pytest.raises(CopierError) as caught:
        await backup(source, taken)
    assert "another --to" in caught.value.hint
