"""What the fault tests did to the copier, counted and printed when the session ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest


@dataclass
class Tally:
    """Counts of one test session."""

    runs: int = 0
    """Runs started, resumed ones included."""
    compared: int = 0
    """Times source and target were read by other code than the copier's, and found identical."""
    kills: Counter[str] = field(default_factory=Counter)
    """Signal at a boundary -> processes it ended."""
    faults: Counter[str] = field(default_factory=Counter)
    """Boundary -> faults injected there."""
    inputs: Counter[str] = field(default_factory=Counter)
    """Kind of hostile input -> how many were tried."""
    resumed: int = 0
    """Runs that failed or were killed and were ended by the same command."""

    def lines(self) -> list[str]:
        """Return the counts as lines of text."""
        signals = Counter[str]()
        places = Counter[str]()
        for name, count in self.kills.items():
            number, _, place = name.partition(" ")
            signals[number] += count
            places[place] += count
        found = [f"runs: {self.runs}; resumed: {self.resumed}; compared by an independent reader: {self.compared}"]
        if self.kills:
            found.append(f"kills survived: {self.kills.total()} ({_listed(signals)})")
            found.append(f"  by place: {_listed(places)}")
        if self.faults:
            found.append(f"faults injected: {self.faults.total()}")
            found.append(f"  by boundary: {_listed(self.faults)}")
        if self.inputs:
            found.append(f"hostile input: {_listed(self.inputs)}")
        return found


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


TALLY = Tally()
"""Of this process: helpers without fixtures count too."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not (TALLY.kills or TALLY.faults or TALLY.inputs):
        return
    terminalreporter.section("faults")
    for line in TALLY.lines():
        terminalreporter.write_line(line)
