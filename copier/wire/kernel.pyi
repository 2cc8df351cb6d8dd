from collections.abc import Iterable, Mapping, Sequence
from typing import overload

from copier.plan.source import Key, Value

Fields = tuple[bytes | None, ...]

SYMBOLS: tuple[str, ...]
"""SQLite's functions the kernel calls, without the prefix `sqlite3_`."""

KINDS: Mapping[str, int]
"""Wire types the scanner writes."""

class ScanError(Exception): ...

class Library:
    def __init__(self, addresses: Mapping[str, int]) -> None: ...

class Columns:
    count: int
    def __init__(self, specs: Sequence[tuple[str, str, tuple[int, ...]]]) -> None: ...

class Scanner:
    def __init__(self, library: Library, columns: Columns, key_width: int, page_bytes: int) -> None: ...
    def set_apart(self, keys: Iterable[Key]) -> None: ...
    @overload
    def scan(
        self, database: int, sql: bytes, parameters: Iterable[Value]
    ) -> tuple[bytes, int, int, Key, Key, list[tuple[Value, ...]], bool]: ...
    @overload
    def scan(
        self, database: int, sql: bytes, parameters: Iterable[Value], digest: Digest
    ) -> tuple[list[Fields], int, int, Key, Key, list[tuple[Value, ...]], bool]: ...

class Digest:
    finished: bool
    rows: int
    def __init__(self, hashes: tuple[int, int], wires: list[str], key: list[int], buckets: int) -> None: ...
    def add(self, data: bytes) -> list[Fields]: ...
    def feed(self, data: bytes | bytearray | memoryview) -> list[Fields]: ...
    def result(self) -> tuple[list[int], list[int]]: ...
