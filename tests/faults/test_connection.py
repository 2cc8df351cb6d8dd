"""The network fails: connections cut at any byte, between COMMIT and its answer, stalled, slowed, refused."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from fix_faults import WHOLE, Case, assert_clear, assert_identical, end_exact, run, try_run
from fix_proxy import NthCommit, Proxy, ProxyOf

from copier.errors import CopierError

CUTS = 300 if WHOLE else 32
COMMITS = range(1, 40) if WHOLE else range(1, 10)


async def total_bytes(case: Case, new_proxy: ProxyOf) -> int:
    async with new_proxy() as proxy:
        assert await try_run(case, proxy.dsn) is None
        return proxy.passed_bytes


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_all_connections_cut_at_any_byte(small: Case, new_proxy: ProxyOf) -> None:
    """Places are spread evenly over all bytes of a run, each shifted at random."""
    draw = random.Random(4)
    total = await total_bytes(small, new_proxy)
    cuts = failed = 0
    for number in range(CUTS):
        async with new_proxy() as proxy:
            proxy.cut_after_bytes = int((number + draw.random()) * total / CUTS) + 1
            error = await try_run(small, proxy.dsn)
            cuts += proxy.cuts
            failed += error is not None
            await end_exact(small, proxy.direct, error)
    assert cuts >= CUTS * 9 // 10, "the bytes of a run vary a little; most cuts must happen"
    assert failed >= CUTS // 4


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", ["cut answer", "cut"])
async def test_a_chunk_whose_commit_got_no_answer_is_written_once(small: Case, new_proxy: ProxyOf, what: str) -> None:
    """`cut answer`: the server has committed. `cut`: it never heard. The writer cannot tell, and settles it."""
    done = 0
    for number in COMMITS:
        async with new_proxy() as proxy:
            proxy.decide = NthCommit(number, what)  # type: ignore[arg-type]
            assert await try_run(small, proxy.dsn) is None, "one writer's connection is no reason to fail"
            done += proxy.cuts
            await assert_identical(small, proxy.direct)
            if not proxy.cuts:
                break
    assert done >= 5


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", ["cut answer", "cut"])
async def test_any_commit_without_an_answer(small: Case, new_proxy: ProxyOf, what: str) -> None:
    """Tables, objects, states, the run itself: also on the control connection, whose loss ends the run."""
    number, stride = 1, 1 if WHOLE else 3
    while True:
        async with new_proxy() as proxy:
            proxy.decide = NthCommit(number, what, chunks_only=False)  # type: ignore[arg-type]
            error = await try_run(small, proxy.dsn)
            await end_exact(small, proxy.direct, error)
            if not proxy.cuts:
                break
        number += stride
    assert number > 12, "a run has at least so many commits"


async def test_an_answer_held_back_while_the_connection_is_lost(small: Case, proxy: Proxy) -> None:
    """The commit's answer hangs for a while, everything stands still; then the connections go."""
    proxy.decide = NthCommit(3, "hold answer")
    task = asyncio.create_task(try_run(small, proxy.dsn))
    await proxy.held.wait()
    assert not task.done()
    proxy.cut()
    proxy.decide = NthCommit(0, "pass")
    proxy.go_on()
    await end_exact(small, proxy.direct, await task)


async def test_a_stalled_network_is_waited_for(small: Case, proxy: Proxy) -> None:
    proxy.decide = NthCommit(1, "hold answer")
    task = asyncio.create_task(try_run(small, proxy.dsn))
    for _ in range(2):
        await proxy.held.wait()
        assert not task.done()
        proxy.held.clear()
        proxy.decide = NthCommit(1, "hold answer")
        proxy.go_on()
    await proxy.held.wait()
    proxy.decide = NthCommit(0, "pass")
    proxy.go_on()
    assert await task is None
    await assert_identical(small, proxy.direct)


async def test_a_slow_network_is_only_slow(small: Case, proxy: Proxy) -> None:
    proxy.bytes_per_s = 4 << 20
    assert await try_run(small, proxy.dsn) is None
    await assert_identical(small, proxy.direct)


@pytest.mark.slow
async def test_a_server_that_stays_away_ends_the_run_after_about_a_minute(
    small: Case, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the product of two retries, one inside the other."""
    monkeypatch.setattr("copier.postgres.loss.PATIENCE_S", 3.0)
    cut_s = 0.0

    def cut_for_good(link: object, kind: int, body: bytes) -> str:
        nonlocal cut_s
        if kind == ord("c") and not cut_s:
            cut_s = time.monotonic()
            proxy.open = False
            proxy.cut()
            return "cut"
        return "pass"

    proxy.decide = cut_for_good  # type: ignore[assignment]
    error = await try_run(small, proxy.dsn)
    assert error is not None
    assert time.monotonic() - cut_s < 15
    proxy.open = True
    await end_exact(small, proxy.direct, error)


async def test_cancelling_while_the_network_stands_still(
    small: Case, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel must not wait for a peer that is silent."""
    monkeypatch.setattr("copier.postgres.cutoff.GRACE_S", 0.5)
    proxy.decide = NthCommit(2, "hold answer")
    task = asyncio.create_task(run(small, proxy.dsn))
    await proxy.held.wait()
    task.cancel()
    start_s = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - start_s < 20
    proxy.cut()
    proxy.decide = NthCommit(0, "pass")
    proxy.go_on()
    await end_exact(small, proxy.direct, CopierError("cancelled"))


async def test_a_port_where_nothing_is(small: Case, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copier.run.session.FIRST_CONNECT_S", 0.5)
    proxy.open = False
    error = await try_run(small, proxy.dsn)
    assert error is not None
    assert error.exit_code == 5
    assert_clear(error)
