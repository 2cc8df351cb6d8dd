"""An Assessment on the terminal: the verdict, what needs a person, what stays behind, the tables, the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from copier.cli.render import cell, mark, say
from copier.plan.reasons import OWN_TO_SQLITE
from copier.units import count, duration, plural, size

if TYPE_CHECKING:
    from copier.assess.assessment import Assessment, ColumnAssessment, TableAssessment

_LINES_SHOWN = 12
_TABLES_SHOWN = 40
_DETAILED_SHOWN = 10
_COLUMNS_SHOWN = 24
_WORDS_CHARS = 200
_ALL = 1_000_000
_HARMLESS = ("changed", "almost")


def render_assessment(found: Assessment, console: Console, *, verbose: bool = False) -> None:
    """Print the assessment, worst first; 80 columns are enough."""
    _verdict(found, console)
    lines = _ALL if verbose else _LINES_SHOWN
    _problems(found, console, lines)
    _skipped(found, console, lines)
    _bullets(console, "What changes for the application, and what to decide", found.warnings, lines)
    _tables(found, console, _ALL if verbose else _TABLES_SHOWN)
    _details(found, console, verbose)
    _carried(found, console)
    _time(found, console)


def _verdict(found: Assessment, console: Console) -> None:
    rejected = sum(p.rows for p in found.problems if p.kind == "rejected")
    if any(p.kind == "stop" for p in found.problems):
        say(console, "Not ready: the plan stops at values it cannot convert.", "bold red")
    elif rejected:
        text = f"Will move, but up to {plural(rejected, 'row')} will be set aside with a reason."
        say(console, text, "bold yellow")
    elif any(p.kind not in _HARMLESS for p in found.problems):
        say(console, "Will move whole; something below needs a person.", "bold yellow")
    elif missed := [note for note in found.skipped if note.kind not in OWN_TO_SQLITE]:
        text = f"Every value fits its new type; {plural(len(missed), 'object')} will not carry over."
        say(console, text, "bold yellow")
    else:
        say(console, "Ready to move: every value fits its new type.", "bold green")
    tables, rows = plural(len(found.tables), "table"), plural(found.total_rows, "row")
    file = f"a file of {size(found.file_bytes)} ({found.encoding})"
    say(console, f"{tables}, {rows}, {size(found.total_bytes)} of values in {file}.")
    if any(table.sampled for table in found.tables):
        say(console, "Only a sample was read: rarer problems will show only without --sample.", "yellow")


def _problems(found: Assessment, console: Console, limit: int) -> None:
    if not found.problems:
        return
    _heading(console, f"Problems found ({len(found.problems)})")
    styles = {"stop": "red", "changed": "dim", "almost": "dim"}
    rows = [
        (f"{p.table}.{p.column}" if p.column else p.table, p.text, styles.get(p.kind, "yellow")) for p in found.problems
    ]
    _pairs(console, rows, limit)


def _skipped(found: Assessment, console: Console, limit: int) -> None:
    if not found.skipped:
        return
    _heading(console, f"Will not carry over ({len(found.skipped)})")
    rows = [
        (f"{o.kind} {f'{o.table}: ' if o.table and o.table != o.name else ''}{o.name}", o.detail, "")
        for o in sorted(found.skipped, key=lambda o: o.kind in OWN_TO_SQLITE)
    ]
    _pairs(console, rows, limit)


def _pairs(console: Console, rows: Sequence[tuple[str, str, str]], limit: int) -> None:
    """Print (what, words, style) rows in two columns."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(max_width=max(20, console.width * 2 // 5), overflow="fold")
    grid.add_column(ratio=1, overflow="fold")
    for what, words, style in rows[:limit]:
        label = cell(what)
        label.stylize(style)
        grid.add_row(label, cell(_one_line(words, _WORDS_CHARS if limit < _ALL else _ALL)))
    console.print(Padding(grid, (0, 0, 0, 2)))
    _more(console, len(rows) - limit)


def _bullets(console: Console, title: str, lines: Sequence[str], limit: int) -> None:
    if not lines:
        return
    _heading(console, title)
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    for line in lines[:limit]:
        grid.add_row(Text("-"), cell(_one_line(line)))
    console.print(Padding(grid, (0, 0, 0, 2)))
    _more(console, len(lines) - limit)


def _tables(found: Assessment, console: Console, limit: int) -> None:
    if not found.tables:
        return
    troubles = Counter(p.table for p in found.problems)
    table = _grid(console, "table", "rows>", "size>", "columns>", "indexes>", "problems>")
    for t in _largest(found)[:limit]:
        trouble = troubles[t.source]
        numbers = (count(t.rows), size(t.bytes), count(len(t.columns)), count(t.indexes), trouble or "-")
        table.add_row(cell(_name(t, console)), *map(cell, numbers), style="yellow" if trouble else "")
    _heading(console, "Tables")
    console.print(table)
    _more(console, len(found.tables) - limit)


def _details(found: Assessment, console: Console, verbose: bool) -> None:
    """Print each column with its new type: of all tables, or of the largest and of those with problems."""
    troubled = {p.table for p in found.problems}
    ranked = sorted(_largest(found), key=lambda t: t.source not in troubled)
    shown = {t.source for t in ranked[: _ALL if verbose else _DETAILED_SHOWN]}
    for t in found.tables:
        if t.source in shown:
            _heading(console, _name(t, console) + (": the target has it already, its types are kept" * t.existing))
            _columns(t, console, _ALL if verbose else _COLUMNS_SHOWN)
    rest = len(found.tables) - len(shown)
    if rest:
        say(console, f"  and the columns of {plural(rest, 'table')} more; --verbose or --plan-out lists them", "dim")


def _columns(t: TableAssessment, console: Console, limit: int) -> None:
    table = _grid(console, "column", "SQLite", "PostgreSQL")
    table.add_column("why", ratio=1, overflow="fold", style="dim")
    table.expand = True
    for c in t.columns[:limit]:
        name = c.source if c.source == c.target else f"{c.source} {mark(console, '→')} {c.target}"
        table.add_row(*map(cell, (name, c.declared or "-", _type(c), _one_line(c.reason))))
    console.print(table)
    _more(console, len(t.columns) - limit)


def _type(c: ColumnAssessment) -> str:
    return c.type + (" identity" if c.identity else " generated" if c.generated else "")


def _carried(found: Assessment, console: Console) -> None:
    if found.carried:
        kinds = ", ".join(plural(number, kind) for kind, number in found.carried.items())
        say(console, f"Also carried over: {kinds}.")


def _time(found: Assessment, console: Console) -> None:
    e = found.estimate
    parts = [("backup", e.backup_s), ("copy", e.copy_s), ("indexes", e.index_s), ("check", e.verify_s)]
    shares = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts if seconds >= 1)
    console.print()
    say(console, f"A full run may take about {duration(e.seconds)}{f' ({shares})' if shares else ''}.", "bold")
    say(console, f"This is an estimate, {e.basis}.", "dim")


def _largest(found: Assessment) -> list[TableAssessment]:
    return sorted(found.tables, key=lambda t: (-t.bytes, -t.rows, t.source))


def _name(t: TableAssessment, console: Console) -> str:
    return t.source if t.source == t.target else f"{t.source} {mark(console, '→')} {t.target}"


def _heading(console: Console, text: str) -> None:
    console.print()
    say(console, text, "bold")


def _grid(console: Console, *columns: str) -> Table:
    """Return an empty table; a name that ends in `>` is a column of numbers."""
    style = box.SIMPLE_HEAD if console.encoding.lower().startswith("utf") else box.ASCII2
    table = Table(box=style, pad_edge=False)
    for name in columns:
        number = name.endswith(">")
        table.add_column(name.rstrip(">"), justify="right" if number else "left", no_wrap=number, overflow="fold")
    return table


def _more(console: Console, number: int) -> None:
    if number > 0:
        say(console, f"  and {count(number)} more; --verbose or --json lists them", "dim")


def _one_line(text: str, limit: int = _ALL) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 4].rstrip() + " ..."
