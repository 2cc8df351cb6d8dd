"""A guessing game: AUTOINCREMENT keys, 32-hex-digit ids made by randomblob, JSON and IP addresses as TEXT."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..database import Database
from ..expected import Expected, Value, types
from ..faker import BROKEN_UTF8, INVALID_JSON, NO_DATE, NUL_TEXT, Faker

SCHEMA = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    email TEXT UNIQUE NOT NULL,
    password_hash TEXT,
    name TEXT,
    score INTEGER DEFAULT 0,
    is_active BOOLEAN DEFAULT TRUE,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TRIGGER update_users_updated_at AFTER UPDATE ON users FOR EACH ROW
BEGIN
    UPDATE users SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id;
END;
CREATE TABLE challenges (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    creator_id INTEGER NOT NULL,
    title TEXT NOT NULL,
    statements TEXT NOT NULL,
    lie_index INTEGER NOT NULL CHECK (lie_index BETWEEN 0 AND 2),
    status TEXT DEFAULT 'draft' CHECK (status IN ('draft', 'published', 'archived')),
    view_count INTEGER DEFAULT 0,
    difficulty REAL,
    tags TEXT DEFAULT '[]',
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    published_at TIMESTAMP,
    FOREIGN KEY (creator_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX idx_challenges_active_published ON challenges(published_at DESC, view_count DESC)
    WHERE status = 'published';
CREATE TABLE guesses (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    challenge_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    guessed_index INTEGER NOT NULL,
    is_correct BOOLEAN NOT NULL,
    response_ms INTEGER,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (challenge_id) REFERENCES challenges (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX idx_guesses_challenge_user ON guesses(challenge_id, user_id);
CREATE TABLE user_reports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    challenge_id INTEGER NOT NULL REFERENCES challenges,
    user_id INTEGER NOT NULL REFERENCES users,
    reason TEXT NOT NULL,
    details TEXT,
    resolved BOOLEAN DEFAULT FALSE,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE token_balances (
    user_id INTEGER PRIMARY KEY,
    balance INTEGER NOT NULL DEFAULT 0 CHECK (balance >= 0),
    last_updated TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (user_id) REFERENCES users (id)
);
CREATE TABLE token_transactions (
    transaction_id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))),
    user_id INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    transaction_type TEXT NOT NULL,
    metadata TEXT DEFAULT '{}',
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    FOREIGN KEY (user_id) REFERENCES users (id)
);
CREATE INDEX idx_token_transactions_user ON token_transactions(user_id, created_at);
CREATE TABLE user_sessions (
    session_id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))),
    user_id INTEGER NOT NULL,
    permissions TEXT DEFAULT '[]',
    ip_address TEXT,
    user_agent TEXT,
    is_active BOOLEAN DEFAULT TRUE,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    expires_at TIMESTAMP NOT NULL,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
"""

TYPES = types("""
users: id score bigint, email password_hash name text, is_active bool, created_at updated_at timestamptz;
challenges: id creator_id lie_index view_count bigint, title status text, statements tags jsonb, difficulty double,
    created_at published_at timestamptz;
guesses: id challenge_id user_id guessed_index response_ms bigint, is_correct bool, created_at timestamptz;
user_reports: id challenge_id user_id bigint, reason details text, resolved bool, created_at timestamptz;
token_balances: user_id balance bigint, last_updated timestamptz;
token_transactions: transaction_id uuid, user_id amount bigint, transaction_type text, metadata jsonb,
    created_at timestamptz;
user_sessions: session_id uuid, user_id bigint, permissions jsonb, ip_address inet, user_agent text, is_active bool,
    created_at expires_at timestamptz
""")

Rows = Iterator[Sequence[Value]]


def build(path: Path, rows: int = 10_000, *, seed: int = 7, dirt: bool = True) -> Expected:
    """Write a game with `rows` guesses to a new file."""
    users, games = max(20, rows // 10), max(10, rows // 10)
    with Database(path, seed=seed, dirt=dirt) as db:
        fake = db.fake
        db.script(SCHEMA)
        db.fill("users", "email password_hash name score is_active created_at updated_at", _users(fake, users))
        columns = "creator_id title statements lie_index status view_count difficulty tags created_at published_at"
        db.fill("challenges", columns, _challenges(fake, games, users))
        columns = "challenge_id user_id guessed_index is_correct response_ms created_at"
        db.fill("guesses", columns, _guesses(fake, rows, games, users))
        columns = "challenge_id user_id reason details resolved created_at"
        db.fill("user_reports", columns, _reports(fake, rows // 50, games, users))
        balances = ((user, fake.random.randrange(10_000), fake.sql_datetime()) for user in range(1, users + 1))
        db.fill("token_balances", "user_id balance last_updated", balances)
        columns = "transaction_id user_id amount transaction_type metadata created_at"
        db.fill("token_transactions", columns, _transactions(fake, rows // 2, users))
        columns = "session_id user_id permissions ip_address user_agent is_active created_at expires_at"
        db.fill("user_sessions", columns, _sessions(fake, rows // 10, users))
        db.script("DELETE FROM user_reports WHERE id > (SELECT max(id) FROM user_reports) - 3;")
        _spoil(db)
        return db.finish(TYPES)


def _spoil(db: Database) -> None:
    unguessed = "id NOT IN (SELECT challenge_id FROM guesses) AND id NOT IN (SELECT challenge_id FROM user_reports)"
    db.spoil("challenges", "title", NUL_TEXT, "NUL in text", where=unguessed)
    db.spoil("challenges", "difficulty", ("hard",), "no number", where=unguessed)
    db.spoil("guesses", "is_correct", (2, "unknown"), "no boolean")
    db.spoil("guesses", "response_ms", ("", "fast"), "no integer")
    db.spoil("guesses", "created_at", NO_DATE, "no date")
    db.spoil("user_reports", "details", BROKEN_UTF8, "invalid UTF-8")
    db.spoil("challenges", "tags", INVALID_JSON, "no JSON", where=unguessed)
    db.orphan("guesses", "user_id", (999_999, 999_998))
    db.orphan("user_reports", "challenge_id", (999_999,))
    db.set("token_transactions", "amount", (2**40, -(2**33)))


def _users(fake: Faker, count: int) -> Rows:
    for number in range(1, count + 1):
        score, active = fake.random.randrange(-50, 5000), int(fake.chance(0.95))
        name = fake.maybe(0.9, fake.name())
        yield f"user{number}@example.org", fake.digest(), name, score, active, fake.sql_datetime(), fake.sql_datetime()


def _challenges(fake: Faker, count: int, users: int) -> Rows:
    for _ in range(count):
        statements = json.dumps([{"text": fake.words(3, 12), "lie": lie} for lie in (False, True, False)])
        status = fake.random.choice(("draft", "published", "published", "archived"))
        published = None if status == "draft" else fake.sql_datetime()
        creator, views, hard = fake.random.randint(1, users), fake.random.randrange(10**6), fake.random.random()
        head = (creator, fake.words(2, 6), statements, fake.random.randrange(3), status, views)
        yield *head, hard, fake.json_array(), fake.sql_datetime(), published


def _guesses(fake: Faker, count: int, games: int, users: int) -> Rows:
    # The last tenth of the challenges is never guessed.
    guessed = max(1, games * 9 // 10)
    for _ in range(count):
        game, user, index = fake.random.randint(1, guessed), fake.random.randint(1, users), fake.random.randrange(3)
        answered = fake.maybe(0.9, fake.random.randint(200, 90_000))
        yield game, user, index, int(fake.chance(0.4)), answered, fake.sql_datetime()


def _reports(fake: Faker, count: int, games: int, users: int) -> Rows:
    for _ in range(count):
        game, user = fake.random.randint(1, max(1, games * 9 // 10)), fake.random.randint(1, users)
        reason = fake.random.choice(("spam", "offensive", "wrong answer"))
        yield game, user, reason, fake.words(1, 20), int(fake.chance(0.5)), fake.sql_datetime()


def _transactions(fake: Faker, count: int, users: int) -> Rows:
    for _ in range(count):
        user, amount = fake.random.randint(1, users), fake.random.randint(-500, 500)
        kind = fake.random.choice(("purchase", "reward", "spend"))
        metadata = fake.random.choice(("{}", fake.json_object()))
        yield fake.hex32().upper(), user, amount, kind, metadata, fake.sql_datetime()


def _sessions(fake: Faker, count: int, users: int) -> Rows:
    for _ in range(count):
        user, active = fake.random.randint(1, users), int(fake.chance(0.3))
        rights = fake.random.choice(("[]", fake.json_array()))
        agent = fake.maybe(0.9, f"Mozilla/5.0 ({fake.word()})")
        address = fake.maybe(0.95, fake.ip())
        yield fake.hex32().upper(), user, rights, address, agent, active, fake.sql_datetime(), fake.sql_datetime()
