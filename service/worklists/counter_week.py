"""What a mentor's proposal of other times is made on: a week by their clock, with when both sides are free.

Of the clinician it shows only whether they are free, never why not, and only inside the windows of their request; where
they gave none, nothing of their days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from service import tables
from service.care import answers, offers
from service.kernel import access, errors
from service.kernel.work import Work
from service.rules.case import Case, Mentor
from service.rules.time import availability, intervals, two_calendars
from service.rules.time.availability import MINUTES_A_DAY, Hours, Weekly
from service.rules.time.intervals import Interval
from service.rules.time.night import NightHours

DAYS = 7
MOST_WEEKS = 8


@dataclass(frozen=True, slots=True)
class CounterWeek:
    """The week from `first` on; `at_night` are the starts of it that touch somebody's night."""

    offer: tables.Offer
    consultation: tables.Consultation
    specialty: tables.Specialty
    clinician_zone: str
    first: date
    days: Sequence[tuple[date, Sequence[two_calendars.Stretch]]]
    at_night: frozenset[datetime]
    proposed: Sequence[datetime]  # before, that can still be taken

    @property
    def has_free(self) -> bool:
        """Tell whether a time of the week suits both."""
        return any(stretch.whose == "free" for _, stretches in self.days for stretch in stretches)


async def read(w: Work, offer_id: UUID, zone: str, first: date | None) -> CounterWeek:
    """Give the week of the offer from the date on, or from today, by the clock of `zone`.

    Raises NotFound, Forbidden for whoever does not answer it, and OfferClosed if no times can be proposed.
    """
    view = await offers.read(w, offer_id)
    offer, consultation = view.row, view.consultation
    access.requires_mentors_side(w, offer)
    is_open = view.closes_at is not None and view.closes_at > w.now
    if offer.kind == "written" or not (is_open or offer.state == "countered"):
        raise errors.OfferClosed(state=offer.shown_state)
    facts = await answers.facts(w, offer)
    today = availability.local_date(w.now, zone)
    latest = today + timedelta(days=DAYS * (MOST_WEEKS - 1))
    begin = min(max(first or today, today), latest)
    dates = [begin + timedelta(days=number) for number in range(DAYS)]
    window = (availability.day_start(dates[0], zone), availability.day_start(dates[-1] + timedelta(days=1), zone))
    length = timedelta(minutes=facts.case.minutes)
    mine, theirs = _free(facts.mentor, facts.case, window), _attends(facts.case, window)
    days = [(on, two_calendars.day(on, zone, w.now, length, mine, theirs)) for on in dates]
    starts = [stretch.starts_at for _, stretches in days for stretch in stretches if stretch.whose == "free"]
    at_night: Sequence[NightHours] = view.warnings_of(starts)
    return CounterWeek(
        offer,
        consultation,
        await w.read(tables.Specialty, consultation.specialty_code),
        view.zones["requesting"],
        begin,
        days,
        frozenset(warning.at for warning in at_night),
        view.counter_starts if offer.state == "countered" else (),
    )


def _free(mentor: Mentor, case: Case, window: Interval) -> list[Interval]:
    """Give when a session with the mentor may take place, so that their pause after it is free as well."""
    pause = timedelta(minutes=mentor.buffer_minutes)
    busy = [(start - pause, end) for start, end in mentor.busy]
    return availability.free(mentor.hours, [*busy, *_quiet(mentor, case, window)], window)


def _quiet(mentor: Mentor, case: Case, window: Interval) -> list[Interval]:
    if mentor.quiet is None or case.priority in mentor.opt_ins:
        return []
    start, end = mentor.quiet
    stretches = [(start, end)] if start < end else [(0, end), (start, MINUTES_A_DAY)]
    weekly = tuple(Weekly(day, low, high) for day in range(7) for low, high in stretches if low < high)
    return availability.free(Hours(mentor.zone, weekly), (), window)


def _attends(case: Case, window: Interval) -> list[Interval] | None:
    """Give when the clinician can attend; None if they gave no windows, as then nothing of their days is shown."""
    if not case.windows:
        return None
    pause = timedelta(minutes=case.buffer_minutes)
    busy = [(start - pause, end) for start, end in case.busy]
    return intervals.subtract(intervals.clip(intervals.merge(case.windows), window), busy)
