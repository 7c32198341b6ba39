"""Interval algebra over half-open `[start, end)` pairs of aware instants.

Exact to the microsecond; the bitmaps of `cells` are the fast, five-minute twin.
"""

from collections.abc import Iterable
from datetime import datetime

Interval = tuple[datetime, datetime]


def overlaps(one: Interval, other: Interval) -> bool:
    """Tell whether the two share an instant; an empty interval shares none."""
    return max(one[0], other[0]) < min(one[1], other[1])


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Give the same instants as the fewest intervals, in order; touching ones become one, empty ones vanish."""
    merged: list[Interval] = []
    for start, end in sorted(i for i in intervals if i[0] < i[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def intersect(one: Iterable[Interval], other: Iterable[Interval]) -> list[Interval]:
    """Give the instants that are in both, in order."""
    left, right = merge(one), merge(other)
    shared: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            shared.append((start, end))
        if left[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return shared


def subtract(one: Iterable[Interval], other: Iterable[Interval]) -> list[Interval]:
    """Give the instants of the first that are not in the second, in order."""
    holes = merge(other)
    rest: list[Interval] = []
    first = 0
    for start, end in merge(one):
        while first < len(holes) and holes[first][1] <= start:
            first += 1
        at = start
        for hole_start, hole_end in holes[first:]:
            if hole_start >= end:
                break
            if at < hole_start:
                rest.append((at, hole_start))
            at = hole_end
        if at < end:
            rest.append((at, end))
    return rest
