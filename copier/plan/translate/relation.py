"""What a query can name: relations, their columns, and the frames that nest them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from copier.plan.names import quote
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.scope import ROWID_NAMES, Scope, TableScope, lower
from copier.plan.translate.value import Value, column_value


@dataclass(frozen=True, slots=True)
class Output:
    """A column that a query or a table gives."""

    name: str
    """As SQLite calls it."""
    target: str
    """As PostgreSQL calls it, unquoted."""
    value: Value
    """Its SQL inside the query that makes it; what is known of it."""

    def seen_as(self, qualifier: str) -> Value:
        """Return the column as seen from outside, under a quoted qualifier."""
        known = self.value
        kind = {"jsonval": "text", "null": "any"}.get(known.kind, known.kind)
        return Value(
            f"{qualifier}.{quote(self.target)}",
            kind,  # type: ignore[arg-type]
            affinity=known.affinity,
            number=known.number,
            cast=known.cast,
            column=self.name,
            small=known.small,
            collated=known.collated,
            source_collation=known.source_collation,
            mixed=known.mixed,
        )


@dataclass(slots=True)
class Relation:
    """One item of FROM."""

    name: str
    """What qualifies its columns in SQLite."""
    qualifier: str
    """The same, quoted, in PostgreSQL."""
    outputs: tuple[Output, ...]
    rowid: Output | None = None
    hidden: set[str] = field(default_factory=set)
    """Columns (lower case) that a USING or NATURAL join has merged into an earlier relation's."""

    def find(self, name: str) -> Value | None:
        """Return the column SQLite finds under `name` here."""
        wanted = lower(name)
        for output in self.outputs:
            if lower(output.name) == wanted:
                return output.seen_as(self.qualifier)
        if wanted in ROWID_NAMES and self.rowid is not None:
            return self.rowid.seen_as(self.qualifier)
        return None


def table_outputs(table: TableScope) -> tuple[Output, ...]:
    """Return a table's columns. Outer joins make any column NULL, so none counts as NOT NULL here."""
    values = [(c, replace(column_value(c), not_null=False)) for c in table.columns.values()]
    return tuple(Output(c.source, c.target, value) for c, value in values)


def rowid_output(table: TableScope) -> Output | None:
    """Return the column that is the table's rowid."""
    column = table.rowid
    return None if column is None else Output(column.source, column.target, column_value(column))


@dataclass(slots=True)
class Frame:
    """The names one SELECT sees: its own relations, its aliases, and the SELECT around it."""

    relations: list[Relation] = field(default_factory=list)
    aliases: Mapping[str, exp.Expr] = field(default_factory=dict)
    outer: Frame | None = None

    def qualified(self, table: str, name: str) -> Value:
        """Return the column `table.name`."""
        frame: Frame | None = self
        while frame is not None:
            for relation in frame.relations:
                if lower(relation.name) == lower(table):
                    return _sure(relation.find(name), f"{table}.{name}")
            frame = frame.outer
        raise Untranslatable(f"{table}.{name} names no table here")

    def local(self, name: str) -> Value | None:
        """Return the column `name` of this frame's own relations."""
        found = [
            value
            for relation in self.relations
            if lower(name) not in relation.hidden and (value := relation.find(name)) is not None
        ]
        if len(found) > 1:
            raise Untranslatable(f"{name} could be a column of several tables")
        return found[0] if found else None


def _sure(value: Value | None, shown: str) -> Value:
    if value is None:
        raise Untranslatable(f"there is no column {shown}")
    return value


@dataclass(frozen=True, slots=True)
class World:
    """Where names of tables are looked up: common table expressions first, then the database."""

    scope: Scope
    ctes: Mapping[str, tuple[str, tuple[Output, ...]]] = field(default_factory=dict)
    """Lower-case name -> (quoted name, columns)."""

    def adding(self, name: str, outputs: Sequence[Output]) -> World:
        """Return this world with one more common table expression."""
        return replace(self, ctes={**self.ctes, lower(name): (quote(name), tuple(outputs))})

    def relation(self, name: str, alias: str) -> tuple[str, Relation]:
        """Return FROM's SQL for a table, view or common table expression, and its columns."""
        shown_alias = quote(alias) if alias else ""
        if lower(name) in self.ctes:
            quoted, outputs = self.ctes[lower(name)]
            return _aliased(quoted, shown_alias), Relation(alias or name, shown_alias or quoted, outputs)
        table = self.scope.table(name)
        if table is None:
            raise Untranslatable(f"it reads {name}, which is not in the target")
        relation = Relation(
            alias or table.source, shown_alias or quote(table.target), table_outputs(table), rowid_output(table)
        )
        return _aliased(self.scope.qualified(table), shown_alias), relation


def _aliased(sql: str, alias: str) -> str:
    return f"{sql} AS {alias}" if alias else sql


def unique_names(names: Iterable[str]) -> list[str]:
    """Return result names as SQLite makes them unique in a view: `id`, `id:1`, ..."""
    taken: set[str] = set()
    found: list[str] = []
    for name in names:
        count, unique = 0, name
        while lower(unique) in taken:
            count += 1
            base = name.rsplit(":", 1)[0] if name.rpartition(":")[2].isdigit() and ":" in name else name
            unique = f"{base}:{count}"
        taken.add(lower(unique))
        found.append(unique)
    return found
