"""After the run: is every acknowledged message in the table, exactly once, and does everything add up?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from copier.plan.names import qualify
from loadtest.collector import ID_BYTES
from loadtest.target import Connection, message_counts

_BATCH_IDS = 50_000
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found of what was sent."""

    acknowledged: int
    found_once: int
    missing: int
    duplicated: int
    unacknowledged: int
    """Messages whose request failed: whether they were committed was unknown."""
    unacknowledged_found: int
    messages_before: int
    messages_after: int
    others: int
    """Messages more (or fewer) than this run accounts for."""
    counter_drift: int
    """How far the conversations' counters moved beyond the messages found."""
    missing_ids: tuple[str, ...] = ()
    """The first ten."""

    @property
    def ok(self) -> bool:
        """Nothing lost, nothing twice, and the counts agree."""
        return not (self.missing or self.duplicated or self.others or self.counter_drift)

    def faults(self) -> list[str]:
        """Return a sentence for each thing that is wrong."""
        lost = f" ({', '.join(self.missing_ids)})" if self.missing_ids else ""
        said = [
            (self.missing, f"{self.missing} acknowledged messages are not in the table{lost}"),
            (self.duplicated, f"{self.duplicated} messages are in the table more than once"),
            (self.others, f"the table has {self.others:+d} messages that this run does not account for"),
            (self.counter_drift, f"the conversations' counters are off by {self.counter_drift:+d}"),
        ]
        return [sentence for wrong, sentence in said if wrong]


def audit(conn: Connection, schema: str, before: tuple[int, int], acknowledged: Path, unacknowledged: Path) -> Audit:
    """Compare the table with the ids in two files of 16 bytes each. `before` is (messages, counters) at the start.

    One transaction and one temporary table, so it also works through a pooler. Needs TEMPORARY on the database.
    """
    messages = qualify(schema, "messages")
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(
            f"CREATE TEMPORARY TABLE loadtest_sent ON COMMIT DROP AS "
            f"SELECT id, true AS acknowledged FROM {messages} LIMIT 0"
        )
        with cursor.copy("COPY loadtest_sent FROM STDIN") as copy:
            for path, mark in ((acknowledged, "t"), (unacknowledged, "f")):
                for ids in _ids(path):
                    copy.write("".join(f"{id_}\t{mark}\n" for id_ in ids))
        cursor.execute("ANALYZE loadtest_sent")
        row = cursor.execute(_FOUND.format(messages=messages)).fetchone()
        after = message_counts(conn, schema)
        lost = cursor.execute(
            f"SELECT id::text FROM loadtest_sent AS s WHERE acknowledged "
            f"AND NOT EXISTS (SELECT FROM {messages} AS m WHERE m.id = s.id) LIMIT {_NAMED}"
        ).fetchall()
    assert row is not None
    sent, once, missing, duplicated, unknown, unknown_found, copies = row
    return Audit(
        sent,
        once,
        missing,
        duplicated,
        unknown,
        unknown_found,
        before[0],
        after[0],
        others=after[0] - before[0] - copies,
        counter_drift=(after[1] - before[1]) - copies,
        missing_ids=tuple(id_ for (id_,) in lost),
    )


_FOUND = """
SELECT count(*) FILTER (WHERE acknowledged), count(*) FILTER (WHERE acknowledged AND copies = 1),
       count(*) FILTER (WHERE acknowledged AND copies = 0), count(*) FILTER (WHERE copies > 1),
       count(*) FILTER (WHERE NOT acknowledged), count(*) FILTER (WHERE NOT acknowledged AND copies > 0),
       coalesce(sum(copies), 0)::bigint
FROM (SELECT s.id, s.acknowledged, count(m.id) AS copies
      FROM loadtest_sent AS s LEFT JOIN {messages} AS m ON m.id = s.id GROUP BY s.id, s.acknowledged) AS found
"""


def _ids(path: Path) -> Iterator[list[UUID]]:
    with path.open("rb") as file:
        while block := file.read(ID_BYTES * _BATCH_IDS):
            yield [UUID(bytes=block[at : at + ID_BYTES]) for at in range(0, len(block), ID_BYTES)]
