"""The command line: help, usage, and the verbs on a real file and server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from copier.cli import main
from copier.postgres.embedded import start
from copier.run.session import embedded_directory

pytestmark = pytest.mark.usefixtures("bare_environment")

VERBS = ("inspect", "validate", "schema", "data", "check", "full", "backup", "status", "rollback", "demo")
SECRET = "tOp-s3cret"
DSN = f"postgresql://bob:{SECRET}@db.example/app"


@pytest.fixture
def app_db(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);"
            "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users(id), body TEXT);"
        )
        db.executemany("INSERT INTO users(name) VALUES (?)", [(f"user {n}",) for n in range(100)])
        db.executemany("INSERT INTO posts(user_id, body) VALUES (?, ?)", [(n % 100 + 1, "x" * n) for n in range(300)])
        db.commit()
    return path


@pytest.mark.parametrize("verb", VERBS)
def test_help_reads_like_a_man_page(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    for part in (
        f"Usage: sqlite2pg {verb}",
        "Exit codes",
        "Environment",
        "Examples",
        f"  sqlite2pg {verb}",
        "--verbose",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80
    assert "<bool>" not in text.replace("--help  -h      <bool>", "")


def test_help_of_all_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"│ {verb} ", text) for verb in VERBS)


def test_help_shows_no_password(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", DSN)
    monkeypatch.setenv("PGPASSWORD", SECRET)
    main(["full", "--postgres", DSN, "--help"])
    assert SECRET not in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from copier.cli import main; main(['full', '--help']); "
        "sys.exit(', '.join({'asyncpg', 'sqlglot', 'aiosqlite', 'uvloop'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"sqlite2pg \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


# Usage


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["nonsense"], "No such command"),
        (["full", "--nonsense"], "--nonsense"),
        (["full"], "no SQLite file is given"),
        (["data", "--sqlite", "a.db"], "no PostgreSQL database is given"),
        (["status"], "no PostgreSQL database is given"),
        (["rollback"], "no PostgreSQL database is given"),
        (["full", "--sqlite", "a.db", "--types", "odd"], "--types: 'odd' is not one of native, faithful"),
        (["full", "--sqlite", "a.db", "--jobs", "many"], "--jobs: 'many' cannot be used"),
        (["full", "--sqlite", "a.db", "--chunk-bytes", "8 apples"], "write a size as 8MiB, 32M or 1000000"),
        (
            ["full", "--sqlite", "a.db", "--memory-bytes", "1MiB"],
            "--memory-bytes (1,048,576) is less than --chunk-bytes",
        ),
        (["full", "--sqlite", "a.db", "--backup", "b.db", "--no-backup"], "exclude each other"),
        (["full", "--sqlite", "a.db", "--report", "nowhere/out.json"], "--report: there is no directory nowhere"),
        (["full", "--sqlite", "a.db", "--log-file", "nowhere/a.log"], "--log-file: there is no directory nowhere"),
        (["full", "--sqlite", "a.db", "--config", "nowhere.toml"], "cannot read nowhere.toml"),
        (["full", "--sqlite", "a.db", "--postgres", "mysql://x"], "not a PostgreSQL connection string"),
        (["demo", "--messages", "many"], "'--messages'"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_hint(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert words in told.err
    assert told.err.startswith("error: ")
    assert "\nhint: " in told.err
    assert "Traceback" not in told.err


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    told = capsys.readouterr()
    assert "Usage: sqlite2pg" in told.out + told.err
    assert "error" not in told.err


@pytest.mark.parametrize(
    "argv", [["full", "app.db", DSN], ["full", "--sqlite", "a.db", "--postgres", DSN.replace("postgresql", "mysql")]]
)
def test_password_in_a_wrong_place_is_not_repeated(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    told = capsys.readouterr()
    assert SECRET not in told.err + told.out


def test_full_check_status_rollback(
    app_db: Path, pg_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["--postgres", pg_dsn, "--progress", "none"]
    source = ["--sqlite", str(app_db)]
    report = tmp_path / "out.json"
    assert main(["full", *source, *target, "--report", str(report)]) == 0, capsys.readouterr().err
    assert "Verified: 2 tables, 400 rows, every value compared." in capsys.readouterr().out
    document = json.loads(report.read_bytes())
    assert document["outcome"] == "verified"
    assert {t["source"]: t["copied_rows"] for t in document["tables"]} == {"users": 100, "posts": 300}
    assert list(tmp_path.glob("sqlite2pg_*.log"))
    assert main(["check", *source, *target]) == 0
    capsys.readouterr()
    assert main(["status", *target, "--json"]) == 0
    assert "full" in {run["command"] for run in json.loads(capsys.readouterr().out)}
    assert main(["rollback", *target, "--dry-run", "--dump", "no.sql"]) == 2
    assert main(["rollback", *target, "--dry-run"]) == 0
    assert "Would roll back run" in capsys.readouterr().out
    assert main(["rollback", *target, "--dump", str(tmp_path / "dump.sql")]) == 0
    assert "Rolled back run" in capsys.readouterr().out


def test_validate_refuses_what_is_no_database(pg_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "app.db").write_text("hello, I am text and not a database at all")
    assert main(["validate", "--sqlite", "app.db", "--postgres", pg_dsn, "--progress", "none"]) == 5
    told = capsys.readouterr()
    assert "Traceback" not in told.err


def test_inspect_writes_the_plan_once(app_db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["inspect", "--sqlite", str(app_db), "--plan-out", "plan.toml", "--progress", "none"]
    assert main(argv) == 0
    assert "users" in (tmp_path / "plan.toml").read_text()
    assert main(argv) == 2
    assert "plan.toml exists" in capsys.readouterr().err
    assert main([*argv, "--force", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_inspect_looks_at_a_target_only_when_told(
    app_db: Path, tmp_path: Path, pg_dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    plan = tmp_path / "skip.toml"
    plan.write_text("format = 1\n[table.users]\nskip = true\n")
    argv = ["inspect", "--sqlite", str(app_db), "--progress", "none", "--json"]
    assert main([*argv, "--plan", str(plan)]) == 0
    assert "users" not in [table["source"] for table in json.loads(capsys.readouterr().out)["tables"]]
    assert main([*argv, "--postgres", pg_dsn]) == 0
    assert {table["existing"] for table in json.loads(capsys.readouterr().out)["tables"]} == {False}


def test_a_plan_that_cannot_be_written_is_said(app_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["inspect", "--sqlite", str(app_db), "--plan-out", "/dev/full", "--force", "--progress", "none"]
    assert main(argv) == 1
    told = capsys.readouterr().err
    assert "error: --plan-out: /dev/full cannot be written: No space left on device" in told
    assert "internal" not in told


def test_a_file_that_may_not_be_read_is_refused(
    unprivileged: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a directory that this user may not enter either, as under sudo -u in root's home."""
    (unprivileged / "private").mkdir()
    monkeypatch.chdir(unprivileged / "private")
    (unprivileged / "private").chmod(0)
    path = unprivileged / "app.db"
    path.write_bytes(b"SQLite format 3\0")
    path.chmod(0)
    assert main(["inspect", "--sqlite", str(path), "--progress", "none"]) == 5
    told = capsys.readouterr().err
    assert "permission denied" in told
    assert "hint: run as the user who owns the file" in told


def test_schema_print_is_a_script(app_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--sqlite", str(app_db), "--print", "--progress", "none"]) == 0
    assert 'CREATE TABLE "public"."users"' in capsys.readouterr().out


def test_a_plan_may_come_through_a_pipe(app_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `--plan <(command)` does; it can be read once."""

    def printed(plan: str) -> tuple[int, str, str]:
        reader, writer = os.pipe()
        os.write(writer, plan.encode())
        os.close(writer)
        try:
            where = ["--sqlite", str(app_db), "--plan", f"/dev/fd/{reader}", "--progress", "none"]
            code = main(["schema", *where, "--print"])
        finally:
            os.close(reader)
        told = capsys.readouterr()
        return code, told.out, told.err

    before = set(Path(tempfile.gettempdir()).glob("sqlite2pg-plan-*"))
    code, script, _ = printed('format = 1\nschema = "other"\n[table.users]\ntarget = "people"\n')
    assert code == 0
    assert 'CREATE TABLE "other"."people"' in script
    code, _, error = printed("format = 7\n")
    assert code == 2
    assert "line 1: format = 7" in error
    assert set(Path(tempfile.gettempdir()).glob("sqlite2pg-plan-*")) == before


def test_a_log_that_found_no_room_is_told_once(app_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["schema", "--sqlite", str(app_db), "--print", "--progress", "none", "--log-file"]
    assert main([*command, "/dev/full"]) == 0
    told = capsys.readouterr()
    assert 'CREATE TABLE "public"."users"' in told.out
    assert told.err == "warning: the log /dev/full is not whole: No space left on device\n"
    assert main([*command, "room.log"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["status", "--log-file", "/dev/full", "--progress", "none", "--postgres", "mysql://x"]) == 2


def test_verbs_without_a_server_do_not_mind_an_url_of_sqlite(
    app_db: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite+aiosqlite:///app.db")
    here = ["--sqlite", str(app_db), "--progress", "none"]
    assert main(["inspect", *here]) == 0
    assert main(["backup", *here, "--to", "copy.db"]) == 0
    assert main(["roles", "--print"]) == 0
    capsys.readouterr()
    assert main(["validate", *here]) == 2
    told = capsys.readouterr().err
    assert "DATABASE_URL: sqlite+aiosqlite:// is not a PostgreSQL connection string" in told
    assert "hint: give --postgres" in told


def test_roles_takes_the_options_of_the_other_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["roles", "--print", "--progress", "none", "--verbose", "--log-file", "roles.log"]) == 0
    assert "CREATE ROLE" in capsys.readouterr().out
    assert '"command":"roles"' in (tmp_path / "roles.log").read_text()


def test_backup_is_checked(app_db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "--sqlite", str(app_db), "--progress", "none"]) == 2
    assert "--to FILE" in capsys.readouterr().err
    assert main(["backup", "--sqlite", str(app_db), "--to", "copy.db", "--progress", "none"]) == 0
    assert "2 tables, 400 rows" in capsys.readouterr().out
    assert (tmp_path / "copy.db").exists()


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    try:
        assert main(["demo", "--messages", "200", "--directory", str(folder), "--progress", "none"]) == 0
        assert "Verified" in capsys.readouterr().out
    finally:
        asyncio.run(stop_server_beside(folder / "chat.db"))


async def stop_server_beside(sqlite: Path) -> None:
    """Stop the server that a command left running for the user, and remove its data, wherever they are."""
    directory = embedded_directory(sqlite)
    if directory.exists():
        data = directory.resolve()
        server = await start(directory)
        await server.stop()
        shutil.rmtree(data if data == directory else data.parent)
