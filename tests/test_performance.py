"""Before and after: real files of pytest-benchmark, load tests, migrations."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fix_documents import eventful_report, loadtest_document, write_json

from copier.cli import main
from copier.documents import Benchmark, Benchmarks, read_document
from copier.errors import UsageError
from copier.figures import figures_of
from copier.performance import Comparison, compare

SUITE = """
import time

import pytest

@pytest.mark.parametrize("what", ["steady", {more}])
def test_work(benchmark, what):
    benchmark.extra_info.update(p50_ms=2.0, p95_ms=3.0, p99_ms=4.0)
    benchmark.pedantic(time.sleep, args=({sleep_s} if what == "steady" else 0.0005,), rounds={rounds}, iterations=1)
"""


def run_benchmarks(folder: Path, sleep_s: float, more: str, rounds: int = 25) -> Path:
    """Run a suite under pytest-benchmark and return the file it wrote."""
    folder.mkdir()
    (folder / "test_suite.py").write_text(SUITE.format(sleep_s=sleep_s, more=repr(more), rounds=rounds))
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--benchmark-json=out.json",
        "--rootdir=.",
    )
    subprocess.run([*command, "test_suite.py"], cwd=folder, check=True, capture_output=True)
    return folder / "out.json"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real output of pytest-benchmark: 1 ms, 3 ms, and 3 ms with too few rounds."""
    folder = tmp_path_factory.mktemp("benchmarks")
    return {
        "before": run_benchmarks(folder / "a", 0.001, "gone"),
        "after": run_benchmarks(folder / "b", 0.003, "new"),
        "few": run_benchmarks(folder / "c", 0.003, "new", rounds=3),
    }


class TestBenchmarks:
    def test_a_slower_one_is_a_regression(self, files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare-performance", str(files["before"]), str(files["after"]), "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        [median] = [c for c in told["changes"] if c["what"] == "median"]
        assert median["name"] == "test_suite.py::test_work[steady]"
        assert median["judgement"] == "regression"
        assert 1.5 < median["ratio"] < 4
        assert median["after"] > 3
        assert told["only_before"] == [f"test_suite.py::test_work[gone]: {what}" for what in ("median", "p95", "p99")]
        assert told["only_after"][0] == "test_suite.py::test_work[new]: median"

    def test_the_table_says_it_in_words(self, files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare-performance", str(files["before"]), str(files["after"])]) == 1
        out = capsys.readouterr().out
        assert out.startswith("1 regression over 10% in 3 figures")
        assert "WORSE" in out
        assert "Only before: test_suite.py::test_work[gone]: median" in out

    def test_a_faster_one_is_none(self, files: dict[str, Path]) -> None:
        found = compare(read_document(files["after"]), read_document(files["before"]))
        assert found.exit_code == 0
        assert {c.what: c.judgement for c in found.changes}["median"] == "better"

    def test_the_same_file_twice_is_the_same(self, files: dict[str, Path]) -> None:
        found = compare(read_document(files["before"]), read_document(files["before"]))
        assert {c.judgement for c in found.changes} == {"same"}

    def test_too_few_rounds_settle_nothing_and_say_so(
        self, files: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        assert main(["compare-performance", str(files["before"]), str(files["few"])]) == 0
        out = capsys.readouterr().out
        assert "1 unsure" in out
        assert "unsure: only 3 rounds" in out
        assert "too few rounds" in out

    def test_the_threshold_decides(self, files: dict[str, Path]) -> None:
        assert main(["compare-performance", str(files["before"]), str(files["after"]), "--threshold", "900%"]) == 0
        assert main(["compare-performance", str(files["before"]), str(files["after"]), "--threshold", "2.5"]) == 1


def benchmark_of(median_s: float, *, iqr: float, rounds: int, p95_ms: float = 1.0) -> Benchmarks:
    stats = {"median": median_s, "iqr": iqr, "stddev": iqr, "rounds": rounds}
    return Benchmarks([Benchmark("b", stats, {"p95_ms": p95_ms})])


def judgements(found: Comparison) -> dict[str, tuple[str, str]]:
    return {c.what: (c.judgement, c.note) for c in found.changes}


class TestNoise:
    def test_a_change_within_the_spread_is_none(self) -> None:
        noisy = [benchmark_of(s, iqr=0.01, rounds=10) for s in (0.010, 0.012)]
        assert judgements(compare(*noisy))["median"] == ("same", "within the noise")

    def test_the_same_change_with_many_rounds_is_one(self) -> None:
        steady = [benchmark_of(s, iqr=0.01, rounds=2000) for s in (0.010, 0.012)]
        assert judgements(compare(*steady))["median"] == ("regression", "")

    def test_a_tail_needs_values_beyond_it(self) -> None:
        few, many = (
            [benchmark_of(0.001, iqr=0.0001, rounds=rounds, p95_ms=ms) for ms in (1.0, 9.0)] for rounds in (50, 500)
        )
        assert judgements(compare(*few))["p95"] == ("unsure", "only 50 rounds")
        assert judgements(compare(*many))["p95"][0] == "regression"

    def test_the_error_of_a_median_is_that_of_theory(self) -> None:
        [figure, _] = figures_of(benchmark_of(0.010, iqr=0.0013489795, rounds=100))
        assert figure.error == pytest.approx(1.2533 * 1.0 / 10, rel=1e-3)  # 1.2533 s / sqrt(n), in ms


class TestLoadTests:
    def compared(self, tmp_path: Path, after: dict[str, Any], before: dict[str, Any] | None = None) -> Comparison:
        old = write_json(tmp_path / "before.json", before or loadtest_document())
        return compare(read_document(old), read_document(write_json(tmp_path / "after.json", after)))

    def test_noise_of_another_run_is_no_regression(self, tmp_path: Path) -> None:
        assert self.compared(tmp_path, loadtest_document(seed=99)).exit_code == 0

    def test_latency_half_as_long_again_is_one(self, tmp_path: Path) -> None:
        found = self.compared(tmp_path, loadtest_document(slower=1.5))
        assert {(c.name, c.what) for c in found.regressions} >= {("Sender", "p50"), ("Sender", "p95")}

    def test_rate_that_falls_is_one(self, tmp_path: Path) -> None:
        after = loadtest_document()
        after["rate"]["achieved_per_s"] = 700.0
        assert [(c.what, c.better) for c in self.compared(tmp_path, after).regressions] == [("rate", "more")]

    def test_failures_where_there_were_none_are_one(self, tmp_path: Path) -> None:
        after = loadtest_document()
        after["operations"][0]["failures"] = 200
        [failed] = self.compared(tmp_path, after).regressions
        assert (failed.name, failed.what, failed.ratio) == ("Sender", "failed", None)

    def test_another_load_is_said(self, tmp_path: Path) -> None:
        after = loadtest_document()
        after["rate"]["intended_per_s"], after["shape"] = 500.0, "soak"
        after["target"]["via"], after["verdict"] = "direct", "fail"
        assert [note.split(":")[0] for note in self.compared(tmp_path, after).notes] == [
            "The load differs",
            "The shape differs",
            "The connection differs",
            "The run after failed its own targets.",
        ]

    @pytest.mark.parametrize("which", ["before", "after"])
    def test_a_run_bound_by_its_generator_is_never_compared(self, tmp_path: Path, which: str) -> None:
        bound = loadtest_document()
        bound["verdict"] = "generator-bound"
        pair = (loadtest_document(), bound) if which == "after" else (bound, loadtest_document())
        with pytest.raises(UsageError, match=f"generator was the limit in the run {which}"):
            self.compared(tmp_path, pair[1], pair[0])


class TestMigrations:
    def test_a_slower_phase_is_a_regression(self) -> None:
        before, after = eventful_report(), eventful_report()
        after.phases = [{**p, "seconds": p["seconds"] * 2} if p["name"] == "data" else p for p in after.phases]
        found = compare(before, after)
        assert [(c.name, c.what, c.ratio) for c in found.regressions] == [
            ("phase data", "seconds", 2.0),
            ("phase data", "rows", 0.5),
        ]
        assert "does not say how much such runs vary" in found.notes[0]

    def test_what_takes_no_time_settles_nothing(self) -> None:
        before, after = eventful_report(), eventful_report()
        for report, seconds in ((before, 0.01), (after, 0.4)):
            report.phases = [{"name": "schema", "seconds": seconds}]
        assert judgements(compare(before, after))["seconds"] == ("same", "")
        [schema] = [c for c in compare(before, after).changes if c.name == "phase schema"]
        assert (schema.judgement, schema.note) == ("unsure", "less than 0.5 s")

    def test_with_other_amounts_only_rates_are_judged(self) -> None:
        before, after = eventful_report(), eventful_report()
        after.tables = [
            dataclasses.replace(t, copied_rows=t.copied_rows * 3, seconds=t.seconds * 3) for t in after.tables
        ]
        after.phases = [{**p, "seconds": p["seconds"] * 3} for p in after.phases]
        found = compare(before, after)
        assert found.regressions == []
        assert {c.judgement for c in found.changes if c.unit == "/s"} == {"same"}
        assert {c.note for c in found.changes if c.unit == "s" and c.name == "phase data"} == {"other amounts of rows"}

    async def test_reports_of_real_runs(self, tmp_path: Path, pg_dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
        with sqlite3.connect(tmp_path / "app.db") as db:
            db.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'a')")
        db.close()
        for name in ("one", "two"):
            common = ["--sqlite", str(tmp_path / "app.db"), "--postgres", pg_dsn, "--existing", "replace"]
            files = [
                "--no-backup",
                "--script",
                "none",
                "--log-file",
                "none",
                "--report",
                str(tmp_path / f"{name}.json"),
            ]
            assert await asyncio.to_thread(main, ["full", *common, *files, "--progress", "none"]) == 0
        capsys.readouterr()
        code = main(
            ["compare-performance", str(tmp_path / "one.json"), str(tmp_path / "two.json"), "--threshold", "5000%"]
        )
        assert code == 0
        assert "phase data" in capsys.readouterr().out


class TestWrongInput:
    def test_kinds_that_differ(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        old = write_json(tmp_path / "a.json", eventful_report())
        new = write_json(tmp_path / "b.json", loadtest_document())
        assert main(["compare-performance", str(old), str(new)]) == 2
        assert "before is the report of a migration, after is a load test" in " ".join(capsys.readouterr().err.split())

    @pytest.mark.parametrize("threshold", ["", "ten", "-5%", "1e3", "%", "10%%"])
    def test_threshold(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], threshold: str) -> None:
        one = str(write_json(tmp_path / "a.json", loadtest_document()))
        assert main(["compare-performance", one, one, f"--threshold={threshold}"]) == 2
        assert "is not a percentage" in capsys.readouterr().err

    def test_nothing_in_common(self, tmp_path: Path) -> None:
        files = []
        for name in ("a", "b"):
            files.append(tmp_path / f"{name}.json")
            benchmark = {"fullname": name, "stats": {"median": 1.0, "rounds": 9}, "extra_info": {}}
            files[-1].write_text(json.dumps({"machine_info": {}, "benchmarks": [benchmark]}))
        with pytest.raises(UsageError, match="no figure of the same name"):
            compare(*map(read_document, files))

    def test_a_file_that_is_not_there(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare-performance", str(tmp_path / "a"), str(tmp_path / "b")]) == 2
        assert "cannot read" in capsys.readouterr().err
