"""Comparisons: SQLite converts operands by affinity and compares anything with anything; PostgreSQL does neither.

A comparison is translated when both sides can be given one PostgreSQL type under which the answer stays the same, NULL
included. Text is ordered by bytes in SQLite, hence COLLATE "C" wherever order matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from copier.plan.translate.constant import is_date_only, number_of, number_text
from copier.plan.translate.convert import as_text, constant_for, moment, number
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import (
    FALSE,
    MOMENTS,
    TRUE,
    Rules,
    Value,
    boolean,
    refuse_mixed,
    text_constant,
)

C = ' COLLATE "C"'
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class NeverEqual(Exception):
    """The two sides can never be equal, whatever the row holds."""


def compare(op: str, left: Value, right: Value, rules: Rules) -> Value:
    """Return `left op right`; `op` is = <> < <= > >= IS or IS NOT."""
    null_safe = op in ("IS", "IS NOT")
    if null_safe and (left.is_null or right.is_null):
        tested = left if right.is_null else right
        return boolean(f"{tested.operand} {op} NULL", not_null=True)
    try:
        a, b = sides(op, left, right, rules)
    except NeverEqual:
        return _never(op, left, right)
    shown = {"IS": "IS NOT DISTINCT FROM", "IS NOT": "IS DISTINCT FROM"}.get(op, op)
    return boolean(f"{a} {shown} {b}", not_null=null_safe or (left.not_null and right.not_null))


def _never(op: str, left: Value, right: Value) -> Value:
    if op in ("IS", "IS NOT"):
        return FALSE if op == "IS" else TRUE
    if op not in ("=", "<>"):
        raise Untranslatable(f"orders {left.described()} against a value of another type")
    nullable = [v.operand for v in (left, right) if not v.not_null]
    answer = FALSE if op == "=" else TRUE
    if not nullable:
        return answer
    tests = " AND ".join(f"{operand} IS NOT NULL" for operand in nullable)
    return boolean(f"CASE WHEN {tests} THEN {answer.sql} END", atom=True)


def sides(op: str, left: Value, right: Value, rules: Rules) -> tuple[str, str]:
    """Return both operands under one type; NeverEqual, or Untranslatable."""
    ordered = op in _MIRROR
    refuse_mixed(left, right)
    if left.is_null or right.is_null:
        return left.operand, right.operand
    if left.kind == right.kind == "text" and (left.nocase or right.nocase or _goes_by_nocase(left, right)):
        return folded(left, rules), folded(right, rules)
    if left.is_constant and not right.is_constant:
        b, a = sides(_MIRROR.get(op, op), right, left, rules)
        return a, b
    if right.is_constant and not left.is_constant and not _same_family(left, right):
        return _against_constant(op, left, right, rules)
    if left.kind in MOMENTS or right.kind in MOMENTS:
        return _moments(op, left, right, rules)
    if not _same_family(left, right):
        left, right = _reconciled(left, right, rules)
    return _rendered(left, right, ordered, rules)


def _goes_by_nocase(left: Value, right: Value) -> bool:
    """Whether the collation of a column decides, the left one's first (sqlite.org/datatype3.html, 7.1)."""
    decides = left if left.column else right
    if decides.source_collation not in ("", "NOCASE"):
        raise Untranslatable(f"{decides.described()} is compared by COLLATE {decides.source_collation}")
    return decides.source_collation == "NOCASE"


def _same_family(a: Value, b: Value) -> bool:
    return a.kind == b.kind or (a.is_number and b.is_number)


def folded(value: Value, rules: Rules) -> str:
    """Return text in lower case, ASCII letters only: what COLLATE NOCASE compares."""
    return f"lower({value.operand}{'' if rules.index else C})"


def _against_constant(op: str, value: Value, constant: Value, rules: Rules) -> tuple[str, str]:
    """Compare something with a constant of another type."""
    raw = constant.constant
    if constant.affinity:
        raise Untranslatable("compares a CAST with a value of another type")
    if value.kind == "jsonval":
        return _json_against(value, constant, rules)
    if value.kind == "text" and isinstance(raw, int | float):
        if value.affinity == "text":
            return _rendered(value, text_constant(number_text(raw)), op in _MIRROR, rules)
        raise Untranslatable("compares text with a number")
    if isinstance(raw, str):
        _check_against_text(op, value, raw, rules)
    if value.kind == "bool":
        return _bool_against(op, value, constant, rules)
    if value.kind == "bytea":
        raise NeverEqual
    shown = constant_for(value, raw)
    if shown is None:
        if value.kind in MOMENTS and value.cast != "iso" and isinstance(raw, int | float):
            return number(value, rules).operand, constant.operand
        raise NeverEqual
    if value.kind == "json":
        return f"{value.operand}::text", constant.sql
    return value.operand, shown


def _check_against_text(op: str, value: Value, raw: str, rules: Rules) -> None:
    """Refuse what affinity would not bring together, and texts of times whose order is not that of the times.

    As texts, a date comes before every time of that day, its midnight included.
    """
    if value.is_number and (value.affinity not in ("integer", "numeric", "real") or number_of(raw) is None):
        raise NeverEqual
    stored_number = value.kind == "bool" or (value.kind in MOMENTS and value.cast != "iso")
    if stored_number and not value.affinity:
        raise NeverEqual
    if value.kind == "bytea" and value.column and value.affinity != "blob":
        raise Untranslatable(f"compares {value.described()}, which had texts and blobs, with a constant")
    unsure = rules.strict and value.cast == "iso" and value.kind != "date" and op not in ("<", ">=")
    if unsure and is_date_only(raw):
        raise Untranslatable(f"compares {value.described()}, a date and time stored as text, with a date")


def _bool_against(op: str, value: Value, constant: Value, rules: Rules) -> tuple[str, str]:
    shown = None if op in _MIRROR else constant_for(value, constant.constant)
    if shown is not None:
        return value.operand, shown
    if isinstance(constant.constant, int | float):
        return number(value, rules).operand, constant.operand
    raise NeverEqual


def _json_against(value: Value, constant: Value, rules: Rules) -> tuple[str, str]:
    if isinstance(constant.constant, str):
        return value.operand, constant.sql
    if rules.strict:
        raise Untranslatable("compares a JSON value of unknown type with a number")
    return number(value, rules).operand, constant.operand


def _moments(op: str, left: Value, right: Value, rules: Rules) -> tuple[str, str]:
    """Compare two values of which at least one is a time column."""
    stored = [v.cast for v in (left, right) if v.kind in MOMENTS]
    if len(stored) == 2:
        if left.kind == right.kind and left.cast == right.cast:
            return left.operand, right.operand
        if stored[0] == stored[1] == "iso":
            _check_forms(left.kind == "date", right.kind == "date", rules)
            return moment(left), moment(right)
        if "iso" not in stored:
            return number(left, rules).operand, number(right, rules).operand
        raise Untranslatable("compares a time stored as text with a time stored as a number")
    column, other = (left, right) if left.kind in MOMENTS else (right, left)
    if column.cast == "iso":
        if not other.moment or other.moment_form == "time":
            raise Untranslatable(f"compares {column.described()}, a time stored as text, with another type")
        _check_forms(column.kind == "date", other.moment_form == "date", rules)
        shown = other.moment if other.moment_form == "datetime" else f"({other.moment})::date"
        mine = _at_resolution(column, other)
    else:
        if not (other.is_number or other.kind == "bool" or (other.digits and column.affinity)):
            raise Untranslatable(f"compares {column.described()}, a time stored as a number, with {other.kind}")
        shown, mine = number(other, rules).operand, number(column, rules).operand
    return (mine, shown) if column is left else (shown, mine)


def _check_forms(left_is_date: bool, right_is_date: bool, rules: Rules) -> None:
    if rules.strict and left_is_date != right_is_date:
        raise Untranslatable("compares a date with a date and time, which differ as texts")


def _at_resolution(column: Value, other: Value) -> str:
    if column.kind == "date":
        return column.operand if other.moment_form == "date" else moment(column)
    return moment(column)


def _reconciled(left: Value, right: Value, rules: Rules) -> tuple[Value, Value]:
    """Return two values of different kinds, neither a time nor both constants, as one kind."""
    kinds = {left.kind, right.kind}
    if "any" in kinds or "named" in kinds:
        return left, right
    if "bool" in kinds and (left.is_number or right.is_number):
        return number(left, rules), number(right, rules)
    for a, b in ((left, right), (right, left)):
        if a.is_number and b.digits and a.affinity in ("integer", "numeric", "real"):
            return (left, number(b, rules)) if a is left else (number(b, rules), right)
    if "text" in kinds and kinds <= {"text", "uuid", "json", "jsonval", "inet"}:
        return as_text(left, rules), as_text(right, rules)
    raise Untranslatable(f"compares {left.described()} ({left.kind}) with {right.described()} ({right.kind})")


def _rendered(left: Value, right: Value, ordered: bool, rules: Rules) -> tuple[str, str]:
    if left.kind == right.kind == "jsonb" and rules.strict:
        raise Untranslatable("compares JSON documents, whose text jsonb does not keep")
    if left.kind == right.kind == "jsonval" and rules.strict:
        raise Untranslatable("compares JSON values of unknown types")
    if left.kind == right.kind == "json":
        left, right = replace(left, sql=f"{left.operand}::text"), replace(right, sql=f"{right.operand}::text")
    if ordered and left.kind == "bool" and (left.predicate or right.predicate):
        left, right = number(left, rules), number(right, rules)
    a, b = _own_collation(left), _own_collation(right)
    if left.kind == "text" and left.column and right.collated and not left.collated:
        return a + C, b  # the left column's collation decides
    if ordered and "text" in (left.kind, right.kind) and not (left.collated or right.collated):
        return a, b + C
    return a, b


def _own_collation(value: Value) -> str:
    """Return an operand; in SQLite a collation belongs to the bare column, PostgreSQL hands it on to expressions."""
    return value.operand + C if value.collated and not value.column and value.kind == "text" else value.operand


def member(value: Value, items: Sequence[Value], rules: Rules, *, negate: bool = False) -> Value:
    """Return `value [NOT] IN (items)`; an empty list is SQLite's own: always false."""
    if not items:
        return TRUE if negate else FALSE
    if value.is_null:
        return boolean("NULL::boolean", atom=True)
    shown: list[str] = []
    mine = ""
    for item in items:
        try:
            a, b = sides("=", value, replace(item, nocase=False), rules)  # IN uses the collation of its left side
        except NeverEqual:
            continue
        if mine and a != mine:
            return _any_of(value, items, rules, negate)
        mine = a
        shown.append(b)
    if not shown:
        return _never("<>" if negate else "=", value, items[0])
    word = "NOT IN" if negate else "IN"
    known = value.not_null and all(i.not_null for i in items)
    return boolean(f"{mine} {word} ({', '.join(shown)})", not_null=known)


def _any_of(value: Value, items: Sequence[Value], rules: Rules, negate: bool) -> Value:
    joined = " OR ".join(f"({compare('=', value, item, rules).sql})" for item in items)
    return boolean(f"NOT ({joined})" if negate else joined)


def in_order(value: Value) -> str:
    """Return a value as a sort key or an operand of least/greatest: text by bytes, as SQLite orders it."""
    return value.operand + C if value.kind == "text" and not value.collated else value.operand
