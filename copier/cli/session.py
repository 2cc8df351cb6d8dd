"""What one command holds while it runs: settings, consoles, redactor, log and progress."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Literal

import orjson
from rich.console import Console
from rich.text import Text

from copier import config, events, report
from copier.cli import log, settings_file
from copier.cli.private_file import append_whole, must_be_writable, open_private, write_private
from copier.cli.progress import make_listener
from copier.cli.streams import silence
from copier.errors import CopierError, PreflightError, UsageError
from copier.postgres import dsn
from copier.units import printable

_NO_FILE = Path("none")


@dataclass(frozen=True, slots=True)
class Command:
    """What a command needs and how it stops."""

    name: str
    sqlite: bool = True
    postgres: Literal["no", "optional", "embedded", "required"] = "required"
    """optional: used when given; embedded: a server of our own when not given."""
    stopped: str = "nothing was changed"
    """What to do after Ctrl-C."""
    logs: bool = False
    """A log file is the default."""


@dataclass(slots=True)
class Session:
    """One run of one command. A context manager: leaving it ends the progress and closes the log."""

    command: Command
    settings: config.Settings
    face: settings_file.Face
    flags: dict[str, Any]
    out: Console
    err: Console
    redact: log.Redactor
    listen: events.Listener
    """Redacts, logs and shows."""
    end_progress: Callable[[], None]
    lines: tuple[log.EventLines, ...] = ()
    """Log file, the first if there is one, and stderr, as far as they are JSON lines."""
    log_file: BinaryIO | None = None
    log_path: Path | None = None
    plan_copy: IO[bytes] | None = None
    """Of a plan that came through a pipe; it goes with the session."""
    started_s: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Session:
        """Log what begins."""
        settings = asdict(self.settings) | {"postgres": None}
        if self.settings.postgres:
            settings["postgres"] = dsn.describe(self.settings.postgres)
        version = {"version": version_text(), "python": platform.python_version()}
        self.record("started", command=self.command.name, settings=settings, **version)
        given = self.flags.get("postgres")
        if given and dsn.parse(given).password:
            text = "the password on the command line is visible to other users in ps; PGPASSWORD or PGPASSFILE is not"
            self.listen(events.Message("detail", text))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End the progress, close the log, and say so where it is not whole."""
        self.end_progress()
        if self.plan_copy is not None:
            self.plan_copy.close()
        if self.log_file is None:
            return
        with contextlib.suppress(OSError):
            self.log_file.close()
        if (lost := self.lines[0].error) is not None:
            told = f"the log {self.log_path} is not whole: {lost.strerror or lost}"
            self.err.print(Text("warning: ", style="bold yellow").append(printable(told), style=""), soft_wrap=True)

    def record(self, event: str, /, **fields: Any) -> None:
        """Write a line of its own to the log, and to stderr where that is JSON lines."""
        clean = log.scrub(fields, self.redact)
        for lines in self.lines:
            lines.record(event, **clean)

    def emit(self, content: bytes | str) -> None:
        """Write a result to stdout as it is."""
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        text = data.decode("utf-8", "backslashreplace")
        try:
            self.out.file.write(text if text.endswith("\n") else text + "\n")
            self.out.file.flush()
        except BrokenPipeError:
            self.out.on_broken_pipe()

    def fail(self, error: CopierError, kind: str = "error") -> None:
        """Tell `error` on stderr and in the log, and write it to the report file."""
        told = {name: getattr(error, name) for name in ("hint", "table", "column", "key")}
        told = {"type": type(error).__name__.lstrip("_"), "message": str(error), **told}
        self.record("error", **told)
        tell_error(self.err, self.redact, error, kind)
        if self.face.report is not None:
            found = error.report
            self.write_report(found if isinstance(found, report.Report) else self._report_of(error, told))

    def _report_of(self, error: CopierError, told: dict[str, Any]) -> report.Report:
        """Return the report of an error that came before the verb had one."""
        outcome: report.Outcome = "refused" if isinstance(error, PreflightError | UsageError) else "failed"
        source = {"path": str(self.settings.sqlite)} if self.settings.sqlite else {}
        seconds = round(time.monotonic() - self.started_s, 3)
        return report.Report(outcome, self.command.name, source=source, error=told, seconds=seconds)

    def say_error(self, text: str) -> None:
        """Print lines of text on stderr."""
        self.err.print(Text(self.redact(text)), soft_wrap=True)

    def write_report(self, document: report.Report) -> bool:
        """Write the report file, if one was asked for; False, and told, when that was impossible."""
        if self.face.report is None:
            return True
        content = asdict(document)
        for key in ("source", "target", "checks", "warnings", "error"):
            content[key] = log.scrub(content[key], self.redact)
        indented = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        try:
            write_private(self.face.report, orjson.dumps(log.scrub(content), default=str, option=indented))
        except OSError as error:
            reason = f"cannot write the report {self.face.report}: {error.strerror or error}"
            tell_error(self.err, self.redact, CopierError(reason, hint="the log and the target's ledger have the run"))
            return False
        return True


class _Console(Console):
    """A console whose reader may leave, or whose disk may fill up: that silences it and never stops the work.

    Of stdout, which carries the result, only a reader may leave.
    """

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError:
            if not self.stderr:
                raise
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        self.quiet = True
        silence(self.file)


def open_session(command: Command, flags: dict[str, Any]) -> Session:
    """Read the settings and open everything. Raises UsageError."""
    keys = {key: value for key, value in flags.items() if key not in _NOT_SETTINGS}
    settings, face = settings_file.load(keys, config=flags.get("config"), server=command.postgres != "no")
    settings = _with_script(command, _checked(command, settings))
    if face.report is not None:
        must_be_writable(face.report, "--report")
    settings, copy = _keep_plan(settings)
    redact = log.Redactor(log.secrets_of(settings.postgres, os.environ))
    out, err = _Console(highlight=False), _Console(stderr=True, highlight=False)
    file, path = _open_log(command, settings, face)
    shown, close = make_listener(face.progress, err, face.verbose)
    lines = [log.EventLines(partial(append_whole, file))] if file is not None else []
    listeners: list[events.Listener] = [*lines, shown]
    if isinstance(shown, log.EventLines):
        lines.append(shown)
    listen = log.redacting(redact, log.fan_out(*listeners))
    return Session(command, settings, face, flags, out, err, redact, listen, close, tuple(lines), file, path, copy)


_NOT_SETTINGS = {"config", "json", "plan_out", "force", "print", "to", "run", "dump", "no_dump", "discard_changes"}
_NOT_SETTINGS |= {"dry_run"}
_NOT_SETTINGS |= {"messages", "directory", "retry", "table", "database", "prefix"}


def _keep_plan(settings: config.Settings) -> tuple[config.Settings, IO[bytes] | None]:
    """Copy a plan that comes through a pipe into a file: it is read several times, and can be read once."""
    plan = settings.plan
    # not Path's own: they raise where this user may not look, and the reader says that better
    if plan is None or not os.path.exists(plan) or os.path.isfile(plan) or os.path.isdir(plan):  # noqa: PTH110, PTH112, PTH113
        return settings, None
    from copier.run.session import read_plan_file

    text = read_plan_file(plan)
    copy = tempfile.NamedTemporaryFile(prefix="sqlite2pg-plan-", suffix=".toml")  # noqa: SIM115 - the session closes it
    copy.write(text.encode())
    copy.flush()
    return replace(settings, plan=Path(copy.name)), copy


def _checked(command: Command, settings: config.Settings) -> config.Settings:
    if command.sqlite and settings.sqlite is None:
        raise UsageError("no SQLite file is given", hint="use --sqlite FILE, or set SQLITE_PATH")
    if command.postgres == "required" and settings.postgres is None:
        hint = "use --postgres DSN, or set DATABASE_URL or PGHOST; only full and check have a server of their own"
        raise UsageError("no PostgreSQL database is given", hint=hint)
    return settings


def _with_script(command: Command, settings: config.Settings) -> config.Settings:
    """Return the settings with the place of the SQL script: beside the source, or here, unless one was chosen."""
    if command.name not in ("full", "schema"):
        return settings
    if settings.script is not None:
        return replace(settings, script=None) if settings.script == _NO_FILE else settings
    folders = [settings.sqlite.parent] if settings.sqlite else []
    folder = next((one for one in (*folders, Path()) if os.access(one, os.W_OK)), None)
    name = f"sqlite2pg_{datetime.now():%Y%m%d_%H%M%S}.sql"
    return settings if folder is None else replace(settings, script=folder / name)


def _open_log(
    command: Command, settings: config.Settings, face: settings_file.Face
) -> tuple[BinaryIO | None, Path | None]:
    if face.log_file == _NO_FILE or (face.log_file is None and not command.logs):
        return None, None
    if face.log_file is not None:
        must_be_writable(face.log_file, "--log-file")
        try:
            return open_private(face.log_file), face.log_file
        except OSError as error:
            raise UsageError(
                f"cannot write {face.log_file}: {error.strerror}", hint="--log-file none: no log"
            ) from None
    # Beside the source; on read-only media, here.
    folders = [settings.sqlite.parent] if settings.sqlite else []
    for folder in (*folders, Path()):
        path = folder / f"sqlite2pg_{datetime.now():%Y%m%d_%H%M%S}.log"
        with contextlib.suppress(OSError):
            return open_private(path), path
    return None, None


def tell_error(err: Console, redact: Callable[[str], str], error: CopierError, kind: str = "error") -> None:
    """Print `error: ...` and `hint: ...`."""
    err.print(Text(f"{kind}: ", style="bold red").append(printable(redact(str(error))), style=""), soft_wrap=True)
    if error.hint:
        err.print(Text("hint: ", style="bold").append(printable(redact(error.hint)), style=""), soft_wrap=True)


def tell_usage_error(error: CopierError, command: str, *, debug: bool = False) -> None:
    """Print an error that came before there was a session."""
    if debug:
        import traceback

        sys.stderr.write(log.Redactor()("".join(traceback.format_exception(error))))
    secrets: Sequence[str] = [os.environ.get("PGPASSWORD", "")]
    error.hint = error.hint or f"{command} --help"
    tell_error(_Console(stderr=True, highlight=False), log.Redactor(secrets), error)


def version_text() -> str:
    """Return the version of this program."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sqlite2pg")
    except PackageNotFoundError:
        return "unknown"
