"""The rows behind a report's figures, so that anybody may count them again: ids, codes, times and counts only."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from service.kernel.work import Work
from service.reporting import askable_mentors, count_queries
from service.rules.time import periods
from service.rules.time.intervals import Interval

_STATEMENTS = {
    "consultations": """
SELECT c.id, c.priority, c.state, c.mode, c.specialty_code, c.institution_id, c.opened_at, c.answer_due_at, c.closed_at,
  (SELECT max(wave) FROM offer o WHERE o.consultation_id = c.id) AS waves,
  (SELECT min(CASE WHEN counter_starts = '{{}}' THEN answered_at
              ELSE greatest(answered_at, (SELECT a.created_at FROM appointment a
                                          JOIN participant p ON p.appointment_id = a.id
                                          WHERE a.consultation_id = c.id AND p.offer_id = o.id)) END)
   FROM offer o WHERE o.consultation_id = c.id AND o.state = 'accepted') AS allocated_at,
  (SELECT min(CASE s.mode WHEN 'written' THEN s.ended_at ELSE s.started_at END) FROM session s
   WHERE s.consultation_id = c.id AND NOT s.is_corrected
   AND s.outcome NOT IN ('no_show_mentor', 'no_show_clinician', 'cancelled_late')) AS answered_at
FROM consultation c WHERE {consultations} AND opened_at >= :since AND opened_at < :till""",
    "offers": """
SELECT o.id, o.consultation_id, o.memorandum_id, o.institution_id, o.mentor_id, o.route,
  CASE WHEN o.is_late THEN 'late' ELSE o.state END AS state, o.wave, o.sent_at,
  o.answered_at, o.decline_reason, o.is_undelivered
FROM offer o WHERE {offers} AND sent_at >= :since AND sent_at < :till""",
    "sessions": """
SELECT s.id, s.consultation_id, s.memorandum_id, s.route, s.mode, s.specialty_code, s.priority,
  s.requesting_institution_id, s.partner_institution_id, s.mentor_id, s.started_at, s.ended_at, s.minutes, s.outcome,
  s.is_civil_for_requester, s.is_civil_for_mentor
FROM session s WHERE {sessions} AND NOT is_corrected AND started_at >= :since AND started_at < :till""",
    "answers": """
SELECT f.id, f.session_id, f.side, f.is_useful, f.patient_outcome FROM feedback f JOIN session s ON s.id = f.session_id
WHERE {sessions} AND started_at >= :since AND started_at < :till""",
    "memoranda": """
SELECT m.id, m.kind, m.status, m.signed_on, m.signed_precision, m.valid_from, m.valid_until,
  (SELECT max(s.started_at) FROM session s WHERE s.memorandum_id = m.id AND NOT s.is_corrected) AS last_at
FROM memorandum m WHERE {memoranda}""",
    "activities": """
SELECT a.id, a.memorandum_id, a.kind, a.on_date, a.period, a.from_on, a.until_on, a.days, a.people_op, a.people_count
FROM activity a WHERE {activities} AND NOT a.is_corrected""",
    "mentors": askable_mentors.ROWS,
}
_AFTER = " AND {letter}.id > :after ORDER BY {letter}.id"
_LETTERS = {
    "consultations": "c", "offers": "o", "sessions": "s", "answers": "f", "memoranda": "m", "activities": "a",
    "mentors": "v",
}  # fmt: skip
_FIRST = UUID(int=0)


async def rows(  # noqa: PLR0913 - what a report is of, and which page
    w: Work,
    scope: count_queries.Scope,
    subject: Mapping[str, Any],
    kind: str,
    during: Interval,
    days: tuple[date, date],
    *,
    after: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Give the rows of a kind that the report of this period counts, in the order of their ids, one more than `limit`.

    Activities are those that began in the period, and those of which nobody knows when.
    """
    bound = {**subject, **askable_mentors.period(days, during), "after": after or _FIRST}
    statement = _STATEMENTS[kind] + _AFTER.format(letter=_LETTERS[kind])
    if kind != "activities":
        statement += f" LIMIT {limit + 1}"
    rows = [row._asdict() for row in await count_queries.run(w, statement, scope, bound)]
    if kind == "activities":
        rows = [row for row in rows if _began_in(row, days)][: limit + 1]
    return rows


def _began_in(row: Mapping[str, Any], days: tuple[date, date]) -> bool:
    began_on = periods.first_day(row["on_date"], row["period"], row["from_on"], row["until_on"])
    return began_on is None or days[0] <= began_on < days[1]
