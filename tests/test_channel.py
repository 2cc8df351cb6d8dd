import asyncio

import pytest

from copier.run.channel import ByteChannel


async def test_a_full_channel_holds_the_producer_until_the_item_is_worked_off() -> None:
    channel: ByteChannel[str] = ByteChannel(10)
    await channel.put("a", 6)
    blocked = asyncio.create_task(channel.put("b", 6))
    item = await channel.get()
    assert item == ("a", 6)
    assert not blocked.done(), "taking an item does not free its bytes"
    await channel.done(6)
    await blocked
    assert channel.used_bytes == 6
    assert channel.peak_bytes == 6


async def test_an_item_larger_than_the_limit_passes_alone() -> None:
    channel: ByteChannel[str] = ByteChannel(10)
    await channel.put("huge", 100)
    second = asyncio.create_task(channel.put("next", 1))
    assert await channel.get() == ("huge", 100)
    assert not second.done()
    await channel.done(100)
    await second


async def test_close_lets_consumers_drain_and_then_says_none() -> None:
    channel: ByteChannel[int] = ByteChannel(10)
    await channel.put(1, 1)
    await channel.close()
    assert await channel.get() == (1, 1)
    assert await channel.get() is None
    assert await channel.get() is None


async def test_a_cancelled_put_leaves_no_bytes_behind() -> None:
    channel: ByteChannel[int] = ByteChannel(4)
    await channel.put(1, 4)
    waiting = asyncio.create_task(channel.put(2, 4))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert channel.used_bytes == 4
    await channel.get()
    await channel.done(4)
    await channel.put(3, 4)
    assert await channel.get() == (3, 4)


async def test_a_failing_consumer_frees_a_blocked_producer_through_their_task_group() -> None:
    channel: ByteChannel[int] = ByteChannel(1)

    async def produce() -> None:
        for number in range(100):
            await channel.put(number, 1)

    async def consume() -> None:
        await channel.get()
        raise RuntimeError("the server is gone")

    async def both() -> None:
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(produce())
            group.create_task(consume())

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert caught.group_contains(RuntimeError)
