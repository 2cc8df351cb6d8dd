"""A comparison of two runs on the terminal, or as JSON."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import orjson
from rich.console import Console

from copier.cli.render import cell, grid, mark, say
from copier.performance import Change, Comparison, Judgement
from copier.units import plural

_STYLES = {"regression": "bold red", "better": "green", "unsure": "yellow", "same": ""}
_ORDER = ("regression", "unsure", "better", "same")
_LISTED = 20


def comparison_json(found: Comparison) -> None:
    """Print the comparison as one JSON object."""
    told = asdict(found) | {"regressions": len(found.regressions)}
    sys.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")


def render_comparison(found: Comparison) -> None:
    """Print the verdict, then every figure, the worst first."""
    console = Console(highlight=False)
    style = "bold red" if found.regressions else "bold green"
    say(console, headline(found), style)
    for note in found.notes:
        say(console, f"{mark(console, '!')} {note}", "yellow")
    table = grid(console, "", "name", "figure", "before>", "after>", "ratio>", "result")
    for change in sorted(found.changes, key=lambda c: _ORDER.index(c.judgement)):
        table.add_row(*map(cell, _row(change)), style=_STYLES[change.judgement])
    console.print()
    console.print(table)
    for when, names in (("before", found.only_before), ("after", found.only_after)):
        _render_only(console, when, names)


def headline(found: Comparison) -> str:
    """Return the result in one sentence."""
    tally = Counter(c.judgement for c in found.changes)
    others: tuple[Judgement, ...] = ("better", "unsure")
    rest = [f"{tally[one]:,} {one}" for one in others if tally[one]]
    more = f" ({', '.join(rest)})" if rest else ""
    what = plural(len(found.regressions), "regression") if found.regressions else "No regression"
    return f"{what} over {100 * found.threshold:g}% in {plural(len(found.changes), 'figure')}{more}."


def _row(change: Change) -> list[str]:
    figures = [f"{_figure(value)} {change.unit}" for value in (change.before, change.after)]
    ratio = f"{change.ratio:.2f}x" if change.ratio is not None else "-"
    result = {"regression": "WORSE", "better": "better", "same": "same", "unsure": "unsure"}[change.judgement]
    return [change.name, change.what, *figures, ratio, f"{result}: {change.note}" if change.note else result]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _render_only(console: Console, when: str, names: Sequence[str]) -> None:
    if not names:
        return
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    say(console, f"Only {when}: {', '.join(names[:_LISTED])}{more}.", "dim")
