"""Running a command: exit codes, errors, files, signals. Real coroutines, no database."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import typer

from copier.cli.run import execute
from copier.cli.session import Command, Session
from copier.cli.show import show_report
from copier.errors import CopyFailed, Interrupted, PlanError, TargetUnusable
from copier.events import Message
from copier.report import EXIT_CODES, Report

pytestmark = pytest.mark.usefixtures("bare_environment")

SECRET = "tOp-s3cret"
DSN = f"postgresql://bob:{SECRET}@db.example/app"


Work = Callable[[Session], Coroutine[Any, Any, Report]]


def run(work: Work, **flags: Any) -> int:
    """Run `work` as a command of its own; return the exit code."""
    with pytest.raises(typer.Exit) as caught:
        execute(
            Command("full", postgres="optional"), {"sqlite": "app.db", "progress": "none", **flags}, work, show_report
        )
    return caught.value.exit_code


def raising(error: BaseException) -> Work:
    async def work(session: Session) -> Report:
        raise error

    return work


@pytest.mark.parametrize(("outcome", "code"), EXIT_CODES.items())
def test_outcome_decides_the_exit_code_and_the_file(outcome: Any, code: int, tmp_path: Path) -> None:
    async def work(session: Session) -> Report:
        return Report(outcome, "full")

    path = tmp_path / "out.json"
    assert run(work, report=path) == code
    assert json.loads(path.read_bytes())["outcome"] == outcome
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize(
    ("error", "code", "outcome"),
    [
        (CopyFailed("table users: disk full", hint="make room", table="users", column="c", key="7"), 1, "failed"),
        (TargetUnusable("no privilege", hint="grant it"), 5, "refused"),
        (PlanError("no such type", line=3, hint="one of ..."), 2, "refused"),
        (Interrupted("stopped", hint="go on"), 1, "failed"),
        (ExceptionGroup("g", [OSError("x"), ExceptionGroup("h", [CopyFailed("inner", hint="h")])]), 1, "failed"),
    ],
)
def test_error_is_one_sentence_a_hint_and_a_report(
    error: Exception, code: int, outcome: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    assert run(raising(error), report=path) == code
    told = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]+\nhint: [^\n]+\n", told)
    document = json.loads(path.read_bytes())
    assert document["outcome"] == outcome
    assert document["error"]["message"] in told
    if isinstance(error, CopyFailed):
        assert (document["error"]["table"], document["error"]["key"]) == ("users", "7")


def test_defect_is_told_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(KeyError("nope")), log_file=tmp_path / "a.log") == 1
    told = capsys.readouterr().err
    assert "internal error: KeyError: 'nope'" in told
    assert "--debug" in told
    assert str(tmp_path / "a.log") in told
    assert "Traceback" not in told


def test_debug_shows_the_trace_without_the_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(ValueError(f"cannot use {SECRET} at {DSN}")), debug=True, postgres=DSN) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert SECRET not in told


def test_password_is_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def work(session: Session) -> Report:
        assert session.settings.postgres is not None
        assert SECRET in session.settings.postgres
        session.listen(Message("warning", f"tried {DSN}"))
        raise CopyFailed(f"{SECRET} was refused", hint=f"not {SECRET}")

    files = {"report": tmp_path / "out.json", "log_file": tmp_path / "a.log"}
    assert run(work, postgres=DSN, verbose=True, progress="json", **files) == 1
    told = capsys.readouterr()
    everything = told.out + told.err + "".join(path.read_text() for path in files.values())
    assert "was refused" in everything
    assert SECRET not in everything


def test_log_has_the_whole_story(tmp_path: Path) -> None:
    async def work(session: Session) -> Report:
        session.listen(Message("detail", "small print"))
        return Report("attention", "full")

    path = tmp_path / "a.log"
    assert run(work, log_file=path) == 3
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["started", "message", "report", "exit"]
    assert (lines[0]["command"], lines[0]["settings"]["sqlite"], lines[3]["code"]) == ("full", "app.db", 3)
    assert path.stat().st_mode & 0o777 == 0o600


def test_json_progress_is_parseable_and_the_error_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(CopyFailed("disk full", hint="make room")), progress="json") == 1
    lines = capsys.readouterr().err.splitlines()
    events = [json.loads(line)["event"] for line in lines if line.startswith("{")]
    assert events == ["started", "error", "exit"]
    assert [line for line in lines if not line.startswith("{")] == ["error: disk full", "hint: make room"]


def test_report_that_cannot_be_written_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()

    async def work(session: Session) -> Report:
        folder.rmdir()
        return Report("verified", "full")

    assert run(work, report=folder / "out.json") == 1
    assert "cannot write the report" in capsys.readouterr().err


def test_file_names_that_are_not_utf8_do_not_lose_the_report(tmp_path: Path) -> None:
    async def work(session: Session) -> Report:
        return Report("verified", "full", source={"path": "caf\udce9.db"})

    assert run(work, report=tmp_path / "out.json") == 0
    assert json.loads((tmp_path / "out.json").read_bytes())["source"]["path"] == r"caf\udce9.db"


SLEEPER = """
import asyncio, sys, typer
from pathlib import Path
from copier.cli.run import execute
from copier.cli.session import Command

async def work(session):
    print("ready", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("cleaned up", flush=True)

try:
    flags = {"sqlite": "app.db", "progress": "none", "report": Path("out.json")}
    execute(Command("full", postgres="optional", stopped="run it again"), flags, work, lambda r, s: 0)
except typer.Exit as done:
    sys.exit(done.exit_code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_cancels_the_work_and_says_how_to_go_on(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == "cleaned up\n"
    assert f"error: stopped by {number.name}\nhint: run it again\n" in err
    assert "Traceback" not in err
    assert json.loads((tmp_path / "out.json").read_bytes())["error"]["type"] == "Interrupted"


STUCK = {
    "in the loop": "await asyncio.Event().wait()",
    "in a thread": "await asyncio.shield(asyncio.to_thread(threading.Event().wait))",
    "in Python": "threading.Event().wait()",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", STUCK)
def test_second_signal_ends_at_once_and_says_how_to_go_on(number: signal.Signals, where: str, tmp_path: Path) -> None:
    """Whatever the orderly end that the first one began is waiting for."""
    code = "import threading\n" + SLEEPER.replace(
        'print("cleaned up", flush=True)', f'print("ending", flush=True); {STUCK[where]}'
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    with process:
        assert process.stdout is not None
        for line in ("ready\n", "ending\n"):
            assert process.stdout.readline() == line
            process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.endswith(f"error: stopped at once by {number.name}\nhint: run it again\n")
    assert "Traceback" not in err
    assert json.loads((tmp_path / "out.json").read_bytes())["error"]["type"] == "Interrupted"


@pytest.mark.parametrize("behind", ["session.__exit__", "sys.stdout.flush"])
def test_ctrl_c_behind_the_end_of_a_command_is_told_too(behind: str, tmp_path: Path) -> None:
    """typer would end with 130 and say nothing."""
    place = {"session.__exit__": "Session, '__exit__'", "sys.stdout.flush": "app_module, 'app'"}[behind]
    code = (
        "import sys, copier.cli as app_module\nfrom copier.cli.session import Session\n"
        "def interrupted(*_, **__): raise KeyboardInterrupt\n"
        f"setattr({place}, interrupted)\n"
        "sys.exit(app_module.main(['inspect', '--sqlite', 'none.db', '--progress', 'none']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.endswith("error: stopped by SIGINT\nhint: run the same command again\n")
    assert "Traceback" not in done.stderr


def test_reader_that_leaves_stops_nothing(tmp_path: Path) -> None:
    """`sqlite2pg full | head -1` still ends with the outcome's code and writes the report."""
    code = SLEEPER.replace(
        "await asyncio.Event().wait()", "return Report('attention', 'full', warnings=['x' * 200] * 9000)"
    )
    code = code.replace("lambda r, s: 0", "show_report").replace('print("ready", flush=True)', "pass")
    code = code.replace('print("cleaned up", flush=True)', "pass")
    code = "from copier.cli.show import show_report\nfrom copier.report import Report\n" + code
    code = code.replace('"progress": "none"', '"progress": "none", "verbose": True')
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(timeout=60) == 3, err
    assert "Traceback" not in err
    assert (tmp_path / "out.json").exists()
