"""The page of a migration: what its report says, in the order in which a person needs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from copier.page.charts import Chart, Line, draw
from copier.page.objects import OpenObjects, Shown, object_sentences, open_objects, translated
from copier.page.salvage import SalvageView, salvage_view
from copier.page.series import rates
from copier.page.tables import FOLDED, TABLES, TableRow, adjusted, in_order, row_of, unlisted
from copier.page.view import TEXT_CHARS, Fact, Listed, Pairs, Tone, Verdict, cut, first
from copier.report import Mismatch, Outcome, RejectReport, Report
from copier.units import count, duration, plural, printable, size
from copier.verdict import headline, is_advice, is_failure, next_step, wrote

_LISTED = 100
_CHECKS = 200


@dataclass(frozen=True, slots=True)
class Phase:
    """A bar of the time line; `left` and `width` in percent of the whole."""

    name: str
    left: float
    width: float
    took: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The error a run ended with."""

    message: str
    hint: str
    where: Pairs


@dataclass(frozen=True, slots=True)
class MigrationPage:
    """What the template `migration.html` is filled with."""

    title: str
    command: str
    origin: str
    verdict: Verdict
    facts: list[Fact]
    error: Failure | None
    salvage: SalvageView
    mismatches: Listed[Mismatch]
    rejects: Listed[RejectReport]
    reject_table: str
    open_objects: list[OpenObjects]
    failed_checks: list[dict[str, Any]]
    advice: list[dict[str, Any]]
    passed_checks: Listed[dict[str, Any]]
    warnings: Listed[str]
    tables: list[TableRow]
    folded_tables: list[TableRow]
    folded_told: str
    unlisted_tables: str
    adjusted: list[str]
    phases: list[Phase]
    total_time: str
    charts: list[Chart]
    moved: bool
    object_sentences: list[str]
    translated: Listed[Shown]
    places: Pairs
    connect: str
    undo: str
    quotes_rows: bool


def migration_page(report: Report) -> MigrationPage:
    """Return what the page of a report shows. Lists are cut: the page of 10,000 tables stays below 2 MB."""
    tables = in_order(report.tables)
    end_s = _end_s(report)
    rejected = sum(t.rejected_rows for t in report.tables)
    source, target = report.source, report.target
    return MigrationPage(
        title=f"{cut(headline(report), 80)} sqlite2pg {report.command}",
        command=report.command,
        origin=" → ".join(_text(v) for v in (source.get("path"), target.get("where")) if v),
        verdict=Verdict(_TONES[report.outcome], cut(headline(report)), list(_sentences(report))),
        facts=list(_facts(report)),
        error=_failure(report),
        salvage=salvage_view(report),
        mismatches=first([_cut_mismatch(m) for m in report.mismatches[:_LISTED]], _LISTED, len(report.mismatches)),
        rejects=_rejects(report, rejected) if rejected or report.rejects else Listed(),
        reject_table=f"{_text(target.get('ledger_schema') or 'sqlite2pg')}.reject",
        open_objects=open_objects(report.objects),
        failed_checks=[_cut_check(c) for c in report.checks if is_failure(c)][:_CHECKS],
        advice=[_cut_check(c) for c in report.checks if is_advice(c)][:_CHECKS],
        passed_checks=_passed(report),
        warnings=first([cut(w) for w in report.warnings], _LISTED),
        tables=[row_of(t) for t in tables[:TABLES]],
        folded_tables=[row_of(t) for t in tables[TABLES : TABLES + FOLDED]],
        folded_told=f"{plural(len(tables[TABLES : TABLES + FOLDED]), 'more table')}",
        unlisted_tables=unlisted(tables[TABLES + FOLDED :]),
        adjusted=adjusted(report.tables),
        phases=[_bar(p, end_s) for p in _placed(report)],
        total_time=duration(end_s),
        charts=_charts(report),
        moved=any(t.copied_rows for t in report.tables),
        object_sentences=object_sentences(report),
        translated=translated(report.objects),
        places=_places(report),
        connect="\n".join(line.strip() for line in _text(target.get("connect"), 4 * TEXT_CHARS).splitlines()),
        undo=_undo(report),
        quotes_rows=bool(report.rejects or report.mismatches),
    )


_TONES: dict[Outcome, Tone] = {
    "verified": "ok", "attention": "warn", "mismatch": "bad", "failed": "bad", "refused": "bad",
}  # fmt: skip


_COMPARED = (
    "Every row was read back from PostgreSQL and every value compared with SQLite. It is safe to cut over, provided "
    "the application has written nothing to the SQLite file since the copy began."
)
_COUNTED = "The numbers of rows agree, but not every value was compared: run sqlite2pg check before the cutover."
_READY = "Both sides are ready. Nothing was changed."
_STEP_DONE = "This step is done; no data was compared in it."
_MEANINGS: dict[Outcome, str] = {
    "attention": "What is in PostgreSQL is right, but not everything is there. Decide about what is listed below "
    "before the cutover.",
    "mismatch": "PostgreSQL does not hold what SQLite holds. It is not safe to cut over.",
    "failed": "The run did not reach its end: it is not safe to cut over. The SQLite file was only read.",
    "refused": "Nothing was written. The SQLite file and the target are as they were.",
}


def _sentences(report: Report) -> Iterator[str]:
    """Say what the outcome means for somebody who must decide about a cutover."""
    yield _MEANINGS.get(report.outcome) or _verified_means(report)
    if step := next_step(report):
        yield f"Next: {step}."


def _verified_means(report: Report) -> str:
    levels = {t.verified for t in report.tables}
    if report.command == "validate":
        return _READY
    if not levels or None in levels:
        return _STEP_DONE
    return _COMPARED if levels == {"content"} else _COUNTED


def _facts(report: Report) -> Iterator[Fact]:
    tables = report.tables
    rows, rejected = sum(t.copied_rows for t in tables), sum(t.rejected_rows for t in tables)
    if tables:
        moved = sum(t.bytes for t in tables)
        yield Fact("Rows in PostgreSQL", count(rows), f"in {plural(len(tables), 'table')}")
        yield Fact("Rejected rows", count(rejected), "kept in the ledger" if rejected else "")
        content = sum(t.verified == "content" for t in tables)
        yield Fact("Tables verified", f"{count(content)} of {count(len(tables))}", "value by value")
        data_s = sum(p["seconds"] for p in report.phases if p["name"] == "data")
        if moved and data_s > 0:
            yield Fact("Copied", size(moved), f"{size(moved / data_s)}/s, {count(round(rows / data_s))} rows/s")
    if report.seconds:
        yield Fact("Time in all", duration(report.seconds))
    if report.peak_rss_bytes:
        yield Fact("Memory at most", size(report.peak_rss_bytes))


def _failure(report: Report) -> Failure | None:
    error = report.error
    if error is None:
        return None
    where = [(name.capitalize(), cut(error[name])) for name in ("table", "column", "key") if error.get(name)]
    message = cut(error["message"], 4 * TEXT_CHARS)
    told = printable(message) in cut(headline(report))  # the verdict says it already
    return Failure("" if told else message, cut(error.get("hint") or "", 4 * TEXT_CHARS), where)


def _rejects(report: Report, rejected: int) -> Listed[RejectReport]:
    rows = [
        RejectReport(cut(r.table), cut(r.key), r.column and cut(r.column), cut(r.value), cut(r.reason))
        for r in report.rejects[:_LISTED]
    ]
    return first(rows, _LISTED, max(rejected, len(report.rejects)))


def _cut_mismatch(m: Mismatch) -> Mismatch:
    values = (None if v is None else cut(v) for v in (m.column, m.source, m.target))
    return Mismatch(cut(m.table), cut(m.key), *values)


def _cut_check(check: dict[str, Any]) -> dict[str, Any]:
    return {key: cut(check.get(key) or "") for key in ("name", "detail", "hint")}


def _passed(report: Report) -> Listed[dict[str, Any]]:
    passed = [c for c in report.checks if c["ok"]]
    shown = first([_cut_check(c) for c in passed[:_CHECKS]], _CHECKS, len(passed))
    return Listed(shown.shown, f"{plural(len(passed), 'check')} passed")


def _placed(report: Report) -> list[dict[str, Any]]:
    """Return the phases with where they began; a report that does not say has them one after the other."""
    at_s, placed = 0.0, []
    for phase in report.phases[:_LISTED]:
        at_s = phase.get("started_s", at_s)
        placed.append({**phase, "started_s": max(0.0, at_s)})
        at_s += phase["seconds"]
    return placed


def _end_s(report: Report) -> float:
    return max([report.seconds, *(float(p["started_s"] + p["seconds"]) for p in _placed(report))])


def _bar(phase: dict[str, Any], end_s: float) -> Phase:
    whole_s = end_s or 1.0
    left = min(100.0, 100 * phase["started_s"] / whole_s)
    width = min(100 - left, 100 * max(0.0, phase["seconds"]) / whole_s)
    return Phase(cut(phase["name"], 40), left, width, duration(phase["seconds"]))


def _charts(report: Report) -> list[Chart]:
    names = {"data": "copy", "verify": "verify"}
    found = []
    for key, title, unit, scale in (("rows", "Rows", "rows/s", 1.0), ("bytes", "Data", "MB/s", 1e6)):
        lines = [Line(name, rates(report.timeline, phase, key)) for phase, name in names.items()]
        scaled = [
            Line(one.name, [(x, None if y is None else y / scale) for x, y in one.points])
            for one in lines
            if any(y for _, y in one.points)
        ]
        drawn = draw(Chart(f"chart-{key}", title, unit, scaled)) if scaled else None
        found += [drawn] if drawn else []
    return found


def _places(report: Report) -> Pairs:
    source, target = report.source, report.target
    server = f"PostgreSQL {_text(target['server'])}" if target.get("server") else ""
    schema = f", schema {_text(target['schema'])}" if target.get("schema") else ""
    named = [
        ("Source", _text(source.get("path"))),
        ("Salvaged from", _text(source.get("salvaged_from"))),
        ("Snapshot", _text(source.get("snapshot"))),
        ("Backup", _text(source.get("backup"))),
        ("Target", (_text(target.get("where")) + schema) if target.get("where") else ""),
        ("Server", server),
        ("SQL script", _text(target.get("script"))),
        ("Run", _text(report.run)),
        ("Engine", report.engine if report.run else ""),
    ]
    return [(label, value) for label, value in named if value]


def _undo(report: Report) -> str:
    if not (report.run and wrote(report)):
        return ""
    return f"sqlite2pg rollback --run {_text(report.run)}"


def _text(value: object, most: int = TEXT_CHARS) -> str:
    return "" if value is None else cut(str(value), most)
