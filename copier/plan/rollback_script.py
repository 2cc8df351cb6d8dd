"""The taking back of a run as one file that psql runs as it is: `rollback --print`.

The statements are those a rollback ran, in its order; what it looked at before them is looked at again by DO blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from copier.plan.names import literal, quote


@dataclass(frozen=True, slots=True)
class CountedTable:
    """A table as the run left it."""

    table: str
    count_sql: str
    """Returns `ours`, rows still as the run wrote them, and `all_rows`."""
    written: int
    created: bool
    """By the run: then rows of others count as changes."""


@dataclass(frozen=True, slots=True)
class GuardedKey:
    """A foreign key of another table's rows that acts when the run's rows are deleted."""

    table: str
    name: str
    action: str
    count_sql: str
    """Counts the rows of others it would act on; '' where that cannot be."""


@dataclass(frozen=True, slots=True)
class LedgerSql:
    """What the ledger is asked and told; texts are statements without parameters."""

    unchanged: str
    """True while the run is recorded as it was."""
    later: str
    """Returns the runs that came after it and worked on its tables."""
    any_run: str
    ours_alone: str
    forget: str
    drop_tables: Sequence[str]
    drop_schema: str


@dataclass(frozen=True, slots=True)
class RollbackScript:
    """All that the script says."""

    run: str
    about: Sequence[str]
    """Lines of what the run was."""
    schema: str
    lock_key: str
    ledger: LedgerSql
    locks: Sequence[str]
    tables: Sequence[CountedTable]
    """To be counted; empty where changes are to be discarded."""
    keys: Sequence[GuardedKey]
    new_keys: str
    """Returns whether there are acting keys that are none of `keys`; '' where no row is deleted."""
    statements: Sequence[str]
    """What takes the run back, in order."""
    lost: Sequence[str]
    """What the run destroyed and nothing brings back."""
    discard_changes: bool


_PARAMETER = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\d+)""")
"""A parameter; or a literal or an identifier, in which none is."""


def with_literals(sql: str, *values: str | Sequence[str]) -> str:
    """Return the statement with literals in the place of $1, $2, ...; a sequence of texts becomes an array."""
    texts = [literal(v) if isinstance(v, str) else f"ARRAY[{', '.join(map(literal, v))}]::text[]" for v in values]
    return _PARAMETER.sub(lambda found: texts[int(found[1]) - 1] if found[1] else found[0], sql)


def rollback_script(script: RollbackScript) -> str:
    """Return the text for psql: one transaction, that changes nothing where anything is not as it was."""
    return "\n".join(_lines(script)) + "\n"


def _lines(script: RollbackScript) -> Iterator[str]:
    yield from (f"-- {_one_line(text)}".rstrip() for text in _head(script))
    yield from ("", "\\set ON_ERROR_STOP on", "SET client_encoding = 'UTF8';", "SET standard_conforming_strings = on;")
    # Each statement must see what was committed before its table was locked, whatever the role's default is.
    yield from ("", "BEGIN ISOLATION LEVEL READ COMMITTED;", "", "-- Is it still the same run, and nobody at work?")
    yield _block(_run_guard(script))
    if script.locks:
        yield from ("", "-- Writers wait from here on.", *(f"{sql};" for sql in script.locks))
    if script.tables:
        yield from ("", "-- Are the rows as the run left them?", _block(_count_guard(script), "n record;", _WORDS))
    if script.new_keys:
        yield from ("", "-- Do rows of others stay as they are?", _block(_key_guard(script), "n bigint;", _WORDS))
    yield from ("", "-- What the run made goes, what it wrote into other tables is deleted, what it set aside returns.")
    yield from (f"{sql};" for sql in script.statements)
    yield from ("", "-- The ledger forgets the run, and goes with its last one.", f"{script.ledger.forget};")
    yield from (_block(_ledger_end(script.ledger)), "", "COMMIT;")


_WORDS = "words text := '';"


def _head(script: RollbackScript) -> Iterator[str]:
    command = f"sqlite2pg rollback --run {script.run}"
    yield from (f"Takes run {script.run} back, as `{command}` does.", *(f"  {line}" for line in script.about))
    yield "Printed after every statement below was tried, in a transaction that was taken back."
    yield from ("", "One transaction. It fails, and changes nothing, when")
    yield "- the run is not recorded here as it was when this was printed, but went on since, or is gone;"
    yield "- another run is working on the schema, or a later one worked on the same tables;"
    if script.discard_changes:
        yield "- objects of others depend on what is dropped."
        yield "It was printed with --discard-changes: rows added or changed since the run are lost, uncounted."
    else:
        yield "- rows of its tables were added, changed or deleted since the run (xmin tells them);"
        yield "- rows of others would be deleted or changed with its own, by a foreign key that acts ON DELETE;"
        yield "- objects of others depend on what is dropped."
    yield from ("", "Not in it:")
    yield f"- a dump. `{command}` makes one first; by hand: pg_dump --schema={_word(script.schema)} --file=before.sql"
    if not script.discard_changes:
        yield f"- going on although rows changed: `{command} --discard-changes`, or print it so"
    yield "- extensions, and statements of the plan file (after_data): they are not known to be the run's alone"
    yield "- sequences of tables that were there before: they stay where they are, as after `sqlite2pg rollback`"
    yield from (f"- {what}: nothing brings that back" for what in script.lost)


def _word(schema: str) -> str:
    """Return the name as pg_dump's pattern, for a shell."""
    return "'" + quote(schema).replace("'", "'\\''") + "'"


def _one_line(text: str) -> str:
    """Return text that cannot end its comment."""
    return text.replace("\r", " ").replace("\n", " ")


def _block(body: Iterable[str], *declared: str) -> str:
    """Return a DO block, in dollar quotes that nothing in it ends."""
    declare = f"DECLARE {' '.join(declared)}\n" if declared else ""
    code = "\n".join((f"{declare}BEGIN", *(f"    {line}" for line in body), "END"))
    tag = next(tag for n in range(len(code)) if (tag := f"$sqlite2pg{n or ''}$") not in code)
    return f"DO {tag}\n{code}\n{tag};"


def _raise(message: str, hint: str = "nothing was removed") -> str:
    """Return the statement that ends it all; `message` is an SQL expression."""
    return f"RAISE EXCEPTION USING MESSAGE = {message}, HINT = {literal(hint)};"


def _run_guard(script: RollbackScript) -> Iterator[str]:
    again = f"print the script again: sqlite2pg rollback --print --run {script.run}"
    yield f"IF NOT pg_try_advisory_xact_lock(hashtextextended({literal(script.lock_key)}, 0)) THEN"
    yield "    " + _raise(literal(f"another run is working on schema {quote(script.schema)}"))
    yield "END IF;"
    yield f"IF NOT ({script.ledger.unchanged}) THEN"
    yield "    " + _raise(literal(f"run {script.run} is not recorded here as it was when this was printed"), again)
    yield "END IF;"
    yield f"IF EXISTS ({script.ledger.later}) THEN"
    yield "    " + _raise(
        literal(f"a later run than {script.run} worked on the same tables"), "`sqlite2pg status` lists the runs"
    )
    yield "END IF;"


def _count_guard(script: RollbackScript) -> Iterator[str]:
    for one in script.tables:
        gone, added = f"({one.written} - n.ours)", "(n.all_rows - n.ours)"
        said = f"'; ' || {literal(one.table + ': ')} || {gone} || ' of its rows gone or changed'"
        yield f"SELECT * INTO n FROM ({one.count_sql}) AS counts;"
        if one.created:
            yield f"IF {gone} <> 0 OR {added} <> 0 THEN"
            yield f"    words := words || {said} || ', ' || {added} || ' rows added or changed';"
        else:
            yield f"IF {gone} <> 0 THEN"
            yield f"    words := words || {said};"
        yield "END IF;"
    yield from _raise_found(f"the target changed since run {script.run}: ")


def _key_guard(script: RollbackScript) -> Iterator[str]:
    yield f"IF ({script.new_keys}) THEN"
    yield "    " + _raise(
        literal("foreign keys that act ON DELETE were added since this was printed"),
        f"print the script again: sqlite2pg rollback --print --run {script.run}",
    )
    yield "END IF;"
    for key in script.keys:
        if not key.count_sql:
            continue
        yield f"n := ({key.count_sql});"
        yield "IF n <> 0 THEN"
        by = literal(f" rows by {key.name} (ON DELETE {key.action})")
        yield f"    words := words || '; ' || {literal(key.table + ': ')} || n || {by};"
        yield "END IF;"
    yield from _raise_found(f"rows of others refer to rows of run {script.run}, and would go or change with them: ")


def _raise_found(words: str) -> Iterator[str]:
    yield "IF words <> '' THEN"
    yield "    " + _raise(f"{literal(words)} || substr(words, 3)")
    yield "END IF;"


def _ledger_end(ledger: LedgerSql) -> Iterator[str]:
    yield f"IF NOT ({ledger.any_run}) THEN"
    yield from (f"    {sql};" for sql in ledger.drop_tables)
    yield f"    IF ({ledger.ours_alone}) THEN"
    yield from (f"        {ledger.drop_schema};", "    END IF;", "END IF;")
