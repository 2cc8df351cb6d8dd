"""The command line: verbs; parse, call, print.

`verbs*` have the verbs and `options` their options; `settings_file` reads the values, `run` runs the coroutine of
`migration`, `show` prints what comes back. Importing a `verbs*` module registers its verbs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from copier.cli import verbs, verbs_page, verbs_performance, verbs_rejects, verbs_roles, verbs_salvage, verbs_tune
from copier.cli.app import app

__all__ = [
    "app",
    "main",
    "verbs",
    "verbs_page",
    "verbs_performance",
    "verbs_rejects",
    "verbs_roles",
    "verbs_salvage",
    "verbs_tune",
]


_STOPPED = 130
"""What typer makes of KeyboardInterrupt; no command ends with it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=argv, prog_name="sqlite2pg", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _wrong_usage(error)
    except OSError as error:
        return _unprinted(error)
    except (typer.Abort, KeyboardInterrupt):
        return _stopped()
    if code == _STOPPED:
        return _stopped()
    return code if isinstance(code, int) else 0


def _stopped() -> int:
    """Tell of Ctrl-C before a command began, or behind its end: in between the command itself hears it."""
    from copier.cli.session import tell_usage_error
    from copier.errors import Interrupted

    told = Interrupted("stopped by SIGINT", hint="run the same command again")
    tell_usage_error(told, "sqlite2pg")
    return told.exit_code


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


def _unprinted(error: OSError) -> int:
    """Tell that stdout could not be written; a reader that has left has seen what it wanted."""
    from copier.cli.session import tell_usage_error
    from copier.cli.streams import silence
    from copier.errors import TerminalError

    silence(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return 0
    told = TerminalError(f"the output could not be written: {error.strerror or error}", hint="make room for it")
    tell_usage_error(told, "sqlite2pg")
    return told.exit_code


if __name__ == "__main__":
    sys.exit(main())
