"""The plan: what will be created and how each value travels. Frozen, I/O-free.

`copier.plan.build.build` makes it from the source and its profile; `copier.plan.file` writes and reads it as TOML;
`copier.plan.ddl` renders it. Expressions (`default`, `check`, `where`, ...) are PostgreSQL SQL, already translated
and safe to run. Column and table names are target names unless the field says source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from copier.plan.pgtype import PgType

Types = Literal["native", "faithful"]
Names = Literal["exact", "lower", "snake"]
Status = Literal["created", "translated", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class ObjectNote:
    """One line of the report's `objects`: what became of one schema object of the source."""

    kind: str
    """table, column, primary key, unique, index, foreign key, check, default, generated column, identity, view,
    trigger, virtual table, shadow table, internal table."""
    name: str
    table: str | None
    """Source table."""
    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """One column: where it comes from, what it becomes, how its values travel."""

    source: str
    target: str
    declared: str
    type: PgType
    cast: str
    policy: str = "reject"
    reason: str = ""
    not_null: bool = False
    default: str | None = None
    identity: bool = False
    generated: str | None = None
    """GENERATED ALWAYS AS (..) STORED expression; such a column is not copied, but it is verified."""
    collation: str | None = None
    """Name of a collation the DDL creates (see `Plan.collations`), or None."""
    default_constant: str | None = None
    """The source's default as text when it is a constant: what the policy `default` writes."""
    mixed: bool = False
    """Values of several storage classes, which SQLite tells apart, become one type here (see `fit.is_mixed`)."""
    source_collation: str = "BINARY"
    """Of the column in SQLite: comparisons of the bare column go by it."""


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """One index or unique constraint, built after the data."""

    name: str
    source_name: str
    parts: tuple[str, ...]
    """Each term as SQL: quoted column or parenthesised expression, with COLLATE and DESC where needed."""
    unique: bool = False
    where: str | None = None
    method: str = "btree"
    constraint: Literal["", "primary key", "unique"] = ""
    """Set when it is a constraint; its parts are then plain quoted columns."""
    columns: tuple[str, ...] = ()
    """Target column names when every part is a plain column, else ()."""
    detail: str = ""
    """What changed on the way from SQLite, for the report; '' when nothing did."""
    source_kind: Literal["", "primary key", "unique", "index"] = ""
    """What it was in SQLite, for the report; '' for one that SQLite did not have."""


@dataclass(frozen=True, slots=True)
class ForeignKeyPlan:
    """One foreign key, added NOT VALID after all data and then validated."""

    name: str
    columns: tuple[str, ...]
    parent_table: str
    parent_columns: tuple[str, ...]
    on_update: str = "NO ACTION"
    on_delete: str = "NO ACTION"
    deferrable: bool = False
    initially_deferred: bool = False
    orphans: int = 0
    """Rows of the source that violate it."""


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """One CHECK, added NOT VALID after the data and then validated."""

    name: str
    expression: str
    source: str
    """The SQLite expression, for the report."""


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table."""

    source: str
    target: str
    columns: tuple[ColumnPlan, ...]
    key: tuple[str, ...] = ()
    """Source names of the keyset key's columns: the rowid spelling alone, or the whole primary key of a WITHOUT ROWID
    table; () for a table that can only be read in one scan."""
    key_is_rowid: bool = True
    identity_columns: tuple[str, ...] = ()
    """Source columns that name a row to a person: the primary key, else the first unique NOT NULL key, else ()."""
    indexes: tuple[IndexPlan, ...] = ()
    foreign_keys: tuple[ForeignKeyPlan, ...] = ()
    checks: tuple[CheckPlan, ...] = ()
    added_columns: tuple[tuple[str, str], ...] = ()
    """(name, type and expression as SQL): columns a person added in the plan file, such as a generated tsvector."""
    added_indexes: tuple[tuple[str, str], ...] = ()
    """(name, `USING gin (..)` as SQL): indexes a person added in the plan file."""
    sequence: int | None = None
    """sqlite_sequence of the source."""
    existing: bool = False
    """The target has this table already; nothing of it is created."""
    rows: int = 0
    bytes: int = 0
    """Rows and estimated COPY bytes by the profile (0 when it was not profiled)."""

    @property
    def copied(self) -> tuple[ColumnPlan, ...]:
        """The columns that travel: all but generated ones."""
        return tuple(c for c in self.columns if c.generated is None)

    @property
    def identity(self) -> ColumnPlan | None:
        """The identity column, if there is one."""
        return next((c for c in self.columns if c.identity), None)


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """One view, tried on the server inside a savepoint."""

    source: str
    target: str
    query: str
    sql: str
    """The view as SQLite has it."""


@dataclass(frozen=True, slots=True)
class TriggerPlan:
    """One translated trigger: its function and the trigger itself, both complete statements."""

    source: str
    table: str
    """Source table."""
    name: str
    function: str
    """Quoted, schema-qualified function name without parentheses."""
    statements: tuple[str, ...]
    sql: str
    trial: tuple[str, ...] = ()
    """Statements that make the server look at the body before the trigger is made; they change nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will be done, in the order of the source file."""

    tables: tuple[TablePlan, ...]
    schema: str = "public"
    types: Types = "native"
    names: Names = "exact"
    views: tuple[ViewPlan, ...] = ()
    triggers: tuple[TriggerPlan, ...] = ()
    collations: tuple[str, ...] = ()
    """Names of nondeterministic ICU collations (case-insensitive) to create in the schema."""
    extensions: tuple[str, ...] = ()
    after_data: tuple[str, ...] = ()
    """Statements a person added in the plan file, run after everything else."""
    settled: tuple[str, ...] = ()
    """Names of objects that do not carry over and that a person has dealt with, by the plan file."""
    notes: tuple[ObjectNote, ...] = ()
    """Objects the planner itself has already settled: skipped, or renamed, or translated with a change."""
    warnings: tuple[str, ...] = field(default=())
    """Sentences for `inspect`: what changes for the application's SQL, and what needs a person."""

    def table(self, source: str) -> TablePlan | None:
        """Return the plan of the source table called `source`."""
        return next((t for t in self.tables if t.source == source), None)
