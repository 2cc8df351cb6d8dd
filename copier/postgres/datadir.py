"""The files of the embedded server: its data directory, its settings, its socket directory."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from copier.errors import TargetUnusable
from copier.postgres.binaries import Account, Installation, may_use, run

SETTINGS_FILE = "sqlite2pg.conf"
LOAD_SETTINGS = {
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "max_connections": "100",
    "log_checkpoints": "off",
}
"""Good for a load on a small machine; a person's own go to postgresql.auto.conf (ALTER SYSTEM), which wins."""

SHORT_PLACE = "/tmp"
"""Where a socket goes whose data directory has too long a name."""

_MAX_SOCKET_BYTES = 103
"""sun_path of macOS without its NUL; Linux allows 107."""
_HEADER = "# Rewritten by sqlite2pg whenever it starts this server; ALTER SYSTEM settings win over these.\n"


def place(directory: Path, account: Account | None) -> Path:
    """Return where the data directory really is: `directory`, or for root what the link there points to.

    The account PostgreSQL runs as must reach the directory, but root's files often lie where nobody else may go. The
    data then lies elsewhere with a link beside the SQLite file; no permission of an existing directory is changed.
    """
    if account is None or directory.exists() or may_use(directory.parent, account):
        return directory.resolve()
    if directory.is_symlink():
        return directory.readlink()
    elsewhere = _root_place(directory) / f"{directory.name}-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:8]}"
    elsewhere.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    directory.symlink_to(elsewhere)
    return elsewhere


def _root_place(directory: Path) -> Path:
    """What lies in the temporary directory stays there."""
    temporary = Path(tempfile.gettempdir()).resolve()
    if directory.resolve().is_relative_to(temporary):
        base = Path(tempfile.mkdtemp(prefix="sqlite2pg-", dir=temporary))
        base.chmod(0o711)
        return base
    return Path("/var/lib/sqlite2pg")


def runnable(chosen: Installation, account: Account | None, beside: Path) -> Installation:
    """Return an installation the account can run: `chosen`, or a copy of it when it lies where only root may go."""
    if may_use(chosen.bin_dir / "postgres", account):
        return chosen
    copy = beside / f"postgresql-{chosen.major}"
    package = chosen.bin_dir.parent.parent
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=beside))
        shutil.copytree(chosen.bin_dir.parent, unfinished / package.name / chosen.bin_dir.parent.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # where the wheel's programs look, relative to themselves
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        unfinished.chmod(0o755)
        unfinished.rename(copy)
    return Installation(chosen.major, copy / package.name / chosen.bin_dir.parent.name / "bin", chosen.origin)


def initialise(data_dir: Path, chosen: Installation, account: Account | None, settings: Mapping[str, str]) -> None:
    """Make the data directory unless it is there: whole or not at all, for initdb works in a directory of its own."""
    if (data_dir / "PG_VERSION").exists():
        return
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise TargetUnusable(
            f"{data_dir} exists and is not a PostgreSQL data directory", hint="move it away, or use --postgres"
        )
    fresh = Path(tempfile.mkdtemp(prefix=f"{data_dir.name}.new-", dir=data_dir.parent))
    try:
        _give(fresh, account)
        run(_initdb(chosen, fresh, sync=settings.get("fsync") != "off"), account)
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write(f"\ninclude_if_exists = '{SETTINGS_FILE}'\n")
        fresh.rename(data_dir)
    except OSError:
        if not (data_dir / "PG_VERSION").exists():  # else another process was faster
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _initdb(chosen: Installation, directory: Path, *, sync: bool) -> list[str]:
    """Code point order, as SQLite's BINARY; letters of all scripts have case where the server can (17 and later)."""
    command = [str(chosen.bin_dir / "initdb"), "-D", str(directory), "-U", "postgres", "--encoding=UTF8", "--locale=C"]
    command += ["--auth-local=trust", "--auth-host=scram-sha-256"]
    command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if chosen.major >= 17 else []
    return command if sync else [*command, "--no-sync"]


def write_settings(data_dir: Path, account: Account | None, tcp: bool, settings: Mapping[str, str]) -> Path:
    """Write the settings the next start reads; return the socket directory, which exists then."""
    socket_dir = _socket_dir(data_dir)
    values = {
        **LOAD_SETTINGS,
        "listen_addresses": "127.0.0.1" if tcp else "",
        "port": str(free_port() if tcp else 5432),
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
        **settings,
    }
    lines = [f"{name} = '{_escape(value)}'\n" for name, value in values.items()]
    path = data_dir / SETTINGS_FILE
    try:
        path.write_text(_HEADER + "".join(lines))
        for ours in {path, socket_dir} - {data_dir}:
            _give(ours, account)
    except BaseException:
        if socket_dir != data_dir:
            socket_dir.rmdir()
        raise
    return socket_dir


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _socket_dir(data_dir: Path) -> Path:
    """The data directory, which is private, unless the socket's path would be too long or need quoting."""
    path = str(data_dir)
    if len(os.fsencode(f"{path}/.s.PGSQL.65535")) <= _MAX_SOCKET_BYTES and re.fullmatch(r"[\w./+=@-]+", path, re.A):
        return data_dir
    return Path(tempfile.mkdtemp(prefix="sqlite2pg-", dir=SHORT_PLACE))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
