"""Queries: SELECT, compound SELECT and common table expressions, written anew for PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from copier.plan.names import fold, quote, shorten
from copier.plan.translate.built import Built, agree, rename, widen
from copier.plan.translate.compare import folded
from copier.plan.translate.convert import as_output
from copier.plan.translate.from_clause import FromClause
from copier.plan.translate.order import ordered
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.query_value import QueryExpressions, Subqueries
from copier.plan.translate.relation import Frame, Output, World
from copier.plan.translate.scope import Scope, lower
from copier.plan.translate.value import Rules, Value, refuse_merging

_RULES = Rules(strict=False)
_SELECT_ARGS = frozenset(
    ("with", "expressions", "from", "joins", "where", "group", "having", "order", "limit", "offset", "distinct")
) | {"windows", "kind"}
_COMPOUND_ARGS = frozenset(("with", "this", "expression", "distinct", "order", "limit", "offset"))
_OPERATORS: dict[type[exp.Expr], str] = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}


class Queries:
    """Translates the queries of one statement; `text` is that statement, for the names of unnamed columns."""

    def __init__(self, scope: Scope, text: str, rules: Rules = _RULES) -> None:
        self._scope = scope
        self._text = text
        self._rules = rules

    def subqueries(self) -> Subqueries:
        """Return what translates the queries inside a statement's expressions."""
        return _Nested(self, World(self._scope))

    def inside(self, node: exp.Query, outer: Frame) -> tuple[str, list[Output]]:
        """Return a query that sees the names of `outer`, and its columns."""
        return self._query(node, World(self._scope), outer)

    def top(self, node: exp.Query, names: Sequence[str] = ()) -> tuple[str, list[Output]]:
        """Return a whole query and its columns, called `names` where given."""
        return self._query(node, World(self._scope), None, names=names)

    def _query(
        self, node: exp.Expr, world: World, outer: Frame | None, *, one_row: bool = False, names: Sequence[str] = ()
    ) -> tuple[str, list[Output]]:
        while isinstance(node, exp.Subquery) and not node.alias and isinstance(node.this, exp.Query):
            node = node.this
        prefix, world = self._with(node, world, outer)
        built = self._build(node, world, outer)
        rename(built, names or None, self._scope)
        sql = ordered(node, built, QueryExpressions(built.frame, _Nested(self, world), self._rules))
        if one_row and not node.args.get("limit") and not _is_single(node):
            sql += " LIMIT 1"
        return prefix + sql, built.outputs

    def _with(self, node: exp.Expr, world: World, outer: Frame | None) -> tuple[str, World]:
        clause = _arg(node, "with")
        if clause is None:
            return "", world
        parts: list[str] = []
        recursive = False
        for cte in clause.expressions:
            name, names = cte.alias, [c.name for c in cte.args["alias"].args.get("columns") or ()]
            if _reads(cte.this, name):
                recursive = True
                sql, outputs = self._recursive(cte.this, name, names, world, outer)
            else:
                sql, outputs = self._query(cte.this, world, outer, names=names)
            hint = {None: "", True: "MATERIALIZED ", False: "NOT MATERIALIZED "}[cte.args.get("materialized")]
            parts.append(f"{quote(name)} AS {hint}({sql})")
            world = world.adding(name, outputs)
        return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(parts)} ", world

    def _recursive(
        self, node: exp.Expr, name: str, names: Sequence[str], world: World, outer: Frame | None
    ) -> tuple[str, list[Output]]:
        if not isinstance(node, exp.Union) or any(_arg(node, a) for a in ("order", "limit", "offset")):
            raise Untranslatable(f"the recursive query {name} is no plain UNION")
        anchor = self._build(node.this, world, outer)
        rename(anchor, names or None, self._scope)
        widen(anchor, [o.value.kind for o in anchor.outputs])
        step = self._build(node.expression, world.adding(name, anchor.outputs), outer)
        if len(step.outputs) != len(anchor.outputs):
            raise Untranslatable(f"the parts of {name} have different numbers of columns")
        for first, then in zip(anchor.outputs, step.outputs, strict=True):
            if then.value.kind not in (first.value.kind, "null"):
                raise Untranslatable(f"column {first.name} of the recursive query {name} changes its type")
        widen(step, [o.value.kind for o in anchor.outputs])
        word = "UNION" if node.args.get("distinct") else "UNION ALL"
        return f"{anchor.sql()} {word} {step.sql()}", anchor.outputs

    def _build(self, node: exp.Expr, world: World, outer: Frame | None) -> Built:
        while isinstance(node, exp.Subquery) and not node.alias and isinstance(node.this, exp.Query):
            node = node.this
        if isinstance(node, exp.Select):
            return self._select(node, world, outer)
        operator = _OPERATORS.get(type(node))
        if operator is None:
            raise Untranslatable(f"{type(node).__name__.upper()} as a query")
        _check_args(node, _COMPOUND_ARGS)
        left = self._build(node.this, world, outer)
        right = self._build(node.expression, world, outer)
        if node.args.get("distinct"):
            refuse_merging(*(output.value for output in (*left.outputs, *right.outputs)))
        word = operator if node.args.get("distinct") else f"{operator} ALL"
        built = Built(left.outputs, compound=True, left=left, right=right, operator=word)
        agree(built)
        return built

    def _select(self, node: exp.Select, world: World, outer: Frame | None) -> Built:
        _check_args(node, _SELECT_ARGS)
        if not node.expressions:
            raise Untranslatable("a SELECT without columns")
        aliases = {lower(p.alias): p.this for p in node.expressions if isinstance(p, exp.Alias)}
        frame = Frame(aliases=aliases, outer=outer)
        expressions = QueryExpressions(frame, _Nested(self, world), self._rules)
        body = ""
        source = _arg(node, "from")
        if source is not None:
            clause = FromClause(expressions, frame.relations, world, lambda n, w: self._query(n, w, outer))
            body += " FROM " + clause.sql(source.this, node.args.get("joins") or ())
        outputs = [o for p in node.expressions for o in self._outputs(p, expressions, frame)]
        body += _clauses(node, expressions, outputs)
        if node.args.get("distinct"):
            refuse_merging(*(output.value for output in outputs))
        return Built(outputs, body, bool(node.args.get("distinct")), frame=frame)

    def _outputs(self, node: exp.Expr, expressions: QueryExpressions, frame: Frame) -> list[Output]:
        """Return the result columns of one projection; `*` gives many."""
        if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            return _starred(node.table if isinstance(node, exp.Column) else "", frame)
        if isinstance(node, exp.Alias):
            return [self._output(as_output(expressions.value(node.this)), node.alias, "")]
        value = as_output(expressions.value(node))
        bare = node.this if isinstance(node, exp.Collate) else node
        if isinstance(bare.unnest(), exp.Column) and value.column:
            target = value.sql.rpartition('."')[2].removesuffix('"').replace('""', '"')
            return [self._output(value, value.column, target)]
        start, end = node.meta.get("span", (0, 0))
        return [self._output(value, self._text[start:end].strip() or "column", "")]

    def _output(self, value: Value, name: str, target: str) -> Output:
        return Output(name, target or shorten(fold(name, self._scope.names)), value)

    def nested_in(self, node: exp.Expr, world: World, outer: Frame, one_row: bool) -> tuple[str, Sequence[Output]]:
        """Return a query inside an expression."""
        return self._query(node, world, outer, one_row=one_row)


class _Nested:
    """Subqueries of the expressions of one SELECT."""

    def __init__(self, queries: Queries, world: World) -> None:
        self._queries = queries
        self._world = world

    def nested(self, node: exp.Expr, outer: Frame, *, one_row: bool = False) -> tuple[str, Sequence[Output]]:
        return self._queries.nested_in(node, self._world, outer, one_row)


def _arg(node: exp.Expr, name: str) -> exp.Expr | None:
    found: exp.Expr | None = node.args.get(name) or node.args.get(f"{name}_")
    return found


def _check_args(node: exp.Expr, known: frozenset[str]) -> None:
    for name, value in node.args.items():
        if value and name.rstrip("_") not in known:
            raise Untranslatable(f"a query with {name.rstrip('_').upper()} is not understood")


def _reads(node: exp.Expr, name: str) -> bool:
    return any(lower(table.name) == lower(name) for table in node.find_all(exp.Table))


def _is_single(node: exp.Expr) -> bool:
    """Whether a SELECT gives one row at most, being a plain aggregate or without FROM."""
    if not isinstance(node, exp.Select) or node.args.get("group"):
        return False
    names = ("count", "sum", "total", "avg", "group_concat", "min", "max")
    top = [p.unalias().unnest() for p in node.expressions]
    plain = all(isinstance(p, exp.Anonymous) and str(p.name).lower() in names and len(p.expressions) < 2 for p in top)
    return plain or _arg(node, "from") is None


def _starred(table: str, frame: Frame) -> list[Output]:
    found = [
        replace(output, value=output.seen_as(relation.qualifier))
        for relation in frame.relations
        if not table or lower(relation.name) == lower(table)
        for output in relation.outputs
        if table or lower(output.name) not in relation.hidden
    ]
    if not found:
        raise Untranslatable(f"{table}.* names no table here" if table else "* without FROM")
    return found


def _clauses(node: exp.Select, expressions: QueryExpressions, outputs: Sequence[Output]) -> str:
    body = ""
    if node.args.get("where") is not None:
        body += " WHERE " + expressions.condition(node.args["where"].this).sql
    group = node.args.get("group")
    if group is not None:
        body += " GROUP BY " + ", ".join(_grouped(term, expressions, outputs) for term in group.expressions)
    if node.args.get("having") is not None:
        body += " HAVING " + expressions.condition(node.args["having"].this).sql
    windows = node.args.get("windows") or ()
    if windows:
        shown = (f"{quote(w.this.name)} AS ({expressions.window(w)})" for w in windows)
        body += " WINDOW " + ", ".join(shown)
    return body


def _grouped(term: exp.Expr, expressions: QueryExpressions, outputs: Sequence[Output]) -> str:
    if isinstance(term, exp.Literal) and not term.is_string:
        position = int(str(term.this)) if str(term.this).isdigit() else 0
        if not 1 <= position <= len(outputs):
            raise Untranslatable(f"GROUP BY {term.this} names no column")
        refuse_merging(outputs[position - 1].value)
        return str(position)
    value = expressions.value(term)
    refuse_merging(value)
    return folded(value, _RULES) if value.nocase and value.kind == "text" else value.operand
