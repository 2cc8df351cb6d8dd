"""The load test's arithmetic: schedules, percentiles, verdicts, its document. No server, no Locust."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from copier.errors import TargetUnusable, UsageError
from loadtest.audit import Audit
from loadtest.collector import Collector
from loadtest.document import Measured, build_document
from loadtest.histogram import Histogram, merged
from loadtest.recorder import Recorder
from loadtest.render import render
from loadtest.shapes import SHAPES, Shape, Step, build_shape, due_times
from loadtest.slo import CLASSES, DEFAULT_SLO, OPERATIONS, Slo, apportion, parse_slo
from loadtest.statements import COLUMNS, build_statements
from loadtest.target import Facts
from loadtest.verdict import EXIT_CODES, judge, quantile

SLO_TEXT = DEFAULT_SLO.read_text(encoding="utf-8")
SLO = parse_slo(SLO_TEXT)
GOOD_AUDIT = Audit(1000, 1000, 0, 0, 0, 0, 10, 1010, 0, 0)


class Simulated:
    """A collector filled with constant latencies, a second at a time."""

    def __init__(self, directory: Path, shape: Shape, slo: Slo = SLO) -> None:
        self.collector = Collector(shape, directory)
        self._slo = slo
        for second in range(shape.duration_s):
            step = shape.step_of(second)
            assert step is not None
            self.second(second, step.messages_per_s)

    def second(
        self,
        second: int,
        messages: float,
        *,
        response_ms: float = 2.0,
        service_ms: float | None = None,
        lag_ms: float = 0.5,
        cpu_share: float = 0.3,
        machine_share: float = 0.5,
    ) -> None:
        """Say anew what happened in one second."""
        for name in OPERATIONS:
            self.collector.cells.pop((second, name), None)
            cell = self.collector.cells[second, name]
            for _ in range(round(messages * self._slo.per_message(name))):
                cell.response.add(response_ms)
                cell.service.add(response_ms if service_ms is None else service_ms)
                cell.unhindered.add(response_ms - lag_ms)
        self.collector.lags[second] = Histogram()
        self.collector.lags[second].add(lag_ms)
        self.collector.ticks["local", second] = {
            "bucket": second, "cpu_share": cpu_share, "machine_share": machine_share,
        }  # fmt: skip

    def seconds(self, seconds: Sequence[int], messages: float, **facts: float) -> None:
        for one in seconds:
            self.second(one, messages, **facts)


@pytest.fixture
def steady(tmp_path: Path) -> Simulated:
    return Simulated(tmp_path, build_shape("steady", 100, 20, SLO))


class TestHistogram:
    @given(st.lists(st.floats(0.01, 1e5), min_size=1), st.floats(0.01, 1.0))
    def test_percentiles_are_exact_to_one_percent_and_never_too_low(self, values: list[float], share: float) -> None:
        histogram = Histogram()
        for one in values:
            histogram.add(one)
        exact = quantile(values, share)
        found = histogram.percentile(share)
        assert found is not None
        assert exact * 0.999999 <= found <= exact * 1.0101
        assert (histogram.count, histogram.max_ms) == (len(values), max(values))

    def test_sums_and_what_travels_are_the_same(self) -> None:
        rng = random.Random(1)
        parts = [Histogram() for _ in range(3)]
        whole = Histogram()
        for _ in range(1000):
            one = rng.lognormvariate(1, 1)
            rng.choice(parts).add(one)
            whole.add(one)
        total = merged(Histogram.from_wire(orjson.loads(orjson.dumps(part.to_wire()))) for part in parts)
        assert total.counts == whole.counts
        assert total.percentile(0.99) == whole.percentile(0.99)

    def test_nothing_measured_is_no_latency(self) -> None:
        assert Histogram().percentile(0.5) is None

    def test_quantiles(self) -> None:
        assert [quantile([3, 1, 2, 4], share) for share in (0.01, 0.25, 0.5, 0.51, 0.95, 1)] == [1, 1, 2, 3, 4, 4]


class TestSchedule:
    @given(st.lists(st.tuples(st.integers(1, 20), st.floats(0, 50)), min_size=1, max_size=5), st.floats(0, 0.999))
    def test_as_many_are_due_as_intended(self, steps: list[tuple[int, float]], phase: float) -> None:
        shape = Shape("any", tuple(Step(str(n), s, rate) for n, (s, rate) in enumerate(steps)), 1)
        found = list(due_times(shape.steps, 0.3, phase))
        intended = sum(s * rate for s, rate in steps) * 0.3
        assert len(found) == pytest.approx(intended + phase, abs=1.001)
        assert all(a < b for a, b in pairwise(found))
        assert all(0 <= one < shape.duration_s for one in found)

    def test_a_constant_rate_is_a_constant_pace(self) -> None:
        found = list(due_times((Step("a", 2, 10.0), Step("b", 2, 20.0)), 0.5, 0.0))
        assert found[:3] == pytest.approx([0.2, 0.4, 0.6])
        assert [b - a for a, b in pairwise(found)][-3:] == pytest.approx([0.1, 0.1, 0.1])

    def test_a_step_of_rest_sends_nothing(self) -> None:
        assert list(due_times((Step("a", 5, 0.0),), 1.0, 0.9)) == []

    @pytest.mark.parametrize("name", SHAPES)
    @pytest.mark.parametrize("seconds", [1, 60, 8 * 3600])
    def test_shapes_are_whole_points_of_a_bounded_timeline(self, name: str, seconds: int) -> None:
        shape = build_shape(name, 1000, seconds, SLO)
        assert all(step.seconds % shape.bucket_s == 0 for step in shape.steps)
        assert shape.duration_s / shape.bucket_s < 1000
        assert shape.steps[0].judged is False
        assert {shape.step_of(n) for n in range(shape.duration_s // shape.bucket_s)} == set(shape.steps)
        assert shape.step_of(shape.duration_s // shape.bucket_s) is None

    def test_ramp_and_spike(self) -> None:
        ramp = build_shape("ramp", 1000, 100, SLO)
        rates = [step.messages_per_s for step in ramp.steps if step.judged]
        assert (len(rates), rates[0], rates[-1]) == (10, 250, 4000)
        spike = build_shape("spike", 1000, 100, SLO)
        assert [(s.name, s.seconds, s.messages_per_s) for s in spike.steps] == [
            ("warm-up", 3, 1000),
            ("before", 40, 1000),
            ("spike", 10, 2000),
            ("recovery", 10, 1000),
            ("after", 40, 1000),
        ]


class TestSlo:
    @pytest.mark.parametrize("users", [4, 5, 10, 62, 80, 200, 1001])
    def test_users_are_shared_out(self, users: int) -> None:
        counts = apportion(users, SLO)
        assert set(counts) == set(CLASSES)
        assert sum(counts.values()) == users
        assert min(counts.values()) >= 1
        assert counts["Sender"] == max(counts.values()) or users < 6

    def test_a_class_without_a_rate_gets_no_user(self) -> None:
        rare = {"Presence", "LastSeen", "UserSearch", "Searcher"}
        operations = {name: one for name, one in SLO.operations.items() if name not in rare}
        only = SLO.model_copy(update={"operations": operations})
        assert apportion(10, only) == {"Sender": 8, "Reader": 2}

    def test_too_few_users(self) -> None:
        with pytest.raises(UsageError, match="3 users are too few for 4 kinds"):
            apportion(3, SLO)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (("messages_per_s = 1000", "messages_per_s = 0"), r"rate\.messages_per_s: input should be greater than 0"),
            (("users = 80", "user = 80"), r"slo\.toml: rate\.user"),
            (("[operations.Reader]", "[operations.Redaer]"), "there is no operation 'Redaer'"),
            (("per_message = 1.0", "per_message = 2.0"), "must be 1"),
            (("[limits]", "[limits"), "cannot be read"),
        ],
    )
    def test_what_is_wrong_is_named(self, change: tuple[str, str], said: str) -> None:
        assert change[0] in SLO_TEXT
        with pytest.raises(UsageError, match=said):
            parse_slo(SLO_TEXT.replace(*change, 1))


class TestVerdict:
    def test_pass(self, steady: Simulated) -> None:
        verdict = judge(steady.collector, SLO, GOOD_AUDIT)
        assert (verdict.outcome, verdict.reasons) == ("pass", ())
        assert EXIT_CODES[verdict.outcome] == 0
        assert {row.name for row in verdict.rows} >= {"messages sent", "Sender p95", "Reader p99", "errors"}

    def test_the_warm_up_is_not_judged(self, steady: Simulated) -> None:
        steady.seconds(range(3), 100, response_ms=500)
        assert judge(steady.collector, SLO, GOOD_AUDIT).outcome == "pass"

    def test_slow_is_fail(self, steady: Simulated) -> None:
        steady.seconds(range(10, 13), 100, response_ms=30)
        verdict = judge(steady.collector, SLO, GOOD_AUDIT)
        assert verdict.outcome == "fail"
        assert "Sender p95: 30, at most 10 ms wanted" in verdict.reasons
        assert not any(reason.startswith("Searcher") for reason in verdict.reasons)

    def test_too_few_because_the_server_is_slow_is_fail(self, steady: Simulated) -> None:
        steady.seconds(range(3, 23), 90, response_ms=900)
        verdict = judge(steady.collector, SLO, GOOD_AUDIT)
        assert verdict.outcome == "fail"
        assert "messages sent: 90, at least 98 messages/s wanted" in verdict.reasons

    def test_too_few_from_an_idle_server_is_the_generators_doing(self, steady: Simulated) -> None:
        steady.seconds(range(3, 23), 90, response_ms=2)
        verdict = judge(steady.collector, SLO, GOOD_AUDIT)
        assert verdict.outcome == "generator-bound"
        assert EXIT_CODES[verdict.outcome] == 3

    @pytest.mark.parametrize(
        ("facts", "said"),
        [
            ({"cpu_share": 0.97}, "more than 90% of its core in 20 of 20 seconds"),
            ({"lag_ms": 14.0, "response_ms": 15.0}, "sent requests late: p99 14.0 ms"),
            ({"machine_share": 0.99}, "machine was 99% busy"),
            ({"response_ms": 12.0, "lag_ms": 4.0}, "Sender p95, Reader p95.*but for the generator's own lateness"),
        ],
    )
    def test_a_generator_at_its_limit_never_passes(self, steady: Simulated, facts: dict[str, float], said: str) -> None:
        steady.seconds(range(3, 23), 100, **facts)
        verdict = judge(steady.collector, SLO, GOOD_AUDIT)
        assert verdict.outcome == "generator-bound"
        assert any(re.search(said, reason) for reason in verdict.reasons), verdict.reasons

    def test_one_busy_second_does_no_harm(self, steady: Simulated) -> None:
        steady.second(10, 100, cpu_share=1.0)
        assert judge(steady.collector, SLO, GOOD_AUDIT).outcome == "pass"

    def test_errors_fail_whatever_the_generator_did(self, steady: Simulated) -> None:
        steady.seconds(range(3, 23), 100, cpu_share=1.0)
        steady.collector.cells[1, "Reader"].failures = 1
        verdict = judge(steady.collector, SLO, GOOD_AUDIT)
        assert verdict.outcome == "fail"
        assert any(reason.startswith("errors: ") for reason in verdict.reasons)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"missing": 2, "missing_ids": ("a", "b")}, r"2 acknowledged messages are not in the table \(a, b\)"),
            ({"duplicated": 1}, "1 messages are in the table more than once"),
            ({"others": -3}, "-3 messages that this run does not account for"),
            ({"counter_drift": 4}, r"off by \+4"),
        ],
    )
    def test_an_audit_that_does_not_add_up_fails(self, steady: Simulated, change: dict[str, Any], said: str) -> None:
        steady.seconds(range(3, 23), 100, cpu_share=1.0)
        verdict = judge(steady.collector, SLO, replace(GOOD_AUDIT, **change))
        assert verdict.outcome == "fail"
        assert any(re.search(said, reason) for reason in verdict.reasons), verdict.reasons

    def test_a_generator_that_fell_silent_fails(self, steady: Simulated) -> None:
        assert judge(steady.collector, SLO, GOOD_AUDIT, silent=1).outcome == "fail"

    def test_an_empty_run_fails(self, tmp_path: Path) -> None:
        collector = Collector(build_shape("steady", 100, 5, SLO), tmp_path)
        verdict = judge(collector, SLO, GOOD_AUDIT)
        assert verdict.outcome == "fail"
        assert "no request was sent" in verdict.reasons
        assert "Sender p95: nothing was measured, at most 10 ms wanted" in verdict.reasons

    def test_a_run_that_was_stopped_is_judged_by_what_was_run(self, steady: Simulated) -> None:
        for second in range(10, 23):
            for name in OPERATIONS:
                steady.collector.cells.pop((second, name), None)
        assert judge(steady.collector, SLO, GOOD_AUDIT).outcome != "pass"
        steady.collector.elapsed_s = 10.4
        assert judge(steady.collector, SLO, GOOD_AUDIT).outcome == "pass"

    def test_a_standby_that_lags_fails(self, steady: Simulated) -> None:
        steady.collector.replication_lag_ms += [10.0] * 90 + [2500.0] * 10
        verdict = judge(steady.collector, SLO, GOOD_AUDIT)
        assert verdict.outcome == "fail"
        assert verdict.reasons == ("replication lag p95: 2,500, at most 1,000 ms wanted",)


class TestRamp:
    @pytest.fixture
    def ramp(self, tmp_path: Path) -> Simulated:
        return Simulated(tmp_path, build_shape("ramp", SLO.rate.messages_per_s, 50, SLO))

    def second_of(self, ramp: Simulated, number: int) -> range:
        """Return the seconds of a step, 1 is the first after the warm-up."""
        return range(3 + 5 * (number - 1), 3 + 5 * number)

    def test_no_knee_within_the_ramp(self, ramp: Simulated) -> None:
        verdict = judge(ramp.collector, SLO, GOOD_AUDIT)
        assert verdict.outcome == "pass"
        assert verdict.knee is not None
        assert (verdict.knee.rate_per_s, verdict.knee.limited_by) == (4000, None)

    def test_the_last_step_that_holds(self, ramp: Simulated) -> None:
        for number in (6, 7, 8, 9, 10):
            ramp.seconds(self.second_of(ramp, number), 2000, response_ms=80, lag_ms=1, cpu_share=0.99)
        verdict = judge(ramp.collector, SLO, GOOD_AUDIT)
        assert verdict.knee is not None
        assert verdict.knee.rate_per_s == pytest.approx(250 + 3750 * 4 / 9)
        assert verdict.knee.limited_by == "generator"
        assert verdict.outcome == "pass", "what lies beyond the wanted rate does not count"

    def test_a_server_that_ends_below_the_rate_fails(self, ramp: Simulated) -> None:
        ramp.seconds(self.second_of(ramp, 2), 660, response_ms=80)
        verdict = judge(ramp.collector, SLO, GOOD_AUDIT)
        assert verdict.outcome == "fail"
        assert verdict.knee is not None
        assert (verdict.knee.rate_per_s, verdict.knee.limited_by) == (250, "server")

    def test_a_generator_that_ends_below_the_rate_says_nothing_of_the_server(self, ramp: Simulated) -> None:
        ramp.seconds(self.second_of(ramp, 2), 300, response_ms=80, cpu_share=0.99)
        assert judge(ramp.collector, SLO, GOOD_AUDIT).outcome == "generator-bound"

    def test_no_step_holds(self, ramp: Simulated) -> None:
        ramp.seconds(self.second_of(ramp, 1), 250, response_ms=80)
        verdict = judge(ramp.collector, SLO, GOOD_AUDIT)
        assert (verdict.outcome, verdict.knee) == ("fail", None)

    def test_a_bad_first_second_of_a_step_is_the_change(self, ramp: Simulated) -> None:
        ramp.second(self.second_of(ramp, 2)[0], 300, response_ms=80)
        assert judge(ramp.collector, SLO, GOOD_AUDIT).outcome == "pass"


class TestSpike:
    @pytest.mark.parametrize(("slow_s", "outcome"), [(0, "pass"), (4, "pass"), (11, "fail")])
    def test_recovery(self, tmp_path: Path, slow_s: int, outcome: str) -> None:
        spike = Simulated(tmp_path, build_shape("spike", 100, 100, SLO))
        spike.seconds(range(43, 53), 150, response_ms=300)
        spike.seconds(range(53, 53 + slow_s), 100, response_ms=300)
        verdict = judge(spike.collector, SLO, GOOD_AUDIT)
        assert verdict.recovery_s == slow_s
        assert verdict.outcome == outcome


class TestRecorder:
    def test_what_is_told_is_added_up(self, tmp_path: Path) -> None:
        now = [100.0]
        recorders = [Recorder(1, clock=lambda: now[0]) for _ in range(2)]
        collector = Collector(build_shape("steady", 10, 5, SLO), tmp_path)
        for second in range(3):
            now[0] = 100.5 + second
            for one in recorders:
                one.success("Sender", 3.0, 2.0, 0.5)
                one.failure("Reader", "boom")
                one.lag(0.5)
                one.message(bytes(15) + bytes([second]), acknowledged=second != 1)
                one.tick()
        for name, one in zip("ab", recorders, strict=True):
            collector.add(name, one.drain())
            collector.add(name, one.drain() | {"final": True})
        assert collector.answered("Sender", [0, 1, 2]) == 6
        assert collector.answered("Sender", [1]) == 2
        assert collector.failures() == 6
        assert collector.failures("Reader", 1) == 2
        assert collector.errors == {("Reader", "boom"): 6}
        assert collector.finished == {"a", "b"}
        assert len(collector.ticks) == 6
        assert collector.acknowledged_path.read_bytes() == (bytes(16) + bytes(15) + b"\x02") * 2
        assert collector.unacknowledged_path.read_bytes() == (bytes(15) + b"\x01") * 2


class TestStatements:
    NATIVE = {(table, column): "text" for table, columns in COLUMNS.items() for column in columns} | {
        (table, column): "uuid"
        for table, columns in COLUMNS.items()
        for column in columns
        if column == "id" or column.endswith("_id")
    } | {
        (table, column): "timestamp with time zone"
        for table, columns in COLUMNS.items()
        for column in columns
        if column.endswith("_at")
    } | {("users", "is_online"): "boolean", ("conversations", "message_count"): "bigint"}  # fmt: skip

    def test_native_and_faithful(self) -> None:
        native = build_statements(self.NATIVE | {("messages", "words"): "tsvector"}, "app")
        assert native.full_text
        assert '"words" @@' in native.by_operation["Searcher"]
        assert native.newest == ("infinity", "ffffffff-ffff-ffff-ffff-ffffffffffff")
        faithful = build_statements({k: "bigint" if k[1].endswith("_at") else "text" for k in self.NATIVE}, "app")
        assert not faithful.full_text
        assert "ILIKE" in faithful.by_operation["Searcher"]
        assert "::uuid" not in "".join(faithful.by_operation.values())
        assert "extract(epoch FROM now())" in faithful.by_operation["Sender"]
        assert set(native.by_operation) == set(faithful.by_operation) == set(OPERATIONS)

    def test_another_database_is_refused(self) -> None:
        with pytest.raises(TargetUnusable, match="no column 'content' in a table 'messages' of schema 'app'"):
            build_statements({k: v for k, v in self.NATIVE.items() if k[1] != "content"}, "app")
        with pytest.raises(TargetUnusable, match="a time column of the target is date"):
            build_statements(self.NATIVE | {("messages", "created_at"): "date"}, "app")


class TestDocument:
    def document(self, collector: Collector, audit: Audit | None = GOOD_AUDIT) -> dict[str, Any]:
        facts = Facts("PostgreSQL 18.1", "chat", "database chat at db:5432", "direct")
        verdict = judge(collector, SLO, audit)
        run = Measured(datetime.now(UTC), facts, SLO, collector, audit, verdict, prepared=True, processes=1)
        found: dict[str, Any] = orjson.loads(orjson.dumps(build_document(run)))
        return found

    def test_it_says_what_was_measured(self, steady: Simulated) -> None:
        steady.collector.users |= dict.fromkeys(range(23), 80)
        found = self.document(steady.collector)
        assert (found["kind"], found["version"], found["verdict"]) == ("loadtest", 1, "pass")
        assert found["rate"] == {"intended_per_s": 138.0, "achieved_per_s": 138.0}
        assert found["duration_s"] == 20
        sender = next(one for one in found["operations"] if one["name"] == "Sender")
        assert (sender["count"], sender["met"], sender["targets"]) == (2000, True, {"p95_ms": 10, "p99_ms": 25})
        assert sender["p95_ms"] == pytest.approx(2.0, rel=0.011)
        assert len(found["timeline"]) == 23
        assert found["timeline"][5]["users"] == 80
        assert found["timeline"][5]["rate_per_s"] == 138
        assert found["timeline"][0]["phase"] == "warm-up"
        assert found["audit"]["ok"] is True
        assert found["replication"] is None
        assert found["knee"] is None

    def test_people_can_read_it(self, steady: Simulated) -> None:
        steady.collector.cells[1, "Reader"].failures = 2
        steady.collector.errors["Reader", "UndefinedTable 42P01 [red] gone"] = 2
        out = io.StringIO()
        render(self.document(steady.collector), Console(file=out, width=110))
        text = out.getvalue()
        assert text.startswith("Fail: the targets are not met.")
        assert "2 x Reader: UndefinedTable 42P01 [red] gone" in text
        assert "1,000 messages acknowledged, 1,000 found once, 0 missing" in text

    def test_without_an_audit(self, steady: Simulated) -> None:
        out = io.StringIO()
        render(self.document(steady.collector, None), Console(file=out, width=110))
        assert "audit: not done" in out.getvalue()
