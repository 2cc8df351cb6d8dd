"""The plan of rows that are tried again: what a run recorded, what a plan file says now, the types the target has.

The source is not asked: a reject's row is in the ledger, its columns are those of the recorded plan that are no
generated columns of the target, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from copier.errors import PlanError, TargetUnusable
from copier.plan.choices import NO_COLUMN, Choices, ColumnChoice
from copier.plan.existing import ExistingColumn, ExistingTable, TargetTables
from copier.plan.file_read import ColumnEntry, PlanDocument, TableEntry, parse_file, read_choices
from copier.plan.model import ColumnPlan, ObjectNote, Plan, TablePlan
from copier.plan.pgtype import CASTS, parse_type

Decision = tuple[str, str, str | None]
"""Cast, policy, and the constant that the policy `default` writes."""


@dataclass(frozen=True, slots=True)
class RetriedTable:
    """One table with rows to try again."""

    plan: TablePlan
    decisions: Mapping[str, Decision]
    """Source column -> how it is cast, where the recorded plan says otherwise."""


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """Everything that is tried again, by source table, and sentences for a person."""

    tables: Mapping[str, RetriedTable]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedTable:
    """One table of the run: the ledger's word for where it went."""

    source: str
    target: str
    existing: bool


def plan_retry(
    recorded: str, given: str | None, tables: Iterable[RecordedTable], target: TargetTables, schema: str
) -> RetryPlan:
    """Return the plan of a retry; `recorded` is the run's plan file, `given` the one that counts now.

    PlanError when the given file is wrong or leaves a column out; TargetUnusable when a table or column is gone.
    """
    document = parse_file(recorded)
    base = Plan(
        tables=tuple(_table(table, document.table[table.source], target) for table in tables),
        schema=schema,
        notes=tuple(_skipped(document)),
    )
    if given is None:
        return RetryPlan({table.source: RetriedTable(table, {}) for table in base.tables})
    choices, warnings = _choices(given, base, {table.source for table in tables if table.existing})
    found = {}
    for table in base.tables:
        choice = choices.table(table.source)
        if not choice.skip:
            found[table.source] = _decide(table, choice.columns, warnings)
    return RetryPlan(found, tuple(warnings))


def with_target_types(plan: Plan, target: TargetTables) -> Plan:
    """Return the plan with the types that columns of created tables have now: somebody may have altered them."""
    return replace(plan, tables=tuple(_retyped(table, target.get(table.target)) for table in plan.tables))


def _retyped(table: TablePlan, there: ExistingTable | None) -> TablePlan:
    if there is None or table.existing:
        return table
    actual = {column.name: column for column in there.columns}
    columns = tuple(_as_target(column, actual[column.target]) if column.target in actual else column
                    for column in table.columns)  # fmt: skip
    return replace(table, columns=columns)


def _as_target(column: ColumnPlan, there: ExistingColumn) -> ColumnPlan:
    if there.type is None or there.type.wire == column.type.wire:
        return column if there.type is None else replace(column, type=there.type)
    casts = CASTS[there.type.wire]
    return replace(column, type=there.type, cast=column.cast if column.cast in casts else casts[0])


def _table(table: RecordedTable, entry: TableEntry, target: TargetTables) -> TablePlan:
    there = target.get(table.target)
    if there is None:
        raise TargetUnusable(
            f"table {table.target} is not in the target any more", hint="leave it out with --table, or create it again"
        )
    actual = {column.name: column for column in there.columns}
    columns = tuple(_column(name, one, table, actual) for name, one in entry.columns.items() if not one.skip)
    sources = {column.target: column.source for column in columns}
    identity = tuple(sources[name] for name in there.primary_key if name in sources)
    return TablePlan(table.source, table.target, columns, identity_columns=identity, existing=True)


def _column(name: str, entry: ColumnEntry, table: RecordedTable, actual: Mapping[str, ExistingColumn]) -> ColumnPlan:
    there = actual.get(entry.target or name)
    if there is None:
        raise TargetUnusable(
            f"column {entry.target or name} of table {table.target} is not in the target any more",
            hint="add it again: a row is written whole",
        )
    column = ColumnPlan(
        source=name,
        target=there.name,
        declared=entry.from_ or "",
        type=parse_type("text"),
        cast=entry.cast or "text",
        policy=entry.policy or "reject",
        not_null=there.not_null,
        generated=(there.default or "") if there.generated else None,
        default_constant=_constant(entry.default) or _constant(there.default),
    )
    if there.type is None:
        raise TargetUnusable(
            f"column {there.name} of table {table.target} is {there.type_text} now, which the copier does not write",
            hint="give it another type",
        )
    casts = CASTS[there.type.wire]
    return replace(column, type=there.type, cast=column.cast if column.cast in casts else casts[0])


def _skipped(document: PlanDocument) -> Iterable[ObjectNote]:
    for name, table in document.table.items():
        if table.skip:
            yield ObjectNote("table", name, name, "skipped")
        for column, entry in table.columns.items():
            if entry.skip:
                yield ObjectNote("column", column, name, "skipped")


def _choices(text: str, base: Plan, existing: set[str]) -> tuple[Choices, list[str]]:
    """Read the file against the tables that are tried again; it may say more, about others."""
    document = parse_file(text)
    known = {table.source: {column.source for column in table.columns} for table in base.tables}
    tables, notes = {}, list(base.notes)
    for name, entry in document.table.items():
        if name in known:
            tables[name] = entry.model_copy(update={"drop_indexes": [], "add_columns": {}, "add_indexes": {}})
            # An existing table took only the columns it has; the others never were in the recorded plan.
            unmatched = [
                c for c, one in entry.columns.items() if c not in known[name] and (one.skip or name in existing)
            ]
            notes += [ObjectNote("column", column, name, "skipped") for column in unmatched]
    narrowed = document.model_copy(update={"table": tables})
    choices = read_choices(text, narrowed, replace(base, notes=tuple(notes)))
    return choices, []


def _decide(table: TablePlan, choices: Mapping[str, ColumnChoice], warnings: list[str]) -> RetriedTable:
    columns = tuple(
        _decided(column, choices.get(column.source, NO_COLUMN), table, warnings) for column in table.columns
    )
    decisions = {
        new.source: (new.cast, new.policy, new.default_constant)
        for new, old in zip(columns, table.columns, strict=True)
        if (new.cast, new.policy) != (old.cast, old.policy) or new.policy == "default"
    }
    return RetriedTable(replace(table, columns=columns), decisions)


def _decided(column: ColumnPlan, choice: ColumnChoice, table: TablePlan, warnings: list[str]) -> ColumnPlan:
    where = f'table "{table.source}": column "{column.source}"'
    if choice.skip:
        raise PlanError(f"{where} is skipped in the plan file: a row that is tried again is written whole",
                        hint='to leave the value out, write policy = "null"')  # fmt: skip
    cast = choice.cast
    if choice.type is not None and choice.type != column.type:
        warnings.append(f"{where} is {column.type.sql} in the target, not {choice.type.sql} as in the plan file.")
        cast = None
    return replace(
        column,
        cast=cast if cast in CASTS[column.type.wire] else column.cast,
        policy=choice.policy or column.policy,
        default_constant=_constant(choice.default) or column.default_constant,
    )


_CONSTANT = re.compile(
    r"""\(?(?:'(?P<text>(?:[^']|'')*)'|(?P<plain>-?\d+(?:\.\d+)?|true|false))\)?(?:::[\w\s"().,]+)?""", re.IGNORECASE
)


def _constant(sql: str | None) -> str | None:
    """Return the constant that a PostgreSQL default is: `'none'::text`, `0`, `true`; None when it is computed."""
    found = _CONSTANT.fullmatch(sql.strip()) if sql else None
    if found is None:
        return None
    return found["plain"] if found["plain"] is not None else found["text"].replace("''", "'")
