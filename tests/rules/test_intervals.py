from datetime import timedelta

import portion
from hypothesis import given
from hypothesis import strategies as st

from rules.values import PROPERTY, utc
from service.rules import intervals
from service.rules.intervals import Interval

EPOCH = utc(2026, 1, 1)
some = st.lists(
    st.tuples(st.integers(0, 60), st.integers(-2, 15)).map(
        lambda pair: (EPOCH + timedelta(hours=pair[0]), EPOCH + timedelta(hours=sum(pair)))
    ),
    max_size=8,
)


def oracle(pairs: list[Interval]) -> portion.Interval:
    whole = portion.empty()
    for start, end in pairs:
        whole |= portion.closedopen(start, end)
    return whole


def pairs(whole: portion.Interval) -> list[Interval]:
    return [(atom.lower, atom.upper) for atom in whole if not atom.empty]


@PROPERTY
@given(some)
def test_merged_intervals_are_the_union(one) -> None:
    assert intervals.merge(one) == pairs(oracle(one))


@PROPERTY
@given(some, some)
def test_subtraction_leaves_what_is_only_in_the_first(one, other) -> None:
    assert intervals.subtract(one, other) == pairs(oracle(one) - oracle(other))


@PROPERTY
@given(some, some)
def test_intersection_is_what_is_in_both(one, other) -> None:
    assert intervals.intersect(one, other) == pairs(oracle(one) & oracle(other))


@PROPERTY
@given(some.filter(len), some.filter(len))
def test_two_intervals_overlap_when_they_share_an_instant(one, other) -> None:
    assert intervals.overlaps(one[0], other[0]) == (not (oracle(one[:1]) & oracle(other[:1])).empty)
