"""SQLite views -> PostgreSQL queries, with the same columns under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sqlglot.tokenizer_core import Token, TokenType

from copier.plan.model import ColumnPlan
from copier.plan.pgtype import PgType
from copier.plan.translate.parse import Untranslatable, parse_query, shallow, tokenize
from copier.plan.translate.relation import Output
from copier.plan.translate.scope import UNKNOWN, Scope, TableScope, lower
from copier.plan.translate.select import Queries
from copier.plan.translate.value import Affinity, Kind

__all__ = ["TranslatedView", "Untranslatable", "translate_view", "translate_views", "view_scope"]

_TYPES: dict[Kind, str] = {
    **{"bool": "bool", "int": "int8", "num": "numeric", "float": "float8", "text": "text", "bytea": "bytea"},
    **{"uuid": "uuid", "json": "json", "jsonb": "jsonb", "inet": "inet", "timestamptz": "timestamptz"},
    **{"timestamp": "timestamp", "date": "date", "time": "time"},
}
_DECLARED: dict[Affinity, str] = {
    "text": "TEXT",
    "numeric": "NUMERIC",
    "integer": "INTEGER",
    "real": "REAL",
    "blob": "",
}


@dataclass(frozen=True, slots=True)
class TranslatedView:
    """A view's query, and its columns as later views may name them."""

    query: str
    columns: tuple[ColumnPlan, ...]


def translate_view(sql: str, scope: Scope) -> str:
    """Return the query of a whole CREATE VIEW, its tables qualified with the schema. Errors: Untranslatable."""
    return view_of(sql, scope).query


def view_of(sql: str, scope: Scope) -> TranslatedView:
    """Return the query of a whole CREATE VIEW and its columns. Errors: Untranslatable."""
    with shallow():
        names, query = _split(sql)
        shown, outputs = Queries(scope, query).top(parse_query(query), names)
        return TranslatedView(shown, tuple(_column(o) for o in outputs))


def view_scope(source: str, target: str, view: TranslatedView) -> TableScope:
    """Return a translated view as something that other views can read."""
    return TableScope(source, target, {lower(c.source): c for c in view.columns})


def translate_views(
    views: Iterable[tuple[str, str, str]], scope: Scope
) -> Mapping[str, TranslatedView | Untranslatable]:
    """Translate views given as (source name, target name, CREATE VIEW), each after those that it reads.

    Returns source name -> result, in an order in which PostgreSQL can create them; refused ones come last.
    """
    waiting = {source: (target, sql) for source, target, sql in views}
    scope = scope.without(waiting)  # what they give is known only once they are translated
    done: dict[str, TranslatedView | Untranslatable] = {}
    refused: dict[str, Untranslatable] = {}
    while waiting:
        progress = False
        for source, (target, sql) in list(waiting.items()):
            try:
                found = view_of(sql, scope)
            except Untranslatable as error:
                refused[source] = error
                continue
            scope = scope.adding(view_scope(source, target, found))
            done[source] = found
            del waiting[source]
            progress = True
        if not progress:
            break
    return {**done, **{source: refused[source] for source in waiting}}


def _split(sql: str) -> tuple[list[str], str]:
    """Return the column list and the query of CREATE [TEMP] VIEW [IF NOT EXISTS] [schema.]name [(..)] AS .."""
    tokens = tokenize(sql)
    words = [token.text.upper() for token in tokens]
    if words[:1] != ["CREATE"] or "VIEW" not in words[:3]:
        raise Untranslatable("is no CREATE VIEW")
    at = words.index("VIEW") + 1
    at += 3 * (words[at : at + 3] == ["IF", "NOT", "EXISTS"])
    at += 1
    if words[at : at + 1] == ["."]:
        at += 2
    names: list[str] = []
    if words[at : at + 1] == ["("]:
        end = words.index(")", at)
        names = [t.text for t in tokens[at + 1 : end] if t.token_type is not TokenType.COMMA]
        at = end + 1
    if words[at : at + 1] != ["AS"] or at + 1 >= len(tokens):
        raise Untranslatable("is no CREATE VIEW")
    return names, sql[_start(tokens[at + 1]) :]


def _start(token: Token) -> int:
    start: int = token.start
    return start


def _column(output: Output) -> ColumnPlan:
    """Return a result column as a plan, so that a view can be read like a table."""
    value = output.seen_as("")
    wire = _TYPES.get(value.kind)
    if value.kind == "int" and value.small:
        wire = "int4"
    affinity = "real" if value.number == "real" else value.affinity or ("integer" if value.number == "int" else "")
    kind = PgType(wire) if wire is not None else UNKNOWN
    plan = ColumnPlan(output.name, output.target, _DECLARED.get(affinity or "blob", ""), kind, value.cast)
    return replace(
        plan,
        collation="view" if value.collated else None,
        mixed=value.mixed,
        source_collation=value.source_collation or "BINARY",
    )
