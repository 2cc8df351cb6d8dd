"""What the planner carries from step to step: the inputs, the drafts of tables, and what it has found out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from copier.plan.choices import NO_CHOICES, Choices, TableChoice
from copier.plan.existing import NO_TABLES, ExistingColumn, ExistingTable, TargetTables
from copier.plan.model import Names, ObjectNote, Status, Types
from copier.plan.names import shorten
from copier.plan.pgtype import PgType
from copier.plan.source import ColumnProfile, SourceColumn, SourceSchema, SourceTable, TableProfile
from copier.plan.types.stored import TypeChoice


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the command line says about a plan. `tables` and `exclude` are globs; no `tables` means all."""

    schema: str = "public"
    types: Types = "native"
    names: Names = "exact"
    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    with_rowid: bool = False


@dataclass(frozen=True, slots=True)
class ColumnDraft:
    """One column that will be copied, its type chosen."""

    source: SourceColumn
    target: str
    choice: TypeChoice
    fixed: bool = False
    """The type is not the planner's to change: a person's, the target's, or an identity column's."""
    profile: ColumnProfile | None = None
    existing: ExistingColumn | None = None

    @property
    def type(self) -> PgType:
        """The type chosen."""
        return self.choice.type

    @property
    def is_empty(self) -> bool:
        """Whether it holds no value, as far as is known."""
        return self.profile is None or not self.profile.filled


@dataclass(frozen=True, slots=True)
class TableDraft:
    """One table that will be copied."""

    source: SourceTable
    target: str
    choice: TableChoice
    profile: TableProfile | None = None
    existing: ExistingTable | None = None
    columns: tuple[ColumnDraft, ...] = ()

    def column(self, source: str) -> ColumnDraft | None:
        """Return the draft of a source column, ASCII case ignored; None when it is not copied."""
        return next((c for c in self.columns if c.source.name.lower() == source.lower()), None)


@dataclass(slots=True)
class NameSpace:
    """The names of one schema: tables, views, indexes and constraints share it here."""

    used: set[str] = field(default_factory=set)

    def reserve(self, names: Iterable[str]) -> None:
        """Mark names as taken."""
        self.used.update(names)

    def take(self, wanted: str) -> str:
        """Return `wanted`, shortened, with a number at its end when the name is taken; it is taken then."""
        name, number = shorten(wanted), 0
        while name in self.used:
            number += 1
            name = shorten(f"{wanted}_{number}")
        self.used.add(name)
        return name


@dataclass(slots=True)
class Context:
    """The inputs of one planning, and its findings so far."""

    schema: SourceSchema
    profiles: Mapping[str, TableProfile]
    options: PlanOptions
    existing: TargetTables = field(default_factory=lambda: NO_TABLES)
    choices: Choices = NO_CHOICES
    uuids: frozenset[tuple[str, str]] = frozenset()
    """(table, column) of the source that say they hold UUIDs, or are tied by foreign keys to one that does."""
    names: NameSpace = field(default_factory=NameSpace)
    notes: list[ObjectNote] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def note(self, kind: str, name: str, table: str | None, detail: str, status: Status = "skipped") -> None:
        """Settle one object of the source that has no place in the plan."""
        self.notes.append(ObjectNote(kind, name, table, status, detail))

    def warn(self, sentence: str) -> None:
        """Add a sentence for a person, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
