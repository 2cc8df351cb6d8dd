import pytest
from hypothesis import given
from hypothesis import strategies as st

from copier.plan.source import Key
from copier.wire.cast import BrokenText
from copier.wire.keys import key_from_json, key_to_json, show_key, show_value

VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.binary(min_size=1).map(BrokenText)
)


@given(st.lists(VALUES, min_size=1).map(tuple))
def test_every_key_comes_back_with_its_types(key: Key) -> None:
    back = key_from_json(key_to_json(key))
    assert back == key
    assert [type(value) for value in back] == [type(value) for value in key]


def test_json_that_is_no_key_is_refused() -> None:
    for text in ('{"a": 1}', '[{"other": "00"}]', "[[1]]"):
        with pytest.raises(ValueError, match="key"):
            key_from_json(text)


def test_keys_are_shown_to_people_printable_and_short() -> None:
    assert show_key(("id",), (5,)) == "id=5"
    assert show_key(("a", "b"), ("x\n", b"\x00\xff")) == "a='x\\x0a', b=x'00ff'"
    assert len(show_value("y" * 10_000)) < 100
