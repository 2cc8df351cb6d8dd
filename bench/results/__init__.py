"""Results as JSON, one file a subject; `bench.render` makes the page of them."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent

_STARTED_S = time.monotonic()


def write(path: Path, found: dict[str, Any]) -> None:
    """Write a result with its date; floats rounded to what they are worth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"date": f"{datetime.now(UTC):%Y-%m-%d}", **_rounded(found)}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    say(f"written: {path}")


def say(text: str) -> None:
    """Tell how far a long run is."""
    print(f"[{time.monotonic() - _STARTED_S:6.0f} s] {text}", file=sys.stderr, flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
