"""How the forms of a column stand: counted value by value, given up when too many values have them not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from copier.plan.source import Value
from copier.sqlite.forms import FORMS, Form, Kind
from copier.wire.keys import show_value

PATIENCE = 200
"""Values that may refute a form, whatever their share, before it is given up: the dirt of a table's first rows."""

TOLERANCE = 0.05
"""Share of the values seen that may refute a form before it is given up."""

BLOCK_ROWS = 1000
"""Whether a form is given up is asked after so many rows of the table, and at its end: never where a page happens to
end, so that every way of reading gives the same profile."""

EXAMPLE_CHARS = 60

_KINDS: tuple[Kind, ...] = ("text", "integer", "real", "blob", "broken")
"""The order in which a value that has not the form is chosen as the example."""


@dataclass(slots=True)
class Tally:
    """How a hypothesis stands."""

    fitted: int = 0
    refuted: int = 0
    misfits: dict[Kind, str] = field(default_factory=dict)
    """The first value of each storage class that has not the form, as `shown` writes it."""

    def example(self) -> str:
        """Return a value that has not the form; '' when every value has it."""
        return next((self.misfits[kind] for kind in _KINDS if kind in self.misfits), "")


def is_hopeless(refuted: int, seen: int) -> bool:
    """Whether a form is to be given up that `refuted` of the `seen` values have not."""
    return refuted > max(PATIENCE, seen * TOLERANCE)


def examples(tallies: Mapping[str, Tally], empty: int) -> dict[str, str]:
    """Return, for each form that most but not all values have, one value that has it not."""
    return {name: tally.example() for name, tally in tallies.items() if tally.fitted > tally.refuted + empty > 0}


class FormCounter:
    """The forms of one column, counted value by value."""

    def __init__(self) -> None:
        self._alive = {form.name: Tally() for form in FORMS}
        self._seen = 0
        self._seen_before = 0
        self._empty = 0

    def add(self, kind: Kind, values: Sequence[Any]) -> None:
        """Count more values of one block, all of one storage class and none NULL.

        '' fits no form, but refutes none either: many columns hold it for an absent date, number or document.
        """
        if not self._alive:
            return
        if kind == "text" and "" in values:
            filled = [value for value in values if value]
            self._empty += len(values) - len(filled)
            values = filled
        if not values:
            return
        self._seen += len(values)
        certain: set[str] = set()
        for form in FORMS:
            tally = self._alive.get(form.name)
            if tally is not None:
                _count(form, tally, kind, values, self._seen_before + BLOCK_ROWS, certain)

    def end_block(self) -> None:
        """Give up what too many values refuted; to be called after every BLOCK_ROWS rows, and at the end."""
        self._alive = {name: t for name, t in self._alive.items() if not is_hopeless(t.refuted, self._seen)}
        self._seen_before = self._seen

    def alive(self, name: str) -> bool:
        """Whether the form was not given up."""
        return name in self._alive

    def fits(self) -> dict[str, int]:
        """Return, for each form not given up, how many values have it."""
        return {name: tally.fitted for name, tally in self._alive.items()}

    def examples(self) -> dict[str, str]:
        """Return, for each form that most but not all values have, one value that has it not."""
        return examples(self._alive, self._empty)


def _count(form: Form, tally: Tally, kind: Kind, values: Sequence[Any], most_seen: int, certain: set[str]) -> None:
    """Count `values` for one form; `certain` collects the wider forms that need no test of their own."""
    if kind not in form.kinds:
        tally.refuted += len(values)
        if kind not in tally.misfits:
            tally.misfits[kind] = shown(values[0])
    elif form.name in certain or form.all_fit(values):
        tally.fitted += len(values)
        certain.add(form.implies)
    else:
        _count_each(form, tally, kind, values, most_seen)


def _count_each(form: Form, tally: Tally, kind: Kind, values: Sequence[Any], most_seen: int) -> None:
    """Count each distinct value; stop once the form is hopeless even if the block has `most_seen` values at its end."""
    fits = form.fits
    for value, times in Counter(values).items():
        if fits(value):
            tally.fitted += times
            continue
        tally.refuted += times
        if kind not in tally.misfits:
            tally.misfits[kind] = shown(value)
        if is_hopeless(tally.refuted, most_seen):
            return


def shown(value: Value) -> str:
    """Return a value printable and shortened; text without quotes."""
    if not isinstance(value, str):
        text = show_value(value, EXAMPLE_CHARS - 10)
    else:
        text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value[: EXAMPLE_CHARS + 1])
    return text if len(text) <= EXAMPLE_CHARS else text[: EXAMPLE_CHARS - 3] + "..."
