"""The content check of a table beside its copy, in turn: both read everything, the check on both sides."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from bench.conftest import Bench, source_of
from bench.ours import copy_table, run_copier
from bench.shapes import SHAPES


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_verify(benchmark: Any, bench: Bench, shape: Any) -> None:
    source, dsn = source_of(shape), bench.fresh()
    copies: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []

    def before() -> None:
        copies.append(copy_table(source, dsn, shape.table))
        bench.execute("CHECKPOINT")

    def check() -> None:
        checks.append(run_copier(source, dsn, "check", schema="bench", tables=[shape.table], level="content"))

    benchmark.pedantic(check, setup=before, rounds=bench.runs, iterations=1)
    (rows,) = bench.row(dsn, f"SELECT count(*) FROM bench.{shape.table}")
    assert all(found["verified"] == {shape.table: "content"} for found in checks)
    benchmark.extra_info.update(
        suite="verify",
        shape=shape.name,
        rows=rows,
        runs=len(checks),
        copy_s=median(found["data_s"] for found in copies),
        check_s=median(found["phases"]["verify"] for found in checks),
        ratio=median(c["phases"]["verify"] / d["data_s"] for c, d in zip(checks, copies, strict=True)),
        copy_cpu_s=median(found["data_cpu_s"] for found in copies),
        check_cpu_s=median(found["phases_cpu"]["verify"] for found in checks),
        rss_bytes=max(found["rss_bytes"] for found in checks),
        machine=bench.machine,
    )
