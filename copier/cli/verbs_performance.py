"""The verb `compare-performance`: did it get slower?"""

from __future__ import annotations

import re

from copier.cli.app import Flags, verb
from copier.cli.plain import argument, option, run_plain

_EPILOG = """\
Exit codes
  0  nothing got worse by more than the threshold
  1  something did
  2  an option or a document is wrong, or they cannot be compared

Examples
  sqlite2pg compare-performance before.json after.json
  sqlite2pg compare-performance before.json after.json --threshold 25%
  sqlite2pg compare-performance before.json after.json --json"""

_BEFORE = argument("before", "The document of the run before.", "BEFORE.json")
_AFTER = argument("after", "The document of the run after, of the same kind.", "AFTER.json")
_THRESHOLD = option("threshold", str, "Worse by more than this is a regression (default 10%).", "PERCENT")
_JSON = option("json", bool, "Print the result as JSON.")
_DEBUG = option("debug", bool, "Show the stack trace of an error.")

_PERCENT = re.compile(r"(\d{1,4}(?:\.\d+)?)\s*%?")


@verb("compare-performance", "Afterwards", _EPILOG, _BEFORE, _AFTER, _THRESHOLD, _JSON, _DEBUG)
def compare_performance(flags: Flags) -> None:
    """Compare the figures of two runs, and say what got slower.

    Takes two documents of one kind: pytest-benchmark's JSON, the JSON of load
    tests, or reports of migrations. Figures are matched by name. A change counts
    when it is over the threshold and larger than what chance explains, as far as
    the runs tell how much they vary; where they tell too little it is listed as
    unsure. What only one of them has is listed too.
    """
    run_plain("compare-performance", lambda: _compare(flags), debug=bool(flags["debug"]))


def _compare(flags: Flags) -> int:
    from copier.cli.render_performance import comparison_json, render_comparison
    from copier.documents import read_document
    from copier.performance import compare

    threshold = _threshold(flags["threshold"])
    found = compare(read_document(flags["before"]), read_document(flags["after"]), threshold)
    if flags["json"]:
        comparison_json(found)
    else:
        render_comparison(found)
    return found.exit_code


def _threshold(text: str | None) -> float:
    from copier.errors import UsageError
    from copier.performance import THRESHOLD

    if text is None:
        return THRESHOLD
    told = _PERCENT.fullmatch(text.strip())
    if told is None:
        raise UsageError(f"--threshold: {text!r} is not a percentage", hint="write 10% or 2.5%")
    return float(told[1]) / 100
