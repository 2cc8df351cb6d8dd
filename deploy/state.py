"""What a staging directory holds, as a file in it: which node is primary, which ports, and where the passwords are.

DIRECTORY/
  state.json         this
  passfile           passwords of the clients, mode 0600
  replication.pass   the standby's, owned by the servers' account, mode 0600
  node1/ node2/      data directories
  pgbouncer/         configuration, log and pid of the pooler
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import quote

from copier.cli.private_file import write_private
from copier.errors import UsageError
from copier.postgres.binaries import Account

HOST = "127.0.0.1"
NODES = ("node1", "node2")
DATABASE = ROLE = "app"
REPLICATOR, POOL_ADMIN = "replicator", "pool_admin"


@dataclass(frozen=True, slots=True)
class State:
    """One topology. Immutable: a change is a new State, saved."""

    directory: str
    major: int
    """PostgreSQL's."""
    ram_bytes: int
    cpus: int
    """What each server is tuned for."""
    synchronous: bool
    primary: str = NODES[0]
    standby: str | None = None
    fenced: str | None = None
    """A node that was killed and must not be started as it is."""
    node1_port: int = 0
    node2_port: int = 0
    pooler_port: int = 0
    """0: there is no pooler."""
    temporary: bool = False
    """The directory goes when the topology is stopped."""

    @property
    def path(self) -> Path:
        """The directory."""
        return Path(self.directory)

    @property
    def passfile(self) -> Path:
        """The clients' passwords."""
        return self.path / "passfile"

    @property
    def replication_passfile(self) -> Path:
        """The standby's password."""
        return self.path / "replication.pass"

    def port(self, node: str) -> int:
        """Return the node's port, 0 before its first start."""
        return {"node1": self.node1_port, "node2": self.node2_port}[node]

    def dsn(self, *ports: int, **options: str) -> str:
        """Return the DSN of the application's database at these ports; the password is in the passfile it names."""
        hosts = ",".join(f"{HOST}:{port}" for port in ports)
        query = "&".join(f"{k}={quote(v, safe='/')}" for k, v in {**options, "passfile": str(self.passfile)}.items())
        return f"postgresql://{ROLE}@{hosts}/{DATABASE}?{query}"

    @property
    def client_dsn(self) -> str:
        """The DSN that stays the same through a failover: the pooler, or without one both nodes."""
        if self.pooler_port:
            return self.dsn(self.pooler_port)
        ports = [self.port(node) for node in NODES if self.port(node)]
        return self.dsn(*ports, target_session_attrs="read-write")

    def save(self) -> State:
        """Write it into its directory, and return it."""
        write_private(self.path / "state.json", json.dumps(asdict(self), indent=2).encode() + b"\n")
        return self


def load(directory: Path) -> State:
    """Return what `directory` holds; UsageError when it is not a staging directory."""
    try:
        found = json.loads((directory / "state.json").read_text())
        return State(**{one.name: found[one.name] for one in fields(State)})
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{directory} is not a staging directory", hint="name the one that start printed") from None


def make_passwords(state: State, account: Account | None) -> None:
    """Write both password files, unless they are there."""
    if state.passfile.exists():
        return
    lines = [f"{HOST}:*:*:{role}:{secrets.token_urlsafe(24)}\n" for role in (ROLE, POOL_ADMIN)]
    replication = f"{HOST}:*:*:{REPLICATOR}:{secrets.token_urlsafe(24)}\n"
    write_private(state.replication_passfile, replication.encode())
    if account is not None:
        os.chown(state.replication_passfile, account.uid, account.gid)
    write_private(state.passfile, "".join(lines).encode())


def password(path: Path, role: str) -> str:
    """Return the role's password in a password file made here."""
    found = dict(line.split(":", 4)[3:] for line in path.read_text().splitlines())
    return found[role]
