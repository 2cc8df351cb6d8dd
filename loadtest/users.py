"""The users: each has one connection and a schedule, and sends one request at a time.

A request's response time counts from the moment it was due. When the server is slow, a user falls behind and the next
requests wait: that waiting is in the figures, as it would be for people. What is not the server's fault is measured
apart: the time between the moment a user could send and the moment it did.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import gevent
import psycopg
from locust import User, task
from locust.exception import StopUser

from loadtest.slo import CLASSES
from loadtest.statements import PAGE_ROWS
from loadtest.target import Connection, connect

if TYPE_CHECKING:
    from loadtest.session import Run

_RECONNECT_PAUSE_S = 0.2
_PREFIX_CHARACTERS = 6
_SEARCH_WORDS = 3
_NEXT_PAGE_SHARE = 0.5


class DatabaseUser(User):
    """What all users do: connect, keep to the schedule, send, measure, reconnect."""

    abstract = True
    run_: Run
    """The load test this user is part of."""
    _connection: Connection | None = None

    def on_start(self) -> None:
        """Connect, wait until all users have, and wait for the first request to be due."""
        self._due: float | None = None
        run = self.environment.loadtest.run
        if run is None:  # the test could not begin, and is ending
            return
        self.run_ = run
        with contextlib.suppress(psycopg.Error):  # the first request tries again, and counts the error
            self._connect()
        self._schedule = self._due_times()
        self._due = next(self._schedule, None)
        self._free_at = time.perf_counter()
        if self._due is not None:
            gevent.sleep(self._pause_s(self._due))

    def on_stop(self) -> None:
        """Close the connection."""
        self._disconnect()

    @task
    def act(self) -> None:
        """Do what is due, unless the test is ending: Locust would cut a request off that begins now."""
        if self._due is None or self.run_.stopping:
            raise StopUser
        self.use()

    def use(self) -> None:
        """Use the application, with one request."""
        raise NotImplementedError

    def wait_time(self) -> float:
        """Return the seconds until the next request is due; 0 for a user that is behind, or has done everything."""
        self._due = next(self._schedule, None)
        return 0.0 if self._due is None else self._pause_s(self._due)

    def request(self, operation: str, parameters: Sequence[object]) -> psycopg.Cursor[Any] | None:
        """Send what is due; None when it failed. Never raises a database's error: it is counted."""
        assert self._due is not None
        recorder = self.run_.recorder
        started = time.perf_counter()
        lag_ms = (started - max(self._due, self._free_at)) * 1000
        recorder.lag(lag_ms)
        cursor: psycopg.Cursor[Any] | None = None
        failure: psycopg.Error | None = None
        try:
            cursor = self._connect().execute(self.run_.statements.by_operation[operation], parameters)
        except psycopg.Error as error:
            failure = error
        finished = time.perf_counter()
        response_ms = (finished - self._due) * 1000
        if failure is None:
            recorder.success(operation, response_ms, (finished - started) * 1000, lag_ms)
        else:
            recorder.failure(operation, short(failure))
        self.environment.events.request.fire(
            request_type="SQL",
            name=operation,
            response_time=response_ms,
            response_length=0,
            exception=failure,
            context={"service_ms": (finished - started) * 1000},
        )
        if failure is not None:
            self._recover()
        self._free_at = time.perf_counter()
        return cursor

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = connect(self.run_.dsn, prepare=self.run_.prepare)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _recover(self) -> None:
        """Leave a broken connection; the next request makes a new one."""
        if self._connection is None or self._connection.closed:
            self._disconnect()
            gevent.sleep(_RECONNECT_PAUSE_S)  # a server that is down is not hammered

    def _due_times(self) -> Iterator[float]:
        """Wait for the start, then yield moments by time.perf_counter."""
        self.run_.started.wait()
        for offset_s in self.run_.due_times(type(self).__name__, random.random()):
            yield self.run_.recorder.started_at + offset_s

    def _pause_s(self, due: float) -> float:
        return max(0.0, due - time.perf_counter())

    def _operation(self) -> str:
        """Return one of the class's operations, as often as the mix wants it."""
        names = CLASSES[type(self).__name__]
        if len(names) == 1:
            return names[0]
        return random.choices(names, [self.run_.slo.per_message(name) for name in names])[0]


class Sender(DatabaseUser):
    """Sends messages, with ids of its own, as the application's clients do."""

    def use(self) -> None:
        id_ = uuid4()
        conversation, *people = random.choice(self.run_.sample.conversations)
        random.shuffle(people)
        text = random.choice(self.run_.sample.contents)
        answered = None
        try:
            answered = self.request("Sender", (str(id_), conversation, *people, text))
        finally:  # also when the test ends in the middle of the request
            self.run_.recorder.message(id_.bytes, acknowledged=answered is not None)


class Reader(DatabaseUser):
    """Opens conversations and scrolls back."""

    def on_start(self) -> None:
        self._page: tuple[str, str, str] | None = None
        super().on_start()

    def use(self) -> None:
        if self._page is None:
            self._page = (random.choice(self.run_.sample.conversations)[0], *self.run_.statements.newest)
        conversation, page = self._page[0], self._page
        self._page = None
        cursor = self.request("Reader", page)
        # The rows are here, as text. Making objects of them is the application's work, not the server's.
        result = cursor.pgresult if cursor else None
        if result is not None and result.ntuples == PAGE_ROWS and random.random() < _NEXT_PAGE_SHARE:
            last = result.ntuples - 1
            id_, created = (result.get_value(last, column) or b"" for column in (0, 1))
            self._page = (conversation, created.decode(), id_.decode())


class Searcher(DatabaseUser):
    """Searches messages for words that are there, and people by the beginning of their names."""

    def use(self) -> None:
        operation = self._operation()
        if operation == "Searcher":
            words = random.choice(self.run_.sample.contents).split()
            at = random.randrange(max(1, len(words) - _SEARCH_WORDS + 1))
            self.request(operation, (" ".join(words[at : at + _SEARCH_WORDS]),))
        else:
            beginning = random.choice(self.run_.sample.users)[1][:_PREFIX_CHARACTERS]
            for special in "\\%_":
                beginning = beginning.replace(special, f"\\{special}")
            self.request(operation, (f"{beginning}%",))


class Presence(DatabaseUser):
    """Comes online, and asks what is waiting."""

    def use(self) -> None:
        self.request(self._operation(), (random.choice(self.run_.sample.users)[0],))


def short(error: psycopg.Error) -> str:
    """Return one line that groups equal errors: the class, SQLSTATE, and the first words of the server."""
    lines = str(error).strip().splitlines()
    return " ".join(filter(None, (type(error).__name__, error.sqlstate, lines[0][:120] if lines else "")))
