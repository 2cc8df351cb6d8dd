"""PostgreSQL's binary COPY format: header, tuples, trailer (PostgreSQL docs, COPY, "Binary Format")."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress, repeat

from copier.plan.source import Value
from copier.wire.cast import MAX_FIELD_BYTES, CastError
from copier.wire.columns import MISSES, FastColumn, fast_column
from copier.wire.field import NULL, ColumnSpec, FieldEncoder, encode_field

__all__ = [
    "HEADER",
    "NULL",
    "SIGNATURE",
    "TRAILER",
    "ColumnSpec",
    "EncodedPage",
    "FieldEncoder",
    "RowEncoder",
    "RowReject",
    "encode_field",
]

SIGNATURE = b"PGCOPY\n\xff\r\n\x00"
HEADER = SIGNATURE + bytes(8)
"""Signature, no flags, no header extension."""
TRAILER = b"\xff\xff"

_LENGTHS = tuple(n.to_bytes(4) for n in range(4096))
"""Length words of short fields: a lookup takes half the time of packing."""
_pack_length = struct.Struct(">i").pack

Row = Sequence[Value]


@dataclass(frozen=True, slots=True)
class RowReject:
    """A row left out: its index in the page, the first column that refused, and why. `fatal`: the policy is `fail`."""

    row: int
    column: int
    reason: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class EncodedPage:
    """The tuples of a page, without header and trailer.

    `rows` counts the tuples in `payload`; `adjusted` maps a column's index to how many of their values its policy
    changed.
    """

    rows: int
    payload: bytes
    rejects: tuple[RowReject, ...] = ()
    adjusted: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Column:
    """One encoded column: length words (one for all, or one each) and payloads, b"" where NULL or refused."""

    lengths: bytes | list[bytes]
    payloads: Sequence[bytes]
    refused: Mapping[int, str]
    adjusted: Sequence[int] = ()


class RowEncoder:
    """Encodes pages of rows, a column at a time.

    Each column takes a fast path that knows clean values only; when a value is not clean, its column goes the
    reference path (`FieldEncoder`) for that page.
    """

    def __init__(self, specs: Sequence[ColumnSpec]) -> None:
        self._fields = [FieldEncoder(spec) for spec in specs]
        self._fast = [fast_column(spec, field) for spec, field in zip(specs, self._fields, strict=True)]
        self._nullable = [False] * len(specs)
        """Columns that had a NULL before: looking for NULLs first is then quicker than a failed attempt."""
        self._head = struct.pack(">h", len(specs))

    def encode(self, rows: Sequence[Row]) -> EncodedPage:
        """Return the tuples of `rows`; values after the encoder's columns are ignored."""
        columns = self._columns(rows)
        refused = self._refused(columns)
        payload = self._join(columns, len(rows), refused)
        if len(payload) > MAX_FIELD_BYTES and self._refuse_long_rows(columns, len(rows), refused):
            payload = self._join(columns, len(rows), refused)
        return EncodedPage(
            rows=len(rows) - len(refused),
            payload=payload,
            rejects=tuple(refused[row] for row in sorted(refused)),
            adjusted=_count_adjusted(columns, refused),
        )

    def encode_fields(self, rows: Sequence[Row]) -> tuple[list[tuple[bytes | None, ...]], tuple[RowReject, ...]]:
        """Return the payloads of each row (None for NULL), refused rows left out, and what was refused."""
        columns = self._columns(rows)
        refused = self._refused(columns)
        fields: Iterable[tuple[bytes | None, ...]]
        fields = zip(*map(_with_nulls, columns), strict=True) if columns else repeat((), len(rows))
        if refused:
            fields = compress(fields, (row not in refused for row in range(len(rows))))
        return list(fields), tuple(refused[row] for row in sorted(refused))

    def _columns(self, rows: Sequence[Row]) -> list[_Column]:
        if not rows:
            return [_Column(NULL, (), {}) for _ in self._fields]
        values = list(zip(*rows, strict=True))[: len(self._fields)]
        if len(values) < len(self._fields):
            raise ValueError(f"rows of {len(values)} values for {len(self._fields)} columns")
        return [self._column(index, column) for index, column in enumerate(values)]

    def _column(self, index: int, column: tuple[Value, ...]) -> _Column:
        fast = self._fast[index]
        try:
            if not self._nullable[index]:
                return _fast(fast, column)
        except MISSES:
            pass
        if None in column:
            self._nullable[index] = True
        elif not self._nullable[index]:
            return _reference(self._fields[index], column)
        try:
            return _fast_nullable(fast, column)
        except MISSES:
            return _reference(self._fields[index], column)

    def _refused(self, columns: list[_Column]) -> dict[int, RowReject]:
        refused: dict[int, RowReject] = {}
        for index, column in enumerate(columns):
            for row, reason in column.refused.items():
                if row not in refused:
                    refused[row] = RowReject(row, index, reason, self._fields[index].fatal)
        return refused

    def _join(self, columns: list[_Column], count: int, refused: Mapping[int, RowReject]) -> bytes:
        if not columns:
            return self._head * count
        pieces: list[Iterable[bytes]] = [repeat(self._head, count)]
        if isinstance(columns[0].lengths, bytes):
            pieces = [repeat(self._head + columns[0].lengths, count)]
        else:
            pieces.append(columns[0].lengths)
        pieces.append(columns[0].payloads)
        for column in columns[1:]:
            lengths = column.lengths
            pieces.append(repeat(lengths, count) if isinstance(lengths, bytes) else lengths)
            pieces.append(column.payloads)
        tuples: Iterable[tuple[bytes, ...]] = zip(*pieces, strict=True)
        if refused:
            tuples = compress(tuples, (row not in refused for row in range(count)))
        return b"".join(chain.from_iterable(tuples))

    def _refuse_long_rows(self, columns: list[_Column], count: int, refused: dict[int, RowReject]) -> bool:
        """Refuse the rows that PostgreSQL could not hold as one tuple, naming their longest column."""
        before = len(refused)
        for row in range(count):
            sizes = [len(column.payloads[row]) for column in columns]
            if row not in refused and sum(sizes) > MAX_FIELD_BYTES:
                index = sizes.index(max(sizes))
                reason = f"row longer than {MAX_FIELD_BYTES} bytes, the most PostgreSQL can hold in a row"
                refused[row] = RowReject(row, index, reason, self._fields[index].fatal)
        return len(refused) > before


def _fast(fast: FastColumn, column: Sequence[Value]) -> _Column:
    payloads = fast(column)
    return _Column(_length_words(payloads), payloads, {})


def _length_words(payloads: Sequence[bytes]) -> list[bytes]:
    try:
        return list(map(_LENGTHS.__getitem__, map(len, payloads)))
    except IndexError:
        return list(map(_pack_length, map(len, payloads)))


def _fast_nullable(fast: FastColumn, column: Sequence[Value]) -> _Column:
    filled = [v for v in column if v is not None]
    if not filled:
        return _Column(NULL, [b""] * len(column), {})
    done = fast(filled)
    if len(filled) == len(column):
        return _Column(_length_words(done), done, {})
    lengths, payloads = iter(_length_words(done)), iter(done)
    return _Column(
        [NULL if v is None else next(lengths) for v in column],
        [b"" if v is None else next(payloads) for v in column],
        {},
    )


def _reference(field: FieldEncoder, column: Sequence[Value]) -> _Column:
    lengths: list[bytes] = []
    payloads: list[bytes] = []
    refused: dict[int, str] = {}
    adjusted: list[int] = []
    for row, value in enumerate(column):
        try:
            payload, changed = field.encode(value)
        except CastError as error:
            refused[row] = str(error)
            payload, changed = None, False
        lengths.append(NULL if payload is None else _pack_length(len(payload)))
        payloads.append(payload or b"")
        if changed:
            adjusted.append(row)
    return _Column(lengths, payloads, refused, adjusted)


def _with_nulls(column: _Column) -> Sequence[bytes | None]:
    if isinstance(column.lengths, bytes):
        return [None] * len(column.payloads) if column.lengths == NULL else column.payloads
    return [None if n == NULL else v for n, v in zip(column.lengths, column.payloads, strict=True)]


def _count_adjusted(columns: list[_Column], refused: Mapping[int, RowReject]) -> dict[int, int]:
    counts = Counter(index for index, column in enumerate(columns) for row in column.adjusted if row not in refused)
    return dict(counts)
