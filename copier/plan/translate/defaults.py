"""SQLite column defaults -> PostgreSQL column defaults.

A default is an expression without columns, and what it gives must be a value of the column's type: `CURRENT_TIMESTAMP`
is `now()` in a timestamptz column, and SQLite's own text in a text column. Random values come from gen_random_uuid(),
which every server has and which is as unpredictable as randomblob(). docs: sqlite.org/lang_createtable.html, 3.2.
"""

from __future__ import annotations

import re
from dataclasses import replace

from sqlglot import exp

from copier.plan.model import ColumnPlan
from copier.plan.translate.cast import fit, moment_as
from copier.plan.translate.expression import Expressions
from copier.plan.translate.parse import Untranslatable, parse_expression, shallow
from copier.plan.translate.random import random_call
from copier.plan.translate.time import LOCAL_NOW, NOW
from copier.plan.translate.value import (
    MOMENTS,
    RANDOM_LOWER,
    RANDOM_UPPER,
    RANDOM_VARIANT,
    Rules,
    Value,
    column_value,
    text_constant,
)

_RULES = Rules(strict=False)
_DIGIT = f"[{RANDOM_LOWER}{RANDOM_UPPER}]"
_UUID = re.compile(
    rf"{_DIGIT}{{32}}|{_DIGIT}{{8}}-{_DIGIT}{{4}}-(?:4|{_DIGIT}){_DIGIT}{{3}}-"
    rf"(?:[89abAB{RANDOM_VARIANT}]|{_DIGIT}){_DIGIT}{{3}}-{_DIGIT}{{12}}"
)
_UNIX_EPOCH_DAYS = 2440587.5
_UNITS = {"epoch_s": 1, "epoch_ms": 1000, "epoch_us": 1_000_000}
_RANGES = {"int2": 2**15, "int4": 2**31}


def translate_default(sql: str, column: ColumnPlan) -> str | None:
    """Return a default as PostgreSQL SQL of the column's type; None when it is NULL, which is no default.

    Errors: Untranslatable, also for a constant that the column's type cannot hold.
    """
    with shallow():
        value = Defaults(_RULES).value(parse_expression(sql))
        return None if value.is_null else assigned(value, column)


def assigned(value: Value, column: ColumnPlan) -> str:
    """Return a value as SQL of the column's type. Errors: Untranslatable."""
    target = column_value(column)
    if value.is_constant:
        _check_range(value, column)
        return fit(value, column, _RULES)
    if target.kind in (*MOMENTS, "time"):
        return _moment_default(value, target, column)
    if target.kind == "uuid":
        if not _UUID.fullmatch(value.shape):
            raise Untranslatable("makes no uuid")
        return "gen_random_uuid()"
    if target.kind == "text" and _UUID.fullmatch(value.shape):
        return _uuid_text(value)
    if target.is_number and value.now_units > 0 and value.now_units == int(value.now_units):
        return _unix_now(value, target, column)
    return fit(value, column, _RULES)


def constant_default(sql: str) -> str | int | float | None:
    """Return the value of a default that is a constant; None when it is NULL, a blob, or computed."""
    try:
        with shallow():
            value = Defaults(_RULES).value(parse_expression(sql))
    except Untranslatable:
        return None
    found = value.constant if value.is_constant else None
    return None if isinstance(found, bytes) else found


class Defaults(Expressions):
    """Expressions without columns, in which randomness is possible."""

    def column(self, node: exp.Column) -> Value:
        """Return the string that SQLite takes a bare or double-quoted word of a default for."""
        if node.table:
            raise Untranslatable("a default that names a column")
        return text_constant(node.name)

    def call(self, name: str, node: exp.Anonymous) -> Value:
        """Return a function call, which may be random."""
        if name == "round" and len(node.expressions) == 1:
            return replace(super().call(name, node), now_units=self.value(node.expressions[0]).now_units)
        found = random_call(name, node, [self.value(arg) for arg in node.expressions], self.rules)
        return found if found is not None else super().call(name, node)

    def _arithmetic(self, node: exp.Binary) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        return replace(super()._arithmetic(node), now_units=_scaled(type(node), left, right))

    def _concatenation(self, node: exp.Binary) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        milliseconds = left.now_units == 1 and right.now and not right.moment
        return replace(super()._concatenation(node), now_units=1000 if milliseconds else 0)

    def _cast(self, node: exp.Cast) -> Value:
        return replace(super()._cast(node), now_units=self.value(node.this).now_units)


def _scaled(kind: type[exp.Expr], left: Value, right: Value) -> float:
    """Return units per second of the present time after one operation; 0 when it is no such time any more."""
    units, by = left.now_units, right.constant
    if not units and kind is exp.Mul:
        units, by = right.now_units, left.constant
    if units == -1:
        return 1 / 86_400 if kind is exp.Sub and by == _UNIX_EPOCH_DAYS else 0
    if kind is exp.Add and units == 1000 and right.now:
        return units  # strftime('%s', 'now') * 1000 + the milliseconds of strftime('%f', 'now')
    if not units or not isinstance(by, int | float) or by <= 0:
        return 0
    scaled = units * by if kind is exp.Mul else units / by if kind is exp.Div else 0
    return round(scaled) if abs(scaled - round(scaled)) < 1e-6 and round(scaled) else scaled


def _check_range(value: Value, column: ColumnPlan) -> None:
    limit = _RANGES.get(column.type.wire)
    if limit is not None and isinstance(value.constant, int) and not -limit <= value.constant < limit:
        raise Untranslatable(f"{value.constant} is out of the range of {column.type.sql}")


def _moment_default(value: Value, target: Value, column: ColumnPlan) -> str:
    """Return a computed default of a column that holds times."""
    if target.kind == "time":
        if not value.moment:
            raise Untranslatable("is no time of day")
        return f"({value.moment})::time"
    if value.now and value.moment:
        return _present(value, target)
    if value.now_units:
        if value.now_units != (-1 if target.cast == "julian" else _UNITS.get(target.cast)):
            raise Untranslatable("is in another unit than the column's times")
        return moment_as(NOW, target) if target.kind != "timestamptz" else "now()"
    return fit(value, column, _RULES)


def _present(value: Value, target: Value) -> str:
    local = LOCAL_NOW in value.moment
    if target.kind == "date":
        return "CURRENT_DATE" if local else f"{NOW}::date"
    if value.moment_form == "date":
        return moment_as(value.moment, target)
    if target.kind == "timestamptz":
        return "now()"
    return LOCAL_NOW if local else NOW


def _uuid_text(value: Value) -> str:
    shown = "gen_random_uuid()::text"
    if "-" not in value.shape:
        shown = f"replace({shown}, '-', '')"
    if RANDOM_UPPER not in value.shape:
        return shown
    return value.sql if RANDOM_LOWER in value.shape else f"upper({shown})"


def _unix_now(value: Value, target: Value, column: ColumnPlan) -> str:
    units = int(value.now_units)
    seconds = "extract(epoch FROM now())" + (f" * {units}" if units != 1 else "")
    if target.kind == "int":
        return f"floor({seconds})::{column.type.sql}"
    return f"({seconds})::{column.type.sql}"
