"""SQLite's functions on text and blobs (sqlite.org/lang_corefunc.html)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from copier.plan.translate.compare import C
from copier.plan.translate.convert import as_text, number
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import NULL, Rules, Value, integer, text, text_constant

Function = Callable[[list[Value], Rules], Value]


def same(sql: str, args: list[Value]) -> Value:
    """Return text that is NULL exactly when an argument is."""
    return text(sql, not_null=all(a.not_null for a in args))


def length(args: list[Value], rules: Rules) -> Value:
    """Characters of text, bytes of a blob."""
    name = "octet_length" if args[0].kind == "bytea" else "length"
    shown = args[0] if args[0].kind == "bytea" else as_text(args[0], rules)
    return integer(f"{name}({shown.sql})", small=True, not_null=args[0].not_null, nonneg=True)


def recased(name: str) -> Function:
    """Return lower() or upper(): of ASCII letters only, but in an index expression."""

    def convert(args: list[Value], rules: Rules) -> Value:
        shown = as_text(args[0], rules)
        collate = "" if rules.index else C
        return same(f"{name}({shown.operand}{collate})", args)

    return convert


def trimmed(name: str) -> Function:
    """Return btrim(), ltrim() or rtrim(), of blanks or of the characters given."""

    def convert(args: list[Value], rules: Rules) -> Value:
        return same(f"{name}({', '.join(as_text(a, rules).sql for a in args)})", args)

    return convert


def replaced(args: list[Value], rules: Rules) -> Value:
    """Return replace(text, from, to)."""
    return same(f"replace({', '.join(as_text(a, rules).sql for a in args)})", args)


def instr(args: list[Value], rules: Rules) -> Value:
    """Position of a text in a text, 1-based, 0 when it is not there."""
    a, b = (as_text(arg, rules) for arg in args)
    known = all(arg.not_null for arg in args)
    return integer(f"strpos({a.sql}, {b.sql})", small=True, not_null=known, nonneg=True)


def substr(args: list[Value], rules: Rules) -> Value:
    """Return substr(x, start[, length]): positions count from 1, or from the end when negative."""
    subject = args[0] if args[0].kind == "bytea" else as_text(args[0], rules)
    if subject.kind == "bytea":  # SQLite gives NULL for any part of an empty blob
        subject = replace(subject, sql=f"nullif({subject.sql}, ''::bytea)", atom=True, not_null=False)
    start = _index(args[1], rules)
    if subject.is_null or start.is_null:
        return NULL
    shown = _tail(subject, start) if len(args) == 2 else _middle(subject, start, _index(args[2], rules))
    known = subject.kind == "text" and all(a.not_null for a in args)
    found = Value(shown, subject.kind, not_null=known)
    return replace(found, shape=_sliced(subject.shape, start, args[2] if len(args) == 3 else None))


def _index(value: Value, rules: Rules) -> Value:
    found = number(value, rules)
    if found.kind not in ("int", "null"):
        raise Untranslatable("substr() with a position that is no integer")
    if not found.small and not found.is_constant:
        return replace(found, sql=f"{found.operand}::integer", atom=True)
    return found


def _tail(subject: Value, start: Value) -> str:
    if start.nonneg:
        return f"substr({subject.sql}, {start.sql})"
    if isinstance(start.constant, int) and subject.kind == "text":
        return f"right({subject.sql}, {-start.constant})"
    raise Untranslatable("substr() whose start may be negative")


def _middle(subject: Value, start: Value, size: Value) -> str:
    first = start.sql
    if isinstance(start.constant, int) and start.constant < 0:
        name = "octet_length" if subject.kind == "bytea" else "length"
        first = f"{name}({subject.sql}) - {-start.constant - 1}"
    elif not start.nonneg:
        raise Untranslatable("substr() whose start may be negative")
    if size.nonneg:
        return f"substr({subject.sql}, {first}, {size.sql})"
    if not start.nonneg or (start.is_constant and start.constant == 0):
        raise Untranslatable("substr() whose length may be negative")
    # A negative length takes the characters before the start.
    before = f"substr({subject.sql}, {start.operand} + {size.operand}, -{size.operand})"
    return f"CASE WHEN {size.operand} < 0 THEN {before} ELSE substr({subject.sql}, {start.sql}, {size.sql}) END"


def _sliced(shape: str, start: Value, size: Value | None) -> str:
    if not shape:
        return ""
    if isinstance(start.constant, int) and start.constant > 0:
        rest = shape[start.constant - 1 :]
        if size is None:
            return rest
        if isinstance(size.constant, int) and size.constant >= 0:
            return rest[: size.constant]
    return ""


def hexed(args: list[Value], rules: Rules) -> Value:
    """Return hex(x): the bytes of a blob, or of the text."""
    if args[0].is_null:
        return text_constant("")
    if args[0].kind == "bytea":
        raw = args[0].sql
    else:
        rules.mutable("hex() of text")
        raw = f"convert_to({as_text(args[0], rules).sql}, 'UTF8')"
    shown = f"upper(encode({raw}, 'hex'))"
    return text(shown if args[0].not_null else f"coalesce({shown}, '')", not_null=True)


def quoted(args: list[Value], rules: Rules) -> Value:
    """Return quote(x): x as a literal of SQLite."""
    value = args[0]
    if value.kind == "bytea":
        shown = f"'X''' || upper(encode({value.sql}, 'hex')) || ''''"
    elif value.kind == "text":
        shown = f"'''' || replace({value.sql}, '''', '''''') || ''''"
    else:
        shown = as_text(value, rules).sql
    return text(shown if value.not_null else f"coalesce({shown}, 'NULL')", atom=not value.not_null, not_null=True)


def characters(args: list[Value], rules: Rules) -> Value:
    """Return char(n, ...)."""
    points = [a.constant for a in args]
    if not all(isinstance(p, int) and 0 < p < 0x110000 and not 0xD800 <= p < 0xE000 for p in points):
        raise Untranslatable("char() of code points that are not constant")
    return text_constant("".join(chr(p) for p in points if isinstance(p, int)))


def unicode_point(args: list[Value], rules: Rules) -> Value:
    """Return unicode(x): the first code point, NULL for ''."""
    return integer(f"ascii(nullif({as_text(args[0], rules).sql}, ''))", small=True, nonneg=True)


def concat(args: list[Value], rules: Rules) -> Value:
    """Return concat(...): NULLs as ''."""
    return text(f"concat({', '.join(as_text(a, rules).sql for a in args)})", not_null=True)
