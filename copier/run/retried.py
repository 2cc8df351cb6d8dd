"""Rows that came in by a retry with casts of their own: the proof reads their source the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson

from copier.plan.model import ColumnPlan, TablePlan
from copier.plan.pgtype import CASTS
from copier.plan.source import Value
from copier.postgres.ledger_rejects import Resolved
from copier.sqlite.engine import column_specs
from copier.wire.binary import RowEncoder
from copier.wire.digest import Fields
from copier.wire.keys import key_from_json, key_to_json
from copier.wire.values import value_to_json

Row = tuple[Value, ...]


class RetriedRows:
    """The retried rows of one table, found by key, or by their values where the table has no key."""

    def __init__(self, table: TablePlan, resolved: Sequence[Resolved]) -> None:
        self._columns = table.columns
        self._copied = [i for i, column in enumerate(table.columns) if column.generated is None]
        self._encoders: dict[str, RowEncoder] = {}
        keyed = bool(table.key)
        self.keys = {_normal(one.key): one.resolved_as for one in resolved} if keyed else {}
        """Key, as `key_to_json` writes it -> casts."""
        self._by_values: dict[str, list[str]] = {}
        for one in () if keyed else resolved:
            self._by_values.setdefault(_values(one.row_data), []).append(one.resolved_as)
        self._left: dict[str, list[str]] = {}
        self.begin()

    def begin(self) -> None:
        """The source is read from its start."""
        self._left = {values: list(casts) for values, casts in self._by_values.items()}

    def apart(self, rows: list[Row]) -> tuple[list[Row], list[Fields]]:
        """Return the rows that are no retried ones, and the fields of those that are, by key."""
        if not self.keys:
            return rows, []
        width = len(self._columns)
        kept: list[Row] = []
        fields: list[Fields] = []
        for row in rows:
            casts = self.keys.get(key_to_json(row[width:]))
            encoded = None if casts is None else self._encode(casts, row)
            if encoded is None:
                kept.append(row)
            else:
                fields.append(encoded)
        return kept, fields

    def unfit(self, row: Row) -> Fields | None:
        """Return the fields of a row of a table without a key that the plan's casts refuse, if it was retried."""
        if not self._left:
            return None
        casts = self._left.get(orjson.dumps([value_to_json(row[i]) for i in self._copied]).decode())
        return self._encode(casts.pop(), row) if casts else None

    def _encode(self, casts: str, row: Row) -> Fields | None:
        if casts not in self._encoders:
            decisions = orjson.loads(casts)
            specs = column_specs([_decided(column, decisions.get(column.source)) for column in self._columns])
            self._encoders[casts] = RowEncoder(specs)
        fields, _ = self._encoders[casts].encode_fields([row])
        return fields[0] if fields else None


def _decided(column: ColumnPlan, decision: list[str | None] | None) -> ColumnPlan:
    if decision is None:
        return column
    cast, policy, constant = decision
    possible = cast if cast in CASTS[column.type.wire] else column.cast
    return replace(column, cast=possible or "", policy=policy or "reject", default_constant=constant)


def _normal(key: str) -> str:
    return key_to_json(key_from_json(key))


def _values(row_data: str) -> str:
    return orjson.dumps(orjson.loads(row_data)).decode()
