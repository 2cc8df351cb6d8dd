"""The machine the generator runs on."""

from __future__ import annotations

import platform
from pathlib import Path

from copier.errors import UsageError
from copier.tune.here import cpu_count, memory_bytes


def machine() -> dict[str, object]:
    """Return the cores and the bytes of memory this process may use, and the processor's name."""
    try:
        memory = memory_bytes()
    except UsageError:  # this system does not say
        memory = 0
    return {"cores": cpu_count(), "model": _model(), "memory_bytes": memory}


def _model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
