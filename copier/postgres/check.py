"""One line of `validate`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. When it is not `ok`, `hint` says what to do; `fatal` tells refusal from advice."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    fatal: bool = True
