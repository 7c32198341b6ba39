"""What each person of a run has done so far, as the rules count it: offers, sessions, seats, who has met whom.

Time only goes forward, so each count is kept by a mark in a list that moves on; nothing is counted again.
"""

from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Literal

from lab.registry import BUFFER_MINUTES, Registry
from service import vocabulary
from service.rules.case import Mentor
from service.rules.time import availability
from service.rules.time.availability import Hours
from service.rules.time.intervals import Interval

MINUTES = 30
"""Every session of the lab, so that minutes and cases are shared out alike."""
_SESSION = timedelta(minutes=MINUTES)
OCCUPIED = timedelta(minutes=MINUTES + BUFFER_MINUTES)
_WEEK, _MONTH, _QUARTER, _HALF_YEAR = (timedelta(days=days) for days in (7, 30, 90, 180))
_HOURS, _WEEKS = Mentor._fields.index("hours"), Mentor._fields.index("sessions_by_week")
_BEFORE, _AHEAD = timedelta(days=3), timedelta(days=12)
Ending = Literal["answered", "lapsed", "late answer"]
_ENDINGS: dict[Ending, tuple[int, int, int]] = {"answered": (1, 1, 0), "lapsed": (1, 0, 0), "late answer": (0, 0, 1)}
"""Ended, answered in time, answered late: a late one has lapsed before."""


class Asked:
    """The offers of one mentor; each is known by its place in the list."""

    __slots__ = ("_half_year", "_month", "_places", "_sums", "_week", "sent")

    def __init__(self) -> None:
        """Begin with none."""
        self.sent: list[datetime] = []
        self._places: list[tuple[int, int, int]] = []
        self._week = self._month = self._half_year = 0
        self._sums = (0, 0, 0)  # of the places of half a year

    def send(self, at: datetime) -> int:
        """Count one more, and give its place."""
        self.sent.append(at)
        self._places.append((0, 0, 0))
        return len(self.sent) - 1

    def end(self, place: int, ending: Ending) -> None:
        """Count how the offer ended; a withdrawn one never does."""
        change = _ENDINGS[ending]
        self._places[place] = _added(self._places[place], change, 1)
        if place >= self._half_year:
            self._sums = _added(self._sums, change, 1)

    def counts(self, now: datetime) -> tuple[int, int, int]:
        """Give the offers of 7, 30 and 180 days."""
        sent, count = self.sent, len(self.sent)
        while self._half_year < count and sent[self._half_year] <= now - _HALF_YEAR:
            self._sums = _added(self._sums, self._places[self._half_year], -1)
            self._half_year += 1
        while self._month < count and sent[self._month] <= now - _MONTH:
            self._month += 1
        while self._week < count and sent[self._week] <= now - _WEEK:
            self._week += 1
        return count - self._week, count - self._month, count - self._half_year

    def ended(self) -> tuple[int, int, int]:
        """Give how many of the 180 days, as of the last `counts`, ended, were answered in time, and late."""
        return self._sums


def _added(one: tuple[int, int, int], other: tuple[int, int, int], times: int) -> tuple[int, int, int]:
    return one[0] + times * other[0], one[1] + times * other[1], one[2] + times * other[2]


class Calendars:
    """Everybody's, for one run."""

    def __init__(self, registry: Registry) -> None:
        """Begin with nobody asked and nothing booked."""
        self._registry = registry
        self.asked = [Asked() for _ in registry.mentors]
        self._seats: dict[tuple[str, int], tuple[Interval, ...]] = {}
        self._weeks: list[Counter[tuple[int, int]]] = [Counter() for _ in registry.mentors]
        self._held: dict[int, list[datetime]] = defaultdict(list)  # starts by partner
        self._met_clinician: dict[tuple[int, int], list[datetime]] = {}
        self._met_hospital: dict[int, dict[int, datetime]] = defaultdict(dict)  # by hospital, whom first when
        self._hours: dict[int, tuple[date, Hours]] = {}

    def busy(self, kind: str, number: int, now: datetime) -> tuple[Interval, ...]:
        """Give the seats of a mentor or clinician that are not over, buffers included, in order."""
        seats = self._seats.get((kind, number), ())
        if seats and seats[0][1] <= now:
            seats = self._seats[kind, number] = tuple(seat for seat in seats if seat[1] > now)
        return seats

    def book(self, mentor: int, clinician: int, start: datetime, *, takes_place: bool) -> None:
        """Seat both; a session that takes place is one that they have had, from its end on."""
        for key in (("mentor", mentor), ("clinician", clinician)):
            self._seats[key] = tuple(sorted((*self._seats.get(key, ()), (start, start + OCCUPIED))))
        person = self._registry.mentors[mentor]
        self._weeks[mentor][availability.iso_week(start, person.base.zone)] += 1
        if takes_place:
            self._meet(mentor, clinician, start)

    def advise(self, mentor: int, clinician: int, at: datetime) -> None:
        """Written advice is a session too, but nobody's time."""
        self._meet(mentor, clinician, at)

    def _meet(self, mentor: int, clinician: int, start: datetime) -> None:
        insort(self._held[self._registry.mentors[mentor].partner], start)
        insort(self._met_clinician.setdefault((mentor, clinician), []), start)
        met = self._met_hospital[self._registry.clinicians[clinician].hospital]
        met[mentor] = min(start, met.get(mentor, start))

    def as_of(
        self, now: datetime, people: Iterable[tuple[int, Mentor]], clinician: int, load_days: int
    ) -> list[Mentor]:
        """Give the mentors as the rules see them at this instant, for a request of this clinician."""
        met = self._met_hospital.get(self._registry.clinicians[clinician].hospital, {})
        sessions: dict[int, int] = {}  # of 90 days, by partner
        return [self._as_of(now, number, base, clinician, met, sessions, load_days) for number, base in people]

    def _as_of(
        self,
        now: datetime,
        number: int,
        base: Mentor,
        clinician: int,
        met: Mapping[int, datetime],
        sessions: dict[int, int],
        load_days: int,
    ) -> Mentor:
        of_week, of_month, of_half_year = self.asked[number].counts(now)
        ended, in_time, late = self.asked[number].ended()
        # The load term was e^(-offers of 7 days / 5), and is e^(-offers of 180 days / 6).
        asked: float = of_week * 6 / 5 if load_days == 7 else of_half_year  # noqa: PLR2004 - days
        partner = self._registry.mentors[number].partner
        held = sessions.get(partner)
        if held is None:
            held = sessions[partner] = self._sessions_90d(partner, now)
        values = (
            *base[:_HOURS],
            self._hours_of(base, number, now) if base.hours.exceptions else base.hours,
            *base[_HOURS + 1 : _WEEKS],
            self._weeks[number],
            self.busy("mentor", number, now),
            base.links,
            of_week,
            of_month,
            asked,  # a fraction stands for what the former rule counted
            ended,
            in_time,
            late,
            self._continuity(number, clinician, now) if number in met and met[number] <= now - _SESSION else None,
            held,
            base.power,
        )
        return Mentor._make(values)  # `_replace` takes three times as long, and a year has half a million of these

    def _hours_of(self, base: Mentor, number: int, now: datetime) -> Hours:
        """Give the hours with the holidays around this day only, as the service loads them; no answer is due later."""
        day, hours = self._hours.get(number, (None, base.hours))
        if day != now.date():
            low, high = now.replace(tzinfo=None) - _BEFORE, now.replace(tzinfo=None) + _AHEAD
            near = tuple(each for each in base.hours.exceptions if each.from_wall < high and each.until_wall > low)
            hours = Hours(base.hours.zone, base.hours.weekly, near)
            self._hours[number] = (now.date(), hours)
        return hours

    def _continuity(self, number: int, clinician: int, now: datetime) -> vocabulary.Continuity:
        """Say how well a mentor who has met somebody of the hospital knows the clinician."""
        starts = self._met_clinician.get((number, clinician), ())
        at = bisect_right(starts, now - _SESSION)
        return "clinician" if at and starts[at - 1] > now - _HALF_YEAR else "hospital"

    def _sessions_90d(self, partner: int, now: datetime) -> int:
        starts = self._held.get(partner)
        return bisect_right(starts, now - _SESSION) - bisect_right(starts, now - _QUARTER) if starts else 0
