"""What the SQLite file contains: its schema, and a profile of the values stored.

Made by `copier.sqlite`, read by the planner. Frozen, I/O-free. Names are exactly as SQLite gives them; SQL is
the text as the user wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Value = int | float | str | bytes | None
"""A SQLite value as Python sees it. Text that is not valid UTF-8 arrives as `copier.wire.cast.BrokenText`."""

Key = tuple[Value, ...]
"""Values of a keyset key, in key order; never empty."""


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column, from `PRAGMA table_xinfo` and the text of CREATE TABLE."""

    name: str
    declared: str = ""
    """Declared type as written, '' when there is none."""
    not_null: bool = False
    default: str | None = None
    """Default as SQL text, as PRAGMA table_xinfo gives it."""
    pk: int = 0
    """1-based place in the PRIMARY KEY, 0 when not part of it."""
    generated: Literal["", "virtual", "stored"] = ""
    generated_sql: str | None = None
    """The generation expression without its outer parentheses."""
    collation: str = "BINARY"
    """Upper case: BINARY, NOCASE, RTRIM or a custom name."""


@dataclass(frozen=True, slots=True)
class SourceIndexPart:
    """One term of an index: a column or an expression, exactly one of them set."""

    column: str | None = None
    expression: str | None = None
    descending: bool = False
    collation: str = "BINARY"


@dataclass(frozen=True, slots=True)
class SourceIndex:
    """One index. `origin` as in PRAGMA index_list: c = CREATE INDEX, u = UNIQUE constraint, pk = PRIMARY KEY."""

    name: str
    unique: bool
    origin: Literal["c", "u", "pk"]
    parts: tuple[SourceIndexPart, ...]
    where: str | None = None
    sql: str | None = None
    constraint_name: str | None = None
    """What CONSTRAINT calls it, in a UNIQUE constraint that has a name."""


@dataclass(frozen=True, slots=True)
class SourceForeignKey:
    """One foreign key. `parent_columns` is empty when SQL named none (the parent's primary key is meant)."""

    id: int
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...] = ()
    on_update: str = "NO ACTION"
    on_delete: str = "NO ACTION"
    deferrable: bool = False
    initially_deferred: bool = False
    name: str | None = None
    """What CONSTRAINT calls it."""


@dataclass(frozen=True, slots=True)
class SourceCheck:
    """One CHECK: the expression without its outer parentheses; `column` when it stands in a column definition."""

    expression: str
    name: str | None = None
    column: str | None = None


@dataclass(frozen=True, slots=True)
class SourceTable:
    """One ordinary table."""

    name: str
    columns: tuple[SourceColumn, ...]
    primary_key: tuple[str, ...] = ()
    """Column names in key order."""
    primary_key_name: str | None = None
    """What CONSTRAINT calls it."""
    rowid_alias: str | None = None
    """The INTEGER PRIMARY KEY column that is the rowid itself."""
    rowid_name: str | None = None
    """A spelling of rowid no column shadows (`rowid`, `_rowid_`, `oid` or the alias); None for WITHOUT ROWID tables,
    and for the odd table whose columns shadow all three."""
    without_rowid: bool = False
    strict: bool = False
    autoincrement: bool = False
    sequence: int | None = None
    """The row of sqlite_sequence, None when there is none."""
    indexes: tuple[SourceIndex, ...] = ()
    foreign_keys: tuple[SourceForeignKey, ...] = ()
    checks: tuple[SourceCheck, ...] = ()
    sql: str = ""
    unparsed: str = ""
    """Why CHECK, COLLATE or generated expressions could not be read from `sql`; '' when all were."""

    def column(self, name: str) -> SourceColumn:
        """Return the column called `name`, ASCII case ignored as SQLite does; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class SourceObject:
    """A view, trigger, virtual, shadow or internal table: what is not copied row by row."""

    kind: Literal["view", "trigger", "virtual table", "shadow table", "internal table"]
    name: str
    table: str | None
    """The table a trigger or a shadow table belongs to."""
    sql: str | None
    detail: str = ""
    """For virtual tables the module (`fts5`, `rtree`), for example."""
    columns: tuple[str, ...] = ()
    """Column names of a view or virtual table, where SQLite can tell."""


@dataclass(frozen=True, slots=True)
class SourceSchema:
    """Everything in sqlite_schema, each object once."""

    tables: tuple[SourceTable, ...]
    objects: tuple[SourceObject, ...] = ()
    encoding: str = "UTF-8"
    page_size_bytes: int = 4096
    page_count: int = 0
    journal_mode: str = "delete"
    user_version: int = 0
    application_id: int = 0
    _by_name: dict[str, SourceTable] = field(init=False, repr=False, compare=False)
    """Folded name -> table: a database may have thousands, each looked up by each of its foreign keys."""

    def __post_init__(self) -> None:
        """Fill `_by_name`."""
        object.__setattr__(self, "_by_name", {table.name.lower(): table for table in self.tables})

    def table(self, name: str) -> SourceTable | None:
        """Return the table called `name`, ASCII case ignored as SQLite does."""
        return self._by_name.get(name.lower())


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What one column really holds. Counts are of rows; unless said, over text, integer and real values alike."""

    nulls: int = 0
    integers: int = 0
    reals: int = 0
    texts: int = 0
    blobs: int = 0
    int_min: int | None = None
    int_max: int | None = None
    real_min: float | None = None
    real_max: float | None = None
    reals_integral: int = 0
    """Finite reals without a fraction."""
    reals_infinite: int = 0
    text_max_chars: int = 0
    text_max_bytes: int = 0
    blob_min_bytes: int | None = None
    blob_max_bytes: int = 0
    empty: int = 0
    """Texts that are ''."""
    nul: int = 0
    """Texts that contain a NUL."""
    broken: int = 0
    """Texts that are not valid UTF-8."""
    fits: Mapping[str, int] = field(default_factory=dict)
    """For each form looked for, how many non-NULL values have it (see `copier.sqlite.profile` for the forms). A form
    that many values failed early is absent: it was given up."""
    int_digits: int = 0
    """Most decimal digits before the point among numbers (numeric texts in NUMERIC columns included)."""
    scale: int = 0
    """Most decimal digits after the point, by shortest round-trip form."""
    uuid_collision: bool = False
    """Two different texts are one UUID."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """For a form that most but not all values have, one value that does not, shortened and printable."""

    @property
    def filled(self) -> int:
        """Rows that are not NULL."""
        return self.integers + self.reals + self.texts + self.blobs

    def all_fit(self, form: str) -> bool:
        """Whether there are values, and every one has this form."""
        return self.filled > 0 and self.fits.get(form, -1) == self.filled


@dataclass(frozen=True, slots=True)
class TableProfile:
    """What one table really holds."""

    rows: int
    columns: Mapping[str, ColumnProfile]
    bytes: int = 0
    """Bytes of values as text or blobs, 8 per number: an estimate of the COPY stream."""
    sampled: bool = False
    """True when only a part of the rows was looked at; `rows` is then still exact."""
    key_min: int | None = None
    key_max: int | None = None
    """Rowid range."""
    orphans: Mapping[int, int] = field(default_factory=dict)
    """Foreign key id -> rows whose parent is missing (PRAGMA foreign_key_check)."""
