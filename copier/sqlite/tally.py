"""Counting what one column holds, a page of values at a time.

Everything is done for whole pages with built-ins that loop in C; single values are looked at only where a page is
mixed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from copier.plan.source import ColumnProfile, SourceColumn
from copier.plan.types.declared import read_declared
from copier.sqlite.form_counter import FormCounter
from copier.wire.cast import BrokenText, CastError, to_numeric

_NUMBER_BYTES = 8


class ColumnCounter:
    """What one column holds, so far."""

    def __init__(self, column: SourceColumn) -> None:
        family = read_declared(column.declared).family
        # A REAL column becomes double precision whatever its digits; counting them would cost a repr() per value.
        self.counts_digits = family != "real"
        self.counts_text_digits = family not in ("real", "text")
        self.bytes = 0
        self.forms = FormCounter()
        self._counts: Counter[str] = Counter()
        self._least: dict[str, Any] = {}
        self._most: dict[str, Any] = {}
        self._int_digits = 0
        self._scale = 0

    def add(self, values: Sequence[Any]) -> None:
        """Count values of one block: of rows between two calls of `end_block`."""
        kinds = set(map(type, values))
        if len(kinds) == 1:
            self._add_kind(kinds.pop(), values)
            return
        for kind in kinds:
            self._add_kind(kind, [value for value in values if type(value) is kind])

    def _add_kind(self, kind: type, values: Sequence[Any]) -> None:
        if kind is str:
            self._add_texts(values)
        elif kind is int:
            self._add_integers(values)
        elif kind is float:
            self._add_reals(values)
        elif kind is BrokenText:
            self._add_broken(values)
        elif kind is bytes:
            self._add_blobs(values)
        else:
            self._counts["nulls"] += len(values)

    def _range(self, what: str, least: Any, most: Any) -> None:
        self._least[what] = min(least, self._least.get(what, least))
        self._most[what] = max(most, self._most.get(what, most))

    def _add_integers(self, values: Sequence[int]) -> None:
        self._counts["integers"] += len(values)
        self._range("integer", min(values), max(values))
        self.bytes += _NUMBER_BYTES * len(values)
        self.forms.add("integer", values)

    def _add_reals(self, values: Sequence[float]) -> None:
        self._counts["reals"] += len(values)
        self.bytes += _NUMBER_BYTES * len(values)
        self.forms.add("real", values)
        finite = values if all(map(math.isfinite, values)) else list(filter(math.isfinite, values))
        self._counts["reals_infinite"] += len(values) - len(finite)
        if not finite:
            return
        self._range("real", min(finite), max(finite))
        self._counts["reals_integral"] += sum(map(float.is_integer, finite))
        if self.counts_digits:
            self._scale = max(self._scale, max(map(scale_of, map(repr, finite))))

    def _add_texts(self, values: Sequence[str]) -> None:
        joined = "".join(values)
        most_chars = max(map(len, values))
        if joined.isascii():
            size, most_bytes = len(joined), most_chars
        else:
            sizes = [len(value.encode()) for value in values]
            size, most_bytes = sum(sizes), max(sizes)
        self._counts["texts"] += len(values)
        self._counts["empty"] += values.count("")
        if "\0" in joined:
            self._counts["nul"] += sum("\0" in value for value in values)
        self._range("chars", 0, most_chars)
        self._range("text bytes", 0, most_bytes)
        self.bytes += size
        self.forms.add("text", values)
        if self.counts_text_digits and self.forms.alive("num_text"):
            self._add_digits(values)

    def _add_digits(self, texts: Sequence[str]) -> None:
        for text in texts:
            scale, digits = text_digits(text)
            self._scale = max(self._scale, scale)
            self._int_digits = max(self._int_digits, digits)

    def _add_broken(self, values: Sequence[bytes]) -> None:
        sizes = list(map(len, values))
        self._counts["texts"] += len(values)
        self._counts["broken"] += len(values)
        self._range("text bytes", 0, max(sizes))
        self.bytes += sum(sizes)
        self.forms.add("broken", values)

    def _add_blobs(self, values: Sequence[bytes]) -> None:
        sizes = list(map(len, values))
        self._counts["blobs"] += len(values)
        self._range("blob", min(sizes), max(sizes))
        self.bytes += sum(sizes)
        self.forms.add("blob", values)

    def end_block(self) -> None:
        """Say that BLOCK_ROWS rows were counted since the last time, or that there are no more."""
        self.forms.end_block()

    def profile(self) -> ColumnProfile:
        """Return everything counted so far."""
        counted = self._counts
        ends = [self._least.get("integer"), self._most.get("integer")]
        if self.counts_digits:
            ends += [self._least.get("real"), self._most.get("real")]
        return ColumnProfile(
            nulls=counted["nulls"],
            integers=counted["integers"],
            reals=counted["reals"],
            texts=counted["texts"],
            blobs=counted["blobs"],
            reals_integral=counted["reals_integral"],
            reals_infinite=counted["reals_infinite"],
            empty=counted["empty"],
            nul=counted["nul"],
            broken=counted["broken"],
            int_min=self._least.get("integer"),
            int_max=self._most.get("integer"),
            real_min=self._least.get("real"),
            real_max=self._most.get("real"),
            text_max_chars=self._most.get("chars", 0),
            text_max_bytes=self._most.get("text bytes", 0),
            blob_min_bytes=self._least.get("blob"),
            blob_max_bytes=self._most.get("blob", 0),
            fits=self.forms.fits(),
            int_digits=max(self._int_digits, most_int_digits(ends)),
            scale=self._scale,
            examples=self.forms.examples(),
        )


def most_int_digits(ends: Iterable[float | None]) -> int:
    """Return the digits before the point of the number furthest from 0; `ends` of ranges, None for an empty one."""
    return max((int_digits(Decimal(repr(end))) for end in ends if end is not None), default=0)


def text_digits(text: str) -> tuple[int, int]:
    """Return the digits after and before the point of a text's number, 0 where it is none."""
    try:
        number = to_numeric(text)
    except CastError:
        return 0, 0
    return scale_of(str(number)), int_digits(number)


def int_digits(number: Decimal) -> int:
    """Return the digits before the point; 0 for 0 and infinities."""
    return max(0, number.adjusted() + 1) if number and number.is_finite() else 0


def scale_of(number: str) -> int:
    """Return the digits after the point of a finite number's text; trailing zeros are not counted."""
    if "e" in number or "E" in number:
        exponent = Decimal(number).normalize().as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else 0
    return len(number.partition(".")[2].rstrip("0"))
