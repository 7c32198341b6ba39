"""Mentors as the gate and the score read them: loaded once, and kept until something about them changes.

When a row that is read here changes, a trigger writes a new mark of the mentor in the same transaction (decision 0021).
A ranking reads the marks of its mentors and reloads those whose mark differs: what this process keeps is never older
than the transaction that reads it. What the clock alone changes is computed each time. Mentors are kept by institution,
under the XOR of all their marks: mostly one look shows that nothing changed.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, reduce
from operator import xor
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from service import vocabulary
from service.kernel.work import Database, Work
from service.rules.case import MemorandumLink, Mentor
from service.rules.time import availability
from service.rules.time.availability import DatedHours, Hours, Weekly
from service.rules.time.intervals import Interval

MOST_KEPT = 20_000
"""How many mentors a process keeps, some kilobytes each; beyond that the institution kept longest is dropped."""
WARMED_AT_ONCE = 200
"""So many mentors are loaded by one statement after a start: some hundredths of a second."""

_IDS = ARRAY(PG_UUID(as_uuid=True))
_NOBODY = UUID(int=0)
_WEEK, _MONTH, _HALF_YEAR = timedelta(days=7), timedelta(days=30), timedelta(days=180)
_ANSWERED = frozenset(vocabulary.ANSWERED_OFFER)

# The parameters stand in `given`, where the planner cannot see them: so it makes one plan, whether for one mentor or
# thousands, and keeps it. Planning so many joins took longer than reading one mentor (bench, P4). The walls of a
# participant are within a day of the instant, and have an index.
_FACTS = sa.text("""
WITH given AS MATERIALIZED (
  SELECT CAST(:people AS uuid[]) AS people, CAST(:but AS uuid) AS but, CAST(:now AS timestamptz) AS now,
         CAST(:walls AS timestamp) AS walls
)
SELECT mp.person_id, (SELECT bit_xor(value) FROM ranking_mark k WHERE k.subject_id = mp.person_id) AS mark,
       mp.institution_id,
       CASE WHEN p.address_unconfirmed_since IS NULL THEN mp.verified_until END AS verified_until,
       mp.tags, mp.treats_children, mp.opt_ins,
       mp.quiet_from_minute, mp.quiet_until_minute, mp.notice_minutes, mp.sessions_per_week, mp.offers_per_week,
       mp.availability_zone, p.state = 'active' AS is_active, p.zone, p.buffer_minutes, i.country, i.working_weekdays,
       ARRAY(SELECT specialty_code FROM mentor_specialty m WHERE m.person_id = mp.person_id) AS codes,
       (SELECT string_agg(code || ' ' || level, ',') FROM person_language l WHERE l.person_id = mp.person_id) AS levels,
       (SELECT string_agg(weekday || ' ' || from_minute || ' ' || until_minute, ',')
        FROM weekly_hours h WHERE h.person_id = mp.person_id) AS weekly,
       kinds, from_walls, until_walls, sent_ats, states, cases, lates, starts, busy_from, busy_until, held_until
FROM given g
JOIN mentor_profile mp ON mp.person_id = ANY((SELECT people FROM given)::uuid[])
JOIN person p ON p.id = mp.person_id
JOIN institution i ON i.id = mp.institution_id
CROSS JOIN LATERAL (
  SELECT array_agg(kind ORDER BY e.id) AS kinds, array_agg(from_wall ORDER BY e.id) AS from_walls,
         array_agg(until_wall ORDER BY e.id) AS until_walls
  FROM availability_exception e WHERE e.person_id = mp.person_id AND until_wall > g.walls - interval '2 days'
) AS dated
CROSS JOIN LATERAL (
  SELECT array_agg(sent_at ORDER BY o.id) AS sent_ats, array_agg(state ORDER BY o.id) AS states,
         array_agg(consultation_id ORDER BY o.id) AS cases, array_agg(late_at IS NOT NULL ORDER BY o.id) AS lates
  FROM offer o WHERE o.mentor_id = mp.person_id AND sent_at > g.now - interval '180 days' AND NOT is_undelivered
) AS asked
CROSS JOIN LATERAL (
  SELECT array_agg(a.starts_at) AS starts
  FROM participant t JOIN appointment a ON a.id = t.appointment_id AND a.status IN ('booked', 'fulfilled')
  WHERE t.person_id = mp.person_id AND t.role = 'mentor' AND t.wall > g.walls - interval '8 days'
    AND a.starts_at > g.now - interval '7 days' AND a.id <> g.but
) AS held
CROSS JOIN LATERAL (
  SELECT array_agg(lower(during)) AS busy_from, array_agg(upper(during)) AS busy_until,
         array_agg(seat.held_until) AS held_until
  FROM seat WHERE seat.person_id = mp.person_id AND during && tstzrange(g.now, NULL) AND appointment_id <> g.but
) AS occupied
ORDER BY mp.person_id
""").bindparams(sa.bindparam("people", type_=_IDS), sa.bindparam("walls", type_=sa.DateTime(timezone=False)))

# The marks of everything that a ranking keeps, in one row; the marks of an institution's mentors are put into one.
LOOK = """
WITH given AS MATERIALIZED (
  SELECT CAST(:institutions AS uuid[]) AS institutions, CAST(:same_case AS uuid[]) AS same_case,
         CAST(:clinician AS uuid) AS clinician, CAST(:institution AS uuid) AS institution,
         CAST(:now AS timestamptz) AS now
)
SELECT (SELECT bit_xor(value) FROM ranking_mark WHERE subject_id = :registry) AS registry,
       places, marks, own_marks, sessions_90d, met, by_clinician, by_case
FROM given g
CROSS JOIN LATERAL (
  SELECT array_agg(p.institution_id) AS places, array_agg(p.mark) AS marks, array_agg(own.mark) AS own_marks,
         array_agg(used.sessions) AS sessions_90d
  FROM (
    SELECT mp.institution_id, CASE WHEN count(*) = count(k.value) THEN bit_xor(k.value) END AS mark
    FROM mentor_profile mp LEFT JOIN ranking_mark k ON k.subject_id = mp.person_id
    WHERE mp.institution_id = ANY((SELECT institutions FROM given)::uuid[]) GROUP BY mp.institution_id
  ) AS p
  CROSS JOIN LATERAL (
    SELECT count(*) AS sessions FROM session s
    WHERE s.partner_institution_id = p.institution_id AND started_at > g.now - interval '90 days' AND NOT is_corrected
  ) AS used
  CROSS JOIN LATERAL (SELECT bit_xor(value) AS mark FROM ranking_mark k WHERE k.subject_id = p.institution_id) AS own
) AS reached
CROSS JOIN LATERAL (
  SELECT array_agg(mentor_id) AS met, array_agg(clinician) AS by_clinician, array_agg(same_case) AS by_case FROM (
    SELECT mentor_id, bool_or(clinician_id = g.clinician AND started_at > g.now - interval '180 days') AS clinician,
           bool_or(consultation_id = ANY(g.same_case)) AS same_case
    FROM session s WHERE s.requesting_institution_id = g.institution GROUP BY mentor_id
  ) AS each
) AS known
"""
LOOK_FOR = (sa.bindparam("institutions", type_=_IDS), sa.bindparam("same_case", type_=_IDS))

_MARKS = sa.text("""
SELECT mp.institution_id, mp.person_id,
       (SELECT bit_xor(value) FROM ranking_mark k WHERE k.subject_id = mp.person_id) AS mark
FROM mentor_profile mp WHERE mp.institution_id = ANY(:institutions) ORDER BY mp.person_id
""").bindparams(sa.bindparam("institutions", type_=_IDS))


# Those that a memorandum may reach, each once; how many mentors each has, so that no more are loaded than are kept.
_PLACES = sa.text("""
WITH partner AS (SELECT institution_id AS id FROM memorandum_party WHERE side = 'partner'),
reached AS (
  SELECT id FROM partner UNION SELECT s.institution_id FROM membership s JOIN partner ON s.network_id = partner.id
)
SELECT reached.id, count(*) AS mentors,
       (SELECT bit_xor(value) FROM ranking_mark k WHERE k.subject_id = reached.id) AS own_mark
FROM reached JOIN mentor_profile mp ON mp.institution_id = reached.id GROUP BY reached.id ORDER BY reached.id
""")


class _Row(NamedTuple):
    """A row of `_FACTS`, in its order: SQLAlchemy's own looks every column up by name, in three times the time."""

    person_id: UUID
    mark: int | None
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
    is_active: bool
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
    sent_ats: list[datetime] | None
    states: list[str] | None
    cases: list[UUID] | None
    lates: list[bool] | None
    starts: list[datetime] | None
    busy_from: list[datetime] | None
    busy_until: list[datetime] | None
    held_until: list[datetime | None] | None


_Offer = tuple[datetime, str, UUID, bool]
"""An offer to a mentor: sent at, state, consultation, and whether its time passed with no answer."""


@dataclass(frozen=True, slots=True)
class CachedMentor:
    """What the rows say of one mentor, independent of the case and of the time."""

    mark: int | None
    read_at: datetime
    is_active: bool
    institution_id: UUID
    standing: tuple[Any, ...]  # the first fields of `Mentor`, up to and without `busy`
    busy: tuple[Interval, ...]
    held: tuple[tuple[datetime, datetime, datetime], ...]  # from, until, and the end of the hold
    offers: tuple[_Offer, ...]  # of half a year
    cases: frozenset[UUID]  # of these offers
    counted: list["_Counted"]  # of these offers, at most one: as long as no other number of days has passed


class _Counted(NamedTuple):
    """The numbers of a mentor's offers for a case that they were not asked about, which hold for a stretch of time."""

    since: datetime
    until: datetime
    numbers: tuple[int, int, int, int, int, int]


class Met(NamedTuple):
    """How a mentor and their institution are connected with the requesting side."""

    continuity: str | None = None
    institution_sessions_90d: int = 0


class Look(NamedTuple):
    """The present marks of the registry and of institutions, and the mentors that the requesting side has met."""

    registry: int | None  # its mark
    places: Mapping[UUID, tuple[int | None, int | None, int]]  # the mentors' mark, its own, sessions of 90 days
    met: Mapping[UUID, str]  # continuity by mentor


class _Place(NamedTuple):
    """All mentors of an institution, in the order of their ids."""

    mark: int | None  # of its mentors
    own_mark: int | None
    read_at: datetime
    mentors: tuple[CachedMentor, ...]


REGISTRY = UUID(int=0)
_STRANGERS = Met()
_UNASKED = (0, 0, 0, 0, 0, 0)
_POWER = "no_feed"  # of power cuts: none is connected yet
_cache: dict[UUID, _Place] = {}


async def facts(w: Work, people: Collection[UUID], *, but_appointment: UUID | None = None) -> dict[UUID, CachedMentor]:
    """Load these mentors, in the order of their ids; seats and sessions of `but_appointment` are left out."""
    values = {
        "people": list(people),
        "but": but_appointment or _NOBODY,
        "now": w.now,
        "walls": w.now.replace(tzinfo=None),
    }
    rows = [_Row._make(row) for row in await w.fetch(_FACTS, values)]
    return {row.person_id: _facts(row, w.now) for row in rows}


def look(row: Any) -> Look:  # noqa: ANN401 - a row of `LOOK` and of the statement joined to it
    """Give the row of `LOOK` as a `Look`."""
    place_states = zip(row.marks or (), row.own_marks or (), row.sessions_90d or (), strict=True)
    met = zip(row.met or (), row.by_clinician or (), row.by_case or (), strict=True)
    return Look(
        row.registry,
        dict(zip(row.places or (), place_states, strict=True)),
        {
            person: "case" if by_case else "clinician" if by_clinician else "hospital"
            for person, by_clinician, by_case in met
        },
    )


async def of_institutions(w: Work, current: Look) -> list[tuple[CachedMentor, Met]]:
    """Give all mentors of the institutions, each with their connection to the requesting side."""
    unchanged = {
        institution_id: cached_place
        for institution_id, (mark, own_mark, _) in current.places.items()
        if (cached_place := _cache.get(institution_id))
        and mark is not None
        and (cached_place.mark, cached_place.own_mark) == (mark, own_mark)
        and cached_place.read_at <= w.now
    }
    reloaded = (
        await _reread(w, {place: own for place, (_, own, _) in current.places.items() if place not in unchanged})
        if len(unchanged) < len(current.places)
        else {}
    )
    # A mentor may have moved just now: reloaded at the new institution, still cached at the old one.
    reloaded_ids = {cached.standing[0] for place in reloaded.values() for cached in place.mentors}
    mentors = []
    for institution_id, (_, _, sessions_90d) in sorted(current.places.items()):
        of_strangers = Met(None, sessions_90d)
        for cached in (reloaded.get(institution_id) or unchanged[institution_id]).mentors:
            if reloaded_ids and institution_id in unchanged and cached.standing[0] in reloaded_ids:
                continue
            continuity = current.met.get(cached.standing[0])
            mentors.append((cached, Met(continuity, sessions_90d) if continuity else of_strangers))
    return mentors


async def warm(database: Database, is_over: Callable[[], bool]) -> int:
    """Load the mentors whom a memorandum may reach, before anybody asks; gives how many.

    Some institutions at a time, so that no statement takes long and requests come in between; no more than are kept,
    and none once `is_over`.
    """
    async with database.apart() as w:
        places = await w.fetch(_PLACES, {})
    count = 0
    for lot in _lots(places):
        if is_over():
            break
        async with database.apart() as w:
            await _reread(w, {place.id: place.own_mark for place in lot})
        count += sum(place.mentors for place in lot)
    return count


def _lots(places: Sequence[Any]) -> Iterator[list[Any]]:
    """Give the institutions in lots of a few hundred mentors each, as many as are kept."""
    lot: list[Any] = []
    kept = loading = 0
    for place in places:
        if kept + place.mentors > MOST_KEPT:
            break
        kept, loading = kept + place.mentors, loading + place.mentors
        lot.append(place)
        if loading >= WARMED_AT_ONCE:
            yield lot
            lot, loading = [], 0
    if lot:
        yield lot


async def _reread(w: Work, own_marks: Mapping[UUID, int | None]) -> dict[UUID, _Place]:
    """Give the institutions with their mentors, and load again those mentors whose mark differs from the cached one."""
    marks = await w.fetch(_MARKS, {"institutions": list(own_marks)})
    cached_mentors = {
        cached.standing[0]: cached
        for institution_id, own_mark in own_marks.items()
        if (cached_place := _cache.get(institution_id)) and cached_place.own_mark == own_mark
        for cached in cached_place.mentors
    }
    mentors_by_id = {
        row.person_id: cached
        for row in marks
        if (cached := cached_mentors.get(row.person_id)) and _holds(cached, row.mark, w.now)
    }
    missing = [row.person_id for row in marks if row.person_id not in mentors_by_id]
    mentors_by_id |= await facts(w, missing) if missing else {}
    places = {}
    for institution_id, own_mark in own_marks.items():
        # Looked up by id: a mentor whose profile has just been removed is not in `mentors_by_id`.
        mentors = [
            mentors_by_id[row.person_id]
            for row in marks
            if row.institution_id == institution_id and row.person_id in mentors_by_id
        ]
        places[institution_id] = _place(mentors, own_mark, w.now)
    _keep(places)
    return places


def _holds(cached: CachedMentor, mark: int | None, now: datetime) -> bool:
    return mark is not None and cached.mark == mark and cached.read_at <= now


def _place(mentors: Sequence[CachedMentor], own_mark: int | None, now: datetime) -> _Place:
    """Give the institution with its mentors, marked with the XOR of their marks."""
    marks = [cached.mark for cached in mentors]
    mark = None if None in marks else reduce(xor, marks, 0)
    return _Place(mark, own_mark, max((cached.read_at for cached in mentors), default=now), tuple(mentors))


def _keep(loaded: Mapping[UUID, _Place]) -> None:
    for institution_id, place in loaded.items():
        _cache.pop(institution_id, None)  # to the end of the queue
        _cache[institution_id] = place
    count = sum([len(place.mentors) for place in _cache.values()])
    while count > MOST_KEPT:
        count -= len(_cache.pop(next(iter(_cache))).mentors)


def mentor(
    cached: CachedMentor,
    links: tuple[MemorandumLink, ...],
    now: datetime,
    same_case: Sequence[UUID],
    met: Met = _STRANGERS,
) -> Mentor:
    """Give the mentor as of this instant, for the consultation that `same_case` begins with."""
    offers, busy, continuity = _UNASKED, cached.busy, met.continuity
    if not cached.cases.isdisjoint(same_case):
        offers = _offers(cached.offers, now, same_case[0])
        if any(state == "accepted" and consultation_id in same_case for _, state, consultation_id, _ in cached.offers):
            continuity = "case"
    elif cached.offers:
        offers = _offers_of_others(cached, now)
    if cached.held:
        busy = tuple(sorted((*busy, *[(since, until) for since, until, end in cached.held if end > now])))
    values = (*cached.standing, busy, links, *offers, continuity, met.institution_sessions_90d, _POWER)
    return Mentor._make(values)


def _offers_of_others(cached: CachedMentor, now: datetime) -> tuple[int, int, int, int, int, int]:
    """Count the offers for a case that none of them is about: once until the next of them is so many days old."""
    if not cached.counted or not cached.counted[0].since <= now < cached.counted[0].until:
        ages = [sent_at + days for sent_at, _, _, _ in cached.offers for days in (_WEEK, _MONTH, _HALF_YEAR)]
        until = min((age for age in ages if age > now), default=now + _WEEK)
        cached.counted[:] = [_Counted(now, until, _offers(cached.offers, now, _NOBODY))]
    return cached.counted[0].numbers


def _offers(offers: Sequence[_Offer], now: datetime, consultation_id: UUID) -> tuple[int, int, int, int, int, int]:
    """Count offers of 7 days, of 30, of 180, those of 180 that were answered or whose time passed, in time, and late.

    Those for this consultation count neither among the 7 days' nor among the 180 days' offers, but in the others.
    """
    week, month, half_year = now - _WEEK, now - _MONTH, now - _HALF_YEAR
    of_week = of_month = of_half_year = in_time = late = missed = 0
    for sent_at, state, case, was_late in offers:
        if sent_at > half_year:
            of_week += sent_at > week and case != consultation_id
            of_month += sent_at > month
            of_half_year += case != consultation_id
            is_answered = state in _ANSWERED
            in_time += is_answered and not was_late
            late += is_answered and was_late
            missed += not is_answered and (was_late or state == "expired")
    return of_week, of_month, of_half_year, in_time + late + missed, in_time, late


def _facts(row: _Row, read_at: datetime) -> CachedMentor:
    occupied = list(zip(row.busy_from or (), row.busy_until or (), row.held_until or (), strict=True))
    exceptions = zip(row.kinds or (), row.from_walls or (), row.until_walls or (), strict=True)
    standing = (
        row.person_id,
        row.institution_id,
        row.country,
        row.zone,
        frozenset(row.codes),
        _languages(row.levels),
        Hours(row.availability_zone, _weekly(row.weekly), tuple(DatedHours(*exception) for exception in exceptions)),
        row.verified_until,
        frozenset(row.tags),
        row.treats_children,
        frozenset(row.opt_ins),
        (row.quiet_from_minute, row.quiet_until_minute),
        row.notice_minutes,
        row.buffer_minutes,
        tuple(row.working_weekdays),
        row.sessions_per_week,
        row.offers_per_week,
        Counter(availability.iso_week(start, row.zone) for start in row.starts or ()),
    )
    return CachedMentor(
        row.mark,
        read_at,
        row.is_active,
        row.institution_id,
        standing,
        busy=tuple(sorted((since, until) for since, until, end in occupied if end is None)),
        held=tuple((since, until, end) for since, until, end in occupied if end is not None),
        offers=tuple(zip(row.sent_ats or (), row.states or (), row.cases or (), row.lates or (), strict=True)),
        cases=frozenset(row.cases or ()),
        counted=[],
    )


@lru_cache(maxsize=4096)
def _weekly(text: str | None) -> tuple[Weekly, ...]:
    """Read hours as the statement writes them; cached, since many mentors have the same."""
    return tuple(sorted(Weekly(*map(int, hours.split(" "))) for hours in text.split(","))) if text else ()


@lru_cache(maxsize=4096)
def _languages(text: str | None) -> Mapping[str, str]:
    """Read `code level` pairs as the statement writes them."""
    return MappingProxyType(dict(pair.split(" ") for pair in text.split(","))) if text else MappingProxyType({})
