"""What needs no database: free time of a month (P1), invites (P7)."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from statistics import median
from uuid import UUID
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vText

from bench.table import Line, at_least, at_most, ms
from integrations.runtime import mail_delivery, settings
from service import vocabulary
from service.rules.time import availability
from service.rules.time.availability import Hours, Weekly
from service.rules.time.intervals import Interval

_FROM = datetime(2027, 3, 8, tzinfo=UTC)
_WINDOW = (_FROM, _FROM + timedelta(days=30))
_PARIS = ZoneInfo("Europe/Paris")
_HOURS = Hours("Europe/Paris", tuple(Weekly(day, 9 * 60, 17 * 60) for day in range(5)))
_BLOCKED = timedelta(minutes=15)
_ID = UUID("0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11")


def busy_month(seed: int = 2027) -> list[Interval]:
    """Give 40 busy intervals that do not overlap, of 15 to 60 minutes on a 15-minute grid, blocked 15 min each side."""
    dice = random.Random(seed)
    taken: list[Interval] = []
    while len(taken) < 40:
        start = _FROM + timedelta(minutes=15 * dice.randrange(30 * 96))
        end = start + timedelta(minutes=dice.choice((15, 30, 45, 60)))
        if end <= _WINDOW[1] and all(end <= low or high <= start for low, high in taken):
            taken.append((start, end))
    return [(start - _BLOCKED, end + _BLOCKED) for start, end in sorted(taken)]


def plain(busy: list[Interval]) -> list[Interval]:
    """Give the same free time by zoneinfo and subtraction, a day at a time: the baseline."""
    merged: list[Interval] = []
    for start, end in sorted(busy):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    found = []
    day = _WINDOW[0].astimezone(_PARIS).date() - timedelta(days=1)
    while day <= _WINDOW[1].astimezone(_PARIS).date():
        if day.weekday() < 5:
            start = max(_WINDOW[0], datetime(day.year, day.month, day.day, 9, tzinfo=_PARIS).astimezone(UTC))
            end = min(_WINDOW[1], datetime(day.year, day.month, day.day, 17, tzinfo=_PARIS).astimezone(UTC))
            for low, high in merged:
                if low >= end:
                    break
                if high > start:
                    if low > start:
                        found.append((start, low))
                    start = max(start, high)
            if start < end:
                found.append((start, end))
        day += timedelta(days=1)
    return found


def free_time(rounds: int) -> list[Line]:
    """P1: cold (no week expanded yet) and warm; the answers are compared first."""
    busy = busy_month()
    expected = plain(busy)
    if availability.free(_HOURS, busy, _WINDOW) != expected or len(expected) < 20:
        raise RuntimeError("free time differs from the baseline's")

    def cold() -> None:
        availability._pattern.cache_clear()  # noqa: SLF001 - what a process has that never saw these hours
        availability.free(_HOURS, busy, _WINDOW)

    def coldest() -> None:
        availability._steady_offset.cache_clear()  # noqa: SLF001 - nor any hours of this zone
        cold()

    def warm() -> None:
        availability.free(_HOURS, busy, _WINDOW)

    took = _turns(rounds, [lambda: plain(busy), cold, warm, coldest])
    return [
        at_least("P1 free time, hours not seen before", ms(took[1]), ms(took[0]), took[0] / took[1], 1.5),
        at_least("P1 free time, weekly masks warm", ms(took[2]), ms(took[0]), took[0] / took[2], 3),
        Line("   free time, zone not seen before", ms(took[3]), ms(took[0]), took[0] / took[3]),
    ]


def invites(rounds: int, told: settings.Settings) -> list[Line]:
    """P7: both sides' invites with their text, against icalendar building and writing the bare event once."""
    starts_at = "2026-11-24T10:00:00+00:00"
    people = {"a": ("Олена", "a@bench.example", "uk"), "b": ("Anne", "b@bench.example", "en")}
    invited = {
        "method": "REQUEST",
        "appointment_id": str(_ID),
        "sequence": 0,
        "dtstamp": "2026-11-21T15:00:00+00:00",
        "starts_at": starts_at,
        "ends_at": "2026-11-24T10:30:00+00:00",
        "status": "CONFIRMED",
        "attendees": [{"person_id": each, "partstat": "NEEDS-ACTION"} for each in people],
    }
    values = {
        "consultation_id": str(_ID),
        "appointment_id": str(_ID),
        "specialty": {"en": "Paediatrics", "uk": "Педіатрія"},
        "priority": "urgent",
        "mode": "live",
        "page": f"/consultations/{_ID}",
        "duration_minutes": 30,
        "starts_at": starts_at,
        "ends_at": invited["ends_at"],
        "times": [{"who": "clinician", "zone": "Europe/Kyiv"}, {"who": "mentor", "zone": "Europe/Paris"}],
    }
    links = {"join": "https://pobratym.example/j/" + "x" * 43}

    def both() -> None:
        for locale in vocabulary.LOCALES:
            mail_delivery.invite(told, invited, values, locale, people, links)

    took = _turns(rounds, [both, _bare_event])
    rate = Line("   invites built a second", f"{2 / took[0]:,.0f}/s", f"{1 / took[1]:,.0f}/s", 2 * took[1] / took[0])
    return [at_most("P7 invites of both sides", ms(took[0]), ms(took[1]), took[0] / took[1], 2), rate]


def _bare_event() -> None:
    calendar, event = Calendar(), Event()
    calendar.add("prodid", "-//Pobratym//Pobratym//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "REQUEST")
    event.add("uid", f"{_ID}@pobratym.example")
    event.add("dtstamp", _FROM)
    event.add("dtstart", _FROM)
    event.add("dtend", _FROM + timedelta(minutes=30))
    event.add("sequence", 0)
    event.add("status", "CONFIRMED")
    event.add("summary", "Pobratym")
    name, address = parseaddr("Pobratym <no-reply@pobratym.example>")
    for kind, who in (("organizer", address), ("attendee", "a@bench.example"), ("attendee", "b@bench.example")):
        value = vCalAddress(f"mailto:{who}")
        value.params["cn"] = vText(name)
        event.add(kind, value, encode=False)
    calendar.add_component(event)
    calendar.to_ical()


def _turns(rounds: int, bodies: list[Callable[[], object]], times: int = 30) -> list[float]:
    """Give the median over rounds of the seconds that each body takes, the rounds taking turns."""
    found: list[list[float]] = [[] for _ in bodies]
    for _ in range(rounds * 5):
        for taken, body in zip(found, bodies, strict=True):
            began = time.perf_counter()
            for _ in range(times):
                body()
            taken.append((time.perf_counter() - began) / times)
    return [median(taken) for taken in found]
