"""From what was measured to pass, fail, or "the generator was the limit". Nothing is measured here."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loadtest.audit import Audit
from loadtest.collector import Collector
from loadtest.histogram import merged
from loadtest.shapes import Step
from loadtest.slo import OPERATIONS, Slo

Outcome = Literal["pass", "fail", "generator-bound"]
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "fail": 1, "generator-bound": 3}
PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
_BUSY_SECONDS_SHARE = 0.05
_RECOVERED_POINTS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One target, and what came of it."""

    name: str
    target: float
    measured: float | None
    met: bool
    unit: str
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Knee:
    """The highest rate of a ramp up to which everything held."""

    rate_per_s: float
    p95_ms: float
    limited_by: Literal["server", "generator"] | None
    """What did not hold in the next step; None when there was no worse step."""


@dataclass(frozen=True, slots=True)
class GeneratorHealth:
    """Whether the generator had the CPU it needed."""

    cpu_share_max: float
    cpu_share_mean: float
    machine_share_mean: float
    loop_lag_p99_ms: float
    reasons: tuple[str, ...] = ()

    @property
    def bound(self) -> bool:
        """The figures say more about the generator than about the server."""
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of a run."""

    outcome: Outcome
    reasons: tuple[str, ...]
    rows: tuple[Row, ...]
    generator: GeneratorHealth
    knee: Knee | None = None
    recovery_s: float | None = None


def judge(collector: Collector, slo: Slo, audit: Audit | None, silent: int = 0) -> Verdict:
    """Judge a run. Lost messages and errors fail it whatever the generator did; without enough generator, no pass.

    `silent` is how many generator processes did not hand over their last notes: their messages cannot be audited.
    """
    facts = _shape_rows(collector, slo)
    hard = _hard_rows(collector, slo, audit)
    health = generator_health(collector, slo, facts.buckets)
    rows = (*facts.rows, *_replication_rows(collector, slo), *hard)
    failed = [_sentence(row) for row in rows if not row.met]
    failed += audit.faults() if audit is not None else []
    failed += [] if collector.requests() else ["no request was sent"]
    failed += [f"{silent} generator processes ended without a word"] if silent else []
    certain = any(not row.met for row in hard) or bool(silent) or not collector.requests()
    certain |= audit is not None and not audit.ok
    outcome: Outcome = "fail" if failed else "pass"
    if health.bound and not certain:
        outcome = "generator-bound"
    return Verdict(outcome, (*health.reasons, *failed), rows, health, facts.knee, facts.recovery_s)


@dataclass(frozen=True, slots=True)
class _ShapeRows:
    rows: tuple[Row, ...]
    buckets: tuple[int, ...]
    """The points of the timeline the rows speak of."""
    knee: Knee | None = None
    recovery_s: float | None = None


def _shape_rows(collector: Collector, slo: Slo) -> _ShapeRows:
    if collector.shape.name == "ramp":
        return _ramp_rows(collector, slo)
    judged = collector.buckets(lambda step: step.judged)
    rows = [_least("messages sent", *_rates(collector, slo, judged), "messages/s")]
    for name, operation in slo.operations.items():
        latencies = collector.response(name, judged)
        if operation.per_message:
            rows += [
                _most(f"{name} {which[:3]}", target, latencies.percentile(PERCENTILES[which]), "ms")
                for which, target in operation.targets.items()
            ]
    if collector.shape.name != "spike":
        return _ShapeRows(tuple(rows), tuple(judged))
    recovery_s = recovery(collector, slo)
    rows.append(_most("recovery", slo.limits.recovery_s, recovery_s, "s"))
    return _ShapeRows(tuple(rows), tuple(judged), None, recovery_s)


def _ramp_rows(collector: Collector, slo: Slo) -> _ShapeRows:
    """The knee must reach the rate. Where it does, what came after is not judged; else the step after it is."""
    good, bad = ramp_steps(collector, slo)
    within = collector.buckets(lambda step: step in good)
    knee = None
    if good:
        p95_ms = collector.response("Sender", collector.buckets(lambda step: step is good[-1])[1:]).percentile(0.95)
        beyond = collector.buckets(lambda step: step is bad)
        limited = bool(beyond) and generator_health(collector, slo, beyond).bound
        limit = None if bad is None else "generator" if limited else "server"
        knee = Knee(good[-1].messages_per_s, p95_ms or 0.0, limit)
    row = _least("knee", slo.rate.messages_per_s, knee.rate_per_s if knee else 0.0, "messages/s")
    if not row.met:
        within += collector.buckets(lambda step: step is bad)
    return _ShapeRows((row,), tuple(within), knee)


def _replication_rows(collector: Collector, slo: Slo) -> list[Row]:
    if not collector.replication_lag_ms:
        return []
    lag_ms = quantile(collector.replication_lag_ms, 0.95)
    return [_most("replication lag p95", slo.limits.replication_lag_p95_ms, lag_ms, "ms")]


def _hard_rows(collector: Collector, slo: Slo, audit: Audit | None) -> list[Row]:
    requests = collector.requests()
    share = collector.failures() / requests if requests else 0.0
    rows = [_most("errors", slo.limits.error_share, share, "of requests")]
    if audit is not None:
        rows.append(_most("messages lost or doubled", 0, audit.missing + audit.duplicated, "messages"))
    return rows


def ramp_steps(collector: Collector, slo: Slo) -> tuple[list[Step], Step | None]:
    """Return the steps, from the first on, whose p95s meet their targets at the intended rate, and the next one.

    The first point of each step belongs to the change and is left out.
    """
    good: list[Step] = []
    for step in collector.shape.steps:
        buckets = collector.buckets(lambda one, step=step: one is step)[1:]  # type: ignore[misc]
        if step.judged and buckets:
            if not _holds(collector, slo, buckets):
                return good, step
            good.append(step)
    return good, None


def ramp_over(collector: Collector, slo: Slo) -> bool:
    """Return whether a step that did not hold has been run whole: the steps after it would only pile up requests."""
    _, bad = ramp_steps(collector, slo)
    return bad is not None and collector.shape.end_s(bad) <= collector.elapsed_s


def _holds(collector: Collector, slo: Slo, buckets: Sequence[int]) -> bool:
    least, measured = _rates(collector, slo, buckets)
    if measured < least:
        return False
    return all(_p95_met(collector, slo, name, buckets) for name in OPERATIONS)


def _p95_met(collector: Collector, slo: Slo, name: str, buckets: Sequence[int]) -> bool:
    target = slo.operations[name].p95_ms if name in slo.operations else None
    measured = collector.response(name, buckets).percentile(0.95)
    return target is None or measured is None or measured <= target


def recovery(collector: Collector, slo: Slo) -> float:
    """Return the seconds from the end of the spike until every p95 is within its target, three points in a row."""
    after = collector.buckets(lambda step: step.name in ("recovery", "after"))
    good_in_a_row = 0
    for count, one in enumerate(after, 1):
        held = all(_p95_met(collector, slo, name, [one]) for name in OPERATIONS)
        good_in_a_row = good_in_a_row + 1 if held else 0
        if good_in_a_row == _RECOVERED_POINTS:
            return float((count - _RECOVERED_POINTS) * collector.shape.bucket_s)
    return float(len(after) * collector.shape.bucket_s)


def generator_health(collector: Collector, slo: Slo, judged: Sequence[int]) -> GeneratorHealth:
    """Return how the generator did, over some points of the timeline."""
    ticks = [tick for (_, bucket), tick in collector.ticks.items() if bucket in judged]
    shares = [tick["cpu_share"] for tick in ticks]
    lag_ms = merged(collector.lags[one] for one in judged if one in collector.lags).percentile(0.99) or 0.0
    reasons = []
    busy = sum(share > slo.generator.cpu_share for share in shares)
    if busy > _BUSY_SECONDS_SHARE * len(shares):
        reasons.append(
            f"the generator used more than {slo.generator.cpu_share:.0%} of its core in {busy} of {len(shares)} seconds"
        )
    if lag_ms > slo.generator.loop_lag_p99_ms:
        reasons.append(
            f"the generator sent requests late: p99 {lag_ms:.1f} ms, at most {slo.generator.loop_lag_p99_ms:g} ms"
        )
    machine_share = statistics.fmean(tick["machine_share"] for tick in ticks) if ticks else 0.0
    if machine_share > slo.generator.machine_share:
        reasons.append(
            f"the generator's machine was {machine_share:.0%} busy: it and what else runs there, the server perhaps, "
            "took CPU from each other"
        )
    reasons += _late_only(collector, slo, judged) if collector.shape.name != "ramp" else []
    if _idle_server(collector, slo, judged):
        reasons.append("fewer requests than intended went out, although the server answered each in time")
    return GeneratorHealth(
        max(shares, default=0.0),
        statistics.fmean(shares) if shares else 0.0,
        machine_share,
        lag_ms,
        tuple(reasons),
    )


def _late_only(collector: Collector, slo: Slo, judged: Sequence[int]) -> list[str]:
    """Return a sentence when every latency that misses its target does so by the generator's own lateness alone."""
    missed = [
        (name, which, limit)
        for name, operation in slo.operations.items()
        for which, limit in operation.targets.items()
        if (collector.response(name, judged).percentile(PERCENTILES[which]) or 0.0) > limit
    ]
    if not missed or any(
        (collector.unhindered(name, judged).percentile(PERCENTILES[which]) or 0.0) > limit
        for name, which, limit in missed
    ):
        return []
    names = ", ".join(f"{name} {which[:3]}" for name, which, _ in missed)
    return [f"{names}: within the target but for the generator's own lateness"]


def _idle_server(collector: Collector, slo: Slo, judged: Sequence[int]) -> bool:
    """Return whether the rate was missed while every request, once sent, was answered within its target."""
    target, measured = _rates(collector, slo, judged)
    if measured >= target or not collector.requests():
        return False
    return not collector.failures() and all(
        (collector.service(name, judged).percentile(PERCENTILES[which]) or 0.0) <= limit
        for name, operation in slo.operations.items()
        for which, limit in operation.targets.items()
    )


def _rates(collector: Collector, slo: Slo, buckets: Sequence[int]) -> tuple[float, float]:
    """Return (least, measured) messages a second."""
    seconds = len(buckets) * collector.shape.bucket_s or 1
    steps = [collector.shape.step_of(one) for one in buckets]
    intended = sum(step.messages_per_s for step in steps if step) * collector.shape.bucket_s
    return slo.limits.achieved_share * intended / seconds, collector.answered("Sender", buckets) / seconds


def quantile(values: list[float], share: float) -> float:
    """Return the smallest value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _most(name: str, target: float, measured: float | None, unit: str) -> Row:
    return Row(name, target, measured, measured is not None and measured <= target, unit)


def _least(name: str, target: float, measured: float, unit: str) -> Row:
    return Row(name, target, measured, measured >= target, unit, at_least=True)


def _sentence(row: Row) -> str:
    limit = f"at {'least' if row.at_least else 'most'} {row.target:,.4g} {row.unit} wanted"
    return f"{row.name}: {'nothing was measured' if row.measured is None else f'{row.measured:,.4g}'}, {limit}"
