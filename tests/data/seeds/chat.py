"""A private chat server written with sqlx: UUIDs as TEXT, times as INTEGER milliseconds, booleans as 0/1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha384
from pathlib import Path

from ..database import Database
from ..expected import Expected, Value, types
from ..faker import BROKEN_UTF8, NUL_TEXT, Faker

SCHEMA = """
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    username TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    password_salt TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    is_online BOOLEAN NOT NULL DEFAULT 0,
    last_seen_at INTEGER,
    CHECK (length(username) >= 1 AND length(username) <= 50)
);
CREATE UNIQUE INDEX idx_users_username ON users(username);
CREATE INDEX idx_users_deleted_at ON users(deleted_at);
CREATE TABLE conversations (
    id TEXT PRIMARY KEY NOT NULL,
    user1_id TEXT NOT NULL,
    user2_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_message_at INTEGER,
    message_count INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (user1_id) REFERENCES users(id),
    FOREIGN KEY (user2_id) REFERENCES users(id),
    UNIQUE (user1_id, user2_id),
    CHECK (user1_id < user2_id)
);
CREATE INDEX idx_conversations_user1_id ON conversations(user1_id);
CREATE INDEX idx_conversations_user2_id ON conversations(user2_id);
CREATE INDEX idx_conversations_updated_at ON conversations(updated_at DESC);
CREATE TABLE messages (
    id TEXT PRIMARY KEY NOT NULL,
    conversation_id TEXT NOT NULL,
    sender_id TEXT NOT NULL,
    recipient_id TEXT NOT NULL,
    content TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    delivered_at INTEGER,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'delivered', 'failed')),
    is_anonymized BOOLEAN NOT NULL DEFAULT 0,
    FOREIGN KEY (conversation_id) REFERENCES conversations(id),
    FOREIGN KEY (sender_id) REFERENCES users(id),
    FOREIGN KEY (recipient_id) REFERENCES users(id),
    CHECK (length(content) >= 1 AND length(content) <= 5000)
);
CREATE INDEX idx_messages_conversation_id ON messages(conversation_id, created_at DESC);
CREATE INDEX idx_messages_status ON messages(status) WHERE status IN ('pending', 'failed');
CREATE INDEX idx_messages_delivered_at ON messages(delivered_at) WHERE delivered_at IS NULL;
"""

TYPES = types("""
_sqlx_migrations: version execution_time bigint, description text, installed_on timestamptz, success bool,
    checksum bytea;
users: id uuid, username password_hash password_salt text, created_at updated_at deleted_at last_seen_at timestamptz,
    is_online bool;
conversations: id user1_id user2_id uuid, created_at updated_at last_message_at timestamptz, message_count bigint;
messages: id conversation_id sender_id recipient_id uuid, content status text, created_at delivered_at timestamptz,
    is_anonymized bool
""")

PLANNED_TYPES = types("""
_sqlx_migrations: version execution_time bigint, description text, installed_on timestamptz, success bool,
    checksum bytea;
users: id uuid, username text, password_hash password_salt varchar(255),
    created_at updated_at deleted_at last_seen_at timestamptz, is_online bool;
conversations: id user1_id user2_id uuid, created_at updated_at last_message_at timestamptz, message_count int;
messages: id conversation_id sender_id recipient_id uuid, content status text, created_at delivered_at timestamptz,
    is_anonymized bool, content_tsvector tsvector
""")
"""With the plan file `docs/examples/chat.plan.toml`: the application's own PostgreSQL schema."""

Rows = Iterator[Sequence[Value]]


def build(path: Path, rows: int = 10_000, *, seed: int = 7, dirt: bool = True) -> Expected:
    """Write a server with `rows` messages to a new file."""
    with Database(path, seed=seed, dirt=dirt) as db:
        fake = db.fake
        db.script(SCHEMA)
        db.fill(
            "_sqlx_migrations", "version description installed_on success checksum execution_time", _migrations(fake)
        )
        users = [fake.uuid() for _ in range(max(20, rows // 10))]
        columns = "id username password_hash password_salt created_at updated_at deleted_at is_online last_seen_at"
        db.fill("users", columns, _users(fake, users))
        talks = _talks(fake, users[: -len(users) // 4], max(10, rows // 20))
        columns = "id user1_id user2_id created_at updated_at last_message_at message_count"
        db.fill("conversations", columns, _conversations(fake, talks))
        columns = "id conversation_id sender_id recipient_id content created_at delivered_at status is_anonymized"
        db.fill("messages", columns, _messages(fake, talks, rows))
        _spoil(db)
        return db.finish(TYPES)


def _spoil(db: Database) -> None:
    unreferenced = "id NOT IN (SELECT user1_id FROM conversations UNION SELECT user2_id FROM conversations)"
    idle = "id NOT IN (SELECT conversation_id FROM messages)"
    db.spoil("users", "last_seen_at", ("", "never"), "no time", where=unreferenced)
    db.spoil("users", "is_online", (2,), "no boolean", where=unreferenced)
    db.spoil("conversations", "message_count", ("",), "no integer", where=idle)
    db.spoil("messages", "content", NUL_TEXT, "NUL in text")
    db.spoil("messages", "content", BROKEN_UTF8, "invalid UTF-8")
    db.spoil("messages", "delivered_at", ("", "soon"), "no time")
    db.spoil("messages", "is_anonymized", ("maybe",), "no boolean")
    db.orphan("messages", "recipient_id", ("00000000-0000-4000-8000-00000000dead",))
    db.orphan("messages", "conversation_id", ("00000000-0000-4000-8000-00000000beef",) * 2)


def _migrations(fake: Faker) -> Rows:
    for number, description in enumerate(("create users", "create conversations", "create messages"), 1):
        checksum = sha384(description.encode()).digest()
        yield 20_251_201_000_000 + number, description, fake.sql_datetime(), 1, checksum, fake.random.getrandbits(22)


def _users(fake: Faker, ids: list[str]) -> Rows:
    for number, id_ in enumerate(ids):
        created = fake.milliseconds()
        seen = fake.maybe(0.8, created + fake.random.randrange(10**9))
        deleted = fake.maybe(0.1, created + 10**9)
        online = int(fake.chance(0.1))
        name = f"{fake.random.choice(('ada', 'björn', 'хиро'))}_{number}"
        yield id_, name, fake.digest(), fake.hex32(), created, seen or created, deleted, online, seen


Talk = tuple[str, str, str]


def _talks(fake: Faker, users: list[str], count: int) -> list[Talk]:
    """Return (id, smaller user, greater user) without repeating a pair."""
    pairs = {tuple(sorted(fake.random.sample(users, 2))): None for _ in range(count)}
    return [(fake.uuid(), first, second) for first, second in pairs]


def _conversations(fake: Faker, talks: list[Talk]) -> Rows:
    for talk in talks:
        created = fake.milliseconds()
        last = fake.maybe(0.9, created + fake.random.randrange(10**9))
        yield *talk, created, last or created, last, fake.random.randrange(500)


def _messages(fake: Faker, talks: list[Talk], count: int) -> Rows:
    # A tenth of the conversations stays without messages.
    busy = talks[: max(1, len(talks) * 9 // 10)]
    for _ in range(count):
        talk, first, second = fake.random.choice(busy)
        sender, recipient = (first, second) if fake.chance(0.5) else (second, first)
        created = fake.milliseconds()
        status = fake.random.choices(("delivered", "sent", "pending", "failed"), (90, 5, 4, 1))[0]
        delivered = created + fake.random.randrange(60_000) if status == "delivered" else None
        content = fake.words(3, 30)
        yield fake.uuid(), talk, sender, recipient, content, created, delivered, status, int(fake.chance(0.01))
