"""Order-independent digest of a table's content: equal sets of rows, equal digests."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import cast as typed

from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from copier.plan.pgtype import PgType
from copier.wire.canonical import canonical

__all__ = ["Fields", "TableDigest", "canonical"]

Fields = tuple[bytes | None, ...]
"""Field payloads of one row, None for NULL."""

_MODULUS = 1 << 128


class TableDigest:
    """Sums of row digests, in buckets chosen by the key, so that a difference narrows to a few keys.

    A row's digest is xxh3_128 over lengths and payloads of its canonical fields; NULL has length -1. Sums, unlike
    exclusive or, do not let a pair of equal rows vanish; the rows of each bucket are counted as well. `key` are indexes
    of the key's fields, empty for the whole row.
    """

    def __init__(self, types: Sequence[PgType], key: Sequence[int] = (), buckets: int = 4096) -> None:
        self.rows = 0
        self._forms = [(i, form) for i, type in enumerate(types) if (form := canonical(type)) is not None]
        self._key = tuple(key)
        self._only_key = self._key[0] if len(self._key) == 1 else None
        self._lengths = struct.Struct(f">{len(types)}i").pack
        self._buckets = buckets
        self._sums = [0] * buckets
        self._counts = [0] * buckets

    def add(self, fields_rows: Iterable[Fields]) -> None:
        """Add rows, in any order."""
        sums, counts, modulus, only_key = self._sums, self._counts, self._buckets, self._only_key
        forms, lengths, added = self._forms, self._lengths, 0
        for row in fields_rows:
            fields = self._canonical(row) if forms else row
            try:
                digest = xxh3_128_intdigest(lengths(*map(len, fields)) + b"".join(fields))  # type: ignore[arg-type]
            except TypeError:  # NULLs
                digest = self._digest_with_nulls(fields)
            key = fields[only_key] if only_key is not None else None
            bucket = xxh3_64_intdigest(key) % modulus if key is not None else self._bucket(fields, digest)
            sums[bucket] += digest
            counts[bucket] += 1
            added += 1
        self.rows += added

    def merge(self, sums: Sequence[int], counts: Sequence[int]) -> None:
        """Add what another digest of the same types, key and buckets has summed up."""
        self._sums = [ours + theirs for ours, theirs in zip(self._sums, sums, strict=True)]
        self._counts = [ours + theirs for ours, theirs in zip(self._counts, counts, strict=True)]
        self.rows += sum(counts)

    def row_digest(self, row: Fields) -> int:
        """Return the digest of one row, 128 bits."""
        return self._digest_with_nulls(self._canonical(row))

    def bucket_of(self, row: Fields) -> int:
        """Return the number of the bucket that `row` belongs to."""
        fields = self._canonical(row)
        key = fields[self._only_key] if self._only_key is not None else None
        if key is not None:
            return xxh3_64_intdigest(key) % self._buckets
        return self._bucket(fields, 0 if self._key else self._digest_with_nulls(fields))

    def differing(self, other: TableDigest) -> frozenset[int]:
        """Return the numbers of the buckets whose rows are not the same; ValueError when the buckets do not match."""
        if self._buckets != other._buckets:
            raise ValueError("digests with different numbers of buckets")
        pairs = zip(self._sums, other._sums, self._counts, other._counts, strict=True)
        return frozenset(
            bucket
            for bucket, (ours, theirs, our_rows, their_rows) in enumerate(pairs)
            if our_rows != their_rows or (ours - theirs) % _MODULUS
        )

    def _canonical(self, row: Fields) -> Fields:
        if not self._forms:
            return row
        fields = list(row)
        for i, form in self._forms:
            payload = fields[i]
            if payload is not None:
                fields[i] = form(payload)
        return tuple(fields)

    def _digest_with_nulls(self, fields: Fields) -> int:
        head = self._lengths(*[-1 if v is None else len(v) for v in fields])
        return xxh3_128_intdigest(head + b"".join([v for v in fields if v is not None]))

    def _bucket(self, fields: Fields, digest: int) -> int:
        if not self._key:
            return digest % self._buckets
        return xxh3_64_intdigest(b"".join([typed(bytes, fields[i]) for i in self._key if fields[i] is not None])) % (
            self._buckets
        )
