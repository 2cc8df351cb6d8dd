"""Documents as the commands write them: a load test of a minute, and a migration in which everything happened."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from copier.plan.model import ObjectNote
from copier.report import Mismatch, RejectReport, Report, TableReport

OPERATIONS = {"Sender": (3.1, 500), "Reader": (2.2, 350), "Searcher": (9.5, 50), "Presence": (1.1, 100)}
"""Operation -> (p50 in ms, rate per second)."""


def loadtest_document(seconds: int = 60, *, slower: float = 1.0, seed: int = 7) -> dict[str, Any]:
    """Return the document of a load test that passed; `slower` multiplies every latency."""
    chance = random.Random(seed)
    timeline = [_sample(t_s, slower, chance) for t_s in range(1, seconds + 1)]
    return {
        "kind": "loadtest", "version": 1, "verdict": "pass", "reasons": [], "started_at": "2026-03-01T22:15:00Z",
        "shape": "steady", "duration_s": float(seconds),
        "target": {"server": "18.1", "database": "chat", "where": "database chat at db.example:6432 as chat",
                   "via": "pgbouncer"},
        "machine": {"cores": 8, "model": "An ordinary processor", "memory_bytes": 34_359_738_368},
        "rate": {"intended_per_s": 1000.0, "achieved_per_s": 999.2},
        "operations": [_operation(name, seconds, slower) for name in OPERATIONS],
        "slo": [
            {"name": "rate achieved", "target": 990, "measured": 999.2, "met": True, "unit": "/s", "at_least": True},
            {"name": "Sender p95", "target": "10 ms", "measured": f"{3.1 * 2.2 * slower:.1f} ms", "met": True},
            {"name": "errors", "target": "0.1 %", "measured": "0 %", "met": True},
        ],
        "timeline": timeline,
        "generator": {"cpu_share_max": 0.61, "cpu_share_mean": 0.47, "loop_lag_p99_ms": 2.4, "bound": False},
        "replication": {"lag_ms_max": 41.0, "lag_ms_p95": 12.5},
        "audit": {"acknowledged": 30_000, "found_once": 30_000, "missing": 0, "duplicated": 0,
                  "unacknowledged_found": 2, "ok": True},
        "knee": {"rate_per_s": 2350.0, "p95_ms": 9.7},
    }  # fmt: skip


def _sample(t_s: int, slower: float, chance: random.Random) -> dict[str, Any]:
    rate = 1000.0 * min(1.0, t_s / 4) + chance.gauss(0, 6)
    checkpoint = 1 + 1.5 * math.exp(-(((t_s - 38) / 2.5) ** 2))
    operations = {}
    for name, (p50_ms, _) in OPERATIONS.items():
        p50 = p50_ms * slower * chance.uniform(0.93, 1.08) * checkpoint
        operations[name] = {"p50_ms": p50, "p95_ms": p50 * chance.uniform(2, 2.4), "p99_ms": p50 * chance.uniform(3, 5)}
    return {"t_s": t_s, "users": 220, "intended_per_s": 1000.0, "rate_per_s": rate, "failures_per_s": 0.0,
            "operations": operations}  # fmt: skip


def _operation(name: str, seconds: int, slower: float) -> dict[str, Any]:
    p50_ms, rate = OPERATIONS[name]
    p50 = p50_ms * slower
    return {"name": name, "count": rate * seconds, "failures": 0, "rate_per_s": rate, "p50_ms": p50,
            "p95_ms": p50 * 2.2, "p99_ms": p50 * 4, "max_ms": p50 * 11, "targets": {"p95_ms": p50_ms * 3.3},
            "met": True}  # fmt: skip


def eventful_report() -> Report:
    """Return the report of a migration with something in every part of it."""
    report = Report(
        "mismatch", "full", run="20260301T221500Z-abc123", engine="native", seconds=194.2, peak_rss_bytes=97_000_000
    )
    report.source = {"path": "/srv/chat/chat.db", "bytes": 812_000_000, "snapshot": "wal", "backup": "/srv/b.backup"}
    report.target = {"server": "18.1", "where": "database app at db.example:5432 as app", "schema": "public",
                     "ledger_schema": "sqlite2pg", "connect": "psql -h db.example app"}  # fmt: skip
    spans = {"backup": (0, 9), "validate": (9, 1), "profile": (10, 24), "schema": (34, 1), "data": (35, 88),
             "constraints": (123, 21), "verify": (144, 50)}  # fmt: skip
    report.phases = [{"name": name, "started_s": a, "seconds": s} for name, (a, s) in spans.items()]
    report.timeline = [*_samples("data", 35, 88), *_samples("verify", 144, 50)]
    report.tables = [
        TableReport("messages", "messages", 4_000_000, 3_999_988, 12, "content", 611_000_000, 80.1, {"body": 3}),
        TableReport("users", "app_users", 120_000, 120_000, 0, "content", 19_000_000, 4.2),
        TableReport("settings", "settings", 14, 14, 0, None, 900, 0.0),
    ]
    report.objects = [
        ObjectNote("trigger", "bump_count", "messages", "skipped",
                   "its body is more than one statement: CREATE TRIGGER bump_count AFTER INSERT ON messages\nBEGIN\n"
                   "  UPDATE conversations SET n = n + 1 WHERE id = NEW.conversation_id;\nEND"),
        ObjectNote("view", "recent", None, "failed", 'function julianday("text") does not exist'),
        ObjectNote("index", "messages_at", "messages", "created"),
        ObjectNote("default", "created_at", "users", "translated", "now()"),
        ObjectNote("internal table", "sqlite_sequence", None, "skipped", "its positions become those of the columns"),
    ]  # fmt: skip
    report.rejects = [
        RejectReport("messages", f"id={n}", "sent_at", "'0000-00-00'", "is not a time") for n in range(1, 13)
    ]
    report.mismatches = [Mismatch("messages", "id=77", "body", "'caf\\xe9'", "'café'"),
                         Mismatch("messages", "id=78", None, "(1, 'x')", None)]  # fmt: skip
    report.checks = [
        {"name": "source opens", "ok": True, "detail": "", "hint": ""},
        {"name": "sequence users.id", "ok": False, "detail": "is at 5, the table at 9", "hint": "run check again"},
        {"name": "setting shared_buffers", "ok": False, "detail": "128 MB is small", "hint": "more", "fatal": False},
    ]
    report.warnings = ["Now dates or times, stored as text before: messages.sent_at."]
    return report


def _samples(phase: str, first_s: float, seconds: float) -> list[dict[str, Any]]:
    share = [(n / 120) ** 1.1 for n in range(121)]
    return [
        {
            "t_s": round(first_s + seconds * n / 120, 3),
            "phase": phase,
            "rows": int(4_120_014 * s),
            "bytes": int(630e6 * s),
        }
        for n, s in enumerate(share)
    ]


def write_json(path: Path, document: object) -> Path:
    """Write a document and return its path."""
    path.write_bytes(document.to_json() if isinstance(document, Report) else json.dumps(document).encode())
    return path


ATTACK = (
    "</script></title></style><img src=x onerror=alert(1)>\"'><svg onload=alert(2)>{{ 7 * 7 }}{% raw %}"
    "\x00\x1b[31m\u202e"
)
"""What a name in a database may be."""


def hostile_report() -> Report:
    """Return a report in which every text is an attack."""
    report = eventful_report()
    report.outcome, report.command, report.engine, report.run = "failed", ATTACK, ATTACK, ATTACK
    for place in (report.source, report.target):
        place.update((key, ATTACK) for key in place)
    report.phases = [{**p, "name": ATTACK} if p["name"] == "schema" else p for p in report.phases]
    report.tables = [TableReport(ATTACK, "t", 5, 3, 2, None, 10, 1.0, {ATTACK: 2}) for _ in range(3)]
    report.objects = [
        ObjectNote(ATTACK, ATTACK, ATTACK, status, f"{ATTACK}: CREATE VIEW {ATTACK}")
        for status in ("created", "translated", "skipped", "failed")
    ]
    report.rejects = [RejectReport(ATTACK, ATTACK, ATTACK, ATTACK, ATTACK)]
    report.mismatches = [Mismatch(ATTACK, ATTACK, ATTACK, ATTACK, ATTACK)]
    report.checks = [
        {"name": ATTACK, "ok": ok, "detail": ATTACK, "hint": ATTACK, "fatal": fatal}
        for ok, fatal in ((True, True), (False, True), (False, False))
    ]
    report.warnings = [ATTACK, ATTACK * 100]
    report.error = dict.fromkeys(("type", "message", "hint", "table", "column", "key"), ATTACK)
    return report


def hostile_loadtest() -> dict[str, Any]:
    """Return a load test in which every text is an attack."""

    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            renamed = {name: ATTACK if key == "operations" else name for name in value}
            return {renamed[name]: spoil(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [spoil(one) for one in value]
        return ATTACK if isinstance(value, str) and key not in ("kind", "verdict") else value

    spoilt = spoil({**loadtest_document(), "verdict": "fail", "reasons": ["slow"]})
    assert isinstance(spoilt, dict)
    return {**spoilt, "errors": [{"operation": ATTACK, "error": ATTACK, "count": 3}]}


def large_report(tables: int = 10_000) -> Report:
    """Return a report of a database with very many tables and objects."""
    report = eventful_report()
    names = [f"a_table_with_an_ordinary_name_{n:05}" for n in range(tables)]
    report.tables = [TableReport(name, name, 1000, 1000, 0, "content", 90_000, 0.2) for name in names]
    report.objects = [ObjectNote("index", f"{name}_index", name, "translated", "lower(name)" * 9) for name in names]
    report.objects += [
        ObjectNote("trigger", name, name, "skipped", f"x: CREATE TRIGGER {'y' * 20_000}") for name in names
    ]
    report.warnings = [f"{name} is odd. " * 20 for name in names]
    report.checks = [{"name": name, "ok": True, "detail": "as it should be", "hint": ""} for name in names]
    return report
