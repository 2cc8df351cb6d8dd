"""Pitfalls of names, keys, identities and foreign keys."""

from __future__ import annotations

from .pitfall import ANY, LISTED, ObjectExpected, PitfallCase

LONG = "long_" + "x" * 70


def _numbers(table: str, count: int, first: int = 1) -> tuple[str, list[tuple[int]]]:
    return f'INSERT INTO "{table}" (id) VALUES (?)', [(n,) for n in range(first, first + count)]


def _valid(table: str, kind: str) -> str:
    return (
        "SELECT coalesce(bool_and(convalidated)::text, 'none') FROM pg_constraint "
        f"WHERE conrelid = '\"{table}\"'::regclass AND contype = '{kind}'"
    )


NAMES = (
    PitfallCase(
        "names_quoted",
        (
            'CREATE TABLE "Order Details" ("Order ID" INTEGER PRIMARY KEY, "group" TEXT, "Unit""Price" REAL)',
            'CREATE TABLE "select" ("from" INTEGER PRIMARY KEY REFERENCES "Order Details"("Order ID"), "Ünï.x" TEXT)',
            'CREATE INDEX "index of; names" ON "Order Details" ("group", "Unit""Price")',
            ('INSERT INTO "Order Details" VALUES (?, ?, ?)', [(n, f"g{n}", n / 4) for n in range(1, 21)]),
            ('INSERT INTO "select" VALUES (?, ?)', [(n, "ü") for n in range(1, 11)]),
        ),
        {"Order Details": (20, 0), "select": (10, 0)},
        {("Order Details", 'Unit"Price'): "double precision", ("select", "from"): "bigint"},
        objects=(
            ObjectExpected("index", "Order Details", "index of; names"),
            ObjectExpected("foreign key", "select"),
        ),
        probes=[
            ('SELECT sum("Unit""Price")::float8 FROM "Order Details"', 52.5),
            (_valid("select", "f"), "true"),
            (_valid("Order Details", "p"), "true"),
        ],
    ),
    PitfallCase(
        "names_fold_alike",
        (
            'CREATE TABLE "folded_Ä" (id INTEGER PRIMARY KEY)',
            'CREATE TABLE "folded_ä" (id INTEGER PRIMARY KEY)',
            _numbers("folded_Ä", 3),
            _numbers("folded_ä", 5),
        ),
        {"folded_Ä": (3, 0), "folded_ä": (5, 0)},
    ),
    PitfallCase(
        "names_long",
        (
            f"CREATE TABLE {LONG} (id INTEGER PRIMARY KEY, {LONG}_a TEXT, {LONG}_b TEXT)",
            f"CREATE INDEX {LONG}_index_a ON {LONG} ({LONG}_a)",
            f"CREATE INDEX {LONG}_index_b ON {LONG} ({LONG}_b)",
            (f"INSERT INTO {LONG} VALUES (?, ?, ?)", [(n, f"a{n}", f"b{n}") for n in range(10)]),
        ),
        {LONG: (10, 0)},
        objects=(ObjectExpected("index", LONG, f"{LONG}_index_a"), ObjectExpected("index", LONG, f"{LONG}_index_b")),
        probes=[
            (f"SELECT count(*) FROM information_schema.columns WHERE table_name LIKE '{LONG[:40]}%'", 3),
            (f"SELECT count(*) FROM pg_indexes WHERE tablename LIKE '{LONG[:40]}%'", 3),
        ],
    ),
)

IDENTITIES = (
    PitfallCase(
        "identity_plain",
        ("CREATE TABLE identity_plain (id INTEGER PRIMARY KEY, v TEXT)", _numbers("identity_plain", 20)),
        {"identity_plain": (20, 0)},
        {("identity_plain", "id"): "bigint"},
        probes=[("INSERT INTO identity_plain (v) VALUES ('x') RETURNING id", 21)],
    ),
    PitfallCase(
        "identity_after_deletes",
        (
            "CREATE TABLE identity_after_deletes (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT)",
            _numbers("identity_after_deletes", 100),
            "DELETE FROM identity_after_deletes WHERE id > 50",
        ),
        {"identity_after_deletes": (50, 0)},
        probes=[("INSERT INTO identity_after_deletes (v) VALUES ('x') RETURNING id", 101)],
    ),
    PitfallCase(
        "identity_emptied",
        (
            "CREATE TABLE identity_emptied (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT)",
            _numbers("identity_emptied", 10),
            "DELETE FROM identity_emptied",
        ),
        {"identity_emptied": (0, 0)},
        probes=[("INSERT INTO identity_emptied (v) VALUES ('x') RETURNING id", 11)],
    ),
    PitfallCase(
        "identity_never_used",
        ("CREATE TABLE identity_never_used (id INTEGER PRIMARY KEY AUTOINCREMENT, v DATETIME)",),
        {"identity_never_used": (0, 0)},
        {("identity_never_used", "v"): "timestamp with time zone"},
        probes=[("INSERT INTO identity_never_used (v) VALUES (NULL) RETURNING id", 1)],
    ),
    PitfallCase(
        "rowid_ends",
        (
            "CREATE TABLE rowid_ends (id INTEGER PRIMARY KEY, v TEXT)",
            ("INSERT INTO rowid_ends VALUES (?, 'x')", [(-(2**63),), (-7,), (0,), (1,), (2**63 - 1,)]),
        ),
        {"rowid_ends": (5, 0)},
        probes=[("SELECT min(id) FROM rowid_ends", -(2**63)), ("SELECT max(id) FROM rowid_ends", 2**63 - 1)],
    ),
)

KEYS = (
    PitfallCase(
        "no_key",
        (
            "CREATE TABLE no_key (a INTEGER, b TEXT)",
            ("INSERT INTO no_key (rowid, a, b) VALUES (?, ?, ?)", [(n * 3 - 90, n % 5, "same") for n in range(100)]),
        ),
        {"no_key": (100, 0)},
        probes=[("SELECT count(*) FROM no_key WHERE a = 2", 20)],
    ),
    PitfallCase(
        "without_rowid",
        (
            "CREATE TABLE without_rowid (b TEXT, a BLOB, n REAL, v TEXT, PRIMARY KEY (a, b DESC, n)) WITHOUT ROWID",
            (
                "INSERT INTO without_rowid VALUES (?, ?, ?, ?)",
                [(f"k{n % 7}", bytes((n % 11,)), n / 2, str(n)) for n in range(200)],
            ),
        ),
        {"without_rowid": (200, 0)},
        objects=(ObjectExpected("primary key", "without_rowid"),),
        probes=[(_valid("without_rowid", "p"), "true"), ("SELECT count(DISTINCT v) FROM without_rowid", 200)],
    ),
    PitfallCase(
        "strict_any",
        (
            "CREATE TABLE strict_any (id INTEGER PRIMARY KEY, i INT, r REAL, t TEXT, b BLOB, a ANY, n ANY) STRICT",
            (
                "INSERT INTO strict_any VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(n, n, n / 3, f"t{n}", b"\0", n if n % 2 else f"x{n}", n) for n in range(1, 41)],
            ),
        ),
        {"strict_any": (40, 0)},
        {
            ("strict_any", "i"): "bigint",
            ("strict_any", "r"): "double precision",
            ("strict_any", "b"): "bytea",
            ("strict_any", "a"): "text",
            ("strict_any", "n"): "bigint",
        },
    ),
    PitfallCase(
        "composite_key",
        (
            "CREATE TABLE composite_key (a INT NOT NULL, b TEXT NOT NULL, v TEXT, PRIMARY KEY (a, b), UNIQUE (v, a))",
            ("INSERT INTO composite_key VALUES (?, ?, ?)", [(n // 10, f"b{n % 10}", f"v{n}") for n in range(100)]),
        ),
        {"composite_key": (100, 0)},
        objects=(ObjectExpected("primary key", "composite_key"), ObjectExpected("unique", "composite_key")),
        refused=[
            "INSERT INTO composite_key VALUES (0, 'b0', 'new')",
            "INSERT INTO composite_key VALUES (0, 'b', 'v1')",
        ],
    ),
    PitfallCase(
        "null_in_key",
        (
            "CREATE TABLE null_in_key (code TEXT PRIMARY KEY, n INTEGER)",
            ("INSERT INTO null_in_key VALUES (?, ?)", [*((f"c{n}", n) for n in range(298)), (None, 1), (None, 2)]),
        ),
        {"null_in_key": (300, 0)},
        objects=(ObjectExpected("primary key", "null_in_key", "", ("translated", "skipped")),),
        probes=[("SELECT count(*) FROM null_in_key WHERE code IS NULL", 2)],
        refused=["INSERT INTO null_in_key VALUES ('c0', 5)"],
        outcome=None,
    ),
)

FOREIGN_KEYS = (
    PitfallCase(
        "fk_orphans",
        (
            "CREATE TABLE fk_orphans_parent (id INTEGER PRIMARY KEY)",
            "CREATE TABLE fk_orphans_child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES fk_orphans_parent (id))",
            _numbers("fk_orphans_parent", 10),
            (
                "INSERT INTO fk_orphans_child VALUES (?, ?)",
                [(n, 99 if n in (7, 77) else None if n % 5 == 0 else n % 10 + 1) for n in range(300)],
            ),
        ),
        {"fk_orphans_parent": (10, 0), "fk_orphans_child": (300, 0)},
        objects=(ObjectExpected("foreign key", "fk_orphans_child", "", ANY),),
        probes=[(_valid("fk_orphans_child", "f"), "false"), ("SELECT count(*) FROM fk_orphans_child WHERE p = 99", 2)],
        refused=["INSERT INTO fk_orphans_child VALUES (1000, 98)"],
        outcome="attention",
    ),
    PitfallCase(
        "fk_implicit",
        (
            "CREATE TABLE fk_implicit_parent (k INTEGER PRIMARY KEY, v TEXT)",
            "CREATE TABLE fk_implicit_child (p INT REFERENCES fk_implicit_parent ON DELETE CASCADE ON UPDATE SET NULL)",
            "INSERT INTO fk_implicit_parent VALUES (1, 'a'), (2, 'b')",
            "INSERT INTO fk_implicit_child VALUES (1), (2), (NULL)",
        ),
        {"fk_implicit_parent": (2, 0), "fk_implicit_child": (3, 0)},
        objects=(ObjectExpected("foreign key", "fk_implicit_child"),),
        probes=[
            (_valid("fk_implicit_child", "f"), "true"),
            (
                "SELECT pg_get_constraintdef(oid) LIKE '%ON UPDATE SET NULL ON DELETE CASCADE%' FROM pg_constraint "
                "WHERE conrelid = 'fk_implicit_child'::regclass AND contype = 'f'",
                True,
            ),
        ],
    ),
    PitfallCase(
        "fk_composite",
        (
            "CREATE TABLE fk_composite_parent (a INTEGER, b TEXT, PRIMARY KEY (a, b))",
            "CREATE TABLE fk_composite_child (x TEXT, y INTEGER, "
            "FOREIGN KEY (y, x) REFERENCES fk_composite_parent (a, b) DEFERRABLE INITIALLY DEFERRED)",
            "INSERT INTO fk_composite_parent VALUES (1, 'a'), (2, 'b')",
            "INSERT INTO fk_composite_child VALUES ('a', 1), ('b', 2), (NULL, 2)",
        ),
        {"fk_composite_parent": (2, 0), "fk_composite_child": (3, 0)},
        probes=[
            (
                "SELECT count(*) FROM pg_constraint WHERE conrelid = 'fk_composite_child'::regclass AND contype = 'f' "
                "AND cardinality(conkey) = 2 AND condeferrable AND condeferred AND convalidated",
                1,
            ),
        ],
    ),
    PitfallCase(
        "fk_self_and_circle",
        (
            "CREATE TABLE fk_self (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES fk_self (id))",
            "CREATE TABLE fk_staff (id INTEGER PRIMARY KEY, store INTEGER NOT NULL REFERENCES fk_store (id))",
            "CREATE TABLE fk_store (id INTEGER PRIMARY KEY, head INTEGER NOT NULL REFERENCES fk_staff (id))",
            "INSERT INTO fk_self VALUES (1, 3), (2, 1), (3, NULL)",
            "INSERT INTO fk_staff VALUES (1, 1), (2, 1)",
            "INSERT INTO fk_store VALUES (1, 2)",
        ),
        {"fk_self": (3, 0), "fk_staff": (2, 0), "fk_store": (1, 0)},
        probes=[(_valid(table, "f"), "true") for table in ("fk_self", "fk_staff", "fk_store")],
    ),
    PitfallCase(
        "fk_impossible",
        (
            "CREATE TABLE fk_loose_parent (id INTEGER PRIMARY KEY, code TEXT)",
            "CREATE TABLE fk_to_loose (id INTEGER PRIMARY KEY, code TEXT REFERENCES fk_loose_parent (code))",
            "CREATE TABLE fk_to_nothing (id INTEGER PRIMARY KEY, p INTEGER REFERENCES no_such_table (id))",
            "INSERT INTO fk_loose_parent VALUES (1, 'a'), (2, 'a')",
            "INSERT INTO fk_to_loose VALUES (1, 'a')",
            "INSERT INTO fk_to_nothing VALUES (1, 1)",
        ),
        {"fk_loose_parent": (2, 0), "fk_to_loose": (1, 0), "fk_to_nothing": (1, 0)},
        objects=(
            ObjectExpected("foreign key", "fk_to_loose", "", LISTED),
            ObjectExpected("foreign key", "fk_to_nothing", "", LISTED),
        ),
        probes=[(_valid("fk_to_loose", "f"), "none"), (_valid("fk_to_nothing", "f"), "none")],
        outcome="attention",
    ),
    PitfallCase(
        "fk_typed_by_parent",
        (
            "CREATE TABLE fk_typed_parent (id TEXT PRIMARY KEY)",
            "CREATE TABLE fk_typed_child (id INTEGER PRIMARY KEY, p TEXT REFERENCES fk_typed_parent (id))",
            ("INSERT INTO fk_typed_parent VALUES (?)", [(f"6f1f9c1e-3f0a-4c39-9a52-{n:012x}",) for n in range(20)]),
            # Nothing in the child says that it holds UUIDs; its parent does.
            ("INSERT INTO fk_typed_child VALUES (?, ?)", [(n, None) for n in range(20)]),
        ),
        {"fk_typed_parent": (20, 0), "fk_typed_child": (20, 0)},
        probes=[(_valid("fk_typed_child", "f"), "true")],
    ),
)

KEY_CASES: tuple[PitfallCase, ...] = (*NAMES, *IDENTITIES, *KEYS, *FOREIGN_KEYS)
