"""What a salvage brought and lost, on the terminal: of the verb `salvage`, and of a run with --salvage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from rich.console import Console

from copier.cli.log import scrub
from copier.cli.render import cell, grid, say
from copier.cli.session import Session
from copier.salvaged import KINDS, amount, summary
from copier.sqlite.salvage.result import SalvageResult
from copier.units import count, plural

_LINES_SHOWN = 20
_ALL = 1_000_000


def show_salvage(result: SalvageResult, session: Session) -> int:
    """Print where the new file is and what is missing in it; 3 when something is."""
    document = scrub(result.document(), session.redact)
    session.record("salvaged", **{key: document[key] for key in ("path", "rows", "lost", "counts", "listing")})
    if session.flags.get("json"):
        session.emit(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    else:
        _render(document, session.out, session.face.verbose)
    return 3 if result.losses else 0


def _render(document: Mapping[str, Any], console: Console, verbose: bool) -> None:
    what = f"{plural(len(document['tables']), 'table')}, {plural(document['rows'], 'row')}"
    ending = f"; {summary(document)}." if document["lost"] else "; nothing was lost."
    say(console, f"Salvaged: {what}{ending}", "bold yellow" if document["lost"] else "bold green")
    render_losses(document, console, _ALL if verbose else _LINES_SHOWN)
    table = grid(console, "", "table", "rows>", "losses>")
    for one in document["tables"]:
        lost = count(one["losses"]) if one["losses"] else "-"
        table.add_row(*map(cell, (one["name"], count(one["rows"]), lost)), style="yellow" if one["losses"] else "")
    console.print()
    console.print(table)
    for what, key in (("file", "path"), ("listing", "listing"), ("sha256", "sha256")):
        say(console, f"{what + ':':<9} {document[key]}")


def render_losses(document: Mapping[str, Any], console: Console, limit: int) -> None:
    """Print what is missing, or doubtful, in a salvaged file."""
    losses = document["losses"]
    if losses:
        table = grid(console, f"What {document['source']} has lost", "table", "where", "what", "why")
        for loss in losses[:limit]:
            what = f"{KINDS.get(loss['kind'], loss['kind'])}{amount(loss)}"
            table.add_row(*map(cell, (loss["table"], loss["where"], what, loss["reason"])))
        console.print()
        console.print(table)
    if document["lost"] > min(limit, len(losses)):
        more = plural(document["lost"] - min(limit, len(losses)), "loss")
        say(console, f"  and {more} more; {document['listing']} lists all of them", "dim")
    for note in document["notes"]:
        say(console, f"! {note}", "yellow")
