"""Planning of views, triggers, virtual tables and what SQLite keeps for itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from copier.plan.bookkeeping import BOOKKEEPING
from copier.plan.build.context import Context, TableDraft
from copier.plan.build.tables import target_name
from copier.plan.model import TablePlan, TriggerPlan, ViewPlan
from copier.plan.names import quote, shorten
from copier.plan.reasons import TABLE_EXISTS
from copier.plan.source import SourceObject
from copier.plan.toml import toml_string
from copier.plan.translate.parse import Untranslatable, shallow
from copier.plan.translate.scope import Scope, TableScope, lower
from copier.plan.translate.trigger.actions import read_program
from copier.plan.translate.trigger.facts import Facts
from copier.plan.translate.trigger.translate import translate_trigger
from copier.plan.translate.views import translate_views, view_scope


def warn_bookkeeping(drafts: Iterable[TableDraft], ctx: Context) -> None:
    """Say which tables record applied migrations: they are copied, and mean another database's schema."""
    for draft in drafts:
        if (owner := BOOKKEEPING.get(draft.source.name.lower())) is not None:
            ctx.warn(
                f'table "{draft.source.name}" records the migrations applied by {owner}. It is copied as it is; '
                f"check that {owner} agrees with the new schema before it runs there."
            )


def view_names(ctx: Context) -> dict[str, str]:
    """Return source view -> target name."""
    return {one.name: target_name(one.name, ctx) for one in ctx.schema.objects if one.kind == "view"}


def plan_views(
    targets: dict[str, str], scope: Scope, ctx: Context
) -> tuple[tuple[ViewPlan, ...], dict[str, TableScope]]:
    """Return the translated views, each after those it reads, and what they give, by source name in lower case.

    The others become notes with their SQL.
    """
    sqls = {one.name: one.sql or "" for one in ctx.schema.objects if one.kind == "view"}
    found, scopes = [], {}
    for name, view in translate_views(((name, targets[name], sql) for name, sql in sqls.items()), scope).items():
        if isinstance(view, Untranslatable):
            ctx.note("view", name, None, f"{view}: {sqls[name]}")
        else:
            found.append(ViewPlan(name, targets[name], view.query, sqls[name]))
            scopes[lower(name)] = view_scope(name, targets[name], view)
    return tuple(found), scopes


def plan_triggers(
    plans: tuple[TablePlan, ...], views: dict[str, TableScope], scope: Scope, ctx: Context
) -> tuple[TriggerPlan, ...]:
    """Return the triggers that can be translated; the others become notes with their SQL."""
    by_source = {plan.source.lower(): plan for plan in plans}
    triggers = [one for one in ctx.schema.objects if one.kind == "trigger"]
    names = {one.name: ctx.names.take(target_name(one.name, ctx)) for one in triggers}
    facts = _trigger_facts(plans, views, names, ctx)
    found = []
    for one in triggers:
        plan = by_source.get((one.table or "").lower())
        try:
            if plan is not None and plan.existing:
                raise Untranslatable(TABLE_EXISTS)
            trigger = translate_trigger(one.sql or "", scope, name=names[one.name], facts=facts)
        except Untranslatable as error:
            ctx.note("trigger", one.name, one.table, f"{error}: {one.sql}")
        else:
            found.append(trigger)
    return tuple(found)


def _trigger_facts(
    plans: tuple[TablePlan, ...], views: dict[str, TableScope], names: dict[str, str], ctx: Context
) -> Facts:
    """Return what triggers must know of each other and of the tables."""
    programs = []
    for one in ctx.schema.objects:
        if one.kind == "trigger":
            with suppress(Untranslatable), shallow():
                programs.append(read_program(one.sql or ""))
    virtual = {lower(one.name): one.detail for one in ctx.schema.objects if one.kind == "virtual table"}
    return Facts.of(plans, ctx.schema.tables, virtual=virtual, views=views, programs=programs, names=names)


def note_others(plans: Iterable[TablePlan], ctx: Context) -> None:
    """Settle virtual, shadow and internal tables: none of them is copied."""
    by_source = {plan.source.lower(): plan for plan in plans}
    for one in ctx.schema.objects:
        if one.kind == "virtual table":
            ctx.note(one.kind, one.name, None, _virtual(one, by_source, ctx))
        elif one.kind == "shadow table":
            ctx.note(one.kind, one.name, one.table, f"belongs to the virtual table {one.table}; not copied")
        elif one.kind == "internal table":
            ctx.note(one.kind, one.name, None, _INTERNAL.get(one.name.lower(), "SQLite's own; not copied"))


_INTERNAL = {
    "sqlite_sequence": "its positions become those of the identity columns",
    "sqlite_stat1": "statistics; ANALYZE makes PostgreSQL's own",
    "sqlite_stat4": "statistics; ANALYZE makes PostgreSQL's own",
}


def _virtual(one: SourceObject, plans: dict[str, TablePlan], ctx: Context) -> str:
    module = one.detail.lower()
    if module.startswith("fts"):
        return f"{one.detail} is not copied. {_full_text(one, plans, ctx)}"
    if module.startswith(("rtree", "geopoly")):
        return (
            f"{one.detail} is not copied. A GiST index on a box or PostGIS column would serve in its place: {one.sql}"
        )
    return f"the module {one.detail or 'of this table'} has no counterpart; not copied: {one.sql}"


_CONTENT = re.compile(r"""content\s*=\s*(?:"([^"]+)"|'([^']+)'|\[([^\]]+)\]|`([^`]+)`|(\w+))""", re.I)


def _full_text(one: SourceObject, plans: dict[str, TablePlan], ctx: Context) -> str:
    """Return the proposal of a tsvector column and a GIN index on the table that holds the text."""
    match = _CONTENT.search(one.sql or "")
    name = next((group for group in match.groups() if group), "") if match is not None else ""
    plan = plans.get(name.lower())
    if plan is None:
        return f"It holds its own text, which is not copied either; its definition: {one.sql}"
    indexed = {column.lower() for column in one.columns}
    texts = [c.target for c in plan.columns if c.source.lower() in indexed and c.type.is_text and not c.generated]
    if not texts:
        return f'Its text is in table "{plan.source}".'
    column = shorten(f"{'_'.join(texts)}_tsvector")
    words = " || ' ' || ".join(f"coalesce({quote(text)}, '')" for text in texts)
    vector = f"tsvector GENERATED ALWAYS AS (to_tsvector('english', {words})) STORED"
    index, using = target_name(f"{one.name}_idx", ctx), f"USING gin ({quote(column)})"
    return (
        f'For full-text search put this under [table."{plan.source}"] in the plan file: '
        f"add_columns = {{ {toml_string(column)} = {toml_string(vector)} }} and "
        f"add_indexes = {{ {toml_string(index)} = {toml_string(using)} }}"
    )
