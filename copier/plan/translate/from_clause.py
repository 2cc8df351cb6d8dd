"""FROM: tables, subqueries and joins. SQLite's comma and JOIN bind alike, so every comma becomes CROSS JOIN."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from copier.plan.names import quote
from copier.plan.translate.compare import compare
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.query_value import QueryExpressions
from copier.plan.translate.relation import Output, Relation, World
from copier.plan.translate.scope import lower

Build = Callable[[exp.Expr, World], tuple[str, Sequence[Output]]]

_JOIN_ARGS = frozenset(("this", "side", "kind", "method", "on", "using"))


class FromClause:
    """Builds one FROM clause; `relations` grows as its items are read."""

    def __init__(self, expressions: QueryExpressions, relations: list[Relation], world: World, build: Build) -> None:
        self._expressions = expressions
        self._relations = relations
        self._world = world
        self._build = build

    def sql(self, source: exp.Expr, joins: Sequence[exp.Join]) -> str:
        """Return the clause without the word FROM."""
        shown = self._item(source)
        for join in joins:
            shown += self._join(join)
        return shown

    def _item(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Table):
            return self._table(node)
        if isinstance(node, exp.Subquery):
            return self._subquery(node)
        raise Untranslatable(f"{type(node).__name__.upper()} in FROM")

    def _table(self, node: exp.Table) -> str:
        if not isinstance(node.this, exp.Identifier):
            raise Untranslatable(f"{node.this.name}() in FROM has no counterpart")
        if node.db and lower(node.db) not in ("main", "temp"):
            raise Untranslatable(f"it reads the attached database {node.db}")
        shown, relation = self._world.relation(node.name, node.alias)
        if any(lower(r.name) == lower(relation.name) for r in self._relations):
            raise Untranslatable(f"{relation.name} stands twice in FROM")
        self._relations.append(relation)
        return shown + "".join(self._join(join) for join in node.args.get("joins") or ())

    def _subquery(self, node: exp.Subquery) -> str:
        if isinstance(node.this, exp.Table):
            if node.alias:
                raise Untranslatable("a join in parentheses with an alias")
            return f"({self._item(node.this)})"
        name = node.alias or f"subquery{len(self._relations) + 1}"
        sql, outputs = self._build(node.this, self._world)
        self._relations.append(Relation(name, quote(name), tuple(outputs)))
        shown = f"({sql}) AS {quote(name)}"
        return shown + "".join(self._join(join) for join in node.args.get("joins") or ())

    def _join(self, node: exp.Join) -> str:
        if any(value and key not in _JOIN_ARGS for key, value in node.args.items()):
            raise Untranslatable("a kind of JOIN that is not understood")
        before = len(self._relations)
        item = self._item(node.this)
        added = self._relations[before:]
        side = str(node.args.get("side") or "").upper()
        on = self._on(node, before, added, side)
        word = f"{side} JOIN" if side else "JOIN" if on else "CROSS JOIN"
        if side and not on:
            on = "TRUE"
        return f" {word} {item}" + (f" ON {on}" if on else "")

    def _on(self, node: exp.Join, before: int, added: Sequence[Relation], side: str) -> str:
        condition = node.args.get("on")
        if condition is not None:
            if isinstance(condition, exp.Boolean) and condition.this and not side:
                return ""
            return self._expressions.condition(condition).sql
        names = [i.name for i in node.args.get("using") or ()]
        if str(node.args.get("method") or "").upper() == "NATURAL":
            names = self._common(before, added)
        if names and (side in ("RIGHT", "FULL") or len(added) != 1):
            raise Untranslatable(f"{side or 'nested'} JOIN with USING or NATURAL")
        return " AND ".join(self._equal(name, before, added[0]) for name in names)

    def _common(self, before: int, added: Sequence[Relation]) -> list[str]:
        left = {lower(o.name) for r in self._relations[:before] for o in r.outputs if lower(o.name) not in r.hidden}
        return [o.name for o in added[0].outputs if lower(o.name) in left]

    def _equal(self, name: str, before: int, right: Relation) -> str:
        earlier = [r for r in self._relations[:before] if lower(name) not in r.hidden]
        left = next((value for r in earlier if (value := r.find(name)) is not None), None)
        mine = right.find(name)
        if left is None or mine is None:
            raise Untranslatable(f"USING ({name}) names no column of both sides")
        right.hidden.add(lower(name))
        return compare("=", left, mine, self._expressions.rules).sql
