"""Arithmetic, bits and concatenation (sqlite.org/lang_expr.html, "Operators")."""

from __future__ import annotations

import operator
from dataclasses import replace

from copier.plan.translate.constant import as_integer
from copier.plan.translate.convert import as_text, number, operand
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import (
    NULL,
    Kind,
    Number,
    Rules,
    Value,
    integer,
    number_constant,
    plain,
    text,
    text_constant,
)

_FOLD = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def arithmetic(op: str, left: Value, right: Value, rules: Rules) -> Value:
    """Return `left op right` for + - * / %."""
    a, b = number(left, rules), number(right, rules)
    if a.is_null or b.is_null:
        return NULL
    if op in _FOLD and isinstance(a.constant, int) and isinstance(b.constant, int):
        return number_constant(as_integer(_FOLD[op](a.constant, b.constant)))
    a, b = operand(a, rules), operand(b, rules)
    if op == "/":
        return _divided(a, b, rules)
    if op == "%":
        return _remainder(a, b)
    known = a.not_null and b.not_null
    nonneg = a.nonneg and b.nonneg and op in "+*"
    found = Value(f"{a.operand} {op} {b.operand}", _wider(a, b), False, not_null=known, nonneg=nonneg)
    return replace(found, number=_number(a, b))


def _wider(a: Value, b: Value) -> Kind:
    kinds = {a.kind, b.kind}
    return "float" if "float" in kinds else "num" if "num" in kinds else "int"


def _number(a: Value, b: Value) -> Number:
    found = {a.number, b.number}
    return "real" if "real" in found else "int" if found == {"int"} else "either"


def _divisor(value: Value) -> str:
    """Return the divisor; SQLite gives NULL for a division by zero."""
    if value.is_constant and value.constant != 0:
        return value.operand
    return f"nullif({value.sql}, 0)"


def _divided(a: Value, b: Value, rules: Rules) -> Value:
    kind = _number(a, b)
    known = a.not_null and b.is_constant and b.constant != 0
    if kind == "int":
        return integer(f"{a.operand} / {_divisor(b)}", atom=False, not_null=known)
    if kind == "real":
        top = a.operand if a.kind == "float" else f"{a.operand}::double precision"
        return Value(f"{top} / {_divisor(b)}", "float", False, number="real", not_null=known)
    columns = [v for v in (a, b) if v.number == "either"]
    if not all(v.column and v.kind == "num" for v in columns):
        raise Untranslatable("a division that SQLite truncates only when both values are stored as integers")
    tests = " AND ".join(f"{v.operand} = trunc({v.operand})" for v in columns)
    quotient = f"{a.operand}::numeric / {_divisor(b)}"
    shown = f"CASE WHEN {tests} THEN trunc({quotient}) ELSE {quotient} END"
    return Value(shown, "num", number="either", not_null=known)


def _remainder(a: Value, b: Value) -> Value:
    if _number(a, b) != "int":
        raise Untranslatable("% on values that may be reals, which SQLite first makes integers")
    known = a.not_null and b.is_constant and b.constant != 0
    return integer(f"{a.operand} % {_divisor(b)}", atom=False, not_null=known, nonneg=a.nonneg)


def negate(value: Value, rules: Rules) -> Value:
    """Return `-value`."""
    found = number(value, rules)
    if isinstance(found.constant, int | float):
        negated = -found.constant
        return number_constant(as_integer(int(negated)) if isinstance(negated, int) else negated)
    found = operand(found, rules)
    return found if found.is_null else replace(plain(found), sql=f"-{found.operand}", atom=False, nonneg=False)


def positive(value: Value) -> Value:
    """Return `+value`: the same value without affinity."""
    return value if value.is_constant else plain(value)


def bitwise(op: str, left: Value, right: Value, rules: Rules) -> Value:
    """Return `left op right` for & | << >>, on 64-bit integers."""
    a, b = _integer(left, rules), _integer(right, rules)
    if a.is_null or b.is_null:
        return NULL
    known = a.not_null and b.not_null
    if op in ("<<", ">>"):
        if not isinstance(b.constant, int) or not 0 <= b.constant < 64:
            raise Untranslatable("a shift by other than a constant 0 to 63")
        a = replace(a, sql=f"{a.operand}::bigint", atom=True) if a.is_constant else a
    return integer(f"{a.operand} {op} {b.operand}", atom=False, not_null=known)


def complement(value: Value, rules: Rules) -> Value:
    """Return `~value`."""
    found = _integer(value, rules)
    return found if found.is_null else integer(f"~{found.operand}", atom=False, not_null=found.not_null)


def _integer(value: Value, rules: Rules) -> Value:
    found = operand(value, rules)
    if found.kind not in ("int", "null") or found.number == "real":
        raise Untranslatable(f"bits of {value.described()}, which is no integer")
    return found


def concatenate(left: Value, right: Value, rules: Rules) -> Value:
    """Return `left || right`."""
    a, b = as_text(left, rules), as_text(right, rules)
    if a.is_null or b.is_null:
        return NULL
    nocase = left.nocase or right.nocase
    if isinstance(a.constant, str) and isinstance(b.constant, str):
        return replace(text_constant(a.constant + b.constant), nocase=nocase)
    known = a.not_null and b.not_null
    head = a.sql if a.chain else a.operand
    found = text(f"{head} || {b.operand}", atom=False, not_null=known)
    return replace(found, chain=True, shape=_shape(a, b), nocase=nocase, collated=a.collated or b.collated)


def _shape(a: Value, b: Value) -> str:
    """Return the joint shape of two texts of which at least one has random digits."""
    shapes = [v.shape or (v.constant if isinstance(v.constant, str) else "") for v in (a, b)]
    return "".join(shapes) if (a.shape or b.shape) and all(shapes) else ""
