"""Runs the coroutine of one command: event loop, signals, errors, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import typer

from copier.cli.session import Command, Session, open_session, tell_usage_error
from copier.cli.streams import silence
from copier.errors import CopierError, Interrupted, TerminalError, UsageError, broken_system, root_cause
from copier.events import Message
from copier.report import Report
from copier.run.ours import as_ours

T = TypeVar("T")

_TELLING_S = 2.0
"""How long a process that is to end at once may take to say so."""

_SIGNALS = tuple(s for name in ("SIGINT", "SIGTERM", "SIGHUP") if (s := getattr(signal, name, None)) is not None)


def execute(
    command: Command,
    flags: dict[str, Any],
    work: Callable[[Session], Coroutine[Any, Any, T]],
    show: Callable[[T, Session], int],
) -> NoReturn:
    """Do `work`, `show` its result, and end the command with the exit code `show` returns or the error has.

    `flags` maps every option of the command to its value, None where it was not given.
    """
    try:
        session = open_session(command, flags)
    except (UsageError, OSError) as error:
        told = error if isinstance(error, UsageError) else broken_system(error)
        assert told is not None
        tell_usage_error(told, f"sqlite2pg {command.name}", debug=bool(flags.get("debug")))
        raise typer.Exit(told.exit_code) from None
    with session:
        try:
            result = _run(work(session), session)
            session.end_progress()
            code = _show(show, result, session)
        except (Exception, KeyboardInterrupt, asyncio.CancelledError) as error:
            code = _fail(error, session)
        session.record("exit", code=code)
    raise typer.Exit(code)


def _show(show: Callable[[T, Session], int], result: T, session: Session) -> int:
    try:
        code = show(result, session)
        session.out.file.flush()
    except OSError as error:
        silence(session.out.file)
        told = TerminalError(
            f"the result could not be printed: {error.strerror or error}",
            hint="the command itself has ended; the report, the log and the target have what it did",
        )
        told.report = result if isinstance(result, Report) else None
        raise told from error
    return code


def _run(work: Coroutine[Any, Any, T], session: Session) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_until_stopped(work, session))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_stopped(work: Coroutine[Any, Any, T], session: Session) -> T:
    """Await `work`; the first signal cancels it, the second ends the process. Raises Interrupted when stopped."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    stopped: list[signal.Signals] = []
    # nohup: stay deaf to SIGHUP
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def stop(number: signal.Signals) -> None:
        stopped.append(number)
        _release(loop)
        for one in heard:
            signal.signal(one, lambda again, _: _end_at_once(signal.Signals(again), session))
        session.listen(Message("warning", "stopping; once more stops at once"))
        if task is not None:
            task.cancel()

    for number in heard:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop, number)
    try:
        return await work
    except BaseException as error:
        if stopped and not isinstance(error, Interrupted):
            raise Interrupted(f"stopped by {stopped[0].name}", hint=session.command.stopped) from error
        raise
    finally:
        _release(loop)


def _release(loop: asyncio.AbstractEventLoop) -> None:
    for number in _SIGNALS:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(number)


def _end_at_once(number: signal.Signals, session: Session) -> NoReturn:
    """Say how to go on and end the process, whatever it waits for: as after a kill, what was committed stays."""
    # The signal may have come while the terminal was locked by what it interrupted, or stderr takes no more.
    threading.Thread(target=_end_anyway, daemon=True).start()
    try:
        with contextlib.suppress(Exception):
            session.end_progress()
        with contextlib.suppress(Exception):
            session.fail(Interrupted(f"stopped at once by {number.name}", hint=session.command.stopped))
            session.record("exit", code=Interrupted.exit_code)
    finally:
        os._exit(Interrupted.exit_code)


def _end_anyway() -> NoReturn:
    time.sleep(_TELLING_S)
    os._exit(Interrupted.exit_code)


def _fail(error: BaseException, session: Session) -> int:
    """Tell `error` on stderr, in the log and in the report file; return the exit code."""
    told = _as_copier_error(root_cause(error), session)
    session.end_progress()
    if session.face.debug:
        session.say_error("".join(traceback.format_exception(error)).rstrip())
    session.fail(told, "internal error" if isinstance(told, _Internal) else "error")
    return told.exit_code


class _Internal(CopierError):
    """A defect of the copier, told like an error of the user's."""


def _as_copier_error(error: BaseException, session: Session) -> CopierError:
    if isinstance(error, CopierError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("stopped by SIGINT", hint=session.command.stopped)
    if isinstance(ours := as_ours(error, session.settings.sqlite), CopierError):
        return ours
    where = f"; the log is {session.log_path}" if session.log_path else ""
    hint = f"this is a defect of sqlite2pg: --debug shows where it happened{where}"
    return _Internal(f"{type(error).__name__}: {error}", hint=hint)
