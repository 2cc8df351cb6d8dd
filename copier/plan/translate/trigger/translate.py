"""SQLite triggers -> PostgreSQL triggers, for one shape: a row's own columns set whenever it is written.

`AFTER UPDATE ON t BEGIN UPDATE t SET updated_at = .. WHERE id = NEW.id; END` changes the row a second time; PostgreSQL
does it in one go, in a BEFORE trigger that sets NEW.updated_at. docs: sqlite.org/lang_createtrigger.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from copier.plan.model import ColumnPlan, TriggerPlan
from copier.plan.names import qualify, quote
from copier.plan.translate.convert import condition
from copier.plan.translate.defaults import Defaults, assigned
from copier.plan.translate.parse import Untranslatable, parse_expression, parse_update, shallow
from copier.plan.translate.scope import ROWID_NAMES, Scope, TableScope, lower
from copier.plan.translate.trigger_text import TriggerText, read_trigger
from copier.plan.translate.value import Rules, Value, column_value

__all__ = ["Untranslatable", "translate_trigger"]

_RULES = Rules(strict=True)
_NO_KEY = "a trigger whose UPDATE does not name its own row by its key"


def translate_trigger(sql: str, scope: Scope, *, name: str) -> TriggerPlan:
    """Return the function and trigger, both called `name`, for a whole CREATE TRIGGER. Errors: Untranslatable."""
    with shallow():
        return _translated(read_trigger(sql), scope, name, sql)


def _translated(read: TriggerText, scope: Scope, name: str, sql: str) -> TriggerPlan:
    table = scope.table(read.table)
    if table is None:
        raise Untranslatable(f"it is on {read.table}, which is not in the target")
    update = _touch(read, table)
    row = _Row(table, insert=read.event == "INSERT")
    guards, body = _body(update, row)
    function = qualify(scope.schema, name)
    return TriggerPlan(
        source=read.name,
        table=table.source,
        name=name,
        function=function,
        statements=(
            _function(function, guards, body),
            _trigger(read, scope.qualified(table), table, function, name),
        ),
        sql=sql,
    )


def _touch(read: TriggerText, table: TableScope) -> exp.Update:
    """Return the UPDATE of a trigger of the one known shape."""
    shape = f"{read.timing} {read.event}"
    if shape not in ("AFTER UPDATE", "AFTER INSERT"):
        raise Untranslatable(f"a trigger that runs {shape}; only AFTER UPDATE and AFTER INSERT are translated")
    if len(read.body) != 1:
        raise Untranslatable(f"a trigger of {len(read.body)} statements; only one UPDATE of its own row is translated")
    words = read.body[0].split(None, 3)
    if words[0].upper() != "UPDATE":
        raise Untranslatable(f"a trigger that does {words[0].upper()}; only an UPDATE of its own row is translated")
    update = parse_update(read.body[0])
    if any(value and key not in ("this", "expressions", "where") for key, value in update.args.items()):
        raise Untranslatable("a trigger whose UPDATE has more than SET and WHERE")
    target = update.this
    if not isinstance(target, exp.Table) or target.alias or lower(target.name) != lower(table.source):
        raise Untranslatable(f"a trigger that updates {target.name}, not its own table")
    return update


@dataclass(frozen=True, slots=True)
class _Assignment:
    column: ColumnPlan
    sql: str


def _body(update: exp.Update, row: _Row) -> tuple[list[str], list[_Assignment]]:
    """Return the conditions under which the row is touched, and what is set."""
    where = update.args.get("where")
    if where is None:
        raise Untranslatable("a trigger that updates every row of its table")
    guards = _own_row(where.this, row)
    assignments: list[_Assignment] = []
    for item in update.expressions:
        if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
            raise Untranslatable("a trigger whose SET is not understood")
        column = row.table.column(item.this.name)
        if column is None or column.generated is not None:
            raise Untranslatable(f"a trigger that sets {item.this.name}")
        used = {lower(c.name) for c in item.expression.find_all(exp.Column)}
        if used & {lower(a.column.source) for a in assignments}:
            raise Untranslatable("a trigger that computes one column from another that it sets")
        assignments.append(_Assignment(column, assigned(row.value(item.expression), column)))
    return guards, assignments


def _own_row(where: exp.Expr, row: _Row) -> list[str]:
    """Check that WHERE names the trigger's own row; return what must hold beside."""
    named: set[str] = set()
    guards: list[str] = []
    for term in where.flatten() if isinstance(where, exp.And) else [where.unnest()]:
        mine, given = _columns(term)
        if lower(mine.table) not in ("", lower(row.table.source)) or lower(given.table) not in ("new", "old"):
            raise Untranslatable(_NO_KEY)
        if _key_name(mine.name, row.table) != _key_name(given.name, row.table):
            raise Untranslatable("a trigger whose UPDATE names another row than its own")
        named.add(_key_name(mine.name, row.table))
        column = row.table.column(mine.name)
        if lower(given.table) == "old" and column is not None:
            if row.insert:
                raise Untranslatable("OLD in an INSERT trigger")
            guards.append(f"NEW.{quote(column.target)} IS NOT DISTINCT FROM OLD.{quote(column.target)}")
    if "rowid" not in named and not (row.table.key and {lower(k) for k in row.table.key} <= named):
        raise Untranslatable(_NO_KEY)
    return guards


def _columns(term: exp.Expr) -> tuple[exp.Column, exp.Column]:
    """Return the two columns of `x = NEW.x`, that of NEW or OLD last."""
    if isinstance(term, exp.EQ):
        left, right = term.left.unnest(), term.right.unnest()
        if isinstance(left, exp.Column) and isinstance(right, exp.Column):
            return (right, left) if lower(left.table) in ("new", "old") else (left, right)
    raise Untranslatable(_NO_KEY)


def _key_name(name: str, table: TableScope) -> str:
    """Return a column's name in lower case; `rowid` for whatever is the rowid."""
    found = table.columns.get(lower(name))
    if found is None and lower(name) in ROWID_NAMES:
        return "rowid"
    return "rowid" if found is not None and found.identity else lower(name)


class _Row(Defaults):
    """Expressions over the row a trigger runs for."""

    def __init__(self, table: TableScope, *, insert: bool) -> None:
        super().__init__(_RULES)
        self.table = table
        self.insert = insert

    def column(self, node: exp.Column) -> Value:
        """Return NEW.x or OLD.x; inside the UPDATE a bare column is the row as just written."""
        row = lower(node.table) or "new"
        if row == lower(self.table.source):
            row = "new"
        if row not in ("new", "old") or (row == "old" and self.insert):
            raise Untranslatable(f"{node.table}.{node.name} is not known in a trigger")
        found = self.table.column(node.name)
        if found is not None and found.generated is None:
            value = column_value(found, f"{row.upper()}.")
            return replace(value, not_null=False)
        if found is None and not node.table and node.this.args.get("quoted"):
            return super().column(node)
        raise Untranslatable(f"{node.name} cannot be read in a BEFORE trigger")


def _function(function: str, guards: Sequence[str], body: Sequence[_Assignment]) -> str:
    lines = [f"NEW.{quote(a.column.target)} := {a.sql};" for a in body]
    if guards:
        inner = "".join(f"\n    {line}" for line in lines)
        lines = [f"IF {' AND '.join(guards)} THEN{inner}\n  END IF;"]
    text = "\nBEGIN\n" + "".join(f"  {line}\n" for line in lines) + "  RETURN NEW;\nEND\n"
    tag = "$sqlite2pg$"
    while tag[:-1] in text:
        tag = tag[:-1] + "_$"
    head = f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS"
    return f"{head} {tag}{text}{tag}"


def _trigger(read: TriggerText, table: str, scope: TableScope, function: str, name: str) -> str:
    event = read.event
    if read.columns:
        columns = [scope.column(c) for c in read.columns]
        if not all(columns):
            raise Untranslatable("a trigger on a column that its table does not have")
        event += " OF " + ", ".join(quote(c.target) for c in columns if c is not None)
    shown = f"CREATE TRIGGER {quote(name)} BEFORE {event} ON {table} FOR EACH ROW"
    if read.when:
        row = _Condition(scope, insert=read.event == "INSERT")
        shown += f" WHEN ({condition(row.value(parse_expression(read.when)), _RULES).sql})"
    return f"{shown} EXECUTE FUNCTION {function}()"


class _Condition(_Row):
    """The WHEN clause, in which every column has NEW or OLD before it."""

    def column(self, node: exp.Column) -> Value:
        """Return NEW.x or OLD.x."""
        if not node.table and not node.this.args.get("quoted"):
            raise Untranslatable(f"{node.name} in WHEN without NEW or OLD")
        return super().column(node)
