"""JSON lines: one object per event, with its time; and the redactor that keeps passwords out of everything written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from copier.events import Event, Listener, Message, TableFinished, TableProgress, TableStarted
from copier.postgres.dsn import Dsn, parse

MASK = "***"
PROGRESS_EVERY_S = 1.0

_IN_URL = re.compile(r"(://[^:/@\s]*:)(?!PASSWORD@)\S*(?=@)")
"""Hints say USER:PASSWORD@HOST; that stays."""
_IN_KEYWORDS = re.compile(r"(\b(?:ssl)?password\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s&'\"]+)", re.IGNORECASE)
_MIN_SECRET = 4
"""A shorter password would mask half of every message; the two forms above still hide it in a DSN."""


class Redactor:
    """Masks passwords in text: `user:PASSWORD@`, `password=...`, and every whole-word occurrence of known secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for s in secrets if len(s) >= _MIN_SECRET for form in (s, repr(s)[1:-1])}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(rf"(?<!\w){re.escape(s)}(?!\w)" for s in longest_first)) if forms else None

    def __call__(self, text: str) -> str:
        """Return `text` without passwords."""
        text = _IN_KEYWORDS.sub(rf"\1{MASK}", _IN_URL.sub(rf"\1{MASK}", text))
        return self._known.sub(MASK, text) if self._known else text


def secrets_of(dsn: str | None, environ: Mapping[str, str]) -> set[str]:
    """Return the passwords in a DSN and in PGPASSWORD, plain and as a URL spells them.

    One that equals the user, host or database name is left out: masking that word everywhere would show it.
    """
    one = parse(dsn, environ) if dsn else Dsn()
    found = {one.password or "", one.options.get("sslpassword", ""), environ.get("PGPASSWORD", "")}
    found -= {"", "postgres", one.user or "", one.database or "", *one.hosts}
    return found | {quote(secret, safe="") for secret in found}


def redacting(redact: Redactor, listener: Listener) -> Listener:
    """Return a listener that hands on every event with its message redacted."""

    def hand_on(event: Event) -> None:
        listener(replace(event, text=redact(event.text)) if isinstance(event, Message) else event)

    return hand_on


def fan_out(*listeners: Listener) -> Listener:
    """Return a listener that tells each of `listeners`, in order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


def scrub(value: Any, redact: Callable[[str], str] = str) -> Any:
    """Return `value` with every string in it redacted and made valid UTF-8: JSON needs that, file names may lack it."""
    match value:
        case str():
            return redact(value).encode("utf-8", "backslashreplace").decode()
        case dict():
            return {scrub(k): scrub(v, redact) for k, v in value.items()}
        case list() | tuple():
            return [scrub(v, redact) for v in value]
    return value


@dataclass(slots=True)
class _Tally:
    """What is known of one table in one phase."""

    rows: int
    started_rows: int
    started_s: float
    done: int
    bytes: int = 0
    told_s: float = float("-inf")

    def pace(self, now_s: float) -> dict[str, Any]:
        elapsed_s = max(now_s - self.started_s, 1e-9)
        per_s = (self.done - self.started_rows) / elapsed_s
        left_s = round((self.rows - self.done) / per_s, 1) if per_s > 0 and self.rows >= self.done else None
        return {
            "rows": self.rows,
            "done_rows": self.done,
            "done_bytes": self.bytes,
            "rows_per_s": round(per_s),
            "seconds_left": left_s,
        }


class EventLines:
    """A listener that writes one JSON object per line: `time` (UTC), `event` (snake_case type), and its fields.

    `table_progress` lines are cumulative and come at most once per second and table. `write` gets one whole line; an
    OSError from it (disk full, pipe closed) silences the log and never stops the copy; `error` keeps it.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = PROGRESS_EVERY_S,
    ) -> None:
        self._write: Callable[[bytes], object] | None = write
        self._clock = clock
        self._every_s = every_s
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self.error: OSError | None = None

    def __call__(self, event: Event) -> None:
        """Write `event`, or remember it until its table's next line is due."""
        match event:
            case TableProgress():
                self._progress(event)
            case TableStarted(phase, table, rows, done):
                self._tallies[phase, table] = _Tally(rows, done, self._clock(), done)
                self.record("table_started", **asdict(event))
            case TableFinished(phase, table):
                tally = self._tallies.pop((phase, table), None)
                self.record("table_finished", **asdict(event), bytes=tally.bytes if tally else 0)
            case _:
                self.record(_snake(type(event).__name__), **asdict(event))

    def record(self, event: str, /, **fields: Any) -> None:
        """Write one line of any kind."""
        if self._write is None:
            return
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        short = {k: round(v, 3) if isinstance(v, float) else v for k, v in fields.items()}
        record = scrub({"time": stamp, "event": event, **short})
        line = orjson.dumps(record, default=str, option=orjson.OPT_APPEND_NEWLINE)
        try:
            self._write(line)
        except OSError as error:
            self._write, self.error = None, error

    def _progress(self, event: TableProgress) -> None:
        now_s = self._clock()
        key = event.phase, event.table
        tally = self._tallies.setdefault(key, _Tally(0, 0, now_s, 0))
        tally.done += event.rows
        tally.bytes += event.bytes
        if now_s - tally.told_s >= self._every_s:
            tally.told_s = now_s
            self.record("table_progress", phase=event.phase, table=event.table, **tally.pace(now_s))


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
