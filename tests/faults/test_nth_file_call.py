"""Every place in the copier that touches a file fails: the command says so in a sentence, and the same command goes on.

The places are found by reading the source (file_calls.py): one that no command below reaches fails the suite, so no
new one goes unnoticed. CI fails each place once in the quick commands and a few of the others; `make test-faults` the
first and the last call of every place, in three ways.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import file_places as at
import pytest
from file_calls import Boundary, FileFault, find_sites
from file_places import Command, Place, Stage, run
from fix_faults import WHOLE
from fix_postgres import Servers
from fix_tally import TALLY

pytestmark = pytest.mark.usefixtures("bare_environment")

ERRORS = (errno.EIO, errno.EACCES, errno.ENOSPC)
ELSEWHERE = {
    "cli/streams.py:silence": "stdout's reader has left, or its disk is full: test_output.py",
    "postgres/connect.py:_usable": "certificates: test_connect.py",
    "postgres/datadir.py:runnable": "copies programs that only root can run: test_embedded.py",
    "postgres/embedded.py:running": "for the load test: test_embedded.py",
    "postgres/embedded.py:_stop": "no command stops a server: test_embedded.py",
    "postgres/runlock.py:_is_gone": "a run whose process is gone: test_two_runs.py",
    "sqlite/header.py:on_read_only_media": "test_snapshot.py",
    "sqlite/chatdb.py:make_chat_database": "makes the source of the demo: test_cli.py",
    "tune/here.py:cpu_model": "for the benchmarks: test_bench.py",
}
"""Function that no command here reaches -> when it is, and which tests do. Shorten this."""

OF_ROOT = {f"postgres/datadir.py:{name}" for name in ("place", "_root_place")}
OF_OTHERS = {"postgres/binaries.py:may_use"}
"""Functions that only root's server needs, and that only another's does."""

NO_FILES = {"ledger.exists", "target.ledger.exists", "self.exists", "target.exists", "large.open"}
"""Not of paths, though they sound like it."""

CLEANING = ("remove_", "_is_running", "write_whole", "_put_in_place")
"""Functions that remove what is left of a failure: where they fail, it stays, and the next run takes care of it."""


COMMANDS = {
    "backup": Command(at.backup, at.copied, at.abandoned, most=100),
    "backup, no hard links": Command(at.backup, at.copied, broken="link_new link", most=100),
    "backup, no checksum": Command(at.backup, at.nothing_more, broken="write_sums fsync", code=1, most=100),
    "inspect": Command(
        lambda place: [
            *("inspect", "--sqlite", place.source, "--plan-out", place.path("out.toml"), "--force"),
            *("--progress", "none", "--log-file", place.path("log"), "--config", place.path("sqlite2pg.toml")),
        ],
        at.planned,
        at.configured,
        most=100,
    ),
    "inspect, no plan": Command(
        lambda place: ["inspect", "--sqlite", place.source, "--plan-out", place.path("out.toml")],
        at.nothing_more,
        broken="write_whole fsync",
        code=1,
        most=100,
    ),
    "tune": Command(lambda place: ["tune"], at.nothing_more, most=100),
    "report": Command(
        lambda place: ["report", place.path("out.json"), "--force"],
        lambda place: Path(place.path("out.html")).is_file(),
        at.reported,
        most=100,
    ),
    "report, to a pipe": Command(
        lambda place: ["report", place.path("out.json"), "--force", "--output", "/dev/null"],
        at.nothing_more,
        at.reported,
        most=100,
    ),
    "full": Command(
        lambda place: [
            *("full", "--sqlite", place.source, "--postgres", place.dsn, "--plan", at.through_pipe(place, "plan.toml")),
            *("--report", place.path("out.json"), "--script", place.path("out.sql"), "--progress", "none"),
            *("--log-file", place.path("log")),
        ],
        at.in_target,
        at.held,
        most=4,
    ),
    "full, again": Command(
        lambda place: ["full", "--sqlite", place.source, "--postgres", place.dsn, "--progress", "none"],
        at.in_target,
        at.backed_up,
        most=2,
    ),
    "rollback": Command(
        lambda place: ["rollback", "--postgres", place.dsn, "--dump", place.path("before.dump"), "--progress", "none"],
        at.in_target,
        at.moved,
        most=3,
    ),
    "demo": Command(
        lambda place: ["demo", "--directory", place.path("demo"), "--progress", "none"],
        at.nothing_more,
        at.made_by_others,
        code=5,
        most=100,
    ),
    "salvage": Command(at.salvage, at.nothing_more, at.half_salvaged, most=100),
    "full, salvage": Command(at.full_salvage, at.in_target, at.damaged, most=2),
    "full, salvage, again": Command(at.full_salvage, at.in_target, at.salvaged, most=2),
    "embedded, private": Command(at.embedded, at.in_embedded, at.private),
    "embedded, link to nowhere": Command(at.embedded, at.nothing_more, at.linked, code=1, most=2),
    "embedded, again": Command(
        lambda place: ["check", "--sqlite", place.source, "--progress", "none"], at.in_embedded, at.moved_in_private
    ),
    "embedded, damaged": Command(at.embedded, at.nothing_more, at.damaged_server, code=5, most=2),
    "embedded, no settings": Command(
        at.embedded, at.nothing_more, at.damaged_server, broken="write_settings write", code=1, most=2
    ),
    "embedded, occupied": Command(at.embedded, at.nothing_more, at.occupied, code=5, most=100),
}


SITES = find_sites()


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a command did when nothing failed but what always does."""

    calls: Counter[Boundary]
    files: set[str]
    facts: object


@pytest.fixture(scope="module")
def stage(pg_servers: Servers) -> Stage:
    return Stage(pg_servers)


@pytest.fixture(scope="module")
def undisturbed(stage: Stage) -> dict[str, Undisturbed]:
    """Every command once."""
    found = {}
    for name, command in COMMANDS.items():
        with stage.place(command) as place:
            fault = FileFault(SITES, broken=frozenset([command.broken]))
            code, said = run(command.words(place), fault)
            assert code == command.code, said
            found[name] = Undisturbed(fault.calls, place.files(), command.facts(place))
    return found


def test_every_place_that_touches_a_file_is_reached(undisturbed: dict[str, Undisturbed]) -> None:
    """A new one is reached by a command above, or this fails."""
    reached = {boundary.site for one in undisturbed.values() for boundary in one.calls}
    missing = [site for site in SITES if site not in reached and site.call not in NO_FILES]
    not_ours = OF_ROOT if os.geteuid() else OF_OTHERS
    unknown = [str(site) for site in missing if f"{site.file}:{site.function}" not in {*ELSEWHERE, *not_ours}]
    assert unknown == []
    needless = set(ELSEWHERE) - {f"{site.file}:{site.function}" for site in missing}
    assert needless == set(), "these are reached, or are no more"


def chosen(name: str, undisturbed: dict[str, Undisturbed]) -> list[tuple[Boundary, int, int]]:
    """Boundaries that no command before this one crosses, which call, and how it fails."""
    before = {
        b for other in itertools.takewhile(lambda other: other != name, COMMANDS) for b in undisturbed[other].calls
    }
    calls = undisturbed[name].calls
    own = sorted(boundary for boundary in calls if boundary not in before)
    if WHOLE:
        return [(b, number, error) for b in own for number in sorted({1, calls[b]}) for error in ERRORS]
    draw = random.Random(name)
    few = draw.sample(own, min(COMMANDS[name].most, len(own)))
    return [(b, draw.choice((1, calls[b])), draw.choice(ERRORS)) for b in few]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_call_fails(name: str, stage: Stage, undisturbed: dict[str, Undisturbed]) -> None:
    command, wanted = COMMANDS[name], undisturbed[name]
    for boundary, number, error in chosen(name, undisturbed):
        with stage.place(command) as place:
            fault = FileFault(SITES, boundary, number, error, frozenset([command.broken]))
            code, said = run(command.words(place), fault)
            try:
                assert fault.hit or number > 1, "/proc differs from time to time"
                assert_told(code, said)
                if code != command.code:
                    code, said = run(command.words(place), FileFault(SITES, broken=frozenset([command.broken])))
                    assert code == command.code or (code == 5 and "ended verified" in said), said
                assert command.facts(place) == wanted.facts
                assert_files(place, wanted, boundary, said)
            except AssertionError as wrong:
                wrong.add_note(f"fault: call {number} of {boundary}, {errno.errorcode[error]}")
                raise
        TALLY.faults["file calls"] += fault.hit


def assert_told(code: int, said: str) -> None:
    """One sentence and a hint, and never a stack trace."""
    assert code in (0, 1, 2, 3, 5), said
    assert "Traceback" not in said
    assert "internal error" not in said
    assert code in (0, 3) or ("error: " in said and "hint: " in said), said


def assert_files(place: Place, wanted: Undisturbed, boundary: Boundary, said: str) -> None:
    """All files are there, and nothing half-made beside them."""
    found = place.files()
    if boundary.what == "access":
        return  # what may not be written here is written elsewhere
    assert found >= wanted.files or "could not be written" in said, wanted.files - found
    if not boundary.site.function.startswith(CLEANING):
        assert found <= wanted.files, found - wanted.files
