"""Names: what SQLite calls tables and columns, and what they become.

SQLite's identifiers ignore ASCII case, and only that; every look-up here does the same.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from copier.plan.model import ColumnPlan, Names, TablePlan
from copier.plan.names import qualify
from copier.plan.pgtype import PgType

_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

ROWID_NAMES = ("rowid", "_rowid_", "oid")
"""What names the rowid where no column has that name."""

UNKNOWN = PgType("unknown")
"""Type of a view's column of which only the name is known."""


def lower(name: str) -> str:
    """Return `name` with ASCII letters in lower case: equal for equal identifiers of SQLite."""
    return name.translate(_TO_LOWER)


@dataclass(frozen=True, slots=True)
class TableScope:
    """One table or view. `columns` is keyed by source names in lower case, in the order of the table."""

    source: str
    target: str
    columns: Mapping[str, ColumnPlan]
    key: tuple[str, ...] = ()
    """Source names of the columns of a unique key, () when none is known."""

    @classmethod
    def of(cls, table: TablePlan) -> TableScope:
        """Return the scope of one planned table."""
        columns = {lower(c.source): c for c in table.columns}
        return cls(table.source, table.target, columns, table.identity_columns)

    def column(self, name: str) -> ColumnPlan | None:
        """Return the column SQLite would find under `name`, the rowid's alias for `rowid`; None when there is none."""
        found = self.columns.get(lower(name))
        return self.rowid if found is None and lower(name) in ROWID_NAMES else found

    @property
    def rowid(self) -> ColumnPlan | None:
        """The column that is the rowid itself."""
        return next((c for c in self.columns.values() if c.identity), None)


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything a query may name. `tables` is keyed by source names in lower case, views included."""

    schema: str
    tables: Mapping[str, TableScope] = field(default_factory=dict)
    names: Names = "exact"
    """Style of the names the copier itself gives: here, aliases of views' columns."""

    @classmethod
    def of(
        cls,
        schema: str,
        tables: Iterable[TablePlan],
        views: Mapping[str, tuple[str, Iterable[ColumnPlan | str]]] | None = None,
        names: Names = "exact",
    ) -> Scope:
        """Return the scope of planned tables and of views: source name -> (target name, columns).

        A view's column given as a bare name (its target name) has no known type: it can be selected, not computed with.
        """
        scopes = {lower(table.source): TableScope.of(table) for table in tables}
        for source, (target, columns) in (views or {}).items():
            plans = [bare_column(c) if isinstance(c, str) else c for c in columns]
            scopes[lower(source)] = TableScope(source, target, {lower(c.source): c for c in plans})
        return cls(schema, scopes, names)

    def table(self, name: str) -> TableScope | None:
        """Return the table or view SQLite would find under `name`."""
        return self.tables.get(lower(name))

    def qualified(self, table: TableScope) -> str:
        """Return the table's quoted name with its schema."""
        return qualify(self.schema, table.target)

    def without(self, names: Iterable[str]) -> Scope:
        """Return this scope without some tables or views."""
        gone = {lower(name) for name in names}
        return Scope(self.schema, {k: t for k, t in self.tables.items() if k not in gone}, self.names)

    def adding(self, table: TableScope) -> Scope:
        """Return this scope with one more table or view."""
        return Scope(self.schema, {**self.tables, lower(table.source): table}, self.names)


def bare_column(name: str) -> ColumnPlan:
    """Return a column of unknown type."""
    return ColumnPlan(name, name, "", UNKNOWN, "")
