"""What `inspect` found: the tables and their new types, what goes wrong, what stays behind, how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from copier.assess.problems import Problem, find_problems
from copier.plan.model import ObjectNote, Plan, TablePlan
from copier.plan.source import SourceSchema, TableProfile

_START_S = 2.0
_ROW_S = 1 / 200_000
_BYTE_S = 1 / 60e6
_INDEX_ROW_S = 1 / 800_000
_BACKUP_BYTE_S = 1 / 100e6
_BASIS = (
    "from 200,000 rows/s, 60 MB/s of values and 800,000 rows/s for each index: on the slow side of what was measured "
    "on 2 cores with the server on the same machine; a rehearsal on a copy tells more"
)


@dataclass(frozen=True, slots=True)
class ColumnAssessment:
    """One column: what it is, what it becomes, and why."""

    source: str
    target: str
    declared: str
    type: str
    """PostgreSQL type as SQL."""
    cast: str
    policy: str
    reason: str
    nulls: int
    identity: bool = False
    generated: bool = False


@dataclass(frozen=True, slots=True)
class TableAssessment:
    """One table. `bytes` is the estimated size of its values."""

    source: str
    target: str
    rows: int
    bytes: int
    sampled: bool
    existing: bool
    """The target has this table already, and its types are kept."""
    indexes: int
    columns: tuple[ColumnAssessment, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a full run may take, in seconds, and from what that was reckoned."""

    seconds: float
    backup_s: float
    copy_s: float
    index_s: float
    verify_s: float
    basis: str = _BASIS


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything `inspect` says. `file_bytes` is the size of the SQLite file by its header."""

    file_bytes: int
    encoding: str
    tables: tuple[TableAssessment, ...]
    problems: tuple[Problem, ...]
    """Worst first."""
    skipped: tuple[ObjectNote, ...]
    """What will not carry over."""
    translated: tuple[ObjectNote, ...]
    """What carries over with a change."""
    warnings: tuple[str, ...]
    carried: Mapping[str, int]
    """Kind of schema object -> how many are planned."""
    estimate: Estimate
    plan: Plan

    @property
    def total_rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def total_bytes(self) -> int:
        """Estimated bytes of all values."""
        return sum(table.bytes for table in self.tables)

    def to_json(self) -> bytes:
        """Return everything but the plan, which has a file format of its own, as indented JSON."""
        found: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "plan"}
        document = {"rows": self.total_rows, "bytes": self.total_bytes, **found}
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def assess(schema: SourceSchema, profiles: Mapping[str, TableProfile], plan: Plan) -> Assessment:
    """Put together what the source is, what it holds and what is planned; `profiles` by source table name."""
    file_bytes = schema.page_size_bytes * schema.page_count
    return Assessment(
        file_bytes=file_bytes,
        encoding=schema.encoding,
        tables=tuple(_table(table, profiles.get(table.source)) for table in plan.tables),
        problems=find_problems(schema, profiles, plan),
        skipped=tuple(note for note in plan.notes if note.status in ("skipped", "failed")),
        translated=tuple(note for note in plan.notes if note.status in ("created", "translated")),
        warnings=plan.warnings,
        carried=_carried(plan),
        estimate=_estimate(plan, file_bytes),
        plan=plan,
    )


def _table(plan: TablePlan, profile: TableProfile | None) -> TableAssessment:
    stored = profile.columns if profile is not None else {}
    columns = tuple(
        ColumnAssessment(
            source=c.source,
            target=c.target,
            declared=c.declared,
            type=c.type.sql,
            cast=c.cast,
            policy=c.policy,
            reason=c.reason,
            nulls=stored[c.source].nulls if c.source in stored else 0,
            identity=c.identity,
            generated=c.generated is not None,
        )
        for c in plan.columns
    )
    return TableAssessment(
        source=plan.source,
        target=plan.target,
        rows=profile.rows if profile is not None else plan.rows,
        bytes=profile.bytes if profile is not None else plan.bytes,
        sampled=profile is not None and profile.sampled,
        existing=plan.existing,
        indexes=len(plan.indexes) + len(plan.added_indexes),
        columns=columns,
    )


def _carried(plan: Plan) -> dict[str, int]:
    """Count what is planned beside the tables, most familiar first; kinds there are none of are left out."""
    indexes = [index for table in plan.tables for index in table.indexes]
    columns = [column for table in plan.tables for column in table.columns]
    counts = {
        "primary key": sum(index.constraint == "primary key" for index in indexes),
        "unique constraint": sum(index.constraint == "unique" for index in indexes),
        "index": sum(not index.constraint for index in indexes),
        "foreign key": sum(len(table.foreign_keys) for table in plan.tables),
        "check": sum(len(table.checks) for table in plan.tables),
        "default": sum(column.default is not None for column in columns),
        "identity column": sum(column.identity for column in columns),
        "generated column": sum(column.generated is not None for column in columns),
        "view": len(plan.views),
        "trigger": len(plan.triggers),
    }
    return {kind: count for kind, count in counts.items() if count}


def _estimate(plan: Plan, file_bytes: int) -> Estimate:
    """Reckon with rates on the slow side; reading both sides again for `check` costs about what the copy did."""
    copy = sum(table.rows * _ROW_S + table.bytes * _BYTE_S for table in plan.tables)
    index = sum(table.rows * (len(table.indexes) + len(table.added_indexes)) for table in plan.tables) * _INDEX_ROW_S
    backup = file_bytes * _BACKUP_BYTE_S
    return Estimate(_START_S + backup + 2 * copy + index, backup, copy, index, copy)
