"""Applies DDL: each statement with its ledger row in one transaction, so that the ledger always knows what is ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import asyncpg

from copier.errors import ConnectionLost, SchemaFailed
from copier.plan.ddl import Statement
from copier.plan.model import ObjectNote, Status
from copier.plan.names import literal, qualify, quote
from copier.postgres.failures import is_transient, is_trouble
from copier.postgres.ledger import Ledger
from copier.postgres.ledger_tables import Connection
from copier.postgres.writer import server_words

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
        return (statement.kind, statement.name, statement.table) in self._done

    async def require(self, connection: Connection, statements: Sequence[Statement]) -> None:
        """Create objects the copy cannot do without; SchemaFailed with the server's own words when one is refused."""
        missing = [s for s in statements if not self.is_done(s)]
        for start in range(0, len(missing), BATCH):
            async with connection.transaction():
                for statement in missing[start : start + BATCH]:
                    await self._require_one(connection, statement)
        self._done.update((s.kind, s.name, s.table) for s in missing)

    async def _require_one(self, connection: Connection, statement: Statement) -> None:
        try:
            await self._execute(connection, statement)
        except asyncpg.PostgresError as error:
            if is_transient(error):
                raise _lost(error) from error
            raise SchemaFailed(
                f"PostgreSQL refused to create the {statement.kind} {statement.name}: {server_words(error)}",
                hint="`sqlite2pg rollback` takes this run back; change the plan (`inspect --plan-out`) and run again",
                table=statement.table,
            ) from error

    async def attempt(self, connection: Connection, statement: Statement) -> str | None:
        """Create an object the copy can do without; return None, or the server's words when it is refused."""
        if self.is_done(statement):
            return None
        try:
            async with connection.transaction():
                await self._execute(connection, statement)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            if is_transient(error) or not isinstance(error, asyncpg.PostgresError):
                raise _lost(error) from error
            raise_trouble(error, f"create the {statement.kind} {statement.name}", statement.table)
            return server_words(error)
        self._done.add((statement.kind, statement.name, statement.table))
        return None

    async def note(self, connection: Connection, statement: Statement, status: Status = "created") -> ObjectNote:
        """Create an optional object and return its line for the report."""
        words = await self.attempt(connection, statement)
        if words is None:
            return note(statement, status)
        return note(statement, "failed", words)

    async def _execute(self, connection: Connection, statement: Statement) -> None:
        await connection.execute(statement.sql)
        await self._ledger.objects.add(
            connection,
            self._run,
            statement.kind,
            statement.name,
            statement.table,
            drop_sql=statement.drop_sql,
        )


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


async def advance_sequence(
    connection: Connection, schema: str, table: str, column: str, floor: int | None
) -> int | None:
    """Set the sequence behind a column to max(max(column), floor), never back; return its position, None without one.

    `floor` is the source's sqlite_sequence. Ids below 1 leave a fresh sequence where it starts.
    """
    owner = qualify(schema, table)
    sequence = await connection.fetchval(
        "SELECT pg_get_serial_sequence($1, $2)",
        *(owner, column),
    )
    if sequence is None:
        return None
    top = await connection.fetchval(f"SELECT max({quote(column)})::bigint FROM {owner}")
    current = await connection.fetchrow(
        f"SELECT last_value, is_called, (SELECT seqmax FROM pg_sequence WHERE seqrelid = $1::text::regclass) AS top"
        f" FROM {sequence}",
        sequence,
    )
    assert current is not None
    position: int = min(max(v for v in (top, floor, 0) if v is not None), current["top"])
    reached: int = current["last_value"] if current["is_called"] else 0
    if position <= reached:
        return reached
    await connection.execute(f"SELECT setval({literal(sequence)}, $1::bigint)", position)
    return position


async def tune_session(connection: Connection) -> None:
    """Give an index-building session the memory the server can spare: a quarter of shared_buffers, at least 64 MiB."""
    shared = await connection.fetchval("SELECT setting::bigint * 8192 FROM pg_settings WHERE name = 'shared_buffers'")
    wanted_kib = max(64 << 10, min(1 << 20, int(shared) // 4 // 1024))
    await connection.execute(f"SELECT set_config('maintenance_work_mem', '{wanted_kib}kB', false)")
