"""How many of the values a profile describes a type and its cast take, and which cast suits a type."""

from __future__ import annotations

from copier.plan.pgtype import CASTS, PgType
from copier.plan.source import ColumnProfile
from copier.plan.types.times import EPOCH_UNITS, epoch_unit

FLOAT_EXACT = 1 << 53
"""Every integer up to here is a double; beyond, only some are."""

_INT_LIMITS = {"int2": 1 << 15, "int4": 1 << 31, "int8": 1 << 63}
_LONGEST_NUMBER = 24
"""Characters of the longest number in text: -1.7976931348623157e+308."""
_FORM = {"uuid": "uuid", "inet": "inet", "cidr": "inet", "bool": "bool", "time": "iso_time"}


def fitting(profile: ColumnProfile, type_: PgType, cast: str) -> int:
    """Return how many of the filled values the cast takes: a count, never more than there are."""
    return min(profile.filled, max(0, _fitting(profile, type_, cast)))


def _fitting(p: ColumnProfile, type_: PgType, cast: str) -> int:
    if cast == "int":
        return _integers(p, _INT_LIMITS[type_.wire])
    if cast == "float":
        return p.reals + (p.integers if _within(p, FLOAT_EXACT + 1) else 0)
    if cast == "numeric":
        return numbers(p) if _scaled(p, type_.args) else 0
    if cast == "text":
        return _texts(p, type_.args)
    if cast == "bytes":
        return p.filled
    if cast == "json":
        return p.fits.get("json", p.fits.get("json_container", 0))
    if cast in EPOCH_UNITS:
        return p.integers if plausible_epoch(p) == cast else 0
    if cast == "julian":
        return p.fits.get("julian", 0)
    return p.fits.get("iso_date" if type_.wire == "date" else _FORM.get(type_.wire, "iso"), 0)


def _integers(p: ColumnProfile, limit: int) -> int:
    whole = p.integers if _within(p, limit) else 0
    reals = (p.real_min or 0.0, p.real_max or 0.0)
    if p.reals_integral and not p.reals_infinite and all(-limit <= real < limit for real in reals):
        whole += p.reals_integral
    return whole + number_texts(p, "int_text")


def _within(p: ColumnProfile, limit: int) -> bool:
    return p.int_min is None or p.int_max is None or (-limit <= p.int_min and p.int_max < limit)


def _texts(p: ColumnProfile, args: tuple[int, ...]) -> int:
    if args and p.text_max_chars > args[0]:
        return 0
    if args and p.integers + p.reals and args[0] < _LONGEST_NUMBER:
        return 0
    return p.filled - p.blobs - p.nul - p.broken


def _scaled(p: ColumnProfile, args: tuple[int, ...]) -> bool:
    if not args:
        return True
    precision, scale = args[0], args[1] if len(args) > 1 else 0
    return not p.reals_infinite and p.int_digits <= precision - scale and p.scale <= scale


def number_texts(p: ColumnProfile, form: str) -> int:
    """Return how many texts are written as numbers; `form` is `int_text` or `num_text`."""
    return min(p.texts, p.fits.get(form, 0))


def numbers(p: ColumnProfile) -> int:
    """Return how many values are numbers, texts that are written as one included."""
    return p.integers + p.reals + number_texts(p, "num_text")


def plausible_epoch(p: ColumnProfile) -> str | None:
    """Return the one epoch cast in whose range every integer lies, or None."""
    if p.int_min is None or p.int_max is None:
        return None
    cast = epoch_unit(p.int_min, p.int_max)
    return cast if cast is not None and p.fits.get(cast, 0) >= p.integers else None


def is_mixed(p: ColumnProfile, type_: PgType) -> bool:
    """Whether the type takes values of several storage classes, or of another one than its own.

    SQLite compares and computes with each by its class: 1 is not '1', and a blob comes after every text. An expression
    over such a column cannot keep its meaning.
    """
    number_count = p.integers + p.reals
    if type_.is_text or type_.wire in ("json", "jsonb"):
        return number_count > 0
    if type_.wire == "bytea":
        return number_count + p.texts > 0
    if type_.wire == "uuid":
        return p.blobs > 0
    if type_.wire == "bool":
        return p.texts > 0 and not _only_integers_are_bool(p)
    if type_.wire in _INT_LIMITS:
        return number_texts(p, "int_text") > 0
    return type_.wire in ("numeric", "float4", "float8") and number_texts(p, "num_text") > 0


def _only_integers_are_bool(p: ColumnProfile) -> bool:
    """Whether 0 and 1 are all that the cast takes: a text that is no boolean does not arrive."""
    return p.int_min in (0, 1) and p.int_max in (0, 1) and p.fits.get("bool") == p.integers


def suitable_cast(type_: PgType, profile: ColumnProfile | None) -> str:
    """Return the cast to `type_` that takes most of the values; the usual one when nothing tells them apart."""
    casts = CASTS[type_.wire]
    if profile is None or not profile.filled:
        return casts[0]
    return max(casts, key=lambda cast: fitting(profile, type_, cast))
