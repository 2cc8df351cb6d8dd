"""SQLite's lexical rules, as far as splitting CREATE statements needs them. I/O-free.

Source: SQLite's tokenizer (src/tokenize.c) and docs, "SQL Language: Keywords" and "Literal values".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["word", "quoted", "string", "blob", "number", "other"]

_TOKEN = re.compile(
    r"""
      (?P<skip> [ \t\n\f\r\v\0\ufeff]+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<blob> [xX]'[^']*' )
    | (?P<string> '(?:[^']|'')*' )
    | (?P<quoted> "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] )
    | (?P<number> (?:0[xX][0-9a-fA-F]+ | (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)? ) )
    | (?P<word> [A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]* )
    | (?P<other> \|\| | << | >> | <= | >= | <> | == | != | -> >? | [^'"`\[] )
    """,
    re.VERBOSE | re.DOTALL,
)


class Unreadable(Exception):
    """The text breaks SQLite's rules, or a form this reader does not know."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token and its place in the text."""

    kind: Kind
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Whether this is one of the (upper case) bare words."""
        return self.kind == "word" and self.text.upper() in words

    @property
    def name(self) -> str:
        """The name this token stands for, without quotes."""
        if self.kind == "word":
            return self.text
        if self.kind not in ("quoted", "string"):
            raise Unreadable(f"a name was expected, not {self.text!r}")
        body, quote = self.text[1:-1], self.text[-1]
        return body if quote == "]" else body.replace(quote * 2, quote)


def tokenize(sql: str) -> list[Token]:
    """Return the tokens of `sql` without white space and comments; raises Unreadable."""
    tokens: list[Token] = []
    place = 0
    while place < len(sql):
        found = _TOKEN.match(sql, place)
        if found is None:
            raise Unreadable(f"a quote opened at character {place + 1} is not closed")
        place = found.end()
        kind = found.lastgroup
        if kind != "skip":
            tokens.append(Token(kind, found[0], found.start(), place))  # type: ignore[arg-type]
    return tokens


def closing(tokens: Sequence[Token], start: int) -> int:
    """Return the place of the parenthesis that closes the one at `start`; raises Unreadable."""
    depth = 0
    for place in range(start, len(tokens)):
        if tokens[place].text == "(":
            depth += 1
        elif tokens[place].text == ")":
            depth -= 1
            if depth == 0:
                return place
    raise Unreadable("a parenthesis is not closed")


def split(tokens: Sequence[Token]) -> list[list[Token]]:
    """Split at the commas outside of parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def source(sql: str, tokens: Sequence[Token]) -> str:
    """Return the exact text from the first to the last token."""
    return sql[tokens[0].start : tokens[-1].end] if tokens else ""
