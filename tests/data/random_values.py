"""Random SQLite values, skewed towards trouble: each flavour is what one kind of application column holds."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from uuid import UUID

from .expected import Value


class Cast:
    """Text that SQLite must make of these bytes: they may be no valid text of its encoding."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


Stored = Value | Cast
Flavour = Callable[[random.Random], Stored]

_EDGES = (0, 1, 7, 8, 15, 16, 31, 32, 52, 53, 54, 62, 63)
_REALS = (
    *(0.0, -0.0, 0.1, 1.5, 1e15, 1e16, 1e22, 1e23, 123456789.125, 2.0**53, 2.0**63, -(2.0**63), 9.007199254740993e15),
    *(5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, float("inf"), float("-inf"), 1e-7, 1e100, 3.0, -1.0),
)
_NUMERIC_TEXT = (
    *("0", "00", "007", "+5", "-0", "1.0", "1.50", "1e3", "1E400", ".5", "5.", " 5", "5 ", "0x10", "1_000", "1,5", "٣"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "1e-400", "3.14159265358979323846"),
    *("NaN", "nan", "inf", "Infinity", "-Infinity", "-0.0", "1e16383", "0e99999", "1." + "0" * 40, "9" * 60),
)
_WORDS = (
    *("", "", "a", "A", "abc", "ABC", "ä", "Ä", "ß", "日本", "🙂", "e\u0301", "é", "\u200b", "\ufeff", "\\N", "\\."),
    *("\\x41", "NULL", "null", " ", "  a  ", "a ", "a\n", "\t", "\r\n", "'", '"', "$$", "%", "_", "a\x7fb", "\x01"),
    *("x" * 40, "\ufffd", "\U0010ffff", "ı", "İ", "ﬁ", "{}", "[]", "{", "()", "--", ";", "\\", "\u2028", "a\0b", "\0"),
    "A\0",
)
_BOOLEANS = ("t", "f", "true", "false", "TRUE", "False", "yes", "no", "on", "off", "y", "N", "0", "1", "truе", "")
_JSON = (
    *("{}", "[]", '{"a": 1}', '{"b": [1.50, 1e2, -0, 0.0]}', '[{"k": null}, true]', ' {"a" : "x"} ', '{"": ""}'),
    *('{"a": 1, "a": 2}', '{"a": {"x": 1, "x": 1}}', '["\\u0000"]', '{"\\u0000": 1}', '["\\\\u0000"]', '["\\ud800"]'),
    *('["\\ud83d\\ude42"]', "[1e400]", "[1e-400]", "[12345678901234567890123]", "[0.1000]", '{"é": "\\u00e9"}'),
    *("[-0.0]", "null", "1", '"s"', "true", "{", "{a: 1}", "[1,]", "[NaN]", "[Infinity]", "['x']", "[1] x", ""),
    *('{"a": 1, "\\u0061": 2}', "[1E+2]", "[1e99999999999]", "[0e99999]", "[" * 40 + "]" * 40, '["\x7f"]', '["a\tb"]'),
)
_DATES = (
    *("2024-02-29", "2023-02-29", "0000-00-00", "2024-13-01", "0001-01-01", "9999-12-31", "2024-1-2", "20240102"),
    *("now", "2024-02-29 12:34:56", "2024-02-29T12:34:56Z", "2024-02-29 12:34:56.123456"),
    *("2024-02-29 12:34:56.1234567", "2024-02-29T12:34:56+02:00", "2024-02-29 12:34:56-0330", "2024-02-29 24:00:00"),
    *("2024-02-29 23:59:60", "", "2024-02-29 00:00:00", "2024-02-29 12:34", "2024-02-29 12:34:56 UTC"),
    *("2024-02-29 12:34:56.1234560", "yesterday", "0001-01-01 00:00:00+01", "9999-12-31 23:59:59-12:00"),
    *("2024-02-29 12:34:56,5", "infinity", "1900-01-01T00:00"),
)
_TIMES = ("00:00", "23:59:59", "12:34:56.789", "24:00", "7:00", "12:60", "12:34:56Z", "12:34:56.1234567", "")
_ADDRESSES = (
    *("127.0.0.1", "10.0.0.0/8", "10.1.2.3/8", "0.0.0.0", "::1", "::", "2001:DB8::1", "2001:db8::1", "::ffff:1.2.3.4"),
    *("fe80::1%eth0", "256.1.1.1", "1.2.3", "010.1.1.1", "1.2.3.4/33", "1.2.3.4/08", " 1.2.3.4", "1.2.3.4:80", ""),
    "::/0",
)
_BROKEN = (
    *(b"\xff", b"caf\xe9", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"ok\xfe", b"\0\xff", b"a\0"),
)


def edge(r: random.Random) -> int:
    number = (1 << r.choice(_EDGES)) + r.choice((-1, 0, 1, 2))
    return max(-(1 << 63), min((1 << 63) - 1, number * r.choice((1, 1, -1))))


def real(r: random.Random) -> float:
    if r.random() < 0.6:
        return r.choice(_REALS)
    if r.random() < 0.5:
        return round(r.uniform(-1000, 1000), r.randint(0, 5))
    number: float = struct.unpack("<d", r.randbytes(8))[0]
    return 0.5 if number != number else number  # SQLite stores NaN as NULL


def uuid(r: random.Random) -> str:
    # Few of them, so that two spellings of one meet.
    text = str(UUID(int=r.choice((r.getrandbits(128), r.randint(0xA000, 0xA008)))))
    form = r.random()
    if form < 0.6:
        return text
    return r.choice(
        (text.upper(), text.replace("-", ""), "{" + text + "}", "urn:uuid:" + text, text[:-1], text.title())
    )


def clean_uuid(r: random.Random) -> str:
    return str(UUID(int=r.getrandbits(128), version=4))


def epoch(scale: int) -> Flavour:
    return lambda r: r.randint(400_000_000 * scale, 4_000_000_000 * scale)


def _one_of(values: tuple[str, ...]) -> Flavour:
    return lambda r: r.choice(values)


def blob(r: random.Random) -> bytes:
    return r.choice((b"", b"\0", b"text", r.randbytes(16), r.randbytes(r.randint(1, 40)), b"1", b"\xff\xfe", b"{}"))


def good_json(r: random.Random) -> str:
    return json.dumps({r.choice("abc"): r.choice((r.randint(-9, 9), r.random(), "x", None, [True, {}]))})


def iso(r: random.Random) -> str:
    day = f"{r.randint(1970, 2099)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"
    text = f"{day} {r.randint(0, 23):02}:00:{r.randint(0, 59):02}"
    return r.choice((text, text + ".25", text.replace(" ", "T") + "Z", text + "+05:30"))


def long_text(r: random.Random) -> str:
    return "".join(r.choices("abcdefghij é", k=r.choice((300, 3000, 9000))))


CLEAN: tuple[Flavour, ...] = (
    *(lambda r: r.randint(0, 1), lambda r: r.randint(-1000, 1000), edge, lambda r: round(r.uniform(-99, 99), 2)),
    *(clean_uuid, good_json, iso, epoch(1), epoch(1000), epoch(1_000_000)),
    *(lambda r: r.choice("abcdefgh") * r.randint(0, 4), lambda r: r.choice(("true", "false"))),
    *(lambda r: r.randbytes(16), lambda r: f"10.0.{r.randint(0, 255)}.1/32"),
    *(lambda r: r.uniform(2_440_000, 2_480_000), lambda r: iso(r)[:10], lambda r: f"{r.randint(0, 23):02}:30"),
    *(lambda r: r.randbytes(16).hex(), lambda r: float(r.randint(-5, 5)), lambda r: str(r.randint(-99, 99))),
)
"""One kind of value each: what makes a planner choose a special type."""

DIRTY: tuple[Flavour, ...] = (
    *(edge, real, uuid, blob, _one_of(_NUMERIC_TEXT), _one_of(_WORDS), _one_of(_BOOLEANS), _one_of(_JSON)),
    *(_one_of(_DATES), _one_of(_TIMES), _one_of(_ADDRESSES), lambda r: Cast(r.choice(_BROKEN)), lambda r: None),
    *(long_text, epoch(1), epoch(1000), lambda r: r.choice((2, -1, 86400, 253402300800)), lambda r: r.choice((0, 1))),
)
"""What spoils it."""


def column_source(r: random.Random) -> Flavour:
    """Return a generator of one column's values: a flavour, some of another, some NULLs."""
    main = r.choice(CLEAN if r.random() < 0.65 else DIRTY)
    other = r.choice(CLEAN + DIRTY)
    spoiled = r.choice((0.0, 0.0, 0.004, 0.02, 0.3))
    nulls = r.choice((0.0, 0.0, 0.1, 0.9, 1.0 if r.random() < 0.2 else 0.0))

    def value(r: random.Random) -> Stored:
        if r.random() < nulls:
            return None
        return other(r) if r.random() < spoiled else main(r)

    return value
