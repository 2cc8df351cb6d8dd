"""What a salvage lost, in words: the terminal and the page say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from copier.units import plural

KINDS = {
    "pages": "cannot be read",
    "row": "cannot be read",
    "refused": "refused by the table itself",
    "suspect": "carried, but doubtful",
    "object": "not made",
}
"""Kind of loss -> what it means; see `copier.sqlite.salvage.result.Loss`."""


def amount(loss: Mapping[str, Any]) -> str:
    """Return how much a loss comes to: ` (3 pages, 12 rows of it found)`."""
    parts = [plural(loss["pages"], "page")] if loss["pages"] else []
    if loss["rows"] > 1:
        parts.append(plural(loss["rows"], "row"))
    if loss["found_rows"]:
        parts.append(f"{plural(loss['found_rows'], 'row')} of it found elsewhere and carried")
    return f" ({', '.join(parts)})" if parts else ""


def summary(document: Mapping[str, Any]) -> str:
    """Return what was lost in a few words."""
    counts = document["counts"]
    found = (
        (document["lost_pages"], "page", "lost"),
        (document["unreadable_rows"], "row", "lost"),
        (document["refused_rows"], "row", "refused"),
        (counts.get("suspect", 0), "place", "doubtful"),
        (counts.get("object", 0), "object", "not made"),
    )
    return ", ".join(f"{plural(number, noun)} {what}" for number, noun, what in found if number)
