"""Instants and spans as the clocks of a place show them, in words: one wording for mails, calendars and pages.

Every time names its place and how far its clock is ahead of UTC, so that nobody guesses. Where the two ends of a span
differ in that, because the clocks change in between, each end says its own.

What is worded is kept by (minute, zone, locale): a page of fifty rows words two hundred times, the next page mostly the
same ones, and Babel needs a tenth of a millisecond for each. The words follow from these three and from zone data,
which never changes while a process runs (`availability`), so they are never stale, and bounded in number only.
"""

import functools
from datetime import date, datetime, timedelta

from babel import dates

from integrations import catalogues
from service.rules.time import availability

_DASH = "\N{EN DASH}"
_KEPT = 4096


def moment(at: datetime, zone: str, locale: str) -> str:
    """Word the instant: weekday, date, time, place and offset."""
    return _moment(at.replace(second=0, microsecond=0), zone, locale)


def clock(at: datetime, zone: str, locale: str) -> str:
    """Word the time of day of the instant, with place and offset."""
    return _clock(at.replace(second=0, microsecond=0), zone, locale)


@functools.lru_cache(maxsize=_KEPT)
def _moment(minute: datetime, zone: str, locale: str) -> str:
    return f"{day(availability.to_wall(minute, zone), locale)}, {_clock(minute, zone, locale)}"


@functools.lru_cache(maxsize=_KEPT)
def _clock(minute: datetime, zone: str, locale: str) -> str:
    return f"{availability.to_wall(minute, zone):%H:%M} ({place(zone, locale)}, {offset(minute, zone)})"


def short(at: datetime, zone: str, locale: str, now: datetime) -> str:
    """Word the instant for whoever knows whose clock it is: today and yesterday by these words, the year if another."""
    wall, today = availability.to_wall(at, zone), availability.local_date(now, zone)
    named = {today: "today", today - timedelta(days=1): "yesterday"}.get(wall.date())
    if named:
        return f"{catalogues.of(locale)['days'][named]}, {wall:%H:%M}"
    return f"{short_day(wall.date(), locale, is_year_told=wall.year != today.year)}, {wall:%H:%M}"


@functools.lru_cache(maxsize=_KEPT)
def short_day(on: date, locale: str, *, is_year_told: bool) -> str:
    """Word the date with its weekday in few letters."""
    return dates.format_date(on, "EEE d MMM y" if is_year_told else "EEE d MMM", catalogues.of(locale).formats)


def span(start: datetime, end: datetime, zone: str, locale: str, ahead: tuple[int, int] | None = None) -> str:
    """Word the time from `start` until `end`; the date of the end only where it is another one.

    `ahead` is by how many minutes the zone's clock is ahead of UTC at either end, where whoever told of it knows that
    better than this process's zone data.
    """
    from_ahead, until_ahead = ahead or (availability.minutes_ahead(start, zone), availability.minutes_ahead(end, zone))
    from_wall, until_wall = start + timedelta(minutes=from_ahead), end + timedelta(minutes=until_ahead)
    first = f"{day(from_wall, locale)}, {from_wall:%H:%M}"
    last = f"{until_wall:%H:%M}"
    is_over_midnight = from_wall.date() != until_wall.date()
    if is_over_midnight:
        last = f"{day(until_wall, locale)}, {last}"
    if from_ahead != until_ahead:
        return f"{first} ({_offset(from_ahead)}) {_DASH} {last} ({_offset(until_ahead)}), {place(zone, locale)}"
    dash = f" {_DASH} " if is_over_midnight else _DASH
    return f"{first}{dash}{last} ({place(zone, locale)}, {_offset(from_ahead)})"


def length(lasting: timedelta, locale: str) -> str:
    """Word how long it is from one instant to another, in one or two units, whichever comes first."""
    minutes = abs(lasting) // timedelta(minutes=1)
    hours, days = minutes // 60, minutes // 1440
    unit = "days" if days else "hours" if hours else "minutes"
    worded: str = catalogues.of(locale)["page.when"][unit].format(
        days=days, hours=hours - days * 24, minutes=minutes - hours * 60
    )
    return worded


def offset(at: datetime, zone: str) -> str:
    """Word how far the zone's clock is ahead of UTC at the instant: `UTC+2`, `UTC+5:45`, `UTC-3:30`."""
    return _offset(availability.minutes_ahead(at, zone))


def _offset(minutes_ahead: int) -> str:
    hours, rest = divmod(abs(minutes_ahead), 60)
    return f"UTC{'-' if minutes_ahead < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "")


def with_offset(at: datetime, zone: str) -> str:
    """Write the instant by the zone's clock as machines read it (RFC 3339): `2026-12-01T09:00+02:00`."""
    minutes = availability.minutes_ahead(at, zone)
    hours, rest = divmod(abs(minutes), 60)
    return f"{availability.to_wall(at, zone):%Y-%m-%dT%H:%M}{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def day(wall: datetime, locale: str) -> str:
    """Word the date with its weekday."""
    return _day(wall.date(), locale)


@functools.lru_cache(maxsize=_KEPT)
def _day(on: date, locale: str) -> str:
    return dates.format_date(on, "full", catalogues.of(locale).formats)


@functools.lru_cache(maxsize=1024)
def place(zone: str, locale: str) -> str:
    """Name the place whose clock it is."""
    words = catalogues.of(locale)
    return words["zones"].get(zone) or dates.get_timezone_location(zone, words.formats, return_city=True)
