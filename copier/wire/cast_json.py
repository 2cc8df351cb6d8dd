"""Casts to json and jsonb, and the test whether jsonb keeps all that a text says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import NoReturn

import orjson

from copier.wire.cast_base import BrokenText, CastError, Filled, utf8
from copier.wire.cast_number import NUMERIC_MAX_DIGITS_BEFORE, NUMERIC_MAX_SCALE, number_text

JSONB_MAX_BYTES = 0x0FFFFFFF
"""Most bytes of one jsonb container or string (JENTRY_OFFLENMASK in PostgreSQL's `jsonb.h`)."""

_JSONB_VALUE_OVERHEAD_BYTES = 24
"""An upper bound of what jsonb adds to the text of one value: entry, alignment, numeric and container headers."""

_TOO_DEEP = "JSON nested too deeply"  # orjson stops at 1024 levels; PostgreSQL's stack lasts for some thousands
_LONE_SURROGATE = "JSON with a lone surrogate escape, which jsonb cannot hold"
_LONG_NUMBER = re.compile(r"[eE][+-]?[0-9]{4,}|[0-9]{16000,}")
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_NUMBER = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?(?:[eE][+]?(-?)0*([0-9]+))?")


def to_json(v: Filled, jsonb: bool = True) -> bytes:
    """Return the UTF-8 of the text itself when it is one JSON value by RFC 8259 (numbers give their number text).

    With `jsonb`, also CastError for what that type refuses: NUL and lone surrogate escapes, numbers beyond numeric,
    containers over 256 MiB. `json` keeps those as they are.
    """
    if isinstance(v, int | float):
        if isinstance(v, float) and not math.isfinite(v):
            raise CastError("an infinity, which JSON cannot hold")
        return number_text(v).encode()
    if isinstance(v, BrokenText):
        raise CastError("not valid UTF-8")
    if isinstance(v, bytes):
        raise CastError("a BLOB in a JSON column")
    raw = utf8(v)
    try:
        orjson.loads(raw)
        doubles = True
    except orjson.JSONDecodeError as error:
        _check_syntax(v, str(error), jsonb)
        doubles = False
    if jsonb:
        check_jsonb(v, len(raw), doubles)
    return raw


def _check_syntax(text: str, error: str, jsonb: bool) -> None:
    """Raise CastError unless orjson refused `text` only for a limit of its own that the type does not share."""
    if "depth limit" in error:
        raise CastError(_TOO_DEEP)
    if text.startswith("\ufeff"):
        raise CastError("not valid JSON")
    value = _reparse(text, str)
    if jsonb and "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise CastError(_LONE_SURROGATE) from None


def _reparse(
    text: str,
    number: Callable[[str], object],
    pairs: Callable[[list[tuple[str, object]]], object] | None = None,
) -> object:
    """Parse with the standard library, which has hooks and no limits on numbers; CastError where it cannot."""
    try:
        return json.loads(
            text, parse_float=number, parse_int=number, parse_constant=_no_constant, object_pairs_hook=pairs
        )
    except RecursionError:
        raise CastError(_TOO_DEEP) from None
    except json.JSONDecodeError:
        raise CastError("not valid JSON") from None


def _no_constant(name: str) -> NoReturn:
    raise CastError("not valid JSON")


def check_jsonb(text: str, size_bytes: int, doubles: bool) -> None:
    """Raise CastError when `text`, valid JSON, is what jsonb refuses; `doubles`: every number is in double's range.

    Substring tests come first: they cost almost nothing, and what they find is rare. Within double's range only a zero
    with a huge exponent, a negative exponent or a long run of digits can go beyond numeric.
    """
    if "\\u0000" in text and _NUL_ESCAPE.search(text):
        raise CastError("JSON with \\u0000, which jsonb cannot hold")
    suspect = not doubles or len(text) > 16000 or "e-" in text or "E-" in text or "0e" in text or "0E" in text
    if suspect and _LONG_NUMBER.search(text):
        _reparse(text, _check_number)
    if size_bytes > JSONB_MAX_BYTES // (1 + _JSONB_VALUE_OVERHEAD_BYTES):
        values = 1 + sum(map(text.count, ",:[{"))
        if size_bytes + values * _JSONB_VALUE_OVERHEAD_BYTES > JSONB_MAX_BYTES:
            raise CastError("JSON too large for jsonb")


def _check_number(text: str) -> str:
    match = _NUMBER.fullmatch(text)
    assert match is not None
    whole, fraction, sign, power = match.groups(default="")
    exponent = int(sign + power) if 0 < len(power) < 10 else 1 << 40 if power else 0
    if len(whole) + exponent > NUMERIC_MAX_DIGITS_BEFORE or len(fraction) - exponent > NUMERIC_MAX_SCALE:
        raise CastError("JSON with a number that has more digits than jsonb can hold")
    return text


def json_container(v: Filled) -> bool:
    """Whether `v` is the text of a JSON object or array of which jsonb loses nothing.

    False for anything `to_json` refuses, for bare values, for objects with a key that occurs twice, and for nesting of
    hundreds of levels.
    """
    if not isinstance(v, str) or v.lstrip(" \t\n\r")[:1] not in ("{", "["):
        return False
    try:
        value: object = orjson.loads(v)
    except orjson.JSONDecodeError:
        value = None
    try:
        if value is None:
            to_json(v)
        else:
            check_jsonb(v, len(v), True)
        # Every key has a colon: as many colons as keys kept means that no key was lost as a duplicate.
        if "{" in v and (value is None or v.count(":") != _count_keys(value)):
            _reparse(v, str, _refuse_duplicates)
    except (CastError, RecursionError):
        return False
    return True


def _count_keys(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_count_keys(item) for item in value.values() if isinstance(item, dict | list))
    if isinstance(value, list):
        return sum(_count_keys(item) for item in value if isinstance(item, dict | list))
    return 0


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise CastError("JSON with a key that occurs twice")
