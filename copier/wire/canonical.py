"""Canonical payloads: two payloads of one type mean the same exactly when these are equal bytes."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from decimal import Decimal

import orjson

from copier.plan.pgtype import PgType

Canonical = Callable[[bytes], bytes]


def canonical(type: PgType) -> Canonical | None:
    """Return the function that brings payloads of `type` to canonical form; None where they are canonical as they are.

    jsonb: the JSON value (key order, white space, spelling of strings and numbers ignored; of equal keys the last).
    numeric: the number (scale ignored). bpchar: trailing spaces ignored. json is compared as the text it is.
    """
    return _FORMS.get(type.wire)


def _numeric(payload: bytes) -> bytes:
    head, words = payload[:8], payload[8:]
    if not words:
        return head[:6] + b"\0\0"
    if words.startswith(b"\0\0") or words.endswith(b"\0\0"):
        return _stripped_numeric(payload)
    return head[:6] + b"\0\0" + words


def _stripped_numeric(payload: bytes) -> bytes:
    try:
        count, weight, sign, _ = struct.unpack_from(">HhHH", payload)
        words = list(struct.unpack_from(f">{count}H", payload, 8))
    except struct.error:
        raise ValueError("not a numeric of a binary COPY") from None
    while words and not words[-1]:
        words.pop()
    while words and not words[0]:
        del words[0]
        weight -= 1
    if not words:
        weight = sign = 0
    return struct.pack(f">HhHH{len(words)}H", len(words), weight, sign, 0, *words)


def _bpchar(payload: bytes) -> bytes:
    return payload.rstrip(b" ")


_UNSAFE_NUMBER = re.compile(rb"[0-9][.eE]|[0-9]{19}")
"""Bytes that a number orjson reads inexactly must contain; text may contain them as well."""

_TOKEN = re.compile(rb'[{}\[\]]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+')


def _jsonb(payload: bytes) -> bytes:
    text = payload[1:]
    try:
        if _UNSAFE_NUMBER.search(text) is None:
            return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
        value = json.loads(text, parse_float=_number, parse_int=_number)
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (RecursionError, orjson.JSONDecodeError, orjson.JSONEncodeError):
        return _deep_json(text)  # orjson reads 1024 levels and writes 254


def _number(text: str) -> int | orjson.Fragment:
    """Return an int below 10**18, else digits without trailing zeros and a decimal exponent: one form per number."""
    whole, _, fraction = text.partition(".")
    short = fraction.rstrip("0")
    if short and whole.isdigit() and short.isdigit():  # the usual fraction, without Decimal in a third of the time
        return orjson.Fragment(f"{(whole + short).lstrip('0')}E-{len(short)}")
    number = Decimal(text)
    if number.is_zero():
        return 0
    negative, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    if number.adjusted() < 18 and number == number.to_integral_value():
        return int(number)
    text = "".join(map(str, digits))
    short = text.rstrip("0")
    return orjson.Fragment(f"{'-' if negative else ''}{short}E{exponent + len(text) - len(short)}")


def _deep_json(text: bytes) -> bytes:
    """Return the same form as orjson does, without recursion; `text` is valid JSON."""
    stack: list[dict[str, bytes] | list[bytes]] = [[]]
    keys: list[str | None] = [None]
    for token in _TOKEN.findall(text):
        if token in (b"{", b"["):
            stack.append({} if token == b"{" else [])
            keys.append(None)
            continue
        if token in (b"}", b"]"):
            written = _written(stack.pop())
            keys.pop()
        elif token[:1] == b'"':
            if isinstance(stack[-1], dict) and keys[-1] is None:
                keys[-1] = orjson.loads(token)
                continue
            written = orjson.dumps(orjson.loads(token))
        else:
            written = token if token.isalpha() else orjson.dumps(_number(token.decode()))
        _put(stack[-1], keys, written)
    return _written(stack[0])[1:-1]


def _put(container: dict[str, bytes] | list[bytes], keys: list[str | None], written: bytes) -> None:
    if isinstance(container, list):
        container.append(written)
    else:
        key = keys[-1]
        assert key is not None
        container[key] = written
        keys[-1] = None


def _written(container: dict[str, bytes] | list[bytes]) -> bytes:
    if isinstance(container, list):
        return b"[" + b",".join(container) + b"]"
    return b"{" + b",".join(orjson.dumps(key) + b":" + container[key] for key in sorted(container)) + b"}"


_FORMS: dict[str, Canonical] = {"jsonb": _jsonb, "numeric": _numeric, "bpchar": _bpchar}
