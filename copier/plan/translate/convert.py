"""Conversions that SQLite does by itself and PostgreSQL wants written: to a condition, a number, text, one kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from copier.plan.names import literal
from copier.plan.translate.constant import constant_sql, number_prefix, number_text
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import (
    FALSE,
    MOMENTS,
    NULL,
    NUMBERS,
    TRUE,
    Constant,
    Number,
    Rules,
    Value,
    boolean,
    integer,
    number_constant,
    plain,
    real,
    refuse_mixed,
    text,
    text_constant,
)

_PREFIX = r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_UNITS = {"epoch_ms": 1000, "epoch_us": 1_000_000}


def condition(value: Value, rules: Rules) -> Value:
    """Return the truth of a value: as SQLite's WHERE sees it."""
    refuse_mixed(value)
    if value.kind == "bool":
        return value
    if value.is_null:
        return boolean("NULL::boolean", atom=True)
    if value.is_constant and isinstance(value.constant, str | int | float):
        known = number_prefix(value.constant) if isinstance(value.constant, str) else value.constant
        return TRUE if known != 0 else FALSE
    if value.is_number:
        return boolean(f"{value.operand} <> 0", not_null=value.not_null)
    if value.kind in MOMENTS and value.cast == "iso":
        raise Untranslatable(f"{value.described()} is used as a truth value, but it is a time")
    return boolean(f"{number(value, rules).operand} <> 0", not_null=value.not_null)


def number(value: Value, rules: Rules) -> Value:
    """Return the number SQLite's arithmetic sees in a value."""
    refuse_mixed(value)
    if value.is_number or value.is_null:
        return value
    if value.digits:
        return integer(value.digits)
    if value.kind == "bool":
        if value.is_constant:
            return number_constant(int(bool(value.constant)))
        return integer(f"{value.operand}::integer", small=True, not_null=value.not_null, nonneg=True)
    if value.kind in MOMENTS:
        if rules.strict and value.cast == "julian":
            raise Untranslatable(f"{value.described()} is a julian day kept to the millisecond, and used as a number")
        return _stored_number(value)
    if value.kind == "text" and isinstance(value.constant, str):
        return number_constant(number_prefix(value.constant))
    if rules.strict or value.kind not in ("text", "jsonval"):
        raise Untranslatable(f"{value.described()} of type {_shown(value)} is used as a number")
    return _number_of_text(value)


def _shown(value: Value) -> str:
    return {"any": "unknown", "named": "the target's own", "jsonval": "JSON"}.get(value.kind, value.kind)


def _stored_number(value: Value) -> Value:
    """Return the number that SQLite stores for a time."""
    if value.cast == "iso":
        raise Untranslatable(f"{value.described()} is a time stored as text and used as a number")
    seconds = f"extract(epoch FROM {moment(value)})"
    if value.cast == "julian":
        return real(f"({seconds} / 86400.0 + 2440587.5)::double precision", not_null=value.not_null)
    if value.cast in _UNITS:
        return integer(f"({seconds} * {_UNITS[value.cast]})::bigint", not_null=value.not_null)
    if value.affinity == "integer":
        return integer(f"{seconds}::bigint", not_null=value.not_null)
    return Value(f"trim_scale({seconds})", "num", number="either", not_null=value.not_null)


def _number_of_text(value: Value) -> Value:
    pattern = literal(_PREFIX)
    found = f"coalesce(substring({value.sql} from {pattern})::numeric, 0)"
    if value.kind == "jsonval":
        found = (
            f"CASE jsonb_typeof({value.json}) WHEN 'number' THEN ({value.sql})::numeric "
            f"WHEN 'boolean' THEN ({value.sql})::boolean::integer "
            f"ELSE coalesce(substring({value.sql} from {pattern})::numeric, 0) END"
        )
    shown = found if value.not_null else f"CASE WHEN {value.operand} IS NOT NULL THEN {found} END"
    return Value(shown, "num", value.not_null and value.kind == "text", number="either", not_null=value.not_null)


def operand(value: Value, rules: Rules) -> Value:
    """Return the number for arithmetic, wide enough not to overflow where SQLite would not."""
    found = number(value, rules)
    if found.kind == "int" and found.small and not found.is_constant:
        return replace(found, sql=f"{found.operand}::bigint", atom=True, small=False)
    if found.is_constant and found.kind == "float":
        return replace(found, sql=f"{found.operand}::double precision", atom=True)
    return found


def moment(value: Value) -> str:
    """Return a time column as a timestamp without zone, in UTC; an operand."""
    if value.moment:
        return value.moment
    if value.kind == "timestamptz":
        return f"({value.operand} AT TIME ZONE 'UTC')"
    return f"{value.operand}::timestamp" if value.kind == "date" else value.operand


def as_text(value: Value, rules: Rules) -> Value:
    """Return the text SQLite's functions and `||` see in a value."""
    kept = {"not_null": value.not_null}
    if not rules.index:
        refuse_mixed(value)
    if value.kind == "text" or value.is_null:
        return value
    if value.is_constant and isinstance(value.constant, int | float):
        return text_constant(number_text(value.constant))
    if value.kind in ("jsonval", "any"):
        return text(value.sql if value.kind == "jsonval" else f"{value.operand}::text", atom=value.atom, **kept)
    if value.kind in ("int", "bool") and value.number != "real":
        return text(f"{number(value, rules).operand}::text", **kept)
    if value.kind == "num" and value.column and value.number != "real" and not rules.strict:
        return text(f"trim_scale({value.sql})::text", **kept)
    if value.kind in ("json", "named") or (value.kind in ("uuid", "jsonb") and not rules.strict):
        return text(f"{value.operand}::text", **kept)
    if value.kind == "inet" and not rules.strict:
        return text(f"host({value.sql})", **kept)
    if value.kind == "date" and value.cast == "iso":
        rules.mutable("the text of a date")
        return text(f"to_char({value.sql}, 'YYYY-MM-DD')", **kept)
    if value.kind in MOMENTS and value.cast not in ("iso", "julian"):
        return as_text(number(value, rules), rules)
    raise Untranslatable(_no_text(value))


def _no_text(value: Value) -> str:
    who = value.described()
    if value.is_number:
        return f"{who} holds reals, whose text SQLite and PostgreSQL write differently"
    if value.kind == "bytea":
        return f"{who} is a blob and is used as text"
    return f"{who} is of type {_shown(value)} now; the text SQLite had is not kept"


def as_output(value: Value) -> Value:
    """Return a value as a result column: what SQLite computes as 0 or 1 must come out as a number."""
    if value.kind == "bool" and value.predicate:
        if value.is_constant:
            return number_constant(int(bool(value.constant)))
        return integer(f"{value.operand}::integer", small=True, not_null=value.not_null)
    return value


def constant_for(target: Value, constant: Constant) -> str | None:
    """Return a constant as SQL of the kind of `target`, None when that kind cannot hold it."""
    if isinstance(constant, str) and target.kind in ("named", "any"):
        return text_constant(constant).sql
    if isinstance(constant, int | float) and target.kind == "any":
        return number_constant(constant).operand
    return constant_sql(constant, target.kind, target.cast)


def unify(values: Sequence[Value], rules: Rules) -> tuple[list[str], Value]:
    """Return the values as SQL of one kind, and a model of the result (its `sql` is to be replaced).

    For coalesce, CASE, least, and the columns of a compound SELECT. Errors: Untranslatable where SQLite would return
    now one type, now another.
    """
    known = [v for v in values if not v.is_null]
    if not known:
        return [v.sql for v in values], NULL
    lead = next((v for v in known if not v.is_constant), known[0])
    kinds = {v.kind for v in known}
    if len(kinds) == 1 and (lead.kind not in MOMENTS or len({v.cast for v in known}) == 1):
        return [v.sql for v in values], _merged(replace(lead, number=_merged_number(known)), known)
    if kinds <= {*NUMBERS, "bool"} and (lead.kind != "bool" or not _all_convert(lead, known)):
        numbers = [v if v.is_null else number(v, rules) for v in values]
        model = max((n for n in numbers if not n.is_null), key=lambda n: NUMBERS.index(n.kind))
        return [v.sql for v in numbers], _merged(replace(model, number=_merged_number(numbers)), known)
    if _all_convert(lead, known):
        shown = [v.sql if v.is_null or not v.is_constant else str(constant_for(lead, v.constant)) for v in values]
        return shown, _merged(lead, known)
    raise Untranslatable("gives values of different types, row by row: " + ", ".join(sorted(kinds)))


def _merged(lead: Value, known: Sequence[Value]) -> Value:
    return replace(
        plain(lead),
        kind="text" if lead.kind == "jsonval" else lead.kind,
        is_constant=False,
        constant=None,
        predicate=any(v.predicate for v in known),
        not_null=all(v.not_null for v in known),
        nonneg=all(v.nonneg for v in known),
        small=all(v.small for v in known),
        moment="",
        digits="",
        shape="",
        chain=False,
        json="",
        collated=any(v.collated for v in known),
    )


def _merged_number(values: Sequence[Value]) -> Number:
    found = {v.number for v in values if not v.is_null}
    return found.pop() if len(found) == 1 else "either"


def _all_convert(lead: Value, known: Sequence[Value]) -> bool:
    """Whether every other value is a constant of the storage class of `lead`, which its kind can hold."""
    for value in known:
        if value.kind == lead.kind and value.cast == lead.cast:
            continue
        if not value.is_constant or not isinstance(value.constant, _stored_types(lead)):
            return False
        if constant_for(lead, value.constant) is None:
            return False
    return True


def _stored_types(value: Value) -> tuple[type, ...]:
    """Return the Python types of what SQLite stores for a kind; other constants would stay what they are."""
    if value.is_number or value.kind == "bool" or (value.kind in MOMENTS and value.cast != "iso"):
        return (int, float)
    return (bytes,) if value.kind == "bytea" else (str,)
