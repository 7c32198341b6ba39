"""From rows to the plain values that the gate and the score read: one query for the case, one for the mentors.

It decides nothing: `rules.gate` and `rules.matching` do.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from service import routes, tables
from service.rules import availability, matching, policy, specialties, transfer
from service.rules.availability import DatedHours, Hours, Weekly
from service.rules.case import Case, Link, Mentor, Rulebook
from service.rules.intervals import Interval
from service.work import Work

ENOUGH = 10
"""From so many candidates on, nobody needs to know whom else a memorandum would reach."""
NEAR_MISSES = 50
"""Mentors of the asked specialty whom no memorandum reaches: listed so that a coordinator sees why."""
OTHERS = 20
"""And some of any specialty, so that in a small programme nobody is missing from the list without a reason."""

# What is asked for stands in `given`, out of the planner's sight: so that it takes one plan for every mentor, one or
# thousands, and keeps it. Planning so many joins took longer than reading one mentor (bench, P4). The walls of a
# participant are within a day of the instant, and have an index.
_MENTORS = sa.text("""
WITH given AS MATERIALIZED (
  SELECT CAST(:institutions AS uuid[]) AS institutions, CAST(:people AS uuid[]) AS people,
         CAST(:same_case AS uuid[]) AS same_case, CAST(:consultation AS uuid) AS consultation,
         CAST(:clinician AS uuid) AS clinician, CAST(:institution AS uuid) AS institution, CAST(:but AS uuid) AS but,
         CAST(:now AS timestamptz) AS now, CAST(:until AS timestamptz) AS until, CAST(:walls AS timestamp) AS walls
)
SELECT mp.person_id, mp.institution_id, mp.verified_until, mp.tags, mp.treats_children, mp.opt_ins,
       mp.quiet_from_minute, mp.quiet_until_minute, mp.notice_minutes, mp.sessions_per_week, mp.offers_per_week,
       mp.availability_zone, p.zone, p.buffer_minutes, i.country, i.working_weekdays,
       ARRAY(SELECT specialty_code FROM mentor_specialty m WHERE m.person_id = mp.person_id) AS codes,
       (SELECT string_agg(code || ' ' || level, ',') FROM person_language l WHERE l.person_id = mp.person_id) AS levels,
       (SELECT string_agg(weekday || ' ' || from_minute || ' ' || until_minute, ',')
        FROM weekly_hours h WHERE h.person_id = mp.person_id) AS weekly,
       kinds, from_walls, until_walls, starts, busy_from, busy_until,
       offers_7d, offers_30d, offers_180d, answered_180d, knows_case,
       met_clinician, met_case, met_hospital, sessions_90d
FROM mentor_profile mp
JOIN person p ON p.id = mp.person_id AND p.state = 'active'
JOIN institution i ON i.id = mp.institution_id
CROSS JOIN given g
CROSS JOIN LATERAL (
  SELECT array_agg(kind ORDER BY e.id) AS kinds, array_agg(from_wall ORDER BY e.id) AS from_walls,
         array_agg(until_wall ORDER BY e.id) AS until_walls
  FROM availability_exception e WHERE e.person_id = mp.person_id AND until_wall > g.walls - interval '2 days'
) AS dated
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE sent_at > g.now - interval '7 days' AND o.consultation_id <> g.consultation)
           AS offers_7d,
         count(*) FILTER (WHERE sent_at > g.now - interval '30 days') AS offers_30d,
         count(*) FILTER (WHERE o.state IN ('accepted', 'declined', 'countered', 'expired')) AS offers_180d,
         count(*) FILTER (WHERE o.state IN ('accepted', 'declined', 'countered')) AS answered_180d,
         bool_or(o.state = 'accepted' AND o.consultation_id = ANY(g.same_case)) AS knows_case
  FROM offer o WHERE o.mentor_id = mp.person_id AND sent_at > g.now - interval '180 days'
) AS asked
CROSS JOIN LATERAL (
  SELECT array_agg(a.starts_at) AS starts
  FROM participant t JOIN appointment a ON a.id = t.appointment_id AND a.status IN ('booked', 'fulfilled')
  WHERE t.person_id = mp.person_id AND t.role = 'mentor' AND t.wall > g.walls - interval '8 days'
    AND a.starts_at > g.now - interval '7 days' AND a.id <> g.but
) AS held
CROSS JOIN LATERAL (
  SELECT array_agg(lower(during)) AS busy_from, array_agg(upper(during)) AS busy_until
  FROM seat WHERE seat.person_id = mp.person_id AND during && tstzrange(g.now, g.until)
    AND (held_until IS NULL OR held_until > g.now) AND appointment_id <> g.but
) AS occupied
CROSS JOIN LATERAL (
  SELECT bool_or(clinician_id = g.clinician AND started_at > g.now - interval '180 days') AS met_clinician,
         bool_or(consultation_id = ANY(g.same_case)) AS met_case, count(*) > 0 AS met_hospital
  FROM session s WHERE s.requesting_institution_id = g.institution AND s.mentor_id = mp.person_id
) AS met
CROSS JOIN LATERAL (
  SELECT count(*) AS sessions_90d FROM session s
  WHERE s.partner_institution_id = mp.institution_id AND started_at > g.now - interval '90 days' AND NOT is_corrected
) AS used
WHERE mp.institution_id = ANY((SELECT institutions FROM given)::uuid[])
   OR mp.person_id = ANY((SELECT people FROM given)::uuid[])
ORDER BY mp.person_id
""").bindparams(
    sa.bindparam("institutions", type_=ARRAY(PG_UUID(as_uuid=True))),
    sa.bindparam("people", type_=ARRAY(PG_UUID(as_uuid=True))),
    sa.bindparam("same_case", type_=ARRAY(PG_UUID(as_uuid=True))),
    sa.bindparam("walls", type_=sa.DateTime(timezone=False)),
)


class _Row(NamedTuple):
    """A row of `_MENTORS`, in its order: SQLAlchemy's own looks every column up by name, in three times the time."""

    person_id: UUID
    institution_id: UUID
    verified_until: datetime | None
    tags: list[str]
    treats_children: bool
    opt_ins: list[str]
    quiet_from_minute: int
    quiet_until_minute: int
    notice_minutes: int
    sessions_per_week: int | None
    offers_per_week: int | None
    availability_zone: str
    zone: str
    buffer_minutes: int
    country: str | None
    working_weekdays: list[int]
    codes: list[str]
    levels: str | None
    weekly: str | None
    kinds: list[str] | None
    from_walls: list[datetime] | None
    until_walls: list[datetime] | None
    starts: list[datetime] | None
    busy_from: list[datetime] | None
    busy_until: list[datetime] | None
    offers_7d: int
    offers_30d: int
    offers_180d: int
    answered_180d: int
    knows_case: bool | None
    met_clinician: bool | None
    met_case: bool | None
    met_hospital: bool
    sessions_90d: int


_CASE = sa.text("""
SELECT p.zone, p.buffer_minutes, i.country,
       ARRAY(SELECT from_at FROM consultation_window WHERE consultation_id = :id ORDER BY from_at) AS froms,
       ARRAY(SELECT until_at FROM consultation_window WHERE consultation_id = :id ORDER BY from_at) AS untils,
       busy_from, busy_until
FROM person p, institution i, LATERAL (
  SELECT array_agg(lower(during)) AS busy_from, array_agg(upper(during)) AS busy_until
  FROM seat WHERE seat.person_id = p.id AND during && tstzrange(:now, :until)
    AND (held_until IS NULL OR held_until > :now) AND appointment_id <> :but
) AS occupied
WHERE p.id = :clinician AND i.id = :institution
""")

_RULES = sa.text("""
SELECT policy, (SELECT string_agg(concat_ws(' ', code, coalesce(parent_code, '-'),
                  (SELECT string_agg(also_parent_code, ' ') FROM specialty_parent a WHERE a.code = s.code)), ',')
                FROM specialty s) AS tree
FROM programme WHERE id = :programme
""").columns(policy=JSONB)

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
    row = (await w.ask(_RULES, {"programme": programme_id})).one()
    return Rulebook(policy.from_overrides(row.policy), _tree(row.tree or ""), transfer_basis())


@lru_cache(maxsize=4)
def _tree(text: str) -> specialties.Tree:
    """Build the tree of lines `code parent second-parents`: kept under its own text, so it cannot be an old one."""
    lines = [line.split(" ") for line in text.split(",") if line]
    return specialties.Tree([(code, None if parent == "-" else parent, also) for code, parent, *also in lines])


async def case(w: Work, consultation: tables.Consultation, *, but_appointment: UUID | None = None) -> Case:
    """Load the consultation as the gate sees it; the seats of `but_appointment` do not count as busy."""
    opened, due = consultation.opened_at or w.now, consultation.answer_due_at or w.now
    values = {
        "id": consultation.id,
        "clinician": consultation.clinician_id,
        "institution": consultation.institution_id,
        "but": but_appointment or _NOBODY,
        "now": w.now,
        "until": _until(due, w.now),
    }
    found = (await w.sql(_CASE, values)).one()
    scope = consultation.consent_scope
    return Case(
        consultation_id=consultation.id,
        requester_id=consultation.clinician_id,
        institution_id=consultation.institution_id,
        country=found.country,
        zone=found.zone,
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
        windows=tuple(zip(found.froms, found.untils, strict=True)),
        busy=_intervals(found.busy_from, found.busy_until),
        buffer_minutes=found.buffer_minutes,
        consent=transfer.Consent(scope, frozenset(consultation.consent_countries)) if scope else None,
        excluded_mentors=frozenset(consultation.excluded_mentors),
    )


def _until(due: datetime, now: datetime) -> datetime:
    """Give until when busy time matters: a session may begin when the answer is due, if that is not long ago."""
    return max(due + timedelta(days=1), now)


def _intervals(froms: Sequence[datetime] | None, untils: Sequence[datetime] | None) -> tuple[Interval, ...]:
    return tuple(sorted(zip(froms or (), untils or (), strict=True)))


async def mentors(
    w: Work,
    consultation: tables.Consultation,
    asked: Case,
    *,
    people: Collection[UUID] | None = None,
    but_appointment: UUID | None = None,
    at: datetime | None = None,
) -> list[Mentor]:
    """Load the mentors whom a memorandum of any status links with the requester, or just `people`.

    The minutes left of a budget are those of the period of `at`, or now.
    """
    if people is not None:
        rows = await _rows(w, consultation, asked, (), people, but_appointment)
    partners = None if people is None else {row.institution_id for row in rows}
    links = await routes.links(
        w,
        consultation.institution_id,
        partners,
        consultation.programme_id,
        at=at,
        but_appointment=but_appointment,
    )
    if people is None:
        rows = await _rows(w, consultation, asked, links, (), but_appointment)
    found = {institution_id: tuple(by_which) for institution_id, by_which in links.items()}
    return [_mentor(row, found.get(row.institution_id, ())) for row in rows]


async def _near(w: Work, consultation: tables.Consultation, asked: Case, linked: Collection[Mentor]) -> list[Mentor]:
    """Load some mentors of the asked specialty whom no memorandum links, and a few of any other."""
    institutions = {mentor.institution_id for mentor in linked}
    values = {"codes": [asked.specialty], "institutions": list(institutions), "most": NEAR_MISSES, "others": OTHERS}
    people = (await w.sql(_NEAR, values)).scalars().all()
    return [_mentor(row, ()) for row in await _rows(w, consultation, asked, (), people, None)]


async def _rows(
    w: Work,
    consultation: tables.Consultation,
    asked: Case,
    institutions: Collection[UUID],
    people: Collection[UUID],
    but_appointment: UUID | None,
) -> list[_Row]:
    follows = [consultation.follows_id] if consultation.follows_id else []
    values = {
        "institutions": list(institutions),
        "people": list(people),
        "same_case": [consultation.id, *follows],
        "consultation": consultation.id,
        "clinician": asked.requester_id,
        "institution": asked.institution_id,
        "but": but_appointment or _NOBODY,
        "now": w.now,
        "until": _until(asked.answer_due_at, w.now),
        "walls": w.now.replace(tzinfo=None),
    }
    return [_Row._make(row) for row in await w.sql(_MENTORS, values)]


@lru_cache(maxsize=4096)
def _weekly(text: str | None) -> tuple[Weekly, ...]:
    """Read hours as the statement writes them: most mentors' are seen again."""
    return tuple(sorted(Weekly(*map(int, hours.split(" "))) for hours in text.split(","))) if text else ()


@lru_cache(maxsize=4096)
def _languages(text: str | None) -> Mapping[str, str]:
    """Read `code level` pairs as the statement writes them."""
    return MappingProxyType(dict(pair.split(" ") for pair in text.split(","))) if text else MappingProxyType({})


def _mentor(row: _Row, links: tuple[Link, ...]) -> Mentor:
    dated = zip(row.kinds or (), row.from_walls or (), row.until_walls or (), strict=True)
    return Mentor(
        person_id=row.person_id,
        institution_id=row.institution_id,
        country=row.country,
        zone=row.zone,
        specialties=frozenset(row.codes),
        languages=_languages(row.levels),
        hours=Hours(row.availability_zone, _weekly(row.weekly), tuple(DatedHours(*each) for each in dated)),
        verified_until=row.verified_until,
        busy=_intervals(row.busy_from, row.busy_until),
        links=links,
        tags=frozenset(row.tags),
        treats_children=row.treats_children,
        opt_ins=frozenset(row.opt_ins),
        quiet=(row.quiet_from_minute, row.quiet_until_minute),
        notice_minutes=row.notice_minutes,
        buffer_minutes=row.buffer_minutes,
        working_weekdays=tuple(row.working_weekdays),
        sessions_cap=row.sessions_per_week,
        offers_cap=row.offers_per_week,
        sessions_by_week=_by_week(row.starts, row.zone) if row.starts else {},
        offers_7d=row.offers_7d,
        offers_30d=row.offers_30d,
        offers_180d=row.offers_180d,
        answered_in_time_180d=row.answered_180d,
        continuity=_continuity(row),
        institution_sessions_90d=row.sessions_90d,
    )


def _by_week(starts: Sequence[datetime], zone: str) -> Mapping[tuple[int, int], int]:
    return Counter(availability.iso_week(start, zone) for start in starts)


def _continuity(row: _Row) -> str | None:
    if row.knows_case or row.met_case:
        return "case"
    if row.met_clinician:
        return "clinician"
    return "hospital" if row.met_hospital else None


async def ranking(
    w: Work,
    consultation: tables.Consultation,
    book: Rulebook,
    *,
    limit: int = 10,
    but: Collection[UUID] = (),
    near: bool = False,
) -> tuple[matching.Ranking, Case]:
    """Rank who may and can answer, without the mentors in `but`.

    With `near`, and few candidates, some whom no memorandum reaches are named among the excluded.
    """
    asked = await case(w, consultation)
    linked = await mentors(w, consultation, asked)
    ranked = matching.rank(asked, [m for m in linked if m.person_id not in but], w.now, book, limit=limit)
    if near and len(ranked.candidates) < ENOUGH:
        beside = matching.rank(asked, await _near(w, consultation, asked, linked), w.now, book, limit=0)
        ranked = replace(ranked, excluded=(*ranked.excluded, *beside.excluded))
    return ranked, asked
