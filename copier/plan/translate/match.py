"""LIKE, GLOB and REGEXP."""

from __future__ import annotations

from copier.plan.names import literal
from copier.plan.translate.convert import as_text
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.value import Rules, Value, boolean

_C = ' COLLATE "C"'


def like(value: Value, pattern: Value, escape: Value | None, rules: Rules, *, negate: bool = False) -> Value:
    """Return `value [NOT] LIKE pattern [ESCAPE escape]`.

    SQLite ignores the case of ASCII letters only, which is what ILIKE does under the C collation, and has no escape
    character unless one is given, where PostgreSQL has the backslash.
    """
    subject = as_text(value, rules)
    shown = as_text(pattern, rules)
    if subject.is_null or shown.is_null:
        return boolean("NULL::boolean", atom=True)
    clause = _escape(pattern, escape, rules)
    word = "NOT ILIKE" if negate else "ILIKE"
    collate = "" if _caseless(pattern) and not subject.collated else _C
    known = value.not_null and pattern.not_null
    if _caseless(pattern):
        word = word.replace("ILIKE", "LIKE")
    return boolean(f"{subject.operand}{collate} {word} {shown.operand}{clause}", not_null=known)


def _caseless(pattern: Value) -> bool:
    text = pattern.constant
    return isinstance(text, str) and not any("a" <= c.lower() <= "z" for c in text) and text.isascii()


def _escape(pattern: Value, escape: Value | None, rules: Rules) -> str:
    raw = pattern.constant
    if escape is None:
        return " ESCAPE ''" if not isinstance(raw, str) or "\\" in raw else ""
    if not isinstance(escape.constant, str) or len(escape.constant) != 1 or not escape.constant.isascii():
        raise Untranslatable("ESCAPE is not one constant character")
    if escape.constant in "%_" or escape.constant.isalnum():
        raise Untranslatable("ESCAPE is a character that patterns use")
    if not isinstance(raw, str):
        if rules.strict:
            raise Untranslatable("LIKE with ESCAPE and a pattern that is not constant")
    elif (len(raw) - len(raw.rstrip(escape.constant))) % 2:
        raise Untranslatable("the pattern ends with its escape character")
    return f" ESCAPE {literal(escape.constant)}"


def glob(value: Value, pattern: Value, rules: Rules) -> Value:
    """Return `value GLOB pattern` as a regular expression over the whole text."""
    subject = as_text(value, rules)
    if not isinstance(pattern.constant, str):
        raise Untranslatable("GLOB with a pattern that is not constant")
    collate = _C if subject.collated else ""
    regex = literal(glob_regex(pattern.constant))
    return boolean(f"{subject.operand}{collate} ~ {regex}", not_null=value.not_null)


def regexp(value: Value, pattern: Value, rules: Rules) -> Value:
    """Return `value REGEXP pattern`: the application's own function in SQLite, so only plain patterns are sure."""
    subject = as_text(value, rules)
    raw = pattern.constant
    if not isinstance(raw, str) or not _plain_regex(raw):
        raise Untranslatable("REGEXP is the application's own function; this pattern may mean something else here")
    return boolean(f"{subject.operand}{_C if subject.collated else ''} ~ {literal(raw)}", not_null=value.not_null)


def _plain_regex(text: str) -> bool:
    """Whether every usual engine reads the pattern alike: classes, anchors, groups, counts, \\d \\w \\s, escapes."""
    depth, position = 0, 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
            if position == len(text) or (text[position].isalnum() and text[position] not in "dws"):
                return False
        depth += (char == "(") - (char == ")")
        if depth < 0 or text.startswith(("(?", "***", "[[", "[]", "[^]"), position):
            return False
        position += 1
    return depth == 0 and text.count("[") == text.count("]") and not text.startswith(("*", "+", "?", "{"))


def glob_regex(pattern: str) -> str:
    """Return the anchored PostgreSQL regular expression of a GLOB pattern.

    Errors: Untranslatable for a class that does not end, or runs backwards: SQLite then matches nothing.
    """
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "[":
            shown, position = _class(pattern, position)
            parts.append(shown)
            continue
        parts.append({"*": ".*", "?": "."}.get(char) or _escaped(char))
        position += 1
    body = "".join(parts)
    if body.endswith(".*"):
        return "^" + body[:-2]
    return "^" + body + "$"


def _escaped(char: str) -> str:
    return "\\" + char if char.isascii() and not char.isalnum() and char not in " _\n\t" else char


def _class(pattern: str, start: int) -> tuple[str, int]:
    """Return the bracket expression that starts at `start`, and the position after it."""
    position = start + 1
    negated = pattern.startswith("^", position)
    position += negated
    end = pattern.find("]", position + 1)  # a ] that comes first is a member
    if end < 0:
        raise Untranslatable("GLOB with a character class that does not end")
    members = pattern[position:end]
    shown: list[str] = []
    index = 0
    while index < len(members):
        if index + 2 < len(members) and members[index + 1] == "-":
            low, high = members[index], members[index + 2]
            if low > high:
                raise Untranslatable("GLOB with a range that runs backwards")
            shown.append(f"{_escaped(low)}-{_escaped(high)}")
            index += 3
        else:
            shown.append(_escaped(members[index]))
            index += 1
    return f"[{'^' if negated else ''}{''.join(shown)}]", end + 1
