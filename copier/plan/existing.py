"""Tables the target has already: how source tables and columns find theirs, and how values reach their types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from copier.plan.names import fold
from copier.plan.pgtype import PgType
from copier.plan.source import ColumnProfile
from copier.plan.types import fit
from copier.plan.types.stored import TypeChoice, count_text
from copier.plan.types.times import EPOCH_LAST_S, EPOCH_UNITS


@dataclass(frozen=True, slots=True)
class ExistingColumn:
    """One column of a target table, in the order of the catalog."""

    name: str
    type: PgType | None
    """None when the copier cannot write this type."""
    type_text: str
    """The type as PostgreSQL spells it."""
    not_null: bool = False
    default: str | None = None
    """The default, or the expression of a generated column."""
    identity: bool = False
    generated: bool = False

    @property
    def needs_value(self) -> bool:
        """Whether an INSERT without this column fails."""
        return self.not_null and self.default is None and not self.identity and not self.generated


@dataclass(frozen=True, slots=True)
class ExistingTable:
    """One table of the target."""

    name: str
    columns: tuple[ExistingColumn, ...]
    primary_key: tuple[str, ...] = ()


TargetTables = Mapping[str, ExistingTable]
"""Target table name -> table."""

NO_TABLES: TargetTables = {}


def find_name(name: str, wanted: str, names: Iterable[str]) -> str | None:
    """Return the target's name for the source's `name`: `wanted` itself, else the same, lower-case, snake-case."""
    known = set(names)
    for candidate in (wanted, name, fold(name, "lower"), fold(name, "snake")):
        if candidate in known:
            return candidate
    lowered = [one for one in sorted(known) if one.lower() == name.lower()]
    return lowered[0] if len(lowered) == 1 else None


def choose_cast(column: ExistingColumn, type_: PgType, profile: ColumnProfile | None) -> TypeChoice:
    """Return how values reach a type that is given: by the cast that takes most of them."""
    cast = fit.suitable_cast(type_, profile)
    reason = f"the target has {column.type_text}"
    if profile is None or not profile.filled:
        return TypeChoice(type_, cast, "reject", reason)
    if cast == "iso" and type_.wire != "time" and profile.integers > profile.texts:
        cast = _likely_unit(profile)
        reason += "; integers, read by the size of the largest"
    if (misfits := profile.filled - fit.fitting(profile, type_, cast)) and cast not in EPOCH_UNITS:
        reason += f"; {misfits:,} of {count_text(profile.filled, 'value')} may not fit and would be quarantined"
    return TypeChoice(type_, cast, "reject", reason)


def _likely_unit(profile: ColumnProfile) -> str:
    largest = max(abs(profile.int_min or 0), abs(profile.int_max or 0))
    return next((cast for cast, unit in EPOCH_UNITS.items() if largest <= EPOCH_LAST_S * unit), "epoch_us")
