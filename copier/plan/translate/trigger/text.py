"""The text of CREATE TRIGGER, taken apart by its tokens: sqlglot does not read trigger bodies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot.tokenizer_core import Token, TokenType

from copier.plan.translate.parse import Untranslatable, tokenize


@dataclass(frozen=True, slots=True)
class TriggerText:
    """A trigger's parts. `body` is one text per statement, without semicolons; `when` is '' when there is none."""

    name: str
    timing: str
    """BEFORE, AFTER, INSTEAD OF; SQLite's default is BEFORE."""
    event: str
    """INSERT, UPDATE, DELETE."""
    columns: tuple[str, ...]
    """Of UPDATE OF."""
    table: str
    when: str
    body: tuple[str, ...]


class _Reader:
    """Walks along tokens."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens = tokenize(sql, statements=True)
        self._at = 0

    def word(self) -> str:
        """Return the next token in upper case, '' at the end or for a quoted name."""
        if self._at >= len(self._tokens):
            return ""
        token = self._tokens[self._at]
        quoted = token.token_type in (TokenType.IDENTIFIER, TokenType.STRING)
        return "" if quoted else token.text.upper()

    def accept(self, *words: str) -> bool:
        """Step over these words if they are next; sqlglot makes one token of some pairs."""
        start = self._at
        for word in " ".join(words).split():
            if self.word().startswith(word) and " " in self.word():
                if self.word() != " ".join(words):
                    self._at = start
                    return False
                self._at += 1
                return True
            if self.word() != word:
                self._at = start
                return False
            self._at += 1
        return True

    def expect(self, *words: str) -> None:
        """Step over these words, which must be next."""
        if not self.accept(*words):
            raise Untranslatable("a CREATE TRIGGER that is not understood")

    def name(self) -> str:
        """Return the next identifier."""
        if self._at >= len(self._tokens):
            raise Untranslatable("a CREATE TRIGGER that is not understood")
        self._at += 1
        return self._tokens[self._at - 1].text

    def until(self, word: str) -> str:
        """Return the text up to the next `word`, and step over that."""
        first = self._at
        while self.word() != word:
            if self._at >= len(self._tokens):
                raise Untranslatable("a CREATE TRIGGER that is not understood")
            self._at += 1
        text = self._text(self._tokens[first : self._at])
        self._at += 1
        return text

    def statements(self) -> list[str]:
        """Return the statements up to the END that is the last word."""
        rest = self._tokens[self._at :]
        while rest and rest[-1].token_type is TokenType.SEMICOLON:
            rest = rest[:-1]
        if not rest or rest[-1].text.upper() != "END":
            raise Untranslatable("a CREATE TRIGGER that is not understood")
        found: list[list[Token]] = [[]]
        for token in rest[:-1]:
            if token.token_type is TokenType.SEMICOLON:
                found.append([])
            else:
                found[-1].append(token)
        return [self._text(part) for part in found if part]

    def _text(self, tokens: Sequence[Token]) -> str:
        return self._sql[tokens[0].start : tokens[-1].end + 1] if tokens else ""


def read_trigger(sql: str) -> TriggerText:
    """Return the parts of a whole CREATE TRIGGER. Errors: Untranslatable."""
    reader = _Reader(sql)
    reader.expect("CREATE")
    reader.accept("TEMP") or reader.accept("TEMPORARY")
    reader.expect("TRIGGER")
    reader.accept("IF", "NOT", "EXISTS")
    name = reader.name()
    if reader.accept("."):
        name = reader.name()
    timing = next((t for t in ("BEFORE", "AFTER", "INSTEAD OF") if reader.accept(*t.split())), "BEFORE")
    event = next((e for e in ("INSERT", "UPDATE", "DELETE") if reader.accept(e)), "")
    columns: list[str] = []
    if event == "UPDATE" and reader.accept("OF"):
        columns.append(reader.name())
        while reader.accept(","):
            columns.append(reader.name())
    reader.expect("ON")
    table = reader.name()
    reader.accept("FOR", "EACH", "ROW")
    when = reader.until("BEGIN") if reader.accept("WHEN") else ""
    if not when:
        reader.expect("BEGIN")
    return TriggerText(name, timing, event, tuple(columns), table, when, tuple(reader.statements()))
