"""What is proved at the end of a run, and by `check` at any time: counts, content, sequences, constraints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from copier.config import Level
from copier.events import TableFinished, TableProgress, TableStarted
from copier.plan.model import Plan, TablePlan
from copier.plan.names import qualify, quote
from copier.postgres.ledger import Ledger
from copier.postgres.ledger_chunks import TableTotals
from copier.postgres.ledger_tables import Connection
from copier.postgres.undo import xmin_filter
from copier.postgres.violations import find_not_valid
from copier.report import REJECTS_SHOWN, Mismatch, TableReport
from copier.run.progress import Progress
from copier.run.retried import RetriedRows
from copier.run.session import Source, Target
from copier.run.verify import NARROWED, ContentCheck, TableCheck
from copier.sqlite.pages import count_rows
from copier.units import plural

VERIFY = "verify"

TABLES_ASKED = 100
"""Tables that one query asks of."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the ledger says of the run that is checked; empty when the target was filled by somebody else."""

    run: str | None
    totals: Mapping[str, TableTotals]
    appended: frozenset[str]
    """Source tables whose target held rows before: only the run's own rows are compared."""


async def run_facts(connection: Connection, ledger: Ledger, run: str | None) -> RunFacts:
    """Ask the ledger."""
    if run is None:
        return RunFacts(None, {}, frozenset())
    states = await ledger.table_states(connection, run)
    appended = frozenset(name for name, row in states.items() if row["rows_before"])
    return RunFacts(run, await ledger.chunks.totals(connection, run), appended)


class Proof:
    """Compares both sides and fills the report: tables, mismatches, checks. Returns nothing but through it."""

    def __init__(self, progress: Progress, source: Source, target: Target, plan: Plan, facts: RunFacts) -> None:
        self._progress = progress
        self._source = source
        self._target = target
        self._plan = plan
        self._facts = facts
        self._turn = asyncio.Lock()
        self._sampled: list[TableCheck] = []
        self._reports = {t.source: t for t in progress.report.tables}
        self._filled = frozenset(self._reports)
        """Tables whose counts the run itself has reported; for the others the target's rows count."""

    async def run(self, level: Level, finished: asyncio.Event | None = None) -> None:
        """Check every table, then, when the target is `finished`, sequences and constraints."""
        rows = sum(report.source_rows for report in self._reports.values())
        with self._progress.phase(VERIFY, len(self._plan.tables), rows):
            for table in self._plan.tables:
                await self._check_table(table, level)
            self._tell_sample()
            if finished is not None:
                await finished.wait()
            await self._check_sequences()
            await self._check_constraints()

    async def _check_table(self, table: TablePlan, level: Level) -> None:
        report = self._report_of(table)
        start_s = time.perf_counter()
        self._progress.listener(TableStarted(VERIFY, table.source, report.source_rows))
        check = await (self._content(table) if level == "content" else self._count(table))
        if check.equal or check.sampled_rows:
            self._sampled.append(check)
        self._judge(table, report, check, level)
        seconds = time.perf_counter() - start_s
        self._progress.listener(TableFinished(VERIFY, table.source, check.target_rows, check.excluded_rows, seconds))

    def _report_of(self, table: TablePlan) -> TableReport:
        report = self._reports.get(table.source)
        if report is None:
            report = self._reports[table.source] = TableReport(table.source, table.target)
            self._progress.report.tables.append(report)
        return report

    async def _content(self, table: TablePlan) -> TableCheck:
        ledger, control, run = self._target.ledger, self._target.control, self._facts.run
        total = self._facts.totals.get(table.source)
        rejected_rows = total.rejected if total is not None else 0
        rejected = await ledger.rejects.keys(control, run, table.source) if run and rejected_rows else set()
        xids = (
            await ledger.chunks.xids(control, run, table.source)
            if run and table.source in self._facts.appended
            else None
        )

        def progress(rows: int, size_bytes: int) -> None:
            self._progress.listener(TableProgress(VERIFY, table.source, rows, size_bytes))

        engine = self._source.engine
        resolved = await ledger.open_rejects.resolved(control, run, table.source) if run else ()
        content = ContentCheck(
            *(table, self._plan.schema, rejected, rejected_rows, xids, self._turn, engine, progress),
            retried=RetriedRows(table, resolved),
        )
        async with self._source.snapshot.reader() as connection:
            return await content.run(connection, control)

    async def _count(self, table: TablePlan) -> TableCheck:
        ledger, control, run = self._target.ledger, self._target.control, self._facts.run
        async with self._source.snapshot.reader() as connection:
            source_rows = await count_rows(connection, table.source)
        where = ""
        if run and table.source in self._facts.appended:
            where = f" WHERE {xmin_filter(await ledger.chunks.xids(control, run, table.source))}"
        target_rows = await control.fetchval(f"SELECT count(*) FROM {qualify(self._plan.schema, table.target)}{where}")
        total = self._facts.totals.get(table.source)
        rejected = total.rejected if total is not None else 0
        return TableCheck(source_rows, rejected, target_rows, equal=source_rows == rejected + target_rows)

    def _judge(self, table: TablePlan, report: TableReport, check: TableCheck, level: Level) -> None:
        document = self._progress.report
        report.source_rows = check.source_rows
        report.rejected_rows = check.excluded_rows
        if report.source not in self._filled:
            report.copied_rows = check.target_rows
        balanced = check.source_rows == check.target_rows + check.excluded_rows
        if check.equal and balanced:
            report.verified = level
            return
        detail = f"{plural(check.source_rows, 'row')} in SQLite, {check.target_rows:,} in PostgreSQL"
        detail += f", {check.excluded_rows:,} rejected" if check.excluded_rows else ""
        if level == "content":
            detail += f"; {len(check.mismatches):,} differences found" + (
                " in the part looked at" if check.differing_buckets > NARROWED else ""
            )
        self._add_check(
            f"content of {table.source}" if level == "content" else f"rows of {table.source}", False, detail
        )
        room = REJECTS_SHOWN - len(document.mismatches)
        counts = Mismatch(table.source, "", None, *(plural(n, "row") for n in (check.source_rows, check.target_rows)))
        found = check.mismatches or [counts]
        document.mismatches += found[:room]

    def _tell_sample(self) -> None:
        """Say what was read once more without the kernel."""
        sampled = [check for check in self._sampled if check.sampled_rows]
        without = sum(check.sampled_rows is None for check in self._sampled)
        if not sampled and not without:
            return
        rows = sum(check.sampled_rows or 0 for check in sampled)
        differing = sum(not check.equal for check in sampled)
        detail = f"{plural(rows, 'row')} of {plural(len(sampled), 'table')} compared once more by the portable engine"
        detail += f"; not equal in {plural(differing, 'table')}" if differing else ""
        have = "has" if without == 1 else "have"
        detail += f"; {plural(without, 'table')} {have} no key to ask for rows by" if without else ""
        self._add_check("portable sample", not differing, detail)

    def _add_check(self, name: str, ok: bool, detail: str, hint: str = "") -> None:
        self._progress.report.add_check(name, ok, detail, hint)

    async def _check_sequences(self) -> None:
        """Hold each sequence against the largest id: two questions for a hundred tables, not three for each."""
        tables = [t for t in self._plan.tables if t.identity is not None]
        for first in range(0, len(tables), TABLES_ASKED):
            await self._check_some_sequences(tables[first : first + TABLES_ASKED])

    async def _check_some_sequences(self, tables: Sequence[TablePlan]) -> None:
        control = self._target.control
        columns = [(t, qualify(self._plan.schema, t.target), t.identity.target) for t in tables if t.identity]
        owned = await control.fetch(
            "SELECT pg_get_serial_sequence(t, c) AS name"
            " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS x (t, c, n) ORDER BY n",
            [owner for _, owner, _ in columns],
            [column for _, _, column in columns],
        )
        asked = [(*one, row["name"]) for one, row in zip(columns, owned, strict=True) if row["name"] is not None]
        if not asked:
            return
        selects = [
            f"SELECT {n} AS n, last_value, is_called, (SELECT max({quote(column)}) FROM {owner}) AS top FROM {sequence}"
            for n, (_, owner, column, sequence) in enumerate(asked)
        ]
        for row in await control.fetch(f"{' UNION ALL '.join(selects)} ORDER BY n"):
            table, _, _, sequence = asked[row["n"]]
            assert table.identity is not None
            following = row["last_value"] + (1 if row["is_called"] else 0)
            floor = max(v for v in (row["top"], table.sequence, 0) if v is not None)
            self._add_check(
                f"sequence of {table.source}.{table.identity.source}",
                following > floor,
                f"the next id is {following}, the largest in use {floor}",
                "" if following > floor else f"SELECT setval('{sequence}', {floor})",
            )

    async def _check_constraints(self) -> None:
        targets = [t.target for t in self._plan.tables]
        for one in await find_not_valid(self._target.control, self._plan.schema, targets):
            table = qualify(self._plan.schema, one.table)
            validate = f"ALTER TABLE {table} VALIDATE CONSTRAINT {quote(one.name)}"
            if one.rows == 0:
                detail, hint = "not valid, though no row violates it any more", validate
            else:
                count = "some rows" if one.rows is None else plural(one.rows, "row")
                detail = f"not valid: {count} violate{'s' if one.rows == 1 else ''} it; new rows are held to it"
                hint = f"correct the rows, then {validate}"
            self._add_check(f"constraint {one.name} of {one.table}", False, detail, hint)
