"""typeof(): the storage class a value had in SQLite, where PostgreSQL's type still says so."""

from __future__ import annotations

from collections.abc import Sequence

from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import FALSE, TRUE, Rules, Value, boolean, text, text_constant


def typeof(args: list[Value], rules: Rules) -> Value:
    """Return typeof(x) where the type of the column settles it."""
    found = storage_classes(args[0])
    if len(found) != 1:
        raise unsure_typeof(args[0])
    if args[0].not_null:
        return text_constant(found[0])
    return text(f"CASE WHEN {args[0].operand} IS NULL THEN 'null' ELSE '{found[0]}' END", not_null=True)


def unsure_typeof(value: Value) -> Untranslatable:
    """Return the reason why typeof() has no answer."""
    return Untranslatable(f"typeof() of {value.described()}: its type does not say what SQLite had stored")


def typeof_is(value: Value, names: Sequence[str], *, negate: bool) -> Value:
    """Return `typeof(value) [NOT] IN names`, which often is certain."""
    found = storage_classes(value)
    inside = [name in names for name in found]
    if not found or any(inside) != all(inside):
        raise unsure_typeof(value)
    if_filled, if_null = inside[0] != negate, ("null" in names) != negate
    if if_filled == if_null or value.not_null:
        return TRUE if if_filled else FALSE
    return boolean(f"{value.operand} IS {'NOT ' if if_filled else ''}NULL", not_null=True)


def storage_classes(value: Value) -> tuple[str, ...]:
    """Return the storage classes SQLite can have had for a value that is not NULL; () when that is unknown."""
    if value.is_null:
        return ("null",)
    if value.is_number or value.predicate:
        return {"int": ("integer",), "real": ("real",), "either": ("integer", "real")}.get(value.number, ("integer",))
    if value.kind == "bool":
        return ("integer", "text")
    if value.cast in ("epoch_s", "epoch_ms", "epoch_us"):
        return ("integer",) if value.affinity == "integer" else ("integer", "real")
    if value.cast == "julian":
        return ("real",)
    if value.column and value.affinity != "text" and value.kind == "text":
        return ()
    if value.kind == "bytea":
        return ("blob",) if not value.column or value.affinity == "blob" else ("blob", "text")
    return () if value.kind in ("any", "jsonval") else ("text",)
