"""The copy phase of one table beside the floor, the server's own COPY of the same bytes, in turn."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Any

import pytest

from bench.conftest import Bench, source_of
from bench.floor import Floor
from bench.ours import copy_table
from bench.shapes import SHAPES, as_proof, converted_proof, proof_of_source


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_copy(benchmark: Any, bench: Bench, shape: Any) -> None:
    source, dsn = source_of(shape), bench.fresh()
    copy_table(source, dsn, shape.table, schema="reference")
    floor = Floor(dsn, "reference", shape.table)
    asyncio.run(floor.prepare())
    floors: list[tuple[float, float]] = []
    runs: list[dict[str, Any]] = []

    def before() -> None:
        floors.append((asyncio.run(floor.one()), asyncio.run(floor.two())))
        bench.execute("CHECKPOINT")

    benchmark.pedantic(
        lambda: runs.append(copy_table(source, dsn, shape.table)), setup=before, rounds=bench.runs, iterations=1
    )
    proof = proof_of_source(source, shape)
    proofs = ", ".join([shape.proof, *(converted_proof(column, column.pg) for column in shape.converted)])
    assert as_proof(bench.row(dsn, f"SELECT count(*), {proofs} FROM bench.{shape.table}")) == proof
    data_s, rows = median(run["data_s"] for run in runs), int(proof[0])
    benchmark.extra_info.update(
        suite="copy",
        shape=shape.name,
        rows=rows,
        copy_bytes=floor.bytes,
        runs=len(runs),
        engine=runs[0]["engine"],
        data_s=data_s,
        floor_one_s=median(one for one, _ in floors),
        floor_two_s=median(two for _, two in floors),
        ratio_one=median(run["data_s"] / one for run, (one, _) in zip(runs, floors, strict=True)),
        ratio_two=median(run["data_s"] / two for run, (_, two) in zip(runs, floors, strict=True)),
        rows_per_s=rows / data_s,
        mb_per_s=floor.bytes / data_s / 1e6,
        cpu_s=median(run["data_cpu_s"] for run in runs),
        rss_bytes=max(run["rss_bytes"] for run in runs),
        machine=bench.machine,
    )
