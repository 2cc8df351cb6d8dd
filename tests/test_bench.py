"""The benchmarks as programs: they run at tiny sizes, their figures are of the right rows, the page agrees with them.

Nothing here asks how fast anything is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from bench import growth, render, suites
from bench.charts import bars
from bench.peer.catalog import PEERS, Figures, Peer
from bench.peer.order import Order
from bench.peers import compare
from bench.process import CommandFailed, measure
from bench.server import SMALL
from bench.shapes import SHAPES, proof_of_source
from copier.sqlite import chatdb

ROOT = Path(__file__).resolve().parent.parent
MESSAGES = 1_000
BAD = ("broken", "idle")
COPIES = ("test_copy.py::test_copy[messages]", "test_copy.py::test_copy[blobs]")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(autouse=True)
def _small_and_here(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE2PG_BENCH_DIR", str(sources))
    monkeypatch.delenv("SQLITE2PG_ENGINE", raising=False)


@pytest.fixture(scope="module")
def measured(sources: Path) -> dict[str, Any]:
    """What the suites write, as pytest-benchmark's JSON."""
    file = sources / "suites.json"
    small = {"SQLITE2PG_BENCH_MESSAGES": str(MESSAGES), "SQLITE2PG_BENCH_RUNS": "1"}
    tests = ["test_encode.py", *COPIES, "test_verify.py::test_verify[messages]", "test_cutover.py"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--benchmark-json={file}", *(f"bench/{test}" for test in tests)],
        env={**os.environ, **small, "SQLITE2PG_BENCH_DIR": str(sources), "SQLITE2PG_ENGINE": "auto"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    found: dict[str, Any] = json.loads(file.read_text())
    return found


class TestSuites:
    def test_each_leaves_its_figures(self, measured: dict[str, Any]) -> None:
        found = suites.split(measured)
        assert list(found) == ["encode", "copy", "verify", "cutover"]
        assert [row["shape"] for row in found["copy"]["rows"]] == ["messages", "blobs"]
        for row in found["copy"]["rows"]:
            assert row["ratio_one"] > 0
            assert row["cpu_s"] > 0
            assert row["rss_bytes"] > 10_000_000
        assert [row["rows"] for row in found["verify"]["rows"]] == [MESSAGES]
        assert {row["messages"] for row in found["cutover"]["rows"]} == {MESSAGES}
        assert all({"data", "verify"} <= set(row["phases"]) for row in found["cutover"]["rows"])

    def test_the_page_has_a_section_of_each(
        self, measured: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "all.json").write_text(json.dumps(measured))
        suites.main([str(tmp_path / "all.json"), "--to", str(tmp_path)])
        files = render.render(render.read_results(tmp_path))
        assert list(files) == [render.PAGE]
        for type_name in ("uuid", "timestamptz, milliseconds"):
            assert f"\n| {type_name} | " in files[render.PAGE]
        assert f"| with tsvector and GIN | {MESSAGES:,} | " in files[render.PAGE]
        assert files[render.PAGE].count("Not measured yet") == len(render.SECTIONS) - 4
        assert capsys.readouterr().err.count("written: ") == 4


def present(*names: str) -> list[Peer]:
    return [PEERS[name] for name in names]


def _no_memory(order: Order, directory: Path) -> Figures:
    raise CommandFailed("Heap exhausted | during allocation")


def _nothing(order: Order, directory: Path) -> Figures:
    return Figures(0.001, 0.001, 0.001, 1)


class TestPeers:
    async def test_every_peer_here_copies_every_shape(self) -> None:
        """What arrived is compared with the source in the comparison itself; a difference would be an error."""
        broken = Peer("broken", "broken", _no_memory, ("asyncpg",))
        idle = Peer("idle", "idle", _nothing, ("asyncpg",))
        missing = Peer("missing", "missing", _no_memory, programs=("no-such-program",))
        chosen = [*present("native", "adbc", "duckdb", "psql", "asyncpg", "pgloader", "pandas"), broken, idle, missing]
        found = await compare([SHAPES["messages"], SHAPES["wide"]], chosen, 1, MESSAGES, SMALL)
        for shape in found["shapes"].values():
            peers = shape["peers"]
            assert peers["broken"]["error"].startswith("Heap")
            assert peers["idle"]["error"].startswith("what arrived is not what was sent")
            assert peers["missing"]["absent"]
            assert "runs" not in peers["missing"]
            assert {n: p["error"] for n, p in peers.items() if "error" in p and n not in BAD} == {}
            assert all(len(p["runs"]) == 1 for n, p in peers.items() if "absent" not in p and n not in BAD)
            assert peers["native"]["runs"]
            assert "uuid" in peers["native"]["types"]
        assert [shape["rows"] for shape in found["shapes"].values()] == [MESSAGES, MESSAGES // 10]
        page = render.render({"peers": {"date": "2026-01-01", **found}})
        assert "| failed: Heap exhausted \\| during allocation |" in page[render.PAGE]
        assert "| absent |" in page[render.PAGE]
        assert_stands_alone(page[render.PEERS_CHART])

    @pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
    def test_equal_sources_for_equal_sizes(self, shape: Any, tmp_path: Path) -> None:
        first, second = (shape.source(tmp_path / name, 200) for name in _directories(tmp_path))
        assert first.read_bytes() == second.read_bytes()
        assert proof_of_source(first, shape)[0] == "200"


def _directories(base: Path) -> Iterator[str]:
    for name in ("first", "second"):
        (base / name).mkdir()
        yield name


class TestGrowth:
    async def test_steps_and_one_large_file(self, sources: Path) -> None:
        found = await growth.grow([MESSAGES], growth.parse_size("48MB"), backup=False, settings=SMALL)
        assert [step["messages"] for step in found["steps"]] == [MESSAGES]
        assert {found["whole"]["outcome"], found["steps"][0]["outcome"]} == {"verified"}
        assert (sources / f"messages_{MESSAGES}.db").exists()
        assert not (sources / f"messages_{found['whole']['messages']}.db").exists()
        page = render.render({"growth": {"date": "2026-01-01", **found}})[render.PAGE]
        assert f"| {found['whole']['messages']:,} | " in page

    def test_a_chat_database_does_not_grow_in_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chatdb, "MAX_USERS", 500)
        monkeypatch.setattr(chatdb, "MAX_CONVERSATIONS", 250)
        monkeypatch.setattr(chatdb, "_BATCH", 1_000)
        peaks = []
        for messages in (5_000, 20_000):
            tracemalloc.start()
            try:
                chatdb.make_chat_database(tmp_path / f"{messages}.db", messages)
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
        assert peaks[1] < peaks[0] * 1.2


class TestProcess:
    def test_a_pipeline(self) -> None:
        used = measure(["sh", "-c", "echo b; echo a"], ["sort"])
        assert used.output == "a\nb\n"
        assert used.wall_s > 0

    def test_what_it_takes(self) -> None:
        busy = (
            "import time; d = bytearray(60_000_000); t = time.process_time()\nwhile time.process_time() < t + 0.3: pass"
        )
        used = measure([sys.executable, "-c", busy])
        assert 0.3 <= used.cpu_s < 5
        assert 60_000_000 < used.rss_bytes < 200_000_000

    def test_the_last_words_of_one_that_fails(self) -> None:
        with pytest.raises(CommandFailed, match=r"^no such table: t$"):
            measure(["sh", "-c", "echo first >&2; echo no such table: t >&2; exit 3"], ["cat"])


class TestPage:
    def test_it_is_what_the_results_say(self) -> None:
        for name, text in render.render(render.read_results()).items():
            assert (ROOT / name).read_text() == text, f"{name} is stale: python -m bench.render"

    def test_without_results_it_says_how_to_get_them(self) -> None:
        page = render.render({})
        assert list(page) == [render.PAGE]
        assert "Not measured yet: `make bench-peers`." in page[render.PAGE]

    def test_a_chart(self) -> None:
        chart = bars("A < B", ["one", "two"], {"x": [1.0, 100.0], "y": [10.0, None]}, unit=" s")
        assert_stands_alone(chart)
        widths = [float(bar.get("width", 0)) for bar in Xml.fromstring(chart).iterfind(".//{*}rect")]
        assert widths[0] < widths[1] < widths[2]


def assert_stands_alone(chart: str) -> None:
    root = Xml.fromstring(chart)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "title", "style", "text", "rect"}
    assert "url(" not in chart
    assert "href" not in chart
