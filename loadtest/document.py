"""The run as one JSON document: `{"kind": "loadtest", "version": 1, ...}`. It holds no secret."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from loadtest.audit import Audit
from loadtest.collector import Collector
from loadtest.machine import machine
from loadtest.recorder import Cell
from loadtest.shapes import Step
from loadtest.slo import OPERATIONS, Slo
from loadtest.target import Facts
from loadtest.verdict import PERCENTILES, Verdict, quantile

_ERRORS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """All there is to say of a run."""

    started_at: datetime
    facts: Facts
    slo: Slo
    collector: Collector
    audit: Audit | None
    verdict: Verdict
    prepared: bool
    processes: int


def build_document(run: Measured) -> dict[str, Any]:
    """Return the document; numbers are rounded to what they are good for."""
    collector, verdict = run.collector, run.verdict
    judged = collector.buckets(lambda step: step.judged)
    seconds = len(judged) * collector.shape.bucket_s
    intended = sum(_intended(run, one) for one in judged) * collector.shape.bucket_s
    answered = sum(collector.answered(name, judged) for name in OPERATIONS)
    return {
        "kind": "loadtest",
        "version": 1,
        "verdict": verdict.outcome,
        "reasons": list(verdict.reasons),
        "started_at": run.started_at.isoformat(),
        "shape": collector.shape.name,
        "duration_s": seconds,
        "target": {**asdict(run.facts), "prepared_statements": run.prepared},
        "machine": machine(),
        "rate": {
            "intended_per_s": _round(intended / seconds if seconds else 0.0),
            "achieved_per_s": _round(answered / seconds if seconds else 0.0),
        },
        "operations": [_operation(run, name, judged, seconds) for name in OPERATIONS if run.slo.per_message(name)],
        "slo": [_rounded(asdict(row)) for row in verdict.rows],
        "errors": [
            {"operation": operation, "error": error, "count": count}
            for (operation, error), count in collector.errors.most_common(_ERRORS_KEPT)
        ],
        "timeline": _timeline(run),
        "generator": _generator(run),
        "replication": _replication(collector.replication_lag_ms),
        "audit": {**asdict(run.audit), "ok": run.audit.ok} if run.audit else None,
        "knee": _rounded(asdict(verdict.knee)) if verdict.knee else None,
    }


def _operation(run: Measured, name: str, judged: list[int], seconds: int) -> dict[str, Any]:
    response, service = run.collector.response(name, judged), run.collector.service(name, judged)
    targets = run.slo.operations[name].targets
    measured = {key: response.percentile(share) for key, share in PERCENTILES.items()}
    return {
        "name": name,
        "count": response.count,
        "failures": run.collector.failures(name),
        "rate_per_s": _round(response.count / seconds if seconds else 0.0),
        **_rounded(measured),
        "max_ms": _round(response.max_ms),
        **{f"service_{key}": _round(service.percentile(share)) for key, share in PERCENTILES.items()},
        "targets": targets,
        "met": all((found := measured[key]) is not None and found <= target for key, target in targets.items()),
    }


def _timeline(run: Measured) -> list[dict[str, Any]]:
    collector, width_s = run.collector, run.collector.shape.bucket_s
    points = []
    for bucket in collector.buckets(lambda step: True):
        cells = {name: cell for name in OPERATIONS if (cell := collector.cells.get((bucket, name)))}
        step = collector.shape.step_of(bucket)
        shares = [tick["cpu_share"] for (_, at), tick in collector.ticks.items() if at == bucket]
        points.append(
            {
                "t_s": bucket * width_s,
                "phase": step.name if step else "",
                "users": collector.users.get(bucket),
                "intended_per_s": _round(_intended(run, bucket)),
                "rate_per_s": _round(sum(cell.response.count for cell in cells.values()) / width_s),
                "failures_per_s": _round(sum(cell.failures for cell in cells.values()) / width_s),
                "generator_cpu_share": _round(max(shares, default=None)),
                "operations": {name: _percentiles(cell) for name, cell in cells.items()},
            }
        )
    return points


def _percentiles(cell: Cell) -> dict[str, float | None]:
    return {key: _round(cell.response.percentile(share)) for key, share in PERCENTILES.items()}


def _generator(run: Measured) -> dict[str, Any]:
    health = run.verdict.generator
    return {
        "cpu_share_max": _round(health.cpu_share_max),
        "cpu_share_mean": _round(health.cpu_share_mean),
        "machine_share_mean": _round(health.machine_share_mean),
        "loop_lag_p99_ms": _round(health.loop_lag_p99_ms),
        "processes": run.processes,
        "bound": health.bound,
    }


def _replication(lags_ms: list[float]) -> dict[str, Any] | None:
    if not lags_ms:
        return None
    return {
        "lag_ms_max": _round(max(lags_ms)),
        "lag_ms_p95": _round(quantile(lags_ms, 0.95)),
        "lag_ms_mean": _round(statistics.fmean(lags_ms)),
    }


def _intended(run: Measured, bucket: int) -> float:
    step: Step | None = run.collector.shape.step_of(bucket)
    return step.messages_per_s * sum(map(run.slo.per_message, OPERATIONS)) if step else 0.0


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _round(value) if isinstance(value, float) else value for key, value in values.items()}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
