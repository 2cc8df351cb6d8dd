"""SQLite's scalar functions (sqlite.org/lang_corefunc.html), one entry each in FUNCTIONS."""

from __future__ import annotations

from dataclasses import replace

from copier.plan.translate.compare import C, NeverEqual, sides
from copier.plan.translate.convert import number, operand, unify
from copier.plan.translate.match import glob, like
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.text import (
    Function,
    characters,
    concat,
    hexed,
    instr,
    length,
    quoted,
    recased,
    replaced,
    substr,
    trimmed,
    unicode_point,
)
from copier.plan.translate.typeof import typeof
from copier.plan.translate.value import NULL, NUMBERS, Rules, Value, integer, plain, real, refuse_merging


def coalesce(args: list[Value], rules: Rules) -> Value:
    """Return coalesce() or ifnull()."""
    shown, model = unify(args, rules)
    if model.is_null:
        return NULL
    return replace(model, sql=f"coalesce({', '.join(shown)})", atom=True, not_null=any(a.not_null for a in args))


def nullif(args: list[Value], rules: Rules) -> Value:
    """Return nullif(a, b)."""
    if args[0].is_null:
        return NULL
    kept = replace(plain(args[0]), not_null=False, is_constant=False, constant=None)
    try:
        a, b = sides("=", args[0], args[1], rules)
    except NeverEqual:
        return kept
    if a == args[0].operand:
        return replace(kept, sql=f"nullif({a}, {b})", atom=True)
    return replace(kept, sql=f"CASE WHEN {a} = {b} THEN NULL ELSE {args[0].sql} END", atom=True)


def iif(args: list[Value], rules: Rules) -> Value:
    """Return iif(condition, a, b); the condition is a boolean already."""
    values = [*args[1:], *([NULL] if len(args) == 2 else [])]
    shown, model = unify(values, rules)
    if model.is_null:
        return NULL
    known = all(v.not_null for v in values)
    return replace(model, sql=f"CASE WHEN {args[0].sql} THEN {shown[0]} ELSE {shown[1]} END", not_null=known)


def absolute(args: list[Value], rules: Rules) -> Value:
    """Return abs(x)."""
    if args[0].kind in ("text", "jsonval"):
        raise Untranslatable("abs() of text")
    found = operand(args[0], rules)
    if found.is_null:
        return NULL
    return replace(plain(found), sql=f"abs({found.sql})", atom=True, constant=None, is_constant=False, nonneg=True)


def rounded(args: list[Value], rules: Rules) -> Value:
    """Return round(x[, digits]): half away from zero, always a real."""
    subject = number(args[0], rules)
    if subject.is_null:
        return NULL
    digits = 0
    if len(args) == 2:
        if not isinstance(args[1].constant, int):
            raise Untranslatable("round() to a number of digits that is not constant")
        digits = min(max(args[1].constant, 0), 30)
    shown = f"round({subject.operand}::numeric, {digits})" if digits else f"round({subject.operand}::numeric)"
    return real(f"{shown}::double precision", not_null=args[0].not_null)


def _extreme(name: str) -> Function:
    def choose(args: list[Value], rules: Rules) -> Value:
        refuse_merging(*args)
        shown, model = unify(args, rules)
        if model.is_null:
            return NULL
        if model.kind == "text" and not model.collated:
            shown[0] += C
        elif model.kind not in (*NUMBERS, "date", "timestamp", "timestamptz"):
            raise Untranslatable(f"{name}() of {model.kind} values")
        chosen = f"{name}({', '.join(shown)})"
        guards = [a.operand for a in args if not a.not_null]
        if guards:  # SQLite gives NULL as soon as one is NULL
            tests = " OR ".join(f"{guard} IS NULL" for guard in guards)
            chosen = f"CASE WHEN {tests} THEN NULL ELSE {chosen} END"
        return replace(model, sql=chosen, atom=True, not_null=not guards)

    return choose


def zeroblob(args: list[Value], rules: Rules) -> Value:
    """Return zeroblob(n)."""
    if not isinstance(args[0].constant, int):
        raise Untranslatable("zeroblob() of a size that is not constant")
    return Value(f"decode(repeat('00', {max(args[0].constant, 0)}), 'hex')", "bytea", not_null=True)


def json_valid(args: list[Value], rules: Rules) -> Value:
    """Return json_valid(x): certain for a JSON column only."""
    if args[0].kind not in ("json", "jsonb"):
        raise Untranslatable("json_valid() of text needs PostgreSQL 16")
    if args[0].not_null:
        return replace(integer("1", not_null=True, small=True), is_constant=True, constant=1)
    shown = f"CASE WHEN {args[0].operand} IS NOT NULL THEN TRUE END"
    return Value(shown, "bool", predicate=True)


def unlikely(args: list[Value], rules: Rules) -> Value:
    """Return the argument of likely(), unlikely() or likelihood(): hints for SQLite's planner."""
    return args[0]


def sign(args: list[Value], rules: Rules) -> Value:
    """Return sign(x) of a number."""
    if not args[0].is_number:
        raise Untranslatable("sign() of a value that is no number")
    return integer(f"sign({args[0].sql})::integer", small=True, not_null=args[0].not_null)


def like_function(args: list[Value], rules: Rules) -> Value:
    """Return like(pattern, value[, escape])."""
    return like(args[1], args[0], args[2] if len(args) == 3 else None, rules)


FUNCTIONS: dict[str, tuple[int, int, Function]] = {
    "length": (1, 1, length),
    "lower": (1, 1, recased("lower")),
    "upper": (1, 1, recased("upper")),
    "trim": (1, 2, trimmed("btrim")),
    "ltrim": (1, 2, trimmed("ltrim")),
    "rtrim": (1, 2, trimmed("rtrim")),
    "replace": (3, 3, replaced),
    "instr": (2, 2, instr),
    "substr": (2, 3, substr),
    "substring": (2, 3, substr),
    "coalesce": (2, 100, coalesce),
    "ifnull": (2, 2, coalesce),
    "nullif": (2, 2, nullif),
    "iif": (2, 3, iif),
    "if": (2, 3, iif),
    "abs": (1, 1, absolute),
    "round": (1, 2, rounded),
    "min": (2, 100, _extreme("least")),
    "max": (2, 100, _extreme("greatest")),
    "hex": (1, 1, hexed),
    "quote": (1, 1, quoted),
    "zeroblob": (1, 1, zeroblob),
    "char": (0, 100, characters),
    "unicode": (1, 1, unicode_point),
    "typeof": (1, 1, typeof),
    "json_valid": (1, 1, json_valid),
    "concat": (1, 100, concat),
    "likely": (1, 1, unlikely),
    "unlikely": (1, 1, unlikely),
    "likelihood": (2, 2, unlikely),
    "sign": (1, 1, sign),
    "like": (2, 3, like_function),
    "glob": (2, 2, lambda args, rules: glob(args[1], args[0], rules)),
}
"""Name -> least and most arguments, translation."""
