"""Rejected rows with values too large for the ledger: what is kept of them, and what a retry says. The sizes are made
small; what PostgreSQL does with a message of 1 GiB is in tests/hostile."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copier import migration
from copier.config import Settings
from copier.events import Event, Message
from copier.plan.source import Value
from copier.wire import values as stored
from copier.wire.values import is_cut, row_to_json, value_to_json

KEPT = 1000


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "KEPT_BYTES", KEPT)
    monkeypatch.setattr(stored, "KEPT_ROW_BYTES", 6 * KEPT)


VALUES = st.none() | st.integers() | st.text(max_size=40) | st.binary(max_size=40)


@given(st.lists(VALUES, max_size=6))
def test_a_row_fits_and_what_fits_is_whole(row: list[Value]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "KEPT_BYTES", 30)
        patch.setattr(stored, "KEPT_ROW_BYTES", 180)
        found = row_to_json(row)
    kept = [pair for pair in found if not is_cut(pair)]
    assert sum(len(orjson.dumps(text)) - 2 for kind, text in kept if kind in ("text", "blob")) <= 180
    for value, pair in zip(row, found, strict=True):
        if is_cut(pair):
            assert isinstance(value, str | bytes)
            assert pair == [f"{value_to_json(value)[0]}, cut", str(len(value))]
        else:
            assert pair == value_to_json(value)
    sizes = [2 * len(v) if isinstance(v, bytes) else 6 * len(v) for v in row if isinstance(v, str | bytes)]
    if sum(sizes) <= 180 and all(len(v) <= 30 for v in row if isinstance(v, str | bytes)):
        assert len(kept) == len(row), "nothing is cut without need"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b BLOB, c BLOB, d BLOB)")
        blob = bytes(KEPT - 10)
        rows = [(1, "a\0b", b"", b"", b""), (2, "x\0" * KEPT, b"", b"", b""), (3, "a\0b" * 100, blob, blob, blob)]
        rows += [(4, "a\0b", blob, blob, blob), *((i, "good", None, None, None) for i in range(5, 1000))]
        db.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
    db.close()
    return path


@pytest.mark.usefixtures("small_limits")
async def test_what_the_ledger_has_not_whole_is_not_tried_again_and_stays_as_it_is(
    app: Path, pg_dsn: str, pg: asyncpg.Connection, tmp_path: Path
) -> None:
    settings = Settings(sqlite=app, postgres=pg_dsn, no_backup=True)
    report = await migration.full(settings)
    assert report.outcome == "attention"
    assert [(r.key, r.value) for r in report.rejects if r.key == "id=2"] == [("id=2", "(text of length 2,000)")]
    before = await pg.fetch("SELECT *, row_data::text AS row FROM sqlite2pg.reject ORDER BY (key->>0)::int")
    pairs = [[is_cut(pair) for pair in json.loads(row["row"])] for row in before]
    nothing = [False] * 5
    assert pairs == [nothing, [False, True, *nothing[2:]], [False, False, True, False, False], nothing]
    assert before[1]["value"] == (b"x\0" * KEPT)[:KEPT], "the beginning of the guilty value"

    plan = tmp_path / "plan.toml"
    plan.write_text('format = 1\n[table.t.columns]\na = { policy = "strip" }\n')
    told: list[Event] = []
    again = await migration.retry_rejects(Settings(postgres=pg_dsn, plan=plan), told.append)
    [counts] = again.retries
    assert (again.outcome, counts.moved_rows, counts.left_rows) == ("attention", 2, 2)
    [warning] = again.warnings
    assert warning in [event.text for event in told if isinstance(event, Message)]
    assert warning.startswith("2 rejected rows of t cannot be tried again")
    assert "Correct them in the SQLite file" in warning
    after = await pg.fetch("SELECT *, row_data::text AS row FROM sqlite2pg.reject ORDER BY (key->>0)::int")
    assert [dict(row) for row in after[1:3]] == [dict(row) for row in before[1:3]]
    listed = [one async for one in migration.list_rejects(Settings(postgres=pg_dsn))]
    assert [(one.key, one.reason) for one in listed] == [(f"id={n}", "contains a NUL character") for n in (2, 3)]
    assert await pg.fetchval("SELECT array_agg(id ORDER BY id) FROM t WHERE id < 6") == [1, 4, 5]
