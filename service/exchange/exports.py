"""Everything in rows for files, in the words of the API: no case text, no keys, nothing that signs anybody in.

`rows` gives what `imports` takes in again, in the same words. `records` gives what no import takes: the
consultations behind the sessions, and what proves the log. Each is in an order that is the same in every installation.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel.work import Work

_DAY_MINUTES = 1440

_OF_PROGRAMME = """
WITH involved AS (
  SELECT p.institution_id AS id FROM memorandum_party p JOIN memorandum m ON m.id = p.memorandum_id
  WHERE m.programme_id = :programme
  UNION SELECT i FROM session s, unnest(ARRAY[s.requesting_institution_id, s.partner_institution_id]) AS i
  WHERE s.programme_id = :programme
  UNION SELECT a.institution_id FROM activity_institution a JOIN activity ON activity.id = a.activity_id
  WHERE activity.programme_id = :programme
),
places AS (
  SELECT id FROM institution WHERE CAST(:programme AS uuid) IS NULL
  UNION SELECT id FROM involved
  UNION SELECT network_id FROM membership JOIN involved ON involved.id = membership.institution_id
  UNION SELECT institution_id FROM membership JOIN involved ON involved.id = membership.network_id
),
members AS (
  SELECT id FROM person WHERE CAST(:programme AS uuid) IS NULL
  UNION SELECT person_id FROM role_grant WHERE programme_id = :programme OR institution_id IN (SELECT id FROM places)
  UNION SELECT i FROM session s, unnest(s.participants || ARRAY[s.clinician_id, s.mentor_id]) AS i
  WHERE s.programme_id = :programme
)
"""
_ROWS: Mapping[str, str] = {
    "programmes": """
SELECT code, name, name_en, country, zone, policy, id FROM programme
WHERE CAST(:programme AS uuid) IS NULL OR id = :programme ORDER BY code""",
    "specialties": """
WITH RECURSIVE deep AS (
  SELECT code, 0 AS depth FROM specialty WHERE parent_code IS NULL
  UNION ALL SELECT s.code, depth + 1 FROM specialty s JOIN deep ON deep.code = s.parent_code
)
SELECT code, parent_code AS parent, name_en, name_uk, snomed_ct, is_bookable,
       ARRAY(SELECT also_parent_code FROM specialty_parent p WHERE p.code = s.code ORDER BY 1) AS also_parents
FROM specialty s JOIN deep USING (code) ORDER BY depth, code""",
    "institutions": """
SELECT i.*, ARRAY(SELECT (CAST(:days AS text[]))[d + 1] FROM unnest(working_weekdays) AS d ORDER BY d) AS weekdays
FROM institution i JOIN places USING (id) ORDER BY coalesce(code, CAST(id AS text))""",
    "memberships": """
SELECT coalesce(i.code, CAST(i.id AS text)) AS institution, coalesce(n.code, CAST(n.id AS text)) AS network,
       m.from_on AS "from", m.until_on AS until, m.id
FROM membership m JOIN institution i ON i.id = m.institution_id JOIN institution n ON n.id = m.network_id
JOIN places ON places.id = i.id JOIN places AS networks ON networks.id = n.id ORDER BY 1, 2, 3, m.id""",
    "memoranda": """
SELECT m.code, p.code AS programme, m.kind, m.status, m.signed_on AS signed_date, m.signed_precision, m.valid_from,
       m.valid_until, m.activities, m.budget_minutes, m.budget_per, m.source, m.note, m.id,
       (SELECT coalesce(r.code, CAST(r.id AS text)) FROM memorandum r WHERE r.id = m.renewed_by) AS renewed_by,
       ARRAY(SELECT specialty_code FROM memorandum_area a WHERE a.memorandum_id = m.id ORDER BY 1) AS areas,
       ARRAY(SELECT coalesce(i.code, CAST(i.id AS text)) FROM memorandum_party y
             JOIN institution i ON i.id = y.institution_id
             WHERE y.memorandum_id = m.id AND side = 'requesting' ORDER BY 1) AS requesting,
       ARRAY(SELECT coalesce(i.code, CAST(i.id AS text)) FROM memorandum_party y
             JOIN institution i ON i.id = y.institution_id
             WHERE y.memorandum_id = m.id AND side = 'partner' ORDER BY 1) AS partners
FROM memorandum m JOIN programme p ON p.id = m.programme_id
WHERE CAST(:programme AS uuid) IS NULL OR m.programme_id = :programme
ORDER BY m.renewed_by IS NOT NULL, coalesce(m.code, CAST(m.id AS text))""",
    "people": """
SELECT email, display_name, locale, zone, state, p.id,
       ARRAY(SELECT g.role || '@' || coalesce(i.code, q.code, CAST(i.id AS text)) || coalesce('/' || g.department, '')
             FROM role_grant g LEFT JOIN institution i ON i.id = g.institution_id
             LEFT JOIN programme q ON q.id = g.programme_id
             WHERE g.person_id = p.id
             AND (CAST(:programme AS uuid) IS NULL OR q.id = :programme OR i.id IN (SELECT id FROM places))
             ORDER BY 1) AS roles
FROM person p JOIN members USING (id) WHERE p.kind = 'person' ORDER BY lower(email)""",
    "mentors": """
SELECT email, at.institution, verified_until, sessions_per_week, offers_per_week, notice_minutes, buffer_minutes,
       treats_children, opt_ins, tags, quiet_from_minute, quiet_until_minute, availability_zone,
       ARRAY(SELECT specialty_code FROM mentor_specialty s WHERE s.person_id = m.person_id ORDER BY 1) AS specialties,
       ARRAY(SELECT code || ':' || level FROM person_language l
             WHERE l.person_id = m.person_id ORDER BY 1) AS languages,
       ARRAY(SELECT (CAST(:days AS text[]))[weekday + 1]
                    || to_char(make_interval(mins => from_minute), ' HH24:MI-')
                    || to_char(make_interval(mins => until_minute), 'HH24:MI')
             FROM weekly_hours h WHERE h.person_id = m.person_id ORDER BY weekday, from_minute) AS weekly,
       ARRAY(SELECT kind || to_char(from_wall, ' YYYY-MM-DD"T"HH24:MI/') || to_char(until_wall, 'YYYY-MM-DD"T"HH24:MI')
             FROM availability_exception e WHERE e.person_id = m.person_id ORDER BY from_wall, id) AS exceptions
FROM mentor_profile m JOIN person p ON p.id = m.person_id JOIN members ON members.id = p.id
JOIN LATERAL (SELECT coalesce(i.code, CAST(i.id AS text)) AS institution
              FROM role_grant g JOIN institution i ON i.id = g.institution_id JOIN places ON places.id = i.id
              WHERE g.person_id = p.id AND g.role = 'mentor'
              ORDER BY i.id <> m.institution_id, i.id LIMIT 1) at ON true
ORDER BY lower(email)""",
    "sessions": """
SELECT coalesce(m.code, CAST(m.id AS text)) AS memorandum, c.email AS clinician, t.email AS mentor,
       ARRAY(SELECT email FROM person WHERE id = ANY(s.participants) ORDER BY lower(email)) AS participants,
       coalesce(r.code, CAST(r.id AS text)) AS requesting_institution,
       coalesce(q.code, CAST(q.id AS text)) AS partner_institution,
       s.specialty_code AS specialty, s.priority, s.mode, age_band, started_at, ended_at, minutes, outcome, s.route,
       is_memorandum_chosen_anew, is_civil_for_requester, is_civil_for_mentor, consultation_id, e.corrects, s.id
FROM session s JOIN log_entry e ON e.id = s.id JOIN memorandum m ON m.id = s.memorandum_id
JOIN consultation ON consultation.id = s.consultation_id
JOIN person c ON c.id = s.clinician_id JOIN person t ON t.id = s.mentor_id
JOIN institution r ON r.id = s.requesting_institution_id JOIN institution q ON q.id = s.partner_institution_id
WHERE CAST(:programme AS uuid) IS NULL OR s.programme_id = :programme
ORDER BY coalesce(m.code, CAST(m.id AS text)), e.position""",
    "activities": """
SELECT a.code, p.code AS programme, a.kind, published_kind, on_date AS "on", period, from_on AS "from",
       until_on AS until, days, people_op, people_count, a.source, a.corrects, a.id, a.note AS sealed_note,
       (SELECT coalesce(m.code, CAST(m.id AS text)) FROM memorandum m WHERE m.id = a.memorandum_id) AS memorandum,
       ARRAY(SELECT specialty_code FROM activity_specialty s WHERE s.activity_id = a.id ORDER BY 1) AS specialties,
       ARRAY(SELECT coalesce(i.code, CAST(i.id AS text)) FROM activity_institution x
             JOIN institution i ON i.id = x.institution_id
             WHERE x.activity_id = a.id AND direction = 'from' ORDER BY 1) AS from_institutions,
       ARRAY(SELECT coalesce(i.code, CAST(i.id AS text)) FROM activity_institution x
             JOIN institution i ON i.id = x.institution_id
             WHERE x.activity_id = a.id AND direction = 'to' ORDER BY 1) AS to_institutions
FROM activity a JOIN programme p ON p.id = a.programme_id LEFT JOIN log_entry e ON e.id = a.id
WHERE CAST(:programme AS uuid) IS NULL OR a.programme_id = :programme
ORDER BY p.code, memorandum NULLS FIRST, e.position, a.id""",
}
KINDS = tuple(_ROWS)
"""The kinds of rows that are imported and exported, each after the kinds that it refers to."""
_RECORDS: Mapping[str, str] = {
    "consultations": """
SELECT id, programme_id, institution_id, clinician_id, department, specialty_code AS specialty, priority, mode, state,
       age_band, duration_minutes, languages, tags, consent_scope, consent_countries, consent_given_on, opened_at,
       answer_due_at, waves, cancel_reason, closed_at, created_at
FROM consultation WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme ORDER BY id""",
    "offers": """
SELECT o.id, consultation_id, mentor_id, o.institution_id, memorandum_id, route, kind,
       CASE WHEN is_late THEN 'late' ELSE o.state END AS state, wave, sent_at, answer_by,
       late_at, answered_at, decline_reason, override_rule, ended_at
FROM offer o JOIN consultation c ON c.id = consultation_id
WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme ORDER BY o.id""",
    "appointments": """
SELECT a.id, consultation_id, memorandum_id, route, status, starts_at, ends_at, a.cancel_reason, sequence, a.created_at
FROM appointment a JOIN consultation c ON c.id = consultation_id
WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme ORDER BY a.id""",
    "feedback": """
SELECT f.id, session_id, person_id, side, is_useful, patient_outcome, given_at
FROM feedback f JOIN session s ON s.id = session_id
WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme ORDER BY f.id""",
    "transitions": """
SELECT t.id, memorandum_id, from_status, to_status, on_date, is_demo, actor_id, t.created_at
FROM memorandum_transition t JOIN memorandum m ON m.id = memorandum_id
WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme ORDER BY t.id""",
    "log": """
SELECT memorandum_id, position, e.id, e.kind, corrects, logged_at, logged_by, previous_hash, hash
FROM log_entry e JOIN memorandum m ON m.id = memorandum_id
WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme ORDER BY memorandum_id, position""",
    "milestones": """
SELECT p.code AS programme, on_text AS date, precision, total_memoranda, added, event, citation
FROM milestone JOIN programme p ON p.id = programme_id
WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme ORDER BY 1, 2""",
    "statistics": """
SELECT p.code AS programme, key, op, value, as_of, citation FROM statistic JOIN programme p ON p.id = programme_id
WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme ORDER BY 1, 2, 5""",
}
RECORDS = tuple(_RECORDS)
"""The kinds of rows that are exported only."""
_SCOPED = ("institutions", "memberships", "people", "mentors")


async def programme_id(w: Work, code: str) -> UUID | None:
    """Give the id of the programme with this code, in large or small letters, if there is one."""
    is_called = sa.func.lower(col(tables.Programme.code)) == code.lower()
    result = await w.sql(sa.select(col(tables.Programme.id)).where(is_called))
    row_id: UUID | None = result.scalar_one_or_none()
    return row_id


async def rows(w: Work, kind: str, programme: UUID | None = None) -> list[dict[str, Any]]:
    """Give all rows of a kind; of one programme, and what it refers to, if one is given."""
    text = (_OF_PROGRAMME if kind in _SCOPED else "") + _ROWS[kind]
    values: dict[str, object] = {"programme": programme} if kind != "specialties" else {}
    if kind in ("institutions", "mentors"):
        values["days"] = list(vocabulary.WEEKDAYS)
    exported = [dict(row) for row in (await w.sql(sa.text(text), values)).mappings()]
    if kind == "institutions":
        return [row | {"working_weekdays": row["weekdays"]} for row in exported]
    if kind == "mentors":
        return [row | _quiet(row) for row in exported]
    if kind == "activities":
        return [row | {"note": w.unseal(row["sealed_note"], row["id"])} for row in exported]
    return exported


async def records(w: Work, kind: str, programme: UUID | None = None) -> list[dict[str, Any]]:
    """Give all rows of a kind that is exported only."""
    return [dict(row) for row in (await w.sql(sa.text(_RECORDS[kind]), {"programme": programme})).mappings()]


def _quiet(row: Mapping[str, Any]) -> dict[str, str]:
    walls = {name: row[f"quiet_{name}_minute"] % _DAY_MINUTES for name in ("from", "until")}
    return {f"quiet_{name}": f"{minute // 60:02}:{minute % 60:02}" for name, minute in walls.items()}
