"""The little of TOML that a plan file needs: strings, inline tables, and which line says what.

The standard library reads TOML and does not write it; a plan file is flat enough that one string function is all of the
writing, and keeping one line per column is what a general writer would not do.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence

from copier.errors import PlanError

Path = tuple[str, ...]
"""Keys from the top of the file."""

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_HEADER = re.compile(r"""\s*\[((?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\]"'\[])+)\]""")
_KEY = re.compile(r"""\s*((?:"(?:[^"\\]|\\.)*"|'[^']*'|[^="'#\[\]{}])+?)\s*=""")


def toml_string(text: str) -> str:
    """Return `text` as a basic string of TOML; lone surrogates, which TOML cannot hold, become U+FFFD."""
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    return f"\\u{ord(char):04x}" if char < " " or char == "\x7f" else char


def toml_list(texts: Iterable[str]) -> str:
    """Return an array of strings on one line."""
    return "[" + ", ".join(map(toml_string, texts)) + "]"


def toml_table(values: Mapping[str, str | bool]) -> str:
    """Return an inline table whose keys need no quotes, or get them."""
    pairs = (f"{_key(key)} = {_value(value)}" for key, value in values.items())
    return "{ " + ", ".join(pairs) + " }"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_string(key)


def _value(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else toml_string(value)


def read_toml(text: str) -> dict[str, object]:
    """Return the document; PlanError with the line when it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        match = re.search(r"\(at line (\d+), column \d+\)", message)
        line = int(match.group(1)) if match is not None else 0
        what = message[: match.start()].strip() if match is not None else message
        raise PlanError(
            f"this is not TOML: {what}", line=line, hint="See https://toml.io for the form of the file."
        ) from None


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Return the 1-based line that says most of `path`; 0 when none does."""
    wanted = tuple(str(part) for part in path)
    best, depth = 0, 0
    for line, found in _lines(text):
        shared = found == wanted[: len(found)]
        if shared and len(found) > depth:
            best, depth = line, len(found)
    return best


def _lines(text: str) -> Iterable[tuple[int, Path]]:
    header: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if (match := _HEADER.match(line)) is not None:
            header = _path(match.group(1))
            yield number, header
        elif (match := _KEY.match(line)) is not None:
            yield number, header + _path(match.group(1))


def _path(key: str) -> Path:
    """Return the keys of a dotted key; () when it is none."""
    try:
        node: object = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    keys = []
    while isinstance(node, dict):
        (name, node), *_ = node.items()
        keys.append(name)
    return tuple(keys)
