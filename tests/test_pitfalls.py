"""Every case of what SQLite files really contain comes out as it must: rows, types, objects, values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from data import pitfalls, pitfalls_files
from data.accounting import Accounts
from data.compare import column_types
from data.pitfall import PitfallCase
from fix_migrate import Migrated, MigrateOnce, check, full

from copier.errors import CopierError
from copier.report import Report

REFUSED_EXIT = 5


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, migrated_once: MigrateOnce) -> Iterator[Migrated]:
    path = tmp_path_factory.mktemp("pitfalls") / "all.db"
    pitfalls.build(path)
    with migrated_once(path) as done:
        yield done


def by_name(case: PitfallCase) -> str:
    return case.name


class TestAllInOneFile:
    def test_the_run_ends_well_and_asks_for_a_person(self, migrated: Migrated) -> None:
        assert migrated.report.outcome == "attention", migrated.report.error or migrated.report.mismatches

    @pytest.mark.parametrize("case", pitfalls.CASES, ids=by_name)
    def test_rows(self, migrated: Migrated, case: PitfallCase) -> None:
        found = {t.source: (t.copied_rows, t.rejected_rows) for t in migrated.report.tables if t.source in case.tables}
        assert found == dict(case.tables)
        for table in (t for t in migrated.report.tables if t.source in case.tables):
            assert table.source_rows == table.copied_rows + table.rejected_rows
            assert table.verified == "content"

    @pytest.mark.parametrize("case", [c for c in pitfalls.CASES if c.types], ids=by_name)
    async def test_types(self, migrated: Migrated, case: PitfallCase) -> None:
        connection = await asyncpg.connect(migrated.dsn)
        try:
            found = {table: await column_types(connection, migrated.target[table]) for table, _ in case.types}
        finally:
            await connection.close()
        for (table, column), wanted in case.types.items():
            assert found[table][column] in wanted.split("|"), (table, column)

    @pytest.mark.parametrize("case", [c for c in pitfalls.CASES if c.objects], ids=by_name)
    def test_objects(self, migrated: Migrated, case: PitfallCase) -> None:
        for wanted in case.objects:
            found = [
                note
                for note in migrated.report.objects
                if note.kind == wanted.kind and wanted.name in note.name and wanted.table in (None, note.table)
            ]
            assert found, wanted
            assert {note.status for note in found} <= set(wanted.statuses), found
            for note in found:
                assert note.detail or note.status in ("created", "translated"), note

    @pytest.mark.parametrize("case", [c for c in pitfalls.CASES if c.probes], ids=by_name)
    async def test_values(self, migrated: Migrated, case: PitfallCase) -> None:
        connection = await asyncpg.connect(migrated.dsn)
        try:
            for query, wanted in case.probes:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    found = await connection.fetchval(query)
                finally:
                    await transaction.rollback()
                assert found == wanted, query
        finally:
            await connection.close()

    @pytest.mark.parametrize("case", [c for c in pitfalls.CASES if c.refused], ids=by_name)
    async def test_constraints_hold_from_now_on(self, migrated: Migrated, case: PitfallCase) -> None:
        connection = await asyncpg.connect(migrated.dsn)
        try:
            for statement in case.refused:
                with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                    await connection.execute(statement)
        finally:
            await connection.close()

    def test_every_rejected_row_has_a_line_with_a_reason(self, migrated: Migrated) -> None:
        wanted = sum(rejected for case in pitfalls.CASES for _, rejected in case.tables.values())
        assert len(migrated.report.rejects) == wanted
        assert all(reject.reason and reject.key for reject in migrated.report.rejects)

    def test_every_object_is_accounted_for(self, migrated: Migrated) -> None:
        assert Accounts(migrated.path, migrated.report).faults() == []

    async def test_checking_again_agrees(self, migrated: Migrated) -> None:
        report = await check(migrated.path, migrated.dsn)
        assert report.mismatches == []
        assert report.outcome in ("verified", "attention")

    def test_the_source_is_as_it_was(self, migrated: Migrated) -> None:
        assert migrated.sha256_now() == migrated.sha256_before


async def test_cases_that_leave_nothing_to_do_are_verified(tmp_path: Path, pg_dsn: str) -> None:
    pitfalls.build(tmp_path / "verified.db", pitfalls.VERIFIED)
    report = await full(tmp_path / "verified.db", pg_dsn)
    lost = [note for note in report.objects if note.status in ("skipped", "failed")]
    assert (report.outcome, report.exit_code) == ("verified", 0), (report.error, report.rejects, lost)


@pytest.mark.parametrize("name", ["fk_orphans", "checks_violated", "nul_few", "views_broken"])
async def test_each_kind_of_trouble_alone_asks_for_a_person(name: str, tmp_path: Path, pg_dsn: str) -> None:
    pitfalls.build(tmp_path / "one.db", [case for case in pitfalls.CASES if case.name == name])
    report = await full(tmp_path / "one.db", pg_dsn)
    assert (report.outcome, report.exit_code) == ("attention", 3), report.error


async def test_names_that_fold_alike_are_told_before_anything_is_created(
    tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
) -> None:
    pitfalls.build(tmp_path / "names.db", [case for case in pitfalls.CASES if case.name == "names_fold_alike"])
    report = await outcome(tmp_path / "names.db", pg_dsn, names="lower")
    found = {row["tablename"] for row in await pg.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    if isinstance(report, CopierError):
        assert "folded_" in str(report)
        assert found == set()
    else:  # told apart
        assert report.outcome in ("verified", "attention")
        assert len({table.target for table in report.tables}) == len(found) == 2


async def outcome(path: Path, dsn: str, **settings: object) -> Report | CopierError:
    """Return the report, or the error that ended the run."""
    try:
        return await full(path, dsn, **settings)
    except CopierError as error:
        return error


def exit_code(result: Report | CopierError) -> int:
    return result.exit_code


def said(result: Report | CopierError) -> str:
    """Return what a person is told about why the run ended."""
    if isinstance(result, CopierError):
        return f"{result} {result.hint}"
    return str((result.error or {}).get("message", ""))


class TestFiles:
    """The file itself is the trouble."""

    @pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
    async def test_utf16(self, encoding: str, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
        path = pitfalls_files.build_utf16(tmp_path / "a.db", encoding)
        assert (await full(path, pg_dsn)).outcome == "verified"
        await self.holds_all_notes(pg)

    @pytest.mark.parametrize("page_bytes", [512, 65536])
    async def test_page_size(self, page_bytes: int, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
        path = pitfalls_files.build_page_size(tmp_path / "a.db", page_bytes)
        assert (await full(path, pg_dsn)).outcome == "verified"
        await self.holds_all_notes(pg)

    async def test_rows_of_a_left_wal_are_copied(self, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
        path = pitfalls_files.build_wal(tmp_path / "a.db")
        assert (await full(path, pg_dsn)).outcome == "verified"
        await self.holds_all_notes(pg)

    async def test_rows_of_an_unfinished_transaction_are_never_copied(
        self, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
    ) -> None:
        path = pitfalls_files.build_hot_journal(tmp_path / "a.db")
        result = await outcome(path, pg_dsn)
        if exit_code(result) == REFUSED_EXIT:
            assert "journal" in said(result).lower()
        else:
            assert exit_code(result) == 0
            await self.holds_all_notes(pg)

    @pytest.mark.parametrize("make", pitfalls_files.UNREADABLE)
    async def test_the_unreadable_is_refused_in_one_sentence(
        self, make: pitfalls_files.Maker, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
    ) -> None:
        path = make(tmp_path / "a.db")
        result = await outcome(path, pg_dsn)
        assert exit_code(result) == REFUSED_EXIT
        assert said(result)
        assert "Traceback" not in said(result)
        assert await pg.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0

    @staticmethod
    async def holds_all_notes(pg: asyncpg.Connection) -> None:
        found = {row["id"]: row["body"] for row in await pg.fetch("SELECT id, body FROM notes")}
        assert found == {n: pitfalls_files.TEXT.format(n) for n in range(1, pitfalls_files.ROWS + 1)}
