"""printf(), also called format(): the plain conversions of a constant format."""

from __future__ import annotations

import re

from copier.plan.names import literal
from copier.plan.translate.convert import as_text, number
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import Rules, Value, text

_PIECE = re.compile(r"%%|%(0?)([0-9]*)(?:\.([0-9]+))?([a-zA-Z])|[^%]+")


def printf(args: list[Value], rules: Rules) -> Value:
    """Return printf(format, ...): %s %d %i %f with widths and digits, %%."""
    form = args[0].constant
    if not isinstance(form, str):
        raise Untranslatable("printf() with a format that is not constant")
    rest = list(args[1:])
    parts: list[str] = []
    position = 0
    while position < len(form):
        found = _PIECE.match(form, position)
        if found is None:
            raise Untranslatable(f"printf() format {form!r}")
        position = found.end()
        if found.group(4):
            if not rest:
                raise Untranslatable("printf() with fewer values than its format names")
            parts.append(_conversion(found, rest.pop(0), rules))
        else:
            parts.append(literal(found.group().replace("%%", "%")))
    return text(" || ".join(parts) or "''", atom=len(parts) < 2, not_null=True)


def _conversion(found: re.Match[str], value: Value, rules: Rules) -> str:
    zero, width, digits, letter = found.groups()
    if letter == "s" and not zero and not digits:
        shown = f"coalesce({as_text(value, rules).sql}, '')"
        return f"lpad({shown}, greatest(length({shown}), {width}))" if width else shown
    found_number = number(value, rules)
    if letter in "di" and found_number.kind == "int" and not digits:
        shown = f"coalesce({found_number.sql}, 0)"
        return _padded(shown, f"{shown}::text", zero, width)
    if letter == "f":
        shown = f"round(coalesce({found_number.sql}, 0)::numeric, {digits or 6})"
        return _padded(shown, f"{shown}::text", zero, width)
    raise Untranslatable(f"printf() conversion {found.group()}")


def _padded(shown: str, written: str, zero: str, width: str) -> str:
    if not width:
        return written
    if not zero:
        return f"lpad({written}, greatest(length({written}), {width}))"
    digits = f"abs({shown})::text"
    sign = f"CASE WHEN {shown} < 0 THEN '-' ELSE '' END"
    room = f"{width} - CASE WHEN {shown} < 0 THEN 1 ELSE 0 END"
    return f"({sign} || lpad({digits}, greatest(length({digits}), {room}), '0'))"
