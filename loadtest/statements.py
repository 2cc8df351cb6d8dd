"""The application's SQL, for the types a migration chose: native (uuid, timestamptz) or faithful (text, bigint)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from copier.errors import TargetUnusable
from copier.plan.names import qualify, quote

PAGE_ROWS = 50
SEARCH_ROWS = 20
COLUMNS = {
    "users": ("id", "username", "deleted_at", "is_online", "last_seen_at"),
    "conversations": ("id", "user1_id", "user2_id", "updated_at", "last_message_at", "message_count"),
    "messages": ("id", "conversation_id", "sender_id", "recipient_id", "content", "created_at", "status"),
}
_FIRST_PAGE = {"uuid": "ffffffff-ffff-ffff-ffff-ffffffffffff", "text": "~"}
"""Beyond every id: a page before it is the newest one."""


@dataclass(frozen=True, slots=True)
class Statements:
    """One statement for each operation, with $1, $2 ..; and the keyset position before the newest message."""

    by_operation: Mapping[str, str]
    newest: tuple[str, str]
    full_text: bool
    """Searcher uses a tsvector column, else ILIKE: its parameter differs."""


def build_statements(types: Mapping[tuple[str, str], str], schema: str) -> Statements:
    """Return the SQL for a target. `types` is (table, column) -> type as format_type() spells it.

    TargetUnusable when the target is not such a chat database.
    """
    for table, columns in COLUMNS.items():
        missing = [column for column in columns if (table, column) not in types]
        if missing:
            raise TargetUnusable(
                f"the target has no column {missing[0]!r} in a table {table!r} of schema {schema!r}",
                hint="the load test speaks the chat application's SQL: migrate a chat database, or name its --schema",
            )
    users, conversations, messages = (qualify(schema, table) for table in COLUMNS)
    key, created = types["messages", "id"], types["messages", "created_at"]
    vector = next((column for (table, column), t in types.items() if table == "messages" and t == "tsvector"), None)
    found = f"{quote(vector)} @@ plainto_tsquery('english', $1)" if vector else "content ILIKE '%' || $1 || '%'"
    send = f"""
        WITH sent AS (
            INSERT INTO {messages} (id, conversation_id, sender_id, recipient_id, content, created_at, status)
            VALUES ($1::{key}, $2::{types["messages", "conversation_id"]}, $3::{types["messages", "sender_id"]},
                    $4::{types["messages", "recipient_id"]}, $5, {_now(created)}, 'sent')
            RETURNING conversation_id
        )
        UPDATE {conversations} AS c
        SET last_message_at = {_now(types["conversations", "last_message_at"])},
            updated_at = {_now(types["conversations", "updated_at"])}, message_count = c.message_count + 1
        FROM sent WHERE c.id = sent.conversation_id"""
    history = f"""
        SELECT id, created_at, sender_id, content, status FROM {messages}
        WHERE conversation_id = $1::{types["messages", "conversation_id"]}
            AND (created_at, id) < ($2::{created}, $3::{key})
        ORDER BY created_at DESC, id DESC LIMIT {PAGE_ROWS}"""
    return Statements(
        {
            "Sender": send,
            "Reader": history,
            "Searcher": f"SELECT id, conversation_id, content, created_at FROM {messages} WHERE {found} "
            f"ORDER BY created_at DESC LIMIT {SEARCH_ROWS}",
            "UserSearch": f"SELECT id, username, is_online FROM {users} WHERE username LIKE $1 "
            f"AND deleted_at IS NULL ORDER BY username LIMIT {SEARCH_ROWS}",
            "Presence": f"SELECT count(*) FROM {messages} "
            f"WHERE recipient_id = $1::{types['messages', 'recipient_id']} AND status = 'pending'",
            "LastSeen": f"UPDATE {users} SET is_online = {_true(types['users', 'is_online'])}, "
            f"last_seen_at = {_now(types['users', 'last_seen_at'])} WHERE id = $1::{types['users', 'id']}",
        },
        ("infinity" if created.startswith("timestamp") else str(2**63 - 1), _FIRST_PAGE.get(key, "~")),
        vector is not None,
    )


def _now(type_: str) -> str:
    if type_.startswith("timestamp"):
        return "now()"
    if type_ == "bigint":
        return "(extract(epoch FROM now()) * 1000)::bigint"
    raise TargetUnusable(
        f"a time column of the target is {type_}, which the load test cannot write",
        hint="it knows timestamptz, timestamp, and bigint holding milliseconds",
    )


def _true(type_: str) -> str:
    return "TRUE" if type_ == "boolean" else "1"
