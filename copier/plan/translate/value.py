"""A translated piece of SQL together with what is known of its value: the coin of all translation.

SQLite decides by the value, PostgreSQL by the type; so each piece carries its PostgreSQL kind, SQLite's affinity (which
decides what a comparison converts), and whether SQLite would hold an integer or a real.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from copier.plan.model import ColumnPlan
from copier.plan.names import literal, quote
from copier.plan.translate.parse import Untranslatable

Kind = Literal[
    "null",
    "bool",
    "int",
    "num",
    "float",
    "text",
    "bytea",
    "uuid",
    "json",
    "jsonb",
    "inet",
    "timestamptz",
    "timestamp",
    "date",
    "time",
    "jsonval",
    "named",
    "any",
]
"""PostgreSQL's type, integers as one. `jsonval`: text of a JSON value whose type only the row knows. `named`: a type of
the target that travels as text. `any`: unknown."""

Constant = str | int | float | bytes | None
Number = Literal["int", "real", "either", ""]
Affinity = Literal["", "text", "numeric", "integer", "real", "blob"]

RANDOM_LOWER, RANDOM_UPPER, RANDOM_VARIANT = "\x01", "\x02", "\x03"
"""In a shape: a random hex digit in lower or upper case, and one of the four that a UUID's variant allows."""

NUMBERS = ("int", "num", "float")
MOMENTS = ("timestamptz", "timestamp", "date")

_KINDS: dict[str, Kind] = {
    **{"bool": "bool", "int2": "int", "int4": "int", "int8": "int", "float4": "float", "float8": "float"},
    **{"numeric": "num", "text": "text", "varchar": "text", "bpchar": "text", "bytea": "bytea", "uuid": "uuid"},
    **{"json": "json", "jsonb": "jsonb", "inet": "inet", "cidr": "inet", "timestamptz": "timestamptz"},
    **{"timestamp": "timestamp", "date": "date", "time": "time"},
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Where the SQL will stand.

    strict: every value that the source accepts must be accepted (CHECK, index, generated column), so nothing may be
    used that can fail on some value. immutable: PostgreSQL demands it (index, generated column). index: it is an index
    expression, which should read as the application's queries do.
    """

    strict: bool = True
    immutable: bool = False
    index: bool = False

    def mutable(self, what: str) -> None:
        """Refuse `what` where PostgreSQL demands an immutable expression."""
        if self.immutable:
            raise Untranslatable(f"{what} is not immutable in PostgreSQL, which indexes and generated columns need")


@dataclass(frozen=True, slots=True)
class Value:
    """PostgreSQL SQL and what is known of it."""

    sql: str
    kind: Kind
    atom: bool = True
    """Whether it can be an operand without parentheses."""
    constant: Constant = None
    is_constant: bool = False
    affinity: Affinity = ""
    """Of columns and casts; other expressions have none (sqlite.org/datatype3.html, 3.2)."""
    number: Number = ""
    """What SQLite holds when it is a number."""
    cast: str = ""
    """For times: how SQLite stores them (`ColumnPlan.cast`)."""
    column: str = ""
    """Source name when it is a bare column."""
    not_null: bool = False
    small: bool = False
    """An integer narrower than 64 bits: arithmetic must widen it."""
    nonneg: bool = False
    predicate: bool = False
    """A boolean that SQLite computes as 0 or 1, as opposed to a boolean column."""
    nocase: bool = False
    """Has COLLATE NOCASE."""
    collated: bool = False
    """A column with a collation of its own in PostgreSQL."""
    moment: str = ""
    """For text made by date functions: the timestamp (without zone, UTC) it shows."""
    moment_form: str = ""
    """date, time, datetime: how much of `moment` the text shows."""
    now: bool = False
    """For text made by date functions: it shows the present."""
    now_units: float = 0
    """For a number that is the present unix time: units per second. -1: it is the present julian day."""
    digits: str = ""
    """For text that is always a number: SQL of that number."""
    json: str = ""
    """For `jsonval`: the jsonb it is the text of."""
    chain: bool = False
    """A chain of `||`, which can grow without parentheses."""
    source_collation: str = ""
    """NOCASE, RTRIM or a custom one, of a column that PostgreSQL compares by bytes."""
    mixed: bool = False
    """A column whose values were of several storage classes in SQLite."""
    shape: str = ""
    """For text (or a blob) made of random hex digits: each digit as one of the three RANDOM characters."""

    @property
    def operand(self) -> str:
        """The SQL, in parentheses unless it needs none."""
        return self.sql if self.atom else f"({self.sql})"

    @property
    def is_null(self) -> bool:
        """Whether it is the literal NULL."""
        return self.kind == "null"

    @property
    def is_number(self) -> bool:
        """Whether PostgreSQL sees a number."""
        return self.kind in NUMBERS

    def described(self) -> str:
        """Return how to call it in a reason."""
        return f"column {self.column}" if self.column else "an expression"


NULL = Value("NULL", "null", is_constant=True)
TRUE = Value("TRUE", "bool", constant=1, is_constant=True, not_null=True, predicate=True)
FALSE = Value("FALSE", "bool", constant=0, is_constant=True, not_null=True, predicate=True)


def affinity_of(declared: str) -> Affinity:
    """Return SQLite's affinity of a declared type (sqlite.org/datatype3.html, 3.1)."""
    name = declared.upper()
    if "INT" in name:
        return "integer"
    if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if "BLOB" in name or not name.strip():
        return "blob"
    return "real" if any(word in name for word in ("REAL", "FLOA", "DOUB")) else "numeric"


def column_value(column: ColumnPlan, qualifier: str = "") -> Value:
    """Return the value of a column; `qualifier` is quoted SQL with its dot."""
    wire = column.type.wire
    kind: Kind = "named" if column.type.name is not None else _KINDS.get(wire, "any")
    affinity = affinity_of(column.declared)
    return Value(
        qualifier + quote(column.target),
        kind,
        affinity=affinity,
        number=_stored_number(kind, affinity),
        cast=column.cast if kind in (*MOMENTS, "time") else "",
        column=column.source,
        not_null=column.not_null or column.identity,
        small=wire in ("int2", "int4"),
        collated=column.collation is not None,
        source_collation=column.source_collation.replace("BINARY", "") if column.collation is None else "",
        mixed=column.mixed,
    )


def _stored_number(kind: Kind, affinity: Affinity) -> Number:
    if kind == "int":
        return "real" if affinity == "real" else "int"
    if kind in ("num", "float"):
        return "real" if affinity == "real" else "either"
    return ""


def number_constant(value: int | float) -> Value:
    """Return a number literal."""
    text = repr(value)
    if isinstance(value, int):
        fits = abs(value) < 2**31
        return Value(text, "int", value >= 0, value, True, number="int", not_null=True, small=fits, nonneg=value >= 0)
    if value != value or value in (float("inf"), float("-inf")):
        raise Untranslatable("a number beyond the range of REAL")
    return Value(text, "float", value >= 0, value, True, number="real", not_null=True)


def text_constant(value: str) -> Value:
    """Return a string literal."""
    if "\x00" in value:
        raise Untranslatable("a string with a NUL character, which PostgreSQL text cannot hold")
    return Value(literal(value), "text", constant=value, is_constant=True, not_null=True)


def blob_constant(value: bytes) -> Value:
    """Return a blob literal."""
    return Value(
        f"{literal(chr(92) + 'x' + value.hex())}::bytea", "bytea", constant=value, is_constant=True, not_null=True
    )


def boolean(sql: str, *, atom: bool = False, not_null: bool = False) -> Value:
    """Return a computed boolean."""
    return Value(sql, "bool", atom, not_null=not_null, predicate=True, nonneg=True)


def integer(sql: str, *, atom: bool = True, small: bool = False, not_null: bool = False, nonneg: bool = False) -> Value:
    """Return a computed integer."""
    return Value(sql, "int", atom, number="int", small=small, not_null=not_null, nonneg=nonneg)


def real(sql: str, *, atom: bool = True, not_null: bool = False) -> Value:
    """Return a computed float8."""
    return Value(sql, "float", atom, number="real", not_null=not_null)


def text(sql: str, *, atom: bool = True, not_null: bool = False) -> Value:
    """Return computed text."""
    return Value(sql, "text", atom, not_null=not_null)


def plain(value: Value) -> Value:
    """Return the value as an expression: without affinity, and no longer a bare column."""
    return replace(value, affinity="", column="", source_collation="")


def refuse_merging(*values: Value) -> None:
    """Refuse to group or order by what SQLite finds equal, or different, where PostgreSQL does not."""
    refuse_mixed(*values)
    for value in values:
        if value.source_collation and value.kind == "text":
            raise Untranslatable(f"{value.described()} is grouped or ordered by COLLATE {value.source_collation}")


def refuse_mixed(*values: Value) -> None:
    """Refuse to compare or compute with columns whose storage classes PostgreSQL no longer tells apart."""
    for value in values:
        if value.mixed:
            raise Untranslatable(
                f"{value.described()} holds values of several storage classes, which SQLite tells apart"
            )
