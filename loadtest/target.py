"""The database under test, through psycopg: what it is, real ids to work with, and what it says of itself."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from copier.errors import ConnectionLost, TargetUnusable, UsageError
from copier.plan.names import qualify
from copier.postgres.dsn import describe, resolve_dsn
from loadtest.statements import COLUMNS, Statements, build_statements

Connection = psycopg.Connection[Any]
Prepared = Literal["auto", "on", "off"]
SAMPLE_ROWS = 5000
CONNECT_TIMEOUT_S = 10
QUIET_PATIENCE_S = 10
APPLICATION_NAME = "sqlite2pg loadtest"
UNANSWERED_MS = 10_000
"""Unacknowledged bytes end a connection after this: a server that vanished must not hang a user for ever."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Real ids and texts of the target, a bounded number of each; a parameter in text form."""

    conversations: tuple[tuple[str, str, str], ...]
    """(id, user1, user2)."""
    users: tuple[tuple[str, str], ...]
    """(id, user name)."""
    contents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the document says of the target; no secret."""

    server: str
    database: str
    where: str
    via: str


def target_dsn(environ: Mapping[str, str] = os.environ) -> str:
    """Return the DSN in DATABASE_URL or the PG* variables; it may hold a password. UsageError when there is none."""
    dsn = resolve_dsn(None, environ)
    if dsn is None:
        raise UsageError("there is no target", hint="set DATABASE_URL, or PGHOST and PGDATABASE")
    return dsn


def connect(dsn: str, *, prepare: bool) -> Connection:
    """Return an autocommit connection. Its statements are prepared at first use, or never.

    Raises psycopg.Error; its message holds no password.
    """
    conn = psycopg.connect(
        dsn,
        autocommit=True,
        cursor_factory=psycopg.RawCursor,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name=APPLICATION_NAME,
        tcp_user_timeout=UNANSWERED_MS,
    )
    conn.prepare_threshold = 0 if prepare else None
    return conn


def message_counts(connection: Connection, schema: str) -> tuple[int, int]:
    """Return messages in the table, and the sum of the conversations' counters."""
    row = connection.execute(
        f"SELECT (SELECT count(*) FROM {qualify(schema, 'messages')}), "
        f"(SELECT coalesce(sum(message_count), 0)::bigint FROM {qualify(schema, 'conversations')})"
    ).fetchone()
    assert row is not None  # a SELECT without FROM has one row
    return row[0], row[1]


class Control:
    """One connection beside the users': reads the target before, during and after."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self.connection = self.reconnect()

    def reconnect(self) -> Connection:
        """Connect, also after a failover; ConnectionLost says why not."""
        try:
            self.connection = connect(self._dsn, prepare=False)
        except psycopg.Error as error:
            reason = str(error).strip().splitlines()
            raise ConnectionLost(
                f"cannot connect to {describe(self._dsn)}: {reason[0] if reason else type(error).__name__}",
                hint="is the server running, and are host, port and user right?",
            ) from None
        return self.connection

    def pooled(self) -> bool:
        """Return whether a pooler is in between: it hands out process numbers that are not the backend's."""
        row = self.connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None  # a SELECT without FROM has one row
        return bool(row[0] != self.connection.info.backend_pid)

    def facts(self, via: str | None) -> Facts:
        """Return what the document says of the target."""
        row = self.connection.execute("SELECT current_setting('server_version'), current_database()").fetchone()
        assert row is not None
        via = via or ("pgbouncer" if self.pooled() else "direct")
        return Facts(f"PostgreSQL {row[0]}", row[1], describe(self._dsn), via)

    def statements(self) -> Statements:
        """Return the SQL for this target. TargetUnusable when it is no chat database."""
        rows = self.connection.execute(
            "SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_attribute AS a "
            "JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n "
            "ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = ANY($2) AND c.relkind IN ('r', 'p') "
            "AND a.attnum > 0 AND NOT a.attisdropped",
            (self._schema, list(COLUMNS)),
        )
        return build_statements({(table, column): type_ for table, column, type_ in rows}, self._schema)

    def sample(self) -> Sample:
        """Return ids from all over the tables, without reading large ones whole."""
        conversations = self._some("conversations", "id::text, user1_id::text, user2_id::text")
        users = self._some("users", "id::text, username", "WHERE deleted_at IS NULL")
        contents = self._some("messages", "content")
        if not (conversations and users and contents):
            raise TargetUnusable(
                "the target has no conversations, users or messages to work with", hint="migrate a database first"
            )
        return Sample(tuple(conversations), tuple(users), tuple(text for (text,) in contents))

    def counts(self) -> tuple[int, int]:
        """Return what `message_counts` does."""
        return message_counts(self.connection, self._schema)

    def replication_lag_ms(self) -> float | None:
        """Return how far the slowest standby's replay is behind; None without a standby one may see."""
        row = self.connection.execute(
            "SELECT count(*), coalesce(max(extract(epoch FROM replay_lag)), 0)::float8 * 1000 "
            "FROM pg_catalog.pg_stat_replication WHERE state = 'streaming'"
        ).fetchone()
        assert row is not None
        return float(row[1]) if row[0] else None

    def await_quiet(self) -> None:
        """Wait, at most ten seconds, until no user's statement runs: one whose client was cut off may still commit."""
        deadline_s = time.monotonic() + QUIET_PATIENCE_S
        while time.monotonic() < deadline_s:
            row = self.connection.execute(
                "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database() "
                "AND application_name = $1 AND state <> 'idle' AND pid <> pg_backend_pid()",
                (APPLICATION_NAME,),
            ).fetchone()
            if row is None or not row[0]:
                return
            time.sleep(0.05)

    def _some(self, table: str, columns: str, where: str = "") -> list[tuple[str, ...]]:
        name = qualify(self._schema, table)
        row = self.connection.execute("SELECT reltuples FROM pg_catalog.pg_class WHERE oid = $1::regclass", (name,))
        rows = max(0.0, (row.fetchone() or (0.0,))[0])
        percent = 100.0 if rows < 4 * SAMPLE_ROWS else 200.0 * SAMPLE_ROWS / rows
        return self.connection.execute(
            f"SELECT {columns} FROM {name} TABLESAMPLE SYSTEM ({percent}) {where} LIMIT {SAMPLE_ROWS}"
        ).fetchall()
