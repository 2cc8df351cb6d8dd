"""The command line, which sends itself a signal at a chosen moment: `kill_at.py SIGNAL MOMENT full --sqlite ...`.

MOMENT is `before:PHASE` or `after:PHASE`, or `at:SECONDS` after the run's first event (from another thread, so that it
falls anywhere, also into compiled code), or `never`. The first event's and the last moment's times go to stderr as
`moment FIRST LAST`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from copier.cli import main
from copier.run import phases
from copier.run.builds import Builds
from copier.run.progress import Progress

PHASES = ("backup", "validate", "profile", "begin", "schema", "data", "indexes", "constraints", "verify", "report")


class Killer:
    """Sends the signal when its moment is reached."""

    def __init__(self, number: signal.Signals, moment: str) -> None:
        self._number = number
        self._moment = moment
        self._first_s = 0.0
        self._done: set[str] = set()

    def reach(self, moment: str) -> None:
        """Called at every boundary; the first time counts."""
        if moment in self._done:
            return
        self._done.add(moment)
        if not self._first_s:
            self._first_s = time.monotonic()
            kind, _, seconds = self._moment.partition(":")
            if kind == "at":
                timer = threading.Timer(float(seconds), self._kill)
                timer.daemon = True
                timer.start()
        if moment == self._moment:
            self._kill()
        if moment == "after:report" and self._moment == "never":
            sys.stderr.write(f"moment {time.monotonic() - self._first_s:.6f}\n")

    def _kill(self) -> None:
        os.kill(os.getpid(), self._number)

    def install(self) -> None:
        """Stand at every boundary."""
        self._events()
        phases.begin = self._around("begin", phases.begin)
        setattr(Builds, "_build_small", self._around("indexes", Builds._build_small))  # noqa: B010
        setattr(phases.Migration, "_end", self._around("report", phases.Migration._end))  # noqa: B010

    def _events(self) -> None:
        plain = Progress.phase

        @contextmanager
        def phase(progress: Progress, name: str, *counts: int) -> Iterator[None]:
            self.reach(f"before:{name}")
            with plain(progress, name, *counts):
                yield
            self.reach(f"after:{name}")

        setattr(Progress, "phase", phase)  # noqa: B010

    def _around(self, name: str, plain: Callable[..., Any]) -> Any:
        async def call(*args: Any) -> Any:
            self.reach(f"before:{name}")
            result = await plain(*args)
            self.reach(f"after:{name}")
            return result

        return call


if __name__ == "__main__":
    number, moment, *words = sys.argv[1:]
    Killer(signal.Signals[number], moment).install()
    sys.argv = ["sqlite2pg", *words]
    sys.exit(main())
