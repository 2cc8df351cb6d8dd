"""Shared test code: every tests/fix_*.py is a plugin, one per concern."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

# A shell starts what it puts into the background with SIGINT ignored; children inherit that and hear no Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = sorted(path.stem for path in Path(__file__).parent.glob("fix_*.py"))
pytest.register_assert_rewrite(*pytest_plugins)  # before any of them imports another
