"""random() and randomblob(), made from gen_random_uuid(): strong randomness that needs no extension."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.text import substr
from copier.plan.translate.value import RANDOM_LOWER, RANDOM_UPPER, RANDOM_VARIANT, Rules, Value, integer, text

_HEX = "replace(gen_random_uuid()::text, '-', '')"
_CHUNK = 12
"""Hex digits at the head of a version 4 UUID that are all random; the thirteenth is the version."""
_MOST_BYTES = 256


def random_hex(digits: int) -> str:
    """Return SQL of text of that many random lower-case hex digits, as an operand."""
    if digits == 32:
        return _HEX  # 122 random bits: what everybody means by 16 random bytes
    chunks = [_CHUNK] * (digits // _CHUNK) + ([digits % _CHUNK] if digits % _CHUNK else [])
    shown = " || ".join(f"substr({_HEX}, 1, {chunk})" for chunk in chunks)
    return shown if len(chunks) == 1 else f"({shown})"


def random_call(name: str, node: exp.Anonymous, args: list[Value], rules: Rules) -> Value | None:
    """Return a call that is random, or that reshapes random text; None for any other."""
    if name == "random" and not args:
        return integer(f"('x' || {random_hex(16)})::bit(64)::bigint", not_null=True)
    if name == "randomblob" and len(args) == 1:
        digits = 2 * _size(args[0])
        blob = Value(f"decode({random_hex(digits)}, 'hex')", "bytea", not_null=True)
        return replace(blob, shape=RANDOM_LOWER * digits)
    shape = args[0].shape if args else ""
    if name == "hex" and shape and args[0].kind == "bytea":
        return replace(text(f"upper({random_hex(len(shape))})", not_null=True), shape=RANDOM_UPPER * len(shape))
    if name in ("lower", "upper") and shape:
        return _recased(name, args[0])
    if name in ("substr", "substring") and len(args) in (2, 3):
        return _picked(node, args, rules)
    return None


def _size(value: Value) -> int:
    if not isinstance(value.constant, int):
        raise Untranslatable("randomblob() of a size that is not constant")
    if value.constant > _MOST_BYTES:
        raise Untranslatable(f"randomblob() of more than {_MOST_BYTES} bytes")
    return max(value.constant, 1)


def _recased(name: str, value: Value) -> Value:
    plain = random_hex(len(value.shape))
    if name == "lower":
        shape = value.shape.lower().replace(RANDOM_UPPER, RANDOM_LOWER)
        shown = plain if value.sql == f"upper({plain})" else f"lower({value.sql})"
    else:
        shape = value.shape.upper().replace(RANDOM_LOWER, RANDOM_UPPER)
        shown = f"upper({value.sql})"
    return replace(value, sql=shown, atom=True, shape=shape, chain=False)


def _picked(node: exp.Anonymous, args: list[Value], rules: Rules) -> Value:
    """Return substr() of random text, or of the constant out of which a random position picks."""
    found = substr(args, rules)
    if args[0].now:
        return replace(found, now=True)
    alphabet = args[0].constant
    random = any(str(call.name).lower() == "random" for call in node.find_all(exp.Anonymous))
    one = len(args) == 3 and args[2].constant == 1
    if random and one and isinstance(alphabet, str) and alphabet and set(alphabet.lower()) <= set("89ab"):
        return replace(found, shape=RANDOM_VARIANT)
    return found
