"""Pitfalls of defaults, generated columns, indexes and checks."""

from __future__ import annotations

from .pitfall import ANY, LISTED, ObjectExpected, PitfallCase

_INSERT = "INSERT INTO defaults_known (n) VALUES (1) RETURNING "

DEFAULTS = (
    PitfallCase(
        "defaults_known",
        (
            """CREATE TABLE defaults_known (
                id INTEGER PRIMARY KEY, n INTEGER, dq TEXT DEFAULT "abc", sum INTEGER DEFAULT (1+2),
                digits INTEGER DEFAULT "5", absent TEXT DEFAULT null, neg REAL DEFAULT -1.5, yes BOOLEAN DEFAULT 1,
                ts TIMESTAMP DEFAULT current_timestamp, ts2 DATETIME DEFAULT (datetime('now')),
                day DATE DEFAULT CURRENT_DATE, clock TIME DEFAULT CURRENT_TIME,
                public_id TEXT DEFAULT (hex(randomblob(16))), quote TEXT DEFAULT 'it''s', data JSON DEFAULT '{}')""",
            "INSERT INTO defaults_known (n) VALUES (1), (2)",
        ),
        {"defaults_known": (2, 0)},
        {("defaults_known", "public_id"): "uuid", ("defaults_known", "yes"): "boolean"},
        probes=[
            (_INSERT + "dq", "abc"),
            (_INSERT + "sum", 3),
            (_INSERT + "digits", 5),
            (_INSERT + "absent IS NULL", True),
            (_INSERT + "neg", -1.5),
            (_INSERT + "yes", True),
            (_INSERT + "abs(extract(epoch FROM ts - now())) < 100", True),
            (_INSERT + "abs(extract(epoch FROM ts2 - now())) < 100", True),
            (_INSERT + "abs(day - (now() AT TIME ZONE 'UTC')::date) <= 1", True),
            (_INSERT + "clock IS NOT NULL", True),
            (_INSERT + "public_id IS NOT NULL", True),
            (_INSERT + "quote", "it's"),
            (_INSERT + "data::text", "{}"),
        ],
    ),
    PitfallCase(
        "defaults_odd",
        (
            """CREATE TABLE defaults_odd (
                id INTEGER PRIMARY KEY, n INTEGER, version TEXT DEFAULT (sqlite_version()),
                epoch INTEGER DEFAULT (strftime('%s', 'now')), day REAL DEFAULT (julianday('now')),
                short TEXT DEFAULT ('r' || lower(hex(randomblob(7)))))""",
            "INSERT INTO defaults_odd (n) VALUES (1), (2)",
        ),
        {"defaults_odd": (2, 0)},
        objects=(
            ObjectExpected("default", "defaults_odd", "version", LISTED),
            ObjectExpected("default", "defaults_odd", "epoch", ANY),
            ObjectExpected("default", "defaults_odd", "day", ANY),
            ObjectExpected("default", "defaults_odd", "short", ANY),
        ),
        probes=[("INSERT INTO defaults_odd (n) VALUES (1) RETURNING n", 1)],
        outcome="attention",
    ),
)

GENERATED = (
    PitfallCase(
        "generated",
        (
            """CREATE TABLE generated (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER,
                total INTEGER GENERATED ALWAYS AS (a * b) STORED, label TEXT AS (a || '-' || b) VIRTUAL,
                hexed TEXT AS (hex(a)))""",
            ("INSERT INTO generated (a, b) VALUES (?, ?)", [(n, n + 1) for n in range(200)]),
        ),
        {"generated": (200, 0)},
        objects=(
            ObjectExpected("generated column", "generated", "total", ANY),
            ObjectExpected("generated column", "generated", "label", ANY),
            ObjectExpected("generated column", "generated", "hexed", ANY),
        ),
        probes=[
            ("SELECT count(*) FROM generated WHERE total = a * b", 200),
            ("SELECT count(*) FROM generated WHERE label = a || '-' || b", 200),
            ("SELECT hexed FROM generated WHERE a = 10", "3130"),
        ],
        outcome=None,
    ),
)

_PEOPLE = """CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, name TEXT, deleted INTEGER, created INTEGER,
    is_online BOOLEAN)"""


def _indexdef(name: str, pattern: str) -> tuple[str, object]:
    return f"SELECT indexdef ILIKE '{pattern}' FROM pg_indexes WHERE indexname = '{name}'", True


INDEXES = (
    PitfallCase(
        "indexes",
        (
            _PEOPLE,
            (
                "INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)",
                [(n, f"P{n // 2}@x.org", f"N{n}", None if n % 2 else n, n, n % 2) for n in range(1, 201)],
            ),
            "CREATE UNIQUE INDEX people_partial ON people (email) WHERE deleted IS NULL",
            "CREATE INDEX people_lower ON people (lower(email))",
            "CREATE INDEX people_newest ON people (created DESC, email)",
            "CREATE INDEX people_online ON people (name) WHERE is_online = 1",
            "CREATE INDEX people_sum ON people (created + 1, id)",
            "ANALYZE people",
        ),
        {"people": (200, 0)},
        objects=[
            ObjectExpected("index", "people", f"people_{name}")
            for name in ("partial", "lower", "newest", "online", "sum")
        ],
        probes=[
            _indexdef("people_partial", "CREATE UNIQUE % WHERE %deleted%IS NULL%"),
            _indexdef("people_lower", "%lower(%email%"),
            _indexdef("people_newest", "%created DESC%, email%"),
            _indexdef("people_online", "% WHERE %is_online%"),
        ],
        refused=["INSERT INTO people (id, email) VALUES (999, 'P0@x.org')"],
    ),
    PitfallCase(
        "indexes_nocase",
        (
            "CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE UNIQUE, other TEXT)",
            "CREATE INDEX tags_other ON tags (other COLLATE NOCASE)",
            ("INSERT INTO tags (name, other) VALUES (?, ?)", [(f"Tag{n}", f"Other{n % 9}") for n in range(100)]),
        ),
        {"tags": (100, 0)},
        objects=(ObjectExpected("index", "tags", "tags_other", ANY), ObjectExpected("unique", "tags", "", ANY)),
        outcome=None,
    ),
    PitfallCase(
        "indexes_odd",
        (
            "CREATE TABLE parts (id INTEGER PRIMARY KEY, code TEXT)",
            "CREATE INDEX parts_kind ON parts (typeof(code))",
            "INSERT INTO parts (code) VALUES ('a'), ('b')",
        ),
        {"parts": (2, 0)},
        objects=(ObjectExpected("index", "parts", "parts_kind", ANY),),
        outcome=None,
    ),
)

CHECKS = (
    PitfallCase(
        "checks",
        (
            """CREATE TABLE checked (id INTEGER PRIMARY KEY, kind TEXT CHECK (kind IN ('x', 'y')),
                code TEXT CHECK (length(code) < 10), n INTEGER CONSTRAINT n_positive CHECK (n > 0))""",
            ("INSERT INTO checked VALUES (?, ?, ?, ?)", [(n, "xy"[n % 2], f"c{n}", n) for n in range(1, 101)]),
        ),
        {"checked": (100, 0)},
        objects=(ObjectExpected("check", "checked"), ObjectExpected("check", "checked", "n_positive")),
        probes=[("SELECT count(*) FROM pg_constraint WHERE conrelid = 'checked'::regclass AND contype = 'c'", 3)],
        refused=[
            "INSERT INTO checked VALUES (999, 'z', 'c', 1)",
            "INSERT INTO checked VALUES (999, 'x', 'cccccccccccc', 1)",
            "INSERT INTO checked VALUES (999, 'x', 'c', 0)",
        ],
    ),
    PitfallCase(
        "checks_of_sqlite",
        (
            """CREATE TABLE checked_odd (id INTEGER PRIMARY KEY, n INTEGER CHECK (typeof(n) = 'integer'),
                code TEXT CHECK (code GLOB 'A[0-9]*'), title TEXT CHECK (title LIKE 'm%'))""",
            ("INSERT INTO checked_odd VALUES (?, ?, ?, ?)", [(n, n, f"A{n}", "Mm"[n % 2] + "r") for n in range(50)]),
        ),
        {"checked_odd": (50, 0)},
        objects=(ObjectExpected("check", "checked_odd", "", ANY),),
        outcome=None,
    ),
    PitfallCase(
        "checks_violated",
        (
            "CREATE TABLE check_violated (id INTEGER PRIMARY KEY, n INTEGER, CONSTRAINT n_small CHECK (n < 100))",
            "PRAGMA ignore_check_constraints = ON",
            ("INSERT INTO check_violated VALUES (?, ?)", [(n, n) for n in range(1, 103)]),
            "PRAGMA ignore_check_constraints = OFF",
        ),
        {"check_violated": (102, 0)},
        objects=(ObjectExpected("check", "check_violated", "n_small", ANY),),
        probes=[("SELECT max(n) FROM check_violated", 102)],
        refused=["INSERT INTO check_violated VALUES (999, 500)"],
        outcome="attention",
    ),
)

SCHEMA_CASES: tuple[PitfallCase, ...] = (*DEFAULTS, *GENERATED, *INDEXES, *CHECKS)
