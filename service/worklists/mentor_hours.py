"""What a mentor's page of hours shows: the week, the absences, what an absence lies over, what a week would offer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service import tables, vocabulary
from service.kernel import access
from service.kernel.work import Work
from service.people import mentors
from service.rules.matching import score
from service.rules.time import availability
from service.rules.time.availability import Hours
from service.rules.time.intervals import Interval

MOST = 50
USUAL_MINUTES = 30
_LONGEST = timedelta(hours=8)
"""No appointment lasts longer (`Seat`)."""


@dataclass(frozen=True, slots=True)
class MentorHours:
    """A mentor's own hours and limits, as they are stored; `requesting_zone` is that of whoever asks them."""

    row: tables.MentorProfile
    person: tables.Person
    hours: Hours
    requesting_zone: str | None

    @property
    def zone(self) -> str:
        """The zone by whose clock the hours are."""
        return self.hours.zone


@dataclass(frozen=True, slots=True)
class Call:
    """A booked or held time in an absence."""

    consultation_id: UUID
    starts_at: datetime
    ends_at: datetime
    name_en: str
    name_uk: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """An offer that waits for an answer, or a promise of advice, until `due_at`."""

    id: UUID
    consultation_id: UUID
    due_at: datetime
    name_en: str
    name_uk: str


@dataclass(frozen=True, slots=True)
class Covered:
    """What an absence lies over, and nothing does by itself: it stays as it is until the mentor does something."""

    calls: Sequence[Call]
    offers: Sequence[Waiting]  # whose answer is due in it, or a time of which lies in it
    advice: Sequence[Waiting]

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self.calls or self.offers or self.advice)


@dataclass(frozen=True, slots=True)
class OfferedDay:
    """What one day of a week would offer: the first and the last start."""

    on: date
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class OfferedWeek:
    """What a week would offer; civil hours are those of the reports, on both clocks if the other one is known."""

    count: int
    civil: int
    days: Sequence[OfferedDay]


async def own(w: Work) -> MentorHours:
    """Give the hours of the actor; raises NotFound if they are no mentor."""
    row = await access.visible_mentor(w, w.actor.person_id or UUID(int=0))
    zones = await w.fetch(_ZONES, {"institution": row.institution_id})
    return MentorHours(
        row, await w.read(tables.Person, row.person_id), await mentors.hours(w, row), zones[0].zone if zones else None
    )


_ZONES = sa.text("""
SELECT zone FROM programme WHERE id IN (
  SELECT m.programme_id FROM memorandum_party p JOIN memorandum m ON m.id = p.memorandum_id
  WHERE m.status = 'active' AND (p.institution_id = :institution OR p.institution_id IN (
    SELECT network_id FROM membership WHERE institution_id = :institution))
) ORDER BY id LIMIT 1
""")


async def covered(w: Work, span: Interval) -> Covered:
    """Give what an absence of the actor would lie over."""
    values = {"me": w.actor.person_id, "since": span[0], "until": span[1], "most": MOST}
    live = {"live": list(vocabulary.LIVE_APPOINTMENT), "begun": span[0] - _LONGEST}
    return Covered(
        [Call(*row) for row in await w.fetch(_CALLS, values | live)],
        [Waiting(*row) for row in await w.fetch(_OFFERS, values | {"now": w.now})],
        [Waiting(*row) for row in await w.fetch(_ADVICE, values)],
    )


_CALLS = sa.text("""
SELECT a.consultation_id, a.starts_at, a.ends_at, s.name_en, s.name_uk
FROM participant mine
CROSS JOIN LATERAL (
  SELECT * FROM appointment WHERE id = mine.appointment_id AND status = ANY(:live) AND ends_at > :since OFFSET 0
) a
JOIN consultation c ON c.id = a.consultation_id JOIN specialty s ON s.code = c.specialty_code
WHERE mine.person_id = :me AND mine.starts_at > :begun AND mine.starts_at < :until
ORDER BY a.starts_at, a.id LIMIT :most
""")
_OFFERS = sa.text("""
SELECT o.id, o.consultation_id, o.answer_by, s.name_en, s.name_uk
FROM offer o JOIN consultation c ON c.id = o.consultation_id JOIN specialty s ON s.code = c.specialty_code
WHERE o.mentor_id = :me AND o.state IN ('pending', 'countered') AND (o.state = 'countered' OR o.answer_by > :now)
AND (o.answer_by >= :since AND o.answer_by < :until
     OR EXISTS (SELECT FROM unnest(o.starts || o.counter_starts) AS t (at) WHERE at >= :since AND at < :until))
ORDER BY o.answer_by, o.id LIMIT :most
""")
_ADVICE = sa.text("""
SELECT o.id, o.consultation_id, c.advice_due_at, s.name_en, s.name_uk
FROM consultation c JOIN offer o ON o.consultation_id = c.id JOIN specialty s ON s.code = c.specialty_code
WHERE c.state = 'scheduled' AND c.advice_due_at >= :since AND c.advice_due_at < :until
AND o.mentor_id = :me AND o.state = 'accepted' AND o.ended_at IS NULL
ORDER BY c.advice_due_at, o.id LIMIT :most
""")


async def next_week(
    w: Work, hours: MentorHours, weekly: Sequence[availability.Weekly], fields: Mapping[str, Any]
) -> OfferedWeek:
    """Give what the calendar week after this one would offer with this ordinary week and these limits.

    The absences and extra hours that are stored count, and what is booked; nothing is stored. Raises Invalid.
    """
    during = availability.week_bounds(availability.iso_week(w.now + timedelta(days=7), hours.zone), hours.zone)
    new_hours = replace(hours.hours, weekly=tuple(weekly))
    slots = await mentors.preview(w, hours.row, new_hours, fields, during, USUAL_MINUTES)
    clocks = [hours.person.zone, *([hours.requesting_zone] if hours.requesting_zone else [])]
    by_day: dict[date, list[datetime]] = {}
    for slot in slots:
        by_day.setdefault(availability.local_date(slot.starts_at, hours.person.zone), []).append(slot.starts_at)
    return OfferedWeek(
        len(slots),
        sum(all(score.is_civil(slot.starts_at, zone) for zone in clocks) for slot in slots),
        [OfferedDay(day, starts[0], starts[-1]) for day, starts in by_day.items()],
    )
