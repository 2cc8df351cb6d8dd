"""PostgreSQL types the copier writes, their spellings, and the casts that lead to each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from copier.plan.names import quote

CASTS: dict[str, tuple[str, ...]] = {
    "bool": ("bool",),
    "int2": ("int",),
    "int4": ("int",),
    "int8": ("int",),
    "float4": ("float",),
    "float8": ("float",),
    "numeric": ("numeric",),
    "text": ("text",),
    "varchar": ("text",),
    "bpchar": ("text",),
    "bytea": ("bytes",),
    "uuid": ("uuid",),
    "json": ("json",),
    "jsonb": ("json",),
    "inet": ("inet",),
    "cidr": ("inet",),
    "timestamptz": ("iso", "epoch_s", "epoch_ms", "epoch_us", "julian"),
    "timestamp": ("iso", "epoch_s", "epoch_ms", "epoch_us", "julian"),
    "date": ("iso", "epoch_s", "epoch_ms", "epoch_us", "julian"),
    "time": ("iso",),
}
"""Wire type -> casts that may lead to it, the usual one first. The meaning of each cast is in `copier.wire.cast`."""

POLICIES = ("reject", "fail", "null_if_empty", "null", "default", "strip", "replace")
"""What to do with a value its cast refuses (`widen` is a choice of type, so the planner has already made it).

reject: the row goes to the ledger's reject table. fail: stop there. null_if_empty: '' becomes NULL, others reject.
null: becomes NULL. default: becomes the column's default (a constant; without one, reject). strip: NUL characters and
bytes that are no UTF-8 are left out of text. replace: they become U+FFFD. After strip or replace the cast is tried
again, then reject.
"""

_ALIASES = {
    "boolean": "bool",
    "smallint": "int2",
    "integer": "int4",
    "int": "int4",
    "bigint": "int8",
    "real": "float4",
    "double precision": "float8",
    "decimal": "numeric",
    "character varying": "varchar",
    "character": "bpchar",
    "char": "bpchar",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time without time zone": "time",
}

_SPELLINGS = {
    "bool": "boolean",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bpchar": "char",
}

_PATTERN = re.compile(r"^\s*([a-z][a-z0-9_ ]*?)\s*(?:\(\s*(-?\d+)\s*(?:,\s*(-?\d+)\s*)?\))?\s*$", re.I)


@dataclass(frozen=True, slots=True)
class PgType:
    """One column type. `wire` is the key into CASTS; `args` are length, or precision and scale."""

    wire: str
    args: tuple[int, ...] = ()
    name: tuple[str, str] | None = None
    """(schema, name) for a type of the target that travels as text (enum, citext, name)."""

    @property
    def sql(self) -> str:
        """The type as DDL writes it."""
        if self.name is not None:
            return f"{quote(self.name[0])}.{quote(self.name[1])}"
        suffix = f"({','.join(map(str, self.args))})" if self.args else ""
        return _SPELLINGS.get(self.wire, self.wire) + suffix

    @property
    def is_text(self) -> bool:
        """Whether values travel as UTF-8 text."""
        return self.wire in ("text", "varchar", "bpchar")


def parse_type(text: str) -> PgType:
    """Read a PostgreSQL type as a person writes it (`varchar(50)`); ValueError names the choices."""
    match = _PATTERN.match(text)
    base = " ".join(match.group(1).lower().split()) if match else text.strip().lower()
    wire = _ALIASES.get(base, base)
    if match is None or wire not in CASTS:
        choices = ", ".join(sorted(_SPELLINGS.get(name, name) for name in CASTS))
        raise ValueError(f"{text!r} is not a type the copier writes; choose one of {choices}")
    args = tuple(int(group) for group in match.groups()[1:] if group is not None)
    if args and wire not in ("varchar", "bpchar", "numeric"):
        raise ValueError(f"{text!r}: {wire} takes no length")
    if wire != "numeric" and len(args) > 1:
        raise ValueError(f"{text!r}: only numeric takes a scale")
    if args and args[0] < 1:
        raise ValueError(f"{text!r}: the length must be at least 1")
    return PgType(wire, args)
