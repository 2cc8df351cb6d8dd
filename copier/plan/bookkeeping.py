"""The tables in which other tools keep which migrations of theirs were applied."""

from __future__ import annotations

from collections.abc import Collection

BOOKKEEPING = {
    "django_migrations": "Django",
    "alembic_version": "Alembic",
    "_prisma_migrations": "Prisma",
    "schema_migrations": "Rails, dbmate or golang-migrate",
    "ar_internal_metadata": "Rails",
    "knex_migrations": "Knex",
    "knex_migrations_lock": "Knex",
    "_sqlx_migrations": "sqlx",
    "goose_db_version": "goose",
    "sequelizemeta": "Sequelize",
    "flyway_schema_history": "Flyway",
    "__efmigrationshistory": "Entity Framework",
    "__diesel_schema_migrations": "Diesel",
    "__drizzle_migrations": "Drizzle",
}
"""Lower-case table name -> whose table of applied migrations it is."""


def exclude_hint(tables: Collection[str]) -> str | None:
    """Return what to do when only such tables hold rows in the target; None when others do, or none does."""
    owners = sorted({BOOKKEEPING.get(name.lower(), "") for name in tables})
    if not owners or "" in owners:
        return None
    return f"{' and '.join(owners)} filled it with the schema: --exclude {','.join(sorted(tables))} leaves it as it is"
