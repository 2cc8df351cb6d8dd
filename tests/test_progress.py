"""What is seen on stderr and in the log while a verb works."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.text import Text

from copier.cli.log import EventLines, Redactor, fan_out, redacting, secrets_of
from copier.cli.progress import TABLE_BARS, Bars, make_listener
from copier.events import (
    Event,
    Listener,
    Message,
    PhaseFinished,
    PhaseStarted,
    TableFinished,
    TableProgress,
    TableStarted,
)


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False, legacy_windows=False)


def pipe() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=80, highlight=False)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lines_of(console: Console) -> list[dict[str, object]]:
    return [json.loads(line) for line in text_of(console).splitlines()]


def a_run(tables: int = 3) -> list[Event]:
    events: list[Event] = [PhaseStarted("data", tables, 100 * tables)]
    for n in range(tables):
        name = f"table_{n}"
        events += [TableStarted("data", name, 100), TableProgress("data", name, 60, 6000)]
        events += [TableProgress("data", name, 40, 4000), TableFinished("data", name, 100, 0, 0.1)]
    return [*events, PhaseFinished("data", 1.5)]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> tuple[EventLines, Callable[[], list[dict[str, object]]]]:
    written: list[bytes] = []
    return EventLines(written.append, clock=clock), lambda: [json.loads(line) for line in written]


@pytest.mark.parametrize(
    ("mode", "console", "kind"),
    [("auto", terminal(), Bars), ("auto", pipe(), EventLines), ("bar", pipe(), Bars), ("json", terminal(), EventLines)],
)
def test_mode_decides_the_listener(mode: str, console: Console, kind: type[Listener]) -> None:
    listener, close = make_listener(mode, console)  # type: ignore[arg-type]
    close()
    assert isinstance(listener, kind)  # type: ignore[arg-type]


def test_none_shows_messages_only() -> None:
    console = pipe()
    listener, close = make_listener("none", console)
    for event in [*a_run(), Message("info", "one"), Message("detail", "two"), Message("warning", "three")]:
        listener(event)
    close()
    assert text_of(console).splitlines() == ["one", "warning: three"]


def test_verbose_shows_details() -> None:
    console = pipe()
    listener, _ = make_listener("none", console, verbose=True)
    listener(Message("detail", "small print"))
    assert text_of(console) == "small print\n"


def test_json_lines_are_one_object_per_event_with_its_time() -> None:
    console = pipe()
    listener, _ = make_listener("json", console)
    for event in a_run(1):
        listener(event)
    kinds = [line["event"] for line in lines_of(console)]
    assert kinds == ["phase_started", "table_started", "table_progress", "table_finished", "phase_finished"]
    assert all(str(line["time"]).endswith("Z") for line in lines_of(console))


def test_table_progress_comes_once_per_second_and_adds_up(log, clock: Clock) -> None:
    listener, lines = log
    listener(TableStarted("data", "t", 1000, done_rows=100))
    for _ in range(10):
        clock.now_s += 0.25
        listener(TableProgress("data", "t", 50, 500))
    told = [line for line in lines() if line["event"] == "table_progress"]
    assert [line["done_rows"] for line in told] == [150, 350, 550]
    assert told[-1] == told[-1] | {"rows": 1000, "done_bytes": 4500, "rows_per_s": 200, "seconds_left": 2.2}


def test_finished_table_has_all_its_bytes(log, clock: Clock) -> None:
    listener, lines = log
    for event in a_run(1):
        listener(event)
    assert next(line for line in lines() if line["event"] == "table_finished")["bytes"] == 10_000


def test_log_that_cannot_be_written_stops_nothing() -> None:
    calls: list[bytes] = []

    def full_disk(line: bytes) -> None:
        calls.append(line)
        raise OSError(28, "No space left on device")

    listener = EventLines(full_disk)
    for event in a_run(3):
        listener(event)
    assert len(calls) == 1


def test_names_that_are_not_utf8_are_logged(log) -> None:
    listener, lines = log
    listener(TableStarted("data", "caf\udce9", 1))
    assert lines()[0]["table"] == r"caf\udce9"


def test_bars_show_phase_and_tables_at_work() -> None:
    console = terminal()
    bars = Bars(console)
    bars(PhaseStarted("data", 2, 200))
    bars(TableStarted("data", "messages", 150))
    bars(TableProgress("data", "messages", 75, 7500))
    bars(TableStarted("data", "users", 50))
    with console.capture() as captured:
        console.print(bars._progress.get_renderable())
    bars.close()
    shown = captured.get()
    assert "data" in shown
    assert "0/2 tables" in shown
    assert "messages" in shown
    assert "75" in shown
    assert "users" in shown
    assert max(len(line) for line in Text.from_ansi(shown).plain.splitlines()) <= 80


def test_many_tables_do_not_flood() -> None:
    bars = Bars(terminal())
    bars(PhaseStarted("profile", 500, 0))
    for n in range(500):
        bars(TableStarted("profile", f"t{n}", 10))
    visible = [task for task in bars._progress.tasks if task.visible]
    assert len(visible) == TABLE_BARS + 1
    for n in range(499):
        bars(TableFinished("profile", f"t{n}", 10, 0, 0.0))
    assert [task.description.strip() for task in bars._progress.tasks if task.visible] == ["profile", "t499"]
    bars.close()
    assert not bars._progress.tasks


def test_finished_phase_is_one_line() -> None:
    console = terminal()
    bars = Bars(console)
    for event in a_run(3):
        bars(event)
    bars.close()
    bars.close()
    assert "✓ data" in text_of(console)
    assert "3 tables, 300 rows" in text_of(console)


def test_resumed_table_begins_where_it_was() -> None:
    bars = Bars(terminal())
    bars(TableStarted("data", "t", 100, done_rows=40))
    assert {task.completed for task in bars._progress.tasks} == {40}
    bars.close()


def test_bars_tell_rejected_rows_at_once() -> None:
    console = terminal()
    bars = Bars(console)
    for event in (TableStarted("data", "t", 5), TableFinished("data", "t", 3, 2, 0.1)):
        bars(event)
    bars.close()
    assert "t: 2 rows rejected" in text_of(console)


def test_messages_cannot_steer_the_terminal() -> None:
    console = pipe()
    listener, _ = make_listener("none", console)
    listener(Message("info", "table \x1b[31mred\x07"))
    assert text_of(console) == "table \\x1b[31mred\\x07\n"


DSNS = [
    "postgresql://bob:tOp%2Fs3cret!@db.example:5432/app",
    "postgresql://bob@db.example/app?password=tOp%2Fs3cret!",
    "host=db.example user=bob password='tOp/s3cret!' dbname=app",
]


@pytest.mark.parametrize("dsn", DSNS)
def test_password_is_masked_wherever_it_stands(dsn: str) -> None:
    redact = Redactor(secrets_of(dsn, {}))
    text = redact(f"cannot connect to {dsn}: password tOp/s3cret! is wrong (tOp%2Fs3cret%21)")
    assert "s3cret" not in text
    assert "bob" in text
    assert "db.example" in text


@pytest.mark.parametrize("dsn", DSNS)
def test_a_dsn_nobody_announced_is_masked_too(dsn: str) -> None:
    assert "s3cret" not in Redactor()(f"unexpected argument ({dsn})")


def test_pgpassword_is_a_secret() -> None:
    assert Redactor(secrets_of(None, {"PGPASSWORD": "hunter22"}))("it was hunter22.") == "it was ***."


def test_password_equal_to_a_public_word_masks_only_its_place_in_the_dsn() -> None:
    dsn = "postgresql://postgres:postgres@localhost/app"
    redact = Redactor(secrets_of(dsn, {}))
    assert redact(f"{dsn} is postgres") == "postgresql://postgres:***@localhost/app is postgres"


def test_listener_chain_redacts_messages_for_everyone() -> None:
    seen: list[Event] = []
    listener = redacting(Redactor(["hunter22"]), fan_out(seen.append, seen.append))
    listener(Message("detail", "password hunter22"))
    assert seen == [Message("detail", "password ***")] * 2
