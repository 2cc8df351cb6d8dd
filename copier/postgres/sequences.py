"""Where sequences stand: behind the greatest id the source ever gave out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from copier.plan.names import literal, qualify, quote
from copier.postgres.ledger_tables import Connection
from copier.postgres.schema import BATCH, batched


@dataclass(frozen=True, slots=True)
class IdColumn:
    """A column that may have a sequence behind it, identity or serial."""

    table: str
    column: str
    floor: int | None
    """The greatest id the source knows of: its sqlite_sequence, or that of a row which was rejected."""


async def advance_sequences(connection: Connection, schema: str, columns: Sequence[IdColumn]) -> list[int | None]:
    """Set the sequence behind each column to max(max(column), floor), never back; return positions, None without one.

    The next id is one more than the greatest ever used. Ids below 1 leave a fresh sequence where it starts, at 1 as in
    SQLite; after 2^63-1 it is exhausted, as it should be. Three statements per `BATCH` columns, whatever their number.
    """
    return [position for batch in batched(columns, BATCH) for position in await _advance(connection, schema, batch)]


async def _advance(connection: Connection, schema: str, columns: Sequence[IdColumn]) -> list[int | None]:
    owners = [qualify(schema, c.table) for c in columns]
    found = await connection.fetch(
        "SELECT pg_get_serial_sequence(o.name, o.attribute) AS sequence"
        " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS o(name, attribute, n) ORDER BY n",
        *(owners, [c.column for c in columns]),
    )
    sequences = {n: row["sequence"] for n, row in enumerate(found) if row["sequence"] is not None}
    if not sequences:
        return [None] * len(columns)
    queries = [_state_query(n, owners[n], columns[n].column, name) for n, name in sequences.items()]
    states = await connection.fetch("\nUNION ALL ".join(queries))
    positions: list[int | None] = [None] * len(columns)
    moves: list[tuple[str, int]] = []
    for state in states:
        n = state["n"]
        greatest = max(value for value in (state["top"], columns[n].floor, 0) if value is not None)
        wanted = min(greatest, state["seqmax"])
        reached = state["last_value"] if state["is_called"] else 0
        positions[n] = max(wanted, reached)
        if wanted > reached:
            moves.append((sequences[n], wanted))
    if moves:
        await connection.execute(
            "SELECT setval(m.name::regclass, m.position) FROM unnest($1::text[], $2::bigint[]) AS m(name, position)",
            *(list(names) for names in zip(*moves, strict=True)),
        )
    return positions


def _state_query(n: int, owner: str, column: str, sequence: str) -> str:
    top = f"(SELECT max({quote(column)})::bigint FROM {owner}) AS top"
    kind = f"pg_sequence WHERE seqrelid = {literal(sequence)}::regclass"
    return f"SELECT {n} AS n, {top}, last_value, is_called, seqmax FROM {sequence}, {kind}"
