"""Rows that did not go into their tables, as the ledger has stored them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import orjson

from copier.config import Settings
from copier.errors import UsageError
from copier.plan.file_read import parse_file
from copier.plan.select import check_globs, is_selected
from copier.postgres.catalog import read_target
from copier.postgres.ledger import Run
from copier.run.ours import errors
from copier.run.session import Target, existing_tables, open_target
from copier.wire.keys import show_key, show_stored, show_value
from copier.wire.values import value_from_json


@dataclass(frozen=True, slots=True)
class Reject:
    """One rejected row. `value` is what one column could not take, in SQLite's bytes; None when the row was refused."""

    run: str
    table: str
    key: str
    """For a person: the primary key where the target has one, else the key the copier read by."""
    column: str | None
    storage_class: str | None
    value: bytes | None
    shown: str
    """The value, printable and shortened."""
    reason: str
    row: dict[str, list[str]]
    """Column -> [storage class, exact text]; blobs and broken text in hex, reals as hex floats."""
    rejected_at: datetime


async def list_rejects(
    settings: Settings, *, run: str | None = None, tables: Sequence[str] = ()
) -> AsyncGenerator[Reject, None]:
    """Yield the rejects of a run, the latest that brought data by default, in the order they were found.

    `tables` are globs. Memory holds a page of them. UsageError when there is no such run, or no such table in it.
    """
    with errors():
        async with aclosing(_list(settings, run, tables)) as rejects:
            async for one in rejects:
                yield one


async def _list(settings: Settings, run: str | None, tables: Sequence[str]) -> AsyncGenerator[Reject, None]:
    async with open_target(settings) as target:
        found = await find_run(target, run)
        if found is None:
            return
        states = await target.ledger.table_states(target.control, found.id)
        chosen = choose_tables(states, tables)
        names = await _names(target, found, {source: states[source]["target"] for source in chosen})
        async with aclosing(target.ledger.open_rejects.stream(target.control, found.id, chosen)) as rejects:
            async for one in rejects:
                pairs: list[list[str]] = orjson.loads(one.row_data)
                columns, identity = names.get(one.source, ((), ()))
                # A generated column is no part of the row; without the target's word for it names would be wrong.
                fits = len(columns) == len(pairs)
                row = dict(zip(columns if fits else map(str, range(1, len(pairs) + 1)), pairs, strict=True))
                known = identity and all(name in row for name in identity)
                key = show_key(identity, tuple(value_from_json(row[name]) for name in identity)) if known else ""
                shown = show_stored(row[one.column]) if one.column in row else ""
                yield Reject(
                    run=found.id,
                    table=one.source,
                    key=key or ", ".join(map(show_value, one.key)),
                    column=one.column,
                    storage_class=one.storage_class,
                    value=one.value,
                    shown=shown,
                    reason=one.reason,
                    row=row,
                    rejected_at=one.rejected_at,
                )


async def find_run(target: Target, run: str | None) -> Run | None:
    """Return the run; None when no run has brought data here. UsageError for one that is not there."""
    ledger, control = target.ledger, target.control
    known = await ledger.upgrade(control)
    if run is None:
        return await ledger.latest_data(control, None) if known else None
    found = await ledger.latest(control, None, run) if known else None
    if found is None:
        raise UsageError(f"there is no run {run} in this database", hint="`sqlite2pg status` lists the runs")
    return found


def choose_tables(sources: Iterable[str], globs: Sequence[str]) -> list[str]:
    """Return the source tables that the globs take; UsageError for a glob that takes none."""
    sources = list(sources)
    check_globs(sources, globs, "--table")
    return [source for source in sources if is_selected(source, globs)]


async def _names(
    target: Target, run: Run, targets: dict[str, str]
) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return source table -> names of the columns its stored rows have, and of those that identify a row."""
    document = parse_file(await target.ledger.plan_text(target.control, run.id))
    actual = existing_tables(await read_target(target.control, run.target_schema), ())
    found = {}
    for source, name in targets.items():
        there, entry = actual.get(name), document.table.get(source)
        if entry is None:
            continue
        generated = {c.name for c in there.columns if c.generated} if there is not None else set()
        columns = {
            e.target or c: c for c, e in entry.columns.items() if not e.skip and (e.target or c) not in generated
        }
        identity = there.primary_key if there is not None else ()
        found[source] = tuple(columns.values()), tuple(columns[c] for c in identity if c in columns)
    return found
