"""What the copier tells while it works. A library user passes a callback; the command line draws bars or JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """A phase of a verb begins: backup, validate, profile, schema, data, indexes, constraints, verify ...

    `tables` and `rows` are what lies before it, former runs included; 0 where it cannot be known.
    """

    phase: str
    tables: int = 0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class PhaseFinished:
    """A phase ended well after `seconds`."""

    phase: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TableStarted:
    """Work on a table begins. `rows` is how many are expected in this phase, `done_rows` how many a former run did."""

    phase: str
    table: str
    rows: int
    done_rows: int = 0


@dataclass(frozen=True, slots=True)
class TableProgress:
    """`rows` more rows and `bytes` more bytes of the table are through (committed, where the phase commits)."""

    phase: str
    table: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TableFinished:
    """Work on a table ended."""

    phase: str
    table: str
    rows: int
    rejected: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence for the person: `detail` shows only with --verbose, `warning` always."""

    level: Literal["info", "detail", "warning"]
    text: str


Event = PhaseStarted | PhaseFinished | TableStarted | TableProgress | TableFinished | Message
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""
