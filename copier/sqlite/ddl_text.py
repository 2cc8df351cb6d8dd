"""What only the text of a CREATE statement tells: CHECKs, collations, expressions, deferral. I/O-free.

SQLite keeps the text of CREATE TABLE and CREATE INDEX; its pragmas do not show these parts. The text is split by
tokens, never interpreted. Sources: SQLite docs, "CREATE TABLE" and "CREATE INDEX" (syntax diagrams); parse.y for what
the diagrams leave out (constraints without commas, DEFERRABLE apart from its REFERENCES).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from copier.plan.source import SourceCheck
from copier.sqlite.ddl_tokens import Token, Unreadable, closing, source, split, tokenize

_TABLE_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


@dataclass(slots=True)
class ForeignKeyText:
    """One foreign key, in the order of the text."""

    columns: tuple[str, ...]
    name: str | None = None
    deferrable: bool = False
    initially_deferred: bool = False


@dataclass(slots=True)
class ColumnText:
    """One column definition."""

    name: str
    collation: str | None = None
    generated: str | None = None


@dataclass(slots=True)
class TableText:
    """What the text of CREATE TABLE says."""

    columns: list[ColumnText] = field(default_factory=list)
    checks: list[SourceCheck] = field(default_factory=list)
    foreign_keys: list[ForeignKeyText] = field(default_factory=list)
    primary_key_name: str | None = None
    unique_names: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Columns in lower case -> name of the UNIQUE constraint over them, where it has one."""
    autoincrement: bool = False
    without_rowid: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class IndexText:
    """What the text of CREATE INDEX says: its terms without COLLATE, ASC, DESC and NULLS, and WHERE."""

    terms: tuple[str, ...]
    where: str | None


def read_table(sql: str) -> TableText:
    """Read CREATE TABLE; raises Unreadable."""
    tokens = tokenize(sql)
    start = next((place for place, token in enumerate(tokens) if token.text == "("), None)
    if start is None or not tokens[0].is_word("CREATE"):
        raise Unreadable("it is no CREATE TABLE with a column list")
    end = closing(tokens, start)
    table = TableText()
    for item in split(tokens[start + 1 : end]):
        if not item:
            raise Unreadable("an item of the column list is empty")
        _Item(sql, item, table).read()
    options = [token.text.upper() for token in tokens[end + 1 :]]
    table.without_rowid = any(pair == ("WITHOUT", "ROWID") for pair in pairwise(options))
    table.strict = "STRICT" in options
    return table


class _Item:
    """One item of the column list: a column with its constraints, or table constraints."""

    def __init__(self, sql: str, tokens: Sequence[Token], table: TableText) -> None:
        self._sql = sql
        self._tokens = tokens
        self._table = table
        self._place = 0
        self._column: ColumnText | None = None
        self._constraint: str | None = None
        self._foreign_key: ForeignKeyText | None = None

    def read(self) -> None:
        if not self._tokens[0].is_word(*_TABLE_CONSTRAINTS):
            self._column = ColumnText(self._next().name)
            self._table.columns.append(self._column)
        while self._place < len(self._tokens):
            token = self._next()
            if token.text == "(":
                self._group(self._place - 1)
            elif token.kind == "word" and (handle := _HANDLERS.get(token.text.upper())):
                handle(self)

    def _next(self) -> Token:
        if self._place >= len(self._tokens):
            raise Unreadable("a definition ends too early")
        self._place += 1
        return self._tokens[self._place - 1]

    def _group(self, start: int | None = None) -> list[Token]:
        """Step over a parenthesised group and return what is in it."""
        start = self._place if start is None else start
        if start >= len(self._tokens) or self._tokens[start].text != "(":
            raise Unreadable("a parenthesis was expected")
        end = closing(self._tokens, start)
        self._place = end + 1
        return list(self._tokens[start + 1 : end])

    def _name_constraint(self) -> None:
        self._constraint = self._next().name

    def _unnamed(self) -> None:
        """The constraint that begins here takes the name given before it."""
        self._constraint = None

    def _primary(self) -> None:
        self._table.primary_key_name = self._table.primary_key_name or self._constraint
        self._constraint = None

    def _unique(self) -> None:
        name, self._constraint = self._constraint, None
        if name is not None:
            columns = [self._column.name] if self._column else [part[0].name for part in split(self._group()) if part]
            self._table.unique_names.setdefault(tuple(column.lower() for column in columns), name)

    def _check(self) -> None:
        expression = source(self._sql, self._group())
        column = self._column.name if self._column else None
        self._table.checks.append(SourceCheck(expression, self._constraint, column))
        self._constraint = None

    def _default(self) -> None:
        if self._place >= 2 and self._tokens[self._place - 2].is_word("SET"):
            return  # ON DELETE SET DEFAULT
        if self._next().text == "(":
            self._group(self._place - 1)
        elif self._tokens[self._place - 1].text in ("+", "-"):
            self._next()
        self._constraint = None

    def _collate(self) -> None:
        name = self._next().name
        if self._column:
            self._column.collation = name.upper()

    def _as(self) -> None:
        if self._column and self._place < len(self._tokens) and self._tokens[self._place].text == "(":
            self._column.generated = source(self._sql, self._group())

    def _foreign(self) -> None:
        self._next()  # KEY
        self._foreign_key = ForeignKeyText(
            tuple(part[0].name for part in split(self._group()) if part), self._constraint
        )
        self._table.foreign_keys.append(self._foreign_key)
        self._constraint = None

    def _references(self) -> None:
        if self._column:
            self._foreign_key = ForeignKeyText((self._column.name,), self._constraint)
            self._table.foreign_keys.append(self._foreign_key)
        self._next()
        self._constraint = None

    def _deferrable(self) -> None:
        negated = self._place >= 2 and self._tokens[self._place - 2].is_word("NOT")
        if self._foreign_key:
            self._foreign_key.deferrable = not negated

    def _initially(self) -> None:
        if self._next().is_word("DEFERRED") and self._foreign_key and self._foreign_key.deferrable:
            self._foreign_key.initially_deferred = True

    def _autoincrement(self) -> None:
        self._table.autoincrement = True


_HANDLERS: dict[str, Callable[[_Item], None]] = {
    "CONSTRAINT": _Item._name_constraint,
    "CHECK": _Item._check,
    "DEFAULT": _Item._default,
    "COLLATE": _Item._collate,
    "AS": _Item._as,
    "FOREIGN": _Item._foreign,
    "REFERENCES": _Item._references,
    "DEFERRABLE": _Item._deferrable,
    "INITIALLY": _Item._initially,
    "AUTOINCREMENT": _Item._autoincrement,
    "PRIMARY": _Item._primary,
    "UNIQUE": _Item._unique,
    "NOT": _Item._unnamed,
    "NULL": _Item._unnamed,
}


def read_index(sql: str) -> IndexText:
    """Read CREATE INDEX; raises Unreadable."""
    tokens = tokenize(sql)
    start = next((place for place, token in enumerate(tokens) if token.text == "("), None)
    if start is None:
        raise Unreadable("it is no CREATE INDEX with terms")
    end = closing(tokens, start)
    terms = tuple(source(sql, _bare_term(term)) for term in split(tokens[start + 1 : end]))
    rest = [token for token in tokens[end + 1 :] if token.text != ";"]
    if not rest:
        return IndexText(terms, None)
    if not rest[0].is_word("WHERE"):
        raise Unreadable(f"WHERE was expected, not {rest[0].text!r}")
    return IndexText(terms, source(sql, rest[1:]))


def _bare_term(term: list[Token]) -> list[Token]:
    if len(term) > 2 and term[-2].is_word("NULLS"):
        term = term[:-2]
    if len(term) > 1 and term[-1].is_word("ASC", "DESC"):
        term = term[:-1]
    if len(term) > 2 and term[-2].is_word("COLLATE"):
        term = term[:-2]
    return term


def virtual_module(sql: str) -> str:
    """Return the module of CREATE VIRTUAL TABLE in lower case, '' when it cannot be read."""
    try:
        tokens = tokenize(sql)
    except Unreadable:
        tokens = []
    for token, module in pairwise(tokens):
        if token.is_word("USING"):
            return module.text.strip("\"`[]'").lower()
    return ""
