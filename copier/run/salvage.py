"""`--salvage`: a source that fails its check is first written into a new file, as far as it can be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from copier.config import Settings
from copier.errors import CopierError, CopyFailed, PreflightError, SourceUnreadable
from copier.report import LOSSES_SHOWN, Report
from copier.run.progress import Progress
from copier.run.session import require_sqlite
from copier.sqlite.backup_sums import is_backup_of
from copier.sqlite.explain import DAMAGED_HINT
from copier.sqlite.health import other_openers
from copier.sqlite.salvage.result import SalvageResult, listing_path, read_listing
from copier.sqlite.salvage.run import salvage
from copier.sqlite.salvage.source import SalvageSource
from copier.units import plural

PHASE = "salvage"


def salvaged_path(settings: Settings) -> Path:
    """Return the name of the new file: beside the backup where one was named, else beside the source."""
    source = require_sqlite(settings)
    name = f"{source.stem}.salvaged.db"
    return settings.backup.with_name(name) if settings.backup is not None else source.with_name(name)


async def salvage_first(settings: Settings, progress: Progress) -> tuple[Settings, SalvageResult | None]:
    """Return the settings of the run, whose source is the new file when the old one is damaged, and what was salvaged.

    A salvage of the same state, which a killed run left, is used again. Raises PreflightError when a file of another
    state is in its place, and what `salvage` raises.
    """
    source, to = require_sqlite(settings), salvaged_path(settings).absolute()
    progress.report.source["path"] = str(source)
    with progress.phase(PHASE):
        async with SalvageSource(source, immutable=settings.immutable) as opened:
            there = to.exists() and await is_backup_of(to, opened.state, named=False)
            problems = [] if there else await opened.problems(deep=settings.deep)
        if there:
            result = read_listing(to)
            progress.say(f"What could be read of this state of {source} is there already: {to}")
        elif not problems:
            progress.say(f"{source} is sound: --salvage changes nothing")
            return settings, None
        else:
            if to.exists():
                raise _other_state(source, to)
            progress.say(f"{source} is damaged: {problems[0]}. What can be read goes into {to}.")
            result = await salvage(source, to, progress.pages, immutable=settings.immutable, problems=problems)
    _tell(result, progress)
    if openers := other_openers(source):
        progress.warn(
            f"{source} is open in {', '.join(openers[:5])}: what is written there from now on is not in {to}, which "
            "is the source of this run"
        )
    # The new file is the copy that a backup would be; the old one stays as it is.
    no_backup = settings.no_backup or settings.backup is None
    return replace(settings, sqlite=to, immutable=False, no_backup=no_backup), result


def _other_state(source: Path, to: Path) -> PreflightError:
    return PreflightError(
        f"{to} is in the way: it was not salvaged from this state of {source}",
        hint=f"move it away together with its .sha256 and {listing_path(to).name}, and run the same command again",
    )


def _tell(result: SalvageResult, progress: Progress) -> None:
    carried = f"{plural(result.rows, 'row')} of {plural(len(result.tables), 'table')}"
    if result.losses:
        progress.warn(
            f"{result.source} is damaged: {carried} were salvaged into {result.path}, which is the source of this run; "
            f"{result.listing} lists what was lost"
        )
    else:
        progress.say(f"{carried} were salvaged into {result.path}, and nothing was lost.")


def describe_salvage(report: Report, result: SalvageResult | None) -> None:
    """Write into the report what was salvaged; `source` then names both files."""
    if result is not None:
        report.source["salvaged_from"] = str(result.source)
        report.salvage = result.document(LOSSES_SHOWN)


async def named_damage(settings: Settings, error: CopyFailed) -> CopierError:
    """Return the error to raise when a backup failed: where the source itself is damaged, that is what to tell."""
    try:
        async with SalvageSource(require_sqlite(settings), immutable=settings.immutable) as opened:
            problems = await opened.problems(deep=settings.deep)
    except CopierError:
        return error
    return SourceUnreadable(f"{opened.path} is damaged: {problems[0]}", hint=DAMAGED_HINT) if problems else error
