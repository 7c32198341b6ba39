"""Mentors who could have been asked in a period: those over whom a report says how evenly the minutes are spread.

Whoever gave nothing because nobody asked them is a part of that answer. Read-only; profiles are as they are now, since
what they were is not kept, memoranda as of their dates.
"""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from service.kernel.work import Work
from service.reporting import count_queries
from service.rules.time.intervals import Interval

# A memorandum covers a specialty by its areas and all that lie below; without areas, all. `reached` are the places
# whose mentors it lets answer: its partners, and the members of those that are networks.
WITH_ASKABLE = """
WITH RECURSIVE below AS (
  SELECT code AS area, code FROM specialty
  UNION
  SELECT below.area, child.code
  FROM below
  JOIN (SELECT code, parent_code FROM specialty UNION ALL SELECT code, also_parent_code FROM specialty_parent)
    AS child ON child.parent_code = below.code
),
reached AS (
  SELECT DISTINCT m.id AS memorandum_id, place.institution_id
  FROM memorandum m
  JOIN memorandum_party p ON p.memorandum_id = m.id AND p.side = 'partner'
  CROSS JOIN LATERAL (
    SELECT p.institution_id
    UNION ALL
    SELECT s.institution_id FROM membership s
    WHERE s.network_id = p.institution_id AND s.from_on < :until_on AND (s.until_on IS NULL OR s.until_on > :from_on)
  ) AS place
  WHERE {linking} AND m.status <> 'draft' AND m.status <> 'signed'
  AND (m.valid_from IS NULL OR m.valid_from < :until_on) AND (m.valid_until IS NULL OR m.valid_until > :from_on)
),
askable AS (
  SELECT DISTINCT mp.person_id, mp.institution_id
  FROM reached r
  JOIN mentor_profile mp ON mp.institution_id = r.institution_id
  JOIN person ON person.id = mp.person_id AND person.state = 'active' AND person.address_unconfirmed_since IS NULL
  WHERE mp.created_at < :till AND mp.verified_until > :since AND mp.sessions_per_week > 0 AND mp.offers_per_week > 0
  AND EXISTS (
    SELECT FROM mentor_specialty own WHERE own.person_id = mp.person_id AND (
      NOT EXISTS (SELECT FROM memorandum_area a WHERE a.memorandum_id = r.memorandum_id)
      OR EXISTS (SELECT FROM memorandum_area a JOIN below ON below.area = a.specialty_code
                 WHERE a.memorandum_id = r.memorandum_id AND below.code = own.specialty_code)))
)
"""

# All ids as one value: a programme may have ten thousand mentors, and each row of its own takes time.
_IDS = WITH_ASKABLE + "SELECT coalesce(string_agg(uuid_send(person_id), ''), '') AS ids FROM askable"  # noqa: S608 - our own words
_ID_BYTES = 16
_ROWS_TOO = """, asked AS (
  SELECT DISTINCT mentor_id AS person_id FROM offer o
  WHERE {offers} AND sent_at >= :since AND sent_at < :till AND NOT is_undelivered
),
gave AS (
  SELECT mentor_id AS person_id, sum(minutes)::int AS minutes FROM session s
  WHERE {sessions} AND NOT is_corrected AND started_at >= :since AND started_at < :till GROUP BY 1
)
SELECT v.id, v.institution_id, v.could_be_asked, v.was_asked, v.minutes
FROM (
  SELECT person_id AS id, mp.institution_id, askable.person_id IS NOT NULL AS could_be_asked,
         asked.person_id IS NOT NULL AS was_asked, coalesce(minutes, 0) AS minutes
  FROM askable FULL JOIN asked USING (person_id) FULL JOIN gave USING (person_id)
  LEFT JOIN mentor_profile mp USING (person_id)
) v WHERE true"""
ROWS = WITH_ASKABLE + _ROWS_TOO
"""All over whom minutes are spread, as `v`: those who could have been asked, who were, and who gave some."""


async def ids(
    w: Work, scope: count_queries.Scope, subject: Mapping[str, Any], days: tuple[date, date], during: Interval
) -> Collection[bytes]:
    """Give those whom the scope's memoranda let answer something in the period: verified, active, not capped at none.

    Each is an id packed into bytes, once.
    """
    ((packed,),) = await count_queries.run(w, _IDS, scope, {**subject, **period(days, during)})
    return [packed[at : at + _ID_BYTES] for at in range(0, len(packed), _ID_BYTES)]


def period(days: tuple[date, date], during: Interval) -> dict[str, object]:
    """Give the period as `WITH_ASKABLE` reads it."""
    return {"from_on": days[0], "until_on": days[1], "since": during[0], "till": during[1]}
