"""A chunk: what one transaction writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from copier.plan.ranges import Rank
from copier.plan.source import Key, Value


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One row that does not go into its table. `values` are those of the copied columns, in their order."""

    key: Key
    column: int | None
    """Index into `TablePlan.copied`; None when the row as a whole is refused."""
    reason: str
    values: tuple[Value, ...]
    fatal: bool = False
    """The column's policy is `fail`."""

    @property
    def held_bytes(self) -> int:
        """Memory the row takes, roughly."""
        return 500 + sum(len(value) for value in self.values if isinstance(value, str | bytes))


@dataclass(slots=True)
class Chunk:
    """Consecutive rows of one table, `after < key <= last`, encoded as COPY tuples without header and trailer."""

    rank: Rank
    after: Key | None
    last: Key = ()
    rows: int = 0
    payload: list[bytes] = field(default_factory=list)
    bytes: int = 0
    held_bytes: int = 0
    """What the chunk holds in memory: payload and rejects."""
    rejects: list[RejectedRow] = field(default_factory=list)
    adjusted: dict[str, int] = field(default_factory=dict)
    """Source column -> values changed by its policy."""
    fallback_rows: int = 0
    """Rows that the native engine handed to the portable path."""

    def add_adjusted(self, column: str, count: int) -> None:
        """Count `count` more changed values of a column."""
        self.adjusted[column] = self.adjusted.get(column, 0) + count
