"""The verb `tune`: its options, and its man page."""

from __future__ import annotations

import sys
from inspect import Parameter
from typing import Annotated

import typer

from copier.cli.app import Flags, verb
from copier.cli.streams import silence

_PANEL = "The server"


def _option(name: str, flag: str, help_text: str, metavar: str) -> Parameter:
    info = typer.Option(flag, help=help_text, rich_help_panel=_PANEL, metavar=metavar, show_default=False)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, info])


_RAM = _option("ram", "--ram", "Its memory: 32GB, 512MB (default: what this machine has).", "SIZE")
_CPUS = _option("cpus", "--cpus", "Its CPUs (default: what this machine has).", "N")
_DISK = _option("disk", "--disk", "What the data lies on (default ssd).", "ssd|nvme|hdd")
_CONNECTIONS = _option("connections", "--connections", "Sessions at once, max_connections (default 200).", "N")
_FOR = _option(
    "purpose",
    "--for",
    "serve (default): the whole tuned server. load: what to change for the time of the copy, and how to put it back.",
    "serve|load",
)

_EPILOG = """\
Exit codes
  0  printed
  2  an option is wrong

Examples
  sqlite2pg tune --ram 32GB --cpus 8 --disk ssd > 90-tuned.conf
  sqlite2pg tune --ram 32GB --cpus 8 --for load > 95-load.conf"""


@verb("tune", "Look, and change nothing", _EPILOG, _RAM, _CPUS, _DISK, _CONNECTIONS, _FOR)
def tune(flags: Flags) -> None:
    """Print postgresql.conf settings that fit a server, each with its reason.

    For PostgreSQL 14 to 18. Says of each line whether a change needs a restart
    or a reload. With --for load: the few settings that make the copy and its
    index builds faster, as a file or as ALTER SYSTEM, and the statements that
    undo them. Connects to nothing and changes nothing; safety (fsync,
    full_page_writes) is never traded for speed.
    """
    from copier.cli.session import tell_usage_error
    from copier.errors import UsageError

    try:
        _print(_fragment(flags))
    except UsageError as error:
        tell_usage_error(error, "sqlite2pg tune")
        raise typer.Exit(error.exit_code) from None


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; nothing is left to be flushed at exit
        silence(sys.stdout)


def _fragment(flags: Flags) -> str:
    from copier.tune.fragment import fragment
    from copier.tune.here import cpu_count, memory_bytes
    from copier.tune.machine import machine

    asked = {name: flags[name] for name in ("ram", "cpus", "disk", "connections")}
    found = {name: str(look()) for name, look in (("ram", memory_bytes), ("cpus", cpu_count)) if asked[name] is None}
    told = {"ram": "The memory", "cpus": "The CPUs"}
    origin = " ".join(f"{told[name]}: as on this machine." for name in found)
    given = {name: text for name, text in asked.items() if text is not None}
    server = machine(**{"disk": "ssd", "connections": "200", **found, **given})
    return fragment(server, "serve" if flags["purpose"] is None else flags["purpose"], origin)
