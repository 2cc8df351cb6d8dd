"""The floor: the server's own COPY FROM a file of the same bytes, which no client can beat."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from copier.plan.names import qualify


class Floor:
    """Server-side COPY of what a table holds, by one connection or by two."""

    def __init__(self, dsn: str, schema: str, table: str) -> None:
        self._dsn = dsn
        self._table = qualify(schema, table)
        self._empty = qualify(schema, f"{table}_floor")
        self._files: list[str] = []
        self.bytes = 0

    async def prepare(self) -> None:
        """Write the table's rows into files in the server's data directory: the whole, and its two halves."""
        control = await asyncpg.connect(self._dsn)
        try:
            place = await control.fetchval("SELECT current_setting('data_directory')")
            self._files = [f"{place}/floor_{part}.bin" for part in ("whole", "first", "second")]
            pages = await control.fetchval("SELECT pg_relation_size($1::regclass) / 8192", self._table)
            whole, first, second = self._files
            await control.execute(f"COPY {self._table} TO '{whole}' (FORMAT binary)")
            for file, sign in ((first, "<"), (second, ">=")):
                rows = f"SELECT * FROM {self._table} WHERE ctid {sign} '({pages // 2},0)'"
                await control.execute(f"COPY ({rows}) TO '{file}' (FORMAT binary)")
            await control.execute(
                f"DROP TABLE IF EXISTS {self._empty}; CREATE TABLE {self._empty} (LIKE {self._table})"
            )
            self.bytes = await control.fetchval("SELECT (pg_stat_file($1)).size", whole)
        finally:
            await control.close()
        # New WAL files are made once and used again from then on: whoever comes first must not pay for the others.
        await self.one()
        await self.two()

    async def one(self) -> float:
        """Return the seconds of one connection."""
        return await self._copy(self._files[:1])

    async def two(self) -> float:
        """Return the seconds of two connections, half of the rows each, into one table."""
        return await self._copy(self._files[1:])

    async def _copy(self, files: list[str]) -> float:
        connections = [await asyncpg.connect(self._dsn) for _ in files]
        try:
            await connections[0].execute(f"TRUNCATE {self._empty}")
            await connections[0].execute("CHECKPOINT")
            copies = [
                connection.execute(f"COPY {self._empty} FROM '{file}' (FORMAT binary)")
                for connection, file in zip(connections, files, strict=True)
            ]
            start_s = time.perf_counter()
            await asyncio.gather(*copies)
            return time.perf_counter() - start_s
        finally:
            await asyncio.gather(*(connection.close() for connection in connections))
