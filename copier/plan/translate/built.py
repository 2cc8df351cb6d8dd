"""Queries under construction: their result columns can still be named and converted before they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from copier.plan.names import fold, quote, shorten
from copier.plan.translate.convert import unify
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.relation import Frame, Output, unique_names
from copier.plan.translate.scope import Scope, lower
from copier.plan.translate.value import Kind, Rules, Value

_RULES = Rules(strict=False)
_WIDEST: dict[Kind, str] = {"int": "bigint", "float": "double precision", "num": "numeric", "text": "text"}


@dataclass(slots=True)
class Built:
    """A query whose result columns can still be converted before it is written."""

    outputs: list[Output]
    body: str = ""
    """FROM and what follows it, but ORDER BY and LIMIT."""
    distinct: bool = False
    compound: bool = False
    left: Built | None = None
    right: Built | None = None
    operator: str = ""
    frame: Frame = field(default_factory=Frame)

    def leaves(self) -> list[Built]:
        """Return the SELECTs of a compound, in order."""
        if self.left is None or self.right is None:
            return [self]
        return [*self.left.leaves(), *self.right.leaves()]

    def sql(self) -> str:
        """Return the query without ORDER BY and LIMIT."""
        if self.left is not None and self.right is not None:
            left = f"({self.left.sql()})" if self.left.compound else self.left.sql()
            return f"{left} {self.operator} {self.right.sql()}"
        columns = ", ".join(_projection(o) for o in self.outputs)
        return f"SELECT {'DISTINCT ' if self.distinct else ''}{columns}{self.body}"


def _projection(output: Output) -> str:
    name = quote(output.target)
    bare = output.value.sql.rpartition('"."')
    same = output.value.atom and bare[1] and '"' + bare[2] == name
    return output.value.sql if same else f"{output.value.sql} AS {name}"


def agree(built: Built) -> None:
    """Give the columns of all parts of a compound one type each."""
    leaves = built.leaves()
    if len({len(leaf.outputs) for leaf in leaves}) != 1:
        raise Untranslatable("the parts of a compound SELECT have different numbers of columns")
    for index in range(len(leaves[0].outputs)):
        shown, model = unify([leaf.outputs[index].value for leaf in leaves], _RULES)
        for leaf, sql in zip(leaves, shown, strict=True):
            leaf.outputs[index] = _typed(leaf.outputs[index], sql, model)
    built.outputs = leaves[0].outputs


def _typed(output: Output, sql: str, model: Value) -> Output:
    atom = output.value.atom if sql == output.value.sql else False
    return replace(output, value=replace(model, sql=sql, atom=atom))


def widen(built: Built, kinds: Sequence[Kind]) -> None:
    """Give the columns of a recursive query the widest type of their kind, so that both its parts agree."""
    for leaf in built.leaves():
        for index, kind in enumerate(kinds):
            output = leaf.outputs[index]
            if kind in _WIDEST:
                cast = replace(output.value, sql=f"{output.value.operand}::{_WIDEST[kind]}", kind=kind, small=False)
                leaf.outputs[index] = replace(output, value=replace(cast, is_constant=False, constant=None, atom=True))
    built.outputs = built.leaves()[0].outputs


def _result_name(output: Output, position: int) -> str:
    """Return a column's name; SQLite will not have one called true or false."""
    return f"column{position}" if lower(output.name) in ("true", "false") else output.name


def rename(built: Built, names: Sequence[str] | None, scope: Scope) -> None:
    """Give the result columns the names a view has: unique, and those of its column list where it has one."""
    first = built.leaves()[0]
    if names is not None and len(names) != len(first.outputs):
        raise Untranslatable("its column list does not match its query")
    shown = unique_names(names if names is not None else map(_result_name, first.outputs, range(1, 10_000)))
    for index, (name, output) in enumerate(zip(shown, first.outputs, strict=True)):
        if name != output.name:
            first.outputs[index] = replace(output, name=name, target=shorten(fold(name, scope.names)))
    targets = unique_names(o.target for o in first.outputs)
    for index, target in enumerate(targets):
        first.outputs[index] = replace(first.outputs[index], target=shorten(target))
    built.outputs = first.outputs
