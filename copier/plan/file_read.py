"""Reading of plan files: the form by pydantic, the meaning against the plan made from the source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from copier.errors import PlanError
from copier.plan.build.settled import settleable
from copier.plan.choices import Choices, ColumnChoice, TableChoice
from copier.plan.model import ColumnPlan, Names, Plan, TablePlan, Types
from copier.plan.names import MAX_IDENTIFIER_BYTES
from copier.plan.pgtype import CASTS, POLICIES, PgType, parse_type
from copier.plan.toml import line_of, read_toml, toml_string

FORMAT = 1
"""Of the plan file; a change that older versions would misread gets a new number."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ColumnEntry(_Strict):
    """One line of a `columns` table."""

    target: str | None = None
    from_: str | None = Field(None, alias="from")
    type: str | None = None
    cast: str | None = None
    policy: str | None = None
    reason: str | None = None
    not_null: bool | None = None
    default: str | None = None
    skip: bool = False


class TableEntry(_Strict):
    """One `[table."name"]`."""

    target: str | None = None
    skip: bool = False
    columns: dict[str, ColumnEntry] = Field(default_factory=dict)
    add_columns: dict[str, str] = Field(default_factory=dict)
    add_indexes: dict[str, str] = Field(default_factory=dict)
    drop_indexes: list[str] = Field(default_factory=list)


class PlanDocument(_Strict):
    """A whole plan file."""

    format: Literal[1]
    schema_: str | None = Field(None, alias="schema", min_length=1)
    types: Types | None = None
    names: Names | None = None
    extensions: list[str] = Field(default_factory=list)
    after_data: list[str] = Field(default_factory=list)
    settled: list[str] = Field(default_factory=list)
    table: dict[str, TableEntry] = Field(default_factory=dict)


def parse_file(text: str) -> PlanDocument:
    """Return the file's contents; PlanError with the line when it is no TOML or has a key or value of a wrong kind."""
    try:
        return PlanDocument.model_validate(read_toml(text))
    except ValidationError as error:
        raise _wrong_form(text, error) from None


def _wrong_form(text: str, error: ValidationError) -> PlanError:
    # A misspelt key is also a missing one: say the misspelling.
    first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    *place, key = (str(part) for part in first["loc"])
    where = _place_words(place)
    line = line_of(text, [*place, key])
    if first["type"] == "extra_forbidden":
        return PlanError(f"{where}unknown key {key!r}; choose one of {', '.join(_keys(place))}", line=line)
    if first["type"] == "missing":
        return PlanError(f"{where}{key!r} is missing", line=line, hint=f'The file begins with "{key} = {FORMAT}".')
    wanted = _wanted(first["type"], first["loc"], str(first.get("ctx", {}).get("expected")))
    return PlanError(f"{where}{_subject(first['loc'])} = {_shown(first['input'])}: write {wanted}", line=line)


def _subject(place: tuple[int | str, ...]) -> str:
    """Return what has the wrong value, in the file's own terms; its table and column are said before it."""
    match place:
        case ("table", name):
            return f'table "{name}"'
        case ("table", _, "columns", name):
            return f'column "{name}"'
        case (*_, str(key), int(number)):
            return f"entry {number + 1} of {key}"
        case ("table", _, key, name):
            return f'{key} "{name}"'
    return str(place[-1])


_SHOWN_CHARS = 60
_WANTED = {
    "string_type": "a string in quotes",
    "string_too_short": "a name; without the line it is public",
    "bool_type": "true or false",
    "list_type": 'a list of strings, such as ["a", "b"]',
}


def _wanted(kind: str, place: tuple[int | str, ...], choices: str) -> str:
    if kind == "literal_error":
        return f"{choices}{', the format this version reads' if place == ('format',) else ''}"
    if (wanted := _WANTED.get(kind)) is not None:
        return wanted
    match place:
        case ("table", *names) if len(names) < 2:
            return f"a section [table.{toml_string(str(names[0]) if names else 'NAME')}]"
        case ("table", name, "columns"):
            return f"a section [table.{toml_string(str(name))}.columns], with a line per column"
        case ("table", _, "columns", _):
            return "its keys in braces, such as { skip = true }"
    return 'names and definitions in braces: { name = "definition" }'


def _shown(value: object) -> str:
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]} ..."


def _place_words(place: list[str]) -> str:
    words = []
    if len(place) > 1 and place[0] == "table":
        words.append(f'table "{place[1]}"')
    if len(place) > 3:
        words.append(f'column "{place[3]}"' if place[2] == "columns" else place[2])
    return ", ".join(words) + ": " if words else ""


def _keys(place: list[str]) -> Iterable[str]:
    entries: dict[int, type[_Strict]] = {0: PlanDocument, 2: TableEntry}
    entry = entries.get(len(place), ColumnEntry)
    return sorted(field.alias or name for name, field in entry.model_fields.items())


def read_choices(text: str, document: PlanDocument, base: Plan) -> Choices:
    """Return what the file decides; `base` is the plan without it. PlanError with the line for anything unknown."""
    return _Reader(text, base).choices(document)


@dataclass(frozen=True, slots=True)
class _Reader:
    text: str
    base: Plan

    def error(self, message: str, *path: str, hint: str = "") -> PlanError:
        return PlanError(f"{_place_words(list(path))}{message}", line=line_of(self.text, path), hint=hint)

    def choices(self, document: PlanDocument) -> Choices:
        known = {table.source for table in self.base.tables}
        left_out = {note.name for note in self.base.notes if note.kind == "table"}
        for name in document.table:
            if name not in known | left_out:
                raise self.error(f"the source has no such table; it has {_listed(known | left_out)}", "table", name)
        for name in document.settled:
            if name not in (objects := settleable(self.base)):
                raise self.error(f'settled: the source has no "{name}"; it has {_listed(objects)}', "settled")
        warnings = [
            f'table "{name}" is not in the plan file: the planner\'s choice is used.'
            for name in (table.source for table in self.base.tables)
            if name not in document.table
        ]
        tables: dict[str, TableChoice] = {}
        for table in self.base.tables:
            if (entry := document.table.get(table.source)) is not None:
                tables[table.source] = self.table(table, entry, warnings)
        return Choices(
            tables=tables,
            extensions=tuple(document.extensions),
            after_data=tuple(document.after_data),
            settled=tuple(document.settled),
            warnings=tuple(warnings),
        )

    def table(self, table: TablePlan, entry: TableEntry, warnings: list[str]) -> TableChoice:
        path = ("table", table.source)
        if entry.target is not None:
            self.check_name(entry.target, *path, "target")
        self.check_indexes(table, entry)
        if not entry.skip:
            self.check_columns(table, entry, warnings)
        by_name = {column.source: column for column in table.columns}
        columns = {
            name: self.column(by_name[name], one, table) if name in by_name else _unmatched(one)
            for name, one in entry.columns.items()
        }
        return TableChoice(
            target=entry.target,
            skip=entry.skip,
            columns=columns,
            added_columns=tuple(entry.add_columns.items()),
            added_indexes=tuple(entry.add_indexes.items()),
            drop_indexes=frozenset(entry.drop_indexes),
        )

    def check_indexes(self, table: TablePlan, entry: TableEntry) -> None:
        known = {name for i in table.indexes if i.constraint != "primary key" for name in (i.name, i.source_name)}
        known |= {note.name for note in self.base.notes if note.table == table.source and note.kind in _INDEX_KINDS}
        for name in entry.drop_indexes:
            if name not in known:
                message = f'drop_indexes: no index "{name}"; the table has {_listed(known - {""})}'
                raise self.error(message, "table", table.source, "drop_indexes")
        for key, names in (("add_columns", entry.add_columns), ("add_indexes", entry.add_indexes)):
            for name in names:
                self.check_name(name, "table", table.source, key, name)

    def check_columns(self, table: TablePlan, entry: TableEntry, warnings: list[str]) -> None:
        notes = {n.name for n in self.base.notes if n.kind == "column" and n.table == table.source}
        known = {column.source for column in table.columns}
        for name in entry.columns:
            if name not in known | notes:
                raise self.error(
                    f"the source has no such column; the table has {_listed(known)}",
                    *("table", table.source, "columns", name),
                )
        if known and known <= {name for name, one in entry.columns.items() if one.skip}:
            raise self.error("every column is skipped", "table", table.source, hint="Write skip = true for the table.")
        for name in (column.source for column in table.columns):
            if name not in entry.columns:
                where = f'table "{table.source}": column "{name}"'
                warnings.append(f"{where} is not in the plan file: the planner's choice is used.")
            elif (given := entry.columns[name].from_) is not None:
                warnings += self.changed(table, name, given)

    def changed(self, table: TablePlan, name: str, given: str) -> list[str]:
        declared = next(column.declared for column in table.columns if column.source == name)
        if given == declared:
            return []
        return [f'table "{table.source}": column "{name}" is declared {declared!r}, in the plan file still {given!r}.']

    def column(self, column: ColumnPlan, entry: ColumnEntry, table: TablePlan) -> ColumnChoice:
        path = ("table", table.source, "columns", column.source)
        if entry.target is not None:
            self.check_name(entry.target, *path, "target")
        type_ = self.type(column, entry, *path)
        wire = (type_ or column.type).wire
        if entry.cast is not None and entry.cast not in CASTS[wire]:
            choices = ", ".join(CASTS[wire])
            said = f'cast "{entry.cast}" does not lead to {(type_ or column.type).sql}; choose one of {choices}'
            raise self.error(said, *path, "cast")
        if entry.policy is not None and entry.policy not in POLICIES:
            raise self.error(f'policy "{entry.policy}" is not one of {", ".join(POLICIES)}', *path, "policy")
        if entry.default and column.identity and wire in ("int2", "int4", "int8"):
            raise self.error("an identity column cannot have a default", *path, "default")
        return ColumnChoice(
            target=entry.target,
            type=type_,
            cast=entry.cast,
            policy=entry.policy,
            reason=entry.reason,
            not_null=entry.not_null,
            default=None if entry.default == column.default else entry.default,
            skip=entry.skip,
        )

    def type(self, column: ColumnPlan, entry: ColumnEntry, *path: str) -> PgType | None:
        if entry.type is None or entry.type == column.type.sql:
            return column.type if entry.type is not None else None
        try:
            return parse_type(entry.type)
        except ValueError as error:
            raise self.error(f"type {error}", *path, "type") from None

    def check_name(self, name: str, *path: str) -> None:
        size = len(name.encode(errors="replace"))
        if not name or "\0" in name or size > MAX_IDENTIFIER_BYTES:
            said = f"{name!r} cannot be a name: PostgreSQL takes 1 to {MAX_IDENTIFIER_BYTES} bytes without NUL"
            raise self.error(said, *path)


def _unmatched(entry: ColumnEntry) -> ColumnChoice:
    """Return the decisions about a column that found no place in the target; another name may find it one."""
    return ColumnChoice(target=entry.target, policy=entry.policy, skip=entry.skip)


_INDEX_KINDS = ("index", "unique")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(names)) or "none"
