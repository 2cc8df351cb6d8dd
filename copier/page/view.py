"""What both kinds of page are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from copier.units import count

T = TypeVar("T")
Tone = Literal["ok", "warn", "bad"]
Pairs = list[tuple[str, str]]

TEXT_CHARS = 500
SQL_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened, in a headline, what it means, and why."""

    tone: Tone
    headline: str
    sentences: Sequence[str]
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """One large figure below the verdict."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """The first of a list, and a word about the rest."""

    shown: Sequence[T] = ()
    told: str = ""


def first(items: Sequence[T], most: int, total: int | None = None) -> Listed[T]:
    """Return the first `most` of `items`; `total` is how many there are where the document itself has not all."""
    total = max(total or 0, len(items))
    shown = items[:most]
    return Listed(shown, f"the first {count(len(shown))} of {count(total)}" if len(shown) < total else count(total))


def cut(text: str, most: int = TEXT_CHARS) -> str:
    """Return `text`, cut with a word about how much is missing."""
    return text if len(text) <= most else f"{text[:most]} … ({count(len(text) - most)} more characters)"
