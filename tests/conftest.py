"""Shared test code: every tests/fix_*.py is a plugin, one per concern."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = sorted(path.stem for path in Path(__file__).parent.glob("fix_*.py"))
pytest.register_assert_rewrite(*pytest_plugins)  # before any of them imports another
