"""The script of least-privilege roles, for psql. Text only: nothing is asked and nothing is run.

Sources: PostgreSQL docs, "GRANT", "ALTER DEFAULT PRIVILEGES", "Schemas" 5.10.6 (usage patterns), "psql".
"""

from __future__ import annotations

from dataclasses import dataclass

from copier.errors import UsageError
from copier.plan.names import MAX_IDENTIFIER_BYTES, literal, quote


@dataclass(frozen=True, slots=True)
class Roles:
    """What the script is about. `database` None means the one that psql is connected to."""

    schema: str = "public"
    ledger_schema: str = "sqlite2pg"
    database: str | None = None
    prefix: str = "app"

    @property
    def migrator(self) -> str:
        """Owns the schemas: sqlite2pg runs as this role, and later the application's own migrations."""
        return f"{self.prefix}_migrator"

    @property
    def user(self) -> str:
        """The application: reads and writes rows, creates nothing."""
        return f"{self.prefix}_user"

    @property
    def analytics(self) -> str:
        """Reads rows."""
        return f"{self.prefix}_analytics"

    @property
    def backup(self) -> str:
        """Reads rows, sequences and the ledger: what pg_dump needs."""
        return f"{self.prefix}_backup"

    @property
    def all(self) -> tuple[str, ...]:
        """All four."""
        return (self.migrator, self.user, self.analytics, self.backup)


def roles_script(roles: Roles) -> str:
    """Return the script. It can be run again at any time, and holds no password. UsageError for a name too long."""
    for name in (*roles.all, roles.schema, roles.ledger_schema, *filter(None, [roles.database])):
        if not name or "\0" in name or len(name.encode(errors="replace")) > MAX_IDENTIFIER_BYTES:
            raise UsageError(
                f"{name!r} cannot be a name: PostgreSQL takes 1 to {MAX_IDENTIFIER_BYTES} bytes",
                hint="choose a shorter --prefix, --schema or --database",
            )
    parts = [
        _head(roles),
        *(_database(roles.database) if roles.database is not None else ()),
        "BEGIN;",
        _create(roles),
        _schemas(roles),
        _grants(roles),
        _settings(roles),
        "COMMIT;",
        _passwords(roles),
    ]
    return "\n".join(parts) + "\n"


def _head(roles: Roles) -> str:
    words = [f"--   {quote(name)}: {what}" for name, what in zip(roles.all, _WHAT, strict=True)]
    return "\n".join(_HEAD + [line.replace("\n", " ") for line in words] + _AFTER_HEAD)


_WHAT = (
    "owns the schemas and all tables in them; no superuser. sqlite2pg and schema migrations run as it.",
    "the application. SELECT, INSERT, UPDATE, DELETE; no DDL.",
    "read-only.",
    "read-only, sequences and the ledger included: pg_dump.",
)
_HEAD = [
    "-- Roles with no more rights than they need. For psql; run it again whenever you like:",
    "--     psql -X -f roles.sql DATABASE",
    "-- as a superuser, or as a role with CREATEROLE that owns the database.",
    "--",
]
_AFTER_HEAD = [
    "--",
    "-- No password is in here. The end says how to set them.",
    "\\set ON_ERROR_STOP on",
    "",
]


def _database(name: str) -> list[str]:
    create = f"CREATE DATABASE {quote(name)} TEMPLATE template0 ENCODING 'UTF8'"
    return [
        f"SELECT {literal(create)} WHERE NOT EXISTS"
        f" (SELECT FROM pg_catalog.pg_database WHERE datname = {literal(name)}) \\gexec",
        f"\\connect {quote(name)}",
        "",
    ]


def _create(roles: Roles) -> str:
    lines = ["", "-- The roles. New ones have no attribute but LOGIN; one that is there must not have more."]
    for name in roles.all:
        create = f"CREATE ROLE {quote(name)} LOGIN"
        known = f"(SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal(name)})"
        lines.append(f"SELECT {literal(create)} WHERE NOT EXISTS {known} \\gexec")
    names = ", ".join(map(literal, roles.all))
    mighty = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
    lines += [
        "SELECT coalesce(string_agg(rolname, ', '), '') AS mighty, count(*) > 0 AS is_mighty",
        f"FROM pg_catalog.pg_roles WHERE rolname IN ({names}) AND ({mighty}) \\gset",
        "\\if :is_mighty",
        "    \\echo 'refused: these roles have attributes of an administrator:' :mighty",
        "    DO $$BEGIN RAISE EXCEPTION 'nothing was changed: see the line above'; END$$;",
        "\\endif",
        "-- Whoever owns things for the migrator must be able to act as it; a superuser can.",
        f"SELECT {literal(f'GRANT {quote(roles.migrator)} TO CURRENT_USER')}"
        f" WHERE NOT pg_catalog.pg_has_role(current_user, {literal(roles.migrator)}, 'USAGE') \\gexec",
    ]
    return "\n".join(lines)


def _schemas(roles: Roles) -> str:
    migrator, every = quote(roles.migrator), ", ".join(map(quote, roles.all))
    lines = ["", "-- The database and its schemas. Nobody gets in, or creates anything, by being PUBLIC."]
    lines.append(_for_database("REVOKE ALL ON DATABASE ", f" FROM PUBLIC, {every}"))
    lines.append(_for_database("GRANT CONNECT ON DATABASE ", f" TO {every}"))
    for name in dict.fromkeys((roles.schema, roles.ledger_schema)):
        create = f"CREATE SCHEMA {quote(name)}"
        known = f"(SELECT FROM pg_catalog.pg_namespace WHERE nspname = {literal(name)})"
        lines += [
            f"SELECT {literal(create)} WHERE NOT EXISTS {known} \\gexec",
            f"ALTER SCHEMA {quote(name)} OWNER TO {migrator};",
            f"REVOKE ALL ON SCHEMA {quote(name)} FROM PUBLIC;",
        ]
    if roles.schema != "public":
        own = "SELECT 'REVOKE CREATE ON SCHEMA public FROM PUBLIC'"
        lines.append(f"{own} WHERE pg_catalog.to_regnamespace('public') IS NOT NULL \\gexec")
    return "\n".join(lines)


def _grants(roles: Roles) -> str:
    migrator, others = quote(roles.migrator), ", ".join(map(quote, roles.all[1:]))
    user, analytics, backup = map(quote, roles.all[1:])
    lines = ["", "-- Rows: what is there now, and what the migrator will create. Whatever they had before goes first."]
    grants = [
        ("SELECT, INSERT, UPDATE, DELETE", "TABLES", user),
        ("USAGE, SELECT", "SEQUENCES", user),
        ("EXECUTE", "FUNCTIONS", f"{user}, {analytics}"),
        ("SELECT", "TABLES", f"{analytics}, {backup}"),
        ("SELECT", "SEQUENCES", backup),
    ]
    lines += _granted(roles.schema, migrator, f"PUBLIC, {others}", others, grants)
    lines.append(f"ALTER DEFAULT PRIVILEGES FOR ROLE {migrator} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;")
    lines.append(f"GRANT USAGE ON SCHEMA {quote(roles.schema)} TO {others};")
    if roles.ledger_schema != roles.schema:
        lines += ["", "-- The ledger holds rejected rows as they were: nobody reads it but the backup."]
        only = [("SELECT", "TABLES", backup), ("SELECT", "SEQUENCES", backup)]
        lines += _granted(roles.ledger_schema, migrator, f"PUBLIC, {others}", others, only)
        lines.append(f"REVOKE ALL ON SCHEMA {quote(roles.ledger_schema)} FROM {others};")
        lines.append(f"GRANT USAGE ON SCHEMA {quote(roles.ledger_schema)} TO {backup};")
    return "\n".join(lines)


def _granted(schema: str, migrator: str, takers: str, others: str, grants: list[tuple[str, str, str]]) -> list[str]:
    """Return the statements that take everything and give `grants`: (privileges, kind of object, roles)."""
    inside = f"IN SCHEMA {quote(schema)}"
    default = f"ALTER DEFAULT PRIVILEGES FOR ROLE {migrator} {inside}"
    lines = []
    for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
        lines.append(f"REVOKE ALL ON ALL {kind} {inside} FROM {takers};")
        lines.append(f"{default} REVOKE ALL ON {kind} FROM {others};")
    for privileges, kind, to in grants:
        lines.append(f"GRANT {privileges} ON ALL {kind} {inside} TO {to};")
        lines.append(f"{default} GRANT {privileges} ON {kind} TO {to};")
    return lines


def _settings(roles: Roles) -> str:
    lines = ["", "-- Names without a schema mean this one, and no other that somebody may have put something into."]
    for name in roles.all:
        lines.append(_in_database(name, f"SET search_path = {quote(roles.schema)}"))
    lines += [_in_database(name, "SET default_transaction_read_only = on") for name in (roles.analytics, roles.backup)]
    return "\n".join(lines)


def _in_database(role: str, setting: str) -> str:
    return _for_database(f"ALTER ROLE {quote(role)} IN DATABASE ", f" {setting}")


def _for_database(head: str, tail: str) -> str:
    """Return the statement with the name of the database psql is connected to between head and tail."""
    return f"SELECT {literal(head)} || pg_catalog.quote_ident(current_database()) || {literal(tail)} \\gexec"


def _passwords(roles: Roles) -> str:
    lines = [
        "",
        "-- Passwords: in psql, \\password asks for one and sends only its SCRAM verifier. Or give verifiers to this",
        "-- script:  psql -v user_verifier='SCRAM-SHA-256$...' -f roles.sql",
    ]
    for name, what in zip(roles.all, ("migrator", "user", "analytics", "backup"), strict=True):
        lines += [
            f"\\if :{{?{what}_verifier}}",
            f"    SELECT {literal(f'ALTER ROLE {quote(name)} PASSWORD ')}"
            f" || pg_catalog.quote_literal(:'{what}_verifier')",
            f"    WHERE :'{what}_verifier' LIKE 'SCRAM-SHA-256$%' \\gexec",
            "\\endif",
        ]
    for name in roles.all:
        # psql reads the arguments of its own commands with C's escapes.
        words = f"Set a password, in psql:  \\password {quote(name)}".replace("\\", r"\\").replace("'", "''")
        lines.append(f"\\echo '{words}'")
    return "\n".join(lines)
