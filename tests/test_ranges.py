import itertools

from hypothesis import given
from hypothesis import strategies as st

from copier.plan.ranges import Committed, Gap, find_gaps


def test_an_untouched_table_is_one_open_gap() -> None:
    assert find_gaps([], 0) == [Gap(None, None, ())]


def test_gaps_before_between_and_after() -> None:
    committed = [Committed((2,), (10,), (20,)), Committed((4,), (30,), (40,))]
    assert find_gaps(committed, 1) == [
        Gap(None, (10,), (0,)),
        Gap((20,), (30,), (2, 0)),
        Gap((40,), None, (4, 0)),
    ]


@given(st.data())
def test_any_sequence_of_kills_copies_every_key_once(data: st.DataObject) -> None:
    """Play runs against find_gaps: each attempt cuts its gaps into chunks and commits some of them, in any order."""
    keys = range(1, data.draw(st.integers(0, 40)) + 1)
    committed: list[Committed] = []
    for attempt in range(data.draw(st.integers(1, 5)) + 1):
        last_attempt = attempt == 5
        chunks: list[tuple[Committed, list[int]]] = []
        for gap in find_gaps(committed, attempt):
            low = gap.after[0] if gap.after else 0
            high = gap.upto[0] if gap.upto else len(keys)
            rows = [key for key in keys if low < key <= high]
            number, after = 0, gap.after
            while rows:
                size = data.draw(st.integers(1, 7))
                part, rows = rows[:size], rows[size:]
                number += 1
                upto = gap.upto if not rows and gap.upto else (part[-1],)
                chunks.append((Committed((*gap.prefix, number), after, upto), part))
                after = upto
        kept = [chunk for chunk in chunks if last_attempt or data.draw(st.booleans())]
        ranks = [c.rank for c in committed] + [c.rank for c, _ in kept]
        assert len(ranks) == len(set(ranks)), "a rank was given twice"
        committed += [c for c, _ in data.draw(st.permutations(kept))]
        ordered = sorted(committed, key=lambda c: c.rank)
        edges = [((c.after or (0,))[0], c.last[0]) for c in ordered]
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(edges)), "ranks are not in key order"
    covered = [key for c in committed for key in keys if (c.after or (0,))[0] < key <= c.last[0]]
    left = [
        key
        for gap in find_gaps(committed, 6)
        for key in keys
        if (gap.after or (0,))[0] < key <= (gap.upto or (len(keys),))[0]
    ]
    assert sorted(covered + left) == list(keys)
