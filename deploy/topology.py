"""The topology as a whole: started, looked at, failed over, put back, stopped. Each verb needs only the directory."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg

from copier.errors import TargetUnusable, UsageError
from copier.postgres import embedded
from copier.postgres.binaries import server_account
from copier.postgres.embedded import EmbeddedServer
from deploy import nodes, pooler
from deploy.state import NODES, State, load, make_passwords

Say = Callable[[str], None]

LAG = """
SELECT application_name AS standby, state, sync_state,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::bigint AS lag_bytes,
       coalesce(extract(epoch FROM replay_lag), 0)::float8 AS lag_s
FROM pg_catalog.pg_stat_replication WHERE state <> 'backup' ORDER BY 1
"""
"""On the primary; replay_lag is NULL when the standby has caught up and nothing happened since."""


@dataclass(frozen=True, slots=True)
class Failover:
    """How long each step of a failover took, in seconds."""

    promoted_s: float
    repointed_s: float


def new_state(directory: Path | None, *, major: int, ram_bytes: int, cpus: int, synchronous: bool) -> State:
    """Return the state of `directory`, as it is there or new; None: a temporary directory."""
    if directory is not None and (directory / "state.json").exists():
        return load(directory)
    if directory is None:
        path = Path(tempfile.mkdtemp(prefix="sqlite2pg-staging-"))
    else:
        path = directory.absolute()
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise UsageError(f"{path} is not empty", hint="name a directory that is new, or one that start made")
    path.chmod(0o711)  # a server that runs as another account must reach its part; nobody can list the rest
    return State(str(path), major, ram_bytes, cpus, synchronous, temporary=directory is None)


async def start(state: State, say: Say) -> State:
    """Start what runs in the directory, made on first use: primary, standby, pooler. Returns the state, saved."""
    make_passwords(state, server_account(state.path / NODES[0]))
    primary = await nodes.start_node(state, state.primary)
    state = _with_port(state, state.primary, primary.port).save()
    say(f"{state.primary}: primary on port {primary.port}")
    await nodes.make_roles(state, primary)
    other = next(node for node in NODES if node != state.primary)
    if state.fenced != other:
        state = await _start_standby(state, primary, other, say)
    return await asyncio.to_thread(_start_pooler, state, primary, say)


async def _start_standby(state: State, primary: EmbeddedServer, node: str, say: Say) -> State:
    if not (state.path / node).exists():
        await nodes.make_standby(state, primary, node)
    standby = await nodes.start_node(state, node)
    await nodes.wait_for_standby(primary, node)
    await nodes.set_synchronous(primary, node if state.synchronous else None)
    waits = "commits wait for it" if state.synchronous else "asynchronous"
    say(f"{node}: hot standby on port {standby.port}, {waits}")
    return replace(_with_port(state, node, standby.port), standby=node, fenced=None).save()


def _start_pooler(state: State, primary: EmbeddedServer, say: Say) -> State:
    if pooler.program() is None:
        say("no pooler: PgBouncer is not installed (apt-get install pgbouncer); clients connect directly")
        return replace(state, pooler_port=0).save()
    port = state.pooler_port
    if pooler.pid(state) is None:
        port = pooler.start(state, primary.bin_dir, primary.account)
    say(f"pooler: PgBouncer on port {port}, transaction pooling")
    return replace(state, pooler_port=port).save()


def _with_port(state: State, node: str, port: int) -> State:
    return replace(state, node1_port=port) if node == "node1" else replace(state, node2_port=port)


async def attached(state: State, node: str) -> EmbeddedServer:
    """Return the node's running server; TargetUnusable when it does not run."""
    found = await asyncio.to_thread(embedded.running, state.path / node, state.major)
    if found is None:
        raise TargetUnusable(f"{node} does not run in {state.path}", hint="start it: python -m deploy.staging start")
    return found


async def failover(state: State, say: Say) -> tuple[State, Failover]:
    """Kill the primary, promote the standby, point the pooler to it. The killed node is fenced: it stays down."""
    if state.standby is None:
        raise UsageError("there is no standby to fail over to", hint="rejoin makes the killed node one")
    primary, standby = await attached(state, state.primary), await attached(state, state.standby)
    began_s = time.monotonic()
    await asyncio.to_thread(nodes.kill, primary)
    say(f"{state.primary}: killed")
    # Written down before there is a second primary: whatever happens now, nothing here starts the old one again.
    state = replace(state, primary=state.standby, standby=None, fenced=state.primary).save()
    await nodes.promote(standby)
    promoted_s = time.monotonic() - began_s
    say(f"{state.primary}: promoted after {promoted_s:.2f} s")
    if state.pooler_port:
        pooler.point_to(state, standby.port, standby.account)
        await asyncio.to_thread(pooler.query, state, state.pooler_port, standby.bin_dir, "RELOAD")
        say(f"pooler: points to {state.primary} after {time.monotonic() - began_s:.2f} s")
    return state, Failover(promoted_s, time.monotonic() - began_s)


async def rejoin(state: State, say: Say) -> State:
    """Make the killed node anew, as a standby of the present primary."""
    if state.fenced is None:
        raise UsageError("no node is out", hint="rejoin puts back what failover killed")
    primary = await attached(state, state.primary)
    old = state.path / state.fenced
    await asyncio.to_thread(nodes.remove_killed, old, primary.bin_dir, primary.account)
    return await _start_standby(state, primary, state.fenced, say)


async def status(state: State) -> dict[str, Any]:
    """Return what runs: nodes with their role, the standbys' lag as the primary sees it, the pools."""
    found: dict[str, Any] = {"nodes": [], "replication": [], "pools": []}
    bin_dir: Path | None = None
    for node in NODES:
        server = await asyncio.to_thread(embedded.running, state.path / node, state.major)
        role = "fenced" if node == state.fenced else "down"
        if server is not None:
            bin_dir = server.bin_dir
            conn = await asyncpg.connect(server.dsn())
            try:
                role = "standby" if await conn.fetchval("SELECT pg_catalog.pg_is_in_recovery()") else "primary"
                if role == "primary":
                    found["replication"] = [dict(row) for row in await conn.fetch(LAG)]
            finally:
                await conn.close()
        found["nodes"].append({"node": node, "role": role, "port": state.port(node)})
    if bin_dir is not None and state.pooler_port and pooler.pid(state) is not None:
        found["pools"] = await asyncio.to_thread(pooler.pools, state, bin_dir)
    return found


async def stop(state: State) -> None:
    """Stop everything that runs in the directory; a temporary directory goes."""
    await asyncio.to_thread(pooler.stop, state)
    last: EmbeddedServer | None = None
    # The primary first: it hands its last WAL to the standby when it stops.
    for node in sorted(NODES, key=lambda node: node != state.primary):
        if node == state.fenced:
            continue
        server = await asyncio.to_thread(embedded.running, state.path / node, state.major)
        if server is not None:
            await server.stop()
            last = server
    if state.temporary:
        if state.fenced is not None and last is not None:
            await asyncio.to_thread(nodes.remove_killed, state.path / state.fenced, last.bin_dir, last.account)
        await asyncio.to_thread(shutil.rmtree, state.path)
