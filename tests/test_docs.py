"""The documents say what the code does: names in them exist, and what exists is in them."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import inspect
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import typer
from fix_plan import SourceOf

from copier import errors
from copier.cli import app
from copier.config import Settings
from copier.plan.file_read import ColumnEntry, PlanDocument, TableEntry
from copier.plan.pgtype import CASTS, POLICIES, PgType
from copier.plan.types.choose import FAITHFUL, NATIVE
from copier.plan.types.declared import _EXACT, read_declared
from copier.plan.types.stored import FEW_SHARE
from copier.plan.types.times import EPOCH_FIRST_S, EPOCH_LAST_S
from copier.postgres.ledger_tables import NAMES
from copier.report import EXIT_CODES
from copier.run.load import BUILDERS
from copier.run.pipeline import Pipeline
from copier.run.session import READERS
from copier.run.verify import BUCKETS, NARROWED

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text(name), re.M | re.S)


def table_rows(content: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of Markdown tables, head rows included."""
    for line in content.splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def section(content: str, title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^## |\Z)", content, re.M | re.S)
    assert found is not None, f"no section {title!r}"
    return found[1]


def error_classes() -> list[type[errors.CopierError]]:
    classes = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.CopierError)]
    assert len(classes) > 10
    return classes


class TestTypes:
    def test_every_cast_has_its_row_with_every_type_it_leads_to(self) -> None:
        rows = {row[0].strip("`"): row[1] for row in table_rows(section(text("types.md"), "The casts"))}
        casts = {cast for found in CASTS.values() for cast in found}
        assert casts <= set(rows)
        for wire, found in CASTS.items():
            spelled = {wire, PgType(wire).sql}
            for cast in found:
                said = rows[cast] if rows[cast] != "likewise" else rows["epoch_s"]
                assert any(re.search(rf"\b{name}\b", said) for name in spelled), f"{cast} -> {wire}"

    def test_no_cast_is_invented(self) -> None:
        rows = [row[0].strip("`") for row in table_rows(section(text("types.md"), "The casts"))]
        assert set(rows) - {"Cast"} == {cast for found in CASTS.values() for cast in found}

    def test_every_policy(self) -> None:
        rows = [row[0].strip("`") for row in table_rows(section(text("types.md"), "The policies"))]
        assert rows[1:] == list(POLICIES)

    def test_every_family_is_in_both_tables(self) -> None:
        families = {row[0] for row in table_rows(section(text("types.md"), "How a type is chosen"))}
        assert set(NATIVE) <= families
        assert set(FAITHFUL) <= families

    def test_every_declared_type_is_with_its_family(self) -> None:
        families = section(text("types.md"), "The family of a declared type").partition("\n### ")[0]
        rows = {row[0]: row[1] for row in table_rows(families)}
        for name in filter(None, _EXACT):
            said = rows[read_declared(name).family]
            short = re.sub(r" (WITH|WITHOUT) TIME ZONE$", "", name)
            assert re.search(rf"\b{re.escape(name)}\b|\b{re.escape(short)}\b", said), name

    def test_thresholds(self) -> None:
        assert f"**at most {FEW_SHARE:.0%}**".replace("%", " %") in text("types.md").replace("\n", " ")
        assert f"{EPOCH_FIRST_S}..{EPOCH_LAST_S}" in text("types.md")


class TestErrors:
    @pytest.mark.parametrize("one", error_classes(), ids=lambda one: one.__name__)
    def test_every_class_has_its_row_with_its_exit_code(self, one: type[errors.CopierError]) -> None:
        rows = {row[0].strip("`"): row for row in table_rows(text("errors.md"))}
        assert one.__name__ in rows
        code = rows[one.__name__][1]
        assert code == (str(one.exit_code) if code else "")
        if not one.__subclasses__():
            assert all(rows[one.__name__]), "an error that is raised has every cell filled"

    def test_the_tree_is_that_of_the_classes(self) -> None:
        names: list[tuple[int, str]] = []
        for line in text("errors.md").splitlines():
            if match := re.fullmatch(r"    ([│├└─ ]*)(\w+)", line):
                names.append((len(match[1]), match[2]))
        parents: dict[str, str] = {}
        path: list[tuple[int, str]] = []
        for depth, name in names:
            while path and path[-1][0] >= depth:
                path.pop()
            if path:
                parents[name] = path[-1][1]
            path.append((depth, name))
        wanted = {one.__name__: one.__bases__[0].__name__ for one in error_classes() if one is not errors.CopierError}
        assert parents == wanted

    def test_exit_codes(self) -> None:
        codes = {row[0] for row in table_rows(section(text("errors.md"), "Exit codes"))} - {"Code"}
        assert codes == {str(code) for code in {*EXIT_CODES.values(), errors.UsageError.exit_code}}


class TestResume:
    def test_every_test_it_names_exists(self) -> None:
        named = re.findall(r"`((?:faults/)?test_\w+\.py)::(test_\w+)`", text("resume.md"))
        assert len(named) >= 10
        for file, function in named:
            tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
            functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert function in functions, f"{file}::{function}"

    def test_every_step_is_attacked(self) -> None:
        steps = re.split(r"^\*\*\d+\. ", section(text("resume.md"), "The steps"), flags=re.M)[1:]
        assert len(steps) >= 11
        assert [step.partition(".")[0] for step in steps if "*Attacked by*" not in step] == []

    def test_every_table_of_the_ledger_is_explained(self) -> None:
        rows = [row[0].strip("`") for row in table_rows(text("resume.md"))]
        assert rows[1:] == list(NAMES)


class TestConcurrency:
    def test_numbers(self) -> None:
        said = " ".join(text("concurrency.md").split())
        assert f"{BUILDERS} builders" in said
        assert f"`readers` = {READERS}" in said
        assert f"`--chunk-bytes` {Settings().chunk_bytes >> 20} MiB" in said
        assert f"`--memory-bytes` {Settings().memory_bytes >> 20} MiB" in said
        assert f"{BUCKETS:,} buckets" in said
        assert f"{NARROWED} of them" in said

    def test_the_queue_of_pages_is_as_long_as_drawn(self) -> None:
        assert "maxsize=2" in inspect.getsource(Pipeline)
        assert text("concurrency.md").count("[queue: 2 pages]") == READERS

    def test_files_it_names_exist(self) -> None:
        for name in re.findall(r"`(copier/[\w/.]+\.py)`", "".join(path.read_text() for path in DOCS.glob("*.md"))):
            assert (ROOT / name).is_file(), name


class TestPlan:
    def test_every_key_is_explained(self) -> None:
        rows = {row[0].strip("`") for row in table_rows(text("plan.md"))}
        for entry in (ColumnEntry, TableEntry):
            keys = {field.alias or name for name, field in entry.model_fields.items()} - {"columns"}
            assert keys <= rows, sorted(keys - rows)
        head = section(text("plan.md"), "The head")
        assert all(
            (field.alias or name) in head for name, field in PlanDocument.model_fields.items() if name != "table"
        )

    def test_every_policy_is_named(self) -> None:
        assert all(f"`{policy}`" in text("plan.md") for policy in POLICIES)

    async def test_its_examples_load_and_do_what_is_said(self, source_of: SourceOf) -> None:
        [script] = blocks("plan.md", "sql")
        source = await source_of(script)
        head, columns, tables = (source.load(example) for example in blocks("plan.md", "toml"))
        assert [table.source for table in head.tables] == ["users", "posts", "audit"]

        users = columns.table("users")
        assert users is not None
        found = {column.source: column for column in users.columns}
        assert set(found) == {"id", "email", "age", "joined", "prefs"}, "legacy is skipped"
        assert (found["id"].type.sql, found["id"].default, found["id"].not_null) == ("uuid", "gen_random_uuid()", True)
        assert (found["age"].type.sql, found["age"].policy) == ("smallint", "null_if_empty")
        assert (found["joined"].target, found["joined"].cast) == ("joined_at", "epoch_s")
        assert found["prefs"].type.sql == "jsonb"

        posts = tables.table("posts")
        assert posts is not None
        assert posts.target == "articles"
        assert [name for name, _ in posts.added_columns] == ["tsv"]
        assert [name for name, _ in posts.added_indexes] == ["articles_tsv", "articles_author"]
        assert "posts_author" not in {index.source_name for index in posts.indexes}
        assert tables.table("audit") is None
        assert tables.extensions == ("pg_trgm",)
        assert tables.after_data == ("COMMENT ON TABLE articles IS 'moved from SQLite'",)

    def test_its_source_is_sound_sqlite(self) -> None:
        [script] = blocks("plan.md", "sql")
        db = sqlite3.connect(":memory:")
        db.executescript(script)
        db.close()


async def test_the_queries_of_monitoring_are_understood(pg: asyncpg.Connection) -> None:
    queries = [one for block in blocks("monitoring.md", "sql") for one in block.split(";") if one.strip()]
    known = [one for one in queries if "pg_stat_statements" not in one]  # a server without it is a server too
    assert (len(queries), len(known)) == (7, 6)
    for query in known:
        await pg.fetch(query)


def test_links_between_documents_lead_somewhere() -> None:
    for path in DOCS.glob("*.md"):
        content = path.read_text(encoding="utf-8")
        for name in re.findall(r"`(?:docs/)?([\w./-]+\.(?:md|toml))`", content):
            if name in ("plan.toml", "sqlite2pg.toml"):
                continue
            assert (DOCS / name).is_file() or (ROOT / name).is_file(), f"{path.name} names {name}"


def commands_in(path: Path) -> Iterator[list[str]]:
    """Yield the words of each indented `sqlite2pg ...` line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("    sqlite2pg "):
            yield line.partition("#")[0].split()[1:]


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda path: path.name)
def test_commands_shown_exist_with_their_options(path: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for verb, *words in commands_in(path):
        known = {name for parameter in commands[verb].params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, f"{path.name}: sqlite2pg {verb}"


def test_the_backup_takes_the_place_of_the_file_as_shown(tmp_path: Path) -> None:
    """The steps of `The way back`: the old file's log, which says something else, must not be applied to the backup."""
    with sqlite3.connect(tmp_path / "app.db") as db:
        db.executescript("PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES ('moved')")
    db.close()
    shutil.copy(tmp_path / "app.db", tmp_path / "app.db.STATE.backup")
    (tmp_path / "app.db-wal").write_bytes(b"of the old file")
    (tmp_path / "app.db").write_bytes(b"lost")
    sha256 = hashlib.sha256((tmp_path / "app.db.STATE.backup").read_bytes()).hexdigest()
    (tmp_path / "app.db.STATE.backup.sha256").write_text(f"{sha256}  app.db.STATE.backup\n")
    steps = re.findall(r"^    ((?:sha256sum|rm|install) .*)$", section(text("cutover.md"), "The way back"), re.M)
    assert len(steps) == 3
    script = "set -e\n" + "\n".join(steps).replace(" -o app -g app", "")
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    with sqlite3.connect(tmp_path / "app.db") as db:
        assert db.execute("SELECT x FROM t").fetchall() == [("moved",)]
    db.close()
    assert (tmp_path / "app.db").stat().st_mode & 0o777 == 0o600


class TestReadme:
    def test_every_command_and_option_is_there(self) -> None:
        """An undocumented option is a defect."""
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        missing = [name for name in commands if f"`{name}`" not in readme]
        options = {name for one in commands.values() for p in one.params for name in p.opts if name.startswith("--")}
        missing += [name for name in sorted(options - {"--help"}) if not re.search(rf"{name}(?![\\w-])", readme)]
        assert missing == []

    async def test_the_library_example_runs_as_it_is(
        self, tmp_path: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        code = readme.partition("```python\n")[2].partition("```")[0].replace("postgresql://me@host/db", pg_dsn)
        assert pg_dsn in code
        with sqlite3.connect(tmp_path / "app.db") as db:
            db.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'a')")
        db.close()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code), cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        assert output.decode().splitlines()[-2:] == ["verified [('t', 1, 'content')]", "verified"]
