"""CAST, and the fitting of a result to a column's type. SQLite's CAST never fails; PostgreSQL's may."""

from __future__ import annotations

from dataclasses import replace

from copier.plan.model import ColumnPlan
from copier.plan.translate.constant import number_prefix
from copier.plan.translate.convert import as_text, constant_for, number
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import (
    MOMENTS,
    NULL,
    Rules,
    Value,
    affinity_of,
    blob_constant,
    column_value,
    integer,
    number_constant,
    real,
)


def cast(value: Value, declared: str, rules: Rules) -> Value:
    """Return CAST(value AS declared), which goes by the affinity of the type's name."""
    affinity = affinity_of(declared)
    if value.is_null:
        return NULL
    if affinity == "text":
        return replace(as_text(value, rules), affinity="text", column="", moment="", digits="", shape="")
    if affinity == "integer":
        return replace(_to_integer(value, rules), affinity="integer", column="")
    if affinity == "real":
        return replace(_to_real(value, rules), affinity="real", column="")
    if affinity == "numeric":
        return replace(_to_number(value, rules), affinity="numeric", column="")
    return replace(_to_blob(value, rules), column="")


def _to_number(value: Value, rules: Rules) -> Value:
    found = number(value, rules)
    if found.kind == "float" and found.number != "int" and not found.is_constant:
        return replace(found, number="either")
    return found


def _to_integer(value: Value, rules: Rules) -> Value:
    if isinstance(value.constant, str):
        found = number_prefix(value.constant.split(".")[0].lower().split("e")[0])
        return number_constant(int(found))
    if value.kind == "bool" and value.is_constant:
        return number_constant(int(bool(value.constant)))
    if isinstance(value.constant, int | float):
        return number_constant(int(value.constant))
    found_number = _integer_of_text(value, rules) if value.kind == "text" and not value.digits else number(value, rules)
    if found_number.kind == "int" and found_number.number != "real":
        return found_number
    if found_number.kind == "int":
        return integer(f"{found_number.operand}::bigint", not_null=value.not_null)
    truncated = f"trunc({found_number.sql})::bigint"
    if rules.strict:  # SQLite takes the nearest integer there is
        test = found_number.operand
        truncated = (
            f"CASE WHEN {test} >= 9223372036854775807 THEN 9223372036854775807 "
            f"WHEN {test} <= -9223372036854775808 THEN -9223372036854775808 ELSE {truncated} END"
        )
    return integer(truncated, not_null=value.not_null)


def _integer_of_text(value: Value, rules: Rules) -> Value:
    if rules.strict:
        raise Untranslatable(f"CAST of {value.described()} from text to a number can fail in PostgreSQL")
    digits = rf"coalesce(substring({value.sql} from '^\s*([+-]?\d+)')::numeric, 0)::bigint"
    return integer(f"CASE WHEN {value.operand} IS NOT NULL THEN {digits} END")


def _to_real(value: Value, rules: Rules) -> Value:
    found = number(value, rules)
    if isinstance(found.constant, int | float):
        return number_constant(float(found.constant))
    return real(f"{found.operand}::double precision", not_null=value.not_null)


def _to_blob(value: Value, rules: Rules) -> Value:
    if value.kind == "bytea":
        return value
    if isinstance(value.constant, str):
        return blob_constant(value.constant.encode())
    rules.mutable("a cast of text to bytes")
    shown = as_text(value, rules)
    return Value(f"convert_to({shown.sql}, 'UTF8')", "bytea", not_null=value.not_null)


def fit(value: Value, column: ColumnPlan, rules: Rules) -> str:
    """Return a value as SQL of the column's type, as storing it in SQLite's column would have it.

    Errors: Untranslatable where the two types do not meet.
    """
    target = column_value(column)
    if value.is_null:
        return "NULL"
    if value.is_constant:
        shown = constant_for(target, value.constant)
        if shown is None:
            raise Untranslatable(f"{value.constant!r} is no {column.type.sql}")
        return shown
    if target.kind == value.kind and (target.kind not in MOMENTS or target.cast == value.cast):
        return value.sql
    if target.kind == "bool":
        raise Untranslatable(f"a result of type {value.kind} in a boolean column")
    if target.is_number:
        return _fit_number(value, column, target, rules)
    if target.kind in MOMENTS:
        return _fit_moment(value, target, rules)
    if target.kind == "text" and target.affinity == "text":
        return as_text(value, rules).sql
    raise Untranslatable(f"a result of type {value.kind} in a column of type {column.type.sql}")


def _fit_number(value: Value, column: ColumnPlan, target: Value, rules: Rules) -> str:
    if not (value.is_number or value.kind == "bool" or value.digits or value.kind in MOMENTS):
        raise Untranslatable(f"a result of type {value.kind} in a column of type {column.type.sql}")
    found = number(value, rules)
    if target.kind == "num" and found.kind == "float":
        raise Untranslatable("a real in a numeric column, for which PostgreSQL rounds it to 15 digits")
    if target.kind == "int" and found.kind != "int":
        raise Untranslatable(f"a result that may be a real in a column of type {column.type.sql}")
    return f"{found.operand}::{column.type.sql}" if found.kind != target.kind else found.sql


def _fit_moment(value: Value, target: Value, rules: Rules) -> str:
    """Return text of date functions, or a number of seconds, as a time."""
    if target.cast == "iso" and value.moment and value.moment_form != "time":
        return moment_as(value.moment, target)
    if target.cast == "julian" and value.kind == "float":
        return moment_as(f"(to_timestamp(({value.sql} - 2440587.5) * 86400.0) AT TIME ZONE 'UTC')", target)
    units = {"epoch_s": 1, "epoch_ms": 1000, "epoch_us": 1_000_000}.get(target.cast)
    if units is None or not (value.is_number or value.digits):
        raise Untranslatable(f"a result of type {value.kind} in a column that holds times")
    found = number(value, rules)
    seconds = found.sql if units == 1 else f"{found.operand} / {units}.0"
    return moment_as(f"(to_timestamp({seconds}) AT TIME ZONE 'UTC')", target)


def moment_as(at: str, target: Value) -> str:
    """Return a UTC timestamp as SQL of the time type of `target`."""
    if target.kind == "timestamptz":
        return f"({at} AT TIME ZONE 'UTC')"
    return f"({at})::date" if target.kind == "date" else at
