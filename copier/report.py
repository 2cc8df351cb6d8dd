"""What happened: the document `--report` writes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson

from copier.plan.model import ObjectNote

Outcome = Literal["verified", "attention", "mismatch", "failed", "refused"]

EXIT_CODES: dict[Outcome, int] = {"verified": 0, "failed": 1, "attention": 3, "mismatch": 4, "refused": 5}

KIND, VERSION = "migration", 1
"""What the document says it is; the version rises when a reader of the old one would misread the new one."""

REJECTS_SHOWN = 100
"""Rejects and mismatches listed in the document; all rejects are in the target's ledger."""

LOSSES_SHOWN = 100
"""Losses of a salvage listed in the document; all of them are in the listing beside the salvaged file."""


@dataclass(slots=True)
class TableReport:
    """One table of the source that was copied, or should have been."""

    source: str
    target: str
    source_rows: int = 0
    copied_rows: int = 0
    rejected_rows: int = 0
    verified: Literal["content", "count"] | None = None
    bytes: int = 0
    seconds: float = 0.0
    adjusted_values: dict[str, int] = field(default_factory=dict)
    """Column -> values changed by its policy (null_if_empty, default, strip, ...)."""
    fallback_rows: int = 0
    """Rows that the native engine handed to the portable one: the same result, more slowly."""


@dataclass(frozen=True, slots=True)
class RejectReport:
    """One row in the ledger's reject table. `value` is printable and shortened."""

    table: str
    key: str
    column: str | None
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One row that differs. `source` and `target` are printable values, None where the row is missing."""

    table: str
    key: str
    column: str | None
    source: str | None
    target: str | None


@dataclass(frozen=True, slots=True)
class RetryReport:
    """One table whose rejected rows were tried again; `left_rows` are still rejected."""

    source: str
    target: str
    retried_rows: int
    moved_rows: int
    left_rows: int


@dataclass(slots=True)
class Report:
    """The whole document. Every table and object of the source is in `tables` or `objects` exactly once."""

    outcome: Outcome = "failed"
    command: str = "full"
    run: str | None = None
    """Run id in the ledger."""
    engine: str = "portable"
    source: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)
    phases: list[dict[str, Any]] = field(default_factory=list)
    """{"name", "started_s", "seconds"}; `started_s` counts from the beginning of the verb."""
    tables: list[TableReport] = field(default_factory=list)
    objects: list[ObjectNote] = field(default_factory=list)
    rejects: list[RejectReport] = field(default_factory=list)
    retries: list[RetryReport] = field(default_factory=list)
    """What `rejects --retry` did, by table."""
    mismatches: list[Mismatch] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    """Preflight and verification checks: {"name", "ok", "detail", "hint", "fatal"}. One that is neither ok nor fatal is
    advice; reports of older versions do not say, and then it counts as fatal."""
    warnings: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    """{"type", "message", "hint", "table", "column", "key"} when outcome is failed or refused."""
    peak_rss_bytes: int = 0
    seconds: float = 0.0
    kind: str = KIND
    version: int = VERSION
    timeline: list[dict[str, Any]] = field(default_factory=list)
    """{"t_s", "phase", "rows", "bytes"}: what data and verify had done by then; see `copier.run.timeline`."""
    salvage: dict[str, Any] | None = None
    """What was salvaged from a damaged source and what was lost, as `SalvageResult.document` says it."""

    @property
    def exit_code(self) -> int:
        """What the command ends with."""
        return EXIT_CODES[self.outcome]

    def add_check(self, name: str, ok: bool, detail: str, hint: str = "", *, fatal: bool = True) -> None:
        """Record a check; see `checks`."""
        self.checks.append({"name": name, "ok": ok, "detail": detail, "hint": hint, "fatal": fatal})

    def to_json(self) -> bytes:
        """Return the document as indented JSON."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
