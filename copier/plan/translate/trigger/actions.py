"""What a trigger's body does, read from its statements before any of them is translated: tables, columns, rows.

Triggers set each other off, so what one may become depends on what the others do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from copier.plan.translate.parse import Untranslatable, parse_expression, parse_statement, tokenize
from copier.plan.translate.scope import lower
from copier.plan.translate.trigger.text import TriggerText, read_trigger


@dataclass(frozen=True, slots=True)
class Change:
    """One way in which rows of a table are changed. Names are in lower case."""

    table: str
    event: str
    """INSERT, UPDATE, DELETE."""
    columns: frozenset[str] = frozenset()
    """That an UPDATE sets."""


@dataclass(frozen=True, slots=True)
class Action:
    """One statement of a body."""

    tree: exp.Expr
    text: str
    changes: tuple[Change, ...]
    """What it does, first to its own table; () for a SELECT."""
    reads: frozenset[str]
    """Tables it selects from, in lower case."""

    @property
    def table(self) -> str:
        """The table it changes, in lower case; '' for a SELECT."""
        return self.changes[0].table if self.changes else ""


@dataclass(frozen=True, slots=True)
class Program:
    """One trigger of the source."""

    read: TriggerText
    actions: tuple[Action, ...]
    when: exp.Expr | None

    @property
    def table(self) -> str:
        """The table it is on, in lower case."""
        return lower(self.read.table)

    @property
    def reads(self) -> frozenset[str]:
        """All tables it selects from."""
        inside = frozenset() if self.when is None else _tables(self.when)
        return inside.union(*(action.reads for action in self.actions))

    @property
    def changes(self) -> list[Change]:
        """All that it does."""
        return [change for action in self.actions for change in action.changes]

    @property
    def is_touch(self) -> bool:
        """Whether it has the shape that becomes a BEFORE trigger: one UPDATE of its own table."""
        return (
            self.read.timing == "AFTER"
            and self.read.event != "DELETE"
            and len(self.actions) == 1
            and isinstance(self.actions[0].tree, exp.Update)
            and self.actions[0].table == self.table
        )

    def runs_at(self, change: Change) -> bool:
        """Whether a change sets it off, its WHEN aside."""
        if change.table != self.table or change.event != self.read.event:
            return False
        return not (self.read.columns and change.columns) or not change.columns.isdisjoint(
            map(lower, self.read.columns)
        )


def read_program(sql: str) -> Program:
    """Return what a whole CREATE TRIGGER does. Errors: Untranslatable."""
    return program_of(read_trigger(sql))


def program_of(read: TriggerText) -> Program:
    """Return what a trigger does. Errors: Untranslatable."""
    when = parse_expression(read.when) if read.when and not _selects(read.when) else None
    if read.when and when is None:
        when = _condition(read.when)
    return Program(read, tuple(_action(text) for text in read.body), when)


def _selects(sql: str) -> bool:
    return any(token.text.upper() == "SELECT" for token in tokenize(sql))


def _condition(sql: str) -> exp.Expr:
    """Read a condition that may itself be a subquery."""
    query = parse_statement(f"SELECT 1 WHERE (\n{sql}\n)")
    where = query.args.get("where")
    if {k for k, v in query.args.items() if v} - {"expressions", "where"} or where is None:
        raise Untranslatable("a WHEN that is not understood")
    found: exp.Expr = where.this
    return found


def _action(text: str) -> Action:
    text = _aborting(text)
    tree = parse_statement(text)
    return Action(tree, text, tuple(_changes(tree)), _tables(*_readers(tree)))


def _aborting(text: str) -> str:
    """Write RAISE(ROLLBACK, ..) as RAISE(ABORT, ..): sqlglot takes the word for a statement, PostgreSQL does both."""
    tokens = tokenize(text)
    for raised, paren, word in reversed(list(zip(tokens, tokens[1:], tokens[2:], strict=False))):
        if (raised.text.upper(), paren.token_type, word.text.upper()) == ("RAISE", TokenType.L_PAREN, "ROLLBACK"):
            text = f"{text[: word.start]}ABORT{text[word.end + 1 :]}"
    return text


def _changes(tree: exp.Expr) -> Iterable[Change]:
    if isinstance(tree, exp.Select):
        return
    table = target_of(tree)
    if isinstance(tree, exp.Update):
        yield Change(table, "UPDATE", frozenset(set_columns(tree.expressions)))
    elif isinstance(tree, exp.Delete):
        yield Change(table, "DELETE")
    else:
        yield Change(table, "INSERT")
        conflict = tree.args.get("conflict")
        if conflict is not None and conflict.expressions:
            yield Change(table, "UPDATE", frozenset(set_columns(conflict.expressions)))


def target_of(tree: exp.Expr) -> str:
    """Return the table a statement changes, in lower case. Errors: Untranslatable for an alias or another database."""
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(table, exp.Table) or table.alias or table.db:
        raise Untranslatable("a trigger whose statement names its table in a way that is not understood")
    return lower(table.name)


def set_columns(items: Sequence[exp.Expr]) -> list[str]:
    """Return the columns that SET names, in lower case."""
    found = []
    for item in items:
        if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
            raise Untranslatable("a trigger whose SET is not understood")
        found.append(lower(item.this.name))
    return found


def _readers(tree: exp.Expr) -> list[exp.Expr]:
    """Return the parts of a statement in which tables are read."""
    if isinstance(tree, exp.Select):
        return [tree]
    parts = [tree.args.get("where"), tree.args.get("expression"), tree.args.get("conflict"), tree.args.get("from_")]
    return [*tree.expressions, *(part for part in parts if isinstance(part, exp.Expr))]


def _tables(*trees: exp.Expr) -> frozenset[str]:
    return frozenset(lower(table.name) for tree in trees for table in tree.find_all(exp.Table))
