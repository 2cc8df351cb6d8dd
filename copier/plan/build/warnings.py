"""What native types change for the application's own SQL, and which foreign keys lack an index, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from copier.plan.build.context import Context
from copier.plan.model import ColumnPlan, TablePlan
from copier.plan.types.declared import read_declared
from copier.plan.unindexed import unindexed_keys

_LISTED = 5
"""Columns named in one sentence; the plan file has them all."""

_CHANGES: tuple[tuple[Callable[[ColumnPlan], bool], str], ...] = (
    (
        lambda c: c.type.wire == "bool",
        "Now boolean: {}. SQL that compares with 0 and 1, or adds such columns up, must use true and false.",
    ),
    (
        lambda c: c.cast.startswith("epoch_") or c.cast == "julian",
        "Now times, stored as numbers before: {}. SQL that compares or computes with numbers must use times.",
    ),
    (
        lambda c: c.cast == "iso" and c.type.wire in ("timestamptz", "timestamp", "date", "time"),
        "Now dates or times, stored as text before: {}. SQL that cuts or compares it as text must use time functions.",
    ),
    (
        lambda c: c.type.wire == "uuid",
        "Now uuid: {}. They compare with uuid only, and are shown in lower case with hyphens.",
    ),
    (
        lambda c: c.type.wire == "jsonb",
        "Now jsonb: {}. json_extract becomes -> and ->>, and the text's own spacing and order of keys are not kept.",
    ),
    (
        lambda c: c.type.wire in ("inet", "cidr"),
        "Now inet: {}. LIKE and = with text need a cast.",
    ),
)


_OTHER_KIND: tuple[tuple[str, frozenset[str], str], ...] = (
    (
        "bytea",
        frozenset({"text"}),
        "Now bytea, declared as text: {}. Drivers return bytes, and functions of text need convert_from().",
    ),
    (
        "text",
        frozenset({"int", "real", "decimal"}),
        "Now text, declared as numbers: {}. SQL that computes with it, or sorts by it, must cast.",
    ),
)
"""Type that was chosen, families it may have been declared as, and what to say."""


def warn_changes(plans: Iterable[TablePlan], ctx: Context) -> None:
    """Add one sentence per kind of change, with the first of its columns."""
    plans = tuple(plans)
    _warn_lossy_json(plans, ctx)
    _warn_unindexed(plans, ctx)
    _warn_other_kind(plans, ctx)
    columns = [(plan, column) for plan in plans if not plan.existing for column in plan.columns]
    for applies, sentence in _CHANGES:
        names = [f"{plan.source}.{column.source}" for plan, column in columns if applies(column)]
        if names:
            ctx.warn(sentence.format(_some(names)) + " (--types=faithful keeps numbers and text.)")


def _warn_other_kind(plans: Iterable[TablePlan], ctx: Context) -> None:
    """Say where what is stored made a column another kind than the one it was declared as."""
    columns = [(plan, c, read_declared(c.declared).family) for plan in plans if not plan.existing for c in plan.columns]
    for wire, families, sentence in _OTHER_KIND:
        names = [
            f"{plan.source}.{c.source}" for plan, c, family in columns if c.type.wire == wire and family in families
        ]
        if names:
            ctx.warn(sentence.format(_some(names)))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _warn_unindexed(plans: Iterable[TablePlan], ctx: Context) -> None:
    keys = [f"{plan.target}.{'+'.join(key.columns)}" for plan in plans for key in unindexed_keys(plan)]
    if keys:
        ctx.warn(
            f"Foreign keys without an index: {_some(keys)}. Changing or deleting a parent, or joining from it, reads "
            "the whole table; inspect --plan-out writes add_indexes lines for them, to be uncommented."
        )


def _warn_lossy_json(plans: Iterable[TablePlan], ctx: Context) -> None:
    """Say it where jsonb was chosen by somebody else, for values of which it does not keep everything."""
    for plan in plans:
        profile = ctx.profiles.get(plan.source)
        for column in plan.columns:
            if profile is None or column.type.wire != "jsonb":
                continue
            fits = profile.columns[column.source].fits if column.source in profile.columns else {}
            lossy = fits.get("json", 0) - fits.get("json_container", 0)
            if lossy > 0:
                ctx.warn(
                    f'table "{plan.source}", column "{column.source}": {lossy:,} JSON values are no object or array, '
                    "or repeat a key, or hold a number jsonb does not keep; of a repeated key jsonb keeps the last."
                )
