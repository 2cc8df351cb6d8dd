"""Source schema, profile, and what the target has already -> the plan.

The steps, each in its own `build_*` module: choose tables, names and types; let both sides of foreign keys agree;
translate defaults, generated columns, checks, indexes; resolve foreign keys; translate views and triggers; settle the
rest as notes. Every object of the source ends either in the plan or in exactly one note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from copier.errors import PlanError
from copier.plan.build.agree import agree
from copier.plan.build.columns import plan_checks, plan_table
from copier.plan.build.context import Context, PlanOptions, TableDraft
from copier.plan.build.fks import plan_foreign_keys
from copier.plan.build.keys import plan_indexes
from copier.plan.build.objects import note_others, plan_triggers, plan_views, view_names, warn_bookkeeping
from copier.plan.build.settled import leave_settled, settle
from copier.plan.build.tables import draft_tables
from copier.plan.build.warnings import warn_changes
from copier.plan.choices import NO_CHOICES, Choices
from copier.plan.existing import NO_TABLES, TargetTables
from copier.plan.model import Plan, TablePlan
from copier.plan.source import SourceSchema, TableProfile
from copier.plan.translate.scope import Scope, TableScope

__all__ = ["PlanOptions", "build_plan"]


def build_plan(
    schema: SourceSchema,
    profiles: Mapping[str, TableProfile],
    options: PlanOptions,
    existing: TargetTables | None = None,
    choices: Choices = NO_CHOICES,
) -> Plan:
    """Return the plan; `profiles` is by source table, and may lack tables that were not profiled.

    PlanError when two names become one; UsageError when a glob matches nothing. `choices` is what the plan file says
    (`copier.plan.file.read_choices`).
    """
    ctx = Context(schema, profiles, options, existing or NO_TABLES, choices)
    drafts = agree(draft_tables(ctx))
    views = view_names(ctx)
    _reserve(drafts, views, ctx)
    plans = tuple(plan_table(draft, ctx) for draft in drafts)
    plans = _with_keys(drafts, plans, ctx)
    scope = Scope.of(options.schema, plans, names=options.names)
    view_plans, view_scopes = plan_views(views, scope, ctx)
    trigger_plans = plan_triggers(plans, view_scopes, scope, ctx)
    view_plans, trigger_plans, left = leave_settled(view_plans, trigger_plans, choices.settled)
    ctx.notes += left
    note_others(plans, ctx)
    warn_bookkeeping(drafts, ctx)
    warn_changes(plans, ctx)
    return Plan(
        tables=plans,
        schema=options.schema,
        types=options.types,
        names=options.names,
        views=view_plans,
        triggers=trigger_plans,
        extensions=choices.extensions,
        after_data=choices.after_data,
        settled=choices.settled,
        notes=tuple(settle(ctx.notes, choices.settled)),
        warnings=(*ctx.warnings, *choices.warnings),
    )


def _reserve(drafts: tuple[TableDraft, ...], views: dict[str, str], ctx: Context) -> None:
    """Take the names of tables, views and identity sequences before any index can; PlanError when two are one."""
    owners: dict[str, str] = {draft.target: f'table "{draft.source.name}"' for draft in drafts}
    for source, target in views.items():
        if target in owners:
            raise PlanError(
                f'{owners[target]} and view "{source}" would both become "{target}"',
                hint="Use --names=exact, or give the table another target in the plan file.",
            )
        owners[target] = f'view "{source}"'
    ctx.names.reserve(owners)
    ctx.names.reserve(ctx.existing)
    for draft in drafts:
        ctx.names.reserve(name for name, _ in draft.choice.added_indexes)
        ctx.names.reserve(f"{draft.target}_{column.target}_seq" for column in draft.columns)


def _with_keys(drafts: tuple[TableDraft, ...], plans: tuple[TablePlan, ...], ctx: Context) -> tuple[TablePlan, ...]:
    """Return the plans with checks, indexes and foreign keys; tables that exist already get none."""
    built = []
    for draft, plan in zip(drafts, plans, strict=True):
        if not plan.existing:
            scope = TableScope.of(plan)
            plan = replace(plan, indexes=plan_indexes(draft, scope, ctx), checks=plan_checks(draft, scope, ctx))
        built.append(plan)
    by_draft = {draft.source.name.lower(): draft for draft in drafts}
    by_plan = {plan.source.lower(): plan for plan in built}
    return tuple(
        plan if plan.existing else replace(plan, foreign_keys=plan_foreign_keys(draft, by_draft, by_plan, ctx))
        for draft, plan in zip(drafts, built, strict=True)
    )
