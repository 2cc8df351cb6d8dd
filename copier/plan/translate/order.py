"""ORDER BY and LIMIT: SQLite sorts NULLs first, text by bytes, and a result column's name goes before a column's."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from copier.plan.translate.built import Built
from copier.plan.translate.compare import C, folded
from copier.plan.translate.convert import number
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.query_value import QueryExpressions, direction
from copier.plan.translate.relation import Frame, Output
from copier.plan.translate.scope import lower
from copier.plan.translate.value import Rules, Value, refuse_merging, refuse_mixed

_RULES = Rules(strict=False)


def ordered(node: exp.Expr, built: Built, expressions: QueryExpressions) -> str:
    """Return the query with its ORDER BY, LIMIT and OFFSET.

    The terms of a DISTINCT or compound SELECT can only name result columns; where one needs COLLATE, which PostgreSQL
    does not take there, the query is wrapped.
    """
    order = node.args.get("order")
    tail = _limits(node)
    sql = built.sql()
    if order is None:
        return sql + tail
    if not (built.compound or built.distinct):
        return f"{sql} ORDER BY {_sorted_plainly(order, built, expressions)}{tail}"
    keys = [(t, _position(t.this, built)) for t in order.expressions]
    refuse_merging(*(built.outputs[p].value for _, p in keys))
    if not any(_is_text(built.outputs[p].value) for _, p in keys):
        return f"{sql} ORDER BY {', '.join(str(p + 1) + direction(t) for t, p in keys)}{tail}"
    terms = [_outer_key(built.outputs[p].seen_as('"sorted"'), t) for t, p in keys]
    return f'SELECT * FROM ({sql}) AS "sorted" ORDER BY {", ".join(terms)}{tail}'


def _sorted_plainly(order: exp.Expr, built: Built, expressions: QueryExpressions) -> str:
    terms: list[str] = []
    for term in order.expressions:
        position = _position_or_none(term.this, built)
        if position is None:
            terms.append(expressions.sort_key(expressions.value(term.this), term))
            continue
        value = built.outputs[position].value
        refuse_mixed(value)
        if value.is_constant or not _is_text(value):
            terms.append(f"{position + 1}{direction(term)}")
        else:
            terms.append(expressions.sort_key(value, term))
    return ", ".join(terms)


def _is_text(value: Value) -> bool:
    return value.kind == "text" and not value.collated


def _position_or_none(node: exp.Expr, built: Built) -> int | None:
    """Return which result column a sort term names: by position, else by its name, which goes before columns."""
    if isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit():
        position = int(str(node.this)) - 1
        if position not in range(len(built.outputs)):
            raise Untranslatable(f"ORDER BY {node.this} names no column")
        return position
    if isinstance(node, exp.Column) and not node.table:
        named = [lower(o.name) for o in built.outputs]
        return named.index(lower(node.name)) if lower(node.name) in named else None
    return None


def _position(node: exp.Expr, built: Built) -> int:
    bare = node.this if isinstance(node, exp.Collate) else node
    if isinstance(bare, exp.Column) and bare.table:
        bare = exp.Column(this=bare.this)
    found = _position_or_none(bare, built)
    if found is None:
        raise Untranslatable("ORDER BY something that is no result column of a DISTINCT or compound SELECT")
    return found


def _outer_key(value: Value, term: exp.Ordered) -> str:
    if isinstance(term.this, exp.Collate) and value.kind == "text":
        if str(term.this.expression.name).upper() != "NOCASE":
            raise Untranslatable(f"COLLATE {term.this.expression.name} has no counterpart")
        return folded(value, _RULES) + direction(term)
    return value.operand + (C if _is_text(value) else "") + direction(term)


def _limits(node: exp.Expr) -> str:
    shown = ""
    for key, word in (("limit", "LIMIT"), ("offset", "OFFSET")):
        clause = node.args.get(key)
        if clause is None:
            continue
        found = number(QueryExpressions(Frame(), _NoQueries(), _RULES).value(clause.expression), _RULES)
        if not isinstance(found.constant, int):
            raise Untranslatable(f"{word} that is not a constant")
        if found.constant >= 0:  # a negative one is none
            shown += f" {word} {found.constant}"
    return shown


class _NoQueries:
    def nested(self, node: exp.Expr, outer: Frame, *, one_row: bool = False) -> tuple[str, Sequence[Output]]:
        raise Untranslatable("a subquery in LIMIT")
