"""Foreign keys that no index serves.

Neither database makes an index for a foreign key. Without one, changing or deleting a row of the parent reads the whole
table of the child, and so does a join from the parent (PostgreSQL documentation, "Foreign Keys").
"""

from __future__ import annotations

import re

from copier.plan.model import ForeignKeyPlan, IndexPlan, TablePlan
from copier.plan.names import quote, shorten

_ADDED = re.compile(r'\s*(?:USING\s+(?:btree|hash)\s*)?\(\s*(?:"((?:[^"]|"")+)"|(\w+))', re.I)


def unindexed_keys(table: TablePlan) -> tuple[ForeignKeyPlan, ...]:
    """Return the foreign keys none of whose columns is the first of an index over all rows; each column set once."""
    if table.existing:
        return ()
    first = {_first(index) for index in table.indexes if index.where is None}
    first |= {_first_added(sql) for _, sql in table.added_indexes}
    keys = {key.columns: key for key in reversed(table.foreign_keys) if not first & set(key.columns)}
    return tuple(reversed(keys.values()))


def proposed_indexes(table: TablePlan) -> dict[str, str]:
    """Return name -> SQL of an index for each of them, as `add_indexes` of a plan file takes it."""
    return {
        shorten(f"{table.target}_{'_'.join(key.columns)}_idx"): f"USING btree ({', '.join(map(quote, key.columns))})"
        for key in unindexed_keys(table)
    }


def _first(index: IndexPlan) -> str | None:
    """Return the name of the first column; None where that is an expression."""
    match = re.fullmatch(r'"((?:[^"]|"")+)"(?: DESC)?', index.parts[0])
    return match.group(1).replace('""', '"') if match is not None else None


def _first_added(sql: str) -> str | None:
    match = _ADDED.match(sql)
    if match is None or re.search(r"\bWHERE\b", sql, re.I):
        return None
    quoted, plain = match.groups()
    return quoted.replace('""', '"') if quoted else plain.lower()
