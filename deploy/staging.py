"""A staging topology on this machine, without containers: primary, hot standby, PgBouncer.

    python -m deploy.staging start                 in the foreground, Ctrl-C stops it
    python -m deploy.staging drill                 starts one, fails over under load, audits, stops
    python -m deploy.staging status|failover|rejoin|stop --directory DIR

Only 127.0.0.1 and unix sockets are listened on, on ports that are free; passwords are made up and kept in a file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from rich.console import Console

from copier.errors import CopierError, UsageError
from copier.tune.here import cpu_count, memory_bytes
from copier.tune.machine import Machine, machine
from deploy import topology
from deploy.show import show_dsns, show_status, show_verdict
from deploy.state import State, load

T = TypeVar("T")

PLAN = Path(__file__).resolve().parent.parent / "docs" / "examples" / "demo.plan.toml"
"""Of the chat database: message search as the application has it."""
_DEFAULT_SHARE = 4
"""Two servers, the pooler and the clients share this machine: each server is tuned for a quarter of its memory."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return 0, 1 when it failed or the drill found something, 2 for wrong usage."""
    options = _parser().parse_args(argv)
    out = Console(highlight=False, soft_wrap=True)
    try:
        return asyncio.run(_run(options, out))
    except CopierError as error:
        sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        sys.stderr.write(f"error: {type(error).__name__}: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.staging", description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    told = {
        "start": "start the topology; Ctrl-C stops it",
        "drill": "fail over under load, and look for every acknowledged message",
        "status": "nodes, lag, pools",
        "failover": "kill the primary, promote the standby, point the pooler to it",
        "rejoin": "make the killed node anew, as standby",
        "stop": "stop everything",
    }
    for verb, text in told.items():
        one = verbs.add_parser(verb, help=text, description=text)
        makes = verb in ("start", "drill")
        where = "keep everything in this directory (default: a temporary one)" if makes else "what start printed"
        one.add_argument("--directory", type=Path, required=not makes, help=where)
        if makes:
            _add_making(one)
    verbs.choices["start"].add_argument("--detach", action="store_true", help="leave it running and return")
    verbs.choices["start"].add_argument("--synchronous", action="store_true", help="commits wait for the standby")
    verbs.choices["drill"].add_argument("--clients", type=int, default=16, help="writers (default 16)")
    verbs.choices["drill"].add_argument(
        "--seconds", type=float, default=5, help="of load before and after the failover, each (default 5)"
    )
    verbs.choices["drill"].add_argument(
        "--asynchronous", action="store_true", help="without waiting: may lose messages"
    )
    return parser


def _add_making(one: argparse.ArgumentParser) -> None:
    one.add_argument("--messages", type=int, default=0, help="migrate a chat database with so many messages into it")
    one.add_argument("--version", type=int, default=18, help="PostgreSQL's major version (default 18)")
    one.add_argument("--ram", help="memory each server is tuned for (default: a quarter of this machine's)")
    one.add_argument("--cpus", help="CPUs each server is tuned for (default: this machine's)")


async def _run(options: argparse.Namespace, out: Console) -> int:
    if options.verb in ("start", "drill"):
        return await _make(options, out)
    state = load(options.directory.absolute())
    if options.verb == "status":
        show_status(await topology.status(state), out)
    elif options.verb == "failover":
        state, _ = await topology.failover(state, out.print)
        show_dsns(state, out)
    elif options.verb == "rejoin":
        show_dsns(await topology.rejoin(state, out.print), out)
    else:
        await topology.stop(state)
    return 0


async def _make(options: argparse.Namespace, out: Console) -> int:
    size = _size(options)
    if options.verb == "drill" and (options.clients < 1 or not 0 < options.seconds <= 3600):
        raise UsageError("a drill needs at least one client, and up to 3,600 seconds")
    state = topology.new_state(
        options.directory,
        major=options.version,
        ram_bytes=size.ram_bytes,
        cpus=size.cpus,
        synchronous=not options.asynchronous if options.verb == "drill" else options.synchronous,
    )
    made = f"PostgreSQL {state.major}, tuned by sqlite2pg tune --ram {state.ram_bytes >> 20}MB --cpus {state.cpus}"
    out.print(f"Staging in {state.directory}: {made}")
    stopping = _stop_signals()
    keep = False
    try:
        state = await topology.start(state, out.print)
        if options.messages and not stopping.is_set():
            await _unless(stopping, _migrate(state, options.messages, out))
        show_dsns(state, out)
        if options.verb == "drill":
            return await _unless(stopping, _drill(state, options, out)) or 0
        keep = options.detach
        if not keep:
            out.print("Ctrl-C stops it.")
            await stopping.wait()
        return 0
    except CopierError:
        if stopping.is_set():  # Ctrl-C reached a program that was being run, too
            return 1
        raise
    finally:
        if not keep:
            # The verbs work on the directory, also from elsewhere: it may have been failed over or stopped meanwhile.
            with contextlib.suppress(UsageError):
                state = load(state.path)
            if state.path.exists():
                await topology.stop(state)
                out.print("stopped")


def _size(options: argparse.Namespace) -> Machine:
    ram = options.ram or f"{max(memory_bytes() // _DEFAULT_SHARE, 256 << 20)}"
    return machine(ram, options.cpus or str(cpu_count()), "ssd", "200")


def _stop_signals() -> asyncio.Event:
    """Return an event that Ctrl-C and the usual signals set; starting is not interrupted in its middle."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(NotImplementedError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of `work`, None when it was stopped."""
    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
        return None
    return task.result()


async def _migrate(state: State, messages: int, out: Console) -> None:
    """Move a chat database in, through the product, directly: a pooler has no place in a load."""
    from copier.config import Settings
    from copier.migration import full
    from copier.sqlite.chatdb import make_chat_database

    path = state.path / "chat.db"
    if not path.exists():
        await asyncio.to_thread(make_chat_database, path, messages)
    target = state.dsn(state.port(state.primary))
    report = await full(Settings(sqlite=path, postgres=target, existing="replace", no_backup=True, plan=PLAN))
    rows = sum(table.copied_rows for table in report.tables)
    out.print(f"chat database: {rows:,} rows, {report.outcome}")


async def _drill(state: State, options: argparse.Namespace, out: Console) -> int:
    from deploy.drill import drill

    _, verdict = await drill(state, out.print, clients=options.clients, seconds=options.seconds)
    show_verdict(verdict, out)
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
