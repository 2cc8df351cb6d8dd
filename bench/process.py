"""Commands in processes of their own, and what each took: wall, CPU, memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SAMPLE_S = 0.02
_KILLED_AFTER_S = 900


@dataclass(frozen=True, slots=True)
class Usage:
    """What a pipeline of commands took. `rss_bytes` adds up the peaks of its processes."""

    wall_s: float
    cpu_s: float
    rss_bytes: int
    output: str


class CommandFailed(Exception):
    """A command of a pipeline ended badly; `str()` is what it said last."""


def measure(*commands: Sequence[str], environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Usage:
    """Run commands as a pipeline and return what they took together; `output` is the last one's. CommandFailed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start_s = time.perf_counter()
        running = _start(commands, output, errors, {**os.environ, **(environ or {})}, directory)
        watcher = _PeakMemory([process.pid for process in running])
        watcher.start()
        killer = threading.Timer(_KILLED_AFTER_S, _kill, [running])
        killer.start()
        waited = [os.wait4(process.pid, 0) for process in running]
        wall_s = time.perf_counter() - start_s
        killer.cancel()
        watcher.finish()
        codes = [os.waitstatus_to_exitcode(status) for _, status, _ in waited]
        for process, code in zip(running, codes, strict=True):
            process.returncode = code  # reaped above, for its rusage
        output.seek(0)
        errors.seek(0)
        text = output.read().decode(errors="replace")
        if any(codes):
            raise CommandFailed(_last_words(errors.read().decode(errors="replace") or text))
        return Usage(wall_s, sum(usage.ru_utime + usage.ru_stime for _, _, usage in waited), watcher.total, text)


def measure_module(module: str, order: Mapping[str, Any], **environ: str) -> tuple[dict[str, Any], Usage]:
    """Run `python -m module ORDER`; its last line is JSON, returned beside what the process took. CommandFailed."""
    command = [sys.executable, "-m", module, json.dumps(order)]
    used = measure(command, environ=environ, directory=Path(__file__).resolve().parent.parent)
    return json.loads(used.output.splitlines()[-1]), used


def _start(
    commands: Sequence[Sequence[str]], output: Any, errors: Any, environ: dict[str, str], directory: Path | None
) -> list[subprocess.Popen[bytes]]:
    running: list[subprocess.Popen[bytes]] = []
    source: Any = subprocess.DEVNULL
    for number, command in enumerate(commands, 1):
        sink = output if number == len(commands) else subprocess.PIPE
        process = subprocess.Popen(list(command), stdin=source, stdout=sink, stderr=errors, env=environ, cwd=directory)
        if source is not subprocess.DEVNULL:
            source.close()
        source = process.stdout
        running.append(process)
    return running


def _kill(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.kill()


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no output")[:300]


class _PeakMemory(threading.Thread):
    """Samples VmHWM, which only grows: getrusage's maximum would include the process that started them."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(daemon=True)
        self._peaks = dict.fromkeys(pids, 0)
        self._over = threading.Event()

    @property
    def total(self) -> int:
        return sum(self._peaks.values())

    def run(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            for pid in self._peaks:
                self._peaks[pid] = max(self._peaks[pid], _high_water_bytes(pid))

    def finish(self) -> None:
        self._over.set()
        self.join()


def _high_water_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
