"""What a person reads when a verb is done."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from copier.cli.render import headline, render_report
from copier.cli.render_runs import render_backup, render_rollback, render_status
from copier.plan.model import ObjectNote
from copier.report import Mismatch, RejectReport, Report, TableReport
from copier.units import duration, parse_bytes, plural, printable, size


def shown(report: Report, *, verbose: bool = False, width: int = 80, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, highlight=False)
    render_report(report, console, verbose, files=[("report", "out.json"), ("log", "a.log")])
    file.flush()
    assert isinstance(file.buffer, io.BytesIO)
    return file.buffer.getvalue().decode(encoding)


def table(name: str = "users", rows: int = 1000, rejected: int = 0, verified: str | None = "content") -> TableReport:
    return TableReport(name, name, rows, rows - rejected, rejected, verified, 2_500_000, 0.4)  # type: ignore[arg-type]


@pytest.fixture
def verified() -> Report:
    tables = [table("users"), table("rooms", 45), table("messages", 119_300)]
    phases = [{"name": "schema", "seconds": 0.2}, {"name": "data", "seconds": 72.0}]
    return Report("verified", "full", run="r1", tables=tables, phases=phases, seconds=75.0, peak_rss_bytes=90_000_000)


@pytest.fixture
def attention() -> Report:
    objects = [
        ObjectNote("index", "by_name", "users", "created"),
        ObjectNote("trigger", "fts_sync", "users", "skipped", "CREATE TRIGGER ..."),
        ObjectNote("view", "v", None, "failed", 'relation "x" does not exist\nLINE 1'),
    ]
    rejects = [RejectReport("users", str(n), "name", r"a\x00b", "NUL byte in text") for n in (7, 9)]
    return Report(
        "attention",
        "full",
        run="r1",
        tables=[table(rejected=2)],
        objects=objects,
        rejects=rejects,
        warnings=["slow disk"],
    )


def test_verdict_of_a_verified_run(verified: Report) -> None:
    assert headline(verified) == "Verified: 3 tables, 120,345 rows, every value compared."
    assert shown(verified).startswith(headline(verified))


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (["count", "count"], "rows counted."),
        (["count", "content"], "values compared or rows counted."),
        ([None, "content"], "Not yet verified: sqlite2pg check compares every value."),
    ],
)
def test_verdict_claims_no_more_than_was_done(levels: list[str | None], words: str) -> None:
    report = Report("verified", "full", tables=[table(verified=level) for level in levels])
    assert headline(report).endswith(words)
    assert "every value compared" not in headline(report)


def test_verdict_names_what_needs_a_person(attention: Report) -> None:
    expected = "Needs a person: 2 rows rejected, 1 object refused by PostgreSQL, 1 object not carried over."
    assert headline(attention) == expected


def test_problems_come_before_the_tables(attention: Report) -> None:
    text = shown(attention)
    order = [
        "Needs a person",
        "Rejected rows",
        "Refused by PostgreSQL",
        "Not carried over",
        "slow disk",
        "verified",
        "undo:",
    ]
    places = [text.index(word) for word in order]
    assert places == sorted(places)


def test_rejects_are_grouped_with_counts(attention: Report) -> None:
    row = next(line for line in shown(attention).splitlines() if "NUL byte" in line)
    assert row.split() == ["users", "name", "NUL", "byte", "in", "text", "2", "7"]


def test_rejects_beyond_the_sample_are_told() -> None:
    rejects = [RejectReport("users", str(n), "name", "x", "not a number") for n in range(100)]
    text = shown(Report("attention", tables=[table(rejected=812)], rejects=rejects))
    assert "100 of 812 are counted above, some of each kind. All: users 812." in text


def test_constraints_that_rows_violate_are_called_what_they_are() -> None:
    checks = [
        {"name": name, "ok": False, "detail": "", "hint": ""} for name in ("constraint a of t", "sequence of t.id")
    ]
    text = shown(Report("attention", tables=[table()], checks=checks))
    assert "Needs a person: 1 constraint not valid, 1 check failed." in text


def test_object_detail_is_the_servers_first_line(attention: Report) -> None:
    text = shown(attention)
    assert 'relation "x" does not exist' in text
    assert "LINE 1" not in text
    assert "does not exist .. (whole in the report)" in " ".join(text.split())


def test_what_only_sqlite_needs_is_named_and_no_problem() -> None:
    objects = [
        ObjectNote("internal table", "sqlite_sequence", None, "skipped"),
        *[ObjectNote("shadow table", f"fts_{n}", None, "skipped") for n in range(3)],
    ]
    text = shown(Report("verified", "full", tables=[table()], objects=objects))
    assert "Only SQLite needs: 1 internal table, 3 shadow tables." in text
    assert "Not carried over" not in text
    assert "sqlite_sequence" in shown(Report("verified", "full", tables=[table()], objects=objects), verbose=True)


def test_mismatch_shows_both_values() -> None:
    rows = [Mismatch("users", "7", "name", "Ann", "Anm"), Mismatch("users", "9", None, "(9, Bob)", None)]
    text = shown(Report("mismatch", "check", tables=[table()], mismatches=rows))
    assert text.startswith("Source and target differ: 2 rows in 1 table. Do not cut over.")
    assert "Ann" in text
    assert "Anm" in text
    assert "(no such row)" in text


def test_failing_checks_say_what_to_do() -> None:
    checks = [
        {"name": "target is empty", "ok": False, "detail": "3 tables", "hint": "use --existing"},
        {"name": "version", "ok": True, "detail": "18.1", "hint": ""},
    ]
    text = shown(Report("refused", "validate", checks=checks))
    assert text.startswith("Refused to start: 1 of 2 checks failed. Nothing was written.")
    assert "✗ target is empty: 3 tables" in text
    assert "use --existing" in text
    assert "✓ version: 18.1" in text


def test_advice_is_no_failure() -> None:
    """A verified run is not to look as if something in it had failed."""
    checks = [
        {"name": "version", "ok": True, "detail": "18.1", "hint": "", "fatal": True},
        {"name": "shared_buffers", "ok": False, "detail": "128 MB", "hint": "raise it", "fatal": False},
    ]
    text = shown(Report("verified", tables=[table()], checks=checks))
    assert "! shared_buffers: 128 MB" in text
    assert "raise it" in text
    assert "✗" not in text
    ready = shown(Report("verified", "validate", checks=checks))
    assert ready.startswith("Ready: 1 check passed, 1 piece of advice.")
    refused = {**checks[1], "name": "target is empty", "fatal": True}
    text = shown(Report("refused", "validate", checks=[checks[1], refused]))
    assert text.startswith("Refused to start: 1 of 2 checks failed.")
    assert text.index("✗ target is empty") < text.index("! shared_buffers")
    assert "1 check failed" in shown(Report("attention", tables=[table()], checks=[checks[1], refused]))


def test_failed_run_says_how_to_go_on() -> None:
    error = {"message": "connection lost", "hint": "start the server"}
    text = shown(Report("failed", "full", run="r1", error=error))
    assert text.startswith("Failed: connection lost")
    assert "start the server" in text
    assert "give the same command again: only what is missing is copied" in text
    assert "sqlite2pg rollback --run r1" in text


def test_files_and_connection_are_named(verified: Report) -> None:
    verified.target |= {"connect": "psql -h /tmp/x app\n  stop: pg_ctl", "embedded": True, "dsn": "postgresql:///app"}
    verified.source["backup"] = "app-backup.db"
    text = shown(verified)
    for words in ("connect:  psql -h /tmp/x app", "backup:   app-backup.db", "report:   out.json", "log:      a.log"):
        assert words in text
    assert "\n          stop: pg_ctl\n" in text
    assert "undo:     sqlite2pg rollback --run r1 --postgres 'postgresql:///app'" in text


def test_incomplete_table_is_shown_first(verified: Report) -> None:
    verified.tables.append(TableReport("zz", "zz_new", 10, 4))
    text = shown(verified)
    assert text.index("zz → zz_new") < text.index("messages")
    assert "4 of 10" in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_fits_the_width_without_colour_and_loses_nothing(attention: Report, width: int) -> None:
    attention.tables.append(table("a_table_with_a_rather_long_name_as_orms_make_them_" + "x" * 40))
    text = shown(attention, width=width)
    grid = [line for line in text.splitlines() if "   " in line.strip() and not re.match(r"\w+: ", line)]
    assert len(grid) > 8
    assert max(map(len, grid)) <= width
    assert "\x1b" not in text
    assert "…" not in text


def test_plain_ascii_terminal(attention: Report) -> None:
    attention.tables.append(TableReport("a", "b", 1, 1, 0, "content"))
    text = shown(attention, encoding="ascii")
    assert "a -> b" in text
    assert "ok content" in text


def test_long_lists_are_cut_and_say_so_unless_verbose() -> None:
    objects = [ObjectNote("trigger", f"t{n}", "users", "skipped", "not translated") for n in range(30)]
    report = Report("attention", tables=[table(f"table_{n}") for n in range(60)], objects=objects)
    assert "and 10 objects more" in shown(report)
    assert "and 10 tables more with 10,000 rows" in shown(report)
    assert "more" not in shown(report, verbose=True)
    assert "t29" in shown(report, verbose=True)


def test_markup_and_control_characters_in_names_are_harmless() -> None:
    text = shown(Report("verified", tables=[table("[bold]x[/bold]\x1b[2J:smile:")]))
    assert r"[bold]x[/bold]\x1b[2J:smile:" in text.replace("\n", "")


@dataclass
class Status:
    """The fields of RunStatus."""

    run: str = "r1"
    command: str = "full"
    source: str = "app.db"
    started_at: datetime = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    finished_at: datetime | None = None
    outcome: str | None = None
    tables_done: int = 1
    tables: int = 3
    rows: int = 500
    total_rows: int = 2000
    rejects: int = 1
    rows_per_s: float | None = 100.0
    seconds_left: float | None = 15.0
    running: bool = True


@dataclass
class Rollback:
    run: str
    dropped: list[str]
    deleted_rows: dict[str, int]
    dump: Path | None
    put_back: list[str]
    dry: bool = False


@dataclass
class Backup:
    path: Path
    bytes: int
    sha256: str
    tables: dict[str, int]


def printed(render, value) -> str:
    console = Console(file=io.StringIO(), width=100, highlight=False)
    render(value, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_status_of_a_run_at_work() -> None:
    text = printed(render_status, [Status()])
    assert "2025-01-02 03:04:05" in text.replace("\n", " ")
    assert "running" in text
    assert "Run r1 is at 25%, 100 rows/s, about 15 s left." in text


def test_one_row_is_one_row() -> None:
    one = Status(tables_done=1, tables=1, rows=1, total_rows=1, running=False)
    assert "1 of 1 table, 1 row, " in printed(render_status, [one])
    assert "1 of 1 table, 0 of 1 row, " in printed(render_status, [replace(one, rows=0)])


def test_status_of_an_interrupted_run_says_how_to_go_on() -> None:
    assert "Run r1 was interrupted: run the same command again" in printed(render_status, [Status(running=False)])


def test_status_of_an_unused_target() -> None:
    assert printed(render_status, []) == "No run is recorded in this database.\n"


def test_rollback_tells_what_went() -> None:
    text = printed(
        render_rollback, Rollback("r1", ["table a", "table b"], {"c": 5, "d": 0}, Path("dump.sql"), ["index i"])
    )
    assert text.startswith("Rolled back run r1: 2 objects dropped, 5 rows deleted from 1 table.")
    assert "dropped table a" in text
    assert "put back index i" in text
    assert "dump:     dump.sql" in text


def test_a_rollback_that_was_only_tried_says_so() -> None:
    text = printed(render_rollback, Rollback("r1", ["table a"], {}, None, [], dry=True))
    assert text.startswith("Would roll back run r1: 1 object dropped.")
    assert "nothing was changed" in text
    assert "dump" not in text


def test_backup_tells_what_was_proven() -> None:
    text = printed(render_backup, Backup(Path("b.db"), 12_000_000, "ab" * 32, {"a": 3, "b": 4}))
    assert text.startswith("Backed up and checked: 12.0 MB, 2 tables, 7 rows.")
    assert "ab" * 32 in text


@pytest.mark.parametrize(
    ("text", "n"), [("8MiB", 8 << 20), ("32M", 32 << 20), ("1000000", 10**6), ("64k", 65536), ("1.5 GiB", 3 << 29)]
)
def test_sizes_people_write(text: str, n: int) -> None:
    assert parse_bytes(text) == n


@pytest.mark.parametrize("text", ["", "8 potatoes", "-1", "1e6", "MiB"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="write a size"):
        parse_bytes(text)


def test_figures_people_read() -> None:
    assert [size(n) for n in (812, 3400, 12e6, 1.25e9)] == ["812 B", "3.4 kB", "12.0 MB", "1.2 GB"]
    assert [duration(s) for s in (0.44, 12, 185, 3720)] == ["0.4 s", "12 s", "3 min 05 s", "1 h 02 min"]
    assert [plural(2, word) for word in ("index", "foreign key", "identity", "check")] == [
        "2 indexes", "2 foreign keys", "2 identities", "2 checks",
    ]  # fmt: skip
    assert printable("a\nb\x1b\udce9") == r"a b\x1b\udce9"
