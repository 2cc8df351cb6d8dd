"""CREATE FUNCTION and CREATE TRIGGER, as PostgreSQL writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from copier.plan.names import quote
from copier.plan.translate.parse import Untranslatable
from copier.plan.translate.scope import TableScope
from copier.plan.translate.trigger.text import TriggerText


def create_function(function: str, lines: Iterable[str], *, setting: str = "") -> str:
    """Return a trigger function of these lines of plpgsql; `setting` is one more SET that holds while it runs."""
    text = "\nBEGIN\n" + "".join(f"  {line}\n" for line in lines) + "END\n"
    tag = "$sqlite2pg$"
    while tag[:-1] in text:
        tag = tag[:-1] + "_$"
    head = f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp"
    return f"{head}{setting} AS {tag}{text}{tag}"


def create_trigger(
    read: TriggerText, timing: str, table: str, scope: TableScope, function: str, name: str, when: Sequence[str] = ()
) -> str:
    """Return the trigger itself, on the quoted `table`; `when` are conditions that must all hold."""
    event = read.event
    if read.columns:
        columns = [scope.column(c) for c in read.columns]
        if not all(columns):
            raise Untranslatable("a trigger on a column that its table does not have")
        event += " OF " + ", ".join(quote(c.target) for c in columns if c is not None)
    shown = f"CREATE TRIGGER {quote(name)} {timing} {event} ON {table} FOR EACH ROW"
    if when:
        shown += f" WHEN ({' AND '.join(when)})"
    return f"{shown} EXECUTE FUNCTION {function}()"
