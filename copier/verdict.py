"""What a report comes to, in words: the verdict, and what to do next. The terminal and the page say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from copier.plan.reasons import needs_person
from copier.report import Report, TableReport
from copier.units import plural, printable


def headline(report: Report) -> str:
    """Return the verdict in one sentence."""
    problems = _problems(report)
    match report.outcome:
        case "verified":
            return _success(report)
        case "attention":
            return f"Needs a person: {', '.join(problems) or 'see below'}."
        case "mismatch":
            tables = len({m.table for m in report.mismatches})
            where = f"{_listed(report)} in {plural(tables, 'table')}" if tables else ", ".join(problems) or "see below"
            return f"Source and target differ: {where}. Do not cut over."
        case "refused":
            failed = sum(is_failure(c) for c in report.checks)
            what = f"{failed} of {plural(len(report.checks), 'check')} failed" if failed else "see below"
            return f"Refused to start: {what}. Nothing was written."
    return f"Failed: {printable(str((report.error or {}).get('message') or ', '.join(problems) or 'see below'))}"


def _listed(report: Report) -> str:
    n = len(report.mismatches)
    return ("at least " if n >= 100 else "") + plural(n, "row")


def _success(report: Report) -> str:
    tables, rows = len(report.tables), sum(t.copied_rows for t in report.tables)
    what = f"{plural(tables, 'table')}, {plural(rows, 'row')}"
    levels = {t.verified for t in report.tables}
    if report.command == "validate":
        advice = sum(is_advice(c) for c in report.checks)
        more = f", {plural(advice, 'piece')} of advice" if advice else ""
        return f"Ready: {plural(len(report.checks) - advice, 'check')} passed{more}."
    if report.command == "schema":
        made = sum(o.status in ("created", "translated") for o in report.objects)
        return f"Schema done: {plural(tables, 'table')}, {plural(made, 'object')}."
    if not tables:
        return "Done: the source has no tables to copy."
    if levels == {"content"}:
        return f"Verified: {what}, every value compared."
    if None not in levels:
        return f"Verified: {what}, " + ("rows counted." if levels == {"count"} else "values compared or rows counted.")
    return f"Copied: {what}. Not yet verified: sqlite2pg check compares every value."


def _problems(report: Report) -> list[str]:
    rejected = sum(t.rejected_rows for t in report.tables)
    status = Counter(o.status for o in report.objects if needs_person(o))
    failed = [c["name"] for c in report.checks if is_failure(c)]
    lax = sum(name.startswith("constraint ") for name in failed)
    short = sum(t.copied_rows + t.rejected_rows < t.source_rows for t in report.tables)
    lost = (report.salvage or {}).get("lost", 0)
    found = [
        (lost, plural(lost, "loss") + " from the damaged source"),
        (rejected, plural(rejected, "row") + " rejected"),
        (short, plural(short, "table") + " not copied whole"),
        (status["failed"], plural(status["failed"], "object") + " refused by PostgreSQL"),
        (status["skipped"], plural(status["skipped"], "object") + " not carried over"),
        (lax, plural(lax, "constraint") + " not valid"),
        (len(failed) - lax, plural(len(failed) - lax, "check") + " failed"),
    ]
    return [words for n, words in found if n]


def is_failure(check: Mapping[str, Any]) -> bool:
    """Whether a check of a report failed; what is only advice did not."""
    return not check["ok"] and check.get("fatal", True)


def is_advice(check: Mapping[str, Any]) -> bool:
    """Whether a check of a report found something that could be better, and that stops nothing."""
    return not check["ok"] and not is_failure(check)


def is_whole(t: TableReport) -> bool:
    """Whether every row of a table is in the target, and none was rejected."""
    return t.rejected_rows == 0 and t.copied_rows >= t.source_rows


def wrote(report: Report) -> bool:
    """Whether the verb is one that writes to the target."""
    return report.command in ("schema", "data", "full", "demo")


def next_step(report: Report) -> str:
    """Return what to do now; empty where nothing is left to do."""
    return _NEXT.get((report.outcome, wrote(report)), "")


_NEXT = {
    ("failed", True): "give the same command again: only what is missing is copied",
    ("refused", True): "settle what failed, then give the same command again",
    ("refused", False): "settle what failed, then give the same command again",
    ("attention", True): "settle these problems before the cutover; everything else is in place",
    ("mismatch", True): "find out who changed these rows; sqlite2pg check compares again",
    ("mismatch", False): "find out who changed these rows; sqlite2pg check compares again",
}
"""(outcome, does the command write) -> what to do."""
