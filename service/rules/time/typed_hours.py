"""Hours as people type them: a time in few keys, a stretch over midnight, days of absence that run into each other."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from service.rules.time.availability import MINUTES_A_DAY, DatedHours, Weekly

_CLOCK = re.compile(r"(\d{1,2})(?:\s*[:.,h-]\s*(\d\d))?|(\d{1,2})(\d\d)", re.IGNORECASE)
_HOUR = 60


class UnreadableClock(ValueError):
    """This is no time of day."""


class NoLength(ValueError):
    """It ends when it begins."""


class Stretch(NamedTuple):
    """Hours as one row of a form has them: they end on the next day if `until_minute` is not later than `from_minute`.

    Minutes of the day on the wall clock; midnight at the end of a day is 1440 or 0.
    """

    weekday: int  # 0 is Monday
    from_minute: int
    until_minute: int


def read_clock(text: str) -> int:
    """Give the minute of the day of "9", "930", "0930", "9:30", "9.30" or "9-30"; 1440 for "24" and "24:00".

    Raises UnreadableClock.
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise UnreadableClock
    hour, minute = int(match[1] or match[3]), int(match[2] or match[4] or 0)
    if minute >= _HOUR or hour * _HOUR + minute > MINUTES_A_DAY:
        raise UnreadableClock
    return hour * _HOUR + minute


def split(stretch: Stretch) -> tuple[Weekly, ...]:
    """Give the stretch as hours of one day, or of two if it goes over midnight; raises NoLength."""
    day, start, end = stretch
    if start in {end, MINUTES_A_DAY}:
        raise NoLength
    if start < end:
        return (Weekly(day, start, end),)
    rest = (Weekly((day + 1) % 7, 0, end),) if end else ()
    return (Weekly(day, start, MINUTES_A_DAY), *rest)


def joined(weekly: Iterable[Weekly]) -> list[Stretch]:
    """Give the stretches, in order, of which `split` makes these hours; what goes on behind midnight is one of them."""
    hours = sorted(weekly)
    mornings = {entry.weekday: entry for entry in hours if entry.from_minute == 0}
    rows, taken = [], set()
    for entry in hours:
        morning = mornings.get((entry.weekday + 1) % 7)
        until = entry.until_minute
        if until == MINUTES_A_DAY and morning and morning.until_minute < entry.from_minute:
            until = morning.until_minute
            taken.add(morning)
        rows.append((entry, Stretch(entry.weekday, entry.from_minute, until)))
    return [row for entry, row in rows if entry not in taken]


def with_dated(exceptions: Iterable[DatedHours], new: DatedHours) -> tuple[DatedHours, ...]:
    """Give the exceptions with this one, in order; those of its kind that overlap or touch each other are one.

    So the same absence twice is one, and a longer one replaces a shorter.
    """
    known = list(exceptions)
    merged: list[DatedHours] = []
    same_kind = [dated for dated in known if dated.kind == new.kind]
    for dated in sorted([*same_kind, new], key=lambda each: each.from_wall):
        if merged and dated.from_wall <= merged[-1].until_wall:
            merged[-1] = replace(merged[-1], until_wall=max(merged[-1].until_wall, dated.until_wall))
        else:
            merged.append(dated)
    others = [dated for dated in known if dated.kind != new.kind]
    return tuple(sorted([*others, *merged], key=lambda each: (each.from_wall, each.kind)))
