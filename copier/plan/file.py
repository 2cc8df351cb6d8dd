"""The plan file: written by `inspect --plan-out`, edited by a person, obeyed by every later command.

One line per column, with the reason of its type. Reading checks every word against the plan made from the source
itself, and says the line and the choices when something is wrong. What the file says becomes `Choices`, and the plan is
built again with them, so that all that derives from a name or a type (indexes, defaults, checks, views) follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from copier.errors import PlanError
from copier.plan.build.build import PlanOptions, build_plan
from copier.plan.existing import TargetTables
from copier.plan.file_read import FORMAT, parse_file, read_choices
from copier.plan.model import ColumnPlan, ObjectNote, Plan, TablePlan
from copier.plan.pgtype import CASTS, POLICIES
from copier.plan.reasons import DROPPED_BY_PLAN, SKIPPED_BY_PLAN
from copier.plan.source import SourceSchema, TableProfile
from copier.plan.toml import toml_list, toml_string, toml_table
from copier.plan.unindexed import proposed_indexes

__all__ = ["dump_plan", "load_plan"]


def load_plan(
    text: str,
    schema: SourceSchema,
    profiles: Mapping[str, TableProfile],
    options: PlanOptions,
    existing: TargetTables | None = None,
    *,
    schema_name: str | None = None,
) -> Plan:
    """Return the plan with the file's decisions in place of the planner's own.

    The file's `schema`, `types` and `names` replace those of `options`; its tables are narrowed by the options' globs.
    `schema_name` overrides the file's target schema.
    Columns and tables the file does not name keep the planner's choice, with a warning. PlanError names the line.
    """
    document = parse_file(text)
    options = replace(
        options,
        schema=schema_name or document.schema_ or options.schema,
        types=document.types or options.types,
        names=document.names or options.names,
    )
    base = build_plan(schema, profiles, options, existing)
    choices = read_choices(text, document, base)
    try:
        return build_plan(schema, profiles, options, existing, choices)
    except PlanError as error:
        raise PlanError(f"the plan file: {error}", hint=error.hint) from None


def dump_plan(plan: Plan) -> str:
    """Return the plan as a TOML file with its explanation at the top."""
    lines = [
        *_HEAD,
        f"format = {FORMAT}",
        f"schema = {toml_string(plan.schema)}",
        f"types = {toml_string(plan.types)}",
        f"names = {toml_string(plan.names)}",
        f"extensions = {toml_list(plan.extensions)}",
        f"after_data = {toml_list(plan.after_data)}",
        f"settled = {toml_list(plan.settled)}",
    ]
    for table in plan.tables:
        lines += _table(table, plan)
    for note in plan.notes:
        if note.kind == "table" and note.detail == SKIPPED_BY_PLAN:
            lines += ["", f"[table.{toml_string(note.name)}]", "skip = true"]
    return "\n".join(lines) + "\n"


def _table(table: TablePlan, plan: Plan) -> Iterator[str]:
    yield ""
    size = f"{table.rows:,} rows" if table.rows != 1 else "1 row"
    yield f"# {size}{', in the target already' if table.existing else ''}"
    yield f"[table.{toml_string(table.source)}]"
    yield f"target = {toml_string(table.target)}"
    if table.added_columns:
        yield f"add_columns = {toml_table(dict(table.added_columns))}"
    if table.added_indexes:
        yield f"add_indexes = {toml_table(dict(table.added_indexes))}"
    if proposed := proposed_indexes(table):
        # Uncommented, it says what is there and what is proposed.
        yield f"# add_indexes = {toml_table(dict(table.added_indexes) | proposed)}  # foreign keys without an index"
    dropped = [n.name for n in plan.notes if n.table == table.source and n.detail == DROPPED_BY_PLAN]
    if dropped:
        yield f"drop_indexes = {toml_list(dropped)}"
    yield f"[table.{toml_string(table.source)}.columns]"
    undefaulted = {n.name for n in plan.notes if n.table == table.source and _is_dropped_default(n)}
    for column in table.columns:
        default = "" if column.source in undefaulted else None if table.existing else column.default
        yield f"{toml_string(column.source)} = {toml_table(_column(column, default))}"
    for note in plan.notes:
        if (note.kind, note.table, note.detail) == ("column", table.source, SKIPPED_BY_PLAN):
            yield f"{toml_string(note.name)} = {toml_table({'skip': True})}"


def _is_dropped_default(note: ObjectNote) -> bool:
    return note.kind == "default" and note.detail.startswith(DROPPED_BY_PLAN)


def _column(column: ColumnPlan, default: str | None) -> dict[str, str | bool]:
    values: dict[str, str | bool] = {
        "target": column.target,
        "from": column.declared,
        "type": column.type.sql,
        "cast": column.cast,
        "policy": column.policy,
    }
    if default is not None:
        values["default"] = default
    return values | {"reason": column.reason}


def _wrapped_choices() -> Iterator[str]:
    by_casts: dict[tuple[str, ...], list[str]] = {}
    for wire, casts in CASTS.items():
        by_casts.setdefault(casts, []).append(wire)
    for casts, wires in by_casts.items():
        yield f"#     {', '.join(wires)}: {', '.join(casts)}"


_HEAD = [
    "# How sqlite2pg moves this database. Edit it, then pass it with --plan.",
    "#",
    "# A line per column: target (its name in PostgreSQL), from (its declared type in SQLite), type, cast (how values",
    "# get there), policy (what happens to a value the cast refuses), default (a PostgreSQL expression), reason.",
    '# Also not_null = true or false, and default = "" for none, and skip = true to leave a column or table out.',
    "#",
    "# Types, and the casts that lead to them (varchar and numeric take arguments):",
    *_wrapped_choices(),
    "# epoch_s, epoch_ms, epoch_us: integers since 1970 in seconds, milli- and microseconds; iso: ISO 8601 text; UTC.",
    f"# Policies: {', '.join(POLICIES)}.",
    "#     reject: the row is set aside in the ledger; fail: stop; null_if_empty: '' becomes NULL; null: becomes NULL;",
    "#     default: becomes the column's default; strip, replace: NUL and broken UTF-8 are left out, or replaced.",
    "#",
    "# A table may also have:",
    "#     add_columns = { tsv = \"tsvector GENERATED ALWAYS AS (to_tsvector('english', body)) STORED\" }",
    '#     add_indexes = { messages_tsv = "USING gin (tsv)" }',
    '#     drop_indexes = ["name"]',
    "# extensions are created first, if the server has them; after_data are statements run at the end; settled are",
    "# objects that do not carry over (triggers, views, virtual tables ...) and that need nobody any more.",
    "",
]
