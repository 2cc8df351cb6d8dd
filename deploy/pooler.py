"""PgBouncer: its files, its process, its admin console.

`pool.ini` beside this file says how it pools; here is what differs from machine to machine. PgBouncer before 1.21
cannot keep prepared statements in transaction mode: clients must not prepare (psycopg: prepare_threshold=None; asyncpg:
statement_cache_size=0, and statements inside a transaction).
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import time
from pathlib import Path

from copier.errors import TargetUnusable
from copier.postgres.binaries import Account, run
from copier.postgres.datadir import free_port
from deploy.nodes import alive, wait_for_end
from deploy.state import DATABASE, HOST, POOL_ADMIN, ROLE, State, password

START_TIMEOUT_S = 20
POOL_FILE = Path(__file__).with_name("pool.ini")
_SERVER = """\
[databases]
{database} = host={host} port={port} dbname={database}

[pgbouncer]
listen_addr = {host}
listen_port = {listen_port}
unix_socket_dir =
auth_file = {directory}/userlist.txt
admin_users = {admin}
logfile = {directory}/pgbouncer.log
pidfile = {directory}/pgbouncer.pid

"""


def program() -> str | None:
    """Return where PgBouncer is, None when it is not installed. Distributions put it where only root's PATH looks."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def start(state: State, bin_dir: Path, account: Account | None) -> int:
    """Start the pooler in front of the primary, and return its port."""
    found = program()
    if found is None:
        raise TargetUnusable("PgBouncer is not installed", hint="apt-get install pgbouncer")
    directory = _directory(state)
    directory.mkdir(mode=0o700, exist_ok=True)
    port = state.pooler_port or free_port()
    users = "".join(f'"{role}" "{password(state.passfile, role)}"\n' for role in (ROLE, POOL_ADMIN))
    _write(directory / "userlist.txt", users, account)
    point_to(state, state.port(state.primary), account, listen_port=port)
    if account is not None:
        os.chown(directory, account.uid, account.gid)
    # each client and each server connection is a file; the soft limit is often 1,024
    command = ["/bin/sh", "-c", 'ulimit -n "$(ulimit -H -n)"; exec "$@"', "sh", found, "--daemon"]
    run([*command, str(directory / "pgbouncer.ini")], account)
    _await_console(state, port, bin_dir)
    return port


def _await_console(state: State, port: int, bin_dir: Path) -> None:
    """Return when the console answers: the program detaches before it listens."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            query(state, port, bin_dir, "SHOW VERSION")
            return
        except TargetUnusable as error:
            if time.monotonic() > deadline_s:
                log = (_directory(state) / "pgbouncer.log").read_text(errors="replace").splitlines()
                raise TargetUnusable("PgBouncer did not start", hint="\n".join(log[-4:])) from error
            time.sleep(0.05)


def point_to(state: State, server_port: int, account: Account | None, *, listen_port: int = 0) -> None:
    """Write the configuration with this server; a running pooler takes it at RELOAD."""
    directory = _directory(state)
    head = _SERVER.format(
        database=DATABASE,
        host=HOST,
        port=server_port,
        listen_port=listen_port or state.pooler_port,
        directory=directory,
        admin=POOL_ADMIN,
    )
    _write(directory / "pgbouncer.ini", head + POOL_FILE.read_text(), account)


def query(state: State, port: int, bin_dir: Path, command: str) -> list[dict[str, str]]:
    """Run a command of the admin console and return its rows; it knows the simple protocol only, hence psql."""
    target = f"host={HOST} port={port} dbname=pgbouncer user={POOL_ADMIN} passfile={state.passfile}"
    environ = {"PGCONNECT_TIMEOUT": "10"}
    psql = [str(bin_dir / "psql"), "--no-psqlrc", "--csv", "--dbname", target, "--command", command]
    return list(csv.DictReader(io.StringIO(run(psql, None, environ=environ).stdout)))


def pools(state: State, bin_dir: Path) -> list[dict[str, str]]:
    """Return SHOW POOLS without the console's own pool."""
    return [row for row in query(state, state.pooler_port, bin_dir, "SHOW POOLS") if row["database"] != "pgbouncer"]


def pid(state: State) -> int | None:
    """Return the running pooler's process, None when there is none."""
    try:
        found = int((_directory(state) / "pgbouncer.pid").read_text())
    except (OSError, ValueError):
        return None
    return found if alive(found) else None


def stop(state: State) -> None:
    """End the pooler and its connections."""
    found = pid(state)
    if found is not None:
        os.kill(found, signal.SIGTERM)
        wait_for_end(found)


def _directory(state: State) -> Path:
    return state.path / "pgbouncer"


def _write(path: Path, content: str, account: Account | None) -> None:
    """Write a file only the pooler's account (and root) reads, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(content)
    if account is not None:
        os.chown(fresh, account.uid, account.gid)
    fresh.replace(path)
