"""From rows to the plain values that the gate and the score read: the case, the rulebook, the mentors (`mentor_cache`).

It decides nothing: `rules.matching` does.
"""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from service import tables
from service.care import mentor_cache
from service.kernel.work import Work
from service.registry import agreements
from service.rules import policy, specialties, transfer
from service.rules.case import Case, MemorandumLink, Mentor, Rulebook
from service.rules.matching import ranking, records, remedies
from service.rules.time import intervals
from service.rules.time.intervals import Interval

ENOUGH = 10
"""With so many candidates, no mentors without a memorandum are listed."""
NEAR_MISSES = 50
"""How many mentors of the case's specialty without a memorandum are listed, so that a coordinator sees why."""
OTHERS = 20
"""How many of any specialty are listed too, so that in a small programme nobody is missing without a reason."""

MOST_VERSIONS = 50
"""So many of a programme's policies are known: a case that opened before the oldest of them goes by that one."""
MOST_GROUNDS = 2_000
"""For how many hospitals a process keeps what the registry says: some kilobytes each."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_CASE = """
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
"""
_ASKED = sa.text(_CASE)
_CASE_AND_LOOK = f"SELECT * FROM ({_CASE}) AS asked CROSS JOIN ({mentor_cache.LOOK}) AS seen"  # noqa: S608
_ASKED_AND_LOOKED = sa.text(_CASE_AND_LOOK).bindparams(*mentor_cache.LOOK_FOR)

# What has the mark that is known is not read again: to put all specialties together takes longest.
_RULES = sa.text("""
SELECT mark, is_known, CASE WHEN NOT is_known THEN CAST(policy AS text) END AS policy,
       CASE WHEN NOT is_known THEN ARRAY(
         SELECT valid_from FROM policy_version v WHERE v.programme_id = p.id
         ORDER BY valid_from DESC, id DESC LIMIT :most
       ) END AS version_froms,
       CASE WHEN NOT is_known THEN ARRAY(
         SELECT CAST(body AS text) FROM policy_version v WHERE v.programme_id = p.id
         ORDER BY valid_from DESC, id DESC LIMIT :most
       ) END AS version_bodies,
       CASE WHEN NOT is_known THEN (
         SELECT string_agg(concat_ws(' ', code, coalesce(parent_code, '-'),
             (SELECT string_agg(also_parent_code, ' ') FROM specialty_parent a WHERE a.code = s.code)), ',')
         FROM specialty s) END AS tree
FROM programme p, LATERAL (
  SELECT mark, coalesce(mark = CAST(:known AS bigint), false) AS is_known
  FROM (SELECT bit_xor(value) AS mark FROM ranking_mark WHERE subject_id = :registry) AS registry
) AS seen
WHERE p.id = :programme
""")

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


@dataclass(frozen=True, slots=True)
class Rulebooks:
    """A programme's rulebook of now, and those of the policies that it had before, the newest first."""

    present: Rulebook
    versions: tuple[tuple[datetime, Rulebook], ...]  # since when, and by which numbers

    def at(self, opened_at: datetime | None) -> Rulebook:
        """Give that of a case which opened then: a policy that was saved later is not for it.

        That of now, unless a version says that it began later: an older program changes the policy without a version.
        """
        if opened_at is None or not self.versions or self.versions[0][0] <= opened_at:
            return self.present
        return next((book for since, book in self.versions if since <= opened_at), self.versions[-1][1])


async def rulebook(w: Work, programme_id: UUID, opened_at: datetime | None = None) -> Rulebook:
    """Give the programme's policy, specialties and transfer list for a case that opened then, by default now."""
    return (await _rulebooks(w, programme_id)).at(opened_at)


async def _rulebooks(w: Work, programme_id: UUID) -> Rulebooks:
    """Give the programme's rulebooks: kept as long as the registry's mark is the same."""
    mark, known = _books.get(programme_id, (None, None))
    row = await _rules(w, programme_id, mark)
    if known and row.is_known:
        return known
    books = _as_books(row)
    _keep(_books, programme_id, (row.mark, books))
    return books


async def _rules(w: Work, programme_id: UUID, known: int | None) -> Any:  # noqa: ANN401 - a row of `_RULES`
    with w.holding():
        registry, most = mentor_cache.REGISTRY, MOST_VERSIONS
        values = {"programme": programme_id, "registry": registry, "known": known, "most": most}
        (row,) = await w.fetch(_RULES, values)
    return row


def _as_books(row: Any) -> Rulebooks:  # noqa: ANN401 - a row of `_RULES`
    tree, basis = _tree(row.tree or ""), transfer_basis()
    books = [Rulebook(_policy(text), tree, basis) for text in (row.policy, *row.version_bodies)]
    return Rulebooks(books[0], tuple(zip(row.version_froms, books[1:], strict=True)))


_books: dict[UUID, tuple[int | None, Rulebooks]] = {}


@lru_cache(maxsize=256)
def _policy(text: str) -> policy.Policy:
    """Read a programme's own numbers: cached, since of many versions most are read again."""
    return policy.from_overrides(json.loads(text))


@lru_cache(maxsize=4)
def _tree(text: str) -> specialties.Tree:
    """Build the tree of lines `code parent second-parents`: cached by that text, so it is never stale."""
    lines = [line.split(" ") for line in text.split(",") if line]
    return specialties.Tree(
        [(code, None if parent == "-" else parent, second_parents) for code, parent, *second_parents in lines]
    )


async def case(
    w: Work,
    consultation: tables.Consultation,
    *,
    but_appointment: UUID | None = None,
    start: datetime | None = None,
) -> Case:
    """Load the consultation as the gate sees it, with the clinician's busy time beyond `start`.

    The seats of `but_appointment` do not count as busy.
    """
    (row,) = await w.fetch(_ASKED, _values(w, consultation, but_appointment, start))
    return _case(w, consultation, row)


def _values(
    w: Work,
    consultation: tables.Consultation,
    but_appointment: UUID | None = None,
    start: datetime | None = None,
) -> dict[str, object]:
    # A session may begin when the answer is due, if that is not long ago, and when both sides agreed: until then busy
    # time matters.
    until = max((consultation.answer_due_at or w.now) + timedelta(days=1), w.now, (start or w.now) + timedelta(days=1))
    return {
        "id": consultation.id,
        "clinician": consultation.clinician_id,
        "institution": consultation.institution_id,
        "but": but_appointment or _NOBODY,
        "now": w.now,
        "until": until,
    }


def _case(w: Work, consultation: tables.Consultation, row: Any) -> Case:  # noqa: ANN401 - a row of `_CASE`
    scope = consultation.consent_scope
    return Case(
        consultation_id=consultation.id,
        requester_id=consultation.clinician_id,
        institution_id=consultation.institution_id,
        country=row.country,
        zone=row.zone,
        specialty=consultation.specialty_code,
        priority=consultation.priority,
        mode=consultation.mode,
        languages=frozenset(consultation.languages),
        minutes=consultation.duration_minutes,
        opened_at=consultation.opened_at or w.now,
        answer_due_at=consultation.answer_due_at or w.now,
        age_band=consultation.age_band,
        activity=consultation.activity,
        tags=frozenset(consultation.tags),
        translation=consultation.is_translated,
        windows=tuple(intervals.merge(zip(row.froms, row.untils, strict=True))),
        busy=_intervals(row.busy_from, row.busy_until),
        buffer_minutes=row.buffer_minutes,
        consent=transfer.Consent(scope, frozenset(consultation.consent_countries)) if scope else None,
        excluded_mentors=frozenset(consultation.excluded_mentors),
    )


def _intervals(froms: Sequence[datetime] | None, untils: Sequence[datetime] | None) -> tuple[Interval, ...]:
    return tuple(sorted(zip(froms or (), untils or (), strict=True)))


async def mentors(
    w: Work,
    consultation: tables.Consultation,
    people: Collection[UUID],
    *,
    but_appointment: UUID | None = None,
    at: datetime | None = None,
) -> list[Mentor]:
    """Load these mentors from the database, not from the cache, with all memoranda that link them.

    The minutes left of a budget are those of the period of `at`, or now.
    """
    cached_mentors = await mentor_cache.facts(w, people, but_appointment=but_appointment)
    institutions = {cached.institution_id for cached in cached_mentors.values()}
    links_by_institution = await memorandum_links(w, consultation, institutions, but_appointment=but_appointment, at=at)
    same_case = _same_case(consultation)
    return [
        mentor_cache.mentor(cached, links_by_institution.get(cached.institution_id, ()), w.now, same_case)
        for cached in cached_mentors.values()
        if cached.is_active
    ]


async def memorandum_links(
    w: Work,
    consultation: tables.Consultation,
    institutions: Collection[UUID],
    *,
    but_appointment: UUID | None = None,
    at: datetime | None = None,
) -> Mapping[UUID, tuple[MemorandumLink, ...]]:
    """Give the memoranda that link the requesting institution with each of these, with the minutes left around `at`."""
    agreed = await agreements.agreed(w, consultation.institution_id, institutions, consultation.programme_id)
    return await agreements.with_minutes_left(w, agreed, at=at, but_appointment=but_appointment)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the registry says for one hospital in one programme, and the registry's mark from before it was read."""

    mark: int | None
    books: Rulebooks
    agreed: agreements.LinkedMemoranda


_grounds: dict[tuple[UUID, UUID], _Ground] = {}


async def _reachable(w: Work, consultation: tables.Consultation) -> tuple[Case, Rulebook, list[Mentor], records.Linked]:
    """Give the case, its rulebook, the mentors whom a memorandum of any status links with the requester, and these."""
    key = (consultation.institution_id, consultation.programme_id)
    ground = _grounds.get(key)
    gate_case, current = await _look(w, consultation, ground)
    if ground is None or ground.mark is None or ground.mark != current.registry:
        books = await _rulebooks(w, consultation.programme_id)
        ground = _Ground(current.registry, books, await agreements.agreed(w, key[0], None, key[1]))
        _keep(_grounds, key, ground)
        gate_case, current = await _look(w, consultation, ground)
    links = await agreements.with_minutes_left(w, ground.agreed)
    cached_mentors = await mentor_cache.of_institutions(w, current)
    same_case = _same_case(consultation)
    mentors = [
        mentor_cache.mentor(cached, links.get(cached.institution_id, ()), w.now, same_case, met)
        for cached, met in cached_mentors
        if cached.is_active
    ]
    return gate_case, ground.books.at(consultation.opened_at), mentors, ground.agreed.links


GROUND_MARK = """
SELECT coalesce(bit_xor(k.value), 0) AS mark
FROM (SELECT CAST('00000000-0000-0000-0000-000000000000' AS uuid) UNION SELECT CAST({hospital} AS uuid)
      UNION SELECT unnest(CAST({places} AS uuid[]))
      UNION SELECT person_id FROM mentor_profile WHERE institution_id = ANY(CAST({places} AS uuid[]))) AS subject (id)
JOIN ranking_mark k ON k.subject_id = subject.id
"""
"""The mark of all that a standing refusal may depend on: the registry, the hospital, the places that it is linked with
and all their mentors, those that come later as well."""
_MARK = sa.text(GROUND_MARK.format(hospital=":hospital", places=":places")).bindparams(
    sa.bindparam("places", type_=ARRAY(PG_UUID(as_uuid=True)))
)


async def ground_mark(w: Work, hospital_id: UUID, places: Collection[UUID]) -> int:
    """Give the mark of now of the hospital, of these places that memoranda link with it, and of all their mentors."""
    (row,) = await w.fetch(_MARK, {"hospital": hospital_id, "places": list(places)})
    return int(row.mark)


async def _look(w: Work, consultation: tables.Consultation, ground: _Ground | None) -> tuple[Case, mentor_cache.Look]:
    """Load the case, and in the same statement the marks of everything that is kept."""
    values = _values(w, consultation) | {
        "registry": mentor_cache.REGISTRY,
        "institutions": list(ground.agreed.links) if ground else [],
        "same_case": _same_case(consultation),
    }
    (row,) = await w.fetch(_ASKED_AND_LOOKED, values)
    return _case(w, consultation, row), mentor_cache.look(row)


def _keep(kept: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    kept.pop(key, None)  # to the end of the queue
    kept[key] = value
    while len(kept) > MOST_GROUNDS:
        del kept[next(iter(kept))]


def _same_case(consultation: tables.Consultation) -> list[UUID]:
    return [consultation.id, consultation.follows_id] if consultation.follows_id else [consultation.id]


async def _near(
    w: Work, consultation: tables.Consultation, gate_case: Case, linked: Collection[Mentor]
) -> list[Mentor]:
    """Load some mentors of the case's specialty whom no memorandum links, and a few of any other."""
    institutions = {mentor.institution_id for mentor in linked}
    values = {"codes": [gate_case.specialty], "institutions": list(institutions), "most": NEAR_MISSES, "others": OTHERS}
    people = [row.person_id for row in await w.fetch(_NEAR, values)]
    same_case = _same_case(consultation)
    cached_mentors = await mentor_cache.facts(w, people)
    return [mentor_cache.mentor(cached, (), w.now, same_case) for cached in cached_mentors.values() if cached.is_active]


class Ranked(NamedTuple):
    """A ranking, the case that it is for, what it was made of, and which memoranda there are: none is left out."""

    ranking: ranking.Ranking
    case: Case
    inputs: records.Inputs
    links: records.Linked


async def ranked(
    w: Work,
    consultation: tables.Consultation,
    *,
    limit: int | None = None,
    but: Collection[UUID] = (),
    near: bool = False,
    booked: tables.Appointment | None = None,
    new_windows: tuple[Interval, ...] | None = None,
) -> Ranked:
    """Rank the mentors who can answer, without those in `but`.

    The first `limit` get proposals: without it, as many as a wave asks. With `near`, and few candidates, some whom no
    memorandum reaches are named among the excluded. For a `booked` time whose mentor left, those who can take that
    very time are ranked, and only if there are none the others. `new_windows` are the clinician's, where no table has
    them yet.
    """
    gate_case, book, linked, links = await _reachable(w, consultation)
    if new_windows is not None:
        gate_case = replace(gate_case, windows=new_windows)
    if limit is None:
        limit = book.policy.pace(consultation.priority).per_wave
    asked = [mentor for mentor in linked if mentor.person_id not in but]
    booked_time = (booked.starts_at, booked.ends_at) if booked else None
    inputs = records.Inputs(gate_case, asked, book, w.now, booked_time)
    order, used_case = ranking.rank_beside(gate_case, booked_time, asked, w.now, book, limit=limit)
    if near and len(order.candidates) < ENOUGH:
        near_ranking = ranking.rank(gate_case, await _near(w, consultation, gate_case, linked), w.now, book, limit=0)
        order = replace(order, excluded=(*order.excluded, *near_ranking.excluded))
    return Ranked(order, used_case, inputs, links)


async def what_would_help(inputs: records.Inputs, excluded: Sequence[Mentor]) -> Sequence[remedies.Remedy]:
    """Give what would open some of those mentors, the most helpful first.

    In a thread: with a thousand mentors it takes half a second, and other people are answered meanwhile.
    """
    return await asyncio.to_thread(remedies.what_would_help, inputs.case, excluded, inputs.now, inputs.book)
