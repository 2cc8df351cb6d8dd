"""What a trigger may store in a column: what SQLite would store as well, and PostgreSQL takes for sure."""

from __future__ import annotations

from sqlglot import exp

from copier.plan.model import ColumnPlan
from copier.plan.translate.constant import number_of
from copier.plan.translate.defaults import assigned
from copier.plan.translate.expression import refuse_conversion
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.trigger.rows import BodyExpressions
from copier.plan.translate.value import Value, column_value, refuse_mixed

_SUMS = (exp.Add, exp.Sub, exp.Paren, exp.Neg)


def stored(value: Value, node: exp.Expr | None, column: ColumnPlan, expressions: BodyExpressions) -> str:
    """Return a value as SQL of the column's type; `node` is its expression, None when it comes from a query.

    Errors: Untranslatable where the two databases would not store the same, or PostgreSQL could refuse it.
    """
    if column.generated is not None:
        raise Untranslatable(f"a trigger that sets the generated column {column.source}")
    target = column_value(column)
    if value.is_null:
        return "NULL"
    refuse_mixed(value, target)
    if target.kind in ("any", "named"):
        raise Untranslatable(f"a trigger that sets {column.source}, whose type {column.type.sql} is the target's own")
    _refuse_affinity(value, target, column)
    if column.type.args:
        _refuse_length(value, node, column, expressions)
    return assigned(value, column)


def _refuse_affinity(value: Value, target: Value, column: ColumnPlan) -> None:
    if isinstance(value.constant, str):
        if target.kind == "text" and target.affinity not in ("text", "blob") and number_of(value.constant) is not None:
            raise Untranslatable(f"{value.constant!r} in {column.source}, where SQLite makes a number of it")
    elif not (value.column and value.affinity == target.affinity):
        refuse_conversion(value, column)


def _refuse_length(value: Value, node: exp.Expr | None, column: ColumnPlan, expressions: BodyExpressions) -> None:
    """Refuse what may be longer than varchar(n), or have more digits after the point than numeric(p,s)."""
    kind, limit = column.type.wire, _limit(column)
    if isinstance(value.constant, str) and kind != "numeric":
        if kind == "bpchar" or len(value.constant) > limit:
            raise Untranslatable(f"{value.constant!r} does not fit {column.type.sql}")
        return
    if value.is_constant or (kind == "numeric" and value.kind == "int"):
        return
    sources = [expressions.plan_of(c) for c in node.find_all(exp.Column)] if node and _is_sum(node, kind) else [None]
    if not all(source is not None and _fits(source, kind, limit) for source in sources):
        raise Untranslatable(f"a trigger that sets {column.source}: {column.type.sql} may be too small for the value")


def _limit(column: ColumnPlan) -> int:
    """Return the length of a varchar, the scale of a numeric."""
    args = column.type.args
    return args[0] if column.type.wire != "numeric" else args[1] if len(args) > 1 else 0


def _fits(source: ColumnPlan, kind: str, limit: int) -> bool:
    if kind == "numeric" and source.type.wire in ("int2", "int4", "int8"):
        return True
    return source.type.wire == kind and bool(source.type.args) and _limit(source) <= limit


def _is_sum(node: exp.Expr, kind: str) -> bool:
    """Whether an expression is a column, or for numbers a sum of columns and integers: no longer than its parts."""
    if isinstance(node, exp.Column):
        return True
    if kind != "numeric":
        return False
    if isinstance(node, exp.Literal):
        return not node.is_string and str(node.this).isdigit()
    if isinstance(node, _SUMS):
        return all(_is_sum(child, kind) for child in node.iter_expressions())
    named = isinstance(node, exp.Anonymous) and str(node.name).lower() in ("coalesce", "ifnull", "abs", "max", "min")
    return named and all(_is_sum(child, kind) for child in node.expressions)
