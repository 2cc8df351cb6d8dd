"""A role-playing server with chat campaigns: SQLAlchemy models, DATETIME as text, JSON columns, money-like NUMERIC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..database import Database
from ..expected import Expected, Value, types
from ..faker import BROKEN_UTF8, INVALID_JSON, NO_DATE, NUL_TEXT, Faker

SCHEMA = """
CREATE TABLE users (
	id INTEGER NOT NULL,
	username VARCHAR(80) NOT NULL,
	email VARCHAR(120) NOT NULL,
	password_hash VARCHAR(255) NOT NULL,
	role VARCHAR(20) DEFAULT 'player' NOT NULL,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	ban_reason TEXT,
	banned_until DATETIME,
	preferences JSON,
	created_at DATETIME DEFAULT (CURRENT_TIMESTAMP) NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (username),
	CONSTRAINT uq_users_email UNIQUE (email),
	CONSTRAINT ck_users_role CHECK (role IN ('player', 'helper', 'admin'))
);
CREATE TABLE campaigns (
	id INTEGER NOT NULL,
	name VARCHAR(120) NOT NULL,
	game_system VARCHAR(50) DEFAULT 'vampire' NOT NULL,
	world_setting TEXT,
	created_by INTEGER NOT NULL,
	is_active BOOLEAN DEFAULT 1 NOT NULL,
	settings JSON DEFAULT '{}' NOT NULL,
	created_at DATETIME NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(created_by) REFERENCES users (id)
);
CREATE TABLE locations (
	id INTEGER NOT NULL,
	campaign_id INTEGER NOT NULL,
	parent_id INTEGER,
	name VARCHAR(120) NOT NULL,
	kind VARCHAR(20) DEFAULT 'custom' NOT NULL,
	opening_scene TEXT,
	is_public BOOLEAN DEFAULT 1 NOT NULL,
	created_at DATETIME NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT uq_locations_name UNIQUE (campaign_id, name),
	FOREIGN KEY(campaign_id) REFERENCES campaigns (id) ON DELETE CASCADE,
	FOREIGN KEY(parent_id) REFERENCES locations (id)
);
CREATE TABLE characters (
	id INTEGER NOT NULL,
	user_id INTEGER NOT NULL,
	campaign_id INTEGER NOT NULL,
	name VARCHAR(80) NOT NULL,
	sheet JSON NOT NULL,
	hit_points INTEGER DEFAULT 10 NOT NULL,
	experience BIGINT DEFAULT 0 NOT NULL,
	created_at DATETIME NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(user_id) REFERENCES users (id),
	FOREIGN KEY(campaign_id) REFERENCES campaigns (id)
);
CREATE TABLE npcs (
	id INTEGER NOT NULL,
	campaign_id INTEGER NOT NULL,
	location_id INTEGER,
	name VARCHAR(80) NOT NULL,
	stats JSON NOT NULL,
	disposition FLOAT,
	portrait BLOB,
	PRIMARY KEY (id),
	FOREIGN KEY(campaign_id) REFERENCES campaigns (id),
	FOREIGN KEY(location_id) REFERENCES locations (id) ON DELETE SET NULL
);
CREATE TABLE messages (
	id INTEGER NOT NULL,
	campaign_id INTEGER NOT NULL,
	location_id INTEGER NOT NULL,
	user_id INTEGER,
	message_type VARCHAR(20) NOT NULL,
	content TEXT NOT NULL,
	ai_response JSON,
	tokens INTEGER,
	temperature FLOAT,
	is_deleted BOOLEAN DEFAULT 0 NOT NULL,
	created_at DATETIME NOT NULL,
	edited_at DATETIME,
	PRIMARY KEY (id),
	FOREIGN KEY(campaign_id) REFERENCES campaigns (id),
	FOREIGN KEY(location_id) REFERENCES locations (id),
	FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX ix_messages_location_created ON messages (location_id, created_at);
CREATE INDEX ix_messages_user_id ON messages (user_id);
CREATE TABLE combat_state (
	id INTEGER NOT NULL,
	location_id INTEGER NOT NULL,
	round INTEGER DEFAULT 1 NOT NULL,
	state JSON NOT NULL,
	is_active BOOLEAN NOT NULL,
	started_at DATETIME NOT NULL,
	ended_at DATETIME,
	PRIMARY KEY (id),
	FOREIGN KEY(location_id) REFERENCES locations (id)
);
CREATE UNIQUE INDEX uq_combat_state_active ON combat_state (location_id) WHERE is_active = 1;
CREATE TABLE relationships (
	from_character_id INTEGER NOT NULL,
	to_character_id INTEGER NOT NULL,
	kind VARCHAR(30) NOT NULL,
	affinity FLOAT NOT NULL,
	since DATE,
	PRIMARY KEY (from_character_id, to_character_id),
	CHECK (from_character_id <> to_character_id),
	FOREIGN KEY(from_character_id) REFERENCES characters (id),
	FOREIGN KEY(to_character_id) REFERENCES characters (id)
);
CREATE TABLE location_connections (
	from_location_id INTEGER NOT NULL,
	to_location_id INTEGER NOT NULL,
	direction VARCHAR(20),
	distance NUMERIC(8, 2) NOT NULL,
	hidden BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (from_location_id, to_location_id),
	FOREIGN KEY(from_location_id) REFERENCES locations (id),
	FOREIGN KEY(to_location_id) REFERENCES locations (id)
);
CREATE TABLE ooc_violations (
	id INTEGER NOT NULL,
	user_id INTEGER NOT NULL,
	message_id INTEGER,
	severity INTEGER NOT NULL,
	detected_at DATETIME NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE TABLE location_deletion_log (
	id INTEGER NOT NULL,
	location_id INTEGER NOT NULL,
	deleted_by INTEGER,
	snapshot JSON NOT NULL,
	deleted_at DATETIME NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(deleted_by) REFERENCES users (id)
);
CREATE TABLE moderation_log (
	id INTEGER NOT NULL,
	admin_id INTEGER NOT NULL,
	target_user_id INTEGER,
	action VARCHAR(40) NOT NULL,
	details JSON,
	created_at DATETIME NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(admin_id) REFERENCES users (id),
	FOREIGN KEY(target_user_id) REFERENCES users (id)
);
"""

TYPES = types("""
users: id bigint, username varchar(80), email varchar(120), password_hash varchar(255), role varchar(20),
    is_active bool, ban_reason text, banned_until created_at timestamptz, preferences jsonb;
campaigns: id created_by bigint, name varchar(120), game_system varchar(50), world_setting text, is_active bool,
    settings jsonb, created_at timestamptz;
locations: id campaign_id parent_id bigint, name varchar(120), kind varchar(20), opening_scene text, is_public bool,
    created_at timestamptz;
characters: id user_id campaign_id hit_points experience bigint, name varchar(80), sheet jsonb, created_at timestamptz;
npcs: id campaign_id location_id bigint, name varchar(80), stats jsonb, disposition double, portrait bytea;
messages: id campaign_id location_id user_id tokens bigint, message_type varchar(20), content text, ai_response jsonb,
    temperature double, is_deleted bool, created_at edited_at timestamptz;
combat_state: id location_id round bigint, state jsonb, is_active bool, started_at ended_at timestamptz;
relationships: from_character_id to_character_id bigint, kind varchar(30), affinity double, since date;
location_connections: from_location_id to_location_id bigint, direction varchar(20), distance numeric(8,2), hidden bool;
ooc_violations: id user_id message_id severity bigint, detected_at timestamptz;
location_deletion_log: id location_id deleted_by bigint, snapshot jsonb, deleted_at timestamptz;
moderation_log: id admin_id target_user_id bigint, action varchar(40), details jsonb, created_at timestamptz
""")

Rows = Iterator[Sequence[Value]]


def build(path: Path, rows: int = 10_000, *, seed: int = 7, dirt: bool = True) -> Expected:
    """Write a server with `rows` messages to a new file."""
    users, places = max(20, rows // 50), max(12, rows // 100)
    people = max(20, rows // 20)
    with Database(path, seed=seed, dirt=dirt) as db:
        fake = db.fake
        db.script(SCHEMA)
        db.fill(
            "users",
            "id username email password_hash role is_active ban_reason banned_until preferences created_at",
            _users(fake, users),
        )
        db.fill("campaigns", "name game_system world_setting created_by settings created_at", _campaigns(fake, users))
        db.fill("locations", "id campaign_id parent_id name kind opening_scene created_at", _locations(fake, places))
        db.fill(
            "characters",
            "id user_id campaign_id name sheet hit_points experience created_at",
            _sheets(fake, people, users),
        )
        db.fill("npcs", "campaign_id location_id name stats disposition portrait", _npcs(fake, people, places))
        columns = "campaign_id location_id user_id message_type content ai_response tokens temperature is_deleted "
        db.fill("messages", columns + "created_at edited_at", _messages(fake, rows, users, places))
        db.fill("combat_state", "location_id round state is_active started_at ended_at", _combats(fake, places))
        db.fill("relationships", "from_character_id to_character_id kind affinity since", _relations(fake, people))
        db.fill(
            "location_connections", "from_location_id to_location_id direction distance hidden", _paths(fake, places)
        )
        _fill_logs(db, rows, users)
        _spoil(db)
        return db.finish(TYPES)


def _spoil(db: Database) -> None:
    db.spoil("messages", "content", NUL_TEXT, "NUL in text")
    db.spoil("messages", "content", BROKEN_UTF8, "invalid UTF-8")
    db.spoil("messages", "ai_response", INVALID_JSON, "invalid JSON")
    db.spoil("messages", "created_at", NO_DATE, "no date")
    db.spoil("messages", "tokens", ("", "many"), "no integer")
    db.spoil("messages", "is_deleted", (2,), "no boolean")
    db.spoil("npcs", "disposition", ("friendly",), "no number")
    db.orphan("messages", "user_id", (999_999, 1_000_000))
    db.set("characters", "experience", (2**53 + 1, 2**63 - 1, -(2**63), 2**31))


def _users(fake: Faker, count: int) -> Rows:
    for number in range(1, count + 1):
        banned = fake.chance(0.2)
        yield (
            number,
            f"player_{number}",
            f"player{number}@example.org",
            fake.digest(),
            fake.random.choice(("player", "player", "player", "helper", "admin")),
            int(not banned),
            fake.words(2, 8) if banned else None,
            fake.orm_datetime() if banned else None,
            fake.maybe(0.7, fake.json_object()),
            fake.orm_datetime(),
        )


def _campaigns(fake: Faker, users: int) -> Rows:
    for number in range(5):
        user = fake.random.randint(1, users)
        yield f"Campaign {number}", "vampire", fake.words(20, 60), user, fake.json_object(), fake.orm_datetime()


def _locations(fake: Faker, count: int) -> Rows:
    for number in range(1, count + 1):
        parent = fake.random.randint(1, number) if fake.chance(0.5) else None
        kind = fake.random.choice(("ooc", "tavern", "street"))
        yield number, number % 5 + 1, parent, f"{fake.word()} {number}", kind, fake.words(5, 40), fake.orm_datetime()


def _sheets(fake: Faker, count: int, users: int) -> Rows:
    for number in range(1, count + 1):
        user, points, gained = fake.random.randint(1, users), fake.random.randint(-5, 90), fake.random.getrandbits(20)
        yield number, user, number % 5 + 1, fake.name(), fake.json_object(), points, gained, fake.orm_datetime()


def _npcs(fake: Faker, count: int, places: int) -> Rows:
    for number in range(count):
        portrait = fake.random.randbytes(fake.random.randrange(400)) if fake.chance(0.5) else None
        place = fake.maybe(0.9, fake.random.randint(1, places))
        yield number % 5 + 1, place, fake.name(), fake.json_object(), fake.random.uniform(-1, 1), portrait


def _messages(fake: Faker, count: int, users: int, places: int) -> Rows:
    for _ in range(count):
        campaign, place, sent = fake.random.randint(1, 5), fake.random.randint(1, places), fake.orm_datetime()
        deleted, edited = int(fake.chance(0.02)), fake.maybe(0.05, fake.orm_datetime())
        if fake.chance(0.4):
            answer, heat = fake.json_object(), round(fake.random.random(), 3)
            tokens = fake.random.randint(1, 4096)
            yield campaign, place, None, "ai", fake.words(20, 80), answer, tokens, heat, deleted, sent, edited
        else:
            user, kind = fake.random.randint(1, users), fake.random.choice(("ic", "ooc"))
            yield campaign, place, user, kind, fake.words(1, 30), None, None, None, deleted, sent, edited


def _combats(fake: Faker, places: int) -> Rows:
    for place in range(1, places + 1):
        yield place, fake.random.randint(1, 9), fake.json_object(), 1, fake.orm_datetime(), None
        yield place, fake.random.randint(1, 9), fake.json_object(), 0, fake.orm_datetime(), fake.orm_datetime()


def _relations(fake: Faker, people: int) -> Rows:
    for number in range(1, people):
        kind = fake.random.choice(("ally", "rival", "blood bond"))
        yield number, number + 1, kind, fake.random.gauss(0, 1), fake.maybe(0.8, fake.date())


def _paths(fake: Faker, places: int) -> Rows:
    for number in range(1, places):
        distance = fake.random.choice((number, round(fake.random.uniform(0, 99_999), 2)))
        yield number, number + 1, fake.random.choice(("north", "up", None)), distance, int(fake.chance(0.1))


def _fill_logs(db: Database, rows: int, users: int) -> None:
    fake, pick = db.fake, db.fake.random.randint
    db.fill(
        "ooc_violations",
        "user_id message_id severity detected_at",
        ((pick(1, users), fake.maybe(0.9, pick(1, rows)), pick(1, 5), fake.orm_datetime()) for _ in range(rows // 50)),
    )
    db.fill(
        "location_deletion_log",
        "location_id deleted_by snapshot deleted_at",
        ((pick(900, 999), pick(1, users), fake.json_object(), fake.orm_datetime()) for _ in range(rows // 100)),
    )
    actions = ("warn", "ban", "unban", "delete message")
    db.fill(
        "moderation_log",
        "admin_id target_user_id action details created_at",
        (
            (pick(1, users), pick(1, users), fake.random.choice(actions), fake.json_object(), fake.orm_datetime())
            for _ in range(rows // 50)
        ),
    )
