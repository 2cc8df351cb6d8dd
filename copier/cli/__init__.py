"""The command line: verbs; parse, call, print.

`verbs*` have the verbs and `options` their options; `settings_file` reads the values, `run` runs the coroutine of
`migration`, `show` prints what comes back. Importing a `verbs*` module registers its verbs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from copier.cli import verbs, verbs_page, verbs_performance, verbs_rejects, verbs_roles, verbs_tune
from copier.cli.app import app

__all__ = ["app", "main", "verbs", "verbs_page", "verbs_performance", "verbs_rejects", "verbs_roles", "verbs_tune"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=argv, prog_name="sqlite2pg", standalone_mode=False)
    except typer.TyperException as error:
        return _wrong_usage(error)
    except (typer.Abort, KeyboardInterrupt):
        return 1
    return code if isinstance(code, int) else 0


def _wrong_usage(error: typer.TyperException) -> int:
    """Tell what is wrong with the words of the command line; they may hold a password, so they are redacted."""
    from copier.cli.session import tell_usage_error
    from copier.errors import UsageError

    if not error.format_message():  # no command at all: the help is on the screen
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "sqlite2pg"
    tell_usage_error(UsageError(error.format_message()), command)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
