"""What a load test writes: the document that `report` draws and `compare-performance` compares.

Rates are per second, latencies in milliseconds; None where nothing was measured. `t_s` counts from the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

KIND, VERSION = "loadtest", 1

Verdict = Literal["pass", "fail", "generator-bound"]


@dataclass(frozen=True, slots=True)
class Target:
    """The database under load."""

    server: str = ""
    database: str = ""
    where: str = ""
    via: str = "direct"
    """direct or pgbouncer."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the generator ran."""

    cores: int = 0
    model: str = ""
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """Operations per second, over the whole run."""

    intended_per_s: float | None = None
    achieved_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of operation: Sender, Reader, ..."""

    name: str
    count: int = 0
    failures: int = 0
    rate_per_s: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    targets: dict[str, float | None] = field(default_factory=dict)
    """p95_ms -> the most it may be."""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """One line of the service level objectives: a number with its unit, or text as it should be read."""

    name: str
    target: str | float | None = None
    measured: str | float | None = None
    met: bool | None = None
    unit: str = ""
    at_least: bool = False
    """The target is the least it may be; else the most."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of error that operations ended with."""

    operation: str
    error: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latencies of one operation in one interval."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One interval of the run."""

    t_s: float
    users: int | None = None
    intended_per_s: float | None = None
    rate_per_s: float | None = None
    failures_per_s: float | None = None
    operations: dict[str, Percentiles] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Generator:
    """How busy the generator was; `bound` when it, and not the server, was the limit."""

    cpu_share_max: float | None = None
    cpu_share_mean: float | None = None
    loop_lag_p99_ms: float | None = None
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Replication:
    """How far the standby was behind."""

    lag_ms_max: float | None = None
    lag_ms_p95: float | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """Whether every acknowledged message is in the table exactly once. Counts of messages."""

    acknowledged: int = 0
    found_once: int = 0
    missing: int = 0
    duplicated: int = 0
    unacknowledged_found: int = 0
    ok: bool = False


@dataclass(frozen=True, slots=True)
class Knee:
    """The highest rate that met the targets, where the load was raised to find it."""

    rate_per_s: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class LoadTest:
    """The whole document."""

    verdict: Verdict
    kind: str = KIND
    version: int = VERSION
    reasons: list[str] = field(default_factory=list)
    started_at: str = ""
    shape: str = ""
    duration_s: float = 0.0
    target: Target = field(default_factory=Target)
    machine: Machine = field(default_factory=Machine)
    rate: Rate = field(default_factory=Rate)
    operations: list[Operation] = field(default_factory=list)
    slo: list[Objective] = field(default_factory=list)
    errors: list[Failure] = field(default_factory=list)
    """The most frequent ones."""
    timeline: list[Sample] = field(default_factory=list)
    generator: Generator | None = None
    replication: Replication | None = None
    audit: Audit | None = None
    knee: Knee | None = None
