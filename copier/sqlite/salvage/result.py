"""What a salvage brought and what it lost, and the listing of it: `<file>.json` beside the new file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from copier.errors import UsageError

KIND, VERSION = "salvage", 1
"""What the listing says it is; the version rises when a reader of the old one would misread the new one."""

LISTED_PER_TABLE = 10_000
"""Entries of one table; what is lost after that widens the last entry of its kind, with its rows and pages counted."""

_AND_MORE = ", and others after it"

LossKind = Literal["pages", "row", "refused", "suspect", "object"]


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that is not in the new file, or that somebody should look at.

    pages: nothing below these pages can be read, and their rows lie within the keys named. row: this row cannot be
    read. refused: rows can be read, and the table's own constraints refuse them. suspect: rows were carried from a page
    that SQLite's check finds damaged. object: an index, view, trigger or table whose own text does not do.
    """

    kind: LossKind
    table: str
    reason: str
    """SQLite's own sentence where it has one."""
    first: int | None = None
    last: int | None = None
    """The rowids it lies within, None where that end is open or the table has none."""
    key: str = ""
    """The same in words, for tables without rowids."""
    name: str = ""
    """Kind and name of an object."""
    rows: int = 0
    """Rows lost, refused or suspect; 0 where nobody can count them."""
    pages: int = 0
    page: int = 0
    """The first of the pages, numbered from 1."""
    found_rows: int = 0
    """Rows of these keys that were found on pages that nothing refers to, and carried."""

    @property
    def where(self) -> str:
        """Which rows or object, in words."""
        if self.kind == "object":
            return self.name
        if self.key:
            return self.key
        if self.first is not None and self.first == self.last:
            return f"rowid {self.first}"
        if self.first is None and self.last is None:
            return f"page {self.page}" if self.page else "rows"
        ends = ("" if end is None else str(end) for end in (self.first, self.last))
        return f"rowid {'..'.join(ends)}"


@dataclass(frozen=True, slots=True)
class TableSalvage:
    """One table of the new file."""

    name: str
    rows: int
    """Rows carried."""
    losses: int = 0
    """Entries of the listing about it."""


@dataclass(frozen=True, slots=True)
class SalvageResult:
    """What was written, and what is missing in it."""

    source: Path
    path: Path
    size_bytes: int
    sha256: str
    state: str
    """Which state of the source it was made of; see `source`."""
    tables: tuple[TableSalvage, ...]
    losses: tuple[Loss, ...] = ()
    problems: tuple[str, ...] = ()
    """What SQLite's own check says of the source, shortened to the first hundred lines."""
    notes: tuple[str, ...] = ()
    """What else somebody should know; nothing is lost by it."""

    @property
    def rows(self) -> int:
        """Rows carried."""
        return sum(table.rows for table in self.tables)

    @property
    def counts(self) -> dict[LossKind, int]:
        """Entries by kind."""
        return dict(Counter(loss.kind for loss in self.losses))

    @property
    def listing(self) -> Path:
        """Where the whole list stands."""
        return listing_path(self.path)

    def document(self, most: int | None = None) -> dict[str, Any]:
        """Return it as plain values, with the first `most` losses, or all."""
        losses = [asdict(loss) | {"where": loss.where} for loss in self.losses[:most]]
        return {
            "source": str(self.source),
            "path": str(self.path),
            "listing": str(self.listing),
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "state": self.state,
            "rows": self.rows,
            "lost": len(self.losses),
            "counts": self.counts,
            "lost_pages": sum(loss.pages for loss in self.losses if loss.kind == "pages"),
            "unreadable_rows": sum(loss.rows for loss in self.losses if loss.kind == "row"),
            "refused_rows": sum(loss.rows for loss in self.losses if loss.kind == "refused"),
            "tables": [asdict(table) for table in self.tables],
            "losses": losses,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }

    def to_json(self) -> bytes:
        """Return the listing."""
        document = {"kind": KIND, "version": VERSION} | self.document()
        return json.dumps(document, indent=1).encode() + b"\n"


def listing_path(path: Path) -> Path:
    """Return the name of the listing beside the salvaged file `path`."""
    return path.with_name(path.name + ".json")


def read_listing(path: Path) -> SalvageResult:
    """Return what the listing beside the salvaged file `path` says. Raises UsageError when it is none."""
    listing = listing_path(path)
    try:
        content = json.loads(listing.read_bytes())
        if (content.pop("kind"), content.pop("version")) != (KIND, VERSION):
            raise ValueError("another kind of document")
        losses = tuple(Loss(**{k: v for k, v in one.items() if k != "where"}) for one in content["losses"])
        return SalvageResult(
            source=Path(content["source"]),
            path=path,
            size_bytes=content["bytes"],
            sha256=content["sha256"],
            state=content["state"],
            tables=tuple(TableSalvage(**one) for one in content["tables"]),
            losses=losses,
            problems=tuple(content["problems"]),
            notes=tuple(content["notes"]),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{listing}, the listing of what {path.name} lacks, cannot be read: {error}",
            hint=f"remove {path.name} and what stands beside it, and salvage again",
        ) from error


class Losses:
    """Collects losses; neighbours that are lost for the same reason become one entry."""

    def __init__(self) -> None:
        self._entries: list[Loss] = []
        self._by_table: Counter[str] = Counter()
        self._open = False

    def add(self, loss: Loss) -> None:
        """Add one."""
        last = self._entries[-1] if self._entries else None
        if last is not None and self._open and not loss.key and _alike(last, loss):
            self._entries[-1] = _joined(last, loss)
        elif self._by_table[loss.table] < LISTED_PER_TABLE or not self._widen(loss):
            self._entries.append(loss)
            self._by_table[loss.table] += 1
        self._open = loss.kind != "object"

    def _widen(self, loss: Loss) -> bool:
        """Put a loss into the last entry of its kind and table; False when there is none."""
        for place in range(len(self._entries) - 1, -1, -1):
            one = self._entries[place]
            if (one.table, one.kind) == (loss.table, loss.kind):
                more = "" if not one.key or one.key.endswith(_AND_MORE) else _AND_MORE
                self._entries[place] = replace(_joined(one, loss), key=one.key + more)
                return True
        return False

    def carried(self) -> None:
        """Say that something was carried: what is lost after it is another entry."""
        self._open = False

    def count(self, table: str) -> int:
        """Return how many entries are about a table."""
        return self._by_table[table]

    def change(self, choose: Callable[[Loss], Loss]) -> None:
        """Put what `choose` returns in the place of each entry."""
        self._entries = [choose(one) for one in self._entries]
        self._open = False

    def all(self) -> tuple[Loss, ...]:
        """Return all."""
        return tuple(self._entries)


def _alike(one: Loss, other: Loss) -> bool:
    return (one.table, one.kind, one.reason) == (other.table, other.kind, other.reason)


def _joined(one: Loss, other: Loss) -> Loss:
    """Return one entry for both."""
    return replace(
        one,
        first=None if one.first is None or other.first is None else min(one.first, other.first),
        last=None if one.last is None or other.last is None else max(one.last, other.last),
        rows=one.rows + other.rows,
        pages=one.pages + other.pages,
        found_rows=one.found_rows + other.found_rows,
    )
