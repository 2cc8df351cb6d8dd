"""From pytest-benchmark's JSON to one result file a suite: encode, copy, verify, cutover.

pytest bench --benchmark-json=OUT.json && python -m bench.suites OUT.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.results import RESULTS, write

SUITES = ("encode", "copy", "verify", "cutover")


def split(benchmark: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return suite -> its result, of those suites that ran: the machine once, then what each benchmark kept."""
    kept = [one["extra_info"] for one in benchmark["benchmarks"]]
    machines = [info["machine"] for info in kept if "machine" in info]
    found: dict[str, dict[str, Any]] = {}
    for info in kept:
        if info.get("suite") in SUITES:
            result = found.setdefault(info["suite"], {"machine": machines[0] if machines else None, "rows": []})
            result["rows"].append({key: value for key, value in info.items() if key not in ("suite", "machine")})
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, split, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--to", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    for suite, result in split(json.loads(args.benchmark.read_text())).items():
        write(args.to / f"{suite}.json", result)


if __name__ == "__main__":
    main()
