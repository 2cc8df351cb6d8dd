"""Whether the source still has the pages that a backup was made of, where nothing else can tell any more.

A commit in WAL mode need not touch the main file's header, and a checkpoint takes the log away that shows it. So after
one, only the content tells: a backup is the pages of one state, one for one (SQLite docs, "Online Backup API"), and a
checkpoint writes the pages of the last commit to where they belong in the main file. Equal bytes are equal content.
"""

from __future__ import annotations

import asyncio
import hashlib
from io import FileIO
from pathlib import Path

from copier.sqlite.connection import finish
from copier.sqlite.header import RawFile

_STEP_BYTES = 8 << 20

_OF_NO_MATTER = ((18, 20), (24, 28), (40, 44), (92, 100))
"""What a backup writes anew into the header: journal mode, change counter, schema cookie, and which SQLite counted.

Source: SQLite docs, "Database File Format" 1.3.
"""


async def same_pages(raw: RawFile, backup: Path, sha256: str) -> bool:
    """Whether the main file has the pages of `backup`, and `backup` still the checksum it got when it was made.

    Exact while no connection can write to the main file: as long as a snapshot is pinned that reads nothing of a log.
    """
    try:
        with backup.open("rb", buffering=0) as file:
            return await _compare(raw, file, sha256)
    except OSError:
        return False


async def _compare(raw: RawFile, file: FileIO, sha256: str) -> bool:
    digest, offset = hashlib.sha256(), 0

    def step() -> bool | None:
        """Compare the next bytes; None at the end of both."""
        theirs, ours = file.read(_STEP_BYTES), raw.read_at(offset, _STEP_BYTES)
        digest.update(theirs)
        if offset == 0:
            theirs, ours = _without_counters(theirs), _without_counters(ours)
        return theirs == ours if theirs or ours else None

    while same := await finish(asyncio.to_thread(step)):
        offset += _STEP_BYTES
    return same is None and digest.hexdigest() == sha256


def _without_counters(head: bytes) -> bytes:
    blank = bytearray(head)
    for start, end in _OF_NO_MATTER:
        blank[start:end] = bytes(end - start)
    return bytes(blank)
