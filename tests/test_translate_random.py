"""Random expressions, seeded: whatever is translated must not fail where SQLite does not, and must answer alike."""

from __future__ import annotations

import random

import asyncpg
import pytest
from fix_twin import SCOPE, Twin

from copier.plan.translate.expression import Untranslatable, translate_expression

ATOMS = ("a", "b", "f", "n", "s", "s2", "ok", "u", "ms", "sec", "ts", "d", "bl", "0", "1", "7", "2.5", "'abc'", "''")
ATOMS += ("'7'", "NULL", "TRUE", "'2024-02-29'", "x'00ff'", "-3", '"Mixed Case"')
UNARY = ("- {}", "NOT {}", "~{}", "{} IS NULL", "abs({})", "length({})", "lower({})", "typeof({}) = 'text'", "({})")
UNARY += ("+{}", "CAST({} AS INTEGER)", "CAST({} AS TEXT)", "substr({}, 2, 1)", "coalesce({}, 0)", "date({})")
UNARY += ("{} IN (1, 'abc', NULL)", "{} COLLATE NOCASE", "round({})", "hex({})", "trim({})", "{} LIKE '%b%'")
BINARY = ["+", "-", "*", "/", "%", "&", "|", "=", "<>", "<", "<=", ">", ">=", "IS", "AND", "OR", "||", "LIKE"]
TERNARY = ("CASE WHEN {} THEN {} ELSE {} END", "iif({}, {}, {})", "{} BETWEEN {} AND {}", "max({}, {}, {})")


def _expression(dice: random.Random, depth: int) -> str:
    choice = dice.random()
    if depth == 0 or choice < 0.15:
        return dice.choice(ATOMS)
    if choice < 0.45:
        return dice.choice(UNARY).format(_expression(dice, depth - 1))
    if choice < 0.9:
        left, right = _expression(dice, depth - 1), _expression(dice, depth - 1)
        shown = f"{left} {dice.choice(BINARY)} {right}"
        return f"({shown})" if dice.random() < 0.5 else shown
    return dice.choice(TERNARY).format(*(f"({_expression(dice, depth - 1)})" for _ in range(3)))


@pytest.mark.parametrize("seed", range(4))
async def test_random_expressions_mean_the_same(twin: Twin, seed: int) -> None:
    dice, translated, wrong = random.Random(seed), 0, []
    for _ in range(1500):
        sql = _expression(dice, dice.choice((1, 2, 2, 3)))
        try:
            shown = translate_expression(sql, SCOPE)
        except Untranslatable:
            continue
        translated += 1
        mine = [None if v is None else v != 0 for v in twin.source(f"(({sql}) AND 1) + 0")]
        try:
            theirs = await twin.target(shown)
        except asyncpg.NumericValueOutOfRangeError:
            continue  # SQLite goes on with a real where 64 bits do not suffice
        except asyncpg.PostgresError as error:
            wrong.append((sql, shown, str(error)))
            continue
        if mine != theirs:
            wrong.append((sql, shown, f"{mine} != {theirs}"))
    assert not wrong, "\n".join(map(str, wrong[:20]))
    assert translated > 300
