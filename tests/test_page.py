"""The page of a report: what is on it, that everything is escaped, and what input is refused."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fix_documents import (
    ATTACK,
    eventful_report,
    hostile_loadtest,
    hostile_report,
    large_report,
    loadtest_document,
    write_json,
)

from copier.cli import main
from copier.documents import read_document
from copier.events import TableProgress
from copier.page.charts import Chart, Line, draw
from copier.page.series import rates, short, thin, ticks, time_ticks
from copier.report import Report, TableReport
from copier.run.timeline import SAMPLES_PER_PHASE, Timeline

VOID = {"meta", "link", "br", "img", "hr", "input", "base"}


class Page(HTMLParser):
    """The elements of a page; fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(document: Report | dict[str, Any], tmp_path: Path) -> Page:
    path = write_json(tmp_path / "out.json", document)
    assert main(["report", str(path), "-o", str(tmp_path / "page.html"), "--force"]) == 0
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


class TestMigration:
    def test_it_tells_everything_that_happened(self, tmp_path: Path) -> None:
        page = page_of(eventful_report(), tmp_path)
        for told in (
            "Source and target differ: 2 rows in 1 table. Do not cut over.",
            "It is not safe to cut over.",
            "4,120,002",  # rows in PostgreSQL
            "3,999,988 of 4,000,000",
            "7.6",  # MB/s of messages
            "users → app_users",
            "not verified",
            "'0000-00-00'",
            "sqlite2pg.reject",
            "no such row",
            "its body is more than one statement",
            "UPDATE conversations SET n = n + 1 WHERE id = NEW.conversation_id;",
            'function julianday("text") does not exist',
            "✗ sequence users.id : is at 5, the table at 9",
            "Advice ! setting shared_buffers : 128 MB is small",
            "Now dates or times, stored as text before: messages.sent_at.",
            "messages.body: 3 values changed as the plan says.",
            "Also in PostgreSQL: 1 index, 1 default.",
            "psql -h db.example app",
            "sqlite2pg rollback --run 20260301T221500Z-abc123",
            "1 min 28 s",
        ):
            assert told in page.text, told

    def test_the_time_line_is_to_scale(self, tmp_path: Path) -> None:
        page = page_of(eventful_report(), tmp_path)
        bars = [one["style"] for one in page.all("div") if "style" in one]
        assert bars[4] == f"margin-left:{100 * 35 / 194.2:.2f}%;width:{100 * 88 / 194.2:.2f}%"
        assert len(bars) == 7

    def test_phases_without_their_beginning_follow_each_other(self, tmp_path: Path) -> None:
        report = eventful_report()
        report.phases, report.seconds = [{"name": "a", "seconds": 1.0}, {"name": "b", "seconds": 3.0}], 4.0
        bars = [one["style"] for one in page_of(report, tmp_path).all("div") if "style" in one]
        assert bars == ["margin-left:0.00%;width:25.00%", "margin-left:25.00%;width:75.00%"]

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"outcome": "verified"}, "not every value was compared"),
            ({"outcome": "attention"}, "Decide about what is listed below before the cutover."),
            ({"outcome": "failed"}, "it is not safe to cut over"),
            ({"outcome": "refused"}, "Nothing was written."),
            ({"outcome": "verified", "command": "validate"}, "Both sides are ready."),
        ],
    )
    def test_each_outcome_says_what_it_means(self, tmp_path: Path, change: dict[str, Any], told: str) -> None:
        report = eventful_report()
        for name, value in change.items():
            setattr(report, name, value)
        if report.outcome == "verified":
            report.tables = [TableReport("t", "t", 5, 5, 0, "count")]
        assert told in page_of(report, tmp_path).text

    def test_only_a_comparison_of_every_value_is_called_safe(self, tmp_path: Path) -> None:
        for level, safe in (("content", True), ("count", False), (None, False)):
            report = Report("verified", tables=[TableReport("t", "t", 5, 5, 0, level)])  # type: ignore[arg-type]
            assert ("It is safe to cut over" in page_of(report, tmp_path).text) is safe

    async def test_of_a_real_run(self, tmp_path: Path, pg_dsn: str) -> None:
        with sqlite3.connect(tmp_path / "app.db") as db:
            db.executescript(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT, x INT CHECK (x > 0));"
                "CREATE INDEX t_x ON t (x);"
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
                "INSERT INTO t SELECT i, 'x', 1 FROM n;"
                "CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET x = 1; DELETE FROM t WHERE x = 2; END;"
            )
        db.close()
        files = ["--no-backup", "--script", "none", "--log-file", "none", "--report", str(tmp_path / "out.json")]
        sides = ["--sqlite", str(tmp_path / "app.db"), "--postgres", pg_dsn, "--progress", "none"]
        assert await asyncio.to_thread(main, ["full", *sides, *files]) == 3
        assert main(["report", str(tmp_path / "out.json")]) == 0
        page = Page((tmp_path / "out.html").read_text(encoding="utf-8"))
        checks = read_document(tmp_path / "out.json").checks
        assert {c["fatal"] for c in checks if c["ok"]} == {True, False}
        advice = [c["name"] for c in checks if not c["ok"]]
        assert any(name.startswith("setting ") for name in advice), "an untuned server has advice"
        assert ("Advice" in page.text, "Checks that failed" in page.text) == (True, False)
        assert "1 object not carried over" in page.text
        assert "DELETE FROM t WHERE x = 2" in page.text
        assert "60,000" in page.text
        assert "Time line" in page.text


class TestLoadTest:
    def test_it_tells_everything_that_was_measured(self, tmp_path: Path) -> None:
        page = page_of(loadtest_document(), tmp_path)
        for told in (
            "Passed: every target met at 999 operations per second for 1 min 00 s.",
            "of 1,000 intended",
            "≥ 990 /s",
            "6.82 of 10.2",
            "every acknowledged message is there exactly once",
            "the generator was not the limit",
            "2,350 operations per second",
            "41 ms",
            "target p95 10.2 ms",
        ):
            assert told in page.text, told
        assert len(page.all("svg")) == 2 * 5  # throughput and four operations, each wide and narrow

    def test_a_run_bound_by_its_generator_is_no_pass(self, tmp_path: Path) -> None:
        page = page_of({**loadtest_document(), "verdict": "generator-bound"}, tmp_path)
        assert "No verdict: the load generator was the limit, not the server." in page.text
        assert "Passed" not in page.text

    def test_one_that_failed_says_why(self, tmp_path: Path) -> None:
        document = {**loadtest_document(), "verdict": "fail", "reasons": ["Sender p95 is 40 ms"]}
        document["slo"][1]["met"] = False
        document["audit"]["ok"] = False
        page = page_of(document, tmp_path)
        assert "Failed: 1 of 3 targets missed." in page.text
        assert "Sender p95 is 40 ms." in page.text
        assert "messages are missing or doubled" in page.text

    def test_one_with_hardly_anything_in_it(self, tmp_path: Path) -> None:
        page = page_of({"kind": "loadtest", "version": 1, "verdict": "pass"}, tmp_path)
        assert "Passed." in page.text
        assert page.all("svg") == []


class TestSafe:
    @pytest.mark.parametrize("document", [hostile_report, hostile_loadtest])
    def test_all_text_is_escaped(self, tmp_path: Path, document: Any) -> None:
        page = page_of(document(), tmp_path)
        names = [name for name, _ in page.elements]
        assert not {"script", "img", "iframe", "object", "embed", "form", "base"} & set(names)
        assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]
        shown = ATTACK.replace("\x00", r"\x00").replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")
        assert page.text.count(shown) >= 12
        assert "{{ 7 * 7 }}" in page.text
        assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", page.html)

    @pytest.mark.parametrize("document", [eventful_report, hostile_report, loadtest_document, hostile_loadtest])
    def test_it_refers_to_nothing_outside(self, tmp_path: Path, document: Any) -> None:
        page = page_of(document(), tmp_path)
        outside = set(re.findall(r"\b(?:https?|ftp|ws)://[^\s\"'<]*", page.html))
        assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert not re.search(r"@import|url\(|@font-face", page.html)
        refers = {(n, a.get(k)) for n, a in page.elements for k in ("src", "href", "xlink:href", "srcset") if k in a}
        assert refers == {("link", "data:,")}
        [policy] = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy is not None
        assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")

    def test_a_password_that_got_into_a_document_is_not_shown(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PGPASSWORD", "s3cr3t-of-mine")
        report = eventful_report()
        report.warnings = ["postgresql://bob:hunter22@db.example/app", "I use s3cr3t-of-mine"]
        page = page_of(report, tmp_path)
        assert "hunter22" not in page.html
        assert "s3cr3t-of-mine" not in page.html
        assert "db.example/app" in page.html

    def test_only_its_owner_can_read_it(self, tmp_path: Path) -> None:
        page_of(eventful_report(), tmp_path)
        assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o600

    def test_a_large_one_stays_small_and_says_what_is_left_out(self, tmp_path: Path) -> None:
        page = page_of(large_report(), tmp_path)
        assert len(page.html.encode()) < 2_000_000
        for told in (
            "1,000 more tables",
            "And 8,940 tables more, with 8,940,000 rows.",
            "the first 100 of 10,000",
            "10,000 objects translated",
            "10,000 checks passed",
            "(16,015 more characters)",
        ):
            assert told in page.text, told


class TestAccessible:
    @pytest.mark.parametrize("document", [eventful_report, loadtest_document])
    def test_heads_have_a_scope_and_drawings_a_name(self, tmp_path: Path, document: Any) -> None:
        page = page_of(document(), tmp_path)
        assert page.all("html") == [{"lang": "en"}]
        assert len(page.all("h1")) == 1
        assert {one.get("scope") for one in page.all("th")} == {"col", "row"}
        ids = [a["id"] for _, a in page.elements if "id" in a]
        assert len(ids) == len(set(ids))
        for drawing in page.all("svg"):
            assert drawing["role"] == "img"
            assert set((drawing["aria-labelledby"] or "").split()) <= set(ids)
        for section in page.all("section"):
            assert section["aria-labelledby"] in ids
        assert all(a.get("tabindex") == "0" and a["aria-label"] for a in page.all("div") if a.get("class") == "scroll")

    def test_contrast_in_both_schemes(self) -> None:
        """WCAG 2.1, 1.4.3: 4.5 to 1 for text."""
        css = (Path(__file__).parent.parent / "copier/page/templates/page.css").read_text(encoding="utf-8")
        schemes = re.findall(r":root \{(.*?)\}", css, re.S)
        assert len(schemes) == 3
        for scheme in schemes:
            colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", scheme))
            for ground in ("ground", "surface"):
                for ink in ("ink", "quiet", "accent", "ok", "warn", "bad"):
                    assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground, colours)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.1, "relative luminance")."""

    def luminance(colour: str) -> float:
        digits = colour.lstrip("#")
        digits = digits if len(digits) == 6 else "".join(2 * d for d in digits)
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def damaged(**change: Any) -> bytes:
    return json.dumps({**json.loads(eventful_report().to_json()), **change}).encode()


class TestWrongInput:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "is not JSON"),
            (b"\xff\xfe\x00", "is not JSON"),
            (b'{"a": NaN}', "is not JSON"),
            (b"[" * 5000, "is not JSON"),
            (b"[1]", "not one of the documents"),
            (b'{"name": "left-pad"}', "some other JSON document"),
            (b'{"kind": "recipe"}', "a document of the kind 'recipe'"),
            (b'{"kind": ["loadtest"]}', "some other JSON document"),
            (b'{"kind": "loadtest", "version": 2, "verdict": "pass"}', "is version 2 of its kind (loadtest)"),
            (damaged(version=99), "is version 99 of its kind (migration)"),
            (damaged(version="1"), "is version 1"),
            (b'{"kind": "loadtest", "version": 1}', "verdict: Field required"),
            (b'{"kind": "loadtest", "verdict": "perfect"}', "verdict: "),
            (damaged(outcome="fine"), "outcome: "),
            (damaged(tables="none"), "tables: "),
            (damaged(tables=[{"source": "a"}]), "tables.0.target: "),
            (damaged(phases=[{"name": "data", "seconds": "long"}]), "0.seconds: "),
            (damaged(timeline=[{"t_s": 1}]), "0.phase: "),
            (damaged(error="oops"), "error: "),
            (damaged(rejects=[None]), "rejects.0: "),
            (b'{"machine_info": {}, "benchmarks": []}', "a pytest-benchmark file, for which there is no page"),
        ],
    )
    def test_is_refused_in_a_sentence(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, told: str
    ) -> None:
        path = tmp_path / "in.json"
        path.write_bytes(content)
        assert main(["report", str(path)]) == 2
        err = " ".join(capsys.readouterr().err.split())
        assert told in err
        assert "hint: " in err
        assert "Traceback" not in err
        assert not (tmp_path / "in.html").exists()

    def test_no_such_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", str(tmp_path / "in.json")]) == 2
        assert main(["report", str(tmp_path)]) == 2
        assert "cannot read" in capsys.readouterr().err

    def test_a_page_that_is_there_needs_force(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = write_json(tmp_path / "out.json", eventful_report())
        (tmp_path / "out.html").write_text("mine")
        assert main(["report", str(path)]) == 2
        assert "overwrite it with --force" in " ".join(capsys.readouterr().err.split())
        assert (tmp_path / "out.html").read_text() == "mine"
        assert main(["report", str(path), "--force"]) == 0
        assert (tmp_path / "out.html").read_text(encoding="utf-8").startswith("<!doctype html>")

    def test_the_document_is_never_overwritten(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_json(tmp_path / "out.json", eventful_report())
        before = path.read_bytes()
        monkeypatch.setenv("SQLITE2PG_REPORT", str(path))
        assert main(["report", str(path), "-o", str(path), "--force"]) == 2
        assert main(["report", str(path), "-o", str(tmp_path / "nowhere" / "x.html")]) == 2
        assert path.read_bytes() == before
        assert "there is no directory" in " ".join(capsys.readouterr().err.split())

    def test_a_report_from_before_reports_said_their_kind(self, tmp_path: Path) -> None:
        content = json.loads(eventful_report().to_json())
        for later in ("kind", "version", "timeline"):
            del content[later]
        (tmp_path / "old.json").write_text(json.dumps(content))
        found = read_document(tmp_path / "old.json")
        assert isinstance(found, Report)
        assert found.tables == eventful_report().tables


class TestTimeline:
    def test_it_stays_bounded_and_ends_with_the_total(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now_s = 100.0
        monkeypatch.setattr("copier.run.timeline.time", SimpleNamespace(perf_counter=lambda: now_s))
        samples: list[dict[str, Any]] = []
        timeline = Timeline(samples, started_s=90.0)
        for phase in ("data", "verify"):
            timeline.begin(phase)
            for _ in range(20_000):
                now_s += 0.05
                timeline.add(TableProgress(phase, "t", 10, 100))
                timeline.add(TableProgress("profile", "t", 10, 100))
            timeline.end(phase)
        assert SAMPLES_PER_PHASE < len(samples) <= 2 * SAMPLES_PER_PHASE
        for phase in ("data", "verify"):
            told = [s for s in samples if s["phase"] == phase]
            assert (told[0]["rows"], told[-1]["rows"], told[-1]["bytes"]) == (0, 200_000, 2_000_000)
            assert [s["t_s"] for s in told] == sorted(s["t_s"] for s in told)
            steps = [b["t_s"] - a["t_s"] for a, b in pairwise(told)]
            assert max(steps) < 40, "samples are spread over the whole phase"
        assert samples[0]["t_s"] == 10.0

    def test_other_phases_leave_none(self) -> None:
        samples: list[dict[str, Any]] = []
        timeline = Timeline(samples, 0.0)
        timeline.begin("schema")
        timeline.add(TableProgress("schema", "t", 1, 1))
        timeline.end("schema")
        assert samples == []


class TestSeries:
    def test_rates_keep_the_total(self) -> None:
        samples = [{"t_s": t, "phase": "data", "rows": rows} for t, rows in ((5, 0), (6, 10), (6.5, 400), (9, 1000))]
        points = rates(samples, "data", "rows", points=40)
        width_s = 4 / len(points)
        assert sum((y or 0) * width_s for _, y in points) == pytest.approx(1000)
        assert rates(samples, "verify", "rows") == rates(samples[:2], "data", "rows") == []

    def test_thin_keeps_spikes_and_gaps(self) -> None:
        points: list[tuple[float, float | None]] = [(float(n), 1.0) for n in range(1000)]
        points[500] = (500.0, 99.0)
        points[600:700] = [(float(n), None) for n in range(600, 700)]
        few = thin(points, 50, max)
        assert len(few) == 50
        assert max(y for _, y in few if y is not None) == 99.0
        assert None in [y for _, y in few]
        assert thin(points[:50], 50, max) == points[:50]

    @pytest.mark.parametrize("highest", [0.0003, 0.7, 1, 3, 9.99, 10, 250, 99_999, 3.3e9])
    def test_ticks_are_round_and_reach_the_top(self, highest: float) -> None:
        found = ticks(highest)
        assert found[0] == 0
        assert found[-1] >= highest * 0.999
        assert 2 <= len(found) <= 7
        assert found[1] == float(f"{found[1]:.1e}"), "two digits"

    @pytest.mark.parametrize("span", [(0, 0.4), (0, 60), (35, 194), (1, 3600), (0, 86_400), (0, 1e6)])
    def test_times_are_few(self, span: tuple[float, float]) -> None:
        found = time_ticks(*span)
        assert 1 <= len(found) <= 9
        assert all(span[0] <= one <= span[1] for one in found)

    def test_figures_of_an_axis_are_short(self) -> None:
        assert [short(n) for n in (0, 0.5, 950, 1500, 12_000, 1_500_000, 2e9)] == [
            "0", "0.5", "950", "1,500", "12k", "1.5M", "2G",
        ]  # fmt: skip

    def test_too_few_points_make_no_chart(self) -> None:
        assert draw(Chart("c", "t", "u", [Line("a", [(1.0, 2.0), (2.0, None)])])) is None
        assert draw(Chart("c", "t", "u", [Line("a", [(1.0, 0.0), (1.0, 0.0)])])) is not None

    def test_a_chart_says_what_it_shows(self) -> None:
        chart = draw(Chart("c", "Rows", "rows/s", [Line("copy", [(0.0, 10.0), (1.0, 30.0), (2.0, 20.0)])]))
        assert chart is not None
        assert "copy: median 20, highest 30 rows/s." in chart.drawings["wide"]
        assert "<script" not in chart.drawings["wide"]
        assert "<style" not in chart.drawings["wide"]
