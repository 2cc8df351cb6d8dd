"""Every test fails that leaves tasks or threads behind, or makes the event loop report an error nobody handles."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

THREAD_END_S = 5.0


class _Collector(logging.Handler):
    """The default exception handler of asyncio and of uvloop logs to `asyncio` at ERROR."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture(autouse=True)
def _no_unhandled_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    collector = _Collector()
    logger = logging.getLogger("asyncio")
    logger.addHandler(collector)
    try:
        yield
        if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
            gc.collect()  # a task whose exception nobody took reports it when it is collected
            gc.freeze()  # what is alive now is no garbage of the next test: nothing to look through again
    finally:
        logger.removeHandler(collector)
    assert not collector.messages, f"the event loop's exception handler was called: {collector.messages}"


@pytest.fixture(autouse=True)
async def _no_left_tasks(_no_unhandled_errors: None) -> AsyncIterator[None]:
    threads_before = set(threading.enumerate())
    yield
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not tasks, f"tasks left running: {tasks}"
    left = [t for t in threading.enumerate() if t not in threads_before and not t.name.startswith("asyncio_")]
    for thread in left:  # one that is ending is no leak
        await asyncio.to_thread(thread.join, THREAD_END_S)
    alive = [thread for thread in left if thread.is_alive()]
    assert not alive, f"threads left running: {alive}"
