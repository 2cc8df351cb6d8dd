"""What a run's report says beside its tables: both sides, rejects, objects, and the verdict."""

from __future__ import annotations

import orjson

from copier.config import Settings
from copier.plan.model import Plan
from copier.plan.reasons import needs_person
from copier.report import REJECTS_SHOWN, RejectReport, Report
from copier.run.session import Source, Target
from copier.wire.keys import key_from_json, show_key, show_row, show_stored
from copier.wire.values import value_from_json


def describe(report: Report, settings: Settings, source: Source, target: Target) -> None:
    """Write down what both sides are; no password."""
    report.engine = source.engine.name
    report.source = {
        "path": str(source.path.resolve()),
        "bytes": source.estimated_bytes,
        "journal_mode": source.schema.journal_mode,
        "encoding": source.schema.encoding,
        "snapshot": source.snapshot.mode,
        "fingerprint": source.snapshot.fingerprint.digest(),
    }
    report.target = target.document(settings.schema)


async def add_rejects(report: Report, target: Target, plan: Plan, run: str | None) -> None:
    """List rejected rows of the run, the first of each kind before the second of any."""
    if run is None:
        return
    for row in await target.ledger.rejects.first(target.control, run, REJECTS_SHOWN):
        key, pairs = key_from_json(row["key"]), orjson.loads(row["row_data"])
        table = plan.table(row["source"])
        names = [c.source for c in table.copied] if table is not None else []
        stored = dict(zip(names, pairs, strict=False))
        by_name = {name: value_from_json(pair) for name, pair in stored.items()}
        where = show_row(table, by_name, key) if table is not None else show_key((), key)
        column = row["column_name"]
        value = show_stored(stored[column]) if column in stored else ""
        report.rejects.append(RejectReport(row["source"], where, column, value, row["reason"]))


def judge(report: Report) -> None:
    """Set the outcome by what is in the report."""
    wrong = bool(report.mismatches) or any(t.verified is None for t in report.tables if report.command != "schema")
    left = any(map(needs_person, report.objects))
    rejected = any(t.rejected_rows for t in report.tables)
    unsound = any(not c["ok"] for c in report.checks if c["name"].startswith(("sequence", "constraint")))
    if wrong:
        report.outcome = "mismatch"
    else:
        lost = report.salvage is not None and report.salvage["lost"] > 0
        report.outcome = "attention" if left or rejected or unsound or lost else "verified"
