"""What the chat application asks its database: each operation in both dialects, with its target.

Parameters are drawn from `Facts`, which are the same for both engines; SQLite gets UUIDs as text and times as
milliseconds, as the application stored them, PostgreSQL gets UUIDs and timestamps.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["simple", "complex", "history", "search"]
Parameters = tuple[Any, ...]

RARE_WORDS = ("kolibri", "quittung", "marzipan", "zeppelin", "ostwind")
"""Words that the benchmark writes into some messages, so that there is something to search for."""

RARE_EVERY = 5_000
"""One message in so many holds a given rare word."""

PAGE = 50
"""Messages of a page of history."""

BATCH = 100
"""Messages of a batch insert."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the source holds, to ask for: ids as text, times in ms."""

    conversations: Sequence[tuple[str, str, str, int]]
    """Conversation, its two users, its newest message's time in ms."""
    users: Sequence[str]
    usernames: Sequence[str]
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement in both dialects; `many` runs it once for each of the parameter sets."""

    sqlite: str
    postgres: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing the application does: statements of one transaction, and what to bind to each."""

    name: str
    kind: Kind
    statements: tuple[Statement, ...]
    parameters: Callable[[Facts, random.Random], list[Any]]
    """One entry per statement: a tuple, or a list of tuples where the statement is `many`. UUIDs are `uuid.UUID`,
    times `Ms`."""
    writes: bool = False
    fts5: str | None = None
    """The same question to an FTS5 table `messages_fts` over messages.content."""


@dataclass(frozen=True, slots=True)
class Ms:
    """A time in ms since 1970."""

    value: int


def _new_messages(facts: Facts, rng: random.Random, count: int) -> tuple[list[Parameters], Parameters]:
    conversation, sender, recipient, _ = rng.choice(facts.conversations)
    now = Ms(facts.last_ms + rng.randrange(1_000_000))
    one = (uuid.UUID(conversation), uuid.UUID(sender), uuid.UUID(recipient), "see you at the station at nine", now)
    rows = [(uuid.UUID(int=rng.getrandbits(128), version=4), *one) for _ in range(count)]
    return rows, (count, now, uuid.UUID(conversation))


def _insert_one(facts: Facts, rng: random.Random) -> list[Any]:
    rows, update = _new_messages(facts, rng, 1)
    return [rows[0], update]


def _insert_batch(facts: Facts, rng: random.Random) -> list[Any]:
    return list(_new_messages(facts, rng, BATCH))


def _history(facts: Facts, rng: random.Random) -> list[Any]:
    conversation, _, _, newest_ms = rng.choice(facts.conversations)
    before = newest_ms - rng.randrange(max(1, (newest_ms - facts.first_ms) // 2))
    return [(uuid.UUID(conversation), Ms(before), uuid.UUID(int=(1 << 128) - 1))]


def _someone(facts: Facts, rng: random.Random) -> list[Any]:
    return [(uuid.UUID(rng.choice(facts.users)),)]


def _prefix(facts: Facts, rng: random.Random) -> list[Any]:
    # A name holds `_`, which LIKE would take for any character.
    return [(rng.choice(facts.usernames)[:-1].replace("_", "\\_") + "%",)]


def _rare(_facts: Facts, rng: random.Random) -> list[Any]:
    return [(rng.choice(RARE_WORDS),)]


def _month(facts: Facts, rng: random.Random) -> list[Any]:
    month_ms = 30 * 86_400_000
    start = facts.first_ms + rng.randrange(max(1, facts.last_ms - facts.first_ms - month_ms))
    return [(Ms(start), Ms(start + month_ms))]


_INSERT = Statement(
    "INSERT INTO messages (id, conversation_id, sender_id, recipient_id, content, created_at, status)"
    " VALUES (?, ?, ?, ?, ?, ?, 'sent')",
    "INSERT INTO messages (id, conversation_id, sender_id, recipient_id, content, created_at, status)"
    " VALUES ($1, $2, $3, $4, $5, $6, 'sent')",
)
_TOUCH = Statement(
    "UPDATE conversations SET message_count = message_count + ?1, last_message_at = ?2, updated_at = ?2 WHERE id = ?3",
    "UPDATE conversations SET message_count = message_count + $1, last_message_at = $2, updated_at = $2 WHERE id = $3",
)

OPERATIONS: tuple[Operation, ...] = (
    # Reads first: they are asked of what was moved, not of what the writes have added.
    Operation(
        "conversation history page",
        "history",
        (
            Statement(
                "SELECT id, sender_id, content, created_at, status FROM messages WHERE conversation_id = ?1"
                f" AND (created_at, id) < (?2, ?3) ORDER BY created_at DESC, id DESC LIMIT {PAGE}",
                "SELECT id, sender_id, content, created_at, status FROM messages WHERE conversation_id = $1"
                f" AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT {PAGE}",
            ),
        ),
        _history,
    ),
    Operation(
        "unread messages of a user",
        "simple",
        (
            Statement(
                "SELECT m.id, m.conversation_id, m.content, m.created_at FROM conversations AS c JOIN messages AS m"
                " ON m.conversation_id = c.id WHERE (c.user1_id = ?1 OR c.user2_id = ?1) AND m.recipient_id = ?1"
                " AND m.delivered_at IS NULL ORDER BY m.created_at",
                "SELECT m.id, m.conversation_id, m.content, m.created_at FROM conversations AS c JOIN messages AS m"
                " ON m.conversation_id = c.id WHERE (c.user1_id = $1 OR c.user2_id = $1) AND m.recipient_id = $1"
                " AND m.delivered_at IS NULL ORDER BY m.created_at",
            ),
        ),
        _someone,
    ),
    Operation(
        "pending queue, first 100",
        "simple",
        (
            Statement(
                "SELECT id, recipient_id, content FROM messages WHERE status IN ('pending', 'failed') LIMIT 100",
                "SELECT id, recipient_id, content FROM messages WHERE status IN ('pending', 'failed') LIMIT 100",
            ),
        ),
        lambda _facts, _rng: [()],
    ),
    Operation(
        "user search by prefix",
        "simple",
        (
            Statement(
                "SELECT id, username FROM users WHERE username LIKE ?1 ESCAPE '\\' AND deleted_at IS NULL"
                " ORDER BY username LIMIT 20",
                "SELECT id, username FROM users WHERE username LIKE $1 ESCAPE '\\' AND deleted_at IS NULL"
                " ORDER BY username LIMIT 20",
            ),
        ),
        _prefix,
    ),
    Operation(
        "message search, a rare word",
        "search",
        (
            Statement(
                "SELECT id, conversation_id, created_at FROM messages WHERE content LIKE '%' || ?1 || '%'"
                " ORDER BY created_at DESC LIMIT 20",
                "SELECT id, conversation_id, created_at FROM messages"
                " WHERE content_tsvector @@ plainto_tsquery('english', $1) ORDER BY created_at DESC LIMIT 20",
            ),
        ),
        _rare,
        fts5="SELECT m.id, m.conversation_id, m.created_at FROM messages_fts AS f JOIN messages AS m"
        " ON m.rowid = f.rowid WHERE messages_fts MATCH ?1 ORDER BY m.created_at DESC LIMIT 20",
    ),
    Operation(
        "messages by day, one month",
        "complex",
        (
            Statement(
                "SELECT date(created_at / 1000, 'unixepoch') AS day, status, count(*) FROM messages"
                " WHERE created_at >= ?1 AND created_at < ?2 GROUP BY 1, 2 ORDER BY 1, 2",
                "SELECT date_trunc('day', created_at) AS day, status, count(*) FROM messages"
                " WHERE created_at >= $1 AND created_at < $2 GROUP BY 1, 2 ORDER BY 1, 2",
            ),
        ),
        _month,
    ),
    Operation("insert a message", "simple", (_INSERT, _TOUCH), _insert_one, writes=True),
    Operation(
        f"insert {BATCH} messages",
        "complex",
        (Statement(_INSERT.sqlite, _INSERT.postgres, many=True), _TOUCH),
        _insert_batch,
        writes=True,
    ),
)
