"""Fuzzes the compiled kernel and the wire decoder for a bounded time, against their definitions in Python.

    python tests/hostile/fuzz.py [--seconds 60] [--seed N] [--target NAME]

Each target draws input with hypothesis, gives it to both, and expects the same answer, an error included; a crash is a
failure as well. `make fuzz` runs it on a kernel built with the address and undefined-behaviour sanitizers.
The first difference ends it, minimised, with exit code 1.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fix_engine import Kernel, load_kernel
from test_corrupt import MAKERS, damaged
from test_kernel import TYPES, scan_values
from test_kernel_digest import NAMES as DIGEST_NAMES
from test_kernel_digest import ROWS as DIGEST_ROWS
from test_kernel_digest import TYPES as DIGEST_TYPES
from test_kernel_digest import tuples

from copier.plan.pgtype import parse_type
from copier.sqlite.library import handle_of
from copier.wire.binary import HEADER, TRAILER, ColumnSpec, encode_field
from copier.wire.decode import TupleReader
from copier.wire.digest import TableDigest
from copier.wire.hashes import find_hashes

EXAMPLES = 300
"""Examples between two looks at the clock."""

SHAPES = (
    *("2024-02-29T23:59:59.123456+05:30", "1999-12-31 00:00:00", "0001-01-01", "294276-12-31", "12:34:56.789"),
    *("-12345.678900", "1e308", "0x1F", "00012", "9" * 40, "NaN", "-Infinity", "true", "off", "1"),
    *("00000000-0000-4000-8000-00000000dead", "{0123456789abcdef0123456789abcdef}", "192.168.0.1/24", "::ffff:1.2.3.4"),
    *('{"a":[1,2.5,-3e10,{"b":null}],"\\u00e9\\ud83d\\ude00":"x\\n"}', "[[[[]]]]", "größer 😀", "\0", ""),
)
Mutation = tuple[int, int, int]
MUTATIONS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6)


def mutate(raw: bytes, mutations: list[Mutation]) -> bytes:
    """Return the bytes changed: a bit, a byte, one more, some less, a piece twice."""
    data = bytearray(raw)
    for kind, place, value in mutations:
        at = place % (len(data) + 1)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << value % 8
        elif kind == 1 and at < len(data):
            data[at] = value
        elif kind == 2:
            data.insert(at, value)
        elif kind == 3:
            del data[at : at + value % 9]
        else:
            data[at:at] = data[at : at + value % 33]
    return bytes(data)


class Bench:
    """What the targets work with, and how many inputs each has had."""

    def __init__(self, directory: Path, number: int) -> None:
        self.kernel: Kernel = load_kernel()
        self.hashes = find_hashes()
        self.directory = directory
        self.number = number
        self.tried: Counter[str] = Counter()

    def run(self, name: str, strategy: Any, one: Callable[..., None]) -> None:
        """Try `one` on examples of the strategies."""

        @seed(self.number)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def examples(drawn: Any) -> None:
            self.tried[name] += 1
            one(*drawn)

        examples()


def stream(bench: Bench) -> None:
    """A binary COPY stream, damaged, in pieces: the same rows and sums, or both refuse it."""
    hashes = bench.hashes
    if hashes is None:
        return

    def one(rows: list[Any], mutations: list[Mutation], cut: int) -> None:
        raw = mutate(HEADER + tuples(rows) + TRAILER, mutations)
        pieces = [raw[at : at + cut] for at in range(0, len(raw), cut)]
        expected, whole = TableDigest(DIGEST_TYPES, [5], 7), TableDigest(DIGEST_TYPES, [5], 7)
        found: list[Any] = []
        reader = TupleReader(len(DIGEST_TYPES))
        digest = bench.kernel.module.Digest(hashes, [type.wire for type in DIGEST_TYPES], [5], 7)
        theirs = _refusal(lambda: [found.extend(reader.feed(piece)) for piece in pieces])
        try:
            expected.add(found)
        except Exception:
            # The frames are right and a payload is not what its type says: only survival is asked of the kernel.
            _refusal(lambda: [digest.feed(piece) for piece in pieces])
            return
        handed: list[Any] = []
        ours = _refusal(lambda: [handed.extend(digest.feed(piece)) for piece in pieces])
        if ours is None:
            whole.merge(*digest.result())
            ours = _refusal(lambda: whole.add(handed))
        assert (ours is None) == (theirs is None), f"kernel: {ours!r}, Python: {theirs!r}"
        if ours is None:
            assert digest.finished == reader.finished
            assert not whole.differing(expected)

    assert DIGEST_NAMES[5] == "bigint"
    bench.run("stream", st.tuples(DIGEST_ROWS, MUTATIONS, st.integers(1, 70)), one)


def _refusal(work: Callable[[], object]) -> Exception | None:
    try:
        work()
    except (ValueError, ArithmeticError) as error:
        return error
    return None


def values(bench: Bench) -> None:
    """A value near the edge of every form, under every cast: the same bytes, or handed over to Python."""

    def one(pair: Any, shape: str, mutations: list[Mutation], as_blob: bool) -> None:
        raw = mutate(shape.encode(), mutations)
        try:
            value: Any = raw if as_blob else raw.decode()
        except UnicodeDecodeError:
            value = raw
        found = scan_values(bench.kernel, pair, [value])
        if found.rows:
            expected = b"\0\1" + encode_field(ColumnSpec(*pair), value)
            assert found.payload == expected, f"{pair} {value!r}: kernel {found.payload!r}, Python {expected!r}"
        else:
            assert len(found.handed) == 1

    bench.run("values", st.tuples(st.sampled_from(TYPES), st.sampled_from(SHAPES), MUTATIONS, st.booleans()), one)


def files(bench: Bench) -> None:
    """A damaged file: the same rows until the same end, whatever SQLite makes of it."""
    for name, make in MAKERS.items():
        path = bench.directory / f"{name}.db"
        if not path.exists():
            make(path)
    sound = {name: (bench.directory / f"{name}.db").read_bytes() for name in MAKERS}
    bad = bench.directory / "bad.db"

    def one(name: str, place: int) -> None:
        bad.write_bytes(damaged(sound[name], name, place))
        with closing(sqlite3.connect(f"file:{bad}?mode=ro&immutable=1", uri=True)) as db:
            db.text_factory = bytes
            try:
                listed = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            except (sqlite3.Error, UnicodeDecodeError):  # sqlite3 decodes the names it tells, and its errors
                return
            for (table,) in listed:
                _compare_scans(bench.kernel, db, table.decode(errors="replace").replace('"', '""'))

    bench.run("files", st.tuples(st.sampled_from(sorted(MAKERS)), st.integers(0, 1 << 30)), one)


def _compare_scans(kernel: Kernel, db: sqlite3.Connection, table: str) -> None:
    """All columns as bytea: the storage bytes of text and blobs, handed over otherwise."""
    try:
        columns = [row[1].decode() for row in db.execute(f'PRAGMA table_info("{table}")')]
        listed = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
        sql = f'SELECT {listed}, 0 FROM "{table}"'
        db.execute(f"{sql} LIMIT 0")
    except (sqlite3.Error, UnicodeDecodeError):
        return
    try:
        expected: object = len(db.execute(sql).fetchall())
    except sqlite3.Error as error:
        expected = str(error)
    scanner = kernel.scanner([(parse_type("bytea"), "bytes")] * len(columns), page_bytes=1 << 30)
    try:
        found = scanner.scan(handle_of(db), sql.encode(), ())
        ours: object = found[1]
    except kernel.module.ScanError as error:
        ours = str(error)
    same = isinstance(ours, int) == isinstance(expected, int) and (ours == expected or isinstance(ours, str))
    assert same, f"{table}: kernel {ours}, Python {expected}"


TARGETS: dict[str, Callable[[Bench], None]] = {"stream": stream, "values": values, "files": files}


def main() -> int:
    """Run the targets in turn until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--target", choices=TARGETS)
    args = parser.parse_args()
    chosen = [TARGETS[args.target]] if args.target else list(TARGETS.values())
    print(f"seed {args.seed}", flush=True)
    end_s = time.monotonic() + args.seconds
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), args.seed)
        while time.monotonic() < end_s:
            for target in chosen:
                target(bench)
            bench.number += 1
    print(
        "inputs: " + ", ".join(f"{name} {count:,}" for name, count in sorted(bench.tried.items())) + "; no difference"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
