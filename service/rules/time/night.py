"""Times that lie at night for somebody. They are agreed like any other, but never without a word (FT-11)."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from service.rules.time import availability, cells
from service.rules.time.cells import Frame
from service.vocabulary import ABSENT_PARTIES, Side, WarningCode

_MEETING = frozenset(ABSENT_PARTIES)
NIGHT = (22 * 60, 7 * 60)  # minutes of the day by a side's own clock


class NightHours(NamedTuple):
    """A session that would begin at `at` touches the night of that side."""

    at: datetime
    side: Side
    code: WarningCode = "night_hours"


def warnings(starts: Iterable[datetime], minutes: int, zones: Mapping[Side, str]) -> list[NightHours]:
    """Name each side for each start of a session of so many minutes that is outside 07 to 22 by that side's clock."""
    length = timedelta(minutes=minutes)
    return [
        NightHours(start, side)
        for start in starts
        for side, zone in zones.items()
        if _touches_night(start, start + length, zone)
    ]


def at_night(starts: Iterable[datetime], minutes: int, times: Iterable[Mapping[str, str]]) -> list[str]:
    """Name whose night one of the starts touches, of `{"who": …, "zone": …}` for each clinician and mentor."""
    length = timedelta(minutes=minutes)
    given = list(starts)
    return [
        clock["who"]
        for clock in times
        if clock["who"] in _MEETING and any(_touches_night(start, start + length, clock["zone"]) for start in given)
    ]


def _touches_night(start: datetime, end: datetime, zone: str) -> bool:
    frame = Frame(cells.floor(start), cells.ceil(end) - cells.floor(start))
    return availability.daily_bits(zone, *NIGHT, frame) != 0
