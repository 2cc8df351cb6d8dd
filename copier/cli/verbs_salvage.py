"""The verb `salvage`: a damaged SQLite file, as far as it can be read, in a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from copier.cli import help as text
from copier.cli import options as opt
from copier.cli.app import Flags, run, verb
from copier.cli.options import _TARGET, _option

if TYPE_CHECKING:
    from copier.cli.session import Session
    from copier.migration import SalvageResult

TO = _option("to", Path, "The new file; its sha256 and the listing of what was lost go beside it.", _TARGET, "FILE")

EPILOG = text.epilog(
    "sqlite2pg salvage --sqlite damaged.db --to sound.db",
    "sqlite2pg salvage --sqlite damaged.db --to sound.db --json | jq .losses",
    "sqlite2pg full --sqlite damaged.db --salvage --postgres postgresql://app@db.example/app",
    codes=(0, 1, 2, 3, 5),
    note=text.PROGRESS_NOTE,
)


@verb("salvage", "Look, and change nothing", EPILOG, opt.SQLITE, opt.IMMUTABLE, TO, opt.AS_JSON, *opt.SCREEN)
def salvage(flags: Flags) -> None:
    """Write what can be read of a damaged SQLite file into a new, sound one.

    Every row that is still to be found keeps its rowid; tables, indexes, views
    and triggers are made by their own text. What is lost is listed: ranges of
    keys, single rows, rows that the table's own constraints refuse, indexes that
    cannot be built, and rows that were carried but are doubtful. The whole list
    goes into a JSON file beside the new one. The damaged file is only read, and
    stays as it is. Ends with 3 when something was lost, with 0 when nothing was:
    also for a sound file, and where only indexes or free pages are damaged.
    """
    from copier.cli.render_salvage import show_salvage
    from copier.errors import UsageError

    async def work(session: Session) -> SalvageResult:
        from copier import migration

        source, to = session.settings.sqlite, flags["to"]
        if source is None or to is None:
            raise UsageError("no place for the new file is given", hint="use --to FILE")
        return await migration.salvage(source, to, session.listen, immutable=session.settings.immutable)

    run("salvage", flags, work, show_salvage, postgres="no", stopped="nothing was written: run the same command again")
