"""The machine the generator runs on."""

from __future__ import annotations

from copier.errors import UsageError
from copier.tune.here import cpu_count, cpu_model, memory_bytes


def machine() -> dict[str, object]:
    """Return the cores and the bytes of memory this process may use, and the processor's name."""
    try:
        memory = memory_bytes()
    except UsageError:  # this system does not say
        memory = 0
    return {"cores": cpu_count(), "model": cpu_model(), "memory_bytes": memory}
