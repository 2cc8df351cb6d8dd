"""Which columns are times: the names that say so, and the ranges that tell the units of an epoch apart.

The ranges of the three units do not overlap, so the smallest and the largest value settle the unit. 0 stands for
"unset" in many applications and is plausible in each.
"""

from __future__ import annotations

import re

EPOCH_FIRST_S = 315_532_800
"""1980-01-01T00:00:00Z: earlier seconds are more likely counters, sizes or years."""
EPOCH_LAST_S = 4_102_444_800
"""2100-01-01T00:00:00Z."""

EPOCH_UNITS: dict[str, int] = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
"""Cast -> units per second."""

JULIAN_FIRST = 2_444_239.5
"""1980-01-01T00:00:00Z as a julian day."""
JULIAN_LAST = 2_488_069.5
"""2100-01-01T00:00:00Z as a julian day."""

_PARTICIPLES = (
    "created|updated|modified|changed|deleted|removed|expires|expired|expiry|expiration|published|completed|"
    "started|finished|ended|received|sent|delivered|seen|read|visited|joined|registered|verified|confirmed|"
    "accessed|edited|archived|approved|cancelled|canceled|closed|opened|resolved|paid|shipped|scheduled|imported|"
    "synced|added|posted|granted|revoked|issued"
)
_WHOLE = re.compile(
    r"created|updated|modified|changed|expires|expiry|expiration|timestamp|datetime|ts|mtime|ctime|atime|birthtime|"
    r"last_(seen|login|active|used|modified|updated|accessed|visit|sync|read|message|activity)|date_joined|"
    rf"date_({_PARTICIPLES})|time_({_PARTICIPLES})|({_PARTICIPLES})_(on|ts|at|time|date|utc)"
)
_ENDING = re.compile(
    r".+_(at|ts|time|date|datetime|timestamp|mtime|ctime|atime)(_(utc|s|ms|us|sec|secs|millis|micros))?"
)
_CONTAINING = re.compile(r".*timestamp.*|expires_.+")
_DURATION = re.compile(
    r".*(duration|elapsed|timeout|run_time|runtime|running_time|uptime|downtime|play_time|playtime|prep_time|"
    r"cook_time|response_time|wait_time|lead_time|total_time|process_time|processing_time|time_spent|expires_in|"
    r"flight_time|travel_time|cpu_time|lifetime|overtime|seat|part_time|full_time).*"
)


def snake(name: str) -> str:
    """Return `name` as lower-case words with underscores: `createdAt` -> `created_at`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")


def is_time_name(name: str) -> bool:
    """Whether a column of this name is likely to hold points in time; durations are not."""
    word = snake(name)
    if _DURATION.fullmatch(word):
        return False
    return any(pattern.fullmatch(word) for pattern in (_WHOLE, _ENDING, _CONTAINING))


def plausible_range(cast: str) -> tuple[int, int]:
    """Return the smallest and largest plausible integer of an epoch cast, both inclusive; KeyError for other casts."""
    unit = EPOCH_UNITS[cast]
    return EPOCH_FIRST_S * unit, EPOCH_LAST_S * unit


def epoch_unit(smallest: int, largest: int) -> str | None:
    """Return the one epoch cast that both values are plausible in, or None; 0 is plausible in each, alone in none."""
    found = [c for c in EPOCH_UNITS if all(v == 0 or _within(v, c) for v in (smallest, largest))]
    return found[0] if len(found) == 1 else None


def _within(value: int, cast: str) -> bool:
    first, last = plausible_range(cast)
    return first <= value <= last
