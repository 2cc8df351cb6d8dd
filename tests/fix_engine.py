"""The native engine: the kernel where it is built, and scans through it.

Where it is absent its tests are skipped, unless SQLITE2PG_ENGINE=native asks for it: then they fail.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from copier.plan.pgtype import PgType
from copier.sqlite.library import LibraryAbsent, find_functions, handle_of


@dataclass(frozen=True, slots=True)
class Scanned:
    """What one scan gave."""

    payload: bytes
    read_rows: int
    rows: int
    first_key: tuple[Any, ...]
    last_key: tuple[Any, ...]
    handed: list[tuple[Any, ...]]
    more: bool


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel bound to Python's SQLite."""

    module: ModuleType
    library: Any

    def scanner(self, types: Sequence[tuple[PgType, str]], key_width: int = 1, page_bytes: int = 1 << 20) -> Any:
        """Return a scanner of columns, each a type and a cast."""
        columns = self.module.Columns([(type.wire, cast, type.args) for type, cast in types])
        return self.module.Scanner(self.library, columns, key_width, page_bytes)

    def scan(
        self,
        db: sqlite3.Connection,
        types: Sequence[tuple[PgType, str]],
        sql: str,
        parameters: Sequence[object] = (),
        *,
        key_width: int = 1,
        page_bytes: int = 1 << 20,
    ) -> Scanned:
        """Scan one page."""
        scanner = self.scanner(types, key_width, page_bytes)
        return Scanned(*scanner.scan(handle_of(db), sql.encode(), parameters))


def load_kernel() -> Kernel:
    """Return the kernel; LibraryAbsent or ImportError where it is not."""
    from copier.wire import kernel

    return Kernel(kernel, kernel.Library(find_functions(kernel.SYMBOLS)))


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    """The kernel, or a skip."""
    try:
        return load_kernel()
    except (ImportError, LibraryAbsent) as error:
        if os.environ.get("SQLITE2PG_ENGINE") == "native":
            raise
        pytest.skip(f"the kernel is not here: {error}")
