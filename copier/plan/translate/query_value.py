"""Expressions inside a query: columns of several tables, aliases, aggregates, windows, subqueries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from sqlglot import exp

from copier.plan.names import quote
from copier.plan.translate.aggregate import AGGREGATES, WINDOWS, Aggregate
from copier.plan.translate.compare import C, NeverEqual, folded, in_order, sides
from copier.plan.translate.expression import Expressions
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.relation import Frame, Output
from copier.plan.translate.scope import lower
from copier.plan.translate.value import FALSE, TRUE, Rules, Value, boolean, refuse_merging, text_constant


class Subqueries(Protocol):
    """What translates a query inside an expression."""

    def nested(self, node: exp.Expr, outer: Frame, *, one_row: bool = False) -> tuple[str, Sequence[Output]]:
        """Return the query's SQL and its columns."""


class QueryExpressions(Expressions):
    """Expressions of one SELECT."""

    def __init__(self, frame: Frame, queries: Subqueries, rules: Rules) -> None:
        super().__init__(rules)
        self._frame = frame
        self._queries = queries
        self._expanding: set[str] = set()
        self._nodes[exp.Window] = self._window
        self._nodes[exp.Filter] = lambda node: self._aggregate(node.this, self._filter(node))

    def column(self, node: exp.Column) -> Value:
        """Return a column: of this SELECT, then an alias of it, then of the SELECTs around, then a string."""
        if node.table:
            return self._frame.qualified(node.table, node.name)
        found = self._frame.local(node.name)
        if found is not None:
            return found
        alias = self._frame.aliases.get(lower(node.name))
        if alias is not None and lower(node.name) not in self._expanding:
            return self._expanded(node.name, alias)
        outer = self._frame.outer
        while outer is not None:
            found = outer.local(node.name)
            if found is not None:
                return found
            outer = outer.outer
        if node.this.args.get("quoted"):
            return text_constant(node.name)
        raise Untranslatable(f"there is no column {node.name}")

    def _expanded(self, name: str, alias: exp.Expr) -> Value:
        self._expanding.add(lower(name))
        try:
            return self.value(alias)
        finally:
            self._expanding.discard(lower(name))

    def call(self, name: str, node: exp.Anonymous) -> Value:
        """Return a call of an aggregate or of a scalar function."""
        if name in AGGREGATES and (name not in ("min", "max") or len(node.expressions) == 1):
            return self._aggregate(node, "")
        if name in WINDOWS:
            raise Untranslatable(f"{name}() without OVER")
        return super().call(name, node)

    def _aggregate(self, node: exp.Expr, suffix: str) -> Value:
        if not isinstance(node, exp.Anonymous):
            raise Untranslatable("FILTER or OVER on what is no function")
        name = str(node.name).lower()
        translate = AGGREGATES.get(name) or (WINDOWS.get(name) if "OVER" in suffix else None)
        if translate is None:
            raise Untranslatable(f"{name}() has no counterpart as an aggregate")
        return translate(self._arguments(node, suffix), self.rules)

    def _arguments(self, node: exp.Anonymous, suffix: str) -> Aggregate:
        items = list(node.expressions)
        distinct, order = False, ""
        if len(items) == 1 and isinstance(items[0], exp.Star):
            return Aggregate((), star=True, suffix=suffix)
        if items and isinstance(items[-1], exp.Order):
            order = " ORDER BY " + self.ordering(items[-1])
            items[-1] = items[-1].this
        if len(items) == 1 and isinstance(items[0], exp.Distinct):
            distinct, items = True, list(items[0].expressions)
        return Aggregate([self.value(item) for item in items], distinct, order=order, suffix=suffix)

    def _filter(self, node: exp.Filter) -> str:
        return f" FILTER (WHERE {self.condition(node.expression.this).sql})"

    def _window(self, node: exp.Window) -> Value:
        suffix, call = "", node.this
        if isinstance(call, exp.Filter):
            suffix, call = self._filter(call), call.this
        if node.args.get("alias") is not None and not any(node.args.get(k) for k in ("partition_by", "order", "spec")):
            return self._aggregate(call, f"{suffix} OVER {quote(node.args['alias'].name)}")
        return self._aggregate(call, f"{suffix} OVER ({self.window(node)})")

    def window(self, node: exp.Window) -> str:
        """Return what stands in the parentheses of OVER or WINDOW."""
        parts = [quote(node.args["alias"].name)] if node.args.get("alias") is not None else []
        if node.args.get("partition_by"):
            parts.append("PARTITION BY " + ", ".join(self.value(p).sql for p in node.args["partition_by"]))
        if node.args.get("order") is not None:
            parts.append("ORDER BY " + self.ordering(node.args["order"]))
        if node.args.get("spec") is not None:
            parts.append(_frame(node.args["spec"]))
        return " ".join(parts)

    def ordering(self, node: exp.Order) -> str:
        """Return the terms of an ORDER BY inside an expression."""
        return ", ".join(self.sort_key(self.value(t.this), t) for t in node.expressions)

    def sort_key(self, value: Value, term: exp.Ordered) -> str:
        """Return one term: SQLite sorts NULLs first and text by bytes."""
        if value.kind == "text" and (value.nocase or value.source_collation == "NOCASE"):
            return folded(value, self.rules) + f"{C}{direction(term)}"
        refuse_merging(value)
        shown = in_order(value)
        return shown + direction(term)

    def subquery(self, node: exp.Subquery) -> Value:
        """Return a scalar subquery: SQLite takes its first row."""
        sql, outputs = self._queries.nested(node.this, self._frame, one_row=True)
        if len(outputs) != 1:
            raise Untranslatable("a subquery of several columns used as a value")
        return replace(outputs[0].seen_as(""), sql=f"({sql})", column="", affinity=outputs[0].value.affinity)

    def exists(self, node: exp.Exists) -> Value:
        """Return EXISTS (SELECT ..)."""
        sql, _ = self._queries.nested(node.this, self._frame)
        return boolean(f"EXISTS ({sql})", atom=True, not_null=True)

    def in_query(self, left: Value, node: exp.In, negated: bool) -> Value:
        """Return `x [NOT] IN (SELECT ..)`."""
        query = node.args.get("query")
        if query is None:
            raise Untranslatable("IN followed by the name of a table")
        sql, outputs = self._queries.nested(query.this, self._frame)
        if len(outputs) != 1:
            raise Untranslatable("IN with a subquery of several columns")
        inner = outputs[0].seen_as('"q"')
        try:
            a, b = sides("=", left, inner, self.rules)
        except NeverEqual:
            return TRUE if negated else FALSE
        if b != inner.sql:
            sql = f'SELECT {b} FROM ({sql}) AS "q"'
        return boolean(f"{a} {'NOT IN' if negated else 'IN'} ({sql})")


def direction(term: exp.Ordered) -> str:
    """Return DESC and NULLS FIRST or LAST of a sort term."""
    return (" DESC" if term.args.get("desc") else "") + (
        " NULLS FIRST" if term.args.get("nulls_first") else " NULLS LAST"
    )


def _frame(spec: exp.WindowSpec) -> str:
    kind = str(spec.args.get("kind")).upper()
    if kind not in ("ROWS", "RANGE", "GROUPS"):
        raise Untranslatable(f"a window frame of kind {kind}")
    shown = f"{kind} BETWEEN {_bound(spec, 'start')} AND {_bound(spec, 'end')}"
    excluded = spec.args.get("exclude")
    if excluded is None:
        return shown
    name = str(excluded.name).upper()
    if name not in ("NO OTHERS", "CURRENT ROW", "GROUP", "TIES"):
        raise Untranslatable(f"EXCLUDE {name}")
    return f"{shown} EXCLUDE {name}"


def _bound(spec: exp.WindowSpec, which: str) -> str:
    bound = spec.args.get(which)
    side = str(spec.args.get(f"{which}_side") or "").upper()
    if bound is None or bound == "CURRENT ROW":
        return "CURRENT ROW"
    if side not in ("PRECEDING", "FOLLOWING"):
        raise Untranslatable("a window frame that is not understood")
    if bound == "UNBOUNDED":
        return f"UNBOUNDED {side}"
    if isinstance(bound, exp.Literal) and not bound.is_string and str(bound.this).isdigit():
        return f"{bound.this} {side}"
    raise Untranslatable("a window frame whose bound is not a constant integer")
