"""Where the commands of test_nth_file_call.py work, what is there before them, and what must be there after them."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import asyncpg
import pytest
from file_calls import FileFault, failing_files
from fix_migrate import sha256
from fix_postgres import Servers, apart, reachable_directory, roomy_memory

from copier.cli import main
from copier.postgres.embedded import EmbeddedServer, running
from copier.run.session import embedded_directory


@dataclass
class Place:
    """Where a command works: a directory, the source in it, and an empty database."""

    directory: Path
    new_database: Callable[[], str]
    stack: ExitStack

    @cached_property
    def dsn(self) -> str:
        """Most commands need none, so it is made when somebody asks."""
        return self.new_database()

    @property
    def source(self) -> str:
        return self.path("app.db")

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def files(self) -> set[str]:
        """Names, without what differs from run to run."""
        return {re.sub(r"[0-9a-f]{12}|\d{8}_\d{6}", "*", path.name) for path in self.directory.iterdir()}

    @property
    def servers(self) -> Iterator[EmbeddedServer]:
        """The servers that a command left running here."""
        found = (running(path) for path in self.directory.glob("**/*.db.postgres"))
        return (server for server in found if server is not None)


def nothing(place: Place) -> None: ...


@dataclass(frozen=True, slots=True)
class Command:
    """What is done, what must be there before, and what is there afterwards."""

    words: Callable[[Place], Sequence[str]]
    facts: Callable[[Place], object]
    """Compared with those of an undisturbed command."""
    prepare: Callable[[Place], None] = nothing
    broken: str = ""
    """Boundary that fails always."""
    code: int = 0
    most: int = 1
    """Boundaries that CI fails."""


def run(words: Sequence[str], fault: FileFault | None = None) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it said on stderr."""
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        with failing_files(fault) if fault is not None else contextlib.nullcontext():
            code = main(list(words))
    return code, err.getvalue()


class Stage:
    """Sets up the places."""

    def __init__(self, servers: Servers) -> None:
        self._server = servers.need("wheel18")
        self._numbers = itertools.count(1)

    @contextmanager
    def place(self, command: Command) -> Iterator[Place]:
        """A new place, ready for the command."""
        with (
            reachable_directory(roomy_memory()) as base,
            pytest.MonkeyPatch.context() as patch,
            ExitStack() as stack,
        ):
            directory = base / "a place"  # whose name no socket's path can hold
            directory.mkdir(mode=0o711)
            place = Place(directory, lambda: self._new_database(stack), stack)
            patch.setenv("PGPASSFILE", place.path("pgpass"))
            patch.setattr(tempfile, "tempdir", str(base))
            patch.setattr("copier.postgres.datadir.SHORT_PLACE", str(base))
            try:
                make_source(Path(place.source))
                command.prepare(place)
                yield place
            finally:
                for server in place.servers:
                    apart(server.stop)

    def _new_database(self, stack: ExitStack) -> str:
        name = f"files_{next(self._numbers)}"
        apart(lambda: self._admin(f"CREATE DATABASE {name}"))
        stack.callback(apart, lambda: self._admin(f"DROP DATABASE {name} WITH (FORCE)"))
        return self._server.dsn(name)

    async def _admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server.dsn())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


# Words of commands.

QUIET = ("--no-backup", "--script", "none", "--log-file", "none", "--progress", "none")


def salvage(place: Place) -> list[str]:
    return ["salvage", "--sqlite", place.source, "--to", place.path("app.salvaged.db"), *QUIET[-2:]]


def full_salvage(place: Place) -> list[str]:
    return ["full", "--salvage", "--sqlite", place.source, "--postgres", place.dsn, *QUIET]


def backup(place: Place) -> list[str]:
    return ["backup", "--sqlite", place.source, "--to", place.path("copy.db"), "--progress", "none"]


def embedded(place: Place) -> list[str]:
    return ["full", "--sqlite", place.source, *QUIET]


# What is there before.


def make_source(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "PRAGMA journal_mode = WAL;"
            "CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT NOT NULL); CREATE INDEX note_body ON note (body);"
            "INSERT INTO note VALUES (1, 'one'), (2, 'two');"
        )


def abandoned(place: Place) -> None:
    """What a killed process left of its backup."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    (place.directory / f".copy.db.{ended.pid}.partial").touch()


def configured(place: Place) -> None:
    """Settings, a plan, a password, and the backup of an earlier state."""
    Path(place.path("sqlite2pg.toml")).write_text("jobs = 2\n")
    Path(place.path("plan.toml")).write_text("format = 1\n")
    Path(place.path("pgpass")).write_text("*:*:*:postgres:secret\n")
    Path(place.path("pgpass")).chmod(0o600)
    Path(place.path("app.db.000000000000.backup")).write_bytes(b"old")


def held(place: Place) -> None:
    """The same, and the application has the source open."""
    configured(place)
    with open(place.source, "rb") as file:  # noqa: PTH123
        holder = subprocess.Popen(["sleep", "600"], stdin=file)
    place.stack.callback(holder.wait)
    place.stack.callback(holder.kill)


def through_pipe(place: Place, name: str) -> str:
    """Return the name of a pipe with the file's content."""
    reader, writer = os.pipe()
    place.stack.callback(os.close, reader)
    os.write(writer, Path(place.path(name)).read_bytes())
    os.close(writer)
    return f"/dev/fd/{reader}"


def backed_up(place: Place) -> None:
    """A run that got no further than its backup."""
    assert run(["full", "--sqlite", place.source, "--postgres", place.dsn, *QUIET[1:], "--tables", "none"])[0] == 2


def moved(place: Place) -> None:
    assert run(["full", "--sqlite", place.source, "--postgres", place.dsn, *QUIET])[0] == 0


def damaged_server(place: Place) -> None:
    """A data directory that no server starts on."""
    directory = embedded_directory(Path(place.source))
    directory.mkdir()
    (directory / "PG_VERSION").write_text("18\n")


def occupied(place: Place) -> None:
    """A directory of somebody else where the server's should be."""
    directory = embedded_directory(Path(place.source))
    directory.mkdir()
    (directory / "theirs").touch()


def private(place: Place) -> None:
    """Only root may go there."""
    place.directory.chmod(0o700)


def damaged(place: Place) -> None:
    """The index is overwritten."""
    source = Path(place.source)
    content = bytearray(source.read_bytes())
    content[-4096:] = b"x" * 4096
    source.write_bytes(content)


def salvaged(place: Place) -> None:
    """A run with --salvage got as far as the new file."""
    damaged(place)
    assert run(salvage(place))[0] == 0


def half_salvaged(place: Place) -> None:
    """A killed salvage left its listing and its checksum."""
    salvaged(place)
    Path(place.path("app.salvaged.db")).unlink()


def linked(place: Place) -> None:
    """Where an earlier server was put, and is no more."""
    private(place)
    embedded_directory(Path(place.source)).symlink_to(place.directory / "gone" / "server")


def moved_in_private(place: Place) -> None:
    private(place)
    assert run(embedded(place))[0] == 0


def made_by_others(place: Place) -> None:
    """No SQLite file where the demo would make one."""
    Path(place.path("demo")).mkdir()
    Path(place.path("demo")).joinpath("chat.db").write_text("no database")


def reported(place: Place) -> None:
    Path(place.path("out.html")).touch()
    Path(place.path("out.json")).write_text('{"kind": "migration", "version": 1, "outcome": "verified"}')


# What is there afterwards.


def copied(place: Place) -> object:
    copy = Path(place.path("copy.db"))
    with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        rows = db.execute("SELECT * FROM note ORDER BY id").fetchall()
    digest, _ = copy.with_name("copy.db.sha256").read_text().split()
    return rows, digest == sha256(copy)


def planned(place: Place) -> object:
    return Path(place.path("out.toml")).read_text()


def rows_at(dsn: str) -> object:
    async def read() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return [tuple(row) for row in await connection.fetch("SELECT * FROM public.note ORDER BY id")]
        except asyncpg.UndefinedTableError:
            return None
        finally:
            await connection.close()

    return apart(read)


def in_target(place: Place) -> object:
    return rows_at(place.dsn)


def in_embedded(place: Place) -> object:
    return [rows_at(server.dsn("app")) for server in place.servers]


def nothing_more(place: Place) -> object:
    return None
