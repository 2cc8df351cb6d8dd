"""Whether a migration kept everything, by the two databases themselves: rows, rejected rows, and what was created.

Reads the source with plain sqlite3 and the target as PostgreSQL's own text. Each test of equality is written from the
documents of both, not from the copier.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from copier.plan.names import qualify, quote
from copier.report import Report, TableReport

from .compare import Broken, column_types
from .equality import Impossible, from_source, from_target, instants

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Every row with every column; `copied` are the places of columns whose values travel."""

    columns: tuple[str, ...]
    rows: list[Row]
    null_defaults: int


async def faults(path: Path, pg: asyncpg.Connection, report: Report, schema: str) -> list[str]:
    """Return a sentence for each thing lost or changed; empty when nothing was."""
    found = []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.text_factory = _text
        for table in report.tables:
            found += [f"{table.source!r}: {one}" for one in await _of_table(db, pg, report, table, schema)]
        found += [one async for one in _of_views(db, pg, report, schema)]
    return found


async def _of_table(
    db: sqlite3.Connection, pg: asyncpg.Connection, report: Report, table: TableReport, schema: str
) -> list[str]:
    types = await column_types(pg, table.target, schema)
    source = _read(db, table.source)
    if len(source.columns) != len(types):
        return [f"columns {source.columns} became {list(types)}"]
    computed = {n.name for n in report.objects if (n.kind, n.table) == ("generated column", table.source)} & {
        n.name for n in report.objects if n.kind == "generated column" and n.status in ("created", "translated")
    }
    places = [place for place, name in enumerate(source.columns) if name not in computed]
    rejected = await _rejected(pg, report.run, table.source)
    kept, trouble = _without_rejected(source, places, rejected)
    trouble += _needless(rejected, places, list(types.values()))
    trouble += await _compare(pg, kept, source, types, qualify(schema, table.target))
    counts = (table.source_rows, table.copied_rows, table.rejected_rows)
    if counts != (len(source.rows), len(kept), len(source.rows) - len(kept)):
        trouble.append(f"counts {counts}, but {len(source.rows)} rows and {len(kept)} kept")
    return [*trouble, *await _claims(pg, report, table, schema, source.null_defaults)]


def _read(db: sqlite3.Connection, table: str) -> SourceTable:
    info = db.execute(f"PRAGMA table_xinfo({quote(table)})").fetchall()
    columns = tuple(row[1] for row in info if row[6] != 1)
    listed = ", ".join(map(quote, columns))
    nulls = sum((row[4] or "").upper() == "NULL" for row in info)
    return SourceTable(columns, db.execute(f"SELECT {listed} FROM {quote(table)}").fetchall(), nulls)


async def _rejected(pg: asyncpg.Connection, run: str | None, table: str) -> list[asyncpg.Record]:
    return await pg.fetch(
        "SELECT row_data::text AS row_data, reason, column_name FROM sqlite2pg.reject WHERE run = $1 AND source = $2",
        *(run, table),
    )


def _without_rejected(
    source: SourceTable, places: list[int], rejected: list[asyncpg.Record]
) -> tuple[list[Row], list[str]]:
    """Return the rows that must be in the target."""
    waiting = Counter(tuple(map(tuple, json.loads(row["row_data"]))) for row in rejected)
    kept = []
    for row in source.rows:
        written = tuple(_written(row[place]) for place in places)
        if waiting[written] > 0:
            waiting[written] -= 1
        else:
            kept.append(row)
    trouble = [f"rejected, and not in the source: {row}" for row, count in waiting.items() if count > 0]
    trouble += ["a rejected row without a reason" for row in rejected if not row["reason"]]
    return kept, trouble


def _needless(rejected: list[asyncpg.Record], places: list[int], kinds: list[str]) -> list[str]:
    """Return a sentence for each rejected row whose every value has a place in plain types."""
    trouble = []
    plain = ("bigint", "text", "bytea", "double precision", "numeric")
    for row in rejected:
        values = [_value(pair) for pair in json.loads(row["row_data"])]
        pairs = list(zip(values, (kinds[place] for place in places), strict=True))
        # What the server says of a generated column whose own type the sum does not fit.
        if "out of range" not in row["reason"] and all(
            kind in plain and _possible(value, kind) for value, kind in pairs
        ):
            trouble.append(f"rejected for nothing: {pairs}: {row['reason']}")
    return trouble


def _possible(value: Any, kind: str) -> bool:
    try:
        from_source(value, kind)
    except Impossible:
        return False
    return True


async def _compare(
    pg: asyncpg.Connection, kept: list[Row], source: SourceTable, types: dict[str, str], name: str
) -> list[str]:
    kinds = list(types.values())
    listed = ", ".join(f"{quote(column)}::text" for column in types)
    async with pg.transaction():
        await pg.execute("SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; SET LOCAL bytea_output = 'hex'")
        found = await pg.fetch(f"SELECT {listed} FROM {name}")
    readers = [instants([row[n] for row in kept]) if "timestamp" in k else None for n, k in enumerate(kinds)]
    wanted: Counter[Row] = Counter()
    trouble = []
    for row in kept:
        try:
            wanted[tuple(from_source(v, k, reader) for v, k, reader in zip(row, kinds, readers, strict=True))] += 1
        except Impossible as error:
            trouble.append(f"copied, though {error}: {row!r} as {types}")
    there = Counter(tuple(from_target(v, k) for v, k in zip(row, kinds, strict=True)) for row in found)
    trouble += [f"lost: {row!r} of {types}" for row in list((wanted - there).elements())[:2]]
    return trouble + [f"not in the source: {row!r} of {types}" for row in list((there - wanted).elements())[:2]]


async def _claims(pg: asyncpg.Connection, report: Report, table: TableReport, schema: str, nulls: int) -> list[str]:
    """Return a sentence for each kind of object of which the report claims more than the catalog has.

    DEFAULT NULL, of which there are `nulls`, is no default in PostgreSQL's catalog.
    """
    claimed = Counter(
        n.kind for n in report.objects if n.table == table.source and n.status in ("created", "translated")
    )
    name = qualify(schema, table.target)
    have = dict(
        await pg.fetchrow(
            "SELECT (SELECT count(*) FROM pg_index WHERE indrelid = r) AS indexes,"
            " (SELECT count(*) FROM pg_index WHERE indrelid = r AND indisunique) AS uniques,"
            " (SELECT count(*) FROM pg_constraint WHERE conrelid = r AND contype = 'f') AS foreign_keys,"
            " (SELECT count(*) FROM pg_constraint WHERE conrelid = r AND contype = 'c') AS checks,"
            " (SELECT count(*) FROM pg_attribute WHERE attrelid = r AND atthasdef AND attgenerated = '') AS defaults,"
            " (SELECT count(*) FROM pg_attribute WHERE attrelid = r AND attgenerated <> '') AS generated"
            " FROM (SELECT $1::text::regclass AS r)",
            name,
        )
    )
    keys = claimed["primary key"] + claimed["unique"]
    wanted = {
        "indexes": keys + claimed["index"],
        "uniques": keys,
        "foreign_keys": claimed["foreign key"],
        "checks": claimed["check"],
        "defaults": claimed["default"] - nulls,
        "generated": claimed["generated column"],
    }
    return [f"{wanted[kind]} {kind} claimed, {have[kind]} there" for kind in wanted if wanted[kind] > have[kind]]


async def _of_views(db: sqlite3.Connection, pg: asyncpg.Connection, report: Report, schema: str) -> AsyncIterator[str]:
    if any(table.rejected_rows for table in report.tables):
        return
    for note in report.objects:
        if note.kind == "view" and note.status in ("created", "translated"):
            try:
                (wanted,) = db.execute(f"SELECT count(*) FROM {quote(note.name)}").fetchone()
            except sqlite3.Error:
                continue
            exact = "SELECT relname FROM pg_class WHERE relkind = 'v' AND relname = $1::text"
            if (target := await pg.fetchval(exact, note.name)) is None:
                continue  # folded or shortened
            found = await pg.fetchval(f"SELECT count(*) FROM {qualify(schema, target)}")
            if found != wanted:
                yield f"view {note.name!r}: {wanted} rows in the source, {found} in the target"


def _text(raw: bytes) -> str | Broken:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Broken(raw)


def _written(value: Any) -> tuple[str, str]:
    """Return a value as `sqlite2pg.reject.row_data` documents it."""
    if value is None:
        return "null", ""
    if isinstance(value, Broken):
        return "broken text", value.hex()
    if isinstance(value, bytes):
        return "blob", value.hex()
    if isinstance(value, float):
        return "real", value.hex()
    return ("integer" if isinstance(value, int) else "text"), str(value)


def _value(pair: list[str]) -> Any:
    kind, text = pair
    readers = {
        "null": lambda _: None,
        "broken text": lambda raw: Broken(bytes.fromhex(raw)),
        "blob": bytes.fromhex,
        "real": float.fromhex,
        "integer": int,
        "text": str,
    }
    return readers[kind](text)
