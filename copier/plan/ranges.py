"""Which key ranges of a table are still to be copied.

A table is read in key order and cut into chunks. Each chunk covers the keys `after < key <= last` and has a rank: a
list of integers whose lexicographic order is the key order. The first reading gives ranks [1], [2], ... Writers finish
out of order, so a killed run leaves gaps; chunks read again inside the gap that follows rank r get r + [0] * attempt +
[1], ..., which sorts after r and before everything an earlier attempt put behind r. So the order of keys is never
computed here: no collation, no comparison of values, only of ranks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from copier.plan.source import Key

Rank = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Committed:
    """One chunk that the ledger says is in the target."""

    rank: Rank
    after: Key | None
    """None: from the table's first key."""
    last: Key


@dataclass(frozen=True, slots=True)
class Gap:
    """Keys still to be copied: `after < key <= upto`; None means open at that end."""

    after: Key | None
    upto: Key | None
    prefix: Rank
    """Ranks of the gap's chunks are prefix + (1,), prefix + (2,), ..."""


def find_gaps(committed: Iterable[Committed], attempt: int) -> list[Gap]:
    """Return the gaps in key order; `attempt` is 0 for the first reading and grows with every resume.

    The last gap is always open to the right: only the reader can tell that a table has no more rows.
    """
    gaps: list[Gap] = []
    rank: Rank = ()
    last: Key | None = None
    zeros = (0,) * attempt
    for chunk in sorted(committed, key=lambda c: c.rank):
        if chunk.after != last:
            gaps.append(Gap(last, chunk.after, rank + zeros))
        rank, last = chunk.rank, chunk.last
    gaps.append(Gap(last, None, rank + zeros))
    return gaps
