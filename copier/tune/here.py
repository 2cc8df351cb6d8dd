"""What the machine this runs on has: the only part of `tune` that looks at anything."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from copier.errors import UsageError


def cpu_count() -> int:
    """Return the CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes(proc: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Return the memory this process may count on: the machine's, or what its control group is limited to.

    UsageError where the system does not say.
    """
    try:
        lines = dict(line.split(":", 1) for line in proc.read_text().splitlines() if ":" in line)
        total = int(lines["MemTotal"].split()[0]) << 10
    except (OSError, KeyError, ValueError, IndexError):
        raise UsageError("this system does not say how much memory it has", hint="say it: --ram 32GB") from None
    try:
        return min(total, int(group.read_text()))
    except (OSError, ValueError):  # no such group, or "max"
        return total


def cpu_model(proc: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, or its architecture where the system does not say more."""
    lines = proc.read_text().splitlines() if proc.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
