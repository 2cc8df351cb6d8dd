"""A TCP proxy before a server that cuts, stalls and slows connections, at a byte or at a moment of the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import pytest
from fix_postgres import Servers

from copier.postgres.embedded import EmbeddedServer

What = Literal["pass", "cut", "cut answer", "hold answer"]
"""What to do with a client's message: forward it; cut before it reaches the server; forward it, and cut when the server
has answered; forward it, and keep the answer until the proxy is told to go on."""

PIECE_BYTES = 1 << 14
QUERY, PARSE, COPY_DATA = ord("Q"), ord("P"), ord("d")
CLAIM = b"WITH mine AS"
"""How the statement begins that records a chunk."""


@dataclass(eq=False)
class Link:
    """One client's connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    started: bool = False
    """The startup message, which has no type, is behind."""
    claimed: bool = False
    """The transaction under way has claimed a chunk."""
    copying: bool = False
    """For the use of whoever decides."""
    answer: What = "pass"

    def cut(self) -> None:
        """Reset both sides."""
        self.client.transport.abort()
        self.server.transport.abort()


Decide = Callable[[Link, int, bytes], What]


def let_pass(_link: Link, _kind: int, _body: bytes) -> What:
    return "pass"


@dataclass
class Proxy:
    """Listens on 127.0.0.1 and forwards to a server's socket. Change its fields while it runs."""

    server: EmbeddedServer
    database: str
    decide: Decide = let_pass
    cut_after_bytes: int | None = None
    """Cut every connection, once, when so many bytes have passed in both directions together."""
    open: bool = True
    """Whether new connections are taken; those that are not are reset."""
    bytes_per_s: int = 0
    """Of all connections together, in both directions; 0: as fast as it goes."""
    passed_bytes: int = 0
    cuts: int = 0
    links: set[Link] = field(default_factory=set)
    port: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """An answer is being held."""
    _free_s: float = 0.0
    """When the line is free again, in the loop's time."""
    _going: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def dsn(self) -> str:
        """The database through the proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{self.database}?sslmode=disable"

    @property
    def direct(self) -> str:
        """The database without it."""
        return self.server.dsn(self.database)

    def stall(self) -> None:
        """Forward nothing more, and keep what comes, until `go_on`."""
        self._going.clear()

    def go_on(self) -> None:
        """Forward again."""
        self._going.set()

    def cut(self) -> None:
        """Cut every connection."""
        self.cuts += 1
        for link in list(self.links):
            link.cut()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = self.server.socket_dir / f".s.PGSQL.{self.server.port}"
        try:
            if not self.open:
                raise ConnectionRefusedError
            upstream, server = await asyncio.open_unix_connection(str(path))
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, server)
        self.links.add(link)
        ways = [
            asyncio.create_task(self._to_server(link, reader)),
            asyncio.create_task(self._to_client(link, upstream)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await self._going.wait()  # a network that stands still does not carry the end of a connection either
        finally:
            self.links.discard(link)
            link.cut()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _to_server(self, link: Link, reader: asyncio.StreamReader) -> None:
        buffer = bytearray()
        while data := await reader.read(PIECE_BYTES):
            buffer += data
            while (message := _message(buffer, link.started)) is not None:
                if link.started and not self._goes(link, message):
                    return
                link.started = True
                if not await self._forward(link, link.server, message):
                    return

    def _goes(self, link: Link, message: bytes) -> bool:
        kind, body = message[0], message[5:]
        what = self.decide(link, kind, body)
        link.claimed = (link.claimed or (kind == PARSE and CLAIM in body)) and not is_commit(kind, body)
        if what == "cut":
            self.cuts += 1
            return False
        link.answer = what
        return True

    async def _to_client(self, link: Link, upstream: asyncio.StreamReader) -> None:
        while data := await upstream.read(PIECE_BYTES):
            if link.answer == "cut answer":
                self.cuts += 1
                return
            if link.answer == "hold answer":
                self.stall()
                self.held.set()
            if not await self._forward(link, link.client, data):
                return

    async def _forward(self, link: Link, to: asyncio.StreamWriter, data: bytes) -> bool:
        await self._going.wait()
        if self.bytes_per_s:
            loop = asyncio.get_running_loop()
            self._free_s = max(self._free_s, loop.time()) + len(data) / self.bytes_per_s
            await asyncio.sleep(self._free_s - loop.time())
        limit = self.cut_after_bytes
        if limit is not None and self.passed_bytes + len(data) >= limit:
            self.cut_after_bytes = None
            with contextlib.suppress(OSError):
                to.write(data[: limit - self.passed_bytes])
                await to.drain()
            self.cut()
            return False
        self.passed_bytes += len(data)
        to.write(data)
        await to.drain()
        return True

    async def end(self) -> None:
        """Cut what is left and wait for it."""
        self._going.set()
        for link in list(self.links):
            link.cut()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=10)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _message(buffer: bytearray, typed: bool) -> bytes | None:
    """Take one whole message of a client off the buffer."""
    head = 5 if typed else 4
    if len(buffer) < head:
        return None
    (length,) = struct.unpack_from("!I", buffer, head - 4)
    size = length + head - 4
    if len(buffer) < size:
        return None
    message = bytes(buffer[:size])
    del buffer[:size]
    return message


def is_commit(kind: int, body: bytes) -> bool:
    return kind == QUERY and body.upper().startswith(b"COMMIT")


class NthCommit:
    """Does `what` to the n-th COMMIT (from 1) of transactions that write a chunk, or of all."""

    def __init__(self, number: int, what: What, *, chunks_only: bool = True) -> None:
        self._left = number
        self._what = what
        self._chunks_only = chunks_only
        self.seen = 0

    def __call__(self, link: Link, kind: int, body: bytes) -> What:
        if not is_commit(kind, body) or (self._chunks_only and not link.claimed):
            return "pass"
        self.seen += 1
        return self._what if self.seen == self._left else "pass"


@asynccontextmanager
async def proxy_to(server: EmbeddedServer, database: str) -> AsyncIterator[Proxy]:
    """Run a proxy to a server's database."""
    proxy = Proxy(server, database)
    proxy.go_on()
    listener = await asyncio.start_server(proxy.take, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.end()
        await listener.wait_closed()


ProxyOf = Callable[[], AbstractAsyncContextManager[Proxy]]


@pytest.fixture
def new_proxy(pg_servers: Servers) -> ProxyOf:
    """Return `new_proxy()`: a context manager with a fresh database on PostgreSQL 18 and a proxy before it."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Proxy]:
        pg_servers.need("wheel18")
        async with pg_servers.database("wheel18") as name, proxy_to(pg_servers.get("wheel18"), name) as proxy:
            yield proxy

    return make


@pytest.fixture
async def proxy(new_proxy: ProxyOf) -> AsyncIterator[Proxy]:
    async with new_proxy() as one:
        yield one
