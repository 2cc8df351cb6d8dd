"""A co-parenting chat with a Node server: hand-written SQL, its own migrations table, JSON as TEXT, text keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..database import Database
from ..expected import Expected, Value, types
from ..faker import BROKEN_UTF8, INVALID_JSON, NO_DATE, NUL_TEXT, Faker

SCHEMA = """
CREATE TABLE migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  filename TEXT NOT NULL UNIQUE,
  executed_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  execution_time_ms INTEGER,
  success BOOLEAN DEFAULT TRUE,
  error_message TEXT
);
CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  username TEXT NOT NULL UNIQUE,
  email TEXT UNIQUE,
  password_hash TEXT,
  google_id TEXT,
  display_name TEXT DEFAULT '',
  created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  last_login INTEGER
);
CREATE TABLE user_context (
  user_id INTEGER PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
  co_parent TEXT,
  children TEXT NOT NULL DEFAULT '[]',
  contacts TEXT NOT NULL DEFAULT '[]',
  updated_at DATETIME
);
CREATE TABLE rooms (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  created_by INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  is_private INTEGER DEFAULT 1,
  created_at DATETIME NOT NULL
);
CREATE TABLE room_members (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  room_id TEXT NOT NULL,
  user_id INTEGER NOT NULL,
  role TEXT DEFAULT 'member',
  joined_at DATETIME NOT NULL,
  FOREIGN KEY (room_id) REFERENCES rooms(id) ON DELETE CASCADE,
  FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE,
  UNIQUE(room_id, user_id)
);
CREATE TABLE threads (
  id TEXT PRIMARY KEY,
  room_id TEXT NOT NULL REFERENCES rooms(id) ON DELETE CASCADE,
  parent_thread_id TEXT REFERENCES threads(id) ON DELETE CASCADE,
  title TEXT NOT NULL,
  category TEXT NOT NULL DEFAULT 'logistics'
    CHECK (category IN ('schedule', 'medical', 'education', 'finances', 'logistics')),
  message_count INTEGER DEFAULT 0,
  is_archived BOOLEAN DEFAULT FALSE,
  created_at DATETIME NOT NULL,
  updated_at DATETIME NOT NULL
);
CREATE TABLE messages (
  id TEXT PRIMARY KEY,
  type TEXT NOT NULL DEFAULT 'user',
  room_id TEXT NOT NULL,
  thread_id TEXT,
  user_id INTEGER,
  text TEXT NOT NULL,
  timestamp INTEGER NOT NULL,
  edited BOOLEAN DEFAULT 0,
  reactions TEXT DEFAULT '{}',
  user_flagged_by TEXT DEFAULT '[]',
  rewrite TEXT,
  sentiment REAL,
  embedding BLOB,
  FOREIGN KEY (room_id) REFERENCES rooms(id) ON DELETE CASCADE,
  FOREIGN KEY (thread_id) REFERENCES threads(id) ON DELETE SET NULL,
  FOREIGN KEY (user_id) REFERENCES users(id)
);
CREATE INDEX idx_messages_room_timestamp ON messages(room_id, timestamp DESC);
CREATE INDEX idx_messages_thread ON messages(thread_id) WHERE thread_id IS NOT NULL;
CREATE TABLE tasks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  title TEXT NOT NULL,
  status TEXT DEFAULT 'open' CHECK (status IN ('open', 'completed')),
  due_date DATE,
  related_people TEXT DEFAULT '[]',
  created_at DATETIME NOT NULL,
  completed_at DATETIME
);
CREATE TABLE contacts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  contact_name TEXT NOT NULL,
  contact_email TEXT,
  relationship TEXT,
  address_lat REAL,
  address_lon REAL,
  created_at DATETIME NOT NULL,
  updated_at DATETIME
);
CREATE INDEX idx_contacts_email ON contacts(lower(contact_email));
CREATE TABLE expenses (
  id TEXT PRIMARY KEY,
  room_id TEXT NOT NULL REFERENCES rooms(id) ON DELETE CASCADE,
  paid_by INTEGER NOT NULL REFERENCES users(id),
  amount DECIMAL(10,2) NOT NULL,
  description TEXT,
  receipt BLOB,
  incurred_on DATE NOT NULL
);
"""

TYPES = types("""
migrations: id execution_time_ms bigint, filename error_message text, executed_at timestamptz, success bool;
users: id bigint, username email password_hash google_id display_name text,
    created_at last_login timestamptz;
user_context: user_id bigint, co_parent text, children contacts jsonb, updated_at timestamptz;
rooms: id name text, created_by is_private bigint, created_at timestamptz;
room_members: id user_id bigint, room_id role text, joined_at timestamptz;
threads: id room_id parent_thread_id title category text, message_count bigint, is_archived bool,
    created_at updated_at timestamptz;
messages: id type room_id thread_id text rewrite text, user_id bigint, timestamp timestamptz, edited bool,
    reactions user_flagged_by jsonb, sentiment double, embedding bytea;
tasks: id user_id bigint, title status text, due_date date, related_people jsonb, created_at completed_at timestamptz;
contacts: id user_id bigint, contact_name contact_email relationship text, address_lat address_lon double,
    created_at updated_at timestamptz;
expenses: id uuid, room_id description text, paid_by bigint, amount numeric(10,2), receipt bytea, incurred_on date
""")

Rows = Iterator[Sequence[Value]]


def build(path: Path, rows: int = 10_000, *, seed: int = 7, dirt: bool = True) -> Expected:
    """Write a server with `rows` messages to a new file."""
    users = max(20, rows // 20)
    rooms = [f"room_{1_700_000_000_000 + number}_{number:x}" for number in range(users // 2)]
    with Database(path, seed=seed, dirt=dirt) as db:
        fake = db.fake
        db.script(SCHEMA)
        db.fill("migrations", "filename executed_at execution_time_ms success error_message", _migrations(fake))
        columns = "username email password_hash google_id display_name created_at last_login"
        db.fill("users", columns, _users(fake, users))
        db.fill("user_context", "user_id co_parent children contacts updated_at", _contexts(fake, users))
        db.fill("rooms", "id name created_by is_private created_at", _rooms(fake, rooms, users))
        db.fill("room_members", "room_id user_id role joined_at", _members(fake, rooms, users))
        threads = [f"thread_{fake.hex32()[:12]}" for _ in rooms]
        columns = "id room_id parent_thread_id title category message_count is_archived created_at updated_at"
        db.fill("threads", columns, _threads(fake, threads, rooms))
        columns = "id type room_id thread_id user_id text timestamp edited reactions user_flagged_by rewrite sentiment "
        db.fill("messages", columns + "embedding", _messages(fake, rows, threads, rooms, users))
        columns = "user_id title status due_date related_people created_at completed_at"
        db.fill("tasks", columns, _tasks(fake, rows // 20, users))
        columns = "user_id contact_name contact_email relationship address_lat address_lon created_at updated_at"
        db.fill("contacts", columns, _contacts(fake, rows // 20, users))
        columns = "id room_id paid_by amount description receipt incurred_on"
        db.fill("expenses", columns, _expenses(fake, rows // 20, rooms, users))
        db.script("DELETE FROM tasks WHERE id > (SELECT max(id) FROM tasks) - 3;")
        _spoil(db)
        return db.finish(TYPES)


def _spoil(db: Database) -> None:
    db.spoil("messages", "text", NUL_TEXT, "NUL in text")
    db.spoil("messages", "text", BROKEN_UTF8, "invalid UTF-8")
    db.spoil("messages", "reactions", INVALID_JSON, "no JSON")
    db.spoil("messages", "timestamp", ("", "now"), "no time")
    db.spoil("messages", "sentiment", ("", "n/a"), "no number")
    db.spoil("messages", "edited", ("sometimes",), "no boolean")
    db.spoil("tasks", "due_date", NO_DATE[1:], "no date")
    db.spoil("contacts", "address_lat", ("",), "no number")
    db.orphan("messages", "user_id", (999_999,))
    db.orphan("room_members", "user_id", (888_888, 777_777))


def _migrations(fake: Faker) -> Rows:
    for number in range(52):
        name = f"{number:03}_{fake.random.choice(('schema', 'indexes', 'columns'))}.sql"
        failed = number == 17
        error = "relation already exists" if failed else None
        yield name, fake.sql_datetime(), fake.random.randint(2, 900), int(not failed), error


def _users(fake: Faker, count: int) -> Rows:
    for number in range(1, count + 1):
        google = fake.maybe(0.5, str(10**20 + fake.random.getrandbits(60)))
        email = fake.maybe(0.9, f"parent{number}@example.org")
        seen = fake.maybe(0.7, fake.milliseconds())
        yield (
            f"parent{number}",
            email,
            fake.digest(),
            google,
            fake.random.choice(("", fake.name())),
            fake.sql_datetime(),
            seen,
        )


def _contexts(fake: Faker, users: int) -> Rows:
    for user in range(1, users + 1, 2):
        yield user, f"parent{user + 1}", fake.json_array(), fake.json_array(), fake.maybe(0.5, fake.sql_datetime())


def _rooms(fake: Faker, rooms: list[str], users: int) -> Rows:
    for number, room in enumerate(rooms):
        yield room, f"Room {number} {fake.word()}", number % users + 1, int(fake.chance(0.9)), fake.sql_datetime()


def _members(fake: Faker, rooms: list[str], users: int) -> Rows:
    for number, room in enumerate(rooms):
        for user in (number * 2 % users + 1, number * 2 % users + 2):
            yield room, user, fake.random.choice(("owner", "member")), fake.sql_datetime()


def _threads(fake: Faker, threads: list[str], rooms: list[str]) -> Rows:
    categories = ("schedule", "medical", "education", "finances", "logistics")
    for number, (thread, room) in enumerate(zip(threads, rooms, strict=True)):
        parent = threads[number - 1] if number and fake.chance(0.2) else None
        category, count = fake.random.choice(categories), fake.random.randrange(100)
        created, updated = fake.sql_datetime(), fake.sql_datetime()
        yield thread, room, parent, fake.words(1, 5), category, count, int(fake.chance(0.1)), created, updated


def _messages(fake: Faker, count: int, threads: list[str], rooms: list[str], users: int) -> Rows:
    for number in range(count):
        place = fake.random.randrange(len(rooms))
        thread, user = fake.maybe(0.3, threads[place]), fake.random.randint(1, users)
        embedding = fake.random.randbytes(64) if fake.chance(0.2) else None
        reactions, flags = fake.random.choice(("{}", fake.json_object())), fake.random.choice(("[]", fake.json_array()))
        rewrite, mood = fake.maybe(0.2, fake.words(3, 20)), fake.maybe(0.7, fake.random.uniform(-1, 1))
        sent, edited = fake.milliseconds(), int(fake.chance(0.1))
        head = (f"{sent}-{number:x}", "user", rooms[place], thread, user, fake.words(1, 40), sent)
        yield *head, edited, reactions, flags, rewrite, mood, embedding


def _tasks(fake: Faker, count: int, users: int) -> Rows:
    for _ in range(count):
        done = fake.chance(0.5)
        status, finished = ("completed", fake.sql_datetime()) if done else ("open", None)
        due = fake.maybe(0.8, fake.date())
        user = fake.random.randint(1, users)
        yield user, fake.words(2, 8), status, due, fake.json_array(), fake.sql_datetime(), finished


def _contacts(fake: Faker, count: int, users: int) -> Rows:
    for number in range(count):
        where = (fake.random.uniform(-90, 90), fake.random.uniform(-180, 180))
        user, kind = fake.random.randint(1, users), fake.random.choice(("teacher", "doctor", "grandparent"))
        email = fake.maybe(0.8, f"Contact{number}@Example.org")
        yield user, fake.name(), email, kind, *where, fake.sql_datetime(), fake.maybe(0.3, fake.sql_datetime())


def _expenses(fake: Faker, count: int, rooms: list[str], users: int) -> Rows:
    for _ in range(count):
        amount = fake.random.choice((fake.random.randrange(500), round(fake.random.uniform(0, 9_999), 2)))
        receipt = fake.random.randbytes(fake.random.randrange(2000)) if fake.chance(0.3) else None
        user, room = fake.random.randint(1, users), fake.random.choice(rooms)
        yield fake.uuid(), room, user, amount, fake.words(1, 6), receipt, fake.date()
