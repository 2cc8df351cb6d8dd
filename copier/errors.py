"""Every error the copier raises on purpose.

    CopierError
    ├── TransientError          trying again may help
    │   ├── ConnectionLost      the server went away, or refused for now
    │   └── SourceBusy          another process holds the SQLite lock
    └── TerminalError           trying again changes nothing
        ├── UsageError          exit 2: an option or its value is wrong
        │   └── PlanError       the plan file is wrong; names its line and the choices
        ├── PreflightError      exit 5: refused before anything was written
        │   ├── SourceUnreadable  not SQLite, corrupt, encrypted, a directory ...
        │   ├── TargetUnusable    cannot connect, too old, no privilege, not empty ...
        │   ├── ResumeRefused     source, plan or target changed since the unfinished run
        │   └── RunBusy           another run holds the target
        ├── SchemaFailed        DDL that the copy cannot do without was refused
        ├── CopyFailed          a table's data could not be written
        ├── RowRefused          a row cannot be converted and the policy is `fail`
        ├── RollbackRefused     rows were added or changed since the run
        └── Interrupted         the user or the system asked to stop

Each carries one clear sentence (`str(error)`), a `hint` that says what to do, and the table, column
and key it concerns where there is one. `exit_code` is what the command ends with.
"""

from __future__ import annotations

from typing import ClassVar


class CopierError(Exception):
    """Base of all errors raised on purpose; never raised itself."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        table: str | None = None,
        column: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.report: object | None = None
        """The `copier.report.Report` of the verb as far as it came, where there is one."""
        self.table = table
        self.column = column
        self.key = key


def root_cause(error: BaseException) -> BaseException:
    """Return the error that matters in the groups a TaskGroup raises: one of ours before any other."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [root_cause(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, CopierError)), leaves[0])


def broken_system(error: BaseException) -> CopierError | None:
    """Return the copier's error for one of the operating system's that came out of a verb, None for any other error."""
    if not isinstance(error, OSError):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return TerminalError(
        f"{where}the operating system refused: {error.strerror or error}",
        hint="check the disk, its free space and the permissions there, then run the same command again",
    )


class TransientError(CopierError):
    """Trying again may help."""


class ConnectionLost(TransientError):
    """The connection to PostgreSQL broke, or could not be made for now."""


class SourceBusy(TransientError):
    """Another process holds the SQLite lock; nothing has begun yet."""

    exit_code = 5


class TerminalError(CopierError):
    """Trying again changes nothing until somebody acts on the hint."""


class UsageError(TerminalError):
    """An option, a setting or a file given by the user is wrong."""

    exit_code = 2


class PlanError(UsageError):
    """The plan file is wrong: `line` is 1-based, 0 when the whole file is meant."""

    def __init__(self, message: str, *, line: int = 0, hint: str = "") -> None:
        super().__init__(f"line {line}: {message}" if line else message, hint=hint)
        self.line = line


class PreflightError(TerminalError):
    """Refused before anything was written."""

    exit_code = 5


class SourceUnreadable(PreflightError):
    """The SQLite file cannot be opened or read as a database."""


class TargetUnusable(PreflightError):
    """The PostgreSQL server, database, schema or role cannot take the copy."""


class ResumeRefused(PreflightError):
    """An unfinished run exists, but source, plan or target schema changed since."""


class RunBusy(PreflightError):
    """Another run is writing to the same target."""


class SchemaFailed(TerminalError):
    """PostgreSQL refused DDL that the copy cannot do without."""


class CopyFailed(TerminalError):
    """The data of a table could not be written."""


class RowRefused(TerminalError):
    """A row cannot be converted and the policy says to stop there."""


class RollbackRefused(TerminalError):
    """The target changed since the run; removing it would lose that."""


class Interrupted(TerminalError):
    """Stopped by the user or by the system; committed chunks stay for the next run."""
