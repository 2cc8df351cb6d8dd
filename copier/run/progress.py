"""How far a verb is: the phases of its report, and what its listener hears."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from copier.errors import CopierError
from copier.events import Event, Listener, Message, PhaseFinished, PhaseStarted, TableProgress
from copier.report import Report
from copier.run.ours import as_ours
from copier.run.timeline import Timeline


@dataclass(slots=True)
class Progress:
    """Phases of one verb: their times go to the report, their beginnings and ends to the listener."""

    report: Report
    listener: Listener
    started_s: float = field(default_factory=time.perf_counter)
    _timeline: Timeline = field(init=False)

    def __post_init__(self) -> None:
        """Hear the events on their way to the listener: the time line is made of them."""
        timeline = self._timeline = Timeline(self.report.timeline, self.started_s)
        tell = self.listener

        def hear(event: Event) -> None:
            if isinstance(event, TableProgress):
                timeline.add(event)
            tell(event)

        self.listener = hear

    @contextmanager
    def phase(self, name: str, tables: int = 0, rows: int = 0) -> Iterator[None]:
        """Time a phase; `tables` and `rows` are what lies before it, where that is known."""
        self.listener(PhaseStarted(name, tables, rows))
        start_s = time.perf_counter()
        self._timeline.begin(name)
        try:
            yield
        finally:
            seconds = time.perf_counter() - start_s
            self._timeline.end(name)
            offset_s = round(start_s - self.started_s, 3)
            self.report.phases.append({"name": name, "started_s": offset_s, "seconds": round(seconds, 3)})
        self.listener(PhaseFinished(name, seconds))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise the error that matters, as one of ours where it is the server's, with the report as far as it came."""
        try:
            yield
        except Exception as error:
            found = as_ours(error, self._source())
            self._attach(found)
            if found is error:
                raise
            raise found from error

    def _source(self) -> Path | None:
        path = self.report.source.get("path")
        return Path(path) if isinstance(path, str) else None

    def _attach(self, error: BaseException) -> None:
        if isinstance(error, CopierError):
            self.fail(error)
            error.report = self.finish()

    def pages(self, done: int, total: int) -> None:
        """Tell how far a backup is."""
        self.listener(Message("detail", f"{done:,} of {total:,} pages"))

    def say(self, text: str) -> None:
        """Tell the person something."""
        self.listener(Message("info", text))

    def warn(self, text: str) -> None:
        """Tell the person something that matters; it goes into the report too."""
        self.report.warnings.append(text)
        self.listener(Message("warning", text))

    def finish(self) -> Report:
        """Close the books."""
        self.report.seconds = round(time.perf_counter() - self.started_s, 3)
        self.report.peak_rss_bytes = peak_rss_bytes()
        return self.report

    def fail(self, error: CopierError) -> None:
        """Write an error into the report."""
        self.report.outcome = "refused" if error.exit_code == 5 else "failed"
        self.report.error = {
            "type": type(error).__name__,
            "message": str(error),
            "hint": error.hint,
            "table": error.table,
            "column": error.column,
            "key": error.key,
        }


def peak_rss_bytes() -> int:
    """Peak resident memory of this process. Linux counts it per program; getrusage would include who started it."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
