"""The chat database in both engines, with something worth searching for."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg

from bench.queries.operations import RARE_EVERY, RARE_WORDS
from bench.server import bench_server, machine
from copier import Settings, migrate
from copier.sqlite.chatdb import make_chat_database

PLAN = Path(__file__).resolve().parents[2] / "docs" / "examples" / "demo.plan.toml"


def chat_source(cache: Path, rows: int, scratch: Path) -> Path:
    """Return a fresh copy of the chat database of that many messages, made once per cache directory."""
    made = cache / f"chat_search_{rows}.db"
    if not made.exists():
        draft = made.with_suffix(".making")
        draft.unlink(missing_ok=True)
        make_chat_database(draft, rows)
        with closing(sqlite3.connect(draft)) as connection:
            # The generator's vocabulary is small: every word of it is everywhere, which no search could be quick on.
            for number, word in enumerate(RARE_WORDS):
                connection.execute(
                    "UPDATE messages SET content = content || ' ' || ? WHERE rowid % ? = ?",
                    (word, min(RARE_EVERY, max(1, rows // 10)), number),
                )
            connection.commit()
        draft.rename(made)
    copy = scratch / "chat.db"
    shutil.copyfile(made, copy)
    return copy


def add_fts5(path: Path) -> None:
    """Give the SQLite file an FTS5 index over the messages, as an application that searches would have."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE VIRTUAL TABLE messages_fts USING fts5(content, content='messages')")
        connection.execute("INSERT INTO messages_fts (messages_fts) VALUES ('rebuild')")
        connection.commit()


@asynccontextmanager
async def migrated(source: Path, settings: dict[str, str] | None = None) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Move the file into a server of its own; yields its DSN and what the machine is."""
    async with bench_server(settings) as server:
        report = await migrate(Settings(sqlite=source, postgres=server.dsn(), plan=PLAN, no_backup=True))
        assert report.outcome == "verified", f"the migration ended as {report.outcome}: {report.error}"
        connection = await asyncpg.connect(server.dsn())
        try:
            facts = await machine(connection)
        finally:
            await connection.close()
        yield server.dsn(), facts
