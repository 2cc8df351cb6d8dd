"""What a trigger's translation must know of the tables and triggers around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from copier.plan.model import ForeignKeyPlan, TablePlan
from copier.plan.source import SourceTable
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.scope import TableScope, lower
from copier.plan.translate.trigger.actions import Program

_EMPTY = ("NULL", "")


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One foreign key of the target. Tables by source name in lower case."""

    child: str
    columns: frozenset[str]
    """Source names in lower case."""
    parent: str
    parent_columns: frozenset[str]
    plan: ForeignKeyPlan


@dataclass(frozen=True, slots=True)
class Facts:
    """Tables are keyed by source name in lower case."""

    plans: Mapping[str, TablePlan] = field(default_factory=dict)
    sources: Mapping[str, SourceTable] = field(default_factory=dict)
    virtual: Mapping[str, str] = field(default_factory=dict)
    """Virtual table (lower case) -> its module."""
    views: Mapping[str, TableScope] = field(default_factory=dict)
    """Translated views: triggers can be on them, but not read them."""
    programs: tuple[Program, ...] = ()
    """All triggers of the source that can be read, in the order they were created."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Trigger -> its name in PostgreSQL, which runs triggers in the order of their names."""
    keys: tuple[ForeignKey, ...] = ()

    @classmethod
    def of(
        cls,
        plans: Iterable[TablePlan],
        sources: Iterable[SourceTable] = (),
        *,
        virtual: Mapping[str, str] | None = None,
        views: Mapping[str, TableScope] | None = None,
        programs: Iterable[Program] = (),
        names: Mapping[str, str] | None = None,
    ) -> Facts:
        """Return the facts of planned tables and of the triggers on them."""
        by_source = {lower(plan.source): plan for plan in plans}
        by_target = {plan.target: source for source, plan in by_source.items()}
        return cls(
            by_source,
            {lower(table.name): table for table in sources},
            virtual or {},
            views or {},
            tuple(programs),
            names or {},
            tuple(_keys(by_source, by_target)),
        )

    def missing(self, table: str, verb: str) -> Untranslatable:
        """Return the reason why a table that is not in the target stops a translation."""
        module = self.virtual.get(table, "").lower()
        if module.startswith("fts"):
            return Untranslatable(f"it keeps the full-text table {table} in step; a tsvector column needs no trigger")
        return Untranslatable(f"it {verb} {table}, which is not in the target")

    def refuse_write(self, table: TableScope) -> None:
        """Refuse to write a table that the target had already, or whose rows SQLite makes by rules of its own."""
        plan, source = self.plans.get(lower(table.source)), self.sources.get(lower(table.source))
        if plan is not None and plan.existing:
            raise Untranslatable(f"it writes {table.source}, which the target had already")
        if source is None:
            return
        if "CONFLICT" in source.sql.upper():
            raise Untranslatable(f"it writes {table.source}, whose constraints have ON CONFLICT")
        for column in source.columns:
            planned = table.columns.get(lower(column.name))
            if planned is None or (column.generated and planned.generated is None):
                raise Untranslatable(f"it writes {table.source}, whose column {column.name} is not what it was")

    def refuse_omission(self, table: TableScope, given: frozenset[str]) -> None:
        """Refuse an INSERT that leaves a column to a default which did not carry over."""
        source = self.sources.get(lower(table.source))
        if source is None:
            return
        for column in source.columns:
            planned = table.columns[lower(column.name)]
            if lower(column.name) in given or planned.identity or planned.generated is not None:
                continue
            lost = planned.default is None and (column.default or "").strip("() ").upper() not in _EMPTY
            if lost or column.name == source.rowid_alias:
                raise Untranslatable(
                    f"it leaves {table.source}.{column.name} to a default that PostgreSQL does not have"
                )

    def is_checked(self, table: TableScope) -> bool:
        """Whether a table has CHECK constraints, here or in SQLite."""
        plan, source = self.plans.get(lower(table.source)), self.sources.get(lower(table.source))
        return bool((plan is not None and plan.checks) or (source is not None and (source.checks or source.unparsed)))

    def has_key(self, table: TableScope, columns: Iterable[str]) -> bool:
        """Whether these source columns are the whole of one unique key."""
        plan = self.plans.get(lower(table.source))
        named = [table.column(column) for column in columns]
        wanted = {column.target for column in named if column is not None}
        if plan is None or None in named:
            return False
        return any(i.unique and i.where is None and set(i.columns) == wanted for i in plan.indexes)


NO_FACTS = Facts()


def _keys(plans: Mapping[str, TablePlan], by_target: Mapping[str, str]) -> Iterable[ForeignKey]:
    for source, plan in plans.items():
        for key in plan.foreign_keys:
            parent = by_target.get(key.parent_table)
            if parent is not None:
                theirs = _sources(plans[parent], key.parent_columns)
                yield ForeignKey(source, _sources(plan, key.columns), parent, theirs, key)


def _sources(plan: TablePlan, targets: Iterable[str]) -> frozenset[str]:
    names = {column.target: lower(column.source) for column in plan.columns}
    return frozenset(names.get(target, target) for target in targets)
