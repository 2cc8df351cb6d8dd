"""The verb `roles`: the script of least-privilege roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copier.cli import help as text
from copier.cli import options as opt
from copier.cli.app import Flags, run, verb
from copier.cli.options import _TARGET, _option

if TYPE_CHECKING:
    from copier.cli.session import Session

DATABASE = _option(
    "database", str, "Create this database if it is not there (default: the one psql is connected to).", _TARGET, "NAME"
)
PREFIX = _option("prefix", str, "What the names of the roles begin with (default app).", _TARGET, "NAME")

EPILOG = text.epilog(
    "sqlite2pg roles --print > roles.sql && psql -X -f roles.sql app",
    "sqlite2pg roles --print --prefix shop --schema shop --database shop | psql -X postgres",
    codes=(0, 2),
)


@verb("roles", "Look, and change nothing", EPILOG, opt.SCHEMA, opt.LEDGER_SCHEMA, DATABASE, PREFIX, opt.PRINT,
       *opt.SCREEN)  # fmt: skip
def roles(flags: Flags) -> None:
    """Print a script of roles with no more rights than they need.

    For psql, by a superuser or a role with CREATEROLE that owns the database:
    PREFIX_migrator owns the schema and is no superuser (run the move as it),
    PREFIX_user is the application, without DDL, PREFIX_analytics reads,
    PREFIX_backup reads what pg_dump needs. The script can be run again at any
    time; passwords are not in it, and it says how to set them. Nothing is
    connected to and nothing changed.
    """
    from copier.cli.show import show_script
    from copier.plan.roles import Roles, roles_script

    async def work(session: Session) -> str:
        settings = session.settings
        prefix = "app" if flags["prefix"] is None else flags["prefix"]
        return roles_script(Roles(settings.schema, settings.ledger_schema, flags["database"], prefix))

    run("roles", flags, work, show_script, sqlite=False, postgres="no")
