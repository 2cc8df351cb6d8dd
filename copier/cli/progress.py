"""What a person or a script sees on stderr while a verb works: bars, JSON lines, or sentences only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from copier.cli.log import EventLines
from copier.cli.streams import silence
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
from copier.units import count, duration, plural, printable, size

Mode = Literal["auto", "bar", "json", "none"]

TABLE_BARS = 8
"""Bars of tables shown at once; the others are counted on their phase's line until one of these ends."""

_NAME_WIDTH = 22


def make_listener(mode: Mode, console: Console, verbose: bool = False) -> tuple[Listener, Callable[[], None]]:
    """Return (listener, close) for `console`, which is stderr. `close` ends the bars and may be called twice.

    `auto` is bars on a terminal and JSON lines elsewhere.
    """
    if mode == "auto":
        mode = "bar" if console.is_terminal and not console.is_dumb_terminal else "json"
    if mode == "bar":
        bars = Bars(console, verbose)
        return bars, bars.close
    if mode == "json":
        return EventLines(_line_writer(console)), lambda: None
    return Sentences(console, verbose), lambda: None


def _line_writer(console: Console) -> Callable[[bytes], None]:
    def write(line: bytes) -> None:
        try:
            console.file.write(line.decode())
            console.file.flush()
        except OSError:
            silence(console.file)
            raise

    return write


class Sentences:
    """Prints messages and nothing else."""

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose

    def __call__(self, event: Event) -> None:
        """Print `event` when it is a message for this person."""
        if isinstance(event, Message) and (self._verbose or event.level != "detail"):
            warning = event.level == "warning"
            lines = "\n".join(map(printable, event.text.splitlines()))
            text = Text(("warning: " if warning else "") + lines, style="yellow" if warning else "")
            self._console.print(text, soft_wrap=True)


@dataclass(slots=True)
class _Phase:
    task: TaskID
    tables: int
    rows: int
    """Tables and rows known to lie before it; they grow when more turn up."""
    started: int = 0
    started_rows: int = 0
    done: int = 0
    done_rows: int = 0


class Bars:
    """One bar per phase and one per table at work; a table that is done becomes a number on its phase's line."""

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self._sentences = Sentences(console, verbose)
        self._console = console
        self._progress = Progress(*_columns(), console=console, transient=True, refresh_per_second=5)
        self._phases: dict[str, _Phase] = {}
        self._tables: dict[tuple[str, str], TaskID] = {}
        self._tick = "✓" if console.encoding.lower().startswith("utf") else "ok"

    def __call__(self, event: Event) -> None:
        """Bring the bars up to date."""
        match event:
            case PhaseStarted(name, tables, rows):
                self._phase(name, tables, rows)
            case PhaseFinished():
                self._end_phase(event)
            case TableStarted():
                self._begin_table(event)
            case TableProgress():
                self._advance(event)
            case TableFinished():
                self._end_table(event)
            case Message():
                self._sentences(event)

    def close(self) -> None:
        """Remove what is left of the bars."""
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._phases.clear()
        self._tables.clear()
        self._progress.stop()

    def _phase(self, name: str, tables: int = 0, rows: int = 0) -> _Phase:
        phase = self._phases.get(name)
        if phase is None:
            self._progress.start()
            task = self._progress.add_task(printable(name), total=rows or None, tables="", bytes=0)
            phase = self._phases[name] = _Phase(task, tables, rows)
        return phase

    def _end_phase(self, event: PhaseFinished) -> None:
        phase = self._phases.pop(event.phase, None)
        line = f"{self._tick} {printable(event.phase):<12} {duration(event.seconds):>12}"
        for key in [key for key in self._tables if key[0] == event.phase]:
            self._drop(*key)
        if phase is not None:
            self._progress.remove_task(phase.task)
            if phase.done:
                line += f"   {plural(phase.done, 'table')}, {plural(phase.done_rows, 'row')}"
        self._console.print(Text(line, style="green"))

    def _begin_table(self, event: TableStarted) -> None:
        phase = self._phase(event.phase)
        phase.started += 1
        phase.started_rows += event.rows
        phase.tables = max(phase.tables, phase.started)
        phase.rows = max(phase.rows, phase.started_rows)
        self._progress.update(phase.task, total=phase.rows or None, advance=event.done_rows)
        self._show_tables(phase)
        self._drop(event.phase, event.table)
        self._tables[event.phase, event.table] = self._progress.add_task(
            "  " + printable(event.table),
            total=event.rows or None,
            completed=event.done_rows,
            visible=self._shown() < TABLE_BARS,
            tables="",
            bytes=0,
        )

    def _advance(self, event: TableProgress) -> None:
        phase = self._phase(event.phase)
        for id_ in (phase.task, self._tables.get((event.phase, event.table))):
            if id_ is not None:
                bytes_ = self._task(id_).fields["bytes"] + event.bytes
                self._progress.update(id_, advance=event.rows, bytes=bytes_)

    def _end_table(self, event: TableFinished) -> None:
        phase = self._phase(event.phase)
        phase.done += 1
        phase.done_rows += event.rows
        self._show_tables(phase)
        self._drop(event.phase, event.table)
        waiting = next((id_ for id_ in self._tables.values() if not self._task(id_).visible), None)
        if waiting is not None and self._shown() < TABLE_BARS:
            self._progress.update(waiting, visible=True)
        if event.rejected:
            self._sentences(Message("warning", f"{event.table}: {plural(event.rejected, 'row')} rejected"))

    def _show_tables(self, phase: _Phase) -> None:
        self._progress.update(phase.task, tables=f"{phase.done}/{phase.tables} tables")

    def _drop(self, phase: str, table: str) -> None:
        id_ = self._tables.pop((phase, table), None)
        if id_ is not None:
            self._progress.remove_task(id_)

    def _shown(self) -> int:
        return sum(self._task(id_).visible for id_ in self._tables.values())

    def _task(self, id_: TaskID) -> Task:
        return next(t for t in self._progress.tasks if t.id == id_)


def _columns() -> tuple[ProgressColumn, ...]:
    name = Column(width=_NAME_WIDTH, no_wrap=True, overflow="ellipsis")
    return (
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=12),
        _Figures(_rows, 13),
        _Figures(_rows_per_s, 9),
        _Figures(_bytes_per_s, 9),
        _Figures(_time_left, 10),
    )


class _Figures(ProgressColumn):
    """One right-aligned text made from a task."""

    def __init__(self, text: Callable[[Task], str], width: int) -> None:
        super().__init__(Column(min_width=width, justify="right", no_wrap=True))
        self._text = text

    def render(self, task: Task) -> Text:
        """Return the text for `task`."""
        return Text(self._text(task))


def _rows(task: Task) -> str:
    tables = task.fields["tables"]
    return tables or (count(int(task.completed)) if task.completed else "")


def _rows_per_s(task: Task) -> str:
    return f"{count(round(task.speed))}/s" if task.speed else ""


def _bytes_per_s(task: Task) -> str:
    return f"{size(task.fields['bytes'] / task.elapsed)}/s" if task.elapsed and task.fields["bytes"] else ""


def _time_left(task: Task) -> str:
    return duration(task.time_remaining) if task.time_remaining else ""
