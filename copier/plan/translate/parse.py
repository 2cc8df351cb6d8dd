"""SQLite's SQL -> sqlglot's tree, read as SQLite reads it.

sqlglot's SQLite dialect is narrowed so that nothing is rewritten on the way in: every call stays a call by its own
name, `+x` and `->` stay visible, and no word is taken for a type or a command. What the tree says is then held against
SQLite's own table of precedences (sqlite.org/lang_expr.html); where the two could differ the text is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.parsers.sqlite import SQLiteParser
from sqlglot.tokenizer_core import Token, TokenType


class Untranslatable(ValueError):
    """SQL of the source that has no sure counterpart in PostgreSQL; the message is the reason, for a person."""


class _Parser(SQLiteParser):
    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {"CAST": lambda self: self._parse_sqlite_cast()}
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
        "CASE": SQLiteParser.NO_PAREN_FUNCTION_PARSERS["CASE"]
    }
    NO_PAREN_FUNCTIONS: ClassVar[dict[TokenType, Any]] = {
        kind: SQLiteParser.NO_PAREN_FUNCTIONS[kind]
        for kind in (TokenType.CURRENT_DATE, TokenType.CURRENT_TIME, TokenType.CURRENT_TIMESTAMP)
    }
    LAMBDAS: ClassVar[dict[TokenType, Callable[..., Any]]] = {}
    UNARY_PARSERS: ClassVar[dict[TokenType, Callable[..., Any]]] = {
        **SQLiteParser.UNARY_PARSERS,
        TokenType.PLUS: lambda self: exp.Anonymous(this="+", expressions=[self._parse_unary()]),
    }
    CONCAT_OPERATORS: ClassVar[dict[TokenType, Callable[..., Any]]] = {
        TokenType.DPIPE: SQLiteParser.CONCAT_OPERATORS[TokenType.DPIPE],
        TokenType.ARROW: lambda _, left, right: exp.Anonymous(this="->", expressions=[left, right]),
        TokenType.DARROW: lambda _, left, right: exp.Anonymous(this="->>", expressions=[left, right]),
    }

    def _parse_type(self, parse_interval: bool = True, fallback_to_identifier: bool = False) -> exp.Expr | None:
        return self._parse_column()  # SQLite's expressions know no `DATE '..'` and no INTERVAL

    def _parse_sqlite_cast(self) -> exp.Expr:
        """Read `x AS type` up to the closing parenthesis; any words can be a type, and only their text counts."""
        value = self._parse_disjunction()
        if value is None or not self._match(TokenType.ALIAS):
            self.raise_error("Expected AS in CAST")
        words, depth = [], 0
        while self._curr and (depth or self._curr.token_type is not TokenType.R_PAREN):
            kind = self._curr.token_type
            depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
            words.append(self._curr.text)
            self._advance()
        return exp.Cast(this=value, to=exp.Identifier(this=" ".join(words), quoted=True))

    def _parse_expression(self) -> exp.Expr | None:
        first = self._curr
        node = super()._parse_expression()
        if node is not None and first is not None:
            node.meta["span"] = (first.start, self._prev.end + 1)
        return node


class _SQLite(SQLite):
    class Tokenizer(SQLite.Tokenizer):
        COMMANDS: ClassVar[set[TokenType]] = set()

    Parser = _Parser


@contextmanager
def shallow() -> Iterator[None]:
    """Turn Python's limit on recursion into a refusal: SQL nests as deep as somebody wrote it."""
    try:
        yield
    except RecursionError:
        raise Untranslatable("is nested too deeply") from None


def tokenize(sql: str, *, statements: bool = False) -> list[Token]:
    """Return the tokens of `sql`, comments dropped; Untranslatable when it has none or cannot be read.

    Several statements are refused too, unless `statements` is set.
    """
    try:
        tokens = list(_SQLite().tokenize(sql))
    except Exception as error:  # a parser's own defects must not end a plan
        raise Untranslatable("cannot be read as SQL") from error
    if not tokens:
        raise Untranslatable("is empty")
    if not statements and any(token.token_type is TokenType.SEMICOLON for token in tokens):
        raise Untranslatable("is more than one statement")
    return tokens


def parse_expression(sql: str) -> exp.Expr:
    """Return the tree of one SQLite expression.

    Errors: Untranslatable when `sql` is not exactly one expression.
    """
    tokenize(sql)
    query = _parse(f"SELECT (\n{sql}\n)")
    terms = query.expressions
    extra = [name for name, value in query.args.items() if value and name not in ("expressions", "kind")]
    if len(terms) == 1 and isinstance(terms[0], exp.Subquery):
        raise Untranslatable("a subquery is not possible here")
    if not isinstance(query, exp.Select) or extra or len(terms) != 1 or type(terms[0]) is not exp.Paren:
        raise Untranslatable("is not one expression")
    tree: exp.Expr = terms[0].this
    check_precedence(tree)
    return tree


def parse_statement(sql: str) -> exp.Expr:
    """Return the tree of one INSERT, UPDATE, DELETE or SELECT. Errors: Untranslatable when `sql` is no such thing."""
    tokenize(sql)
    tree = _parse(sql)
    if not isinstance(tree, (exp.Insert, exp.Update, exp.Delete, exp.Select)):
        raise Untranslatable("is no INSERT, UPDATE, DELETE or SELECT")
    check_precedence(tree)
    return tree


def parse_query(sql: str) -> exp.Query:
    """Return the tree of one SELECT (with its CTEs and compound parts).

    Each result expression has `meta["span"]`: start and end of its text in `sql`.
    Errors: Untranslatable when `sql` is not exactly one query.
    """
    tokenize(sql)
    tree = _parse(sql)
    if not isinstance(tree, exp.Query):
        raise Untranslatable("is not a query")
    check_precedence(tree)
    return tree


def _parse(sql: str) -> exp.Expr:
    try:
        statements: list[exp.Expr | None] = _SQLite().parse(sql)
    except RecursionError:
        raise Untranslatable("is nested too deeply") from None
    except Exception as error:  # ParseError, and defects of the parser
        raise Untranslatable("cannot be read as SQLite's SQL") from error
    if len(statements) != 1 or statements[0] is None:
        raise Untranslatable("is not one statement")
    return statements[0]


_LEVELS: tuple[tuple[type[exp.Expr], ...], ...] = (
    (exp.Or,),
    (exp.And,),
    (exp.Not,),
    (
        *(exp.EQ, exp.NEQ, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Between),
        *(exp.Like, exp.Glob, exp.RegexpLike, exp.Match, exp.Escape),
    ),
    (exp.LT, exp.LTE, exp.GT, exp.GTE),
    (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseLeftShift, exp.BitwiseRightShift),
    (exp.Add, exp.Sub),
    (exp.Mul, exp.Div, exp.Mod),
    (exp.DPipe,),
    (exp.Collate,),
    (exp.Neg, exp.BitwiseNot),
)
"""SQLite's operators from loosest to tightest; all group to the left."""

_LEVEL: dict[type[exp.Expr], int] = {kind: level for level, kinds in enumerate(_LEVELS) for kind in kinds}
_TIGHTEST = len(_LEVELS)
_EQUALITY = _LEVEL[exp.EQ]


def check_precedence(tree: exp.Expr) -> None:
    """Refuse a tree that groups unparenthesised operators otherwise than SQLite would."""
    for node in tree.walk():
        level = _LEVEL.get(type(node))
        if level is None:
            continue
        for child, least in _operands(node, level):
            if _level(child) < least:
                raise Untranslatable("mixes operators in a way that needs parentheses to be read without doubt")


def _operands(node: exp.Expr, level: int) -> Iterable[tuple[exp.Expr, int]]:
    """Yield (operand, least level it may have) for one operator."""
    if isinstance(node, (exp.Not, exp.Neg, exp.BitwiseNot)):
        # `x NOT IN (..)` is Not(In): its operand is then of the level of equality, which is above Not's own.
        yield node.this, level
        return
    if isinstance(node, exp.Escape):
        yield node.expression, _EQUALITY + 1
        return
    yield node.this, level
    if isinstance(node, exp.Between):
        yield node.args["low"], level + 1
        yield node.args["high"], level + 1
    elif isinstance(node.args.get("expression"), exp.Expr) and not isinstance(node, exp.Collate):
        yield node.args["expression"], level + 1


def _level(node: exp.Expr) -> int:
    if isinstance(node, exp.Not) and isinstance(node.this, (exp.Is, exp.In, exp.Between, exp.Glob, exp.RegexpLike)):
        return _LEVEL[exp.Not]
    return _LEVEL.get(type(node), _TIGHTEST)
