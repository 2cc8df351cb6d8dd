"""A Report on the terminal: the verdict first, then what needs a person, then the tables, then what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from copier.plan.reasons import OWN_TO_SQLITE, is_decided, needs_person
from copier.report import Report, TableReport
from copier.units import count, duration, plural, printable, size
from copier.verdict import headline, is_advice, is_whole, next_step, wrote

_STYLES = {"verified": "bold green", "attention": "bold yellow"}
_LINES_SHOWN = 20
_TABLES_SHOWN = 50
_VALUE_WIDTH = 60


def render_report(
    report: Report, console: Console, verbose: bool = False, *, files: Sequence[tuple[str, str]] = ()
) -> None:
    """Print `report`; `files` are further (what, path) pairs to name, such as the log.

    Long lists are cut, and say so, unless `verbose`.
    """
    limit = 1_000_000 if verbose else _LINES_SHOWN
    say(console, headline(report), _STYLES.get(report.outcome, "bold red"))
    _render_error(report, console)
    _render_salvage(report, console, limit)
    _render_mismatches(report, console, limit)
    _render_rejects(report, console, limit)
    _render_objects(report, console, limit)
    _render_warnings(report, console, limit)
    render_checks(report.checks, console, verbose=verbose or report.command == "validate")
    _render_tables(report, console, 1_000_000 if verbose else _TABLES_SHOWN)
    _render_translated(report, console, verbose)
    _render_phases(report, console)
    _render_next(report, console, files)


def _render_error(report: Report, console: Console) -> None:
    if report.error is None:
        return
    if report.outcome != "failed":
        say(console, f"  {report.error.get('message', '')}")
    if report.error.get("hint"):
        say(console, f"  {report.error['hint']}", "dim")


def _render_salvage(report: Report, console: Console, limit: int) -> None:
    if report.salvage is not None:
        from copier.cli.render_salvage import render_losses

        render_losses(report.salvage, console, limit)


def _render_rejects(report: Report, console: Console, limit: int) -> None:
    rejected = sum(t.rejected_rows for t in report.tables)
    if not rejected:
        return
    table = grid(console, "Rejected rows", "table", "column", "reason", "rows>", "first key")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for r in report.rejects:
        groups.setdefault((r.table, r.column or "", r.reason), []).append(r.key)
    for (name, column, reason), keys in sorted(groups.items(), key=lambda g: -len(g[1]))[:limit]:
        table.add_row(*map(cell, (name, column, reason, count(len(keys)), keys[0])))
    _show(console, table)
    if rejected > len(report.rejects):
        per_table = ", ".join(f"{t.source} {count(t.rejected_rows)}" for t in report.tables if t.rejected_rows)
        above = f"{count(len(report.rejects))} of {count(rejected)} are counted above, some of each kind"
        say(console, f"  {above}. All: {per_table}.")
    schema = report.target.get("ledger_schema", "sqlite2pg")
    say(console, f"  Every rejected row is in {schema}.reject in the target, with its original bytes.", "dim")


def _render_mismatches(report: Report, console: Console, limit: int) -> None:
    if not report.mismatches:
        return
    table = grid(console, "Rows that differ", "table", "key", "column", "in SQLite", "in PostgreSQL")
    for m in report.mismatches[:limit]:
        source, target = (_short(v) if v is not None else "(no such row)" for v in (m.source, m.target))
        table.add_row(*map(cell, (m.table, m.key, m.column or "", source, target)))
    _show(console, table)
    _more(console, len(report.mismatches) - limit, "row")


def _render_objects(report: Report, console: Console, limit: int) -> None:
    for status, title in (("failed", "Refused by PostgreSQL"), ("skipped", "Not carried over")):
        found = [o for o in report.objects if o.status == status and needs_person(o)]
        if not found:
            continue
        table = grid(console, title, "kind", "name", "why")
        for o in found[:limit]:
            table.add_row(*map(cell, (o.kind, f"{o.table}: {o.name}" if o.table else o.name, _first_line(o.detail))))
        _show(console, table)
        _more(console, len(found) - limit, "object")


def _render_warnings(report: Report, console: Console, limit: int) -> None:
    for text in report.warnings[:limit]:
        say(console, f"{mark(console, '!')} {text}", "yellow")
    _more(console, len(report.warnings) - limit, "warning")


def render_checks(checks: Sequence[dict[str, object]], console: Console, *, verbose: bool) -> None:
    """Print failing checks and advice with what to do, and the passed ones only when `verbose`."""
    for check in sorted(checks, key=lambda c: (bool(c["ok"]), is_advice(c))):
        if check["ok"] and not verbose:
            continue
        sign, style = ("✓", "green") if check["ok"] else ("!", "yellow") if is_advice(check) else ("✗", "red")
        detail = f": {check['detail']}" if check.get("detail") else ""
        say(console, f"{mark(console, sign)} {check['name']}{detail}", style)
        if check.get("hint") and (verbose or not check["ok"]):
            say(console, f"    {check['hint']}", "dim")


def _render_tables(report: Report, console: Console, limit: int) -> None:
    if not report.tables:
        return
    table = grid(console, "", "table", "rows>", "rejected>", "verified", "seconds>", "MB>")
    rank = sorted(report.tables, key=lambda t: (is_whole(t), -t.copied_rows))
    for t in rank[:limit]:
        table.add_row(*_table_row(t, console), style="" if is_whole(t) else "yellow")
    _show(console, table)
    rest = rank[limit:]
    if rest:
        rows = plural(sum(t.copied_rows for t in rest), "row")
        say(console, f"  and {plural(len(rest), 'table')} more with {rows}; --verbose or --report lists them", "dim")
    for t in report.tables:
        for column, n in t.adjusted_values.items():
            say(console, f"  {t.source}.{column}: {plural(n, 'value')} changed as the plan says")
    fallback = sum(t.fallback_rows for t in report.tables)
    if fallback and report.engine == "native":
        rows = plural(fallback, "row")
        say(console, f"  {rows} went through the portable engine: the same result, more slowly", "dim")


def _table_row(t: TableReport, console: Console) -> list[Text]:
    name = t.source if t.source == t.target else f"{t.source} {mark(console, '→')} {t.target}"
    rows = count(t.copied_rows) + ("" if t.copied_rows == t.source_rows else f" of {count(t.source_rows)}")
    seal = f"{mark(console, '✓')} {t.verified}" if t.verified else "-"
    rejected = count(t.rejected_rows) if t.rejected_rows else "-"
    return [cell(c) for c in (name, rows, rejected, seal, f"{t.seconds:.1f}", f"{t.bytes / 1e6:.1f}")]


def _render_translated(report: Report, console: Console, verbose: bool) -> None:
    done = [o for o in report.objects if o.status in ("created", "translated")]
    if done:
        kinds = Counter(o.kind for o in done)
        say(console, "Also there: " + ", ".join(plural(n, kind) for kind, n in kinds.most_common()) + ".")
    left = Counter(o.kind for o in report.objects if o.kind in OWN_TO_SQLITE)
    if left:
        say(console, "Only SQLite needs: " + ", ".join(plural(n, kind) for kind, n in left.items()) + ".", "dim")
    settled = Counter(o.kind for o in report.objects if is_decided(o))
    if settled:
        listed = ", ".join(plural(n, kind) for kind, n in settled.items())
        say(console, f"Left out, or left as the target has it: {listed}.", "dim")
    if verbose:
        for o in (*done, *(o for o in report.objects if o.kind in OWN_TO_SQLITE)):
            detail = f": {o.detail}" if o.detail else ""
            say(console, f"  {o.kind} {f'{o.table}: ' if o.table else ''}{o.name}{detail}", "dim")


def _render_phases(report: Report, console: Console) -> None:
    parts = [f"{p['name']} {duration(p['seconds'])}" for p in report.phases]
    if report.seconds:
        parts.append(f"in all {duration(report.seconds)}")
    if report.peak_rss_bytes:
        parts.append(f"{size(report.peak_rss_bytes)} of memory at most")
    if parts:
        say(console, ", ".join(parts) + ".", "dim")


def _render_next(report: Report, console: Console, files: Sequence[tuple[str, str]]) -> None:
    source, target = report.source, report.target
    where = f"{target['where']}, schema {target.get('schema')}" if target.get("where") else None
    salvaged = f"{source.get('path')}, from {source['salvaged_from']}" if source.get("salvaged_from") else None
    named = [("source", salvaged), ("target", where), ("connect", target.get("connect"))]
    named += [("backup", source.get("backup")), ("script", target.get("script")), *files]
    for what, value in named:
        for n, line in enumerate(str(value or "").splitlines()):
            say(console, f"{'' if n else what + ':':<9} {line.strip()}")
    if step := next_step(report):
        say(console, f"next:     {step}")
    if report.run and wrote(report):
        server = f" --postgres '{target['dsn']}'" if target.get("embedded") and target.get("dsn") else ""
        say(console, f"undo:     sqlite2pg rollback --run {report.run}{server}")


def say(console: Console, text: str, style: str = "") -> None:
    """Print one sentence, word-wrapped on a terminal and whole where a program reads."""
    console.print(Text(printable(text), style=style), soft_wrap=not console.is_terminal)


def cell(text: object) -> Text:
    """Return a table cell: no markup, no control characters."""
    return Text(printable(str(text)), overflow="fold")


def mark(console: Console, sign: str) -> str:
    """Return `sign`, or its spelling where the terminal has no Unicode."""
    if console.encoding.lower().startswith("utf"):
        return sign
    return {"✓": "ok", "✗": "FAILED", "→": "->"}.get(sign, sign)


def grid(console: Console, title: str, *columns: str) -> Table:
    """Return an empty table; a name that ends in `>` is a column of numbers."""
    style = box.SIMPLE_HEAD if console.encoding.lower().startswith("utf") else box.ASCII2
    table = Table(box=style, title=title or None, title_justify="left", title_style="bold", pad_edge=False)
    table.show_edge = False
    for name in columns:
        number = name.endswith(">")
        table.add_column(name.rstrip(">"), justify="right" if number else "left", no_wrap=number, overflow="fold")
    return table


def _show(console: Console, table: Table) -> None:
    console.print()
    console.print(table)


def _more(console: Console, n: int, noun: str) -> None:
    if n > 0:
        say(console, f"  and {plural(n, noun)} more; --verbose or --report lists them", "dim")


def _short(value: str) -> str:
    return value if len(value) <= _VALUE_WIDTH else value[: _VALUE_WIDTH - 1] + "…"


def _first_line(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return f"{first} .. (whole in the report)" if rest else first
