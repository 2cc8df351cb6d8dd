"""The audit of the pinned packages: what it finds it says, what it cannot look up it says too; it stops no build."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

AUDIT = Path(__file__).resolve().parent.parent / ".ci" / "audit.py"


def audit(constraints: Path, service: str) -> str:
    command = [sys.executable, str(AUDIT), "--service", service, str(constraints)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


class Osv(BaseHTTPRequestHandler):
    """Answers as OSV does; whatever is at version 6.6.6 has a vulnerability."""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        bad = {"id": "PYSEC-1", "summary": "bad", "affected": [{"package": query["package"], "ranges": []}]}
        answer = json.dumps({"vulns": [bad]} if query["version"] == "6.6.6" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def osv() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Osv) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_what_it_finds(tmp_path: Path, osv: str) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"# pins\norjson=={version('orjson')}\nasyncpg==0.0.1\nnowhere==6.6.6  # old\n")
    said = audit(constraints, osv)
    assert "3 pinned packages" in said
    assert f"asyncpg {version('asyncpg')} is installed, 0.0.1 is pinned" in said
    assert "known vulnerabilities: 1\n    nowhere 6.6.6: PYSEC-1" in said


def test_a_pin_that_is_none_is_said_and_nothing_is_claimed(tmp_path: Path, osv: str) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("nowhere==6.6.6\nloose>=1\n")
    said = audit(constraints, osv)
    assert "not pinned exactly: 1\n    loose>=1" in said
    assert "known vulnerabilities: NOT CHECKED" in said


def test_without_a_network_it_says_that_it_did_not_look(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("nowhere==6.6.6\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        said = audit(constraints, f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert "known vulnerabilities: NOT CHECKED" in said
    assert "none\n" not in said.partition("known vulnerabilities")[2]


def test_nothing_stops_the_build(tmp_path: Path) -> None:
    assert "no report" in audit(tmp_path / "missing.txt", "http://127.0.0.1:1/")


def test_ours_are_pinned_exactly() -> None:
    said = audit(AUDIT.parent.parent / "constraints.txt", "http://127.0.0.1:1/")
    assert "not pinned exactly: none" in said
