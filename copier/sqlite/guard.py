"""Taking SQLite's write lock beside an application that wants it too."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import aiosqlite

from copier.sqlite.connection import connect, finish, query
from copier.sqlite.explain import is_busy

_POLL_S = 0.001


async def take_write_lock(path: Path, *, patience_s: float) -> aiosqlite.Connection:
    """Return a connection that holds the write lock of `path`; nothing is written. Raises sqlite3.Error.

    SQLite's own busy handler sleeps ever longer, and starves beside an application that commits all the time: this
    one tries at short, even intervals, for `patience_s`.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + patience_s
    guard = await connect(path, "rw", busy_timeout_s=0)
    try:
        while True:
            try:
                await query(guard, "BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if not is_busy(error) or loop.time() >= give_up:
                    raise
                await asyncio.sleep(_POLL_S)
            else:
                return guard
    except BaseException:
        await finish(guard.close())
        raise
