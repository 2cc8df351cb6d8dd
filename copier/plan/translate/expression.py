"""SQLite expressions -> PostgreSQL expressions: checks, predicates, index expressions, generated columns.

The text is parsed, every node of the tree is given a meaning by name, and PostgreSQL's SQL is written anew from that:
no text of the source passes through but identifiers and literals, both quoted. What has no entry here, or a meaning
that PostgreSQL would not keep, is Untranslatable with the reason. docs: sqlite.org/lang_expr.html.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from copier.plan.model import ColumnPlan
from copier.plan.translate.arithmetic import arithmetic, bitwise, complement, concatenate, negate
from copier.plan.translate.call import scalar_call
from copier.plan.translate.cast import cast, fit
from copier.plan.translate.compare import compare, member
from copier.plan.translate.constant import as_integer
from copier.plan.translate.convert import condition, unify
from copier.plan.translate.match import glob, like, regexp
from copier.plan.translate.parse import Untranslatable, parse_expression, shallow
from copier.plan.translate.scope import TableScope
from copier.plan.translate.time import current
from copier.plan.translate.typeof import typeof_is
from copier.plan.translate.value import (
    FALSE,
    NULL,
    TRUE,
    Rules,
    Value,
    affinity_of,
    blob_constant,
    boolean,
    column_value,
    number_constant,
    refuse_mixed,
    text_constant,
)

__all__ = ["Expressions", "TableExpressions", "Untranslatable", "translate_expression"]

_COMPARISONS: dict[type[exp.Expr], str] = {
    **{exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="},
    **{exp.NullSafeEQ: "IS", exp.NullSafeNEQ: "IS NOT"},
}
_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
_BITWISE: dict[type[exp.Expr], str] = {
    **{exp.BitwiseAnd: "&", exp.BitwiseOr: "|"},
    **{exp.BitwiseLeftShift: "<<", exp.BitwiseRightShift: ">>"},
}


def translate_expression(
    sql: str,
    table: TableScope,
    *,
    immutable: bool = False,
    value: bool | None = None,
    index: bool = False,
    column: ColumnPlan | None = None,
) -> str:
    """Return a CHECK, predicate, index expression or generated column of `table` as PostgreSQL SQL, unparenthesised.

    immutable: PostgreSQL demands it (all but CHECK). value: the value itself is wanted, not its truth; None takes the
    truth of a bare column and of whatever a CHECK holds. index: an index expression, written as queries write it
    (plain lower() and upper(), which change more than SQLite's ASCII letters). column: the generated column, whose
    type the result is given. Errors: Untranslatable.
    """
    rules = Rules(strict=True, immutable=immutable, index=index)
    with shallow():
        found = TableExpressions(table, rules).value(parse_expression(sql))
        if column is not None:
            refuse_conversion(found, column)
            return fit(found, column, rules)
        if value is None:
            value = immutable and not found.column
        return found.sql if value else condition(found, rules).sql


def refuse_conversion(value: Value, column: ColumnPlan) -> None:
    """Refuse text that SQLite, by the column's affinity, would store as a number where it reads as one."""
    numeric = affinity_of(column.declared) in ("integer", "real", "numeric")
    written = value.kind in ("text", "jsonval") and (not value.moment or value.digits)
    if numeric and written and column.type.is_text:
        raise Untranslatable(f"text in a column declared {column.declared}, where SQLite makes numbers of some")


class Expressions:
    """Translates trees of expressions; subclasses say what columns, calls and subqueries mean where they stand."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._nodes: dict[type[exp.Expr], Callable[..., Value]] = {
            **dict.fromkeys(_COMPARISONS, self._comparison),
            **dict.fromkeys(_ARITHMETIC, self._arithmetic),
            **dict.fromkeys(_BITWISE, self._bitwise),
            exp.Literal: self._literal,
            exp.HexString: lambda node: blob_constant(_bytes(node.this)),
            exp.Null: lambda node: NULL,
            exp.Boolean: lambda node: TRUE if node.this else FALSE,
            exp.Column: self.column,
            exp.Paren: lambda node: self.value(node.this),
            exp.And: self._connector,
            exp.Or: self._connector,
            exp.Not: self._not,
            exp.Neg: lambda node: negate(self.value(node.this), self.rules),
            exp.BitwiseNot: lambda node: complement(self.value(node.this), self.rules),
            exp.DPipe: self._concatenation,
            exp.Is: self._is,
            exp.In: self._in,
            exp.Between: self._between,
            exp.Like: self._like,
            exp.Escape: self._escape,
            exp.Glob: lambda node: glob(self.value(node.this), self.value(node.expression), self.rules),
            exp.RegexpLike: lambda node: regexp(self.value(node.this), self.value(node.expression), self.rules),
            exp.Case: self._case,
            exp.Cast: self._cast,
            exp.Collate: self._collate,
            exp.Anonymous: self._anonymous,
            exp.CurrentTimestamp: lambda node: current("current_timestamp", self.rules),
            exp.CurrentDate: lambda node: current("current_date", self.rules),
            exp.CurrentTime: lambda node: current("current_time", self.rules),
            exp.Subquery: self.subquery,
            exp.Exists: self.exists,
        }

    def value(self, node: exp.Expr) -> Value:
        """Return the translation of one expression."""
        translate = self._nodes.get(type(node))
        if translate is None:
            raise Untranslatable(f"{type(node).__name__.upper()} is not understood here")
        return translate(node)

    def condition(self, node: exp.Expr) -> Value:
        """Return the translation of one expression as a condition."""
        return condition(self.value(node), self.rules)

    def column(self, node: exp.Column) -> Value:
        """Return what a column's name stands for."""
        raise Untranslatable(f"column {node.name} is not known here")

    def call(self, name: str, node: exp.Anonymous) -> Value:
        """Return a function call; `name` is in lower case."""
        if name in ("iif", "if") and len(node.expressions) > 1:
            first, *rest = node.expressions
            return scalar_call(name, [self.condition(first), *map(self.value, rest)], self.rules)
        return scalar_call(name, [self.value(arg) for arg in node.expressions], self.rules)

    def subquery(self, node: exp.Subquery) -> Value:
        """Return a scalar subquery."""
        raise Untranslatable("a subquery is not possible here")

    def exists(self, node: exp.Exists) -> Value:
        """Return EXISTS (SELECT ..)."""
        raise Untranslatable("a subquery is not possible here")

    def in_query(self, left: Value, node: exp.In, negated: bool) -> Value:
        """Return `x [NOT] IN (SELECT ..)`, or IN a table."""
        raise Untranslatable("a subquery is not possible here")

    def _anonymous(self, node: exp.Anonymous) -> Value:
        return self.call(str(node.name).lower(), node)

    def _literal(self, node: exp.Literal) -> Value:
        raw = str(node.this)
        if node.is_string:
            return text_constant(raw)
        digits = raw.replace("_", "")
        return number_constant(as_integer(int(digits)) if digits.isdigit() else float(digits))

    def _comparison(self, node: exp.Binary) -> Value:
        op = _COMPARISONS[type(node)]
        if _calls_typeof(node.left) and op in ("=", "<>", "IS", "IS NOT"):
            return self._typeof(node.left, [node.right], negated=op in ("<>", "IS NOT"))
        return compare(op, self.value(node.left), self.value(node.right), self.rules)

    def _typeof(self, call: exp.Expr, items: list[exp.Expr], *, negated: bool) -> Value:
        names = [self.value(item).constant for item in items]
        if not all(isinstance(name, str) for name in names):
            raise Untranslatable("typeof() compared with other than constants")
        return typeof_is(self.value(call.unnest().expressions[0]), [str(name) for name in names], negate=negated)

    def _arithmetic(self, node: exp.Binary) -> Value:
        return arithmetic(_ARITHMETIC[type(node)], self.value(node.left), self.value(node.right), self.rules)

    def _concatenation(self, node: exp.Binary) -> Value:
        return concatenate(self.value(node.left), self.value(node.right), self.rules)

    def _bitwise(self, node: exp.Binary) -> Value:
        return bitwise(_BITWISE[type(node)], self.value(node.left), self.value(node.right), self.rules)

    def _connector(self, node: exp.Binary) -> Value:
        word = "AND" if isinstance(node, exp.And) else "OR"
        parts = [self.condition(part) for part in _flat(node)]
        shown = f" {word} ".join(part.operand for part in parts)
        return boolean(shown, not_null=all(part.not_null for part in parts))

    def _not(self, node: exp.Not) -> Value:
        inner = node.this
        if isinstance(inner, exp.In):
            return self._in(inner, negated=True)
        if isinstance(inner, exp.Is):
            return self._is(inner, negated=True)
        subject = self.value(inner)
        if subject.is_number and not subject.is_constant:
            return boolean(f"{subject.operand} = 0", not_null=subject.not_null)
        found = condition(subject, self.rules)
        if found.is_constant and not found.is_null:
            return FALSE if found.constant else TRUE
        return boolean(f"NOT {found.operand}", not_null=found.not_null)

    def _is(self, node: exp.Is, negated: bool = False) -> Value:
        word = "IS NOT" if negated else "IS"
        if isinstance(node.expression, exp.Boolean):
            truth = "TRUE" if node.expression.this else "FALSE"
            return boolean(f"{self.condition(node.this).operand} {word} {truth}", not_null=True)
        return compare(word, self.value(node.this), self.value(node.expression), self.rules)

    def _in(self, node: exp.In, negated: bool = False) -> Value:
        if isinstance(node.this, exp.Tuple):
            raise Untranslatable("a row of values compared with IN")
        if _calls_typeof(node.this) and node.expressions:
            return self._typeof(node.this, node.expressions, negated=negated)
        left = self.value(node.this)
        if node.args.get("query") is not None or node.args.get("field") is not None:
            return self.in_query(left, node, negated)
        return member(left, [self.value(item) for item in node.expressions], self.rules, negate=negated)

    def _between(self, node: exp.Between) -> Value:
        subject = self.value(node.this)
        low = compare(">=", subject, self.value(node.args["low"]), self.rules)
        high = compare("<=", subject, self.value(node.args["high"]), self.rules)
        return boolean(f"{low.operand} AND {high.operand}", not_null=low.not_null and high.not_null)

    def _like(self, node: exp.Like, escape: Value | None = None) -> Value:
        negated = bool(node.args.get("negate"))
        return like(self.value(node.this), self.value(node.expression), escape, self.rules, negate=negated)

    def _escape(self, node: exp.Escape) -> Value:
        if not isinstance(node.this, exp.Like):
            raise Untranslatable("ESCAPE without LIKE")
        return self._like(node.this, self.value(node.expression))

    def _case(self, node: exp.Case) -> Value:
        tests: list[str] = []
        results: list[Value] = []
        subject = self.value(node.this) if node.this is not None else None
        for branch in node.args["ifs"]:
            if subject is None:
                tests.append(self.condition(branch.this).sql)
            else:
                tests.append(compare("=", subject, self.value(branch.this), self.rules).sql)
            results.append(self.value(branch.args["true"]))
        default = node.args.get("default")
        results.append(NULL if default is None else self.value(default))
        shown, model = unify(results, self.rules)
        if model.is_null:
            return NULL
        branches = "".join(f" WHEN {test} THEN {result}" for test, result in zip(tests, shown, strict=False))
        tail = "" if default is None else f" ELSE {shown[-1]}"
        return replace(model, sql=f"CASE{branches}{tail} END", atom=True, not_null=all(v.not_null for v in results))

    def _cast(self, node: exp.Cast) -> Value:
        return cast(self.value(node.this), node.args["to"].name, self.rules)

    def _collate(self, node: exp.Collate) -> Value:
        name = str(node.expression.name).upper()
        found = self.value(node.this)
        if name == "BINARY":
            return replace(found, nocase=False, source_collation="")
        if name == "NOCASE":
            return replace(found, nocase=True)
        raise Untranslatable(f"COLLATE {name} has no counterpart")


class TableExpressions(Expressions):
    """Expressions over the columns of one table."""

    def __init__(self, table: TableScope, rules: Rules) -> None:
        super().__init__(rules)
        self._table = table

    def column(self, node: exp.Column) -> Value:
        """Return the column; a double-quoted name that is no column is a string, as SQLite has it."""
        if node.table and node.table.lower() != self._table.source.lower():
            raise Untranslatable(f"{node.table}.{node.name} is no column of {self._table.source}")
        found = self._table.column(node.name)
        if found is not None:
            value = column_value(found)
            if not (self.rules.index or isinstance(node.parent, exp.Is)):
                refuse_mixed(value)
            return value
        if node.this.args.get("quoted") and not node.table:
            return text_constant(node.name)
        raise Untranslatable(f"{self._table.source} has no column {node.name}")


def _calls_typeof(node: exp.Expr) -> bool:
    call = node.unnest()
    return isinstance(call, exp.Anonymous) and str(call.name).lower() == "typeof" and len(call.expressions) == 1


def _flat(node: exp.Expr) -> list[exp.Expr]:
    """Return the parts of a chain of ANDs, or of ORs, which can be thousands."""
    parts: list[exp.Expr] = []
    kind = type(node)
    while type(node) is kind:
        parts.append(node.args["expression"])
        node = node.this
    return [node, *reversed(parts)]


def _bytes(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise Untranslatable("a blob literal with an odd number of digits") from None
