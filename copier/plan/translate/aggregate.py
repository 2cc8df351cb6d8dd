"""Aggregate and window functions (sqlite.org/lang_aggfunc.html, sqlite.org/windowfunctions.html)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from copier.plan.translate.compare import in_order
from copier.plan.translate.convert import as_text, number, unify
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import MOMENTS, NUMBERS, Rules, Value, integer, plain, real, refuse_merging, text


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The arguments of one call. `suffix` is its FILTER and OVER clause, `order` an ORDER BY inside the parentheses."""

    args: Sequence[Value]
    distinct: bool = False
    star: bool = False
    order: str = ""
    suffix: str = ""

    def call(self, name: str, *args: str) -> str:
        """Return `name([DISTINCT] args [ORDER BY ..]) [FILTER ..] [OVER ..]`."""
        head = "DISTINCT " if self.distinct else ""
        return f"{name}({head}{', '.join(args)}{self.order}){self.suffix}"


def _count(call: Aggregate, rules: Rules) -> Value:
    if call.star or not call.args:
        return integer(call.call("count", "*"), not_null=True, nonneg=True)
    if call.distinct:
        refuse_merging(*call.args)
    return integer(call.call("count", call.args[0].sql), not_null=True, nonneg=True)


def _summed(call: Aggregate, rules: Rules) -> Value:
    return number(_sole(call, "sum"), rules)


def _sum(call: Aggregate, rules: Rules) -> Value:
    found = _summed(call, rules)
    shown = call.call("sum", found.sql)
    if found.kind == "int":
        return replace(integer(f"({shown})::bigint" if call.suffix else f"{shown}::bigint"), number=found.number)
    return Value(shown, found.kind, not call.suffix, number=found.number)


def _total(call: Aggregate, rules: Rules) -> Value:
    shown = call.call("sum", _summed(call, rules).sql)
    return real(f"coalesce({shown}, 0)::double precision", not_null=True)


def _average(call: Aggregate, rules: Rules) -> Value:
    shown = call.call("avg", _summed(call, rules).sql)
    return real(f"({shown})::double precision" if call.suffix else f"{shown}::double precision")


def _extreme(name: str) -> Callable[[Aggregate, Rules], Value]:
    def choose(call: Aggregate, rules: Rules) -> Value:
        value = _sole(call, name)
        refuse_merging(value)
        if value.kind == "bool":
            value = number(value, rules)
        elif value.kind in ("uuid", "jsonval"):
            value = as_text(value, rules)
        if value.kind not in (*NUMBERS, *MOMENTS, "text", "time", "inet", "any"):
            raise Untranslatable(f"{name}() of {value.kind} values")
        model = replace(plain(value), affinity=value.affinity, not_null=False, is_constant=False, constant=None)
        return replace(model, sql=call.call(name, in_order(value)), atom=not call.suffix, moment="", digits="")

    return choose


def _joined(call: Aggregate, rules: Rules) -> Value:
    if not 1 <= len(call.args) <= 2:
        raise Untranslatable("group_concat() without a value")
    separator = "','" if len(call.args) == 1 else as_text(call.args[1], rules).sql
    return text(call.call("string_agg", as_text(call.args[0], rules).sql, separator), atom=not call.suffix)


def _sole(call: Aggregate, name: str) -> Value:
    if len(call.args) != 1:
        raise Untranslatable(f"{name}() with {len(call.args)} arguments")
    return call.args[0]


AGGREGATES: dict[str, Callable[[Aggregate, Rules], Value]] = {
    "count": _count,
    "sum": _sum,
    "total": _total,
    "avg": _average,
    "min": _extreme("min"),
    "max": _extreme("max"),
    "group_concat": _joined,
    "string_agg": _joined,
}
"""Name -> translation. min() and max() are aggregates with one argument only."""


def _numbering(name: str) -> Callable[[Aggregate, Rules], Value]:
    return lambda call, rules: integer(call.call(name), atom=False, not_null=True, nonneg=True)


def _share(name: str) -> Callable[[Aggregate, Rules], Value]:
    return lambda call, rules: real(call.call(name), atom=False, not_null=True)


def _tiles(call: Aggregate, rules: Rules) -> Value:
    return integer(call.call("ntile", f"({_sole(call, 'ntile').sql})::integer"), atom=False, small=True)


def _neighbour(name: str) -> Callable[[Aggregate, Rules], Value]:
    def translate(call: Aggregate, rules: Rules) -> Value:
        if not 1 <= len(call.args) <= 3:
            raise Untranslatable(f"{name}() with {len(call.args)} arguments")
        value, *rest = call.args
        shown = [value.sql]
        model = value
        if rest:
            shown.append(f"({number(rest[0], rules).sql})::integer")
        if len(rest) == 2:
            (first, default), model = unify([value, rest[1]], rules)
            shown = [first, shown[1], default]
        return _kept(model, call.call(name, *shown))

    return translate


def _edge(name: str, most: int) -> Callable[[Aggregate, Rules], Value]:
    def translate(call: Aggregate, rules: Rules) -> Value:
        if len(call.args) != most:
            raise Untranslatable(f"{name}() with {len(call.args)} arguments")
        rest = [f"({number(arg, rules).sql})::integer" for arg in call.args[1:]]
        return _kept(call.args[0], call.call(name, call.args[0].sql, *rest))

    return translate


def _kept(model: Value, sql: str) -> Value:
    found = replace(plain(model), sql=sql, atom=False, not_null=False, is_constant=False, constant=None)
    return replace(found, moment="", digits="", json="", kind="text" if found.kind == "jsonval" else found.kind)


WINDOWS: dict[str, Callable[[Aggregate, Rules], Value]] = {
    **{name: _numbering(name) for name in ("row_number", "rank", "dense_rank")},
    **{name: _share(name) for name in ("percent_rank", "cume_dist")},
    **{name: _neighbour(name) for name in ("lag", "lead")},
    "ntile": _tiles,
    "first_value": _edge("first_value", 1),
    "last_value": _edge("last_value", 1),
    "nth_value": _edge("nth_value", 2),
}
"""Functions that are possible with OVER only."""
