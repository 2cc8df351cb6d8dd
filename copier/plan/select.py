"""Which tables a run is about: `--tables` and `--exclude`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from copier.errors import PlanError, UsageError
from copier.plan.source import SourceTable

MAX_COLUMNS = 1600
"""Columns of a PostgreSQL table (PostgreSQL docs, appendix K, limits)."""


def is_selected(name: str, tables: Sequence[str] = (), exclude: Sequence[str] = ()) -> bool:
    """Whether the globs take the table `name`, ASCII case ignored as SQLite does; no `tables` means all."""
    return (not tables or _matches(name, tables)) and not _matches(name, exclude)


def check_globs(names: Iterable[str], globs: Sequence[str], option: str) -> None:
    """Raise UsageError for a glob that matches none of the names: most likely a misspelling."""
    known = list(names)
    for glob in globs:
        if not any(_matches(name, (glob,)) for name in known):
            listed = ", ".join(sorted(known)[:20]) or "none"
            raise UsageError(f"{option} {glob!r} matches no table", hint=f"The tables are: {listed}.")


def check_width(tables: Iterable[SourceTable]) -> None:
    """Raise PlanError for a table with more columns than PostgreSQL takes."""
    for table in tables:
        if len(table.columns) > MAX_COLUMNS:
            raise PlanError(
                f"table {table.name} has {len(table.columns):,} columns; PostgreSQL takes {MAX_COLUMNS:,}",
                hint="leave it out with --exclude, or split it in the source first",
            )


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), glob.lower()) for glob in globs)
