"""What a person decided in the plan file: it overrides what the planner would choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from copier.plan.pgtype import PgType


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """Decisions about one column; None leaves it to the planner."""

    target: str | None = None
    type: PgType | None = None
    cast: str | None = None
    policy: str | None = None
    reason: str | None = None
    not_null: bool | None = None
    default: str | None = None
    """A PostgreSQL expression, used as it stands; '' means no default."""
    skip: bool = False


@dataclass(frozen=True, slots=True)
class TableChoice:
    """Decisions about one table. Names of columns are the source's."""

    target: str | None = None
    skip: bool = False
    columns: Mapping[str, ColumnChoice] = field(default_factory=dict)
    added_columns: tuple[tuple[str, str], ...] = ()
    added_indexes: tuple[tuple[str, str], ...] = ()
    drop_indexes: frozenset[str] = frozenset()
    """Names in the source or in the target."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Decisions about a whole plan, by source table."""

    tables: Mapping[str, TableChoice] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    after_data: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    """Objects of the source, by name, that need nobody any more."""
    warnings: tuple[str, ...] = ()

    def table(self, source: str) -> TableChoice:
        """Return the decisions about a table, empty ones when there are none."""
        return self.tables.get(source, _NO_TABLE)


_NO_TABLE = TableChoice()
NO_COLUMN = ColumnChoice()
NO_CHOICES = Choices()
