"""The page of a load test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from copier.loadtest_report import Failure, LoadTest, Objective, Operation, Sample
from copier.page.charts import Chart, Line, draw
from copier.page.view import Fact, Pairs, Verdict, cut
from copier.units import count, duration, plural, size

_OPERATIONS = 50
_CHARTS = 8
_PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")


@dataclass(frozen=True, slots=True)
class ObjectiveRow:
    """A line of the targets, as it is read."""

    name: str
    target: str
    measured: str
    met: str
    tone: str


@dataclass(frozen=True, slots=True)
class OperationRow:
    """A line of the operations, as it is read."""

    name: str
    count: str
    failures: str
    rate: str
    latencies: list[str]
    met: str
    tone: str


@dataclass(frozen=True, slots=True)
class Part:
    """A section of names and values."""

    title: str
    pairs: Pairs
    words: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class LoadTestPage:
    """What the template `loadtest.html` is filled with."""

    title: str
    origin: str
    verdict: Verdict
    facts: list[Fact]
    objectives: list[ObjectiveRow]
    operations: list[OperationRow]
    unlisted_operations: str
    errors: list[Failure]
    rate_chart: Chart | None
    latency_charts: list[Chart]
    parts: list[Part]


def loadtest_page(test: LoadTest) -> LoadTestPage:
    """Return what the page of a load test shows."""
    verdict = _verdict(test)
    rest = len(test.operations) - _OPERATIONS
    return LoadTestPage(
        title=f"{verdict.headline} sqlite2pg load test",
        origin=" · ".join(cut(part, 200) for part in (test.target.where, test.started_at[:19]) if part),
        verdict=verdict,
        facts=list(_facts(test)),
        objectives=[_objective(o) for o in test.slo[:_OPERATIONS]],
        operations=[_operation(o) for o in test.operations[:_OPERATIONS]],
        unlisted_operations=f"And {plural(rest, 'more operation')}." if rest > 0 else "",
        errors=[Failure(cut(e.operation, 200), cut(e.error), e.count) for e in test.errors[:_OPERATIONS]],
        rate_chart=_rate_chart(test.timeline),
        latency_charts=list(_latency_charts(test)),
        parts=list(_parts(test)),
    )


def _verdict(test: LoadTest) -> Verdict:
    reasons = [_sentence(cut(reason)) for reason in test.reasons[:20]]
    match test.verdict:
        case "pass":
            met = "Passed: every target met" if test.slo or test.operations else "Passed"
            rate = test.rate.achieved_per_s
            what = f" at {_figure(rate)} operations per second" if rate is not None else ""
            lasted = f" for {duration(test.duration_s)}" if test.duration_s else ""
            return Verdict("ok", f"{met}{what}{lasted}.", [_safe(test)], reasons)
        case "fail":
            missed = sum(o.met is False for o in test.slo)
            what = f"{count(missed)} of {plural(len(test.slo), 'target')} missed" if missed else "see below"
            return Verdict("bad", f"Failed: {what}.", ["The server is not good enough for this load yet."], reasons)
    told = "These figures are those of the generator and say nothing about the server. Repeat with more CPU for it."
    return Verdict("warn", "No verdict: the load generator was the limit, not the server.", [told], reasons)


def _safe(test: LoadTest) -> str:
    if test.audit is not None and test.audit.ok:
        return "Every acknowledged message was found in the database exactly once."
    return "Messages were not audited in this run." if test.audit is None else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _facts(test: LoadTest) -> Iterator[Fact]:
    rate = test.rate
    if rate.achieved_per_s is not None:
        intended = f"of {_figure(rate.intended_per_s)} intended" if rate.intended_per_s is not None else ""
        yield Fact("Operations per second", _figure(rate.achieved_per_s), intended)
    done, failed = sum(o.count for o in test.operations), sum(o.failures for o in test.operations)
    if done:
        yield Fact("Operations", count(done), f"{count(failed)} failed")
    worst = max((o for o in test.operations if o.p95_ms is not None), key=lambda o: o.p95_ms or 0.0, default=None)
    if worst is not None:
        yield Fact("Highest p95", f"{_figure(worst.p95_ms)} ms", cut(worst.name, 60))
    users = max((s.users for s in test.timeline if s.users is not None), default=None)
    if users is not None:
        yield Fact("Users at most", count(users), cut(test.target.via, 40))
    if test.duration_s:
        yield Fact("Duration", duration(test.duration_s), f"shape {cut(test.shape, 40)}" if test.shape else "")


def _objective(o: Objective) -> ObjectiveRow:
    tone, met = _met(o.met)
    bound = "" if isinstance(o.target, str) or o.target is None else "≥ " if o.at_least else "≤ "
    return ObjectiveRow(cut(o.name, 200), bound + _value(o.target, o.unit), _value(o.measured, o.unit), met, tone)


def _operation(o: Operation) -> OperationRow:
    tone, met = _met(o.met)
    latencies = [_against(o, key) for key in _PERCENTILES] + [_figure(o.max_ms)]
    failures = count(o.failures) if o.failures else "–"
    return OperationRow(cut(o.name, 200), count(o.count), failures, _figure(o.rate_per_s), latencies, met, tone)


def _against(o: Operation, key: str) -> str:
    target = o.targets.get(key)
    return _figure(getattr(o, key)) + (f" of {_figure(target)}" if target is not None else "")


def _met(met: bool | None) -> tuple[str, str]:
    return {True: ("ok", "met"), False: ("bad", "missed"), None: ("", "–")}[met]


def _rate_chart(timeline: list[Sample]) -> Chart | None:
    named = [("achieved", "rate_per_s"), ("intended", "intended_per_s"), ("failed", "failures_per_s")]
    lines = [Line(name, [(s.t_s, getattr(s, key)) for s in timeline]) for name, key in named]
    told = [one for one in lines if any(y is not None for _, y in one.points)]
    kept = [one for one in told if one.name != "failed" or any(y for _, y in one.points)]
    return draw(Chart("chart-rate", "Operations", "per second", kept)) if kept else None


def _latency_charts(test: LoadTest) -> Iterator[Chart]:
    names = list(dict.fromkeys([*(o.name for o in test.operations), *(n for s in test.timeline for n in s.operations)]))
    targets = {o.name: o.targets for o in test.operations}
    for n, name in enumerate(names[:_CHARTS]):
        lines = [Line(key[:3], _latency(test.timeline, name, key)) for key in _PERCENTILES]
        limit = targets.get(name, {}).get("p95_ms")
        if limit is not None and test.timeline:
            ends = (test.timeline[0].t_s, test.timeline[-1].t_s)
            lines.append(Line(f"target p95 {_figure(limit)} ms", [(t, limit) for t in ends], limit=True))
        drawn = draw(Chart(f"chart-latency-{n}", cut(name, 80), "ms", lines, spikes=True))
        if drawn is not None:
            yield drawn


def _latency(timeline: list[Sample], name: str, key: str) -> list[tuple[float, float | None]]:
    return [(s.t_s, getattr(s.operations[name], key) if name in s.operations else None) for s in timeline]


def _parts(test: LoadTest) -> Iterator[Part]:
    if (audit := test.audit) is not None:
        words = "every acknowledged message is there exactly once" if audit.ok else "messages are missing or doubled"
        named = [
            ("Acknowledged", audit.acknowledged), ("Found once", audit.found_once), ("Missing", audit.missing),
            ("Found more than once", audit.duplicated), ("Found, but never acknowledged", audit.unacknowledged_found),
        ]  # fmt: skip
        yield Part("Audit of messages", [(k, count(v)) for k, v in named], words, "ok" if audit.ok else "bad")
    if (lag := test.replication) is not None:
        pairs = [("p95", f"{_figure(lag.lag_ms_p95)} ms"), ("Highest", f"{_figure(lag.lag_ms_max)} ms")]
        yield Part("Replication lag of the standby", pairs)
    if (knee := test.knee) is not None:
        pairs = [
            ("Rate", f"{_figure(knee.rate_per_s)} operations per second"),
            ("p95 there", f"{_figure(knee.p95_ms)} ms"),
        ]
        yield Part("The knee: the highest rate at which everything held", pairs)
    if (generator := test.generator) is not None:
        words = "the generator was the limit" if generator.bound else "the generator was not the limit"
        pairs = [
            ("CPU, mean", _share(generator.cpu_share_mean)), ("CPU, highest", _share(generator.cpu_share_max)),
            ("Lag of its event loop, p99", f"{_figure(generator.loop_lag_p99_ms)} ms"),
        ]  # fmt: skip
        yield Part("Load generator", pairs, words, "warn" if generator.bound else "ok")
    yield Part("Where it ran", list(_places(test)))


def _places(test: LoadTest) -> Iterator[tuple[str, str]]:
    target, machine = test.target, test.machine
    named = [
        ("Server", f"PostgreSQL {target.server}" if target.server else ""), ("Database", target.database),
        ("At", target.where), ("Connected", target.via), ("Started", test.started_at),
        ("Generator's machine", machine.model), ("Cores", count(machine.cores) if machine.cores else ""),
        ("Memory", size(machine.memory_bytes) if machine.memory_bytes else ""),
    ]  # fmt: skip
    return ((label, cut(value)) for label, value in named if value)


def _value(value: str | float | None, unit: str) -> str:
    if isinstance(value, str):
        return cut(value, 100)
    return _figure(value) if value is None or not unit else f"{_figure(value)} {cut(unit, 20)}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _figure(value: float | None) -> str:
    """Return a figure with as many digits as it is worth: 998, 23.1, 4.82, 0.31."""
    if value is None:
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
