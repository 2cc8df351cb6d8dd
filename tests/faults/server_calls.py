"""Calls to the server and to SQLite, counted; and a fault in the Nth of them at any boundary."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiosqlite
import asyncpg
import pytest
from asyncpg.cursor import CursorIterator

from copier.sqlite.header import RawFile

QUERIES = ("execute", "executemany", "fetch", "fetchrow", "fetchval")
METHODS = (*QUERIES, "copy_to_table", "copy_from_query", "copy_records_to_table", "close")
"""Every way the copier talks to the server on a connection it has."""
CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "release")
"""Come through `execute`, and are boundaries of their own; `release` makes a connection new for the pool."""
CURSOR = "cursor"
TARGET = (*METHODS, *CONTROL, CURSOR, "connect")
SOURCE = ("sqlite open", "sqlite call", "file header", "file fingerprint")
KINDS = ("lost before", "lost after", "refused")


@dataclass
class Fault:
    """Counts the calls at every boundary and makes call `number` at one of them fail."""

    boundary: str = ""
    number: int = 0
    kind: str = "lost before"
    calls: Counter[str] = field(default_factory=Counter)
    hit: bool = False

    def due(self, boundary: str) -> bool:
        self.calls[boundary] += 1
        due = boundary == self.boundary and self.calls[boundary] == self.number
        self.hit = self.hit or due
        return due


def boundary_of(method: str, args: tuple[Any, ...]) -> str:
    if method != "execute" or not args:
        return method
    if str(args[0]).startswith("SELECT pg_advisory_unlock_all()"):
        return "release"
    word = str(args[0]).split()[0].upper().rstrip(";")
    return word if word in CONTROL else method


def _failing(method: str, fault: Fault, plain: Any) -> Any:
    async def call(self: asyncpg.Connection, *args: Any, **more: Any) -> Any:
        if not fault.due(boundary_of(method, args)):
            return await plain(self, *args, **more)
        if fault.kind == "refused" and method != "close":
            if fault.boundary == "COMMIT":  # what the server refuses to commit it has rolled back
                await plain(self, "ROLLBACK;")
            raise asyncpg.exceptions.OutOfMemoryError("out of memory")
        if fault.kind == "lost after":
            await plain(self, *args, **more)
        self.terminate()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    return call


def _failing_connect(fault: Fault, plain: Any) -> Any:
    async def connect(*args: Any, **more: Any) -> asyncpg.Connection:
        if not fault.due("connect"):
            return await plain(*args, **more)
        if fault.kind == "refused":
            raise asyncpg.TooManyConnectionsError("sorry, too many clients already")
        if fault.kind == "lost after":
            (await plain(*args, **more)).terminate()
        raise ConnectionResetError(104, "Connection reset by peer")

    return connect


def _failing_cursor(fault: Fault, plain: Any) -> Any:
    async def rows(self: CursorIterator) -> Any:
        if fault.due(CURSOR):
            if fault.kind == "refused":
                raise asyncpg.exceptions.OutOfMemoryError("out of memory")
            self._connection.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return await plain(self)

    return rows


def sqlite_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname, error.sqlite_errorcode = "SQLITE_IOERR_READ", sqlite3.SQLITE_IOERR_READ  # type: ignore[attr-defined]
    return error


def _failing_source(boundary: str, fault: Fault, plain: Any) -> Any:
    def call(self: Any, *args: Any, **more: Any) -> Any:
        closing = boundary == "sqlite call" and args and getattr(args[0], "__name__", "") in ("close", "interrupt")
        if not closing and fault.due(boundary):
            raise sqlite_error() if boundary.startswith("sqlite") else OSError(5, "Input/output error")
        return plain(self, *args, **more)

    return call


def _failing_open(fault: Fault, plain: Any) -> Any:
    def connect(*args: Any, **more: Any) -> sqlite3.Connection:
        if fault.due("sqlite open"):
            raise sqlite_error()
        return plain(*args, **more)

    return connect


@contextmanager
def failing(fault: Fault) -> Iterator[Fault]:
    with pytest.MonkeyPatch.context() as patch:
        for method in METHODS:
            patch.setattr(asyncpg.Connection, method, _failing(method, fault, getattr(asyncpg.Connection, method)))
        patch.setattr(asyncpg, "connect", _failing_connect(fault, asyncpg.connect))
        patch.setattr(CursorIterator, "__anext__", _failing_cursor(fault, CursorIterator.__anext__))
        for owner, name, boundary in (
            (aiosqlite.Connection, "_execute", "sqlite call"),
            (RawFile, "header", "file header"),
            (RawFile, "fingerprint", "file fingerprint"),
        ):
            patch.setattr(owner, name, _failing_source(boundary, fault, getattr(owner, name)))
        patch.setattr(sqlite3, "connect", _failing_open(fault, sqlite3.connect))
        yield fault
