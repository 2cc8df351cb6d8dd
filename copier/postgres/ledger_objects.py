"""Ledger rows of schema objects: what a run created, and what it set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from copier.postgres.ledger_tables import Connection, LedgerTables


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One object a run created (`created`) or set aside (`set aside`, `put back`)."""

    id: int
    kind: str
    name: str
    source_table: str | None
    state: str
    drop_sql: str
    restore_sql: str | None
    detail: str


class Objects:
    """The object table."""

    def __init__(self, tables: LedgerTables) -> None:
        self._sql = tables.sql

    async def add(
        self,
        connection: Connection,
        run: str,
        kind: str,
        name: str,
        source_table: str | None,
        *,
        drop_sql: str,
        restore_sql: str | None = None,
        state: str = "created",
        detail: str = "",
    ) -> None:
        """Record an object, in the transaction that makes it so."""
        await connection.execute(
            self._sql(
                "INSERT INTO {object} (run, kind, name, source_table, state, drop_sql, restore_sql, detail)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
            ),
            *(run, kind, name, source_table, state, drop_sql, restore_sql, detail),
        )

    async def add_created(
        self, connection: Connection, run: str, objects: Sequence[tuple[str, str, str | None, str]]
    ) -> None:
        """Record objects, each (kind, name, source table, drop_sql), in the transaction that creates them."""
        await connection.execute(
            self._sql(
                "INSERT INTO {object} (run, state, kind, name, source_table, drop_sql)"
                " SELECT $1, 'created', o.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS o"
            ),
            *(run, *map(list, zip(*objects, strict=True))),
        )

    async def all(self, connection: Connection, run: str) -> list[ObjectRow]:
        """Return the objects of a run in the order they were recorded."""
        rows = await connection.fetch(
            self._sql(
                "SELECT id, kind, name, source_table, state, drop_sql, restore_sql, detail FROM {object}"
                " WHERE run = $1 ORDER BY id"
            ),
            run,
        )
        return [ObjectRow(**dict(row)) for row in rows]

    async def set_state(self, connection: Connection, id: int, state: str) -> None:
        """Move an object on (`set aside` -> `put back`)."""
        await connection.execute(self._sql("UPDATE {object} SET state = $2 WHERE id = $1"), *(id, state))
