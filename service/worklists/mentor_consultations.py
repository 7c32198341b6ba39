"""What a mentor took on, newest first, each with what became of it; and how much that was this year."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from service import vocabulary
from service.kernel.work import Work
from service.rules.time import availability

MOST = 50
_LONGEST_CASE = timedelta(days=180)
"""From an offer until its session is logged, at most."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One consultation that the mentor took: when it is or was, what came of it, what the clinician answered.

    No case text. `session_id` and what follows it are None until a session is logged; `is_useful` and
    `patient_outcome` until the requesting side has answered.
    """

    offer_id: UUID
    consultation_id: UUID
    number: str
    state: str
    is_over: bool  # the mentor handed it back, was replaced, or it was called off
    name_en: str
    name_uk: str
    hospital: str | None
    hospital_en: str | None
    starts_at: datetime | None
    advice_due_at: datetime | None
    session_id: UUID | None
    started_at: datetime | None
    minutes: int | None
    outcome: str | None
    is_useful: bool | None
    patient_outcome: str | None

    @property
    def is_certified(self) -> bool:
        """Tell whether a certificate says that it took place."""
        return self.outcome is not None and self.outcome not in vocabulary.NOT_HELD


@dataclass(frozen=True, slots=True)
class Given:
    """How much a mentor has given since the first of January by their own clock."""

    year: int
    sessions: int
    minutes: int
    answered: int  # the clinician said what became of it


async def page(w: Work, *, before: UUID | None) -> Sequence[Taken]:
    """Give what the actor took, newest offer first, from those before `before`; one more than MOST if others follow."""
    values = {"me": w.actor.person_id, "before": before or UUID(int=2**128 - 1), "most": MOST + 1}
    return [Taken(*row) for row in await w.fetch(_TAKEN, values)]


async def this_year(w: Work, zone: str) -> Given:
    """Give how much the actor has given this year."""
    year = availability.local_date(w.now, zone).year
    since = availability.day_start(date(year, 1, 1), zone)
    values = {"me": w.actor.person_id, "since": since, "asked_since": since - _LONGEST_CASE}
    (row,) = await w.fetch(_GIVEN, values | {"missed": list(vocabulary.NOT_HELD)})
    return Given(year, row.sessions, row.minutes, row.answered)


_ANSWER = """
LEFT JOIN LATERAL (
  SELECT f.is_useful, f.patient_outcome FROM session e JOIN feedback f ON f.session_id = e.id AND f.side = 'requesting'
  WHERE e.consultation_id = s.consultation_id AND e.appointment_id IS NOT DISTINCT FROM s.appointment_id LIMIT 1
) f ON true
"""
_TAKEN = sa.text(f"""
SELECT o.id, o.consultation_id, c.number, c.state, o.ended_at IS NOT NULL, y.name_en, y.name_uk, i.name, i.name_en,
       a.starts_at, CASE WHEN c.state = 'scheduled' THEN c.advice_due_at END,
       s.id, s.started_at, s.minutes, s.outcome, f.is_useful, f.patient_outcome
FROM offer o JOIN consultation c ON c.id = o.consultation_id JOIN specialty y ON y.code = c.specialty_code
JOIN institution i ON i.id = c.institution_id
LEFT JOIN LATERAL (
  SELECT a.starts_at FROM appointment a JOIN participant p ON p.appointment_id = a.id
  WHERE a.consultation_id = o.consultation_id AND p.person_id = o.mentor_id ORDER BY a.id DESC LIMIT 1
) a ON true
LEFT JOIN LATERAL (
  SELECT * FROM session s WHERE s.consultation_id = o.consultation_id AND s.mentor_id = o.mentor_id
  AND NOT s.is_corrected ORDER BY s.started_at DESC, s.id DESC LIMIT 1
) s ON true
{_ANSWER}
WHERE o.mentor_id = :me AND o.state = 'accepted' AND o.id < :before
ORDER BY o.id DESC LIMIT :most
""")  # noqa: S608 - the text above
_GIVEN = sa.text(f"""
SELECT count(*) AS sessions, coalesce(sum(s.minutes), 0) AS minutes, count(f.is_useful) AS answered
FROM session s {_ANSWER}
WHERE s.mentor_id = :me AND NOT s.is_corrected AND s.outcome <> ALL(:missed) AND s.started_at >= :since
AND s.consultation_id IN (
  SELECT consultation_id FROM offer WHERE mentor_id = :me AND state = 'accepted' AND sent_at >= :asked_since
)
""")  # noqa: S608 - the text above
