"""Verbs that need neither a source nor a server: they read files that earlier commands wrote.

They take no settings: SQLITE2PG_REPORT and its like name what other commands write, and must not be overwritten here.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer


def argument(name: str, text: str, metavar: str) -> Parameter:
    """Return a file that must be given, as a parameter of a verb."""
    info = typer.Argument(help=text, metavar=metavar, show_default=False)
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[Path, info])


def option(name: str, kind: Any, text: str, metavar: str | None = None, short: str | None = None) -> Parameter:
    """Return an option of a verb; None where it is not given."""
    flags = ["--" + name.replace("_", "-"), *([short] if short else [])]
    info = typer.Option(*flags, help=text, metavar=metavar or " ", show_default=False)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info])


def run_plain(name: str, body: Callable[[], int], *, debug: bool = False) -> NoReturn:
    """End the command `name` with the exit code of `body`; a CopierError becomes its sentence, hint and code."""
    from copier.cli.session import tell_usage_error
    from copier.errors import CopierError, broken_system

    try:
        code = body()
    except CopierError as error:
        tell_usage_error(error, f"sqlite2pg {name}", debug=debug)
        code = error.exit_code
    except Exception as error:
        if debug:
            traceback.print_exc()
        told = broken_system(error) or CopierError(
            f"{type(error).__name__}: {error}", hint="this is a defect of sqlite2pg: --debug shows where"
        )
        tell_usage_error(told, f"sqlite2pg {name}")
        code = 1
    sys.stdout.flush()
    raise typer.Exit(code)
