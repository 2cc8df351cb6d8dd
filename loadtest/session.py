"""One load test within Locust: what happens at which of its events.

The process that makes the verdict (the master, or the only one) has a `Referee`. Each process that has users (a worker,
or the only one) has a `Run`, and tells the referee every second what it saw.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import orjson
import psycopg
from gevent.event import Event
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from rich.console import Console

from copier.errors import CopierError
from loadtest.recorder import Recorder
from loadtest.referee import STOP, Referee, read_slo
from loadtest.render import render
from loadtest.shapes import Shape, build_shape, due_times
from loadtest.slo import Slo, parse_slo
from loadtest.statements import Statements
from loadtest.target import Control, Sample, target_dsn
from loadtest.verdict import EXIT_CODES

_NOTES = "loadtest_notes"
_TICK_S = 1.0
_STOP_TIMEOUT_S = 10
_SPAWN_RATE = 50
_PAGE_COLUMNS = 110
log = logging.getLogger("loadtest")


@dataclass(slots=True)
class Run:
    """What the users of one process work with, for one test."""

    slo: Slo
    shape: Shape
    users: dict[str, int]
    """Users of each class in all processes together."""
    dsn: str = field(repr=False)
    prepare: bool
    statements: Statements
    sample: Sample
    recorder: Recorder
    started: Event = field(default_factory=Event)
    stopping: bool = False
    """No request begins any more; those under way are awaited."""

    def due_times(self, user_class: str, phase: float) -> Iterator[float]:
        """Yield when the requests of one user are due, in seconds from the start of the schedule."""
        return due_times(self.shape.steps, self.slo.class_rate(user_class) / self.users[user_class], phase)


class LoadTest:
    """Listens to Locust's events; `environment.loadtest` is where users find it."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._runner = environment.runner
        self._document: dict[str, Any] | None = None
        self._referee: Referee | None = None
        self.run: Run | None = None
        environment.loadtest = self
        environment.stop_timeout = environment.stop_timeout or _STOP_TIMEOUT_S
        options = environment.parsed_options
        if isinstance(self._runner, WorkerRunner):
            self._runner.register_message(STOP, lambda environment, msg: environment.runner.stop(), concurrent=True)
        else:
            slo, _ = read_slo(options.slo)
            options.num_users = options.num_users or slo.rate.users
            options.spawn_rate = options.spawn_rate or _SPAWN_RATE
        if isinstance(self._runner, MasterRunner):
            self._runner.register_message(_NOTES, self._on_notes)
        events = environment.events
        events.test_start.add_listener(self._on_test_start)
        events.spawning_complete.add_listener(self._on_spawning_complete)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.test_stop.add_listener(self._on_test_stop)
        events.quitting.add_listener(self._on_quitting)
        events.quit.add_listener(self._on_quit)

    @property
    def _headless(self) -> bool:
        return isinstance(self._runner, WorkerRunner) or bool(self._environment.parsed_options.headless)

    def _on_test_start(self, environment: Environment, **_: object) -> None:
        self._document = self._referee = self.run = None
        options = environment.parsed_options
        if not isinstance(self._runner, WorkerRunner):
            options.loadtest_plan = None
        try:
            if not isinstance(self._runner, WorkerRunner):
                self._referee = Referee(options, self._runner)
                options.loadtest_plan = self._referee.plan  # Locust sends options to the workers
                for user_class in environment.user_classes:
                    user_class.fixed_count = self._referee.users.get(user_class.__name__, 0)
            plan = getattr(options, "loadtest_plan", None)  # none: the master could not begin
            if plan is not None and not isinstance(self._runner, MasterRunner):
                self.run = _join(plan)
        except (CopierError, psycopg.Error) as error:
            self._give_up(error)

    def _on_spawning_complete(self, **_: object) -> None:
        if self._referee is not None and self._referee.start():
            gevent.spawn(self._end_when_over, self._referee)
        if self.run is not None and not self.run.started.is_set():
            self.run.recorder.start()
            self.run.started.set()
            gevent.spawn(self._tell, self.run)

    def _on_test_stopping(self, **_: object) -> None:
        if self.run is not None:
            self.run.stopping = True

    def _on_test_stop(self, **_: object) -> None:
        if self.run is not None:
            run, self.run = self.run, None
            run.recorder.tick()
            self._send(run.recorder.drain() | {"final": True})
        if self._referee is not None:
            try:
                self._conclude(self._referee.finish())
            except (CopierError, psycopg.Error, OSError) as error:
                self._give_up(error)
            self._referee = None

    def _on_quitting(self, **_: object) -> None:
        """Interrupted, or told to quit: what was measured until now is judged."""
        if isinstance(self._runner, WorkerRunner):
            self._environment.process_exit_code = 0  # the master's verdict counts
        elif self._referee is not None:
            self._runner.quit()

    def _on_quit(self, **_: object) -> None:
        if self._document is not None and self._headless:
            render(self._document, _console())  # below Locust's own tables

    def _on_notes(self, environment: Environment, msg: Any, **_: object) -> None:
        if self._referee is not None:
            self._referee.collector.add(msg.node_id, msg.data)

    def _end_when_over(self, referee: Referee) -> None:
        if not referee.wait_until_over():
            return
        if self._headless:
            self._runner.quit()
        else:
            self._runner.stop()

    def _conclude(self, document: dict[str, Any]) -> None:
        self._document = document
        self._environment.process_exit_code = EXIT_CODES[document["verdict"]]
        Path(self._environment.parsed_options.out).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        if not self._headless:
            render(document, _console())

    def _tell(self, run: Run) -> None:
        while self.run is run:
            gevent.sleep(_TICK_S)
            if self.run is run:
                run.recorder.tick()
                self._send(run.recorder.drain())

    def _send(self, notes: dict[str, Any]) -> None:
        if isinstance(self._runner, WorkerRunner):
            self._runner.send_message(_NOTES, notes)
        elif self._referee is not None:
            self._referee.collector.add("local", notes)

    def _give_up(self, error: Exception) -> None:
        """Say why in one sentence and end; Locust would log a stack trace and go on."""
        hint = getattr(error, "hint", "")
        log.error("%s%s", str(error).strip().partition("\n")[0], f"; {hint}" if hint else "")
        self._environment.process_exit_code = getattr(error, "exit_code", 1)
        self._referee = None
        gevent.spawn_later(0.1, self._runner.quit if self._headless else self._runner.stop)


def _join(plan: dict[str, Any]) -> Run:
    """Return what this process's users work with, from what the referee planned and what the target has."""
    slo = parse_slo(plan["slo"])
    shape = build_shape(plan["shape"], plan["rate"], plan["seconds"], slo)
    dsn = target_dsn()
    control = Control(dsn, plan["schema"])
    with control.connection:
        statements, sample = control.statements(), control.sample()
    return Run(slo, shape, plan["users"], dsn, plan["prepare"], statements, sample, Recorder(shape.bucket_s))


def _console() -> Console:
    """Return the terminal, or a page wide enough for the tables where output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=_PAGE_COLUMNS)
