"""Random values that look like an application's, the same for the same seed."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

T = TypeVar("T")

_TEXT = (
    "lantern river copper market winter promise garden harbour shadow letter bridge window silver morning quiet "
    "school dragon orchard pickup calendar message balance weekend forest captain ledger Grüße naïve façade Łódź "
    'дорога 東京 🙂 o\'clock "quoted" back\\slash tab\there'
)
WORDS = tuple(_TEXT.split(" "))

FIRST_NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Elif", "Femi", "Grace", "Hiro", "Ines", "Jože", "Kwame", "Léa")
LAST_NAMES = ("Alvarez", "Brandt", "Cohen", "Doyle", "Eriksson", "Fabre", "García", "Huang", "Ivanova", "O'Neill")

INVALID_JSON = ("{", "{'single': 1}", '{"cut": ')
NO_DATE = ("0000-00-00 00:00:00", "yesterday", "2024-13-45 25:61:00")
NUL_TEXT = ("before\0after", "two\0nuls\0")
BROKEN_UTF8 = (b"caf\xe9 latin-1", b"\xf0\x9f\x98 cut emoji")
"""Bytes that are stored as text and are no UTF-8."""

START = datetime(2024, 1, 1, tzinfo=UTC)
_SPAN_S = 600 * 86_400


class Faker:
    """Random values from one seeded generator; `random` is open to the callers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def word(self) -> str:
        return self.random.choice(WORDS)

    def words(self, low: int, high: int) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(low, high)))

    def name(self) -> str:
        return f"{self.random.choice(FIRST_NAMES)} {self.random.choice(LAST_NAMES)}"

    def digest(self, length: int = 60) -> str:
        return "$2b$12$" + self.random.randbytes(length).hex()[: length - 7]

    def uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def hex32(self) -> str:
        return self.random.randbytes(16).hex()

    def moment(self) -> datetime:
        return START + timedelta(microseconds=self.random.randrange(_SPAN_S * 1_000_000))

    def seconds(self) -> int:
        return int(START.timestamp()) + self.random.randrange(_SPAN_S)

    def milliseconds(self) -> int:
        return self.seconds() * 1000 + self.random.randrange(1000)

    def sql_datetime(self) -> str:
        """As CURRENT_TIMESTAMP writes it."""
        return f"{self.moment():%Y-%m-%d %H:%M:%S}"

    def orm_datetime(self) -> str:
        """As SQLAlchemy writes it: always six digits of a second."""
        return f"{self.moment():%Y-%m-%d %H:%M:%S.%f}"

    def date(self) -> str:
        return f"{self.moment():%Y-%m-%d}"

    def ip(self) -> str:
        if self.chance(0.1):
            return f"2001:db8::{self.random.randrange(1, 1 << 16):x}"
        return "10." + ".".join(str(self.random.randrange(256)) for _ in range(3))

    def json_object(self) -> str:
        value = {
            "kind": self.word(),
            "count": self.random.randrange(-1000, 1000),
            "ratio": round(self.random.random(), 6),
            "flags": [self.chance(0.5), None],
            "nested": {"text": self.words(1, 4)},
        }
        return json.dumps(value, ensure_ascii=self.chance(0.5))

    def json_array(self) -> str:
        return json.dumps([self.word() for _ in range(self.random.randrange(4))])

    def maybe(self, share: float, value: T) -> T | None:
        return value if self.chance(share) else None
