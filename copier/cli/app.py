"""The typer application, and how a verb becomes a command of it.

Nothing heavy is imported before a command runs, so that --help is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from copier.cli import help as text

if TYPE_CHECKING:
    from copier.cli.session import Session
    from copier.report import Report

T = TypeVar("T")
Flags = dict[str, Any]

app = typer.Typer(
    name="sqlite2pg",
    help=text.APP,
    epilog=text.APP_EPILOG,
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from copier.cli.session import version_text

        sys.stdout.write(f"sqlite2pg {version_text()}\n")
        raise typer.Exit


_VERSION = typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_print_version)


@app.callback()
def _root(version: Annotated[bool, _VERSION] = False) -> None: ...


def verb(name: str, panel: str, epilog: str, *options: Parameter) -> Callable[[Callable[[Flags], None]], Any]:
    """Register a function as the command `name`: it gets the values of `options` as one dict."""

    def register(body: Callable[[Flags], None]) -> Callable[[Flags], None]:
        def command(**flags: Any) -> None:
            body(flags)

        command.__doc__ = body.__doc__
        command.__signature__ = Signature(list(options))  # type: ignore[attr-defined]
        command.__annotations__ = {o.name: o.annotation for o in options}
        app.command(name, epilog=epilog, rich_help_panel=panel)(command)
        return body

    return register


def run(
    name: str,
    flags: Flags,
    work: Callable[[Session], Coroutine[Any, Any, T]],
    show: Callable[[T, Session], int],
    **needs: Any,
) -> NoReturn:
    """Run `work` as the command `name` and end the process; `needs` are fields of `cli_session.Command`."""
    from copier.cli.run import execute
    from copier.cli.session import Command

    execute(Command(name, **needs), flags, work, show)


def run_report(
    name: str, flags: Flags, work: Callable[[Session], Coroutine[Any, Any, Report]], **needs: Any
) -> NoReturn:
    """Do what `run` does for work that ends in a Report."""
    from copier.cli.show import show_report

    run(name, flags, work, show_report, **needs)
