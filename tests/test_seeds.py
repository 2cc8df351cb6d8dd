"""Five real applications' databases, with dirt, move as expected: types, rejects, contents, sequences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from data.accounting import Accounts
from data.compare import column_types, read_source, read_target
from data.expected import Expected
from data.seeds import APPLICATIONS, chat
from fix_migrate import Migrated, MigrateOnce, check, full

PLAN = Path(__file__).parent.parent / "docs" / "examples" / "chat.plan.toml"


@dataclass(frozen=True, slots=True)
class Moved:
    """A migration and what it should have done."""

    done: Migrated
    expected: Expected


@pytest.fixture(scope="module", params=sorted(APPLICATIONS))
def moved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_once: MigrateOnce
) -> Iterator[Moved]:
    path = tmp_path_factory.mktemp("seed") / f"{request.param}.db"
    expected = APPLICATIONS[request.param].build(path)
    with migrated_once(path) as done:
        yield Moved(done, expected)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, migrated_once: MigrateOnce) -> Iterator[Moved]:
    path = tmp_path_factory.mktemp("planned") / "chat.db"
    expected = chat.build(path)
    with migrated_once(path, plan=PLAN) as done:
        yield Moved(done, expected)


class TestEveryApplication:
    def test_every_row_is_copied_or_rejected_and_verified(self, moved: Moved) -> None:
        report, expected = moved.done.report, moved.expected
        assert report.outcome == "attention", report.error or report.mismatches
        assert report.exit_code == 3
        found = {t.source: (t.source_rows, t.copied_rows, t.rejected_rows, t.verified) for t in report.tables}
        assert found == {
            table: (rows, expected.copied_in(table), expected.rejected_in(table), "content")
            for table, rows in expected.rows.items()
        }

    def test_the_rejected_rows_are_the_spoiled_ones(self, moved: Moved) -> None:
        left = list(moved.done.report.rejects)
        assert len(left) == len(moved.expected.rejected)
        for row in moved.expected.rejected:
            found = [
                reject
                for reject in left
                if (reject.table, reject.column) == (row.table, row.column)
                and (_names(reject.key, row.rowid) or all(_names(reject.key, part) for part in row.key))
            ]
            assert len(found) == 1, (row, found)
            assert found[0].reason
            left.remove(found[0])
        assert left == []

    async def test_column_types(self, moved: Moved) -> None:
        connection = await asyncpg.connect(moved.done.dsn)
        try:
            for table, types in moved.expected.types.items():
                assert await column_types(connection, table) == types, table
        finally:
            await connection.close()

    async def test_contents_are_equal_by_an_independent_reading(self, moved: Moved) -> None:
        connection = await asyncpg.connect(moved.done.dsn)
        try:
            for table, types in moved.expected.types.items():
                source = read_source(moved.done.path, table, types)
                assert source.impossible == moved.expected.rejected_in(table), table
                target = await read_target(connection, table, types)
                assert (source.rows - target, target - source.rows) == ({}, {}), table
        finally:
            await connection.close()

    async def test_foreign_keys_are_valid_but_for_the_orphans(self, moved: Moved) -> None:
        connection = await asyncpg.connect(moved.done.dsn)
        try:
            found = await connection.fetch(
                "SELECT relname AS table, attname AS column, convalidated AS valid FROM pg_constraint "
                "JOIN pg_class ON pg_class.oid = conrelid "
                "JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] "
                "WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
            )
        finally:
            await connection.close()
        invalid = {(row["table"], row["column"]) for row in found if not row["valid"]}
        assert invalid == moved.expected.orphans.keys()
        assert any(row["valid"] for row in found)

    async def test_the_next_id_is_the_one_the_source_would_give(self, moved: Moved) -> None:
        connection = await asyncpg.connect(moved.done.dsn)
        try:
            found = await connection.fetch(
                "SELECT table_name, pg_get_serial_sequence(quote_ident(table_name), column_name) AS sequence "
                "FROM information_schema.columns WHERE table_schema = 'public' AND is_identity = 'YES'"
            )
            next_ids = {
                row["table_name"]: await connection.fetchval("SELECT nextval($1::text::regclass)", row["sequence"])
                for row in found
            }
        finally:
            await connection.close()
        assert next_ids == moved.expected.next_id

    def test_every_object_is_accounted_for(self, moved: Moved) -> None:
        assert Accounts(moved.done.path, moved.done.report).faults() == []

    def test_nothing_is_left_to_a_person_but_the_orphans(self, moved: Moved) -> None:
        lost = [note for note in moved.done.report.objects if note.status in ("skipped", "failed")]
        assert {note.kind for note in lost} <= {"internal table"}, lost
        kept = [note for note in moved.done.report.objects if "NOT VALID" in note.detail]
        assert len(kept) == len(moved.expected.orphans)
        assert {note.kind for note in kept} <= {"foreign key"}

    async def test_checking_again_agrees(self, moved: Moved) -> None:
        report = await check(moved.done.path, moved.done.dsn)
        assert report.mismatches == []
        assert report.outcome in ("verified", "attention")

    def test_the_source_is_as_it_was(self, moved: Moved) -> None:
        assert moved.done.sha256_now() == moved.done.sha256_before


def _names(key: str, part: object) -> bool:
    """Whether a printed key holds a value as a whole, not as a part of another."""
    return re.search(rf"(?<![\w-]){re.escape(str(part))}(?![\w-])", key) is not None


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
async def test_without_dirt_there_is_nothing_left_to_do(name: str, tmp_path: Path, pg_dsn: str) -> None:
    path = tmp_path / f"{name}.db"
    expected = APPLICATIONS[name].build(path, 500, dirt=False)
    report = await full(path, pg_dsn)
    lost = [note for note in report.objects if note.status in ("skipped", "failed")]
    assert (report.outcome, report.exit_code) == ("verified", 0), (report.error, lost)
    assert {t.source: t.copied_rows for t in report.tables} == expected.rows


class TestDefaults:
    """What the applications rely on when they insert."""

    async def test_random_ids_become_uuids(self, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection) -> None:
        APPLICATIONS["truths"].build(tmp_path / "a.db", 500, dirt=False)
        await full(tmp_path / "a.db", pg_dsn)
        row = await pg.fetchrow(
            "INSERT INTO token_transactions (user_id, amount, transaction_type) VALUES (1, 5, 'reward') RETURNING *"
        )
        assert row is not None
        assert row["transaction_id"].version == 4
        assert row["metadata"] == "{}"
        assert abs(await pg.fetchval("SELECT extract(epoch FROM now() - $1)", row["created_at"])) < 100
        user = await pg.fetchrow("INSERT INTO users (email) VALUES ('new@example.org') RETURNING is_active, score")
        assert user is not None
        assert tuple(user) == (True, 0)

    async def test_partial_unique_index_over_a_boolean(
        self, tmp_path: Path, pg_dsn: str, pg: asyncpg.Connection
    ) -> None:
        APPLICATIONS["shadowrealms"].build(tmp_path / "a.db", 500, dirt=False)
        await full(tmp_path / "a.db", pg_dsn)
        insert = "INSERT INTO combat_state (location_id, state, is_active, started_at) VALUES (1, '{}', $1, now())"
        await pg.execute(insert, False)
        with pytest.raises(asyncpg.UniqueViolationError):
            await pg.execute(insert, True)


class TestExamplePlan:
    """docs/examples/chat.plan.toml gives the schema of the application's PostgreSQL edition."""

    async def test_exactly_its_column_types(self, planned: Moved) -> None:
        connection = await asyncpg.connect(planned.done.dsn)
        try:
            for table, types in chat.PLANNED_TYPES.items():
                assert await column_types(connection, table) == types, table
        finally:
            await connection.close()

    def test_every_row_is_copied_or_rejected_and_verified(self, planned: Moved) -> None:
        expected = planned.expected
        assert planned.done.report.outcome == "attention", planned.done.report.error
        found = {t.source: (t.copied_rows, t.rejected_rows, t.verified) for t in planned.done.report.tables}
        assert found == {
            table: (expected.copied_in(table), expected.rejected_in(table), "content") for table in expected.rows
        }

    async def test_its_indexes(self, planned: Moved) -> None:
        connection = await asyncpg.connect(planned.done.dsn)
        try:
            found = {
                row["indexname"]: row["indexdef"].partition(" USING ")[2]
                for row in await connection.fetch("SELECT * FROM pg_indexes WHERE schemaname = 'public'")
            }
        finally:
            await connection.close()
        wanted = {
            "idx_users_username": "btree (username) WHERE (deleted_at IS NULL)",
            "idx_users_deleted_at": "btree (deleted_at)",
            "idx_users_is_online": "btree (is_online) WHERE (is_online = true)",
            "idx_conversations_user1_id": "btree (user1_id)",
            "idx_conversations_user2_id": "btree (user2_id)",
            "idx_conversations_updated_at": "btree (updated_at DESC)",
            "idx_messages_conversation_id": "btree (conversation_id, created_at DESC)",
            "idx_messages_sender_id": "btree (sender_id, created_at DESC)",
            "idx_messages_delivered_at": "btree (delivered_at) WHERE (delivered_at IS NULL)",
            "idx_messages_fts": "gin (content_tsvector)",
        }
        # DESC in SQLite puts NULLs last, in PostgreSQL first: either is an index on the same terms.
        plain = {name: text.replace(" NULLS LAST", "").replace(" NULLS FIRST", "") for name, text in found.items()}
        assert {name: plain.get(name) for name in wanted} == wanted
        assert plain["idx_messages_status"].startswith("btree (status) WHERE ")
        assert all(word in plain["idx_messages_status"] for word in ("'pending'", "'failed'"))

    async def test_defaults_and_not_null(self, planned: Moved) -> None:
        connection = await asyncpg.connect(planned.done.dsn)
        try:
            found = await connection.fetch(
                "SELECT table_name || '.' || column_name AS name, column_default, is_nullable "
                "FROM information_schema.columns WHERE table_schema = 'public'"
            )
        finally:
            await connection.close()
        defaults = {row["name"]: row["column_default"] for row in found}
        assert defaults["users.id"] == defaults["conversations.id"] == "gen_random_uuid()"
        assert defaults["messages.id"] is None
        assert defaults["messages.created_at"] == "now()"
        assert defaults["users.is_online"] == "false"
        assert defaults["conversations.message_count"] == "0"
        nullable = {row["name"] for row in found if row["is_nullable"] == "YES"}
        assert {name for name in nullable if not name.startswith("_sqlx")} == {
            "users.deleted_at",
            "users.last_seen_at",
            "conversations.last_message_at",
            "messages.delivered_at",
            "messages.content_tsvector",
        }

    async def test_the_search_column_serves_the_search(self, planned: Moved) -> None:
        connection = await asyncpg.connect(planned.done.dsn)
        try:
            searched, read = await connection.fetchrow(
                "SELECT count(*) FILTER (WHERE content_tsvector @@ to_tsquery('english', 'dragons')), "
                "count(*) FILTER (WHERE content ~* '\\mdragon') FROM messages"
            )
        finally:
            await connection.close()
        assert searched == read > 0
