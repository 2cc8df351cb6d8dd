"""A trading helper for a game's market: SQLAlchemy with Alembic, reserved column names, 32-digit Uuid columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..database import Database
from ..expected import Expected, Value, types
from ..faker import BROKEN_UTF8, INVALID_JSON, NO_DATE, NUL_TEXT, Faker

SCHEMA = """
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE items (
	id INTEGER NOT NULL,
	name VARCHAR NOT NULL,
	examine VARCHAR,
	members BOOLEAN NOT NULL,
	"limit" INTEGER,
	value INTEGER NOT NULL,
	high_alch INTEGER,
	weight FLOAT,
	bonuses JSON,
	PRIMARY KEY (id)
);
CREATE INDEX ix_items_name ON items (name);
CREATE TABLE price_snapshots (
	item_id INTEGER NOT NULL,
	"timestamp" INTEGER NOT NULL,
	high_price INTEGER,
	low_price INTEGER,
	volume BIGINT DEFAULT '0' NOT NULL,
	margin NUMERIC(6, 3),
	PRIMARY KEY (item_id, "timestamp"),
	CONSTRAINT fk_price_snapshots_item_id_items FOREIGN KEY(item_id) REFERENCES items (id) ON DELETE CASCADE
);
CREATE TABLE trades (
	id INTEGER NOT NULL,
	user_id CHAR(32) NOT NULL,
	item_id INTEGER NOT NULL,
	buy_price BIGINT NOT NULL,
	sell_price BIGINT,
	quantity INTEGER NOT NULL,
	status VARCHAR(9) NOT NULL,
	note TEXT,
	"timestamp" DATETIME NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT tradestatus CHECK (status IN ('pending', 'sold', 'cancelled')),
	CONSTRAINT ck_trades_quantity CHECK (quantity > 0),
	FOREIGN KEY(item_id) REFERENCES items (id)
);
CREATE INDEX ix_trades_item_id ON trades (item_id);
CREATE INDEX ix_trades_timestamp ON trades ("timestamp");
CREATE INDEX ix_trades_user_id_status ON trades (user_id, status);
CREATE TABLE watchlist (
	id CHAR(32) NOT NULL,
	user_id CHAR(32) NOT NULL,
	item_id INTEGER NOT NULL,
	alert_type VARCHAR(20) NOT NULL,
	threshold FLOAT NOT NULL,
	is_active BOOLEAN NOT NULL,
	settings JSON,
	created_at DATETIME NOT NULL,
	triggered_at DATETIME,
	PRIMARY KEY (id),
	CONSTRAINT uq_watchlist UNIQUE (user_id, item_id, alert_type),
	FOREIGN KEY(item_id) REFERENCES items (id)
);
"""

TYPES = types("""
alembic_version: version_num varchar(32);
items: id limit value high_alch bigint, name examine text, members bool, weight double, bonuses jsonb;
price_snapshots: item_id high_price low_price volume bigint, timestamp timestamptz, margin numeric(6,3);
trades: id item_id buy_price sell_price quantity bigint, user_id uuid, status varchar(9), note text,
    timestamp timestamptz;
watchlist: id user_id uuid, item_id bigint, alert_type varchar(20), threshold double, is_active bool, settings jsonb,
    created_at triggered_at timestamptz
""")

Rows = Iterator[Sequence[Value]]


def build(path: Path, rows: int = 10_000, *, seed: int = 7, dirt: bool = True) -> Expected:
    """Write a market helper with `rows` trades to a new file."""
    items = max(20, rows // 20)
    with Database(path, seed=seed, dirt=dirt) as db:
        fake = db.fake
        db.script(SCHEMA)
        db.fill("alembic_version", "version_num", [("4f1d2c3b5a69",)])
        db.fill("items", "id name examine members limit value high_alch weight bonuses", _items(fake, items))
        columns = "item_id timestamp high_price low_price volume margin"
        db.fill("price_snapshots", columns, _prices(fake, rows // 2, items))
        users = [fake.hex32() for _ in range(max(5, rows // 100))]
        columns = "user_id item_id buy_price sell_price quantity status note timestamp"
        db.fill("trades", columns, _trades(fake, rows, items, users))
        columns = "id user_id item_id alert_type threshold is_active settings created_at triggered_at"
        db.fill("watchlist", columns, _watches(fake, rows // 20, items, users))
        _spoil(db)
        return db.finish(TYPES)


def _spoil(db: Database) -> None:
    db.spoil("price_snapshots", "high_price", ("", "?"), "no integer")
    db.spoil("trades", "sell_price", ("", "1.5m"), "no integer")
    db.spoil("trades", "note", NUL_TEXT, "NUL in text")
    db.spoil("trades", "note", BROKEN_UTF8, "invalid UTF-8")
    db.spoil("trades", "timestamp", NO_DATE, "no date")
    db.spoil("watchlist", "settings", INVALID_JSON[:2], "invalid JSON")
    db.spoil("watchlist", "is_active", (2,), "no boolean")
    db.orphan("trades", "item_id", (888_888, 999_999))
    db.set("trades", "buy_price", (2**31, 2**40, 2**63 - 1))


def _items(fake: Faker, count: int) -> Rows:
    for number in range(1, count + 1):
        limit, alch = (
            fake.maybe(0.9, fake.random.choice((8, 70, 11_000))),
            fake.maybe(0.8, fake.random.randrange(10**5)),
        )
        weight, bonuses = fake.maybe(0.9, round(fake.random.uniform(-5, 60), 3)), fake.maybe(0.5, fake.json_object())
        name, examine = f"{fake.word()} {number}", fake.words(3, 10)
        yield (
            number * 2,
            name,
            examine,
            int(fake.chance(0.6)),
            limit,
            fake.random.randrange(10**6),
            alch,
            weight,
            bonuses,
        )


def _prices(fake: Faker, count: int, items: int) -> Rows:
    for number in range(count):
        item, second = number % items * 2 + 2, 1_735_689_600 + number // items * 300
        low = fake.random.randrange(1, 2**31 - 1)
        margin = fake.random.choice((number % 100, round(fake.random.uniform(-99, 99), 3)))
        yield item, second, fake.maybe(0.95, low + number), low, fake.random.randrange(10**7), margin


def _trades(fake: Faker, count: int, items: int, users: list[str]) -> Rows:
    for _ in range(count):
        status = fake.random.choice(("pending", "sold", "sold", "cancelled"))
        bought = fake.random.randrange(1, 10**7)
        sold = bought + fake.random.randrange(-1000, 10**5) if status == "sold" else None
        user, item = fake.random.choice(users), fake.random.randrange(items) * 2 + 2
        note = fake.maybe(0.5, fake.words(1, 12))
        yield user, item, bought, sold, fake.random.randint(1, 10_000), status, note, fake.orm_datetime()


def _watches(fake: Faker, count: int, items: int, users: list[str]) -> Rows:
    for number in range(count):
        user, item = users[number % len(users)], number // len(users) % items * 2 + 2
        kind, limit = f"alert {number // len(users) // items}", fake.random.uniform(0, 10**7)
        settings, fired = fake.maybe(0.6, fake.json_object()), fake.maybe(0.3, fake.orm_datetime())
        active = int(fake.chance(0.8))
        yield fake.hex32(), user, item, kind, limit, active, settings, fake.orm_datetime(), fired
