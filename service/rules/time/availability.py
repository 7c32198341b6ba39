"""When a person can be booked. The only module that expands a zone: never SQL, whose server has its own zone data.

Weekly hours are wall-clock in the person's zone. Free time is exact; starts are found in cells of five minutes
(`cells`), with hours rounded inward and busy time outward.

Expanding a zone is what costs, so it is done once for each week and set of hours. A `_Pattern` is the weekly hours of
one zone. It keeps the bits of every week that somebody asked about (bit 0 is a day before Monday in UTC, because no
zone is further ahead), and the bits of stretches of weeks put together. Most weeks need no zone at all: where the
clocks do not change in a week or beside it (`_steady_offset`), its bits are those of the wall clock (`_walls`), which
are the same in every week, shifted by the offset. Only the few weeks in a year in which they do change, and zones whose
offset is no multiple of five minutes, are expanded instant by instant. People with the same hours in the same zone
share a pattern (`_pattern`). The caches hold what follows from the arguments and the zone data alone, which never
change while a process runs: so they are never stale, and they are bounded in size only.

The module is longer than others because nothing else may touch a zone.
"""

import itertools
import zoneinfo
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]  # it is data, and one version string

from service.rules.sentences import Sentence
from service.rules.time import cells, intervals
from service.rules.time.cells import Frame
from service.rules.time.intervals import Interval

TZDATA_VERSION: Final[str] = tzdata.IANA_VERSION
"""`2026f`: the year, then letters, `za` after `z`. So the newer of two versions is the greater text, byte by byte."""
MINUTES_A_DAY: Final = 1440
_DAY = timedelta(days=1)
_NOON = 12
_DAY_CELLS = cells.A_WEEK // 7
_WEEKS_KEPT = 128
_CELL = timedelta(minutes=cells.CELL_MINUTES)
# No zone changes its clocks twice within a few days; the edges are a day beside the week, as far as zones reach.
_SAMPLED = tuple(timedelta(days=days) for days in (-1, 2, 5, 8))
_ALONE = -1  # in place of the last week of a stretch


def force_tzdata() -> None:
    """Let every zone be read from the pinned tzdata package.

    Python prefers the operating system's copy, which was older and put Winnipeg one hour wrong (invariant T2).
    """
    zoneinfo.reset_tzpath(to=[])
    ZoneInfo.clear_cache()


force_tzdata()


class NonexistentTime(ValueError):
    """The clock of the zone never shows this time."""

    def __init__(self, wall: datetime, zone: str) -> None:
        """Keep the wall time and the zone."""
        super().__init__(Sentence("{wall} does not exist in {zone}", wall=wall.isoformat(sep=" "), zone=zone))
        self.wall = wall
        self.zone = zone


def to_instant(wall: datetime, zone: str, *, strict: bool) -> datetime:
    """Give the instant at which the zone's clock shows `wall` (naive); the first one of a repeated hour.

    A time that does not exist raises NonexistentTime when strict, else it is read with the offset before the gap
    (RFC 5545 §3.3.5).
    """
    local = wall.replace(tzinfo=ZoneInfo(zone), fold=0)
    try:
        instant = local.astimezone(UTC)
        exists = not strict or instant.astimezone(local.tzinfo).replace(tzinfo=None) == wall.replace(fold=0)
    except OverflowError:
        raise NonexistentTime(wall, zone) from None
    if not exists:
        raise NonexistentTime(wall, zone)
    return instant


def to_wall(instant: datetime, zone: str) -> datetime:
    """Give what the zone's clock shows at the instant, naive."""
    return instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def minutes_ahead(instant: datetime, zone: str) -> int:
    """Give by how many minutes the zone's clock is ahead of UTC at the instant; negative in the west."""
    return (to_wall(instant, zone).replace(tzinfo=UTC) - instant) // timedelta(minutes=1)


def is_repeated(instant: datetime, zone: str) -> bool:
    """Tell whether the zone's clock shows the time of the instant twice, because it is set back around it."""
    local = instant.astimezone(ZoneInfo(zone))
    return local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()


def local_hour(instant: datetime, zone: str) -> int:
    """Give the hour that the zone's clock shows at the instant."""
    return instant.astimezone(ZoneInfo(zone)).hour


def local_date(instant: datetime, zone: str) -> date:
    """Give the date in the zone at the instant."""
    return instant.astimezone(ZoneInfo(zone)).date()


def day_start(day: date, zone: str) -> datetime:
    """Give the instant at which the date begins in the zone."""
    return to_instant(datetime.combine(day, time.min), zone, strict=False)


@lru_cache(maxsize=256)
def half_days(zone: str, first: date, days: int) -> tuple[datetime, ...]:
    """Give the instants of every midnight and noon of so many dates in the zone, and the midnight after them."""
    walls = [datetime.combine(first, time(hour)) + day * _DAY for day in range(days) for hour in (0, _NOON)]
    return (*(to_instant(wall, zone, strict=False) for wall in walls), day_start(first + days * _DAY, zone))


@lru_cache(maxsize=4096)
def iso_week(instant: datetime, zone: str) -> tuple[int, int]:
    """Give the ISO year and week in the zone at the instant."""
    year, week, _ = local_date(instant, zone).isocalendar()
    return year, week


def week_bounds(week: tuple[int, int], zone: str) -> Interval:
    """Give the instants at which the ISO (year, week) begins and ends in the zone."""
    monday = date.fromisocalendar(*week, 1)
    return day_start(monday, zone), day_start(monday + 7 * _DAY, zone)


def add_working_time(start: datetime, duration: timedelta, zone: str, weekdays: Collection[int]) -> datetime:
    """Give the instant after `duration` of time that lies on working days, taken as whole local days.

    `weekdays` are numbers, 0 is Monday; with none at all every day counts.
    """
    at = start
    while True:
        day = local_date(at, zone)
        tomorrow = day_start(day + _DAY, zone)
        if day.weekday() in weekdays or not weekdays:
            if at + duration <= tomorrow:
                return at + duration
            duration -= tomorrow - at
        at = tomorrow


class Weekly(NamedTuple):
    """Hours that come back every week: minutes of the day on the wall clock; `until_minute` may be 1440.

    A tuple and no dataclass: the cache of a week's bits compares and hashes it a thousand times a request.
    """

    weekday: int  # 0 is Monday
    from_minute: int
    until_minute: int


@dataclass(frozen=True, slots=True)
class DatedHours:
    """An exception to the weekly hours, wall-clock and naive: `away`, or `extra` time; away wins."""

    kind: str
    from_wall: datetime
    until_wall: datetime


@dataclass(frozen=True, slots=True)
class Hours:
    """When a person works, in their own zone."""

    zone: str
    weekly: tuple[Weekly, ...] = ()
    exceptions: tuple[DatedHours, ...] = ()


class _Pattern:
    """The weekly hours of one zone as bits, week by week; a week is computed once."""

    def __init__(self, zone: str, weekly: tuple[Weekly, ...]) -> None:
        self._zone = zone
        self._since_monday = sorted(
            (timedelta(w.weekday, minutes=w.from_minute), timedelta(w.weekday, minutes=w.until_minute)) for w in weekly
        )
        self._merged: dict[tuple[int, int], list[Interval]] = {}
        self._walls: int | None = None
        self._kept: dict[tuple[int, int], int] = {}

    def bits(self, frame: Frame) -> int:
        """Set the open cells of the frame."""
        # A day on either side, since the local date may differ from the date in UTC by one.
        first = cells.week(frame.first - _DAY_CELLS)
        last = cells.week(frame.first + frame.count + _DAY_CELLS)
        return (self._weeks(first, last) >> (frame.first - _origin(first))) & frame.full

    def _weeks(self, first: int, last: int) -> int:
        bits = self._kept.get((first, last))
        if bits is None:
            if len(self._kept) >= _WEEKS_KEPT:
                self._kept.clear()
            bits = 0
            for week in range(first, last + 1):
                bits |= self._week(week) << ((week - first) * cells.A_WEEK)
            self._kept[first, last] = bits
        return bits

    def _week(self, week: int) -> int:
        bits = self._kept.get((week, _ALONE))
        if bits is None:
            bits = self._kept[week, _ALONE] = self._expand(week)
        return bits

    def _expand(self, week: int) -> int:
        offset = _steady_offset(self._zone, week)
        if offset is None or offset % _CELL:
            return Frame(_origin(week), cells.A_WEEK + 2 * _DAY_CELLS).inward(self._instants(week))
        # The week's walls are the same every time, and only shifted.
        if self._walls is None:
            self._walls = Frame(-_DAY_CELLS, cells.A_WEEK + 2 * _DAY_CELLS).between_all(
                (-(-since // _CELL), until // _CELL) for since, until in self._since_monday
            )
        cells_ahead = offset // _CELL
        return self._walls >> cells_ahead if cells_ahead > 0 else self._walls << -cells_ahead

    def _instants(self, week: int) -> list[Interval]:
        midnight = cells.instant(cells.monday(week))
        offset = _steady_offset(self._zone, week)
        if offset is not None:
            midnight -= offset
            return [(midnight + since, midnight + until) for since, until in self._since_monday]
        # Sums of a zoned time are sums of its wall clock; a wall that does not exist has the offset before the gap.
        midnight = midnight.replace(tzinfo=ZoneInfo(self._zone))
        return [
            ((midnight + since).astimezone(UTC), (midnight + until).astimezone(UTC))
            for since, until in self._since_monday
        ]

    def stretches(self, window: Interval) -> list[Interval]:
        """Give the open hours inside the window, merged and in order."""
        first = cells.week(cells.floor(window[0]) - _DAY_CELLS)
        last = cells.week(cells.ceil(window[1]) + _DAY_CELLS)
        merged = self._merged.get((first, last))
        if merged is None:
            if len(self._merged) >= _WEEKS_KEPT:
                self._merged.clear()
            expanded = [stretch for week in range(first, last + 1) for stretch in self._instants(week)]
            merged = self._merged[first, last] = intervals.merge(expanded)
        return intervals.clip(merged, window)


@lru_cache(maxsize=4096)
def _steady_offset(zone: str, week: int) -> timedelta | None:
    """Give how far the zone is ahead of UTC all week long; None if its clocks change in or beside it."""
    monday = cells.instant(cells.monday(week))
    zone_info = ZoneInfo(zone)
    offsets = {(monday + beside).astimezone(zone_info).utcoffset() for beside in _SAMPLED}
    offset = offsets.pop()
    return None if offsets else offset


def _origin(week: int) -> int:
    # A day before Monday in UTC: no zone is ahead of UTC by more.
    return cells.monday(week) - _DAY_CELLS


@lru_cache(maxsize=8192)
def _pattern(zone: str, weekly: tuple[Weekly, ...]) -> _Pattern:
    return _Pattern(zone, weekly)


@lru_cache(maxsize=512)
def _daily(zone: str, from_minute: int, until_minute: int) -> _Pattern:
    if from_minute < until_minute:
        stretches = [(from_minute, until_minute)]
    else:  # over midnight, or the whole day when both are the same
        stretches = [(low, high) for low, high in ((0, until_minute), (from_minute, MINUTES_A_DAY)) if low < high]
    return _Pattern(zone, tuple(Weekly(day, low, high) for day in range(7) for low, high in stretches))


def daily_bits(zone: str, from_minute: int, until_minute: int, frame: Frame) -> int:
    """Set the cells between two times of every day; over midnight when the second is not later than the first."""
    return _daily(zone, from_minute, until_minute).bits(frame)


def open_bits(hours: Hours, frame: Frame) -> int:
    """Set the cells of weekly and extra hours, whether away or not."""
    bits = _pattern(hours.zone, hours.weekly).bits(frame)
    return bits | frame.inward(_dated(hours, "extra", frame)) if hours.exceptions else bits


def away_bits(hours: Hours, frame: Frame) -> int:
    """Set the cells that an absence touches."""
    return frame.outward(_dated(hours, "away", frame)) if hours.exceptions else 0


def is_away(hours: Hours, during: Interval) -> bool:
    """Tell whether an absence touches the interval."""
    if not hours.exceptions:
        return False
    frame = Frame(cells.floor(during[0]), cells.ceil(during[1]) - cells.floor(during[0]))
    return away_bits(hours, frame) != 0


def _dated(hours: Hours, kind: str, frame: Frame) -> Iterable[Interval]:
    # Clipped on the wall clock first: an absence "until 9999-12-31" has no instant in every zone.
    low = cells.instant(frame.first).replace(tzinfo=None) - 2 * _DAY
    high = cells.instant(frame.first + frame.count).replace(tzinfo=None) + 2 * _DAY
    for dated in hours.exceptions:
        from_wall, until_wall = max(low, dated.from_wall), min(high, dated.until_wall)
        if dated.kind == kind and from_wall < until_wall:
            yield (
                to_instant(from_wall, hours.zone, strict=False),
                to_instant(until_wall, hours.zone, strict=False),
            )


def free(hours: Hours, busy: Iterable[Interval], window: Interval) -> list[Interval]:
    """Give when the person works and is not busy, inside the window."""
    open_hours = _pattern(hours.zone, hours.weekly).stretches(window)
    if hours.exceptions:
        frame = Frame.within(window)
        open_hours = intervals.clip(intervals.merge([*open_hours, *_dated(hours, "extra", frame)]), window)
        open_hours = intervals.subtract(open_hours, _dated(hours, "away", frame))
    return intervals.subtract(open_hours, busy)


def starts(
    hours: Hours,
    busy: Iterable[Interval],
    window: Interval,
    minutes: int,
    buffer_minutes: int,
    step_minutes: int = 15,
) -> list[datetime]:
    """Give the bookable starts: the session lies inside hours and window, and with its buffer is clear of busy time.

    `busy` already holds the buffers of its bookings; the buffer after the session need not lie inside the hours.
    """
    length, occupied = cells.count(minutes), cells.count(minutes + buffer_minutes) * _CELL
    worked = _worked_starts(hours, Frame.within(window), length, step_minutes)
    is_clear = bytearray(b"\1") * len(worked)
    # Starts lie on whole cells, and so do their ends: it is the same whether busy time is rounded outward or exact.
    for since, until in busy:
        low = bisect_right(worked, since - occupied)
        high = bisect_left(worked, until, low)
        if low < high and since < until:
            is_clear[low:high] = bytes(high - low)
    return list(itertools.compress(worked, is_clear))


@lru_cache(maxsize=256)
def _worked_starts(hours: Hours, frame: Frame, length: int, step_minutes: int) -> Sequence[datetime]:
    """Give the starts of sessions of so many cells within the hours, in order: the same for all who work alike."""
    worked = cells.runs(open_bits(hours, frame) & ~away_bits(hours, frame), length)
    return frame.instants(worked & frame.grid(step_minutes), step_minutes)
