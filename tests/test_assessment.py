"""What `inspect` says: every problem once, worst first, readable on a narrow terminal, whole as JSON."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from fix_corpus import CORPUS_NAMES
from fix_plan import SourceOf
from rich.console import Console

from copier.assess.assessment import Assessment, assess
from copier.cli.render_assessment import render_assessment
from copier.plan.model import ColumnPlan, ForeignKeyPlan, IndexPlan, ObjectNote, Plan, TablePlan
from copier.plan.pgtype import PgType
from copier.plan.source import (
    ColumnProfile,
    SourceColumn,
    SourceForeignKey,
    SourceSchema,
    SourceTable,
    TableProfile,
)
from copier.sqlite.chatdb import make_chat_database

ROWS = 1000


def column(type_: PgType, cast: str, policy: str = "reject") -> ColumnPlan:
    return ColumnPlan("c", "c", "TEXT", type_, cast, policy, reason="because")


def assess_one(plan: ColumnPlan, profile: ColumnProfile, *, sampled: bool = False) -> Assessment:
    """Assess a database of one table with one column."""
    schema = SourceSchema((SourceTable("t", (SourceColumn("c", plan.declared),)),), page_count=10)
    profiles = {"t": TableProfile(ROWS, {"c": profile}, bytes=50_000, sampled=sampled)}
    return assess(schema, profiles, Plan((TablePlan("t", "t", (plan,), rows=ROWS, bytes=50_000),)))


def shown(found: Assessment, width: int = 80, *, verbose: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    render_assessment(found, console, verbose=verbose)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


class TestValues:
    def test_clean_values_are_no_problem(self) -> None:
        found = assess_one(column(PgType("uuid"), "uuid"), ColumnProfile(texts=9, nulls=1, fits={"uuid": 9}))
        assert found.problems == ()
        assert "Ready to move" in shown(found)

    def test_misfits_are_set_aside(self) -> None:
        profile = ColumnProfile(texts=ROWS, fits={"inet": ROWS - 2}, examples={"inet": "unknown"})
        found = assess_one(column(PgType("inet"), "inet"), profile)
        [problem] = found.problems
        assert (problem.kind, problem.rows, problem.exact, problem.example) == ("rejected", 2, True, "unknown")
        assert "2 rows will be set aside: values that are no IP address, such as 'unknown'" in problem.text
        assert "up to 2 rows will be set aside" in shown(found)

    def test_text_says_which_trouble(self) -> None:
        found = assess_one(column(PgType("text"), "text"), ColumnProfile(texts=ROWS, nul=2, broken=1))
        [problem] = found.problems
        assert problem.rows == 3
        assert "hold a NUL character (2) or are not valid UTF-8 (1)" in problem.text

    def test_too_long_for_varchar_is_not_counted_exactly(self) -> None:
        found = assess_one(column(PgType("varchar", (5,)), "text"), ColumnProfile(texts=ROWS, text_max_chars=9))
        [problem] = found.problems
        assert not problem.exact
        assert "up to 1,000 rows" in problem.text
        assert "longer than 5 characters" in problem.text

    def test_empty_text_that_becomes_null(self) -> None:
        plan = column(PgType("timestamptz"), "iso", "null_if_empty")
        found = assess_one(plan, ColumnProfile(texts=10, empty=4, fits={"iso": 5}, examples={"iso": "now"}))
        rejected, changed = found.problems
        assert (rejected.kind, rejected.rows) == ("rejected", 1)
        assert (changed.kind, changed.rows) == ("changed", 4)

    @pytest.mark.parametrize(
        ("policy", "kind", "verdict"),
        [
            ("fail", "stop", "Not ready"),
            ("null", "changed", "Ready to move"),
            ("default", "changed", "Ready to move"),
            ("reject", "rejected", "will be set aside"),
        ],
    )
    def test_the_policy_decides_what_a_misfit_means(self, policy: str, kind: str, verdict: str) -> None:
        profile = ColumnProfile(texts=10, fits={"json": 9})
        found = assess_one(column(PgType("jsonb"), "json", policy), profile)
        assert [p.kind for p in found.problems] == [kind]
        assert verdict in shown(found)

    def test_almost_a_richer_type(self) -> None:
        profile = ColumnProfile(texts=20, fits={"json_container": 19}, examples={"json_container": "{"})
        [problem] = assess_one(column(PgType("text"), "text"), profile).problems
        assert (problem.kind, problem.rows) == ("almost", 1)
        assert problem.text == "stays text: 1 of 20 values is no JSON object or array, such as '{'; jsonb otherwise"
        assert assess_one(column(PgType("text"), "text"), replace(profile, texts=200)).problems == ()

    def test_a_sample_is_said_to_be_one(self) -> None:
        found = assess_one(column(PgType("uuid"), "uuid"), ColumnProfile(texts=10, fits={"uuid": 9}), sampled=True)
        assert not found.problems[0].exact
        assert "Only a sample was read" in shown(found)


class TestKeys:
    TEXT = PgType("text")

    def assess(self, profile: TableProfile, type_: PgType = TEXT, *, constraint: str = "primary key") -> Assessment:
        table = SourceTable(
            "t",
            (SourceColumn("id", "TEXT", pk=1), SourceColumn("p", "INT")),
            primary_key=("id",),
            foreign_keys=(SourceForeignKey(0, ("p",), "parent"), SourceForeignKey(1, ("p",), "lost")),
        )
        plan = TablePlan(
            "t",
            "t",
            (ColumnPlan("id", "id", "TEXT", type_, type_.wire), ColumnPlan("p", "p", "INT", PgType("int8"), "int")),
            indexes=(IndexPlan("k", "k", ('"id"',), unique=True, constraint=constraint),),  # type: ignore[arg-type]
            foreign_keys=(ForeignKeyPlan("f", ("p",), "parent", ("id",)),),
        )
        return assess(SourceSchema((table,)), {"t": profile}, Plan((plan,)))

    @pytest.mark.parametrize(
        ("constraint", "outcome"), [("primary key", "set aside"), ("unique", "UNIQUE instead of PRIMARY KEY")]
    )
    def test_null_in_the_primary_key(self, constraint: str, outcome: str) -> None:
        profile = TableProfile(3, {"id": ColumnProfile(nulls=2, texts=1), "p": ColumnProfile(nulls=3)})
        [problem] = self.assess(profile, constraint=constraint).problems
        assert (problem.kind, problem.column, problem.rows) == ("null in key", "id", 2)
        assert outcome in problem.text

    def test_colliding_uuids(self) -> None:
        fits = {"uuid": 2}
        profile = TableProfile(2, {"id": ColumnProfile(texts=2, fits=fits, uuid_collision=True)})
        assert "stays text" in self.assess(profile).problems[0].text
        assert "cannot be copied" in self.assess(profile, PgType("uuid")).problems[0].text

    def test_orphans(self) -> None:
        found = self.assess(TableProfile(9, {}, orphans={0: 3}))
        [problem] = found.problems
        assert (problem.kind, problem.rows, problem.column) == ("orphans", 3, "p")
        assert "parent" in problem.text
        assert "NOT VALID" in problem.text
        assert "needs a person" in shown(found)


class TestPresentation:
    async def chat(self, tmp_path: Path, source_of: SourceOf, *, dirty: bool) -> Assessment:
        path = tmp_path / "chat.db"
        make_chat_database(path, 2000, dirty=dirty)
        source = await source_of(path)
        return assess(source.schema, source.profiles, source.plan())

    async def test_the_dirty_chat_database(self, tmp_path: Path, source_of: SourceOf) -> None:
        found = await self.chat(tmp_path, source_of, dirty=True)
        kinds = {f"{p.table}.{p.column}": p.kind for p in found.problems}
        assert kinds["messages.content"] == "rejected"
        assert kinds["messages.conversation_id"] == "orphans"
        assert kinds["audit_log.detail"] in ("rejected", "almost")
        order = ["stop", "rejected", "null in key", "collision", "orphans", "changed", "almost"]
        assert [p.kind for p in found.problems] == sorted((p.kind for p in found.problems), key=order.index)

    async def test_the_clean_one_has_no_problems(self, tmp_path: Path, source_of: SourceOf) -> None:
        found = await self.chat(tmp_path, source_of, dirty=False)
        assert found.problems == ()
        assert found.total_rows == sum(table.rows for table in found.tables) > 2000

    @pytest.mark.parametrize("width", [60, 80, 100])
    async def test_no_line_is_wider_than_the_terminal(self, tmp_path: Path, source_of: SourceOf, width: int) -> None:
        text = shown(await self.chat(tmp_path, source_of, dirty=True), width)
        assert max(map(len, text.splitlines())) <= width
        assert text.index("Problems found") < text.index("Tables") < text.index("A full run may take")

    async def test_every_column_is_named(self, tmp_path: Path, source_of: SourceOf) -> None:
        found = await self.chat(tmp_path, source_of, dirty=False)
        text = shown(found, 100, verbose=True)
        for table in found.tables:
            assert all(c.source in text and c.type in text for c in table.columns)

    def test_long_lists_are_cut_and_say_so(self) -> None:
        notes = tuple(ObjectNote("trigger", f"trigger_{i}", "t", "skipped", "no equal") for i in range(50))
        found = replace(assess_one(column(PgType("text"), "text"), ColumnProfile(texts=1)), skipped=notes)
        text = shown(found)
        assert "Will not carry over (50)" in text
        assert "and 38 more" in text
        assert "trigger_49" not in text
        assert "Every value fits its new type; 50 objects will not carry over." in words(text)
        assert "trigger_49" in shown(found, verbose=True)

    def test_names_and_values_cannot_drive_the_terminal(self) -> None:
        profile = ColumnProfile(texts=2, fits={"inet": 1}, examples={"inet": "[bold]x[/]"})
        found = assess_one(replace(column(PgType("inet"), "inet"), reason="\x1b[31mred"), profile)
        text = shown(found)
        assert "\x1b[31m" not in text
        assert "[bold]x[/]" in text

    def test_without_unicode(self) -> None:
        raw = io.BytesIO()
        found = assess_one(replace(column(PgType("text"), "text"), target="d"), ColumnProfile(texts=1))
        with io.TextIOWrapper(raw, encoding="ascii") as stream:
            render_assessment(found, Console(file=stream, width=80))
            stream.flush()
            assert b"c -> d" in raw.getvalue()

    def test_an_empty_database(self) -> None:
        text = shown(assess(SourceSchema(()), {}, Plan(())))
        assert "0 tables" in text

    def test_json_is_whole(self) -> None:
        found = assess_one(column(PgType("inet"), "inet"), ColumnProfile(texts=2, fits={"inet": 1}))
        document = orjson.loads(found.to_json())
        assert document["rows"] == ROWS
        assert document["tables"][0]["columns"][0]["type"] == "inet"
        assert document["problems"][0]["rows"] == 1
        assert document["estimate"]["seconds"] > 0

    def test_more_work_is_estimated_to_take_longer(self) -> None:
        small = assess_one(column(PgType("text"), "text"), ColumnProfile(texts=1)).estimate
        table = TablePlan("t", "t", (), indexes=(IndexPlan("i", "i", ()),), rows=10**6, bytes=2 * 10**8)
        large = assess(SourceSchema((), page_count=10**5), {}, Plan((table,))).estimate
        assert large.seconds > small.seconds + 5
        parts = large.backup_s + large.copy_s + large.index_s + large.verify_s
        assert large.seconds >= parts > 0
        assert words(large.basis)


@pytest.mark.parametrize("name", CORPUS_NAMES)
async def test_corpus(name: str, corpus: object, source_of: SourceOf) -> None:
    source = await source_of(corpus(name))  # type: ignore[operator]
    found = assess(source.schema, source.profiles, source.plan())
    text = shown(found, 100)
    assert max(map(len, text.splitlines())) <= 100
    assert len(found.tables) == len(source.schema.tables)
    assert orjson.loads(found.to_json())["rows"] == sum(p.rows for p in source.profiles.values())
