"""A sample of a table that goes the portable way from end to end.

Where the kernel both writes and digests a table, a fault of its own could make both sides agree. So some rows of each
table are read by Python's sqlite3, cast in Python, and compared with the same rows of the target as the portable
decoder reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

from copier.plan.model import ColumnPlan
from copier.plan.names import literal, quote
from copier.wire.decode import decode_field
from copier.wire.digest import Fields

KEY_WIRES = frozenset(("int2", "int4", "int8", "uuid", "text", "varchar", "bytea"))
"""Types whose value reads back exactly from its text, so that a row can be asked for."""


def can_sample(columns: Sequence[ColumnPlan], key: Sequence[int]) -> bool:
    """Whether rows can be asked for by their key: indexes into `columns`."""
    return bool(key) and all(columns[i].type.wire in KEY_WIRES for i in key)


def condition(columns: Sequence[ColumnPlan], key: Sequence[int], rows: Sequence[Fields]) -> str:
    """Return SQL that is true for the target rows with the keys of `rows`; 'false' when there are none."""
    keys = {tuple(row[i] for i in key) for row in rows}
    shown = [
        ", ".join(_constant(columns[i], payload) for i, payload in zip(key, values, strict=True) if payload is not None)
        for values in keys
        if None not in values
    ]
    if not shown:
        return "false"
    names = ", ".join(quote(columns[i].target) for i in key)
    return f"({names}) IN ({', '.join(f'({values})' for values in shown)})"


def _constant(column: ColumnPlan, payload: bytes) -> str:
    return f"{literal(decode_field(column.type, payload))}::{column.type.wire}"
