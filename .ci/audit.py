"""A report on the packages of constraints.txt: what it found, and what it could not look up. It never fails a build.

    python .ci/audit.py [--service URL] [constraints.txt]

- Whether the installed packages fit each other (`pip check`).
- Whether each pin is exact, and is what is installed.
- Known vulnerabilities of each pinned version, by pip-audit from the OSV database. Where that cannot be reached this
  part says NOT CHECKED, never "none found".
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TIMEOUT_S = 10
PIN = re.compile(r"([\w.-]+)==([\w.!+-]+)")


def read_pins(text: str) -> tuple[dict[str, str], list[str]]:
    """Return name -> version, and the lines that are no exact pin."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    found = {line: PIN.fullmatch(line) for line in lines if line}
    return {m[1]: m[2] for m in found.values() if m}, [line for line, m in found.items() if m is None]


def compare_installed(pins: dict[str, str]) -> list[str]:
    """Return a sentence for each package whose installed version is another than its pin's."""
    other = []
    for name, wanted in pins.items():
        try:
            there = version(name)
        except PackageNotFoundError:
            continue
        if there != wanted:
            other.append(f"{name} {there} is installed, {wanted} is pinned")
    return other


def look_up(path: Path, service: str | None) -> list[str]:
    """Return a sentence for each pin with known vulnerabilities; LookupError when pip-audit could not tell of all."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(path), "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--timeout", str(TIMEOUT_S), "--format", "json"]
    command += ["--progress-spinner", "off", *(["--osv-url", service] if service else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        words = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise LookupError(f"pip-audit: {words}") from None
    if skipped := [one["name"] for one in packages if "skip_reason" in one]:
        raise LookupError(f"pip-audit could not look up {', '.join(skipped)}")
    return [f"{p['name']} {p['version']}: {', '.join(v['id'] for v in p['vulns'])}" for p in packages if p["vulns"]]


def pip_check() -> list[str]:
    """Return what `pip check` complains of."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines()


def report(path: Path, service: str | None) -> list[str]:
    """Return the lines of the report."""
    pins, unpinned = read_pins(path.read_text(encoding="utf-8"))
    lines = [f"audit of {path.name}: {len(pins)} pinned packages"]
    lines += _part("not pinned exactly", unpinned)
    lines += _part("installed versions that differ", compare_installed(pins))
    lines += _part("packages that do not fit each other (pip check)", pip_check())
    try:
        lines += _part("known vulnerabilities", look_up(path, service))
    except LookupError as error:
        lines.append(f"  known vulnerabilities: NOT CHECKED, {error}")
    return lines


def _part(title: str, found: list[str]) -> list[str]:
    return [f"  {title}: {len(found) or 'none'}", *(f"    {one}" for one in found)]


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("constraints", nargs="?", type=Path, default=Path("constraints.txt"))
    parser.add_argument("--service", help="another OSV service than the public one")
    given = parser.parse_args()
    try:
        print("\n".join(report(given.constraints, given.service)))
    except Exception as error:  # a report is no reason to stop a build
        print(f"audit: no report, {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
