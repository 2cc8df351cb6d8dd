"""Which row a trigger's UPDATE is about: its own, when WHERE names the whole key by NEW or OLD."""

from __future__ import annotations

from sqlglot import exp

from copier.plan.model import ColumnPlan
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.scope import ROWID_NAMES, TableScope, lower

_NO_KEY = "a trigger whose UPDATE does not name its own row by its key"


def own_row(where: exp.Expr, table: TableScope, *, insert: bool) -> list[ColumnPlan]:
    """Check that WHERE names the row the trigger runs for; return the columns it compares with OLD.

    Errors: Untranslatable when it may be about another row, or about several.
    """
    named: set[str] = set()
    before: list[ColumnPlan] = []
    for term in where.flatten() if isinstance(where, exp.And) else [where.unnest()]:
        mine, given = _columns(term)
        if lower(mine.table) not in ("", lower(table.source)) or lower(given.table) not in ("new", "old"):
            raise Untranslatable(_NO_KEY)
        if key_name(mine.name, table) != key_name(given.name, table):
            raise Untranslatable("a trigger whose UPDATE names another row than its own")
        named.add(key_name(mine.name, table))
        column = table.column(mine.name)
        if lower(given.table) == "old" and column is not None:
            if insert:
                raise Untranslatable("OLD in an INSERT trigger")
            before.append(column)
    if "rowid" not in named and not (table.key and {lower(k) for k in table.key} <= named):
        raise Untranslatable(_NO_KEY)
    return before


def _columns(term: exp.Expr) -> tuple[exp.Column, exp.Column]:
    """Return the two columns of `x = NEW.x`, that of NEW or OLD last."""
    if isinstance(term, exp.EQ):
        left, right = term.left.unnest(), term.right.unnest()
        if isinstance(left, exp.Column) and isinstance(right, exp.Column):
            return (right, left) if lower(left.table) in ("new", "old") else (left, right)
    raise Untranslatable(_NO_KEY)


def key_name(name: str, table: TableScope) -> str:
    """Return a column's name in lower case; `rowid` for whatever is the rowid."""
    found = table.columns.get(lower(name))
    if found is None and lower(name) in ROWID_NAMES:
        return "rowid"
    return "rowid" if found is not None and found.identity else lower(name)
