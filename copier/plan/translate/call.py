"""Which function of SQLite goes where; a function that is in no table here is Untranslatable by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from copier.plan.translate.arithmetic import positive
from copier.plan.translate.compare import C
from copier.plan.translate.functions import FUNCTIONS
from copier.plan.translate.json import array_length, arrow, extract, identity, json_type
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.printf import printf
from copier.plan.translate.text import Function
from copier.plan.translate.time import current, time_function
from copier.plan.translate.value import Rules, Value

_TIME = frozenset(("date", "time", "datetime", "julianday", "unixepoch", "strftime"))
_CURRENT = frozenset(("current_timestamp", "current_date", "current_time"))

_BINARY = frozenset(("instr", "replace", "trim", "ltrim", "rtrim", "substr", "substring"))
"""Functions that never look at a collation; PostgreSQL's refuse one that calls different texts equal."""

_MORE: dict[str, tuple[int, int, Function]] = {
    "json_extract": (2, 100, extract),
    "json_array_length": (1, 2, array_length),
    "json_type": (1, 2, json_type),
    "json": (1, 1, identity),
    "->": (2, 2, lambda args, rules: arrow("->", args, rules)),
    "->>": (2, 2, lambda args, rules: arrow("->>", args, rules)),
    "printf": (1, 100, printf),
    "format": (1, 100, printf),
    "+": (1, 1, lambda args, rules: positive(args[0])),
}

_REASONS = {
    "changes": "changes() counts the rows of the connection's last statement",
    "total_changes": "total_changes() counts the rows of the connection",
    "last_insert_rowid": "last_insert_rowid() belongs to the connection",
    "randomblob": "randomblob() is possible in a default only",
    "random": "random() is possible in a default only",
    "raise": "RAISE() is possible in a trigger only",
    "match": "MATCH needs a full-text index",
    "soundex": "soundex() needs an extension",
}


def scalar_call(name: str, args: Sequence[Value], rules: Rules) -> Value:
    """Return a call of a scalar function of SQLite."""
    if any(arg.nocase for arg in args):
        raise Untranslatable(f"COLLATE NOCASE inside {name}()")
    if name in _CURRENT and not args:
        return current(name, rules)
    if name in _TIME:
        return time_function(name, args, rules)
    if name in _BINARY:
        args = [_by_bytes(arg) for arg in args]
    found = FUNCTIONS.get(name) or _MORE.get(name)
    if found is None:
        raise Untranslatable(_REASONS.get(name, f"{name}() has no counterpart"))
    least, most, translate = found
    if not least <= len(args) <= most:
        raise Untranslatable(f"{name}() with {len(args)} arguments")
    return translate(list(args), rules)


def _by_bytes(value: Value) -> Value:
    if not value.collated or value.kind != "text":
        return value
    return replace(value, sql=value.operand + C, atom=False, collated=False)
