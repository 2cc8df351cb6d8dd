"""A realistic chat application's SQLite database, made on the spot: for `demo`, the benchmarks and the tests.

The schema is that of a small private-chat server: UUIDs and JSON as TEXT, times as INTEGER milliseconds, booleans as
0/1. Equal arguments give equal content. Memory does not grow with the messages: people and conversations stop growing
at MAX_USERS and MAX_CONVERSATIONS, everything else is written as it is made.
"""

from __future__ import annotations

import random
import sqlite3
from array import array
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from itertools import accumulate
from pathlib import Path

from copier.errors import UsageError

_TABLES = """
CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    username TEXT NOT NULL UNIQUE,
    password_hash VARCHAR(255) NOT NULL,
    password_salt VARCHAR(255) NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    is_online BOOLEAN NOT NULL DEFAULT 0,
    last_seen_at INTEGER,
    CHECK (length(username) >= 1 AND length(username) <= 50)
);
CREATE TABLE conversations (
    id TEXT PRIMARY KEY NOT NULL,
    user1_id TEXT NOT NULL REFERENCES users(id),
    user2_id TEXT NOT NULL REFERENCES users(id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_message_at INTEGER,
    message_count INTEGER NOT NULL DEFAULT 0,
    UNIQUE (user1_id, user2_id),
    CHECK (user1_id < user2_id)
);
CREATE TABLE messages (
    id TEXT PRIMARY KEY NOT NULL,
    conversation_id TEXT NOT NULL REFERENCES conversations(id),
    sender_id TEXT NOT NULL REFERENCES users(id),
    recipient_id TEXT NOT NULL REFERENCES users(id),
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    delivered_at INTEGER,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'delivered', 'failed')),
    is_anonymized BOOLEAN NOT NULL DEFAULT 0,
    CHECK (length(content) >= 1 AND length(content) <= 5000)
);
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT REFERENCES users(id) ON DELETE SET NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '{}',
    ip_address TEXT,
    created_at INTEGER NOT NULL
);
"""

_AFTER_DATA = """
CREATE INDEX idx_users_username ON users(username) WHERE deleted_at IS NULL;
CREATE INDEX idx_users_deleted_at ON users(deleted_at);
CREATE INDEX idx_users_is_online ON users(is_online) WHERE is_online = 1;
CREATE INDEX idx_conversations_user1_id ON conversations(user1_id);
CREATE INDEX idx_conversations_user2_id ON conversations(user2_id);
CREATE INDEX idx_conversations_updated_at ON conversations(updated_at DESC);
CREATE INDEX idx_messages_conversation_id ON messages(conversation_id, created_at DESC);
CREATE INDEX idx_messages_sender_id ON messages(sender_id, created_at DESC);
CREATE INDEX idx_messages_status ON messages(status) WHERE status IN ('pending', 'failed');
CREATE INDEX idx_messages_delivered_at ON messages(delivered_at) WHERE delivered_at IS NULL;
CREATE INDEX idx_audit_log_created_at ON audit_log(created_at);
CREATE VIEW active_conversations AS
    SELECT c.id, a.username AS user1, b.username AS user2, c.message_count, c.last_message_at
    FROM conversations AS c
    JOIN users AS a ON a.id = c.user1_id
    JOIN users AS b ON b.id = c.user2_id
    WHERE c.message_count > 0 AND a.deleted_at IS NULL AND b.deleted_at IS NULL;
CREATE TRIGGER users_touch_updated_at AFTER UPDATE ON users FOR EACH ROW
BEGIN
    UPDATE users SET updated_at = CAST(strftime('%s', 'now') AS INTEGER) * 1000 WHERE id = NEW.id;
END;
"""

_DIRT = """
UPDATE messages SET content = 'cut' || char(0) || 'here' WHERE rowid IN (7, 77);
UPDATE messages SET content = CAST(x'6361665ee9' AS TEXT) WHERE rowid = 17;
UPDATE messages SET delivered_at = '' WHERE rowid IN (27, 28, 29);
UPDATE messages SET conversation_id = '00000000-0000-4000-8000-00000000dead' WHERE rowid = 37;
UPDATE audit_log SET detail = '{"client": "web", ' WHERE id IN (3, 8);
UPDATE audit_log SET ip_address = 'unknown' WHERE id = 5;
UPDATE audit_log SET created_at = 'yesterday' WHERE id = 6;
"""
"""NUL and invalid UTF-8 in text, '' for no time, an orphan, cut JSON, an address and a time that are none."""

_VOCABULARY = (
    "the a to and you I it is that of in for on with this was have be at not are my so but just what do we me can if "
    "like get your now know they will all one up about no out when how there think good time here see going really "
    "some then more today want need back right well too work great let yes tomorrow sure maybe thanks sorry okay call "
    "later home lunch coffee meeting train weekend report photo link café naïve größer 😀 👍 почти 明日"
)
_WORDS = _VOCABULARY.split()

_FIRST_MS = 1_704_067_200_000
"""2024-01-01 00:00:00 UTC: when the first user signed up."""

_DAY_MS = 86_400_000


MAX_USERS = 100_000
MAX_CONVERSATIONS = 50_000

_BATCH = 10_000

_CACHE_KIB = 65_536


def make_chat_database(path: Path, messages: int = 100_000, *, seed: int = 1, dirty: bool = False) -> None:
    """Write a chat database with `messages` messages, and a tenth as many users and audit entries, to a new file.

    `dirty` adds a few values that PostgreSQL, or a native type, cannot hold as they are. UsageError when the file
    exists.
    """
    if path.exists():
        raise UsageError(f"{path} exists already.", hint="Name a new file, or remove the old one first.")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Nobody else reads this file yet, and a half-made one is thrown away: no journal, no fsync, no other reader.
        connection.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
            f"PRAGMA cache_size = -{_CACHE_KIB};"
        )
        connection.executescript(_TABLES)
        connection.execute("BEGIN")
        _fill(connection, messages, random.Random(seed))
        connection.execute("COMMIT")
        connection.executescript(_AFTER_DATA + (_DIRT if dirty else ""))
        connection.executescript("PRAGMA locking_mode = NORMAL; PRAGMA journal_mode = DELETE; PRAGMA optimize;")


def _fill(connection: sqlite3.Connection, messages: int, rng: random.Random) -> None:
    users = _uuids(rng, min(MAX_USERS, max(10, messages // 10)))
    conversations = _Conversations(rng, users, min(MAX_CONVERSATIONS, max(5, messages // 20)))
    connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _users(rng, users))
    connection.executemany(
        "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _messages(rng, conversations, messages)
    )
    connection.executemany("INSERT INTO conversations VALUES (?, ?, ?, ?, ?, ?, ?)", conversations.rows())
    connection.executemany(
        "INSERT INTO audit_log (user_id, action, detail, ip_address, created_at) VALUES (?, ?, ?, ?, ?)",
        _audit(rng, users, max(10, messages // 10)),
    )


class _Conversations:
    """Who talks to whom, and what the messages written so far add up to."""

    def __init__(self, rng: random.Random, users: list[str], count: int) -> None:
        pairs: dict[tuple[str, str], None] = {}
        while len(pairs) < min(count, len(users) * (len(users) - 1) // 2):
            first, second = rng.sample(users, 2)
            pairs[min(first, second), max(first, second)] = None
        self.people = list(pairs)
        self.ids = _uuids(rng, len(pairs))
        self.created_ms = [_FIRST_MS + rng.randrange(30 * _DAY_MS) for _ in pairs]
        self.last_ms = [0] * len(pairs)
        """0: no message yet."""
        self.messages = [0] * len(pairs)

    def directions(self) -> list[tuple[str, str, str]]:
        """Return (conversation, sender, recipient), both ways of each conversation in turn."""
        both = ((id_, people) for id_, pair in zip(self.ids, self.people, strict=True) for people in (pair, pair[::-1]))
        return [(id_, *people) for id_, people in both]

    def rows(self) -> Iterator[tuple[object, ...]]:
        facts = zip(self.ids, self.people, self.created_ms, self.last_ms, self.messages, strict=True)
        for id_, (first, second), created, last, count in facts:
            yield id_, first, second, created, last or created, last or None, count


_DELIVERED = 973
_STATUSES = ("delivered",) * _DELIVERED + ("sent",) * 31 + ("pending",) * 15 + ("failed",) * 5
"""Of 1,024 messages."""

_VARIANTS = bytes.maketrans(b"0123456789abcdef", b"89ab" * 4)


def _uuids(rng: random.Random, count: int) -> list[str]:
    """Return `count` random version 4 UUIDs in canonical text form."""
    digits = rng.randbytes(16 * count).hex().encode()
    text = bytearray(b"-" * (36 * count))
    # One digit of all UUIDs at a time: several times faster than one UUID at a time.
    places = (place for place in range(36) if place not in (8, 13, 18, 23))
    for digit, place in enumerate(places):
        text[place::36] = digits[digit::32]
    text[14::36] = b"4" * count
    text[19::36] = digits[16::32].translate(_VARIANTS)
    joined = text.decode("ascii")
    return [joined[i : i + 36] for i in range(0, 36 * count, 36)]


def _users(rng: random.Random, ids: list[str]) -> Iterator[tuple[object, ...]]:
    for number, id_ in enumerate(ids):
        created = _FIRST_MS + rng.randrange(30 * _DAY_MS)
        seen = created + rng.randrange(300 * _DAY_MS) if rng.random() < 0.9 else None
        deleted = seen + 1 if seen is not None and rng.random() < 0.02 else None
        secret = f"$2b$12${rng.randbytes(40).hex()[:53]}"
        name = f"{_WORDS[number % 60].lower()}_{number}"
        online = int(deleted is None and rng.random() < 0.1)
        yield id_, name, secret, b64encode(rng.randbytes(16)).decode(), created, seen or created, deleted, online, seen


def _messages(rng: random.Random, conversations: _Conversations, count: int) -> Iterator[tuple[object, ...]]:
    """Yield messages in the order they were written; adds them up in `conversations`."""
    text = rng.choices(_WORDS, k=20_000)
    starts = [0, *accumulate(len(word) + 1 for word in text)]
    joined = " ".join(text)
    directions = conversations.directions()
    step_ms = 300 * _DAY_MS / max(1, count)
    numbers, last_ms, ways = conversations.messages, conversations.last_ms, len(directions)
    for batch in range(0, count, _BATCH):
        size = min(_BATCH, count - batch)
        # Two random words a row, cut into the row's choices: a call to the generator for each costs as much as SQLite.
        choices = array("Q", rng.randbytes(16 * size))
        rows = zip(_uuids(rng, size), choices[::2], choices[1::2], range(batch, batch + size), strict=True)
        for id_, one, other, number in rows:
            way = (one & 0xFFFFFFFF) * ways >> 32
            word = ((one >> 32 & 0xFFFF) * 19_900) >> 16
            content = joined[starts[word] : starts[word + 3 + ((one >> 48) * 28 >> 16)] - 1]
            created = _FIRST_MS + 31 * _DAY_MS + int(number * step_ms) + (other & 1023)
            fate, which = other >> 10 & 1023, way >> 1
            status = _STATUSES[fate]
            delivered = created + 20 + (other >> 20 & 0xFFFF) if fate < _DELIVERED else None
            numbers[which] += 1
            if created > last_ms[which]:
                last_ms[which] = created
            conversation, sender, recipient = directions[way]
            anonymized = 1 if other >> 54 < 10 else 0
            yield id_, conversation, sender, recipient, content, created, delivered, status, anonymized


def _audit(rng: random.Random, users: list[str], count: int) -> Iterator[tuple[object, ...]]:
    actions = ("login", "logout", "password_changed", "conversation_opened")
    for number in range(count):
        action = rng.choice(actions)
        client = rng.choice(("web", "ios", "android"))
        detail = f'{{"client": "{client}", "version": "2.{number % 10}", "ok": {"true" if number % 50 else "false"}}}'
        host = rng.getrandbits(32)
        address = f"10.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}"
        if number % 10 == 0:
            address = f"2001:db8::{host >> 16:x}:{(host & 0xFFFF) or 1:x}"
        user = rng.choice(users) if number % 20 else None
        yield user, action, detail, address, _FIRST_MS + 31 * _DAY_MS + number * 1000
