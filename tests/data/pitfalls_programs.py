"""Pitfalls of views, triggers, virtual tables, and of the tables in which frameworks keep their migrations."""

from __future__ import annotations

from .pitfall import ANY, LISTED, ObjectExpected, PitfallCase

PROGRAMS = (
    PitfallCase(
        "views",
        (
            "CREATE TABLE sales (id INTEGER PRIMARY KEY, day DATE, amount DECIMAL(8,2))",
            ("INSERT INTO sales VALUES (?, ?, ?)", [(n, f"2024-01-{n % 28 + 1:02}", n / 4) for n in range(60)]),
            "CREATE VIEW big_sales AS SELECT id, amount FROM sales WHERE amount > 10",
            "CREATE VIEW sales_by_month AS SELECT strftime('%Y-%m', day) AS month, sum(amount) FROM sales GROUP BY 1",
        ),
        {"sales": (60, 0)},
        objects=(
            ObjectExpected("view", None, "big_sales"),
            ObjectExpected("view", None, "sales_by_month", ANY),
        ),
        probes=[("SELECT count(*) FROM big_sales", 19)],
        outcome=None,
    ),
    PitfallCase(
        "views_broken",
        ("CREATE VIEW broken_view AS SELECT missing FROM no_such_table",),
        {},
        objects=(ObjectExpected("view", None, "broken_view", LISTED),),
        outcome="attention",
    ),
    PitfallCase(
        "triggers",
        (
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, updated_at DATETIME)",
            ("INSERT INTO notes VALUES (?, ?, ?)", [(n, f"n{n}", "2024-01-01 00:00:00") for n in range(1, 31)]),
            "CREATE TRIGGER notes_touch AFTER UPDATE ON notes FOR EACH ROW BEGIN "
            "UPDATE notes SET updated_at = CURRENT_TIMESTAMP WHERE id = NEW.id; END",
        ),
        {"notes": (30, 0)},
        objects=(ObjectExpected("trigger", "notes", "notes_touch"),),
        probes=[
            (
                "UPDATE notes SET body = 'new' WHERE id = 1 RETURNING updated_at > now() - interval '100 s'",
                True,
            )
        ],
        outcome=None,
    ),
    PitfallCase(
        "triggers_odd",
        (
            "CREATE TABLE guarded (id INTEGER PRIMARY KEY, body TEXT)",
            "INSERT INTO guarded (body) VALUES ('a')",
            "CREATE TRIGGER guarded_no_delete BEFORE DELETE ON guarded WHEN OLD.body GLOB 'k*' BEGIN "
            "SELECT RAISE(ABORT, 'kept'); END",
        ),
        {"guarded": (1, 0)},
        objects=(ObjectExpected("trigger", "guarded", "guarded_no_delete", ANY),),
        outcome=None,
    ),
    PitfallCase(
        "virtual_tables",
        (
            "CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT, body TEXT)",
            ("INSERT INTO articles VALUES (?, ?, ?)", [(n, f"t{n}", "some words") for n in range(1, 21)]),
            "CREATE VIRTUAL TABLE articles_fts USING fts5(title, body, content='articles', content_rowid='id')",
            "INSERT INTO articles_fts (articles_fts) VALUES ('rebuild')",
            "CREATE VIRTUAL TABLE old_fts USING fts4(body)",
            "INSERT INTO old_fts (body) VALUES ('some words')",
            "CREATE VIRTUAL TABLE places USING rtree(id, x0, x1, y0, y1)",
            "INSERT INTO places VALUES (1, 0, 1, 0, 1)",
        ),
        {"articles": (20, 0)},
        objects=(
            ObjectExpected("virtual table", None, "articles_fts", ANY),
            ObjectExpected("virtual table", None, "old_fts", ANY),
            ObjectExpected("virtual table", None, "places", LISTED),
            ObjectExpected("shadow table", None, "places_node", LISTED),
        ),
        probes=[("SELECT count(*) FROM pg_class WHERE relname IN ('places_node', 'articles_fts_data')", 0)],
        outcome="attention",
    ),
)

BOOKKEEPING = (
    PitfallCase(
        "bookkeeping",
        (
            "CREATE TABLE django_migrations (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, app varchar(255) NOT NULL, "
            "name varchar(255) NOT NULL, applied datetime NOT NULL)",
            "CREATE TABLE django_content_type (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, "
            "app_label varchar(100) NOT NULL, model varchar(100) NOT NULL)",
            "CREATE UNIQUE INDEX django_content_type_uniq ON django_content_type (app_label, model)",
            "CREATE TABLE schema_migrations (version varchar NOT NULL PRIMARY KEY)",
            "CREATE TABLE ar_internal_metadata (key varchar NOT NULL PRIMARY KEY, value varchar, "
            "created_at datetime(6) NOT NULL, updated_at datetime(6) NOT NULL)",
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
            "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))",
            "CREATE TABLE _prisma_migrations (id TEXT PRIMARY KEY NOT NULL, checksum TEXT NOT NULL, "
            "finished_at DATETIME, migration_name TEXT NOT NULL, "
            "started_at DATETIME NOT NULL DEFAULT current_timestamp, "
            "applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0)",
            "INSERT INTO django_migrations (app, name, applied) VALUES ('auth', '0001', '2024-01-01 00:00:00.123456')",
            "INSERT INTO django_content_type (app_label, model) VALUES ('auth', 'user'), ('auth', 'group')",
            "INSERT INTO schema_migrations VALUES ('20240101000000')",
            "INSERT INTO ar_internal_metadata VALUES ('environment', 'production', "
            "'2024-01-01 00:00:00.123456', '2024-01-01 00:00:00.123456')",
            "INSERT INTO alembic_version VALUES ('4f1d2c3b5a69')",
            "INSERT INTO _prisma_migrations VALUES ('6f1f9c1e-3f0a-4c39-9a52-000000000001', 'cafe', 1704067200123, "
            "'init', 1704067200000, 1)",
        ),
        {
            "django_migrations": (1, 0),
            "django_content_type": (2, 0),
            "schema_migrations": (1, 0),
            "ar_internal_metadata": (1, 0),
            "alembic_version": (1, 0),
            "_prisma_migrations": (1, 0),
        },
        {
            ("django_migrations", "applied"): "timestamp with time zone",
            ("django_migrations", "app"): "character varying(255)",
            ("_prisma_migrations", "started_at"): "timestamp with time zone",
            ("alembic_version", "version_num"): "character varying(32)",
        },
    ),
)

PROGRAM_CASES: tuple[PitfallCase, ...] = (*PROGRAMS, *BOOKKEEPING)
