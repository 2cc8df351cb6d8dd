"""One line of `validate`."""

from __future__ import annotations

from dataclasses import dataclass

CONTENTS = "target contents"
"""Name of the check that finds rows in the target's tables."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. When it is not `ok`, `hint` says what to do; `fatal` tells refusal from advice."""

    name: str
    ok: bool
    detail: str
    hint: str = ""
    fatal: bool = True
