"""Whole migrations: databases that outlive one test, and one call that runs a verb outside any test's loop."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fix_postgres import Servers, apart

from copier.config import Settings
from copier.events import ignore
from copier.report import Report

MigrateOnce = Callable[..., AbstractContextManager["Migrated"]]


@dataclass(frozen=True, slots=True)
class Migrated:
    """A source file, the database it was moved into, and what was reported."""

    path: Path
    dsn: str
    report: Report
    sha256_before: str
    """Of the source file."""

    @property
    def target(self) -> dict[str, str]:
        """Source table -> target table."""
        return {table.source: table.target for table in self.report.tables}

    def sha256_now(self) -> str:
        """Return the digest of the source file as it is now."""
        return sha256(self.path)


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def full(path: Path, dsn: str, **settings: Any) -> Report:
    """Run `full` without a backup."""
    from copier import migration

    return await migration.full(Settings(sqlite=path, postgres=dsn, no_backup=True, **settings), ignore)


async def check(path: Path, dsn: str, **settings: Any) -> Report:
    """Run `check`."""
    from copier import migration

    return await migration.check(Settings(sqlite=path, postgres=dsn, **settings), ignore)


@pytest.fixture(scope="session")
def migrated_once(pg_servers: Servers) -> MigrateOnce:
    """Return `migrated_once(path, **settings)`: a context manager that moves a file into a new database, for as long as
    a module's tests look at it."""
    numbers = itertools.count(1)

    @contextmanager
    def move(path: Path, **settings: Any) -> Iterator[Migrated]:
        server = pg_servers.get("wheel18")
        name = f"migrated_{next(numbers)}"
        dsn = server.dsn(name)
        apart(lambda: _administer(server.dsn(), f'CREATE DATABASE "{name}"'))
        try:
            before = sha256(path)
            yield Migrated(path, dsn, apart(lambda: full(path, dsn, **settings)), before)
        finally:
            apart(lambda: _administer(server.dsn(), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    return move


async def _administer(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
