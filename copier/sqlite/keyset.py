"""The SQL of keyset pages: WHERE and ORDER BY that walk a key along its index.

Sources: SQLite docs, "Row Values" 3.2 (scrolling window queries), "Datatypes" 4.2 (affinity of a comparison).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from copier.plan.names import quote
from copier.plan.source import Key, Value
from copier.wire.cast import BrokenText


@dataclass(frozen=True, slots=True)
class Term:
    """One column of the key as the index orders it."""

    sql: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Keyset:
    """SELECT over the key's order. The table is `t`, so that a wrong name is an error, not a string literal."""

    select: str
    """`SELECT columns, key FROM table AS t`."""
    terms: tuple[Term, ...]
    spelled: bool = False
    """The terms carry the index's own collation and direction: a row value would not use the index."""

    def page(self, after: Key | None, upto: Key | None) -> tuple[str, Sequence[Value]]:
        """Return the query of the rows with after < key <= upto, and its parameters."""
        parameters = (after or ()) + (upto or ())
        bounds = []
        if after is not None:
            bounds.append(self._bound(_placeholders(after, 1), ">", "<"))
        if upto is not None:
            bounds.append(self._bound(_placeholders(upto, 1 + len(after or ())), "<", ">", inclusive="="))
        where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
        order = ", ".join(f"{term.sql} DESC" if term.descending else term.sql for term in self.terms)
        return f"{self.select}{where} ORDER BY {order}", parameters

    def _bound(self, values: list[str], rising: str, falling: str, inclusive: str = "") -> str:
        terms = self.terms
        if not self.spelled:
            left, right = ", ".join(term.sql for term in terms), ", ".join(values)
            return f"({left}) {rising}{inclusive} ({right})"
        # The first column alone bounds the index range.
        choices = []
        for place, term in enumerate(terms):
            same = [f"{t.sql} = {v}" for t, v in zip(terms[:place], values[:place], strict=True)]
            last = inclusive if place == len(terms) - 1 else ""
            operator = (falling if term.descending else rising) + last
            choices.append(" AND ".join([*same, f"{term.sql} {operator} {values[place]}"]))
        first = f"{terms[0].sql} {falling if terms[0].descending else rising}= {values[0]}"
        return f"{first} AND ({' OR '.join(f'({choice})' for choice in choices)})"


def _placeholders(key: Key, start: int) -> list[str]:
    # Python binds BrokenText as a blob. The `+` takes the affinity of CAST away, which the comparison must not see.
    return [
        f"+CAST(?{place} AS TEXT)" if isinstance(value, BrokenText) else f"?{place}"
        for place, value in enumerate(key, start)
    ]


def make_keyset(raw: sqlite3.Connection, table: str, columns: Sequence[str], key: Sequence[str]) -> Keyset:
    """Return the keyset of `table` that walks an index: the rowid, or the primary key's own.

    Columns as they are come first, since only then can a row value seek. NOT INDEXED keeps SQLite from a covering
    index and a sort; the rowid and the primary key of a WITHOUT ROWID table stay available (SQLite docs, "INDEXED BY").
    """
    selected = ", ".join(f"t.{quote(name)}" for name in (*columns, *key))
    select = f"SELECT {selected} FROM {quote(table)} AS t"
    plain = Keyset(f"{select} NOT INDEXED", tuple(Term(f"t.{quote(name)}") for name in key))
    choices = [plain, replace(plain, select=select)]
    if terms := _primary_terms(raw, table, key):
        spelled = Keyset(f"{select} NOT INDEXED", terms, spelled=True)
        choices += [spelled, replace(spelled, select=select)]
    return next((choice for choice in choices if not sorts(raw, choice)), choices[-1])


def sorts(raw: sqlite3.Connection, keyset: Keyset) -> bool:
    """Whether SQLite would sort rows to answer the keyset's query, instead of walking an index."""
    sql, _ = keyset.page(None, None)
    return any("TEMP B-TREE" in str(row[3]) for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}"))


def _primary_terms(raw: sqlite3.Connection, table: str, key: Sequence[str]) -> tuple[Term, ...]:
    """The key's terms with the collation and direction of the primary key's index; () when the key is not that."""
    found = raw.execute("SELECT name FROM pragma_index_list(?) WHERE origin = 'pk'", (table,)).fetchone()
    if found is None:
        return ()
    sql = 'SELECT name, "desc", coll FROM pragma_index_xinfo(?) WHERE "key" ORDER BY seqno'
    parts = {str(name).lower(): (descending, coll) for name, descending, coll in raw.execute(sql, found)}
    if {name.lower() for name in key} != set(parts):
        return ()
    terms = []
    for name in key:
        descending, collation = parts[name.lower()]
        terms.append(Term(f"t.{quote(name)} COLLATE {quote(collation)}", bool(descending)))
    return tuple(terms) if len({term.descending for term in terms}) > 1 else _rising(terms)


def _rising(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Columns that all fall are walked backwards, as if they rose."""
    return tuple(replace(term, descending=False) for term in terms)
