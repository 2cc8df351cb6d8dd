"""Where a trigger would not mean the same in PostgreSQL, although each of its statements can be translated.

SQLite runs a row's triggers before it goes on to the next row; PostgreSQL runs AFTER triggers when the statement has
changed all its rows, so they must not look at the table itself. SQLite never runs a trigger inside itself
(recursive_triggers is off by default), PostgreSQL does. Foreign keys are looked at when the whole statement has
ended in SQLite, after each statement of a trigger in PostgreSQL. Triggers of one table and event run in the order of
their names in PostgreSQL, the newest first in SQLite.
"""

from __future__ import annotations

from itertools import combinations

from sqlglot import exp

from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.scope import TableScope, lower
from copier.plan.translate.trigger.actions import Action, Change, Program
from copier.plan.translate.trigger.facts import Facts
from copier.plan.translate.trigger.graph import set_off
from copier.plan.translate.trigger.key import own_row
from copier.plan.translate.trigger.recount import is_recount


def refuse_difference(program: Program, table: TableScope, facts: Facts) -> bool:
    """Refuse a trigger that would do something else; return whether it must be kept from running inside itself."""
    _refuse_key_order(program, facts)
    _refuse_other_order(program, facts)
    if program.read.timing == "INSTEAD OF":
        return False
    _refuse_beside_touch(program, facts)
    if program.read.timing == "BEFORE":
        _refuse_before(program, facts)
        return False
    return _refuse_after(program, table, facts)


def _others(program: Program, facts: Facts) -> list[Program]:
    """Return the other triggers on the same table."""
    return [p for p in facts.programs if p.table == program.table and p.read.name != program.read.name]


def _refuse_beside_touch(program: Program, facts: Facts) -> None:
    """Refuse what would see a touched row, or run for it once more: here the row is touched as it is written."""
    for touch in _others(program, facts):
        if not touch.is_touch:
            continue
        change = touch.actions[0].changes[0]
        if program.runs_at(change):
            raise Untranslatable(f"{touch.read.name} updates the same row, which in SQLite runs this trigger once more")
        seen = {lower(c.name) for c in _columns(program) if lower(c.table) == "new" or program.table in program.reads}
        if touch.read.event == program.read.event and seen & change.columns:
            raise Untranslatable(f"it reads what {touch.read.name} sets, which is set before it here")


def _columns(program: Program) -> list[exp.Column]:
    trees = [action.tree for action in program.actions] + ([program.when] if program.when is not None else [])
    return [column for tree in trees for column in tree.find_all(exp.Column)]


def _refuse_before(program: Program, facts: Facts) -> None:
    _, changes = set_off(program.changes, facts)
    if any(change.table == program.table for change in changes):
        raise Untranslatable("a BEFORE trigger that changes its own table, which PostgreSQL does not allow")
    for key in facts.keys:
        early = {c.table for c in program.changes if c.event != "DELETE" and not key.plan.initially_deferred}
        if program.read.event != "DELETE" and key.parent == program.table and key.child in early:
            raise Untranslatable(f"it writes {key.child}, whose foreign key needs a row that is not there yet")


def _refuse_after(program: Program, table: TableScope, facts: Facts) -> bool:
    own = lower(table.source)
    if program.when is not None and own in _tables_of(program.when):
        raise Untranslatable("its WHEN reads its own table, which PostgreSQL has changed as a whole by then")
    repeats = False
    for action in program.actions:
        if action.table == own:
            repeats |= _changes_own_row(action, program, table)
        elif own in action.reads and not is_recount(action, program, table):
            raise Untranslatable("it reads its own table, which PostgreSQL has changed as a whole by then")
    programs, changes = set_off(program.changes, facts)
    _refuse_way_back(program, programs, changes, own)
    if own in program.reads:
        _refuse_onlookers(program, programs)
    _refuse_children(program, facts)
    return repeats


def _refuse_onlookers(program: Program, programs: list[Program]) -> None:
    """Refuse to count anew where another trigger looks at each count: PostgreSQL has the last one only."""
    counted = {column for change in program.changes for column in change.columns}
    for other in programs:
        if not other.is_touch or counted & {lower(column.name) for column in _values(other)}:
            raise Untranslatable(f"{other.read.name}, which it sets off, would see another count")


def _tables_of(tree: exp.Expr) -> set[str]:
    return {lower(table.name) for table in tree.find_all(exp.Table)}


def _changes_own_row(action: Action, program: Program, table: TableScope) -> bool:
    """Refuse all but an UPDATE of the very row; return whether that runs this trigger again."""
    where = action.tree.args.get("where")
    if not isinstance(action.tree, exp.Update) or where is None or program.read.event == "DELETE":
        raise Untranslatable("it changes other rows of its own table, which PostgreSQL has changed as a whole by then")
    if own_row(where.this, table, insert=program.read.event == "INSERT"):
        raise Untranslatable("a trigger whose UPDATE names its own row by OLD")
    if lower(table.source) in action.reads:
        raise Untranslatable("it reads its own table, which PostgreSQL has changed as a whole by then")
    return program.runs_at(action.changes[0])


def _refuse_way_back(program: Program, programs: list[Program], changes: set[Change], own: str) -> None:
    for other in programs:
        if other.read.name == program.read.name:
            continue
        back = own in other.reads or (other.table != own and any(c.table == own for c in other.changes))
        if back:
            raise Untranslatable(f"{other.read.name}, which it sets off, comes back to its table")
    direct = {change.table for change in program.changes}
    if own not in direct and any(change.table == own for change in changes):
        raise Untranslatable("what it sets off comes back to its table")


def _refuse_children(program: Program, facts: Facts) -> None:
    """Refuse to work on children of the row: PostgreSQL sees to their foreign key before this trigger runs."""
    for key in facts.keys:
        if key.parent != program.table or program.read.event == "INSERT":
            continue
        rule = key.plan.on_delete if program.read.event == "DELETE" else key.plan.on_update
        for action in program.actions:
            event = action.changes[0] if action.table == key.child else None
            if event is None and key.child not in action.reads:
                continue
            if rule in ("NO ACTION", "RESTRICT"):
                late = not (rule == "NO ACTION" and key.plan.initially_deferred)
                late &= event is not None and (event.event == "DELETE" or bool(event.columns & key.columns))
            else:
                late = event is None or not (event.event == "INSERT" or (event.event == "DELETE" and rule == "CASCADE"))
            if late and not _keeps_key(program, key.parent_columns):
                raise Untranslatable(f"the foreign key of {key.child} is looked at before it, here")


def _keeps_key(program: Program, parents: frozenset[str]) -> bool:
    """Whether an UPDATE OF is not about the key."""
    columns = {lower(column) for column in program.read.columns}
    return bool(columns) and columns.isdisjoint(parents)


def _refuse_key_order(program: Program, facts: Facts) -> None:
    for first, then in combinations(program.changes, 2):
        for key in facts.keys:
            if key.plan.initially_deferred or first.table == then.table:
                continue
            child_first = (key.child, key.parent) == (first.table, then.table)
            parent_first = (key.parent, key.child) == (first.table, then.table)
            if child_first and first.event != "DELETE" and then.event != "DELETE":
                raise Untranslatable(f"it writes {key.child} before {key.parent}, which its foreign key needs")
            if parent_first and first.event == "DELETE" and then.event == "DELETE":
                raise Untranslatable(f"it deletes from {key.parent} before {key.child}, whose foreign key needs it")


def _refuse_other_order(program: Program, facts: Facts) -> None:
    """Refuse two triggers that take turns otherwise here, where that can matter."""
    order = [p.read.name for p in facts.programs]
    recounts = program.read.timing == "AFTER" and program.table in program.reads
    for other in _others(program, facts):
        mine, theirs = program.read, other.read
        if other.is_touch or mine.event != theirs.event:
            continue
        later = order.index(mine.name) > order.index(theirs.name)  # SQLite runs it first
        names = [facts.names.get(name, name).encode() for name in (mine.name, theirs.name)]
        if mine.timing == theirs.timing and not recounts and later == (names[0] < names[1]):
            continue
        if _meet(program, other, facts) or _meet(other, program, facts):
            raise Untranslatable(f"{theirs.name} works on the same rows, and takes its turn otherwise here")


def _meet(one: Program, other: Program, facts: Facts) -> bool:
    """Whether one reads or writes what the other writes."""
    followed, _ = set_off(other.changes, facts)
    writers = [other, *(p for p in followed if not p.is_touch)]
    read, _ = set_off(one.changes, facts)
    for change in (change for writer in writers for change in writer.changes):
        for program in (one, *(p for p in read if not p.is_touch)):
            if change.table in program.reads or _touches(program, change):
                return True
    return False


def _touches(program: Program, change: Change) -> bool:
    """Whether a trigger's own statements and a change meet in a table, of an UPDATE in its columns."""
    for action in program.actions:
        if action.table != change.table:
            continue
        if not change.columns or not isinstance(action.tree, exp.Update):
            return True
        if change.columns & {lower(column.name) for column in action.tree.find_all(exp.Column) if not column.table}:
            return True
        if change.columns & {lower(c.name) for c in action.tree.find_all(exp.Column) if lower(c.table) == change.table}:
            return True
    return False


def refuse_touch_difference(touch: Program, facts: Facts) -> None:
    """Refuse to touch a row as it is written where SQLite, by the UPDATE that does it, would do more."""
    mine = touch.actions[0]
    for other in _others(touch, facts):
        if not other.is_touch:
            continue
        theirs = other.actions[0]
        again = touch.runs_at(theirs.changes[0]) or other.runs_at(mine.changes[0])
        if not again and touch.read.event != other.read.event:
            continue
        if touch.read.event == "INSERT" and not _sets(theirs) <= _sets(mine) and other.runs_at(mine.changes[0]):
            raise Untranslatable(f"its UPDATE sets off {other.read.name}, which here runs for other statements only")
        read = {lower(c.name) for one in (touch, other) for c in _values(one)}
        written = mine.changes[0].columns | theirs.changes[0].columns
        shared = mine.changes[0].columns & theirs.changes[0].columns
        differ = {name for name, _ in _sets(mine) ^ _sets(theirs)}
        if again and (read & written or shared & differ):
            raise Untranslatable(f"{other.read.name} updates the same row, which in SQLite runs both more than once")


def _sets(action: Action) -> set[tuple[str, str]]:
    return {(lower(i.this.name), i.expression.sql(normalize=True)) for i in action.tree.expressions}


def _values(touch: Program) -> list[exp.Column]:
    """Return the columns that what is set, and the WHEN, come from."""
    trees = [item.expression for item in touch.actions[0].tree.expressions]
    trees += [touch.when] if touch.when is not None else []
    return [column for tree in trees for column in tree.find_all(exp.Column) if lower(column.table) != "old"]
