"""`slo.toml`: rates, mix and targets, read and checked."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from copier.errors import UsageError

DEFAULT_SLO = Path(__file__).with_name("slo.toml")
CLASSES: dict[str, tuple[str, ...]] = {
    "Sender": ("Sender",),
    "Reader": ("Reader",),
    "Searcher": ("Searcher", "UserSearch"),
    "Presence": ("Presence", "LastSeen"),
}
"""User class -> its operations. The class's rate is the sum of theirs."""
OPERATIONS = tuple(name for names in CLASSES.values() for name in names)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rate(_Part):
    """How much, by how many, and how long before it counts."""

    messages_per_s: float = Field(gt=0)
    users: int = Field(ge=len(CLASSES))
    warmup_s: int = Field(ge=0)


class Operation(_Part):
    """Its share of the mix, and its targets; a percentile without a target is shown and not judged."""

    per_message: float = Field(ge=0)
    p50_ms: float | None = Field(None, gt=0)
    p95_ms: float | None = Field(None, gt=0)
    p99_ms: float | None = Field(None, gt=0)

    @property
    def targets(self) -> dict[str, float]:
        """Return name -> target, of those there are: {"p95_ms": 10.0}."""
        found = {"p50_ms": self.p50_ms, "p95_ms": self.p95_ms, "p99_ms": self.p99_ms}
        return {name: target for name, target in found.items() if target is not None}


class Limits(_Part):
    """What holds for the run as a whole."""

    achieved_share: float = Field(gt=0, le=1)
    error_share: float = Field(ge=0, le=1)
    replication_lag_p95_ms: float = Field(gt=0)
    recovery_s: float = Field(ge=0)


class Generator(_Part):
    """Where the generator itself becomes the limit."""

    cpu_share: float = Field(gt=0, le=1)
    machine_share: float = Field(gt=0, le=1)
    loop_lag_p99_ms: float = Field(gt=0)


class Shapes(_Part):
    """What the shapes other than `steady` and `soak` are made of."""

    ramp_from_share: float = Field(gt=0)
    ramp_to_share: float = Field(gt=0)
    ramp_steps: int = Field(ge=2)
    spike_share: float = Field(gt=1)


class Slo(_Part):
    """The whole file."""

    rate: Rate
    operations: dict[str, Operation]
    limits: Limits
    generator: Generator
    shapes: Shapes

    def per_message(self, operation: str) -> float:
        """Return requests for each message; 0 for an operation the file leaves out."""
        found = self.operations.get(operation)
        return found.per_message if found else 0.0

    def class_rate(self, user_class: str) -> float:
        """Return requests of a user class for each message."""
        return sum(map(self.per_message, CLASSES[user_class]))


def parse_slo(text: str, name: str = "slo.toml") -> Slo:
    """Return the targets. UsageError names the first line or setting that is wrong."""
    try:
        slo = Slo.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{name}: {where}: {first['msg'].lower()}", hint=f"see {DEFAULT_SLO.name} for the form"
        ) from None
    unknown = [one for one in slo.operations if one not in OPERATIONS]
    if unknown:
        raise UsageError(f"{name}: there is no operation {unknown[0]!r}", hint=f"there are {', '.join(OPERATIONS)}")
    if slo.per_message("Sender") != 1:
        raise UsageError(f"{name}: operations.Sender.per_message must be 1: all rates follow the messages")
    return slo


def apportion(users: int, slo: Slo) -> dict[str, int]:
    """Return users of each class, in proportion to its rate, and at least one where it has any; `users` in all."""
    rates = {name: slo.class_rate(name) for name in CLASSES if slo.class_rate(name)}
    if users < len(rates):
        raise UsageError(f"{users} users are too few for {len(rates)} kinds of users", hint="raise --users")
    exact = {name: rate / sum(rates.values()) * users for name, rate in rates.items()}
    counts = {name: max(1, int(share)) for name, share in exact.items()}
    while sum(counts.values()) < users:
        counts[max(counts, key=lambda name: exact[name] - counts[name])] += 1
    while sum(counts.values()) > users:
        counts[max(counts, key=lambda name: (counts[name] > 1, counts[name] - exact[name]))] -= 1
    return counts
