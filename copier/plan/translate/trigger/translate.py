"""SQLite triggers -> PostgreSQL triggers. One shape has a form of its own: a row's own columns set when it is written.

`AFTER UPDATE ON t BEGIN UPDATE t SET updated_at = .. WHERE id = NEW.id; END` changes the row a second time; PostgreSQL
does it in one go, in a BEFORE trigger that sets NEW.updated_at. All others are translated by `program`.
docs: sqlite.org/lang_createtrigger.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from copier.plan.model import ColumnPlan, TriggerPlan
from copier.plan.names import qualify, quote
from copier.plan.translate.convert import condition
from copier.plan.translate.defaults import Defaults, assigned
from copier.plan.translate.parse import Untranslatable, parse_expression, shallow
from copier.plan.translate.scope import Scope, TableScope, lower
from copier.plan.translate.trigger.actions import Program, read_program
from copier.plan.translate.trigger.facts import NO_FACTS, Facts
from copier.plan.translate.trigger.function import create_function, create_trigger
from copier.plan.translate.trigger.key import own_row
from copier.plan.translate.trigger.program import translate_program
from copier.plan.translate.trigger.rules import refuse_touch_difference
from copier.plan.translate.trigger.text import TriggerText
from copier.plan.translate.value import Rules, Value, column_value

__all__ = ["Untranslatable", "translate_trigger"]

_RULES = Rules(strict=True)


def translate_trigger(sql: str, scope: Scope, *, name: str, facts: Facts = NO_FACTS) -> TriggerPlan:
    """Return the function and trigger, both called `name`, for a whole CREATE TRIGGER. Errors: Untranslatable."""
    with shallow():
        program = read_program(sql)
        if not program.is_touch:
            return translate_program(program, scope, facts, name=name, sql=sql)
        try:
            return _translated(program, scope, name, sql, facts)
        except Untranslatable as error:
            try:
                return translate_program(program, scope, facts, name=name, sql=sql)
            except Untranslatable:
                raise error from None


def _translated(program: Program, scope: Scope, name: str, sql: str, facts: Facts) -> TriggerPlan:
    read = program.read
    table = scope.table(read.table)
    if table is None:
        raise Untranslatable(f"it is on {read.table}, which is not in the target")
    update = program.actions[0].tree
    if any(value and key not in ("this", "expressions", "where") for key, value in update.args.items()):
        raise Untranslatable("a trigger whose UPDATE has more than SET and WHERE")
    guards, body = _body(update, _Row(table, insert=read.event == "INSERT"))
    refuse_touch_difference(program, facts)
    function = qualify(scope.schema, name)
    return TriggerPlan(
        source=read.name,
        table=table.source,
        name=name,
        function=function,
        statements=(
            create_function(function, _lines(guards, body)),
            create_trigger(read, "BEFORE", scope.qualified(table), table, function, name, _when(read, table)),
        ),
        sql=sql,
    )


@dataclass(frozen=True, slots=True)
class _Assignment:
    column: ColumnPlan
    sql: str


def _body(update: exp.Expr, row: _Row) -> tuple[list[str], list[_Assignment]]:
    """Return the conditions under which the row is touched, and what is set."""
    where = update.args.get("where")
    if where is None:
        raise Untranslatable("a trigger that updates every row of its table")
    before = own_row(where.this, row.table, insert=row.insert)
    guards = [f"NEW.{quote(c.target)} IS NOT DISTINCT FROM OLD.{quote(c.target)}" for c in before]
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


def _lines(guards: Sequence[str], body: Sequence[_Assignment]) -> list[str]:
    lines = [f"NEW.{quote(a.column.target)} := {a.sql};" for a in body]
    if guards:
        lines = [f"IF {' AND '.join(guards)} THEN", *(f"  {line}" for line in lines), "END IF;"]
    return [*lines, "RETURN NEW;"]


def _when(read: TriggerText, table: TableScope) -> list[str]:
    if not read.when:
        return []
    row = _Condition(table, insert=read.event == "INSERT")
    return [condition(row.value(parse_expression(read.when)), _RULES).sql]


class _Condition(_Row):
    """The WHEN clause, in which every column has NEW or OLD before it."""

    def column(self, node: exp.Column) -> Value:
        """Return NEW.x or OLD.x."""
        if not node.table and not node.this.args.get("quoted"):
            raise Untranslatable(f"{node.name} in WHEN without NEW or OLD")
        return super().column(node)
