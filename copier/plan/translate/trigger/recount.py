"""Counts taken anew: `UPDATE p SET n = (SELECT count(*) FROM t WHERE t.p = NEW.p) WHERE id = NEW.p` in a trigger on t.

Of all triggers of a statement, the last one about a row of p decides what that row gets. By then no more rows of t that
belong to it change, whether the triggers run between the rows of the statement or after them. This needs that every row
which changes has its trigger, that the query looks at the rows of one key only, and that nothing else looks at p.
"""

from __future__ import annotations

from sqlglot import exp

from copier.plan.translate.scope import TableScope, lower
from copier.plan.translate.trigger.actions import Action, Program
from copier.plan.translate.trigger.key import key_name


def is_recount(action: Action, program: Program, table: TableScope) -> bool:
    """Whether a statement that reads the trigger's own table takes something anew for one row of another table."""
    tree = action.tree
    if not isinstance(tree, exp.Update) or program.when is not None:
        return False
    if program.read.event == "UPDATE" and not _both_sides(program):
        return False
    pinned = _pinned(tree.args.get("where"), action.table)
    if pinned is None or any(action.table in one.reads for one in program.actions):
        return False
    if sum(one.table == action.table for one in program.actions) > (2 if program.read.event == "UPDATE" else 1):
        return False
    return all(_anew(item.expression, action, pinned, table) for item in tree.expressions)


def _both_sides(program: Program) -> bool:
    """Whether the body of an UPDATE trigger is one statement given twice: for the row of OLD and for that of NEW."""
    if len(program.actions) != 2:
        return False
    rows = [{lower(c.table) for c in action.tree.find_all(exp.Column)} & {"new", "old"} for action in program.actions]
    return sorted(map(sorted, rows)) == [["new"], ["old"]] and len({_blurred(a.tree) for a in program.actions}) == 1


def _blurred(tree: exp.Expr) -> str:
    """Return a statement with OLD written as NEW."""
    copy = tree.copy()
    for column in copy.find_all(exp.Column):
        if lower(column.table) in ("new", "old"):
            column.set("table", exp.to_identifier("new"))
    return copy.sql(dialect="sqlite", normalize=True)


def _pinned(where: exp.Expr | None, target: str) -> tuple[exp.Column, exp.Column] | None:
    """Return (column of the target, column of NEW or OLD) of a WHERE that is one equality."""
    pair = _equality(where.this) if where is not None else None
    if pair is None:
        return None
    for mine, given in (pair, pair[::-1]):
        if lower(given.table) in ("new", "old") and lower(mine.table) in ("", target):
            return mine, given
    return None


def _equality(node: exp.Expr) -> tuple[exp.Column, exp.Column] | None:
    node = node.unnest()
    if not isinstance(node, exp.EQ):
        return None
    left, right = node.left.unnest(), node.right.unnest()
    return (left, right) if isinstance(left, exp.Column) and isinstance(right, exp.Column) else None


def _anew(value: exp.Expr, action: Action, pinned: tuple[exp.Column, exp.Column], table: TableScope) -> bool:
    """Whether what is set comes of queries of one key, and of nothing the row had before."""
    inside: set[int] = set()
    for query in value.find_all(exp.Select):
        if not _of_one_key(query, action, pinned, table):
            return False
        inside |= {id(column) for column in query.find_all(exp.Column)}
    outside = [column for column in value.find_all(exp.Column) if id(column) not in inside]
    return all(lower(column.table) in ("new", "old") for column in outside)


def _of_one_key(query: exp.Select, action: Action, pinned: tuple[exp.Column, exp.Column], table: TableScope) -> bool:
    """Whether a query is over the trigger's table alone, for the key of the row that is set."""
    source, where = query.args.get("from_"), query.args.get("where")
    if source is None or where is None or query.args.get("joins") or len(list(query.find_all(exp.Table))) != 1:
        return False
    if not isinstance(source.this, exp.Table) or lower(source.this.name) != lower(table.source):
        return False
    alias = lower(source.this.alias) or lower(table.source)
    mine, given = pinned
    for term in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        pair = _equality(term)
        for one, other in (pair, pair[::-1]) if pair is not None else ():
            is_key = lower(one.table) in ("", alias) and key_name(one.name, table) == key_name(given.name, table)
            same = lower(other.table) == lower(given.table) and lower(other.name) == lower(given.name)
            outer = lower(other.table) == action.table and lower(other.name) == lower(mine.name)
            if is_key and (same or outer):
                return True
    return False
