"""INSERT, UPDATE and DELETE in a trigger's body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from copier.plan.model import ColumnPlan
from copier.plan.names import quote
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.scope import TableScope, lower
from copier.plan.translate.trigger.actions import Action, set_columns
from copier.plan.translate.trigger.facts import Facts
from copier.plan.translate.trigger.rows import BodyExpressions, Rows
from copier.plan.translate.trigger.store import stored
from copier.plan.translate.value import Value

_AS_ALWAYS = ("", "ABORT", "FAIL", "ROLLBACK")
"""Conflict clauses that end in an error, as PostgreSQL always does."""


_VARIABLES = ("new", "old", "found")


class Writes:
    """Translates the statements of one trigger that change rows."""

    def __init__(self, rows: Rows, facts: Facts) -> None:
        self._rows = rows
        self._facts = facts

    def statements(self, action: Action) -> list[str]:
        """Return one statement as PostgreSQL's, each ready to run. Errors: Untranslatable."""
        table = self._rows.scope.table(action.table)
        if table is None:
            raise self._facts.missing(action.table, "writes")
        self._facts.refuse_write(table)
        if table.target in ("new", "old"):
            raise Untranslatable(f"a table called {table.target}")
        if isinstance(action.tree, exp.Insert):
            return _Insert(table, self._rows, self._facts, action.text).statements(action.tree)
        expressions = self._rows.over(table, action.text)
        where = action.tree.args.get("where")
        shown = "" if where is None else f" WHERE {expressions.condition(where.this).sql}"
        full = self._rows.scope.qualified(table)
        if isinstance(action.tree, exp.Delete):
            _only(action.tree, "this", "where")
            return [f"DELETE FROM {full}{shown}"]
        _only(action.tree, "this", "expressions", "where")
        update = f"UPDATE {full} SET {_assignments(action.tree.expressions, table, expressions)}{shown}"
        if not any(item.find(exp.Select) for item in action.tree.expressions):
            return [update]
        # SQLite has one writer at a time. Two here would each compute without the other's rows; so the second waits
        # at the lock, and its UPDATE, a statement of its own, sees what the first has committed.
        return [f"SELECT 1 FROM {full}{shown} FOR NO KEY UPDATE", update]


def _only(tree: exp.Expr, *known: str) -> None:
    extra = [key for key, value in tree.args.items() if value and key not in known]
    if extra:
        raise Untranslatable(f"a trigger whose {type(tree).__name__.upper()} has {extra[0].strip('_').upper()}")


def _assignments(items: Sequence[exp.Expr], table: TableScope, expressions: BodyExpressions) -> str:
    names = set_columns(items)
    if len(set(names)) != len(names):
        raise Untranslatable("a trigger that sets one column twice")
    shown = []
    for name, item in zip(names, items, strict=True):
        column = table.columns.get(name)
        if column is None:
            raise Untranslatable(f"a trigger that sets {name}, which is no column of {table.source}")
        value = expressions.value(item.expression)
        shown.append(f"{quote(column.target)} = {stored(value, item.expression, column, expressions)}")
    return ", ".join(shown)


@dataclass(frozen=True, slots=True)
class _Given:
    """What an INSERT puts into one column."""

    column: ColumnPlan
    value: Value
    sql: str


class _Insert:
    """One INSERT."""

    def __init__(self, table: TableScope, rows: Rows, facts: Facts, text: str) -> None:
        self._table = table
        self._facts = facts
        self._rows = rows
        self._text = text
        self._full = rows.scope.qualified(table)
        self._expressions = rows.over(None, text)

    def statements(self, tree: exp.Insert) -> list[str]:
        _only(tree, "this", "expression", "alternative", "conflict", "default")
        policy = str(tree.args.get("alternative") or "").upper()
        if policy == "REPLACE":
            raise Untranslatable("INSERT OR REPLACE, which deletes rows that are in its way")
        ignore = policy == "IGNORE"
        if policy not in (*_AS_ALWAYS, "IGNORE") or (ignore and tree.args.get("conflict") is not None):
            raise Untranslatable(f"INSERT OR {policy}")
        columns = self._columns(tree)
        if ignore:
            self._refuse_checks(columns)
        conflict = " ON CONFLICT DO NOTHING" if ignore else self._conflict(tree)
        source = tree.args.get("expression")
        if isinstance(source, exp.Values):
            return [self._row(columns, row, ignore) + conflict for row in source.expressions]
        if not isinstance(source, exp.Query):
            raise Untranslatable("an INSERT without VALUES or SELECT")
        if "DO UPDATE" in conflict:
            raise Untranslatable("an INSERT .. SELECT with DO UPDATE, which PostgreSQL lets meet a row only once")
        return [self._selected(columns, source, ignore) + conflict]

    def _columns(self, tree: exp.Insert) -> list[ColumnPlan]:
        names = [i.name for i in tree.this.expressions] if isinstance(tree.this, exp.Schema) else None
        if names is None:
            return [c for c in self._table.columns.values() if c.generated is None]
        found = [self._table.column(name) for name in names]
        columns = [c for c in found if c is not None]
        if len(columns) != len(names) or len({c.source for c in columns}) != len(names):
            raise Untranslatable(f"an INSERT whose columns {self._table.source} does not have")
        return columns

    def _row(self, columns: list[ColumnPlan], row: exp.Expr, ignore: bool) -> str:
        nodes = row.expressions if isinstance(row, exp.Tuple) else [row.unnest()]
        if len(nodes) != len(columns):
            raise Untranslatable("an INSERT with another number of values than columns")
        pairs = zip(columns, nodes, strict=True)
        given = self._given([(c, self._expressions.value(node), node) for c, node in pairs])
        shown = ", ".join(one.sql for one in given)
        if not ignore:
            return f"{self._head(given)} VALUES ({shown})"
        return f"{self._head(given)} SELECT {shown}{_filled(given)}"

    def _selected(self, columns: list[ColumnPlan], source: exp.Query, ignore: bool) -> str:
        sql, outputs = self._expressions.queries.inside(source, self._rows.frame)
        if len(outputs) != len(columns):
            raise Untranslatable("an INSERT with another number of values than columns")
        values = [o.value if o.value.is_constant else o.seen_as('"q"') for o in outputs]
        given = self._given([(c, value, None) for c, value in zip(columns, values, strict=True)])
        shown = ", ".join(one.sql for one in given)
        # WHERE also keeps PostgreSQL from reading ON CONFLICT as part of the query.
        return f'{self._head(given)} SELECT {shown} FROM ({sql}) AS "q"{_filled(given) if ignore else ""}'

    def _given(self, items: Sequence[tuple[ColumnPlan, Value, exp.Expr | None]]) -> list[_Given]:
        """Return what is given, without a NULL for the rowid, which in SQLite asks for the next one."""
        found = []
        for column, value, node in items:
            if column.identity and value.is_null:
                continue
            if column.identity and not value.not_null:
                raise Untranslatable(f"a value for {self._table.source}.{column.source} that may be NULL")
            found.append(_Given(column, value, stored(value, node, column, self._expressions)))
        if not found:
            raise Untranslatable("an INSERT without values")
        self._facts.refuse_omission(self._table, frozenset(lower(one.column.source) for one in found))
        return found

    def _head(self, given: Sequence[_Given]) -> str:
        return f"INSERT INTO {self._full} ({', '.join(quote(one.column.target) for one in given)})"

    def _refuse_checks(self, columns: Sequence[ColumnPlan]) -> None:
        """Refuse OR IGNORE where it would also pass over rows that PostgreSQL stops at."""
        if self._facts.is_checked(self._table):
            raise Untranslatable(f"INSERT OR IGNORE into {self._table.source}, which has CHECK constraints")
        given = {c.source for c in columns}
        for column in self._table.columns.values():
            if column.not_null and not column.identity and column.default is None and column.source not in given:
                raise Untranslatable(f"INSERT OR IGNORE without {column.source}, which is NOT NULL")

    def _conflict(self, tree: exp.Insert) -> str:
        clause = tree.args.get("conflict")
        if clause is None:
            return ""
        ordered = clause.args.get("conflict_keys") or ()
        keys = [key.this if isinstance(key, exp.Ordered) and not key.args.get("desc") else key for key in ordered]
        names = [key.name for key in keys if isinstance(key, (exp.Column, exp.Identifier))]
        extra = clause.args.get("index_predicate") or clause.args.get("constraint") or clause.args.get("duplicate")
        if extra or len(names) != len(keys) or (keys and not self._facts.has_key(self._table, names)):
            raise Untranslatable("ON CONFLICT on what is no unique key of the target")
        columns = [self._table.column(name) for name in names]
        if any(c is not None and (c.target in _VARIABLES or c.target.startswith("tg_")) for c in columns):
            raise Untranslatable("ON CONFLICT on a column that has the name of a variable of plpgsql")
        shown = f" ({', '.join(quote(c.target) for c in columns if c is not None)})" if names else ""
        if not clause.expressions:
            return f" ON CONFLICT{shown} DO NOTHING"
        if not names:
            raise Untranslatable("DO UPDATE without a unique key")
        both = self._rows.over(self._table, self._text, excluded=True)
        sets = _assignments(clause.expressions, self._table, both)
        where = clause.args.get("where")
        test = "" if where is None else f" WHERE {both.condition(where.this).sql}"
        return f" ON CONFLICT{shown} DO UPDATE SET {sets}{test}"


def _filled(given: Sequence[_Given]) -> str:
    """Return the condition under which OR IGNORE takes a row: SQLite passes over one that lacks a NOT NULL value."""
    tests = [f"({one.sql}) IS NOT NULL" for one in given if one.column.not_null and not one.value.not_null]
    return f" WHERE {' AND '.join(tests)}" if tests else ""
