"""The kernel's digest: the sums of `TableDigest`, of tuples in any pieces, and of rows as they are scanned."""

from __future__ import annotations

import json
import random
import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from fix_engine import Kernel
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from copier.plan.pgtype import PgType, parse_type
from copier.sqlite.library import handle_of
from copier.wire.binary import HEADER, TRAILER, ColumnSpec, RowEncoder
from copier.wire.decode import Fields, TupleReader
from copier.wire.digest import TableDigest
from copier.wire.field import pack_numeric
from copier.wire.hashes import find_hashes

NAMES = ("text", "numeric", "char(9)", "jsonb", "bytea", "bigint")
TYPES = [parse_type(name) for name in NAMES]

NUMERICS = st.builds(
    lambda words, weight, sign, scale: struct.pack(f">HhHH{len(words)}H", len(words), weight, sign, scale, *words),
    st.lists(st.sampled_from([0, 0, 1, 9999]), max_size=5),
    st.integers(-3, 3),
    st.sampled_from([0, 0x4000, 0xC000, 0xD000]),
    st.integers(0, 9),
) | st.decimals(allow_nan=False).map(pack_numeric)
PAYLOADS = {
    "text": st.binary(max_size=300),
    "numeric": NUMERICS,
    "bpchar": st.text(max_size=5).map(lambda v: (v + "  ").encode()),
    "jsonb": st.sampled_from(
        [b'\x01{"b":1, "a":2}', b"\x01[1.50]", b"\x01null", b'\x01{"a": 1, "a": 2}', b'\x01"\\u00e9"', b"\x01[-0]"]
    ),
    "bytea": st.binary(max_size=20),
    "int8": st.binary(min_size=8, max_size=8),
}
ROWS = st.lists(st.tuples(*(st.none() | PAYLOADS[type.wire] for type in TYPES)), max_size=15)
KEYS = st.lists(st.integers(0, len(TYPES) - 1), max_size=3, unique=True)


@pytest.fixture(scope="session")
def hashes(kernel: Kernel) -> tuple[int, int]:
    found = find_hashes()
    if found is None:
        pytest.skip("the xxhash module does not show its functions")
    return found


def tuples(rows: Sequence[Fields], columns: int = len(TYPES)) -> bytes:
    parts = []
    for row in rows:
        parts.append(struct.pack(">h", columns))
        parts += [struct.pack(">i", -1) if v is None else struct.pack(">i", len(v)) + v for v in row]
    return b"".join(parts)


def make(kernel: Kernel, hashes: tuple[int, int], types: Sequence[PgType], key: list[int], buckets: int) -> Any:
    return kernel.module.Digest(hashes, [type.wire for type in types], key, buckets)


def merged(types: Sequence[PgType], key: list[int], buckets: int, digest: Any, handed: list[Fields]) -> TableDigest:
    whole = TableDigest(types, key, buckets)
    whole.merge(*digest.result())
    whole.add(handed)
    return whole


class Raw(str):
    """A JSON value as it is spelled."""


def spelled(document: Any, indent: int | None, ascii_only: bool) -> bytes:
    if isinstance(document, Raw):
        return document.encode()
    if isinstance(document, list) and any(isinstance(item, Raw) for item in document):
        return f"[{' , '.join(document)}]".encode()
    return json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()


FIXTURES = [HealthCheck.function_scoped_fixture]


@settings(max_examples=300, deadline=None, suppress_health_check=FIXTURES)
@given(rows=ROWS, key=KEYS, buckets=st.sampled_from([1, 7, 4096, 65537]), cut=st.integers(1, 60))
@example(rows=[(None,) * len(TYPES)] * 2, key=[0], buckets=7, cut=1)
def test_the_same_sums_as_in_python(
    kernel: Kernel, hashes: tuple[int, int], rows: list[Fields], key: list[int], buckets: int, cut: int
) -> None:
    expected = TableDigest(TYPES, key, buckets)
    expected.add(rows)

    digest = make(kernel, hashes, TYPES, key, buckets)
    handed = digest.add(tuples(rows))
    strange = {b'\x01{"a": 1, "a": 2}', b'\x01"\\u00e9"', b"\x01[-0]"}
    assert all(row[NAMES.index("jsonb")] in strange for row in handed)
    whole = merged(TYPES, key, buckets, digest, handed)
    assert not whole.differing(expected)
    assert whole.rows == expected.rows == len(rows)

    digest = make(kernel, hashes, TYPES, key, buckets)
    stream = HEADER + tuples(rows) + TRAILER
    handed = [row for at in range(0, len(stream), cut) for row in digest.feed(stream[at : at + cut])]
    assert digest.finished
    assert not merged(TYPES, key, buckets, digest, handed).differing(expected)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4) | st.text(
    'ab "\\\n!', max_size=3
)
NUMBERS = (
    st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-1000, 1000, places=3).map(float)
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=12,
)
SPELLINGS = [
    *("1.0", "1.50", "0.50", "0.05", "-0.5", "-1.50", "100.0", "0.00", "-0.0", "-0", "0", "10", "1e2", "1E-2"),
    *("123456789012345678", "1234567890123456789", "12.34567890123456789", "0.000000000000000001"),
    *("[]", "{}", "[[],{}]", "[1.5,2.5,3.5]", "true", "false", "null"),
]


@settings(max_examples=400, deadline=None, suppress_health_check=FIXTURES)
@given(
    document=DOCUMENTS
    | st.sampled_from(SPELLINGS).map(Raw)
    | st.lists(st.sampled_from(SPELLINGS).map(Raw), max_size=4),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_documents_have_the_canonical_form_of_python(
    kernel: Kernel, hashes: tuple[int, int], document: Any, indent: int | None, ascii_only: bool
) -> None:
    """The sums of a document are those of its canonical form, or it is handed back."""
    text = spelled(document, indent, ascii_only)
    types = [parse_type("jsonb")]
    digest = make(kernel, hashes, types, [0], 64)
    if digest.add(tuples([(b"\x01" + text,)], 1)):
        return
    expected = TableDigest(types, [0], 64)
    expected.add([(b"\x01" + text,)])
    assert not merged(types, [0], 64, digest, []).differing(expected)


def test_usual_documents_are_not_handed_back(kernel: Kernel, hashes: tuple[int, int]) -> None:
    usual = [
        b'{"z": 1, "a": [true, null, -5.25, "x\\n\\"y"], "m": {"b": {}, "a": []}}',
        '{"é": "ü", "a!": 0, "a": 0.125, "a\U0001f600": 1}'.encode(),
        b"[" * 20 + b"]" * 20,
    ]
    digest = make(kernel, hashes, [parse_type("jsonb")], [], 64)
    assert digest.add(tuples([(b"\x01" + text,) for text in usual], 1)) == []


def test_broken_documents_do_no_harm(kernel: Kernel, hashes: tuple[int, int]) -> None:
    """The server sends none; whatever comes is handed back or digested, and nothing beyond it is read."""
    rng = random.Random(5)
    sound = b'\x01{"key": [1.50, {"b": "x\\n", "a": -2}, "t"], "other": {"z": null, "y": true}}'
    for _ in range(5000):
        raw = bytearray(sound)
        for _ in range(rng.randint(1, 3)):
            raw[rng.randrange(1, len(raw))] = rng.choice(b'{}[],:"\\ 01.-eE\0')
        raw = raw[: rng.randint(0, len(raw))]
        make(kernel, hashes, [parse_type("jsonb")], [0], 64).add(tuples([(bytes(raw),)], 1))


def test_a_difference_in_one_field_is_in_its_bucket(kernel: Kernel, hashes: tuple[int, int]) -> None:
    types, key = [parse_type("bigint"), parse_type("text")], [0]
    rows: list[Fields] = [(struct.pack(">q", n), b"x") for n in range(1000)]
    ours, theirs = make(kernel, hashes, types, key, 4096), TableDigest(types, key, 4096)
    ours.add(tuples(rows, 2))
    changed: Fields = (rows[500][0], b"y")
    theirs.add([*rows[:500], changed, *rows[501:]])
    assert merged(types, key, 4096, ours, []).differing(theirs) == {theirs.bucket_of(changed)}


def test_numbers_of_any_scale_are_equal(kernel: Kernel, hashes: tuple[int, int]) -> None:
    types = [parse_type("numeric")]
    for one, other in (("1.5", "1.5000"), ("0", "0.000"), ("10000", "1E4"), ("-0.00010", "-0.0001")):
        digests = []
        for text in (one, other):
            digest = make(kernel, hashes, types, [], 16)
            assert digest.add(tuples([(pack_numeric(Decimal(text)),)], 1)) == []
            digests.append(digest.result())
        assert digests[0] == digests[1]


def outcome(feed: Any, stream: bytes, cut: int) -> str:
    try:
        for at in range(0, len(stream), cut):
            feed(stream[at : at + cut])
    except ValueError as error:
        return str(error)
    return ""


def test_malformed_streams_are_refused_as_in_python(kernel: Kernel, hashes: tuple[int, int]) -> None:
    rng = random.Random(11)
    rows: list[Fields] = [(b"abc", b"", None), (b"x" * 50, b"y", b"z")] * 3
    sound = HEADER + tuples(rows, 3) + TRAILER
    types = [parse_type("text")] * 3
    refused = 0
    for _ in range(3000):
        raw = bytearray(sound)
        for _ in range(rng.randint(1, 3)):
            raw[rng.randrange(len(raw))] = rng.choice([0, 1, 2, 3, 127, 128, 254, 255, rng.randrange(256)])
        raw += rng.choice([b"", b"", b"\0"])
        cut = rng.choice([1, 7, 1000])
        digest, reader = make(kernel, hashes, types, [], 16), TupleReader(3)
        expected = outcome(reader.feed, bytes(raw), cut)
        assert outcome(digest.feed, bytes(raw), cut) == expected
        refused += bool(expected)
        if not expected:
            assert digest.finished == reader.finished
    assert 500 < refused < 3000
    with pytest.raises(ValueError, match="not whole tuples"):
        make(kernel, hashes, types, [], 16).add(tuples(rows, 3)[:-1])


def test_what_it_cannot_work_with(kernel: Kernel) -> None:
    with pytest.raises(ValueError, match="hash functions"):
        kernel.module.Digest((0, 0), ["text"], [], 16)
    with pytest.raises(ValueError, match="not among the columns"):
        kernel.module.Digest((1, 1), ["text"], [1], 16)


def test_rows_digested_while_they_are_scanned(kernel: Kernel, hashes: tuple[int, int]) -> None:
    types = [parse_type("bigint"), parse_type("jsonb"), parse_type("numeric")]
    rows = [(n, None if n % 3 else '"\\u00e9"', "x" if n == 50 else n / 4) for n in range(100)]
    specs = [ColumnSpec(type, cast) for type, cast in zip(types, ("int", "json", "numeric"), strict=True)]
    expected = TableDigest(types, [0])
    fields, unfit = RowEncoder(specs).encode_fields(rows)
    expected.add(fields)
    digest = make(kernel, hashes, types, [0], 4096)
    scanner = kernel.scanner([(spec.type, spec.cast) for spec in specs])
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b, c)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        back, read, _, _, last, handed, more = scanner.scan(
            handle_of(db), b"SELECT a, b, c, a FROM t ORDER BY a", (), digest
        )
    assert (read, last, more, [reject.row for reject in unfit]) == (100, (99,), False, [50])
    assert handed == [(50, None, "x", 50)]
    assert len(back) == 34
    assert not merged(types, [0], 4096, digest, back).differing(expected)
