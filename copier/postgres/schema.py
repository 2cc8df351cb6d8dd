"""Applies DDL: each statement with its ledger row in one transaction, so that the ledger always knows what is ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import asyncpg

from copier.errors import ConnectionLost, SchemaFailed
from copier.plan.ddl import Statement
from copier.plan.model import ObjectNote, Status
from copier.postgres.failures import is_transient, is_trouble
from copier.postgres.ledger import Ledger
from copier.postgres.ledger_tables import Connection
from copier.postgres.writer import server_words

T = TypeVar("T")

BATCH = 200
"""Statements per transaction: each table takes a lock until commit, and max_locks_per_transaction is 64 by default."""


class SchemaBuilder:
    """Creates objects for one run and remembers what it has created, also before a restart."""

    def __init__(self, ledger: Ledger, run: str, done: Iterable[tuple[str, str, str | None]] = ()) -> None:
        self._ledger = ledger
        self._run = run
        self._done = set(done)

    def is_done(self, statement: Statement) -> bool:
        """Whether an earlier attempt of this run created the object."""
        return _key(statement) in self._done

    async def require(self, connection: Connection, statements: Sequence[Statement]) -> None:
        """Create objects the copy cannot do without; SchemaFailed with the server's own words when one is refused."""
        for batch in batched([s for s in statements if not self.is_done(s)], BATCH):
            if len(batch) > 1 and await self._create_together(connection, batch):
                continue
            for statement in batch:
                await self._require_one(connection, statement)

    async def _require_one(self, connection: Connection, statement: Statement) -> None:
        try:
            async with connection.transaction():
                await self._execute(connection, [statement])
        except asyncpg.PostgresError as error:
            if is_transient(error):
                raise _lost(error) from error
            raise SchemaFailed(
                f"PostgreSQL refused to create the {statement.kind} {statement.name}: {server_words(error)}",
                hint="`sqlite2pg rollback` takes this run back; change the plan (`inspect --plan-out`) and run again",
                table=statement.table,
            ) from error
        self._done.add(_key(statement))

    async def attempt_all(self, connection: Connection, statements: Sequence[Statement]) -> list[str | None]:
        """As `attempt` for each, but in few round trips while the server refuses none."""
        answers: list[str | None] = []
        for batch in batched(statements, BATCH):
            missing = [s for s in batch if not self.is_done(s)]
            if len(missing) < 2 or not await self._create_together(connection, missing):
                answers += [await self.attempt(connection, statement) for statement in batch]
            else:
                answers += [None] * len(batch)
        return answers

    async def _create_together(self, connection: Connection, statements: Sequence[Statement]) -> bool:
        """Create all objects in one transaction; False, and nothing is created, when the server refuses any."""
        try:
            async with connection.transaction():
                await self._execute(connection, statements)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            if is_transient(error) or not isinstance(error, asyncpg.PostgresError):
                raise _lost(error) from error
            raise_trouble(error, f"create {statements[0].kind} {statements[0].name} and others", statements[0].table)
            return False
        self._done.update(map(_key, statements))
        return True

    async def attempt(self, connection: Connection, statement: Statement) -> str | None:
        """Create an object the copy can do without; return None, or the server's words when it is refused."""
        if self.is_done(statement):
            return None
        try:
            async with connection.transaction():
                await self._execute(connection, [statement])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            if is_transient(error) or not isinstance(error, asyncpg.PostgresError):
                raise _lost(error) from error
            raise_trouble(error, f"create the {statement.kind} {statement.name}", statement.table)
            return server_words(error)
        self._done.add(_key(statement))
        return None

    async def note(self, connection: Connection, statement: Statement, status: Status = "created") -> ObjectNote:
        """Create an optional object and return its line for the report."""
        words = await self.attempt(connection, statement)
        if words is None:
            return note(statement, status)
        return note(statement, "failed", words)

    async def _execute(self, connection: Connection, statements: Sequence[Statement]) -> None:
        # On a line of its own the semicolon also ends a statement of a person that ends in a comment.
        parts = (part for statement in statements for part in (statement.trial_sql, statement.sql) if part)
        await connection.execute("\n;\n".join(parts))
        rows = [(*_key(statement), statement.drop_sql) for statement in statements]
        await self._ledger.objects.add_created(connection, self._run, rows)


def _key(statement: Statement) -> tuple[str, str, str | None]:
    return statement.kind, statement.name, statement.table


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in order, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _lost(error: BaseException) -> ConnectionLost:
    return ConnectionLost(
        f"the connection to PostgreSQL was lost: {error}", hint="run the same command again; it goes on from there"
    )


def raise_trouble(error: asyncpg.PostgresError, what: str, table: str | None) -> None:
    """Raise SchemaFailed when the server is in trouble: a run that ended without the object could not be finished."""
    if is_trouble(error):
        raise SchemaFailed(
            f"PostgreSQL could not {what}: {server_words(error)}",
            hint="mend the cause and run the same command again; it goes on from there",
            table=table,
        ) from error


def note(statement: Statement, status: Status, detail: str = "") -> ObjectNote:
    """Return a statement's line for the report, under the kind and name the source gives the object."""
    name = statement.source or statement.name
    renamed = f"as {statement.name}" if name != statement.name else ""
    if statement.detail and status == "created":
        status = "translated"
    said = "; ".join(filter(None, [detail, statement.detail, renamed]))
    return ObjectNote(statement.source_kind or statement.kind, name, statement.table, status, said)


async def validate_together(connection: Connection, statements: Sequence[Statement]) -> bool:
    """Validate NOT VALID constraints in one round trip; False, and none is validated, when rows violate any."""
    if len(statements) > 1:
        try:
            await connection.execute(";\n".join(statement.validate_sql for statement in statements))
        except asyncpg.PostgresError as error:
            if is_transient(error):
                raise _lost(error) from error
            return False
    return len(statements) != 1


async def validate_constraint(connection: Connection, statement: Statement) -> str | None:
    """Validate a NOT VALID constraint; return None, or the server's words when rows violate it."""
    try:
        await connection.execute(statement.validate_sql)
    except asyncpg.PostgresError as error:
        if is_transient(error):
            raise _lost(error) from error
        raise_trouble(error, f"validate {statement.name}", statement.table)
        return server_words(error)
    return None
