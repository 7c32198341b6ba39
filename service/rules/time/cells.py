"""Time as integers: one bit for each five minutes since 1970, so that a month is one number of 8,640 bits.

The idea: a set of stretches of time is one Python integer, a set bit for each cell of five minutes that belongs to it.
Then union is `|`, intersection is `&`, "not busy" is `& ~busy`, and another hour is a shift; each goes over a month in
one step of C instead of a loop over pairs of instants, and that is what makes a thousand mentors cheap (bench, P1). A
`Frame` says which cell bit 0 is and how many bits there are. Numbers of two frames must not be mixed, and hours are
rounded inward and busy time outward, so that rounding never offers a time that is not free. "Where can a session of six
cells begin?" is the set of bits that have five more set bits behind them: `runs` finds it by ANDing the number with
itself shifted by 1, 2 and 2, which is three steps instead of five. Nothing here knows zones.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from service.rules.time.intervals import Interval

CELL_MINUTES = 5
A_WEEK = 7 * 1440 // CELL_MINUTES
_CELL = timedelta(minutes=CELL_MINUTES)
_FIRST_MONDAY = 4 * A_WEEK // 7  # 1970-01-05; the week before it is number 0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = bytes.maketrans(b"01", b"\0\1")


def floor(instant: datetime) -> int:
    """Number the cell that holds the instant."""
    return (instant - _EPOCH) // _CELL


def ceil(instant: datetime) -> int:
    """Number the first cell that starts at the instant or after it."""
    return -((_EPOCH - instant) // _CELL)


def count(minutes: int) -> int:
    """Count the cells that hold so many minutes, rounded up."""
    return -(-minutes // CELL_MINUTES)


@lru_cache(maxsize=16_384)
def instant(cell: int) -> datetime:
    """Give the instant at which the cell starts; kept, as the mentors of a hospital are free at the same ones."""
    return _EPOCH + cell * _CELL


def week(cell: int) -> int:
    """Number the week in UTC, from Monday, that holds the cell."""
    return (cell - _FIRST_MONDAY) // A_WEEK + 1


def monday(week: int) -> int:
    """Give the first cell of the week."""
    return (week - 1) * A_WEEK + _FIRST_MONDAY


def runs(bits: int, length: int) -> int:
    """Keep the bits at which `length` set bits in a row begin."""
    have = 1
    while have < length:
        step = min(have, length - have)
        bits &= bits >> step
        have += step
    return bits


@lru_cache(maxsize=256)
def _comb(length: int, step: int) -> int:
    return sum(1 << at for at in range(0, length, step))


@dataclass(frozen=True, slots=True)
class Frame:
    """A stretch of cells; bit 0 of its numbers is the cell `first`."""

    first: int
    count: int

    @classmethod
    def within(cls, window: Interval) -> "Frame":
        """Span the whole cells inside the window."""
        first = ceil(window[0])
        return cls(first, max(0, floor(window[1]) - first))

    @property
    def full(self) -> int:
        """Every bit set."""
        return (1 << self.count) - 1

    def between(self, low: int, high: int) -> int:
        """Set the bits of the cells from `low` up to and without `high`, clipped to the frame."""
        low = max(0, low - self.first)
        high = min(self.count, high - self.first)
        return ((1 << (high - low)) - 1) << low if low < high else 0

    def between_all(self, stretches: Iterable[tuple[int, int]]) -> int:
        """Set the bits of all the stretches of cells."""
        bits = 0
        for low, high in stretches:
            bits |= self.between(low, high)
        return bits

    def outward(self, intervals: Iterable[Interval]) -> int:
        """Set every cell that an interval touches: for busy time."""
        return self.between_all((floor(start), ceil(end)) for start, end in intervals if start < end)

    def inward(self, intervals: Iterable[Interval]) -> int:
        """Set every cell that lies whole inside an interval: for free time."""
        return self.between_all((ceil(start), floor(end)) for start, end in intervals)

    def starting(self, since: datetime | None, until: datetime | None) -> int:
        """Set the cells that start in `[since, until)`; None is open."""
        low = self.first if since is None else ceil(since)
        high = self.first + self.count if until is None else ceil(until)
        return self.between(low, high)

    def grid(self, step_minutes: int) -> int:
        """Set the cells on the grid of so many minutes, counted from 1970 in UTC."""
        step = max(1, step_minutes // CELL_MINUTES)
        offset = -self.first % step
        length = -(-self.count // A_WEEK) * A_WEEK  # few different lengths, so that the cache is of use
        return (_comb(length, step) << offset) & self.full

    def since(self, bits: int, at: datetime) -> int:
        """Keep the bits of the cells that start at the instant or after it."""
        passed = max(0, ceil(at) - self.first)
        return bits >> passed << passed

    def earliest(self, bits: int) -> datetime | None:
        """Give the start of the first set cell."""
        return self.begins(bits) if bits else None

    def begins(self, bits: int) -> datetime:
        """Give the start of the first set cell, which there is."""
        return instant(self.first + (bits & -bits).bit_length() - 1)

    def instants(self, bits: int, step_minutes: int = CELL_MINUTES) -> list[datetime]:
        """Give the start of every set cell, in order; all of them lie on the grid of so many minutes."""
        step = max(1, step_minutes // CELL_MINUTES)
        offset = -self.first % step
        text = f"{bits >> offset:b}"  # going through text is much faster than shifting a long number once a bit
        is_set = text[::-step].encode().translate(_DIGITS)
        grid = range(self.first + offset, self.first + offset + len(text), step)
        return list(map(instant, itertools.compress(grid, is_set)))
