"""Settings of every verb: flags > environment > file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from copier.plan.model import Names, Types

Existing = Literal["refuse", "append", "truncate", "replace"]
OnReject = Literal["quarantine", "fail"]
Orphans = Literal["not-valid", "quarantine", "fail"]
Level = Literal["count", "content"]


def default_jobs() -> int:
    """Writer connections: one per core, at least 2 and at most 8."""
    return max(2, min(8, os.cpu_count() or 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a verb needs to know. `postgres` is a DSN and may hold a password: never print it."""

    sqlite: Path | None = None
    postgres: str | None = None
    """None: an embedded server beside the SQLite file, for the verbs that allow it."""
    schema: str = "public"
    ledger_schema: str = "sqlite2pg"
    plan: Path | None = None
    tables: tuple[str, ...] = ()
    """Globs; empty means all."""
    exclude: tuple[str, ...] = ()
    types: Types = "native"
    names: Names = "exact"
    existing: Existing = "refuse"
    on_reject: OnReject = "quarantine"
    orphans: Orphans = "not-valid"
    level: Level = "content"
    jobs: int = 0
    """0: `default_jobs()`."""
    chunk_bytes: int = 4 << 20
    memory_bytes: int = 16 << 20
    with_rowid: bool = False
    freeze: bool = False
    immutable: bool = False
    sample: int = 0
    """Rows to profile per table; 0 means all."""
    deep: bool = False
    backup: Path | None = None
    no_backup: bool = False
    salvage: bool = False
    """A damaged source is first written into a new file, as far as it can be read, and that is moved."""
    script: Path | None = None
    """Where `schema` and `full` write the SQL script."""

    @property
    def writers(self) -> int:
        """Writer connections in all."""
        return self.jobs or default_jobs()
