"""Passwords from ~/.pgpass, as libpq reads it.

asyncpg reads it too, but leaves the backslashes of `\\:` and `\\\\` in the password and reads by the locale's encoding.
Source: PostgreSQL documentation, "The Password File".
"""

from __future__ import annotations

import getpass
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from copier.postgres.dsn import Dsn

_FIELD = re.compile(r"((?:\\.|[^:\\])*)(?::|$)")


def file_password(target: Dsn, environ: Mapping[str, str]) -> str | None:
    """Return the password of the first line that fits; None when something else gives one, or nothing does.

    A file that others can read is left to asyncpg, which warns of it and does not use it.
    """
    if target.password is not None or environ.get("PGPASSWORD"):
        return None
    named = target.options.get("passfile") or environ.get("PGPASSFILE")
    user = target.user or environ.get("PGUSER") or getpass.getuser()
    database = target.database or environ.get("PGDATABASE") or user
    for one in _entries(Path(named) if named else Path(environ.get("HOME") or "/") / ".pgpass"):
        for host, port in _addresses(target, environ):
            wanted = (host, port, database, user)
            if all(pattern in ("*", value) for pattern, value in zip(one[:4], wanted, strict=True)):
                return one[4]
    return None


def _entries(path: Path) -> Iterator[tuple[str, ...]]:
    try:
        if path.is_file() and not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            lines = path.read_bytes().decode("utf-8", "surrogateescape").splitlines()
        else:
            return
    except OSError:
        return
    for line in lines:
        if line.startswith("#"):
            continue
        # The password is the rest of the line: a colon in it may stand by itself.
        head = [found for _, found in zip(range(4), _FIELD.finditer(line), strict=False)]
        if len(head) == 4 and head[3].group().endswith(":"):
            fields = [found.group(1) for found in head] + [line[head[3].end() :]]
            yield tuple(re.sub(r"\\(.)", r"\1", one) for one in fields)


def _addresses(target: Dsn, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield host and port of each server; a unix socket counts as localhost."""
    hosts = target.hosts or tuple(filter(None, environ.get("PGHOST", "").split(","))) or ("localhost",)
    ports = tuple(map(str, target.ports)) or tuple(filter(None, environ.get("PGPORT", "").split(","))) or ("5432",)
    for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False):
        yield "localhost" if host.startswith("/") else host, port
