"""The consultation journal of an institution: one row a logged session or written advice, without case text."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from service import tables
from service.kernel import access, errors
from service.kernel.work import Work
from service.reporting import count_queries
from service.rules.time import availability
from service.rules.time.intervals import Interval

_OF_PERIOD = "session s WHERE {sessions} AND NOT is_corrected AND started_at >= :since AND started_at < :till"
_ROWS = f"""
SELECT s.id AS session_id, s.consultation_id, s.started_at, s.ended_at, s.minutes, s.mode, s.priority, s.outcome,
  CASE WHEN s.requesting_institution_id = :id THEN 'requesting' ELSE 'partner' END AS side,
  s.specialty_code AS specialty, specialty.name_uk AS specialty_uk, specialty.name_en AS specialty_en,
  c.opened_at AS filed_at, c.age_band, c.department,
  coalesce(asking.name, asking.name_en) AS requesting_institution_uk,
  coalesce(asking.name_en, asking.name) AS requesting_institution_en,
  coalesce(partner.name, partner.name_en) AS partner_institution_uk,
  coalesce(partner.name_en, partner.name) AS partner_institution_en,
  partner.country AS partner_country, clinician.display_name AS clinician, mentor.display_name AS mentor,
  coalesce(memorandum.code, CAST(memorandum.id AS text)) AS memorandum
FROM (SELECT * FROM {_OF_PERIOD} AND (started_at, s.id) > (:after_at, :after_id)
      ORDER BY started_at, s.id LIMIT :limit) s
JOIN consultation c ON c.id = s.consultation_id
JOIN specialty ON specialty.code = s.specialty_code
JOIN institution asking ON asking.id = s.requesting_institution_id
JOIN institution partner ON partner.id = s.partner_institution_id
JOIN person clinician ON clinician.id = s.clinician_id
JOIN person mentor ON mentor.id = s.mentor_id
JOIN memorandum ON memorandum.id = s.memorandum_id
ORDER BY s.started_at, s.id
"""  # noqa: S608 - put together from constants
_BEFORE = f"SELECT count(*) FROM {_OF_PERIOD} AND (started_at, s.id) <= (:after_at, :after_id)"  # noqa: S608 - as above

Row = dict[str, Any]
After = tuple[datetime, UUID]
"""The last row that was read: its start and its session."""


@dataclass(frozen=True, slots=True)
class Journal:
    """An institution's journal: its days in `zone`, and the reader's language."""

    institution: tables.Institution
    from_on: date
    until_on: date
    zone: str
    locale: str | None
    subject: dict[str, Any]

    @property
    def during(self) -> Interval:
        """Give the days as instants."""
        return availability.day_start(self.from_on, self.zone), availability.day_start(self.until_on, self.zone)


async def read(w: Work, institution_id: UUID, from_on: date | None, until_on: date | None, zone: str | None) -> Journal:
    """Open the journal for the institution's coordinators, and for an admin with the rows of their programmes only.

    Without dates it is that of this year until tomorrow; without a zone, the institution's.
    """
    row = await access.visible_institution(w, institution_id)
    programmes: frozenset[UUID] | None = None
    if row.id not in w.actor.institutions("coordinator") and not w.actor.is_timer:
        programmes = w.actor.programmes("programme_admin")
        access.requires_admin(w)
    zone = zone or row.zone or "UTC"
    until_on = until_on or date.fromordinal(availability.local_date(w.now, zone).toordinal() + 1)
    from_on = from_on or date(availability.local_date(w.now, zone).year, 1, 1)
    if from_on >= until_on:
        raise errors.Invalid("/query/until", "must be later than from: it is the first day not counted")
    reader = await w.find(tables.Person, w.actor.person_id) if w.actor.person_id else None
    locale = reader.locale if reader else None
    return Journal(row, from_on, until_on, zone, locale, count_queries.values(row.id, programmes))


async def rows(w: Work, journal: Journal, *, after: After | None, limit: int) -> list[Row]:
    """Give rows in the order of their start, one more than `limit`, each with its number in the period."""
    since, till = journal.during
    last = after or (since, UUID(int=0))
    bound = {**journal.subject, "since": since, "till": till, "after_at": last[0], "after_id": last[1]}
    ((before,),) = await count_queries.run(w, _BEFORE, count_queries.INSTITUTION, bound) if after else ((0,),)
    entries = await count_queries.run(w, _ROWS, count_queries.INSTITUTION, bound | {"limit": limit + 1})
    return [row._asdict() | {"number": number} for number, row in enumerate(entries, before + 1)]
