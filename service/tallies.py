"""The counts that reports are made of: SQL over consultations, offers, sessions and answers of one scope and period.

Read-only; it knows no figures (`rules.figures` does), and no visibility (`reports` does).
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables
from service.rules import counts
from service.rules.intervals import Interval
from service.work import Work

_WEEK = timedelta(days=7)
_DAY = timedelta(days=1)
_TIMES = frozenset({"allocation", "answer", "closing"})
_ROOM = sa.text("SELECT set_config('work_mem', '64MB', true)")  # a year's rows are sorted in memory, not on disk


@dataclass(frozen=True, slots=True)
class Scope:
    """Which consultations `c`, offers `o`, sessions `s` and memoranda `m` belong to the subject `:id`."""

    kind: str
    consultations: str
    offers: str
    sessions: str
    memoranda: str


MEMORANDUM = Scope(
    "memorandum",
    "c.id IN (SELECT consultation_id FROM offer WHERE memorandum_id = :id)",
    "o.memorandum_id = :id",
    "s.memorandum_id = :id",
    "m.id = :id",
)
PROGRAMME = Scope(
    "programme",
    "c.programme_id = :id",
    "o.memorandum_id IN (SELECT id FROM memorandum WHERE programme_id = :id)",
    "s.programme_id = :id",
    "m.programme_id = :id",
)
INSTITUTION = Scope(
    "institution",
    "(c.institution_id = :id OR c.id IN (SELECT consultation_id FROM offer WHERE institution_id = :id))"
    " AND (:is_everywhere OR c.programme_id = ANY(:programmes))",
    "(o.institution_id = :id OR o.consultation_id IN (SELECT id FROM consultation WHERE institution_id = :id))"
    " AND (:is_everywhere OR o.memorandum_id IN (SELECT id FROM memorandum WHERE programme_id = ANY(:programmes)))",
    "(s.partner_institution_id = :id OR s.requesting_institution_id = :id)"
    " AND (:is_everywhere OR s.programme_id = ANY(:programmes))",
    "m.id IN (SELECT memorandum_id FROM memorandum_party WHERE institution_id = :id)"
    " AND (:is_everywhere OR m.programme_id = ANY(:programmes))",
)

_ASKED = """
WITH cohort AS (
  SELECT c.id, priority, state, opened_at, answer_due_at, closed_at FROM consultation c
  WHERE {consultations} AND opened_at >= :from_at AND opened_at < :until_at
),
offered AS (
  SELECT consultation_id, max(wave) > 1 AS needs_backup,
         min(CASE WHEN o.state <> 'accepted' THEN NULL WHEN counter_starts = '{{}}' THEN answered_at
             ELSE greatest(answered_at, (SELECT a.created_at FROM appointment a
                                         JOIN participant p ON p.appointment_id = a.id
                                         WHERE a.consultation_id = o.consultation_id AND p.offer_id = o.id)) END
         ) AS allocated_at,
         bool_or(wave = 1) AND NOT bool_or(wave = 1 AND o.state IN ('pending', 'countered')) AS first_over,
         bool_or(wave = 1 AND o.state = 'accepted') AS first_accepted
  FROM offer o JOIN cohort ON cohort.id = consultation_id GROUP BY consultation_id
),
answered AS (
  SELECT consultation_id, min(CASE mode WHEN 'written' THEN ended_at ELSE started_at END) AS answered_at
  FROM session s JOIN cohort ON cohort.id = consultation_id
  WHERE NOT is_corrected AND outcome NOT IN ('no_show_mentor', 'no_show_clinician', 'cancelled_late')
  GROUP BY consultation_id
),
timed AS (
  SELECT cohort.*, offered.*, answered_at,
         date_part('epoch', allocated_at - opened_at) / 3600 AS allocation,
         date_part('epoch', answered_at - opened_at) / 3600 AS answer,
         CASE state WHEN 'completed' THEN date_part('epoch', closed_at - opened_at) / 3600 END AS closing,
         allocated_at IS NOT NULL OR (answer_due_at <= :now AND state <> 'cancelled') AS allocation_decided,
         answered_at IS NOT NULL OR (answer_due_at <= :now AND state <> 'cancelled') AS answer_decided,
         answered_at IS NOT NULL OR (opened_at <= :day_ago AND state <> 'cancelled') AS day_decided
  FROM cohort LEFT JOIN offered ON offered.consultation_id = cohort.id
  LEFT JOIN answered ON answered.consultation_id = cohort.id
)
SELECT priority, count(*) AS filed,
       count(*) FILTER (WHERE state = 'completed') AS completed,
       count(*) FILTER (WHERE state = 'unmatched') AS unmatched,
       count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
       count(*) FILTER (WHERE state = 'expired') AS expired,
       count(*) FILTER (WHERE allocation_decided) AS allocation_decided,
       count(*) FILTER (WHERE allocated_at <= answer_due_at) AS allocated_in_time,
       count(*) FILTER (WHERE answer_decided) AS answer_decided,
       count(*) FILTER (WHERE answered_at <= answer_due_at) AS answered_in_time,
       count(*) FILTER (WHERE day_decided) AS day_decided,
       count(*) FILTER (WHERE answer <= 24) AS answered_within_day,
       count(*) FILTER (WHERE first_over) AS first_wave_over,
       count(*) FILTER (WHERE first_over AND first_accepted) AS first_wave_accepted,
       count(*) FILTER (WHERE needs_backup) AS needing_backup,
       count(consultation_id) AS with_offers,
       array_agg(allocation) FILTER (WHERE allocation IS NOT NULL) AS allocation,
       array_agg(answer) FILTER (WHERE answer IS NOT NULL) AS answer,
       array_agg(closing) FILTER (WHERE closing IS NOT NULL) AS closing
FROM timed GROUP BY priority
"""

_OFFERS = """
WITH weekly AS (
  SELECT mentor_id, floor(date_part('epoch', sent_at - CAST(:from_at AS timestamptz)) / 604800) AS week,
         count(*) AS sent,
         count(*) FILTER (WHERE state = 'accepted') AS accepted,
         count(*) FILTER (WHERE state = 'declined') AS declined,
         count(*) FILTER (WHERE decline_reason = 'wrong_specialty') AS wrong_specialty
  FROM offer o WHERE {offers} AND sent_at >= :from_at AND sent_at < :until_at GROUP BY 1, 2
),
asked AS (
  SELECT mentor_id, sum(sent) AS sent, sum(accepted) AS accepted, sum(declined) AS declined,
         sum(wrong_specialty) AS wrong_specialty, max(sent) AS most_in_week
  FROM weekly GROUP BY mentor_id
)
SELECT coalesce(sum(sent), 0)::int AS sent, coalesce(sum(accepted), 0)::int AS accepted,
       coalesce(sum(declined), 0)::int AS declined, coalesce(sum(wrong_specialty), 0)::int AS wrong_specialty,
       count(*) AS mentors, coalesce(max(most_in_week), 0) AS most_in_week,
       coalesce(array_agg(mentor_id), '{{}}') AS mentor_ids
FROM asked
"""

_HAPPENED = """
SELECT mode, outcome, route, is_civil_for_requester, is_civil_for_mentor, mentor_id, specialty_code,
       partner_institution_id, requesting_institution_id, count(*) AS sessions, sum(minutes)::int AS minutes
FROM session s WHERE {sessions} AND NOT is_corrected AND started_at >= :from_at AND started_at < :until_at
GROUP BY GROUPING SETS ((mode, outcome, route, is_civil_for_requester, is_civil_for_mentor),
                        (mentor_id, partner_institution_id), (specialty_code), (requesting_institution_id))
"""

_ANSWERS = """
SELECT side, is_useful, patient_outcome, count(*) AS answers FROM feedback f JOIN session s ON s.id = f.session_id
WHERE {sessions} AND started_at >= :from_at AND started_at < :until_at GROUP BY 1, 2, 3
"""

_MEMORANDA = """
SELECT m.status, coalesce(m.valid_from, m.signed_on) AS first_on,
       (SELECT max(started_at) FROM session s WHERE s.memorandum_id = m.id AND NOT is_corrected) AS last_at
FROM memorandum m WHERE {memoranda}
"""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a report says of one memorandum: its first day as far as it is known, and when it was last used."""

    status: str
    first_on: date | None
    last_at: datetime | None


def values(subject_id: UUID, programmes: Collection[UUID] | None = None) -> dict[str, Any]:
    """Give what the statements of a scope need; None for the programmes means all of them."""
    return {"id": subject_id, "is_everywhere": programmes is None, "programmes": sorted(programmes or ())}


async def agreed(w: Work, scope: Scope, subject: Mapping[str, Any]) -> list[Agreed]:
    """List the memoranda of the scope."""
    rows = await _run(w, _MEMORANDA, scope, subject)
    return [Agreed(row.status, row.first_on, row.last_at) for row in rows]


async def numbers(w: Work, scope: Scope, subject: Mapping[str, Any], during: Interval) -> counts.Numbers:
    """Count what was opened, sent and held in the period, as things stand now."""
    bound = {**subject, "from_at": during[0], "until_at": during[1], "now": w.now, "day_ago": w.now - _DAY}
    await w.sql(_ROOM)
    asked = {row.priority: row._asdict() for row in await _run(w, _ASKED, scope, bound)}
    offers = (await _run(w, _OFFERS, scope, bound)).one()._asdict()
    mentors = dict.fromkeys(offers.pop("mentor_ids"), 0)
    happened = (await _run(w, _HAPPENED, scope, bound)).all()
    partners: dict[UUID, int] = {}
    for row in happened:
        if row.mentor_id:
            mentors[row.mentor_id] = mentors.get(row.mentor_id, 0) + row.minutes
            partners[row.partner_institution_id] = partners.get(row.partner_institution_id, 0) + row.sessions
    requesters = {row.requesting_institution_id: row.sessions for row in happened if row.requesting_institution_id}
    places = await _places(w, {*partners, *requesters})
    answers = (await _run(w, _ANSWERS, scope, bound)).all()
    passed = min(during[1], w.now) - during[0]
    return counts.Numbers(
        asked={key: _asked([asked[key]]) for key in tables.care.PRIORITIES if key in asked},
        everybody=_asked(list(asked.values())),
        offers=counts.Offers(**offers, weeks=max(1.0, passed / _WEEK)),
        happened=[_happened(row) for row in happened if row.outcome],
        answers=[counts.Answer(row.side, row.is_useful, row.patient_outcome, row.answers) for row in answers],
        mentor_minutes=list(mentors.values()),
        areas={row.specialty_code: row.sessions for row in happened if row.specialty_code},
        partner_countries=_summed(partners, {key: place.country for key, place in places.items()}),
        requesting_regions=_summed(requesters, {key: place.region or place.country for key, place in places.items()}),
    )


async def _run(w: Work, statement: str, scope: Scope, bound: Mapping[str, object]) -> sa.Result[Any]:
    # What is put in are the fragments of the scope, never input.
    text = sa.text(
        statement.format(
            consultations=scope.consultations, offers=scope.offers, sessions=scope.sessions, memoranda=scope.memoranda
        )
    )
    if ":programmes" in text.text:
        text = text.bindparams(sa.bindparam("programmes", type_=ARRAY(PG_UUID(as_uuid=True))))
    return await w.sql(text, bound)


def _asked(rows: Sequence[Mapping[str, Any]]) -> counts.Asked:
    """Put the priorities' counts and times together."""
    found: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(counts.Asked)):
        values = [row[name] for row in rows]
        if name in _TIMES:
            found[name] = counts.spread([hours for each in values for hours in each or ()])
        else:
            found[name] = sum(values)
    return counts.Asked(**found)


def _happened(row: sa.Row[Any]) -> counts.Happened:
    return counts.Happened(
        row.mode,
        row.outcome,
        row.route,
        row.is_civil_for_requester,
        row.is_civil_for_mentor,
        row.sessions,
        row.minutes,
    )


async def _places(w: Work, institution_ids: set[UUID]) -> dict[UUID, Any]:
    place = tables.Institution
    rows = await w.sql(
        sa.select(col(place.id), col(place.country), col(place.region)).where(col(place.id).in_(institution_ids))
    )
    return {row.id: row for row in rows}


def _summed(sessions: Mapping[UUID, int], places: Mapping[UUID, str | None]) -> dict[str, int]:
    summed: dict[str, int] = {}
    for institution_id, count in sessions.items():
        key = places[institution_id] or "unknown"
        summed[key] = summed.get(key, 0) + count
    return summed
