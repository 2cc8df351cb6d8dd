"""One run of the copier, as a process of its own: `python -m bench.ours ORDER`, where ORDER is JSON.

ORDER: {"sqlite", "postgres", "verb": "full" or "check", "settings": {..}}. The last line printed is JSON: outcome,
engine, seconds of each phase, CPU seconds of each phase, rows and bytes, peak memory.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.process import measure_module
from copier.config import Settings
from copier.events import Event, PhaseFinished, PhaseStarted, TableFinished
from copier.migration import check, full


class Clock:
    """Listens to phases: CPU seconds of each, of the whole process."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        self.copy_s: dict[str, float] = {}
        """Of each table in the data phase, without its indexes; `copy_cpu_s` from the phase's beginning."""
        self.copy_cpu_s: dict[str, float] = {}
        self._began: dict[str, float] = {}

    def hear(self, event: Event) -> None:
        """Note beginnings and ends."""
        if isinstance(event, PhaseStarted):
            self._began[event.phase] = time.process_time()
        elif isinstance(event, PhaseFinished):
            self.cpu_s[event.phase] = self._cpu_since(event.phase)
        elif isinstance(event, TableFinished) and event.phase == "data":
            self.copy_s[event.table] = event.seconds
            self.copy_cpu_s[event.table] = self._cpu_since("data")

    def _cpu_since(self, phase: str) -> float:
        return round(time.process_time() - self._began[phase], 3)


def run_copier(
    sqlite: Path, postgres: str, verb: str = "full", *, engine: str = "auto", **settings: Any
) -> dict[str, Any]:
    """Run the verb in a process of its own and return what it printed, with `wall_s`, `cpu_s`, `rss_bytes` of all."""
    order = {"sqlite": str(sqlite), "postgres": postgres, "verb": verb, "settings": settings}
    figures, used = measure_module("bench.ours", order, SQLITE2PG_ENGINE=engine)
    return {**figures, "wall_s": used.wall_s, "cpu_s": used.cpu_s}


def copy_table(
    sqlite: Path, postgres: str, table: str, *, engine: str = "auto", schema: str = "bench"
) -> dict[str, Any]:
    """Copy one table into a new one: `data_s` and `data_cpu_s` are the copy phase, `rss_bytes` the peak of it all."""
    chosen: dict[str, Any] = {"tables": [table], "existing": "replace", "no_backup": True, "level": "count"}
    found = run_copier(sqlite, postgres, engine=engine, schema=schema, **chosen)
    return {**found, "data_s": found["copy_s"][table], "data_cpu_s": found["copy_cpu_s"][table]}


def main() -> None:
    """Do what the order says."""
    order = json.loads(sys.argv[1])
    clock = Clock()
    chosen = {**order["settings"], "sqlite": Path(order["sqlite"]), "postgres": order["postgres"]}
    chosen |= {"tables": tuple(chosen.get("tables", ()))}
    chosen |= {name: Path(chosen[name]) for name in ("plan", "backup") if name in chosen}
    verb = check if order["verb"] == "check" else full
    report = uvloop.run(verb(Settings(**chosen), clock.hear))
    if report.outcome not in ("verified", "attention") or report.mismatches:
        sys.exit(f"the copier's outcome is {report.outcome}")
    figures = {
        "outcome": report.outcome,
        "engine": report.engine,
        "report_s": report.seconds,
        "phases": {phase["name"]: phase["seconds"] for phase in report.phases},
        "phases_cpu": clock.cpu_s,
        "copy_s": clock.copy_s,
        "copy_cpu_s": clock.copy_cpu_s,
        "rows": sum(table.copied_rows for table in report.tables),
        "bytes": sum(table.bytes for table in report.tables),
        "verified": {table.target: table.verified for table in report.tables},
        "rejected": sum(table.rejected_rows for table in report.tables),
        "rss_bytes": report.peak_rss_bytes,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
