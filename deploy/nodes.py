"""The PostgreSQL servers: made, started, copied by pg_basebackup, promoted, killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import asyncpg
import psutil

from copier.plan.names import literal, quote
from copier.postgres import embedded
from copier.postgres.binaries import Account, run
from copier.postgres.embedded import EmbeddedServer
from copier.tune.machine import Machine
from copier.tune.settings import tune
from deploy.state import DATABASE, HOST, REPLICATOR, ROLE, State, password

COPY_TIMEOUT_S = 3600.0


def settings(state: State, node: str) -> dict[str, str]:
    """Return the tuned settings, and the port the node had before."""
    tuned = {one.name: one.value for one in tune(Machine(state.ram_bytes, state.cpus))}
    port = {"port": str(state.port(node))} if state.port(node) else {}
    return {**tuned, "jit": "on", "cluster_name": node, **port}


async def start_node(state: State, node: str) -> EmbeddedServer:
    """Start the node, made on first use; a standby is one because pg_basebackup left it the signal."""
    return await embedded.start(state.path / node, version=state.major, tcp=True, settings=settings(state, node))


async def make_roles(state: State, primary: EmbeddedServer) -> None:
    """Create the roles and the application's database on a new primary; what is there stays."""
    conn = await asyncpg.connect(primary.dsn())
    try:
        await conn.execute("SET log_min_duration_statement = -1")  # no password in the server's log
        wanted = {
            REPLICATOR: ("REPLICATION", password(state.replication_passfile, REPLICATOR)),
            ROLE: ("NOSUPERUSER", password(state.passfile, ROLE)),
        }
        for role, (kind, secret) in wanted.items():
            if not await conn.fetchval("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1", role):
                await conn.execute(f"CREATE ROLE {quote(role)} LOGIN {kind} PASSWORD {literal(secret)}")
        await conn.execute(f"GRANT pg_monitor TO {quote(ROLE)}")  # for the lag, which others may not see
        if not await conn.fetchval("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", DATABASE):
            await conn.execute(f"CREATE DATABASE {quote(DATABASE)} OWNER {quote(ROLE)}")
    finally:
        await conn.close()


async def make_standby(state: State, primary: EmbeddedServer, node: str) -> None:
    """Copy the primary into the node's directory, with a slot, so that starting it makes a streaming standby."""
    directory = state.path / node
    account = primary.account
    directory.mkdir(mode=0o700)
    if account is not None:
        os.chown(directory, account.uid, account.gid)
    source = f"host={HOST} port={primary.port} user={REPLICATOR} passfile={state.replication_passfile}"
    source += f" application_name={node}"
    command = [str(primary.bin_dir / "pg_basebackup"), "-d", source, "-D", str(directory), "--wal-method=stream"]
    command += ["--write-recovery-conf", "--create-slot", f"--slot={node}", "--checkpoint=fast"]
    try:
        await asyncio.to_thread(run, command, account, timeout_s=COPY_TIMEOUT_S)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


async def wait_for_standby(primary: EmbeddedServer, node: str, timeout_s: float = 60) -> None:
    """Return when the standby streams; TimeoutError when it does not in time."""
    conn = await asyncpg.connect(primary.dsn())
    try:
        async with asyncio.timeout(timeout_s):
            query = "SELECT 1 FROM pg_catalog.pg_stat_replication WHERE application_name = $1 AND state = 'streaming'"
            while not await conn.fetchval(query, node):  # noqa: ASYNC110  # another process: nothing tells us
                await asyncio.sleep(0.05)
    finally:
        await conn.close()


async def set_synchronous(primary: EmbeddedServer, standby: str | None) -> None:
    """Let commits wait for this standby; None: for nobody."""
    conn = await asyncpg.connect(primary.dsn())
    try:
        await conn.execute("SET synchronous_commit = local")  # this session's own commits never wait
        change = f"SET synchronous_standby_names = {literal(standby)}" if standby else "RESET synchronous_standby_names"
        await conn.execute(f"ALTER SYSTEM {change}")
        await conn.execute("SELECT pg_catalog.pg_reload_conf()")
        while (await conn.fetchval("SHOW synchronous_standby_names")) != (standby or ""):  # noqa: ASYNC110  # likewise
            await asyncio.sleep(0.02)
    finally:
        await conn.close()


async def promote(standby: EmbeddedServer) -> None:
    """Make the standby a primary; returns when it accepts writes."""
    command = [str(standby.bin_dir / "pg_ctl"), "-D", str(standby.data_dir), "-w", "-t", "60", "promote"]
    await asyncio.to_thread(run, command, standby.account)
    conn = await asyncpg.connect(standby.dsn())
    try:
        await conn.execute("ALTER SYSTEM RESET primary_conninfo")
        await conn.execute("ALTER SYSTEM RESET primary_slot_name")
        await conn.execute("ALTER SYSTEM RESET synchronous_standby_names")  # nobody is there to wait for
        await conn.execute("SELECT pg_catalog.pg_reload_conf()")
    finally:
        await conn.close()


def kill(server: EmbeddedServer) -> None:
    """Kill the postmaster, then its children, as a power cut would: nobody is left who could answer a client."""
    postmaster = psutil.Process(server.pid)
    everyone = [postmaster, *postmaster.children(recursive=True)]
    postmaster.send_signal(signal.SIGKILL)
    for one in everyone[1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    for one in everyone:
        wait_for_end(one.pid)


def wait_for_end(pid: int, timeout_s: float = 30) -> None:
    """Return when the process is gone; one that ended and nobody reaps counts as gone. TimeoutError otherwise."""
    deadline_s = time.monotonic() + timeout_s
    while alive(pid):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"process {pid} does not end")
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process of this number runs."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def remove_killed(directory: Path, bin_dir: Path, account: Account | None) -> None:
    """Delete a killed node's directory, after giving back the shared memory it left.

    Only its own recovery knows which segments those are: in single-user mode, which takes no connections. The pid file
    goes first: where nobody reaps the dead postmaster, its number still looks like a running one.
    """
    pid_file = directory / "postmaster.pid"
    if pid_file.exists():
        pid_file.unlink()
        run(
            [str(bin_dir / "postgres"), "--single", "-D", str(directory), "postgres"], account, timeout_s=COPY_TIMEOUT_S
        )
    shutil.rmtree(directory)
