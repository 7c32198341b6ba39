"""Days as they were published: a day, a month, a quarter, a year, or a first and a last one (invariant T6)."""

import re
from datetime import date, timedelta

_PERIOD = re.compile(r"(\d{4})(?:-(?:Q([1-4])|(0[1-9]|1[0-2])))?")
_MONTHS_OF_QUARTER = 3
_MONTHS = 12


def first_day(on: date | None, period: str | None, from_on: date | None, until_on: date | None) -> date | None:
    """Give the first day on which it can have begun; its last day if only the end is known; None if nothing is."""
    if period is not None:
        return first_day_of(period)
    return on or from_on or (until_on - timedelta(days=1) if until_on else None)


def first_day_of(period: str) -> date:
    """Give the first day of `2026`, `2026-10` or `2026-Q4`; raises ValueError."""
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError(period)
    year, quarter, month = match.groups()
    if quarter:
        return date(int(year), (int(quarter) - 1) * _MONTHS_OF_QUARTER + 1, 1)
    return date(int(year), int(month or 1), 1)


def previous(from_on: date, until_on: date) -> tuple[date, date]:
    """Give the period before this one: as many whole months, if it is made of such, else as many days."""
    if from_on.day == until_on.day == 1:
        months = (until_on.year - from_on.year) * _MONTHS + until_on.month - from_on.month
        place = from_on.year * _MONTHS + from_on.month - 1 - months
        return date(place // _MONTHS, place % _MONTHS + 1, 1), from_on
    return from_on - (until_on - from_on), from_on


def months(from_on: date, until_on: date) -> list[date]:
    """Give the first day of each month of the period; of the first one, the day that the period begins on."""
    first_days = [from_on]
    while True:
        place = first_days[-1].year * _MONTHS + first_days[-1].month
        following = date(place // _MONTHS, place % _MONTHS + 1, 1)
        if following >= until_on:
            return first_days
        first_days.append(following)
