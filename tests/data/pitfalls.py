"""Every case of what SQLite databases really contain, with the expected outcome beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from .pitfall import ObjectExpected, PitfallCase, run
from .pitfalls_keys import KEY_CASES
from .pitfalls_programs import PROGRAM_CASES
from .pitfalls_schema import SCHEMA_CASES
from .pitfalls_structured import STRUCTURED_CASES
from .pitfalls_values import VALUE_CASES

__all__ = ["CASES", "VERIFIED", "ObjectExpected", "PitfallCase", "build"]

CASES: tuple[PitfallCase, ...] = (
    *VALUE_CASES,
    *STRUCTURED_CASES,
    *KEY_CASES,
    *SCHEMA_CASES,
    *PROGRAM_CASES,
)

VERIFIED = tuple(case for case in CASES if case.outcome == "verified")
"""Cases that leave nothing for a person to do."""


def build(path: Path, cases: Iterable[PitfallCase] = CASES) -> None:
    """Write the cases into one new file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for case in cases:
            try:
                run(connection, case.sql)
            except sqlite3.Error as error:
                raise ValueError(f"{case.name}: {error}") from error
        connection.execute("COMMIT")
