"""Moves a SQLite database into PostgreSQL and proves that every value arrived.

    from copier import Settings, migrate

    report = await migrate(Settings(sqlite=Path("app.db"), postgres="postgresql://.."))

The verbs of the command line as coroutines: `inspect`, `validate`, `backup`, `salvage`, `schema`, `data`, `migrate`
(the command's `full`), `verify` (its `check`), `status`, `rollback`, `retry_rejects`, and `list_rejects`, a generator.
They take `Settings`, or paths, most a listener for typed events, print nothing, and raise `CopierError`. Importing this
package loads none of the machinery until a verb is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from copier.config import Settings
    from copier.errors import CopierError
    from copier.events import Event, Listener
    from copier.migration import (
        backup,
        data,
        inspect,
        list_rejects,
        retry_rejects,
        rollback,
        salvage,
        schema,
        status,
        validate,
    )
    from copier.migration import check as verify
    from copier.migration import full as migrate
    from copier.report import Report

__all__ = [
    "CopierError",
    "Event",
    "Listener",
    "Report",
    "Settings",
    "backup",
    "data",
    "inspect",
    "list_rejects",
    "migrate",
    "retry_rejects",
    "rollback",
    "salvage",
    "schema",
    "status",
    "validate",
    "verify",
]

_HOMES = {
    "CopierError": "copier.errors",
    "Event": "copier.events",
    "Listener": "copier.events",
    "Report": "copier.report",
    "Settings": "copier.config",
}
_OTHER_NAMES = {"migrate": "full", "verify": "check"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "copier.migration")), _OTHER_NAMES.get(name, name))
