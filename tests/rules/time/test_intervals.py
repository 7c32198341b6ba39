from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from rules.values import PROPERTY, oracle, pairs, utc
from service.rules.time import intervals
from service.rules.time.intervals import Interval

EPOCH = utc(2026, 1, 1)
some = st.lists(
    st.tuples(st.integers(0, 60), st.integers(-2, 15)).map(
        lambda pair: (EPOCH + timedelta(hours=pair[0]), EPOCH + timedelta(hours=sum(pair)))
    ),
    max_size=8,
)


@PROPERTY
@given(some)
def test_merged_intervals_are_the_union(one: list[Interval]) -> None:
    assert intervals.merge(one) == pairs(oracle(one))


@PROPERTY
@given(some, some)
def test_subtraction_leaves_what_is_only_in_the_first(one: list[Interval], other: list[Interval]) -> None:
    assert intervals.subtract(one, other) == pairs(oracle(one) - oracle(other))


@PROPERTY
@given(some.filter(len), some.filter(len))
def test_two_intervals_overlap_when_they_share_an_instant(one: list[Interval], other: list[Interval]) -> None:
    assert intervals.overlaps(one[0], other[0]) == (not (oracle(one[:1]) & oracle(other[:1])).empty)


@PROPERTY
@given(some, some.filter(len))
def test_clipping_leaves_what_lies_in_the_window(one: list[Interval], other: list[Interval]) -> None:
    assert intervals.clip(intervals.merge(one), other[0]) == pairs(oracle(one) & oracle(other[:1]))
