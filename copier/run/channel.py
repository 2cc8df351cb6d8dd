"""A queue bounded by bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ByteChannel(Generic[T]):
    """Many producers, many consumers; holds at most `limit_bytes`, counted until the consumer calls `done`.

    An item larger than the limit passes alone. Both ends live in one TaskGroup: when either side fails, the group
    cancels the other, so nobody waits for a peer that is gone. Cancelling `put` or `get` leaves the channel whole.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self._items: deque[tuple[T, int]] = deque()
        self._closed = False
        self._changed = asyncio.Condition()

    def _fits(self, size_bytes: int) -> bool:
        return self.used_bytes == 0 or self.used_bytes + size_bytes <= self.limit_bytes

    async def put(self, item: T, size_bytes: int) -> None:
        """Wait for room, then add the item."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(size_bytes))
            self.used_bytes += size_bytes
            self.peak_bytes = max(self.peak_bytes, self.used_bytes)
            self._items.append((item, size_bytes))
            self._changed.notify_all()

    async def get(self) -> tuple[T, int] | None:
        """Wait for an item and return it with its size; None when the channel is closed and empty."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._items or self._closed)
            return self._items.popleft() if self._items else None

    async def done(self, size_bytes: int) -> None:
        """Give back the bytes of an item that was worked off."""
        async with self._changed:
            self.used_bytes -= size_bytes
            self._changed.notify_all()

    async def close(self) -> None:
        """Say that nothing more will be put."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()
