"""The notes of all generator processes, added up where the verdict is made: in the master, or in the only process."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loadtest.histogram import Histogram, merged
from loadtest.recorder import Cell
from loadtest.shapes import Shape, Step

ID_BYTES = 16


class Collector:
    """Everything measured in a run. Message ids go to files in `directory`: a soak sends too many for memory."""

    def __init__(self, shape: Shape, directory: Path) -> None:
        self.shape = shape
        self.cells: defaultdict[tuple[int, str], Cell] = defaultdict(Cell)
        self.errors: Counter[tuple[str, str]] = Counter()
        self.lags: defaultdict[int, Histogram] = defaultdict(Histogram)
        self.elapsed_s = float(shape.duration_s)
        """How much of the shape was run: less when somebody stopped it."""
        self.ticks: dict[tuple[str, int], dict[str, float]] = {}
        """(generator process, point of the timeline) -> shares of CPU."""
        self.users: dict[int, int] = {}
        self.replication_lag_ms: list[float] = []
        self.finished: set[str] = set()
        """Generator processes that have handed over their last notes."""
        self.acknowledged_path = directory / "acknowledged.bin"
        self.unacknowledged_path = directory / "unacknowledged.bin"
        for path in (self.acknowledged_path, self.unacknowledged_path):
            path.write_bytes(b"")

    def add(self, source: str, message: dict[str, Any]) -> None:
        """Add what `Recorder.drain` gave."""
        for bucket, name, failures, response, service, unhindered in message["cells"]:
            cell = self.cells[bucket, name]
            cell.failures += failures
            cell.response.merge(Histogram.from_wire(response))
            cell.service.merge(Histogram.from_wire(service))
            cell.unhindered.merge(Histogram.from_wire(unhindered))
        for operation, error, count in message["errors"]:
            self.errors[operation, error] += count
        for bucket, lags in message["lags"]:
            self.lags[bucket].merge(Histogram.from_wire(lags))
        for tick in message["ticks"]:
            self.ticks[source, int(tick["bucket"])] = tick
        for path, ids in (
            (self.acknowledged_path, message["acknowledged"]),
            (self.unacknowledged_path, message["unacknowledged"]),
        ):
            with path.open("ab") as file:
                file.write(ids)
        if message.get("final"):
            self.finished.add(source)

    def buckets(self, wanted: Callable[[Step], bool]) -> list[int]:
        """Return the points of the timeline that were run whole and whose step is wanted."""
        count = int(min(self.elapsed_s, self.shape.duration_s) / self.shape.bucket_s)
        return [one for one in range(count) if (step := self.shape.step_of(one)) is not None and wanted(step)]

    def response(self, operation: str, buckets: Sequence[int]) -> Histogram:
        """Return latencies from the moment due, of some points of the timeline."""
        return merged(self.cells[b, operation].response for b in buckets if (b, operation) in self.cells)

    def service(self, operation: str, buckets: Sequence[int]) -> Histogram:
        """Return latencies from the moment sent, of some points of the timeline."""
        return merged(self.cells[b, operation].service for b in buckets if (b, operation) in self.cells)

    def unhindered(self, operation: str, buckets: Sequence[int]) -> Histogram:
        """Return latencies from the moment due, less the generator's own lateness, of some points of the timeline."""
        return merged(self.cells[b, operation].unhindered for b in buckets if (b, operation) in self.cells)

    def answered(self, operation: str, buckets: Sequence[int]) -> int:
        """Return how many requests succeeded in some points of the timeline."""
        return sum(self.cells[b, operation].response.count for b in buckets if (b, operation) in self.cells)

    def failures(self, operation: str | None = None, bucket: int | None = None) -> int:
        """Return failed requests of the whole run, or of one operation or point of the timeline."""
        return sum(
            cell.failures
            for (at, name), cell in self.cells.items()
            if operation in (None, name) and bucket in (None, at)
        )

    def requests(self) -> int:
        """Return requests of the whole run, failed or not."""
        return sum(cell.response.count + cell.failures for cell in self.cells.values())
