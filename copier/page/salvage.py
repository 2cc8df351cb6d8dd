"""What a damaged source has lost, on the page of the run that went on without it."""

from __future__ import annotations

from dataclasses import dataclass, field

from copier.page.view import Listed, cut, first
from copier.report import Report
from copier.salvaged import KINDS, amount, summary
from copier.units import plural

_LISTED = 100


@dataclass(frozen=True, slots=True)
class LossRow:
    """One loss, as it is read."""

    table: str
    where: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class SalvageView:
    """The section; nothing of it is shown where nothing was salvaged."""

    told: str = ""
    listing: str = ""
    losses: Listed[LossRow] = field(default_factory=Listed)
    problems: Listed[str] = field(default_factory=Listed)
    notes: Listed[str] = field(default_factory=Listed)


def salvage_view(report: Report) -> SalvageView:
    """Return what the page says of a salvage."""
    found = report.salvage
    if found is None:
        return SalvageView()
    rows = [
        LossRow(
            cut(loss["table"], 200),
            cut(loss["where"]),
            f"{KINDS.get(loss['kind'], cut(loss['kind'], 60))}{amount(loss)}",
            cut(loss["reason"]),
        )
        for loss in found["losses"][:_LISTED]
    ]
    lost = f"It has lost: {summary(found)}." if found["lost"] else "Nothing was lost."
    return SalvageView(
        told=f"{cut(found['source'])} is damaged. What could be read was written into {cut(found['path'])}, and that "
        f"was moved. {lost}",
        listing=cut(found["listing"]),
        losses=first(rows, _LISTED, found["lost"]) if rows else Listed(),
        problems=Listed([cut(line) for line in found["problems"][:_LISTED]], plural(len(found["problems"]), "line")),
        notes=first([cut(note) for note in found["notes"]], _LISTED),
    )
