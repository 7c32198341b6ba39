"""Interval algebra over half-open `[start, end)` pairs of aware instants.

Exact to the microsecond; the bitmaps of `cells` are the fast, five-minute twin.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

Interval = tuple[datetime, datetime]
_NEVER = (datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))  # later than any other


def overlaps(first: Interval, second: Interval) -> bool:
    """Tell whether the two share an instant; an empty interval shares none."""
    return max(first[0], second[0]) < min(first[1], second[1])


def latest_end(intervals: Iterable[Interval], during: Interval) -> datetime | None:
    """Give the latest end of the intervals that overlap `during`; None if none does."""
    latest = None
    since, until = during
    for start, end in intervals:
        if start < until and end > since and start < end and (latest is None or end > latest):
            latest = end
    return latest


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Give the same instants as the fewest intervals, in order; touching ones become one, empty ones vanish."""
    ordered = sorted([i for i in intervals if i[0] < i[1]])
    merged: list[Interval] = []
    if not ordered:
        return merged
    start, end = ordered[0]
    for since, until in ordered:
        if since > end:
            merged.append((start, end))
            start, end = since, until
        elif until > end:
            end = until
    merged.append((start, end))
    return merged


def clip(merged: list[Interval], window: Interval) -> list[Interval]:
    """Give the parts of merged intervals that lie in the window."""
    low, high = window
    inside = [i for i in merged if i[0] < high and i[1] > low] if low < high else []
    if inside:
        inside[0] = (max(inside[0][0], low), inside[0][1])
        inside[-1] = (inside[-1][0], min(inside[-1][1], high))
    return inside


def subtract(intervals: Iterable[Interval], removed: Iterable[Interval]) -> list[Interval]:
    """Give the instants of `intervals` that are not in `removed`, in order."""
    rest: list[Interval] = []
    holes = iter([*merge(removed), _NEVER])
    since, until = next(holes)
    for start, end in merge(intervals):
        at = start
        while until <= at:
            since, until = next(holes)
        while since < end:
            if at < since:
                rest.append((at, since))
            at = until
            if at >= end:  # the hole may reach into the next one
                break
            since, until = next(holes)
        if at < end:
            rest.append((at, end))
    return rest
