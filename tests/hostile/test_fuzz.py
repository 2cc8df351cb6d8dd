"""The fuzz target works: a few seconds of it, as `make fuzz` runs it for longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fix_engine import Kernel

FUZZ = Path(__file__).with_name("fuzz.py")
ROOT = FUZZ.parents[2]


@pytest.mark.parametrize("target", ["stream", "values", "files"])
def test_a_short_run(kernel: Kernel, target: str) -> None:
    command = [sys.executable, str(FUZZ), "--seconds", "1", "--seed", "1", "--target", target]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "no difference" in ended.stdout
