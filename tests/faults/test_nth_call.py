"""Call N to the server fails, for N = 1, 2, 3, ... until a run needs fewer calls: it leaves before or after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from fix_faults import WHOLE, Case, end_exact, try_run
from fix_postgres import Servers

from copier.errors import SchemaFailed

METHODS = ("execute", "executemany", "fetch", "fetchrow", "fetchval", "copy_to_table", "copy_from_query")
"""Every way the copier talks to the server; BEGIN, COMMIT and ROLLBACK come through `execute`."""

STRIDE = {"lost before": 13, "lost after": 15, "refused": 17}


@dataclass
class Fault:
    """Counts calls to asyncpg's connections and makes one of them fail."""

    number: int
    kind: str
    calls: int = 0
    hit: list[str] = field(default_factory=list)
    inside: int = 0

    @property
    def due(self) -> bool:
        self.calls += 1
        return self.calls == self.number


def _failing(method: str, fault: Fault, plain: Any) -> Any:
    async def call(self: asyncpg.Connection, *args: Any, **more: Any) -> Any:
        if not fault.due:
            return await plain(self, *args, **more)
        text = str(args[0]).split()[0].upper() if method == "execute" and args else method
        fault.hit.append(text if text in ("BEGIN;", "COMMIT;") else method)
        if fault.kind == "refused":
            if text == "COMMIT;":  # what the server refuses to commit it has rolled back
                await plain(self, "ROLLBACK;")
            raise asyncpg.exceptions.OutOfMemoryError("out of memory")
        if fault.kind == "lost after":
            await plain(self, *args, **more)
        self.terminate()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    return call


@contextmanager
def failing(fault: Fault) -> Iterator[Fault]:
    with pytest.MonkeyPatch.context() as patch:
        for method in METHODS:
            plain = getattr(asyncpg.Connection, method)
            patch.setattr(asyncpg.Connection, method, _failing(method, fault, plain))
        yield fault


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", list(STRIDE))
async def test_the_nth_call_fails(small: Case, pg_servers: Servers, kind: str) -> None:
    hits: Counter[str] = Counter()
    number, survived = 1, 0
    while True:
        async with pg_servers.database("wheel18") as name:
            dsn = pg_servers.get("wheel18").dsn(name)
            with failing(Fault(number, kind)) as fault:
                error = await _run(small, dsn, fault)
            if not fault.hit:
                break
            hits.update(fault.hit)
            await end_exact(small, dsn, error)
            survived += 1
        number += 1 if WHOLE else STRIDE[kind]
    print(f"{kind}: {survived} faults in up to {number} calls: {dict(hits)}")
    assert survived >= 10
    if WHOLE:
        missed = {*METHODS, "BEGIN;", "COMMIT;"} - {*hits}
        assert not missed, f"never failed: {missed}"


async def _run(case: Case, dsn: str, fault: Fault) -> Any:
    try:
        return await try_run(case, dsn)
    except BaseException as error:
        error.add_note(f"fault: call {fault.number}, {fault.kind}: {fault.hit}")
        raise


async def test_the_end_of_a_run_whose_answer_is_lost_is_settled(
    small: Case, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the person would be told to run again what is finished, and then be refused."""
    plain, lost = asyncpg.Connection.execute, 0

    async def execute(self: asyncpg.Connection, query: str, *args: Any, **more: Any) -> str:
        nonlocal lost
        done = await plain(self, query, *args, **more)
        if "end_xid" in query and "UPDATE" in query and not lost:
            lost += 1
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return done

    monkeypatch.setattr(asyncpg.Connection, "execute", execute)
    error = await try_run(small, pg_dsn)
    assert lost == 1
    assert error is None


async def test_an_object_is_not_given_up_because_the_disk_was_full(
    small: Case, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ended without its index could never be finished."""
    plain = asyncpg.Connection.execute

    async def execute(self: asyncpg.Connection, query: str, *args: Any, **more: Any) -> str:
        if query.startswith("CREATE INDEX") and "note_author" in query:
            raise asyncpg.exceptions.DiskFullError("could not extend file: No space left on device")
        return await plain(self, query, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "execute", execute)
        error = await try_run(small, pg_dsn)
    assert isinstance(error, SchemaFailed)
    assert "same command again" in error.hint
    await end_exact(small, pg_dsn, error)
