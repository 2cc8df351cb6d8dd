"""NEW and OLD, and the expressions of a trigger's body, in which they are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlglot import exp

from copier.plan.model import ColumnPlan
from copier.plan.names import quote
from copier.plan.translate.defaults import Defaults
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.query_value import QueryExpressions
from copier.plan.translate.relation import Frame, Relation, rowid_output, table_outputs
from copier.plan.translate.scope import ROWID_NAMES, Scope, TableScope, lower
from copier.plan.translate.select import Queries
from copier.plan.translate.trigger.text import TriggerText
from copier.plan.translate.value import Rules, Value, column_value

RULES = Rules(strict=True)


@dataclass(slots=True)
class Row(Relation):
    """NEW or OLD: known by its name only, never by a bare column."""

    table: TableScope | None = None
    stored: bool = True
    """Its constraints have been checked, and its generated columns computed."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Columns (lower case) of which nothing can be said -> why."""

    def find(self, name: str) -> Value | None:
        """Return the column SQLite finds under `name`."""
        column = self.table.column(name) if self.table is not None else None
        if column is None:
            return None
        if lower(column.source) in self.unknown:
            raise Untranslatable(self.unknown[lower(column.source)])
        value = column_value(column, f"{self.qualifier}.")
        return value if self.stored else replace(value, not_null=False)


@dataclass(frozen=True, slots=True)
class Rows:
    """The frame of a trigger's rows. `shown` is how PostgreSQL's SQL names NEW and OLD."""

    frame: Frame
    scope: Scope
    table: TableScope

    @classmethod
    def of(cls, read: TriggerText, table: TableScope, scope: Scope, *, trial: bool = False) -> Rows:
        """Return NEW and OLD as the event has them; as a row of NULLs each for a trial outside the function."""
        null = f"(NULL::{scope.qualified(table)})"
        before = read.timing == "BEFORE"
        relations: list[Relation] = []
        if read.event != "DELETE":
            unknown = _unknown(table, read.event) if before else {}
            relations.append(_row("new", null if trial else "NEW", table, not before, unknown))
        if read.event != "INSERT":
            relations.append(_row("old", null if trial else "OLD", table, stored=read.timing != "INSTEAD OF"))
        return cls(Frame(relations), scope, table)

    def over(self, table: TableScope | None, text: str, *, excluded: bool = False) -> BodyExpressions:
        """Return the expressions of one statement, which may be about the rows of a table, and of those refused."""
        relations = []
        if table is not None:
            outputs = table_outputs(table)
            relations.append(Relation(table.source, quote(table.target), outputs, rowid_output(table)))
            if excluded:  # a bare name never means its columns
                relations.append(Relation("excluded", "excluded", outputs, hidden={*table.columns, *ROWID_NAMES}))
        return BodyExpressions(Frame(relations, outer=self.frame), Queries(self.scope, text, RULES), self, table)


def _row(
    name: str, shown: str, table: TableScope, stored: bool = True, unknown: Mapping[str, str] | None = None
) -> Row:
    bare = {*table.columns, *ROWID_NAMES}
    return Row(name, shown, table_outputs(table), hidden=bare, table=table, stored=stored, unknown=unknown or {})


def _unknown(table: TableScope, event: str) -> dict[str, str]:
    """Return what NEW does not have yet in a BEFORE trigger."""
    found = {}
    for key, column in table.columns.items():
        if column.generated is not None:
            found[key] = f"NEW.{column.source} is computed after a BEFORE trigger"
        elif column.identity and event == "INSERT":
            found[key] = f"NEW.{column.source} in a BEFORE INSERT trigger, where SQLite may not know it yet"
    return found


class BodyExpressions(QueryExpressions, Defaults):
    """Expressions of a body: those of queries and, as in a default, the present time and random values."""

    def __init__(self, frame: Frame, queries: Queries, rows: Rows, table: TableScope | None) -> None:
        super().__init__(frame, queries.subqueries(), RULES)
        self.queries = queries
        self._rows = rows
        self._own = table

    def plan_of(self, node: exp.Column) -> ColumnPlan | None:
        """Return the plan of a column outside subqueries."""
        table = self._rows.table if lower(node.table) in ("new", "old") else self._own
        return table.column(node.name) if table is not None else None
