"""JSON functions and the arrow operators (sqlite.org/json1.html), on JSON columns and on text that is JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from copier.plan.names import literal
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import Rules, Value, integer, text

_STEP = re.compile(r'\.(?:"([^"]*)"|([^."\[\]]+))|\[([0-9]+)\]')


def document(value: Value, rules: Rules) -> Value:
    """Return a value as jsonb."""
    if value.json:
        return Value(value.json, "jsonb", not_null=value.not_null)
    if value.kind == "jsonb":
        return value
    if value.kind == "json" or (value.kind == "text" and not rules.strict):
        return Value(f"{value.operand}::jsonb", "jsonb", not_null=value.not_null)
    raise Untranslatable(f"JSON function on {value.described()}, which is not of a JSON type")


def path_of(text_path: str) -> list[str]:
    """Return the steps of a path such as $.a.b[0]; Untranslatable for any other form."""
    if not text_path.startswith("$"):
        raise Untranslatable(f"JSON path {text_path!r}")
    steps: list[str] = []
    position = 1
    while position < len(text_path):
        found = _STEP.match(text_path, position)
        if found is None:
            raise Untranslatable(f"JSON path {text_path!r}")
        steps.append(next(group for group in found.groups() if group is not None))
        position = found.end()
    return steps


def _array(steps: Sequence[str]) -> str:
    """Return the steps as a text[] literal."""
    quoted = ",".join(s if re.fullmatch(r"[A-Za-z0-9_]+", s) and s.lower() != "null" else _element(s) for s in steps)
    return literal("{" + quoted + "}")


def _element(step: str) -> str:
    return '"' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _constant_path(value: Value, *, arrow: bool) -> list[str]:
    raw = value.constant
    if arrow and isinstance(raw, int) and not isinstance(raw, bool):
        return [str(raw)]
    if not isinstance(raw, str):
        raise Untranslatable("a JSON path that is not constant")
    return path_of(raw) if raw.startswith("$") or not arrow else [raw]


def extract(args: list[Value], rules: Rules) -> Value:
    """Return json_extract(x, path) or `x ->> path`: text, number or NULL by what the row holds."""
    if len(args) != 2:
        raise Untranslatable("json_extract() of several paths")
    return _scalar(document(args[0], rules), _constant_path(args[1], arrow=False))


def arrow(name: str, args: list[Value], rules: Rules) -> Value:
    """Return `x -> path` or `x ->> path`."""
    found = document(args[0], rules)
    steps = _constant_path(args[1], arrow=True)
    if name == "->>":
        return _scalar(found, steps)
    return Value(f"{found.operand} #> {_array(steps)}", "jsonb", False)


def _scalar(found: Value, steps: Sequence[str]) -> Value:
    shown = f"{found.operand} #>> {_array(steps)}"
    return Value(shown, "jsonval", False, json=f"({found.operand} #> {_array(steps)})")


def array_length(args: list[Value], rules: Rules) -> Value:
    """Return json_array_length(x[, path]): 0 for what is no array."""
    at = _at(args, rules)
    test = f"jsonb_typeof({at})"
    counted = f"CASE {test} WHEN 'array' THEN jsonb_array_length({at}) ELSE 0 END"
    return integer(f"CASE WHEN {at} IS NOT NULL THEN {counted} END", small=True, nonneg=True)


def json_type(args: list[Value], rules: Rules) -> Value:
    """Return json_type(x[, path])."""
    at = _at(args, rules)
    inner = f"({at} #>> '{{}}')"
    kinds = (
        f"WHEN 'string' THEN 'text' WHEN 'boolean' THEN {inner} "
        f"WHEN 'number' THEN CASE WHEN {inner} ~ '[.eE]' THEN 'real' ELSE 'integer' END ELSE jsonb_typeof({at})"
    )
    return text(f"CASE jsonb_typeof({at}) {kinds} END")


def _at(args: list[Value], rules: Rules) -> str:
    found = document(args[0], rules)
    if len(args) == 1:
        return found.operand
    return f"({found.operand} #> {_array(_constant_path(args[1], arrow=False))})"


def identity(args: list[Value], rules: Rules) -> Value:
    """Return json(x): the document itself."""
    return replace(document(args[0], rules), column="", affinity="")
