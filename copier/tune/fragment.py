"""Settings as a commented postgresql.conf fragment."""

from __future__ import annotations

import textwrap

from copier.tune.machine import Machine, size_text
from copier.tune.settings import DEFAULT_WORKERS, Setting, tune


def fragment(machine: Machine, purpose: str = "serve", origin: str = "") -> str:
    """Return the text of a postgresql.conf fragment; `origin` tells, in one sentence, where the figures come from."""
    settings = tune(machine, purpose)
    parts = [_comment(_head(machine, purpose, origin))]
    parts += [_comment(f"{one.why} ({'restart' if one.restart else 'reload'})") + _line(one) for one in settings]
    parts.append(_comment(_way_back(settings), wrap=False) if purpose == "load" else _comment(_tail(machine)))
    return "\n".join(parts)


def _line(setting: Setting) -> str:
    return f"{setting.name} = {setting.value}\n"


def _comment(text: str, *, wrap: bool = True) -> str:
    paragraphs = text.split("\n")
    lines = [line for one in paragraphs for line in (textwrap.wrap(one, 110) if wrap else [one]) or [""]]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _head(machine: Machine, purpose: str, origin: str) -> str:
    what = {
        "serve": "PostgreSQL 14 to 18, tuned to serve an application",
        "load": "PostgreSQL 14 to 18, for the time of the load; on top of what sqlite2pg tune gives to serve",
    }[purpose]
    figures = (
        f"{size_text(machine.ram_bytes)} of memory, {machine.cpus} CPU{'s' if machine.cpus > 1 else ''}, "
        f"{machine.disk} disk, {machine.connections} connections"
    )
    lines = [f"{what}: {figures}.", origin] if origin else [f"{what}: {figures}."]
    lines.append(
        "Put it into a file in conf.d, or include it at the end of postgresql.conf. (restart) and (reload) say what a "
        "change of the line needs; a reload is SELECT pg_reload_conf()."
    )
    return "\n".join(lines)


def _tail(machine: Machine) -> str:
    if machine.cpus == DEFAULT_WORKERS:
        return (
            "Parallel workers: PostgreSQL's own defaults (8 in all, 2 for a query, 2 for an index build) fit 8 CPUs. "
            "fsync, full_page_writes and synchronous_commit stay on."
        )
    return "fsync, full_page_writes and synchronous_commit stay on: they are what makes a commit last."


def _way_back(settings: tuple[Setting, ...]) -> str:
    """Return how to set and unset these without a file: all of them need a reload only."""
    lines = ["Without a file, as a superuser, in psql:", ""]
    lines += [f"  ALTER SYSTEM SET {one.name} = '{one.value}';" for one in settings]
    lines += [
        "  SELECT pg_reload_conf();",
        "",
        "Back to serving, when the copy is verified: remove the file and reload, or",
        "",
    ]
    lines += [f"  ALTER SYSTEM RESET {one.name};" for one in settings]
    lines += ["  SELECT pg_reload_conf();", "  CHECKPOINT;", ""]
    lines += ["No line here needs a restart. fsync and full_page_writes stay on: a load that a crash leaves unreadable"]
    lines += ["has to be done again. The copier itself commits its chunks with synchronous_commit off, which is safe."]
    return "\n".join(lines)
