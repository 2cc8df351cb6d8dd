"""Plans of real SQLite files: made from SQL, profiled over all rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from copier.plan.build.build import PlanOptions, build_plan
from copier.plan.existing import TargetTables
from copier.plan.file import load_plan
from copier.plan.model import Plan
from copier.plan.source import SourceSchema, TableProfile
from copier.sqlite.catalog import read_schema
from copier.sqlite.profile import profile_schema


@dataclass(frozen=True, slots=True)
class Source:
    """A schema and its profile, and the plans that can be made of them."""

    schema: SourceSchema
    profiles: dict[str, TableProfile]

    def plan(self, existing: TargetTables | None = None, **options: Any) -> Plan:
        return build_plan(self.schema, self.profiles, PlanOptions(**options), existing)

    def load(self, text: str, existing: TargetTables | None = None, **options: Any) -> Plan:
        return load_plan(text, self.schema, self.profiles, PlanOptions(**options), existing)


SourceOf = Callable[[str | Path], Awaitable[Source]]


@pytest.fixture
def source_of(tmp_path: Path) -> SourceOf:
    """Return the source made by an SQL script, or in a file that is there."""

    async def make(origin: str | Path) -> Source:
        path = origin if isinstance(origin, Path) else tmp_path / "source.db"
        mode = "?mode=ro&immutable=1" if isinstance(origin, Path) else ""
        async with aiosqlite.connect(f"{path.as_uri()}{mode}", uri=True) as connection:
            if isinstance(origin, str):
                await connection.executescript(origin)
            schema = await read_schema(connection)
            return Source(schema, await profile_schema(connection, schema.tables))

    return make
