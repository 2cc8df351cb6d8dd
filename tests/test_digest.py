"""The digest of a table's content: what it ignores, and that it ignores nothing else."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copier.plan.pgtype import PgType, parse_type
from copier.wire.binary import ColumnSpec, FieldEncoder
from copier.wire.digest import Fields, TableDigest, canonical

JSONB, NUMERIC, TEXT = PgType("jsonb"), PgType("numeric"), PgType("text")

SAME_JSON = [
    ('{"b": 1, "a": [1, 2]}', '{"a":[1,2],"b":1}'),
    ("1.0", "1.00"),
    ("1.0", "1e0"),
    ("1", "10E-1"),
    ("100", "1e2"),
    ("0", "-0.0"),
    ("1e400", "1" + "0" * 400),
    ("0.1", "0.10"),
    ("123456789012345678901234567890", "1.2345678901234567890123456789e29"),
    ("999999999999999999", "999999999999999999.0"),
    ("1000000000000000000", "1e18"),
    ('"\\u00e9\\/"', '"é/"'),
    ('{"a": 1, "a": 2}', '{"a": 2}'),
    ('{"a": 1, "\\u0061": 2.50}', '{"a": 2.5}'),
    ("[true, false, null]", "[true,false,null]"),
    ('["1.50", 1.5]', '["1.50",1.50]'),
]
OTHER_JSON = [
    ("1", "1.0000000000000000000000001"),
    ("0.1", "0.1000000000000000055511151231257827021181583404541015625"),
    ("12345678901234567890", "12345678901234567891"),
    ("9007199254740993", "9007199254740992"),
    ("1e400", "1e401"),
    ("1", '"1"'),
    ("1e400", '"1E400"'),
    ("[1, 2]", "[2, 1]"),
    ("null", '"null"'),
    ('"1.50"', '"1.5"'),
    ('{"a": null}', "{}"),
    ("[[]]", "[]"),
]
DEEP = 300


def form(type: PgType, payload: bytes) -> bytes:
    convert = canonical(type)
    assert convert is not None
    return convert(payload)


def json_form(text: str) -> bytes:
    return form(JSONB, b"\x01" + text.encode())


@pytest.mark.parametrize("depth", [0, DEEP, 1000])
@pytest.mark.parametrize(("one", "other"), SAME_JSON)
def test_equal_json_values(one: str, other: str, depth: int) -> None:
    assert json_form("[" * depth + one + "]" * depth) == json_form("[" * depth + other + " ]" * depth)


@pytest.mark.parametrize("depth", [0, DEEP, 1000])
@pytest.mark.parametrize(("one", "other"), OTHER_JSON)
def test_different_json_values(one: str, other: str, depth: int) -> None:
    assert json_form("[" * depth + one + "]" * depth) != json_form("[" * depth + other + "]" * depth)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(value=JSON_VALUES)
def test_json_has_one_form_whatever_way_leads_there(value: object) -> None:
    plain = json_form(json.dumps(value, ensure_ascii=False))
    assert json_form(json.dumps(value, indent=1)) == plain
    wrapped = json_form("[1.5," + json.dumps(value) + "]")  # a fraction leads the exact way
    assert wrapped == b"[15E-1," + plain + b"]"
    deep = json_form("[" * DEEP + json.dumps(value) + "]" * DEEP)  # too deep for orjson
    assert deep == b"[" * DEEP + plain + b"]" * DEEP


def test_json_is_compared_as_text() -> None:
    assert canonical(PgType("json")) is None


@settings(max_examples=100, deadline=None)
@given(number=st.decimals(-(10**30), 10**30), zeros=st.integers(0, 9))
def test_numeric_ignores_scale_only(number: Decimal, zeros: int) -> None:
    encoder = FieldEncoder(ColumnSpec(NUMERIC, "numeric"))
    text = format(number, "f")
    longer = (text if "." in text else text + ".") + "0" * zeros
    assert form(NUMERIC, encoder.payload(text)) == form(NUMERIC, encoder.payload(longer))
    other = format(number, "f") + ("1" if "." in text else ".1")
    assert form(NUMERIC, encoder.payload(text)) != form(NUMERIC, encoder.payload(other))


def test_numeric_ignores_zero_words() -> None:
    one = bytes.fromhex("0001000000000000" + "0001")
    assert form(NUMERIC, bytes.fromhex("0003000100000004" + "000000010000")) == form(NUMERIC, one)
    assert form(NUMERIC, bytes.fromhex("0001000000000004" + "0000")) == form(NUMERIC, bytes(8))


def test_bpchar_ignores_trailing_spaces() -> None:
    char = parse_type("char(5)")
    assert form(char, b"a    ") == form(char, b"a") != form(char, b" a")


def digest(rows: list[Fields], types: tuple[PgType, ...] = (TEXT, TEXT), key: tuple[int, ...] = (0,)) -> TableDigest:
    made = TableDigest(types, key, buckets=64)
    made.add(rows)
    return made


FIELD = st.none() | st.binary(max_size=3)
TABLES = st.lists(st.tuples(FIELD, FIELD), max_size=8)
KEYS = st.sampled_from([(), (0,), (1, 0)])


@settings(max_examples=200, deadline=None)
@given(ours=TABLES, theirs=TABLES, key=KEYS, shuffle=st.randoms())
def test_equal_exactly_when_the_rows_are(
    ours: list[Fields], theirs: list[Fields], key: tuple[int, ...], shuffle: object
) -> None:
    shuffled = list(ours)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    assert not digest(ours, key=key).differing(digest(shuffled, key=key))
    same = sorted(map(repr, ours)) == sorted(map(repr, theirs))
    differing = digest(ours, key=key).differing(digest(theirs, key=key))
    assert (not differing) == same
    alone = {row for row in ours + theirs if ours.count(row) != theirs.count(row)}
    assert differing <= {digest([], key=key).bucket_of(row) for row in alone}


def test_duplicates_do_not_cancel_out() -> None:
    row: Fields = (b"k", b"v")
    assert digest([row, row]).differing(digest([]))
    assert digest([row, row, row]).differing(digest([row]))


def test_fields_do_not_run_into_each_other() -> None:
    rows: list[Fields] = [(b"ab", b""), (b"a", b"b"), (b"", b"ab"), (None, b"ab"), (b"ab", None)]
    assert len({digest([]).row_digest(row) for row in rows}) == len(rows)


def test_rows_are_counted_and_narrowed_by_key() -> None:
    rows: list[Fields] = [(str(i).encode(), b"same") for i in range(1000)]
    ours, theirs = digest(rows), digest([*rows[:-1], (rows[-1][0], b"other")])
    assert ours.rows == theirs.rows == 1000
    assert ours.differing(theirs) == {ours.bucket_of(rows[-1])}


@pytest.mark.parametrize("key", [(), (0,), (0, 1)])
def test_canonical_fields_decide_bucket_and_digest(key: tuple[int, ...]) -> None:
    types = (NUMERIC, JSONB)
    number = FieldEncoder(ColumnSpec(NUMERIC, "numeric"))
    ours: Fields = (number.payload("1.50"), b'\x01{"a":1.0, "b":2}')
    theirs: Fields = (number.payload("1.5"), b'\x01{"b":2,"a":1}')
    made = digest([ours], types, key)
    assert made.bucket_of(ours) == made.bucket_of(theirs)
    assert made.row_digest(ours) == made.row_digest(theirs)
    assert not made.differing(digest([theirs], types, key))
    assert made.differing(digest([(None, theirs[1])], types, key))


def test_digests_of_other_buckets_do_not_compare() -> None:
    with pytest.raises(ValueError, match="numbers of buckets"):
        TableDigest((TEXT,), buckets=2).differing(TableDigest((TEXT,), buckets=3))
