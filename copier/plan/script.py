"""The whole plan as one file that psql runs as it is: `schema --print`, and the script that a run leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from copier.plan import ddl
from copier.plan.model import Plan, TablePlan
from copier.plan.names import qualify, quote

_DATA_PLACE = "-- The data goes here: sqlite2pg data, or COPY of your own."


def script(plan: Plan) -> str:
    """Return the DDL of the plan for psql.

    What the data needs runs in transactions that stop at the first error. What PostgreSQL may refuse without harm to
    the data (expression indexes, views, triggers) runs after them, one by one, and goes on after an error.
    """
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    tables = [table for table in plan.tables if not table.existing]
    indexes = [statement for table in plan.tables for statement in ddl.table_after_data(plan.schema, table)]
    constraints = ddl.constraints(plan)
    yield from ("\\set ON_ERROR_STOP on", "SET client_encoding = 'UTF8';", "SET standard_conforming_strings = on;", "")
    there = [f"-- In the target already, and left as it is: {_one_line(t.target)}" for t in plan.tables if t.existing]
    yield from (*there, "") if there else ()
    yield from _transaction(statement.sql for statement in ddl.before_data(plan))
    yield from (_DATA_PLACE, "")
    yield from _transaction(s.sql for s in indexes if s.kind == "primary key")
    yield "\\set ON_ERROR_STOP off"
    yield from _each(s.sql for s in indexes if s.kind != "primary key")
    yield from _each(s.sql for s in constraints)
    yield from _each(s.validate_sql for s in constraints)
    yield from _each(filter(None, (_sequence(plan.schema, table) for table in tables)))
    yield from _each(s.sql for s in (*ddl.views(plan), *ddl.triggers(plan), *ddl.after_data(plan)))
    yield from _each(ddl.analyze(plan.schema, [table]) for table in plan.tables)


def _one_line(name: str) -> str:
    """Return a name that cannot end its comment."""
    return quote(name).replace("\r", " ").replace("\n", " ")


def _transaction(statements: Iterable[str]) -> Iterator[str]:
    yield "BEGIN;"
    yield from (f"{sql};" for sql in statements)
    yield from ("COMMIT;", "")


def _each(statements: Iterable[str]) -> Iterator[str]:
    found = [f"{sql};" for sql in statements]
    yield from (*found, "") if found else ()


def _sequence(schema: str, table: TablePlan) -> str | None:
    """Return the statement that sets the identity's sequence by what is in the table when it runs."""
    column = table.identity
    if column is None:
        return None
    position = f"greatest(max({quote(column.target)}), {table.sequence or 0}, 0)"
    name = ddl.sequence_name(schema, table, column)
    return f"SELECT setval({name}, greatest({position}, 1), {position} >= 1) FROM {qualify(schema, table.target)}"
