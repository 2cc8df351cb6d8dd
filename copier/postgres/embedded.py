"""The default target: a PostgreSQL server in a directory beside the SQLite file.

It belongs to whoever made the directory: clients connect through a unix socket in a directory only that account (and
root) can enter, so no password is needed. It is a full server on an ordinary data directory and outlives the copier;
`EmbeddedServer.how_to_connect` says how to use, stop and start it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote as url_quote

import asyncpg

from copier.errors import TargetUnusable
from copier.plan.names import quote
from copier.postgres.binaries import Account, Installation, installations, run, server_account
from copier.postgres.datadir import initialise, place, runnable, write_settings

SUPERUSER = "postgres"
LOG = "server.log"
START_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server. `port` names its socket file and, with `tcp`, the port on 127.0.0.1."""

    data_dir: Path
    bin_dir: Path
    socket_dir: Path
    port: int
    pid: int
    tcp: bool
    account: Account | None
    started: bool
    """False when it was running already."""

    def dsn(self, database: str = "postgres") -> str:
        """Return the DSN of a database, through the unix socket, as superuser."""
        host = url_quote(str(self.socket_dir), safe="/")
        return f"postgresql://{SUPERUSER}@/{url_quote(database, safe='')}?host={host}&port={self.port}"

    def tcp_dsn(self, database: str, user: str, password: str) -> str:
        """Return the DSN of a database over TCP; the role needs a password (scram-sha-256)."""
        if not self.tcp:
            raise TargetUnusable("the embedded server does not listen on TCP")
        login = f"{url_quote(user, safe='')}:{url_quote(password, safe='')}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{url_quote(database, safe='')}"

    async def ensure_database(self, name: str) -> str:
        """Create the database unless it exists, and return its DSN."""
        conn = await asyncpg.connect(self.dsn())
        try:
            with contextlib.suppress(asyncpg.DuplicateDatabaseError):
                if await conn.fetchval("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", name) is None:
                    await conn.execute(f"CREATE DATABASE {quote(name)}")
        finally:
            await conn.close()
        return self.dsn(name)

    async def stop(self) -> None:
        """Stop the server, ending its connections; a server already stopped is fine."""
        await asyncio.to_thread(_stop, self)

    def how_to_connect(self, database: str = "postgres") -> str:
        """Return text for a person: how to use the server, stop it and start it again."""
        prefix = ["runuser", "-u", self.account.name, "--"] if self.account else []
        control = [*prefix, str(self.bin_dir / "pg_ctl"), "-D"]
        start = f"cd {shlex.quote(str(self.data_dir))} && {shlex.join([*control, '.', '-l', LOG, 'start'])}"
        rows = {
            "connect": shlex.join([str(self.bin_dir / "psql"), self.dsn(database)]),
            "DSN": self.dsn(database),
            "stop": shlex.join([*control, str(self.data_dir), "stop"]),
            "start again": start,
        }
        lines = [f"  {what + ':':<13}{command}" for what, command in rows.items()]
        return "\n".join([f"PostgreSQL is running in {self.data_dir}", *lines])


@contextlib.asynccontextmanager
async def embedded_server(
    directory: Path,
    *,
    version: int = 18,
    keep: bool = True,
    tcp: bool = False,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[EmbeddedServer]:
    """Run a server on `directory`, made on first use; a server already running there is used as it is.

    `keep` leaves it running at the end; without it a server started here is stopped. An existing directory is served
    by the version that made it. Raises TargetUnusable when there is no PostgreSQL to run.
    """
    server = await start(directory, version=version, tcp=tcp, settings=settings)
    try:
        yield server
    finally:
        if server.started and not keep:
            await asyncio.shield(server.stop())


async def start(
    directory: Path,
    *,
    version: int = 18,
    tcp: bool = False,
    settings: Mapping[str, str] | None = None,
    installation: Installation | None = None,
) -> EmbeddedServer:
    """Start the server as `embedded_server` does, and leave it running."""
    return await asyncio.to_thread(_start, directory, version, tcp, dict(settings or {}), installation)


def running(directory: Path, version: int = 18) -> EmbeddedServer | None:
    """Return the server that runs on `directory`, None when there is none that answers."""
    if not (directory / "postmaster.pid").exists():
        return None
    account = server_account(directory.absolute())
    data_dir = place(directory.absolute(), account)
    return _attach(data_dir, runnable(_choose(data_dir, version), account, data_dir.parent), account)


def _choose(data_dir: Path, version: int) -> Installation:
    made_by = data_dir / "PG_VERSION"
    wanted = int(made_by.read_text()) if made_by.exists() else version
    found = [one for one in installations() if (one.bin_dir / "initdb").exists()]
    exact = [one for one in found if one.major == wanted]
    if exact:
        return exact[0]
    if made_by.exists():
        raise TargetUnusable(
            f"{data_dir} was made by PostgreSQL {wanted}, which is not installed here",
            hint=f"install PostgreSQL {wanted}, or name a server with --postgres",
        )
    if not found:
        raise TargetUnusable(
            "there is no PostgreSQL here to run beside the SQLite file",
            hint='pip install "sqlite2pg[embedded]", or name a server with --postgres',
        )
    return max(found, key=lambda one: one.major)


def _start(
    directory: Path, version: int, tcp: bool, settings: dict[str, str], installation: Installation | None
) -> EmbeddedServer:
    account = server_account(directory.absolute())
    data_dir = place(directory.absolute(), account)
    chosen = runnable(installation or _choose(data_dir, version), account, data_dir.parent)
    running = _attach(data_dir, chosen, account)
    if running is not None:
        return running
    initialise(data_dir, chosen, account, settings)
    socket_dir = write_settings(data_dir, account, tcp, settings)
    # `-D .`: pg_ctl hands paths to a shell between double quotes, which not every file name survives
    control = [str(chosen.bin_dir / "pg_ctl"), "-D", ".", "-l", LOG, "-w", "-t", str(START_TIMEOUT_S), "start"]
    try:
        run(control, account, directory=data_dir)
    except TargetUnusable as error:
        running = _await_other(data_dir, chosen, account)
        if socket_dir not in (data_dir, running.socket_dir if running else None):
            socket_dir.rmdir()
        if running is None:
            raise TargetUnusable(f"PostgreSQL did not start in {data_dir}", hint=_last_words(data_dir)) from error
        return running
    server = _describe(data_dir, chosen, account, started=True)
    if server is None:
        raise TargetUnusable(f"PostgreSQL did not stay up in {data_dir}", hint=_last_words(data_dir))
    return server


def _await_other(data_dir: Path, chosen: Installation, account: Account | None) -> EmbeddedServer | None:
    """Return the server another process is starting on the same directory, None when there is none."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while _describe(data_dir, chosen, account, started=False) and time.monotonic() < deadline_s:
        running = _attach(data_dir, chosen, account)
        if running is not None:
            return running
        time.sleep(0.05)
    return None


def _attach(data_dir: Path, chosen: Installation, account: Account | None) -> EmbeddedServer | None:
    """Return the running server; None when there is none that answers."""
    server = _describe(data_dir, chosen, account, started=False)
    if server is None:
        return None
    ready = [str(chosen.bin_dir / "pg_isready"), "-h", str(server.socket_dir), "-p", str(server.port), "-t", "5", "-q"]
    try:
        run(ready, None)  # postmaster.pid alone proves nothing: after a crash its number may be another process
    except TargetUnusable:
        return None
    return server


def _describe(data_dir: Path, chosen: Installation, account: Account | None, started: bool) -> EmbeddedServer | None:
    """Read postmaster.pid: pid, data directory, start time, port, socket directory, listen address, ..."""
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        pid, port, socket_dir, address = int(lines[0]), int(lines[3]), lines[4].strip(), lines[5].strip()
    except (FileNotFoundError, IndexError, ValueError):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass  # another user's
    return EmbeddedServer(data_dir, chosen.bin_dir, Path(socket_dir), port, pid, bool(address), account, started)


def _stop(server: EmbeddedServer) -> None:
    control = [str(server.bin_dir / "pg_ctl"), "-D", str(server.data_dir), "-w", "-t", "60", "-m"]
    if _describe(server.data_dir, Installation(0, server.bin_dir, ""), server.account, False) is None:
        return
    try:
        run([*control, "fast", "stop"], server.account)
    except TargetUnusable:
        if (server.data_dir / "postmaster.pid").exists():
            run([*control, "immediate", "stop"], server.account)
    if server.socket_dir != server.data_dir:
        with contextlib.suppress(OSError):
            server.socket_dir.rmdir()


def _last_words(data_dir: Path) -> str:
    try:
        lines = (data_dir / LOG).read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return "\n".join(lines[-4:]) or f"see {data_dir / LOG}, and the system's log about the disk"
