"""The intended load over time, and from it the moment each request is due. Pure arithmetic.

Users and connections stay; their pace changes. So a shape is a list of steps of constant rate, and a user's requests
are due where its share of the running total passes a whole number. A user that falls behind catches up, which Locust's
own `constant_throughput` does not: it starts a new interval after a slow request, and so asks less of a slow server.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from loadtest.slo import Slo

SHAPES = ("steady", "ramp", "spike", "soak")
_LONGEST_TIMELINE = 900


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of constant rate."""

    name: str
    seconds: int
    messages_per_s: float
    judged: bool = True
    """Whether latencies count. Errors and lost messages always do."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The intended load from first to last second, the warm-up included."""

    name: str
    steps: tuple[Step, ...]
    bucket_s: int
    """Width of one point of the timeline; every step is a whole number of them."""

    @property
    def duration_s(self) -> int:
        """With the warm-up."""
        return sum(step.seconds for step in self.steps)

    def end_s(self, step: Step) -> int:
        """Return when a step is over."""
        return sum(one.seconds for one in self.steps[: self.steps.index(step) + 1])

    def step_of(self, bucket: int) -> Step | None:
        """Return the step a point of the timeline lies in; None after the end."""
        end_s = 0
        for step in self.steps:
            end_s += step.seconds
            if bucket * self.bucket_s < end_s:
                return step
        return None


def build_shape(name: str, rate: float, seconds: int, slo: Slo) -> Shape:
    """Return the shape `name` around `rate` messages a second, about `seconds` long after the warm-up."""
    bucket_s = math.ceil((seconds + slo.rate.warmup_s) / _LONGEST_TIMELINE)

    def whole(length_s: float) -> int:
        return max(1, round(length_s / bucket_s)) * bucket_s

    if name == "ramp":
        steps = _ramp(rate, whole(seconds / slo.shapes.ramp_steps), slo)
    elif name == "spike":
        calm_s, spike_s = whole(seconds * 0.4), whole(seconds * 0.1)
        steps = [
            Step("before", calm_s, rate),
            Step("spike", spike_s, rate * slo.shapes.spike_share, judged=False),
            Step("recovery", whole(slo.limits.recovery_s), rate, judged=False),
            Step("after", whole(max(bucket_s, seconds * 0.5 - slo.limits.recovery_s)), rate),
        ]
    else:
        steps = [Step(name, whole(seconds), rate)]
    if slo.rate.warmup_s:
        steps.insert(0, Step("warm-up", whole(slo.rate.warmup_s), steps[0].messages_per_s, judged=False))
    return Shape(name, tuple(steps), bucket_s)


def _ramp(rate: float, step_s: int, slo: Slo) -> list[Step]:
    first, last, count = slo.shapes.ramp_from_share, slo.shapes.ramp_to_share, slo.shapes.ramp_steps
    rates = [rate * (first + (last - first) * number / (count - 1)) for number in range(count)]
    return [Step(f"step {number}", step_s, one) for number, one in enumerate(rates, 1)]


def due_times(steps: tuple[Step, ...], per_message: float, phase: float) -> Iterator[float]:
    """Yield when the requests of one user are due, in seconds from the start, ascending.

    `per_message` is the user's requests for each message of the whole test; `phase`, from 0 to 1, is how much of the
    first request is due at the start already.
    """
    start_s, owed = 0.0, phase
    for step in steps:
        rate = step.messages_per_s * per_message
        number = 1
        while rate and (number - owed) / rate < step.seconds:
            yield start_s + (number - owed) / rate
            number += 1
        owed += rate * step.seconds - (number - 1)
        start_s += step.seconds
