"""What a peer is told, and how one written in Python answers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.shapes import SHAPES, Shape


@dataclass(frozen=True, slots=True)
class Order:
    """One table to copy: `schema` of the target holds an empty table of the shape, or none where the peer makes it."""

    sqlite: Path
    dsn: str
    schema: str
    shape: Shape

    @classmethod
    def received(cls) -> Order:
        """Return the order on the command line."""
        told = json.loads(sys.argv[1])
        return cls(Path(told["sqlite"]), told["dsn"], told["schema"], SHAPES[told["shape"]])

    def sent(self) -> dict[str, str]:
        """Return the order as JSON holds it."""
        return {"sqlite": str(self.sqlite), "dsn": self.dsn, "schema": self.schema, "shape": self.shape.name}


@contextmanager
def timed() -> Iterator[None]:
    """Time the copy, without interpreter, imports and connects, and print the answer."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    yield
    answer = {"data_s": time.perf_counter() - start_s, "data_cpu_s": time.process_time() - start_cpu_s}
    print(json.dumps(answer))
