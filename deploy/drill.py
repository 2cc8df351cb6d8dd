"""The failover drill: clients write through the pooler, the primary is killed, every acknowledged message is sought.

A client gives each message its id and sends it again under the same id until the server has acknowledged it, as a
careful application does. A message whose COMMIT got no answer has an unknown outcome; sending it again settles it: it
is written once, whether or not the first attempt was. The counter row of each client is changed in the same
transaction, so that an effect that happened twice, or was lost, shows even though ids are unique.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import asyncpg

from deploy import topology
from deploy.nodes import wait_for_standby
from deploy.state import State
from deploy.topology import Failover, Say

ATTEMPT_TIMEOUT_S = 10.0
COME_BACK_TIMEOUT_S = 60.0
RETRY_PAUSE_S = 0.05

_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a connection that breaks in the middle raises; the last one when the end came between two messages."""

_TABLES = """
DROP SCHEMA IF EXISTS failover_drill CASCADE;
CREATE SCHEMA failover_drill;
CREATE TABLE failover_drill.messages (
    id uuid PRIMARY KEY, client int NOT NULL, body text NOT NULL, sent_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE failover_drill.counters (client int PRIMARY KEY, messages bigint NOT NULL);
"""

# The counter is written even when the message is there already. Without that, a second attempt would commit nothing,
# and a commit of nothing waits for no standby: it could acknowledge a row that only the dying primary has.
_SEND = """
WITH sent AS (
    INSERT INTO failover_drill.messages (id, client, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING RETURNING 1)
UPDATE failover_drill.counters SET messages = messages + (SELECT count(*) FROM sent) WHERE client = $2
RETURNING (SELECT count(*) FROM sent) = 1
"""

_AUDIT = """
SELECT (SELECT coalesce(sum(messages), 0)::bigint FROM failover_drill.counters) AS counted,
       (SELECT count(*) FROM failover_drill.messages) AS rows
"""


@dataclass(slots=True)
class Client:
    """One application process: its connection, what it was told, what it does not know."""

    number: int
    acknowledged: dict[uuid.UUID, float] = field(default_factory=dict)
    """Message -> when, on the monotonic clock."""
    unknown: set[uuid.UUID] = field(default_factory=set)
    """Messages of which at least one COMMIT got no answer."""
    already_there: int = 0
    """Unknown ones that the second attempt found written."""
    failed_attempts: int = 0
    """Attempts that failed before COMMIT was sent, failed connections included."""
    connection: asyncpg.Connection | None = None

    async def work(self, dsn: str, stop: asyncio.Event) -> None:
        """Send message after message until `stop`; the last one is settled first."""
        try:
            while not stop.is_set():
                await self._settle(dsn, uuid.uuid4())
        finally:
            if self.connection is not None:
                self.connection.terminate()

    async def _settle(self, dsn: str, message: uuid.UUID) -> None:
        while message not in self.acknowledged:
            try:
                async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                    await self._attempt(dsn, message)
            except (OSError, TimeoutError, *_DRIVER_ERRORS):
                if self.connection is not None:
                    self.connection.terminate()
                self.connection = None
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _attempt(self, dsn: str, message: uuid.UUID) -> None:
        asked = False
        try:
            if self.connection is None:
                self.connection = await asyncpg.connect(dsn, statement_cache_size=0)
            transaction = self.connection.transaction()
            await transaction.start()
            new = await self.connection.fetchval(_SEND, message, self.number, f"message of client {self.number}")
            asked = True
            await transaction.commit()
        except BaseException:
            if asked:
                self.unknown.add(message)
            else:
                self.failed_attempts += 1
            raise
        self.acknowledged[message] = time.monotonic()
        self.already_there += not new


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the drill found. `ok` is the answer."""

    clients: int
    came_back: int
    """Clients that were acknowledged a message after the failover."""
    acknowledged: int
    after: int
    """Acknowledged after the failover."""
    unknown: int
    already_there: int
    failed_attempts: int
    lost: int
    """Acknowledged and not on the new primary."""
    unexplained: int
    """On the new primary and acknowledged to nobody."""
    rows: int
    counted: int
    """Sum of the clients' counters."""
    downtime_s: float
    """The longest time around the failover in which no client was acknowledged anything."""
    worst_client_s: float
    """The same for the client that waited longest."""
    failover: Failover

    @property
    def ok(self) -> bool:
        """Everything acknowledged is there exactly once, and every client is back."""
        exact = self.lost == self.unexplained == 0 and self.rows == self.counted == self.acknowledged
        return exact and self.came_back == self.clients and self.after > 0


async def drill(state: State, say: Say, *, clients: int = 16, seconds: float = 5) -> tuple[State, Verdict]:
    """Write for `seconds`, fail over, write for `seconds` more, and compare what was told with what is there."""
    await prepare(state, clients)
    workers = [Client(number) for number in range(clients)]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for one in workers:
            group.create_task(one.work(state.client_dsn, stop))
        try:
            await _all_acknowledged_since(workers, time.monotonic())
            await asyncio.sleep(seconds)
            say(f"{sum(len(one.acknowledged) for one in workers):,} messages acknowledged to {clients} clients")
            killed_s = time.monotonic()
            state, failover = await topology.failover(state, say)
            back_s = time.monotonic()
            with suppress(TimeoutError):  # who does not come back is in the verdict
                await _all_acknowledged_since(workers, back_s)
            await asyncio.sleep(seconds)
        finally:
            stop.set()
    return state, await audit(state, workers, failover, killed_s)


async def prepare(state: State, clients: int) -> None:
    """Make the tables anew, with a counter for each client."""
    primary = await topology.attached(state, state.primary)
    if state.synchronous and state.standby is not None:
        await wait_for_standby(primary, state.standby)
    conn = await asyncpg.connect(state.dsn(state.port(state.primary)))
    try:
        await conn.execute(_TABLES)
        await conn.executemany(
            "INSERT INTO failover_drill.counters VALUES ($1, 0)", [(number,) for number in range(clients)]
        )
    finally:
        await conn.close()


async def _all_acknowledged_since(workers: list[Client], since_s: float) -> None:
    """Return when each client was acknowledged a message after `since_s`; TimeoutError when one was not in time."""
    async with asyncio.timeout(COME_BACK_TIMEOUT_S):
        while not all(_came_back(one, since_s) for one in workers):  # noqa: ASYNC110  # 16 writers, one look
            await asyncio.sleep(0.02)


def _came_back(client: Client, since_s: float) -> bool:
    return next(reversed(client.acknowledged.values()), 0.0) > since_s


async def audit(state: State, workers: list[Client], failover: Failover, killed_s: float) -> Verdict:
    """Compare what the clients were told with what the present primary has; `killed_s` is on the monotonic clock."""
    conn = await asyncpg.connect(state.dsn(state.port(state.primary)))
    try:
        there = {row["id"] for row in await conn.fetch("SELECT id FROM failover_drill.messages")}
        [sums] = await conn.fetch(_AUDIT)
    finally:
        await conn.close()
    times = {id_: at for one in workers for id_, at in one.acknowledged.items()}
    switched_s = killed_s + failover.repointed_s
    gap = gap_around(killed_s)
    return Verdict(
        clients=len(workers),
        came_back=sum(_came_back(one, switched_s) for one in workers),
        acknowledged=len(times),
        after=sum(at > switched_s for at in times.values()),
        unknown=sum(len(one.unknown) for one in workers),
        already_there=sum(one.already_there for one in workers),
        failed_attempts=sum(one.failed_attempts for one in workers),
        lost=len(times.keys() - there),
        unexplained=len(there - times.keys()),
        rows=sums["rows"],
        counted=sums["counted"],
        downtime_s=gap(list(times.values())),
        worst_client_s=max(gap(list(one.acknowledged.values())) for one in workers),
        failover=failover,
    )


def gap_around(killed_s: float) -> Callable[[list[float]], float]:
    """Return the longest gap between acknowledgements that ends after the kill; infinite when none came after it.

    Not simply the gap that holds the kill: an answer already on its way may arrive a moment after it.
    """

    def gap(times_s: list[float]) -> float:
        ordered = sorted(times_s)
        ends = [(after - before) for before, after in pairwise(ordered) if after > killed_s]
        return max(ends, default=float("inf"))

    return gap
