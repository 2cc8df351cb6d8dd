"""The load test in one command, without Locust's page.

    python -m loadtest.run --embedded                              own server, fresh database, 60 s at 1,000/s
    python -m loadtest.run --postgres postgresql://app@host/chat   a target of your own, already migrated
    python -m loadtest.run --shape ramp --seconds 120              where is the knee?

The target is --postgres, else DATABASE_URL, else the PG* variables, else an embedded server that ends with the test.
Exit codes: 0 pass, 1 fail, 2 usage, 3 the generator was the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from copier.config import Settings
from copier.errors import CopierError
from copier.migration import full
from copier.postgres.dsn import resolve_dsn
from copier.postgres.embedded import embedded_server
from copier.sqlite.chatdb import make_chat_database
from copier.tune.here import cpu_count, memory_bytes
from copier.tune.machine import RAM_BYTES, Machine
from copier.tune.settings import tune
from loadtest.shapes import SHAPES
from loadtest.slo import DEFAULT_SLO, parse_slo

HERE = Path(__file__).resolve().parent
PLAN = HERE.parent / "docs" / "examples" / "demo.plan.toml"
DATABASE = "loadtest"
CONNECTIONS = 400
_END_PATIENCE_S = 15


async def main(argv: list[str] | None = None) -> int:
    """Run the load test; return the exit code."""
    args = _parser().parse_args(argv)
    try:
        slo = parse_slo(args.slo.read_text(encoding="utf-8"), args.slo.name)
        args.users = args.users or slo.rate.users
        dsn = None if args.embedded else resolve_dsn(args.postgres, os.environ)
        if dsn is not None:
            return await _locust(args, dsn)
        async with _fresh_target(args.directory, args.messages) as dsn:
            return await _locust(args, dsn)
    except CopierError as error:
        print(f"error: {error}" + (f"\n  {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return 2


@asynccontextmanager
async def _fresh_target(directory: Path | None, messages: int) -> AsyncIterator[str]:
    """Give the DSN of a chat database that was just migrated; the server ends with the test."""
    base = directory or Path(tempfile.mkdtemp(prefix="loadtest-"))
    try:
        base.mkdir(parents=True, exist_ok=True)
        if directory is None:
            base.chmod(0o711)  # the server of root runs as another account
        source = base / f"chat_{messages}.db"
        if not source.exists():
            make_chat_database(source, messages)
        async with embedded_server(base / "postgres", keep=False, settings=_settings()) as server:
            dsn = await server.ensure_database(DATABASE)
            print(f"migrating a chat database of {messages:,} messages into an embedded PostgreSQL", flush=True)
            await full(Settings(sqlite=source, postgres=dsn, plan=PLAN, existing="replace", no_backup=True))
            yield dsn
    finally:
        if directory is None:
            shutil.rmtree(base, ignore_errors=True)


def _settings() -> dict[str, str]:
    """Return what `sqlite2pg tune` says for half of this machine: the generator is here too. Commits stay durable."""
    here = Machine(max(RAM_BYTES[0], memory_bytes() // 2), cpu_count(), connections=CONNECTIONS)
    return {setting.name: setting.value for setting in tune(here)} | {"jit": "off"}


async def _locust(args: argparse.Namespace, dsn: str) -> int:
    """Run Locust, with workers if wanted; the DSN travels in the environment, which other users cannot read."""
    environ = {**os.environ, "DATABASE_URL": dsn}
    command = [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--loglevel", "WARNING"]
    command += ["--only-summary"]
    options = ["--headless", "--users", str(args.users), "--spawn-rate", "50", "--html", str(args.html)]
    options += ["--shape", args.shape, "--rate", str(args.rate), "--seconds", str(args.seconds)]
    options += ["--slo", str(args.slo), "--schema", args.schema, "--prepared", args.prepared]
    options += ["--via", args.via, "--out", str(args.out)]
    if not args.workers:
        return await _finished(await asyncio.create_subprocess_exec(*command, *options, env=environ))
    port = ["--master-port", str(_free_port())]
    master = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port[1]]
    master += ["--expect-workers", str(args.workers), "--expect-workers-max-wait", "30"]
    workers = [
        # A session of their own: Ctrl-C reaches the master, which collects their last notes and ends them.
        await asyncio.create_subprocess_exec(*command, "--worker", *port, env=environ, start_new_session=True)
        for _ in range(args.workers)
    ]
    try:
        return await _finished(await asyncio.create_subprocess_exec(*command, *options, *master, env=environ))
    finally:
        await asyncio.gather(*map(_end, workers))


async def _finished(process: asyncio.subprocess.Process) -> int:
    """Wait for a process; when we are interrupted, so is it (Ctrl-C reaches both), and its verdict is awaited."""
    try:
        return await process.wait()
    except asyncio.CancelledError:
        await _end(process)
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), _END_PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--postgres", metavar="DSN", help="a migrated chat database; its password belongs in PGPASSWORD"
    )
    parser.add_argument("--embedded", action="store_true", help="an own server, whatever the environment says")
    parser.add_argument("--shape", choices=SHAPES, default="steady")
    parser.add_argument("--rate", type=float, default=0.0, help="messages per second (default: as in slo.toml)")
    parser.add_argument("--seconds", type=int, default=60, help="how long, after the warm-up")
    parser.add_argument("--users", type=int, default=0, help="connections (default: as in slo.toml)")
    parser.add_argument("--workers", type=int, default=0, help="generator processes beside a master, on this machine")
    parser.add_argument("--slo", type=Path, default=DEFAULT_SLO, help="file of targets")
    parser.add_argument("--schema", default="public", help="schema of the target's tables")
    parser.add_argument("--prepared", choices=("auto", "on", "off"), default="auto", help="prepared statements")
    parser.add_argument("--via", default="", help="what is between, for the report (default: found out)")
    parser.add_argument("--messages", type=int, default=100_000, help="size of the fresh database")
    parser.add_argument("--directory", type=Path, help="where the fresh database lives and stays (default: temporary)")
    parser.add_argument("--out", type=Path, default=Path("loadtest.json"), help="the result")
    parser.add_argument("--html", type=Path, default=Path("loadtest.html"), help="Locust's own report")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(1)
