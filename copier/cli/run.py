"""Runs the coroutine of one command: event loop, signals, errors, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import typer

from copier.cli.session import Command, Session, open_session, tell_usage_error
from copier.errors import CopierError, Interrupted, UsageError, root_cause
from copier.events import Listener, Message
from copier.sqlite.explain import broken_source

T = TypeVar("T")

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
    except UsageError as error:
        tell_usage_error(error, f"sqlite2pg {command.name}", debug=bool(flags.get("debug")))
        raise typer.Exit(error.exit_code) from None
    with session:
        try:
            result = _run(work(session), session)
            session.end_progress()
            code = show(result, session)
        except (Exception, KeyboardInterrupt, asyncio.CancelledError) as error:
            code = _fail(error, session)
        session.record("exit", code=code)
    raise typer.Exit(code)


def _run(work: Coroutine[Any, Any, T], session: Session) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_until_stopped(work, session.listen, session.command.stopped))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_stopped(work: Coroutine[Any, Any, T], listen: Listener, hint: str) -> T:
    """Await `work`; the first signal cancels it, the second has its usual effect. Raises Interrupted when stopped."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    stopped: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        stopped.append(number)
        _release(loop)
        listen(Message("warning", "stopping; once more stops at once"))
        if task is not None:
            task.cancel()

    for number in _SIGNALS:
        ignored = signal.getsignal(number) is signal.SIG_IGN  # nohup: stay deaf to SIGHUP
        if not ignored:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, stop, number)
    try:
        return await work
    except BaseException as error:
        if stopped and not isinstance(error, Interrupted):
            raise Interrupted(f"stopped by {stopped[0].name}", hint=hint) from error
        raise
    finally:
        _release(loop)


def _release(loop: asyncio.AbstractEventLoop) -> None:
    for number in _SIGNALS:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(number)


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
    if (told := broken_source(error, session.settings.sqlite)) is not None:
        return told
    where = f"; the log is {session.log_path}" if session.log_path else ""
    hint = f"this is a defect of sqlite2pg: --debug shows where it happened{where}"
    return _Internal(f"{type(error).__name__}: {error}", hint=hint)
