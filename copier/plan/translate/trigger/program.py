"""SQLite triggers -> PostgreSQL triggers, statement by statement.

The body becomes a plpgsql function. Every table in it is qualified, every expression written anew, and what is stored
is given the column's type; `rules` refuses what would then still mean something else.
docs: sqlite.org/lang_createtrigger.html; PostgreSQL, "Overview of Trigger Behavior".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlglot import exp

from copier.plan.model import TriggerPlan
from copier.plan.names import literal, qualify
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.scope import Scope, TableScope, lower
from copier.plan.translate.trigger.actions import Action, Program
from copier.plan.translate.trigger.facts import Facts
from copier.plan.translate.trigger.function import create_function, create_trigger
from copier.plan.translate.trigger.raising import Guard, raising
from copier.plan.translate.trigger.rows import Rows
from copier.plan.translate.trigger.rules import refuse_difference
from copier.plan.translate.trigger.write import Writes

_LOCK = "SELECT 1 FROM"


@dataclass(frozen=True, slots=True)
class _Body:
    """A body in PostgreSQL's SQL. `when` goes with the trigger, `test` into the function."""

    steps: tuple[str | Guard, ...]
    when: str = ""
    test: str = ""


def translate_program(program: Program, scope: Scope, facts: Facts, *, name: str, sql: str) -> TriggerPlan:
    """Return the function and trigger, both called `name`, of any trigger. Errors: Untranslatable."""
    read = program.read
    table = facts.views.get(program.table) if read.timing == "INSTEAD OF" else scope.table(read.table)
    if table is None:
        raise Untranslatable(f"it is on {read.table}, which is not in the target")
    _refuse_odd(program, table, scope, facts)
    body = _body(program, table, scope, facts, trial=False)
    repeats = refuse_difference(program, table, facts)
    function = qualify(scope.schema, name)
    when, setting = [body.when] if body.when else [], ""
    if repeats:  # SQLite does not run a trigger inside itself
        known = f"sqlite2pg.trigger_{hashlib.sha256(function.encode()).hexdigest()[:16]}"
        setting = f" SET {known} = 'on'"
        when = [f"current_setting({literal(known)}, true) IS DISTINCT FROM 'on'", *(f"({one})" for one in when)]
    return TriggerPlan(
        source=read.name,
        table=table.source,
        name=name,
        function=function,
        statements=(
            create_function(function, _lines(body, read.timing, read.event), setting=setting),
            create_trigger(read, read.timing, scope.qualified(table), table, function, name, when),
        ),
        sql=sql,
        trial=_trial(_body(program, table, scope, facts, trial=True)),
    )


def _refuse_odd(program: Program, table: TableScope, scope: Scope, facts: Facts) -> None:
    """Refuse what cannot be read in one way only."""
    read = program.read
    if read.timing == "INSTEAD OF" and read.columns:
        raise Untranslatable("INSTEAD OF UPDATE OF, which PostgreSQL does not have")
    trees = [action.tree for action in program.actions] + ([program.when] if program.when is not None else [])
    for node in (node for tree in trees for node in tree.find_all(exp.Table)):
        if lower(node.name) in ("new", "old") or lower(node.alias) in ("new", "old"):
            raise Untranslatable(f"a table called {node.alias or node.name}")
    for name in sorted(program.reads):
        found = scope.table(name)
        if found is None:
            raise facts.missing(name, "reads")
        plan = facts.plans.get(name)
        if plan is not None and plan.existing:
            raise Untranslatable(f"it reads {found.source}, which the target had already")
    if not program.actions:
        raise Untranslatable("a trigger without statements")


def _body(program: Program, table: TableScope, scope: Scope, facts: Facts, *, trial: bool) -> _Body:
    read = program.read
    rows = Rows.of(read, table, scope, trial=trial)
    writes = Writes(rows, facts)
    steps: list[str | Guard] = []
    for action in program.actions:
        steps += _steps(action, writes, rows, before=read.timing != "AFTER")
    if program.when is None:
        return _Body(tuple(steps))
    shown = rows.over(None, read.when).condition(program.when).sql
    inside = trial or read.timing == "INSTEAD OF" or program.when.find(exp.Select) is not None
    return _Body(tuple(steps), "" if inside else shown, shown if inside else "")


def _steps(action: Action, writes: Writes, rows: Rows, *, before: bool) -> list[str | Guard]:
    if action.changes:
        return list(writes.statements(action))
    return [raising(action, rows, before=before)]


def _lines(body: _Body, timing: str, event: str) -> list[str]:
    lines: list[str] = []
    for step in body.steps:
        if isinstance(step, Guard):
            word = "IF"
            for test, does in step.branches:
                lines += [f"{word} {test} THEN", f"  {does}"]
                word = "ELSIF"
            lines.append("END IF;")
        else:
            shown = step.replace("SELECT", "PERFORM", 1) if step.startswith(_LOCK) else step
            lines.append(f"{shown};")
    if body.test:
        lines = [f"IF {body.test} THEN", *(f"  {line}" for line in lines), "END IF;"]
    result = "NULL" if timing == "AFTER" else "OLD" if event == "DELETE" else "NEW"
    return [*lines, f"RETURN {result};"]


def _trial(body: _Body) -> tuple[str, ...]:
    """Return statements that make PostgreSQL look at the body, which it else does only when the trigger runs."""
    tests = [body.test] if body.test else []
    for step in body.steps:
        tests += [test for test, _ in step.branches] if isinstance(step, Guard) else []
    run = [step for step in body.steps if isinstance(step, str)]
    return tuple(f"EXPLAIN {statement}" for statement in [*(f"SELECT 1 WHERE {test}" for test in tests), *run])
