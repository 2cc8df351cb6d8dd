"""What the command line sees of the machine: nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings from the machine: own directory, no variables that count, 80 columns."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("SQLITE2PG_", "PG")) or name in ("DATABASE_URL", "SQLITE_PATH"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
