"""What `rejects` lists or has done, on the terminal and as JSON."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import orjson
from rich.text import Text

from copier.cli.render import grid, mark, say
from copier.units import count, plural, printable

if TYPE_CHECKING:
    from copier.cli.session import Session
    from copier.migration import Reject
    from copier.report import Report


NO_REJECT = "No row is rejected."


class RejectList:
    """Prints rejects as they come: a million of them take no memory."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._json = bool(session.flags.get("json"))
        self.rows = 0

    def add(self, one: Reject) -> None:
        """Print one."""
        self.rows += 1
        if self._json:
            self._session.emit(("[" if self.rows == 1 else ",").encode() + orjson.dumps(_document(one)))
            return
        where = f"{one.table} {one.key}" + (f", column {one.column}" if one.column is not None else "")
        value = f": {one.shown}" if one.column is not None else ""
        self._session.emit(printable(f"{where}{value}"))
        self._session.emit(printable(f"    {one.reason}"))

    def end(self, none: str = NO_REJECT) -> None:
        """Print the end, or in the words of `none` that there are none."""
        if self._json:
            self._session.emit("]" if self.rows else "[]")
        else:
            self._session.emit(f"{plural(self.rows, 'rejected row')}." if self.rows else none)


def _document(one: Reject) -> dict[str, object]:
    return {
        "run": one.run,
        "table": one.table,
        "key": one.key,
        "column": one.column,
        "storage_class": one.storage_class,
        "value": one.shown,
        "value_base64": None if one.value is None else b64encode(one.value).decode(),
        "reason": one.reason,
        "row": one.row,
        "rejected_at": one.rejected_at,
    }


def show_retry(report: Report, session: Session, none: str = NO_REJECT) -> int:
    """Write the report file, log the outcome, print retried, moved and still rejected; `none` where nothing was."""
    written = session.write_report(report)
    retried, moved, left = (
        sum(getattr(t, f"{what}_rows") for t in report.retries) for what in ("retried", "moved", "left")
    )
    session.record("retried", run=report.run, retried=retried, moved=moved, left=left)
    out = session.out
    if not retried:
        say(out, none, "bold green" if none == NO_REJECT else "")
    else:
        words = f"Retried {plural(retried, 'rejected row')}: {count(moved)} moved, {count(left)} still rejected."
        say(out, words, "bold yellow" if left else "bold green")
        table = grid(out, "", "table", "retried>", "moved>", "still rejected>")
        for one in report.retries:
            table.add_row(
                Text(printable(one.source)), count(one.retried_rows), count(one.moved_rows), count(one.left_rows)
            )
        out.print(table)
    for reject in report.rejects[: None if session.face.verbose else 5]:
        column = f", column {reject.column}" if reject.column is not None else ""
        say(out, f"{mark(out, '✗')} {reject.table} {reject.key}{column}: {reject.reason}")
    if left:
        say(out, "`sqlite2pg rejects` lists them; change the plan or mend the target, and try again.")
    elif moved:
        say(out, "`sqlite2pg check` compares both sides.")
    return report.exit_code or (0 if written else 1)
