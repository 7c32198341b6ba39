"""From rows to the plain values that the gate and the score read: one query for the mentors, one for their busy time.

It decides nothing: `rules.gate` and `rules.matching` do.
"""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from service import routes, tables
from service.rules import availability, matching, policy, specialties, transfer
from service.rules.availability import DatedHours, Hours, Weekly
from service.rules.case import Case, Mentor, Rulebook
from service.work import Work

NEAR_MISSES = 50
"""Mentors of the asked specialty whom no memorandum reaches: listed so that a coordinator sees why."""
OTHERS = 20
"""And some of any specialty, so that in a small programme nobody is missing from the list without a reason."""

_MENTORS = sa.text("""
WITH chosen AS (
  SELECT mp.*, p.zone, p.buffer_minutes, i.country, i.working_weekdays
  FROM mentor_profile mp
  JOIN person p ON p.id = mp.person_id AND p.state = 'active'
  JOIN institution i ON i.id = mp.institution_id
  WHERE mp.institution_id = ANY(:institutions) OR mp.person_id = ANY(:people)
),
specialties AS (
  SELECT person_id, array_agg(specialty_code) AS codes
  FROM mentor_specialty JOIN chosen USING (person_id) GROUP BY person_id
),
languages AS (
  SELECT person_id, jsonb_object_agg(code, level) AS levels
  FROM person_language JOIN chosen USING (person_id) GROUP BY person_id
),
weekly AS (
  SELECT person_id, jsonb_agg(jsonb_build_array(weekday, from_minute, until_minute)
                              ORDER BY weekday, from_minute, until_minute) AS hours
  FROM weekly_hours JOIN chosen USING (person_id) GROUP BY person_id
),
dated AS (
  SELECT person_id, array_agg(kind ORDER BY e.id) AS kinds, array_agg(from_wall ORDER BY e.id) AS from_walls,
         array_agg(until_wall ORDER BY e.id) AS until_walls
  FROM availability_exception e JOIN chosen USING (person_id)
  WHERE until_wall > :walls_from GROUP BY person_id
),
asked AS (
  SELECT o.mentor_id AS person_id,
         count(*) FILTER (WHERE sent_at > :days_7 AND o.consultation_id <> :consultation) AS offers_7d,
         count(*) FILTER (WHERE sent_at > :days_30) AS offers_30d,
         count(*) FILTER (WHERE o.state IN ('accepted', 'declined', 'countered', 'expired')) AS offers_180d,
         count(*) FILTER (WHERE o.state IN ('accepted', 'declined', 'countered')) AS answered_180d,
         bool_or(o.state = 'accepted' AND o.consultation_id = ANY(:same_case)) AS knows_case
  FROM offer o JOIN chosen ON chosen.person_id = o.mentor_id
  WHERE sent_at > :days_180 GROUP BY o.mentor_id
),
held AS (
  SELECT t.person_id, array_agg(a.starts_at) AS starts
  FROM participant t JOIN chosen USING (person_id)
  JOIN appointment a ON a.id = t.appointment_id AND a.status IN ('booked', 'fulfilled')
  WHERE a.starts_at > :days_7 AND t.role = 'mentor' AND a.id <> :but GROUP BY t.person_id
),
met AS (
  SELECT mentor_id AS person_id,
         bool_or(clinician_id = :clinician AND started_at > :days_180) AS met_clinician,
         bool_or(consultation_id = ANY(:same_case)) AS met_case
  FROM session s JOIN chosen ON chosen.person_id = s.mentor_id
  WHERE s.requesting_institution_id = :institution GROUP BY mentor_id
),
used AS (
  SELECT partner_institution_id AS institution_id, count(*) AS sessions_90d
  FROM session WHERE started_at > :days_90 AND NOT is_corrected
    AND partner_institution_id IN (SELECT institution_id FROM chosen) GROUP BY partner_institution_id
)
SELECT chosen.*, codes, levels, hours, kinds, from_walls, until_walls, offers_7d, offers_30d, offers_180d,
       answered_180d, knows_case, starts, met_clinician, met_case, met.person_id IS NOT NULL AS met_hospital,
       sessions_90d
FROM chosen
LEFT JOIN specialties USING (person_id) LEFT JOIN languages USING (person_id) LEFT JOIN weekly USING (person_id)
LEFT JOIN dated USING (person_id) LEFT JOIN asked USING (person_id) LEFT JOIN held USING (person_id)
LEFT JOIN met USING (person_id) LEFT JOIN used USING (institution_id)
ORDER BY person_id
""").bindparams(
    sa.bindparam("institutions", type_=ARRAY(PG_UUID(as_uuid=True))),
    sa.bindparam("people", type_=ARRAY(PG_UUID(as_uuid=True))),
    sa.bindparam("same_case", type_=ARRAY(PG_UUID(as_uuid=True))),
    sa.bindparam("walls_from", type_=sa.DateTime(timezone=False)),
)

_BUSY = sa.text("""
SELECT person_id, lower(during) AS from_at, upper(during) AS until_at FROM seat
WHERE person_id = ANY(:people) AND during && tstzrange(:from_at, :until_at)
  AND (held_until IS NULL OR held_until > :now) AND appointment_id <> :but
ORDER BY person_id, lower(during)
""").bindparams(sa.bindparam("people", type_=ARRAY(PG_UUID(as_uuid=True))))

_NEAR = sa.text("""
(SELECT person_id FROM mentor_specialty JOIN mentor_profile USING (person_id)
 WHERE specialty_code = ANY(:codes) AND institution_id <> ALL(:institutions) LIMIT :most)
UNION
(SELECT person_id FROM mentor_profile WHERE institution_id <> ALL(:institutions) LIMIT :others)
""").bindparams(sa.bindparam("institutions", type_=ARRAY(PG_UUID(as_uuid=True))))

_NOBODY = UUID(int=0)


@cache
def transfer_basis() -> transfer.TransferBasis:
    """Read the list of countries that case text may go to under the general consent; a lawyer owns it."""
    text = resources.files("service").joinpath("data/transfer_basis.json").read_text(encoding="utf-8")
    return transfer.parse(json.loads(text))


async def rulebook(w: Work, programme_id: UUID) -> Rulebook:
    """Load what the programme decides by."""
    programme = await w.session.get_one(tables.Programme, programme_id)
    rows = await w.sql(
        sa.text(
            "SELECT code, parent_code, coalesce((SELECT array_agg(also_parent_code) FROM specialty_parent p"
            " WHERE p.code = s.code), '{}') AS also FROM specialty s"
        )
    )
    tree = specialties.Tree([(row.code, row.parent_code, row.also) for row in rows])
    return Rulebook(policy.from_overrides(programme.policy), tree, transfer_basis())


async def case(w: Work, consultation: tables.Consultation, *, but_appointment: UUID | None = None) -> Case:
    """Load the consultation as the gate sees it; the seats of `but_appointment` do not count as busy."""
    clinician = await w.session.get_one(tables.Person, consultation.clinician_id)
    institution = await w.session.get_one(tables.Institution, consultation.institution_id)
    windows = await w.sql(
        sa.text("SELECT from_at, until_at FROM consultation_window WHERE consultation_id = :id ORDER BY 1"),
        {"id": consultation.id},
    )
    opened, due = consultation.opened_at or w.now, consultation.answer_due_at or w.now
    taken = await busy(w, [clinician.id], w.now, due + timedelta(days=1), but_appointment=but_appointment)
    scope = consultation.consent_scope
    return Case(
        consultation_id=consultation.id,
        requester_id=clinician.id,
        institution_id=institution.id,
        country=institution.country,
        zone=clinician.zone,
        specialty=consultation.specialty_code,
        priority=consultation.priority,
        mode=consultation.mode,
        languages=frozenset(consultation.languages),
        minutes=consultation.duration_minutes,
        opened_at=opened,
        answer_due_at=due,
        age_band=consultation.age_band,
        activity=consultation.activity,
        tags=frozenset(consultation.tags),
        translation=consultation.is_translated,
        windows=tuple((row.from_at, row.until_at) for row in windows),
        busy=tuple(taken.get(clinician.id, ())),
        buffer_minutes=clinician.buffer_minutes,
        consent=transfer.Consent(scope, frozenset(consultation.consent_countries)) if scope else None,
        excluded_mentors=frozenset(consultation.excluded_mentors),
    )


async def busy(
    w: Work, people: Sequence[UUID], from_at: datetime, until_at: datetime, *, but_appointment: UUID | None = None
) -> dict[UUID, list[tuple[datetime, datetime]]]:
    """Load when these people are occupied, buffers included; holds that are over do not count."""
    rows = await w.sql(
        _BUSY,
        {
            "people": list(people),
            "from_at": from_at,
            "until_at": until_at,
            "now": w.now,
            "but": but_appointment or _NOBODY,
        },
    )
    taken: dict[UUID, list[tuple[datetime, datetime]]] = {}
    for row in rows:
        taken.setdefault(row.person_id, []).append((row.from_at.astimezone(UTC), row.until_at.astimezone(UTC)))
    return taken


async def mentors(
    w: Work,
    consultation: tables.Consultation,
    asked: Case,
    *,
    people: Collection[UUID] | None = None,
    near: Collection[str] = (),
    but_appointment: UUID | None = None,
    at: datetime | None = None,
) -> list[Mentor]:
    """Load the mentors whom a memorandum of any status links with the requester, or just `people`.

    `near` names specialties whose other mentors are loaded too, some of any other besides; the minutes left of a
    budget are those of the period of `at`, or now.
    """
    institutions: list[UUID] = []
    chosen = list(people or ())
    partner_ids = None if people is None else await _employers(w, chosen)
    links = await routes.links(
        w,
        consultation.institution_id,
        partner_ids,
        consultation.programme_id,
        at=at,
        but_appointment=but_appointment,
    )
    if people is None:
        institutions = list(links)
        if near:
            rows = await w.sql(
                _NEAR, {"codes": list(near), "institutions": institutions, "most": NEAR_MISSES, "others": OTHERS}
            )
            chosen = list(rows.scalars())
    same_case = [consultation.id, *([consultation.follows_id] if consultation.follows_id else [])]
    rows = await w.sql(
        _MENTORS,
        {
            "institutions": institutions,
            "people": chosen,
            "same_case": same_case,
            "but": but_appointment or _NOBODY,
            "consultation": consultation.id,
            "clinician": asked.requester_id,
            "institution": asked.institution_id,
            "walls_from": (w.now - timedelta(days=2)).replace(tzinfo=None),
        }
        | {f"days_{days}": w.now - timedelta(days=days) for days in (7, 30, 90, 180)},
    )
    found_rows = rows.mappings().all()
    until = asked.answer_due_at + timedelta(days=1)
    taken = await busy(w, [row["person_id"] for row in found_rows], w.now, until, but_appointment=but_appointment)
    return [
        _mentor(row, tuple(taken.get(row["person_id"], ())), tuple(links.get(row["institution_id"], ())))
        for row in found_rows
    ]


async def _employers(w: Work, people: list[UUID]) -> list[UUID]:
    found = await w.sql(
        sa.text("SELECT DISTINCT institution_id FROM mentor_profile WHERE person_id = ANY(:people)").bindparams(
            sa.bindparam("people", people, type_=ARRAY(PG_UUID(as_uuid=True)))
        )
    )
    return list(found.scalars())


def _mentor(row: Any, taken: tuple[tuple[datetime, datetime], ...], links: tuple[Any, ...]) -> Mentor:  # noqa: ANN401
    zone = row["availability_zone"]
    dated = zip(row["kinds"] or (), row["from_walls"] or (), row["until_walls"] or (), strict=True)
    weeks: dict[tuple[int, int], int] = {}
    for start in row["starts"] or ():
        week = availability.iso_week(start, row["zone"])
        weeks[week] = weeks.get(week, 0) + 1
    continuity: str | None
    if row["knows_case"] or row["met_case"]:
        continuity = "case"
    elif row["met_clinician"]:
        continuity = "clinician"
    else:
        continuity = "hospital" if row["met_hospital"] else None
    return Mentor(
        person_id=row["person_id"],
        institution_id=row["institution_id"],
        country=row["country"],
        zone=row["zone"],
        specialties=frozenset(row["codes"] or ()),
        languages=row["levels"] or {},
        hours=Hours(
            zone, tuple(Weekly(*hours) for hours in row["hours"] or ()), tuple(DatedHours(*each) for each in dated)
        ),
        verified_until=row["verified_until"],
        busy=taken,
        links=links,
        tags=frozenset(row["tags"]),
        treats_children=row["treats_children"],
        opt_ins=frozenset(row["opt_ins"]),
        quiet=(row["quiet_from_minute"], row["quiet_until_minute"]),
        notice_minutes=row["notice_minutes"],
        buffer_minutes=row["buffer_minutes"],
        sessions_cap=row["sessions_per_week"],
        offers_cap=row["offers_per_week"],
        sessions_by_week=weeks,
        offers_7d=row["offers_7d"] or 0,
        offers_30d=row["offers_30d"] or 0,
        offers_180d=row["offers_180d"] or 0,
        answered_in_time_180d=row["answered_180d"] or 0,
        continuity=continuity,
        institution_sessions_90d=row["sessions_90d"] or 0,
    )


async def ranking(
    w: Work,
    consultation: tables.Consultation,
    book: Rulebook,
    *,
    limit: int = 10,
    but: Collection[UUID] = (),
    near: bool = False,
) -> tuple[matching.Ranking, Case]:
    """Rank who may and can answer, without the mentors in `but`; with `near`, name also those no memorandum reaches."""
    asked = await case(w, consultation)
    codes = [consultation.specialty_code] if near else []
    found = [m for m in await mentors(w, consultation, asked, near=codes) if m.person_id not in but]
    return matching.rank(asked, found, w.now, book, limit=limit), asked
