"""SELECT RAISE(..) in a trigger's body: the only SELECT that does something there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from copier.plan.names import literal
from copier.plan.translate.compare import compare
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.trigger.actions import Action
from copier.plan.translate.trigger.rows import RULES, BodyExpressions, Rows

_NO_RAISE = "a trigger with a SELECT that is not understood"


@dataclass(frozen=True, slots=True)
class Guard:
    """IF .. THEN .. of plpgsql: conditions, tried in order, with what is to be done at the first that holds."""

    branches: tuple[tuple[str, str], ...]


def raising(action: Action, rows: Rows, *, before: bool) -> Guard:
    """Return `SELECT RAISE(..) [FROM ..] [WHERE ..]` or `SELECT CASE .. RAISE(..) .. END`. Errors: Untranslatable."""
    tree = action.tree
    extra = {key for key, value in tree.args.items() if value} - {"expressions", "where", "from_", "joins"}
    if extra or len(tree.expressions) != 1:
        raise Untranslatable(_NO_RAISE)
    told = tree.expressions[0].unalias().unnest()
    expressions = rows.over(None, action.text)
    if tree.args.get("from_") is not None:
        return _of_rows(tree, told, expressions, rows, before)
    where = tree.args.get("where")
    limit = "" if where is None else expressions.condition(where.this).operand
    if isinstance(told, exp.Case):
        branches = _branches(told, expressions, before)
        return Guard(tuple((f"{limit} AND ({test})" if limit else test, does) for test, does in branches))
    return Guard(((limit or "TRUE", _raise(told, before)),))


def _of_rows(tree: exp.Expr, told: exp.Expr, expressions: BodyExpressions, rows: Rows, before: bool) -> Guard:
    """Return RAISE for a query that has rows."""
    does = _raise(told, before)
    query = tree.copy()
    query.set("expressions", [exp.Literal.number(1)])
    sql, _ = expressions.queries.inside(query, rows.frame)  # type: ignore[arg-type]
    return Guard(((f"EXISTS ({sql})", does),))


def _branches(case: exp.Case, expressions: BodyExpressions, before: bool) -> Sequence[tuple[str, str]]:
    subject = expressions.value(case.this) if case.this is not None else None
    found = []
    for branch in case.args["ifs"]:
        if subject is None:
            test = expressions.condition(branch.this).sql
        else:
            test = compare("=", subject, expressions.value(branch.this), RULES).sql
        found.append((test, _done(branch.args["true"], expressions, before)))
    default = case.args.get("default")
    if default is not None:
        found.append(("TRUE", _done(default, expressions, before)))
    if all(does == "NULL;" for _, does in found):
        raise Untranslatable(_NO_RAISE)
    return found


def _done(node: exp.Expr, expressions: BodyExpressions, before: bool) -> str:
    """Return what one result of the CASE does; a value is looked at by nobody."""
    if _is_raise(node.unnest()):
        return _raise(node.unnest(), before)
    expressions.value(node)
    return "NULL;"


def _is_raise(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.name).upper() == "RAISE"


def _raise(node: exp.Expr, before: bool) -> str:
    if not _is_raise(node):
        raise Untranslatable(_NO_RAISE)
    kind = node.expressions[0].name.upper() if node.expressions else ""
    if kind == "IGNORE":
        if not before:
            raise Untranslatable("RAISE(IGNORE) after the row is written")
        return "RETURN NULL;"
    message = node.expressions[1] if len(node.expressions) == 2 else None
    if not isinstance(message, exp.Literal) or not message.is_string:
        raise Untranslatable("RAISE() whose message is not constant")
    # The class of a constraint violation, which is what SQLite's drivers report here.
    return f"RAISE EXCEPTION USING MESSAGE = {literal(str(message.this))}, ERRCODE = 'integrity_constraint_violation';"
