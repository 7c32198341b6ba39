"""Whatever is read of a mentor leaves a mark when it changes: what was kept is not used again (decision 0021)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import xor
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import build
import comparing
from integrations.runtime.world import World
from service import housekeeping, tables, vocabulary
from service.care import candidates, mentor_cache
from service.kernel import actor
from service.kernel.work import Work
from service.rules.case import Mentor
from world import MONDAY

CHANGES = {
    "mentor_profile": "UPDATE mentor_profile SET notice_minutes = notice_minutes + 5 WHERE person_id = :mentor",
    "mentor_specialty": "DELETE FROM mentor_specialty WHERE person_id = :mentor",
    "weekly_hours": "DELETE FROM weekly_hours WHERE person_id = :mentor AND weekday = 1",
    "availability_exception": "INSERT INTO availability_exception (id, person_id, from_wall, until_wall, kind)"
    " VALUES (gen_random_uuid(), :mentor, '2099-11-18', '2099-11-19', 'away')",
    "person_language": "UPDATE person_language SET level = 'A1' WHERE person_id = :mentor",
    "person": "UPDATE person SET buffer_minutes = buffer_minutes + 5 WHERE id = :mentor",
    "institution": "UPDATE institution SET country = 'DE' WHERE id = :partner",
    "offer": "UPDATE offer SET sent_at = sent_at - interval '10 days' WHERE mentor_id = :mentor",
    "seat": "DELETE FROM seat WHERE person_id = :mentor",
    "appointment": "UPDATE appointment SET starts_at = starts_at + interval '7 days', ends_at = ends_at"
    " + interval '7 days' WHERE id = :visit",
    "participant": "UPDATE participant SET role = 'observer' WHERE person_id = :mentor",
}


OF_THE_REGISTRY = {
    "programme": "UPDATE programme SET zone = 'Europe/Warsaw'",
    "specialty": "INSERT INTO specialty (code, name_en, name_uk, is_bookable) VALUES ('new', 'n', 'n', true)",
    "specialty_parent": "INSERT INTO specialty_parent (code, also_parent_code)"
    " SELECT min(code), max(code) FROM specialty",
    "membership": "INSERT INTO membership (id, institution_id, network_id, from_on)"
    " VALUES (gen_random_uuid(), :other, :partner, '2020-01-01')",
    "memorandum": "UPDATE memorandum SET status = 'suspended'",
    "memorandum_party": "DELETE FROM memorandum_party WHERE institution_id = :partner",
    "memorandum_area": "INSERT INTO memorandum_area (memorandum_id, specialty_code)"
    " SELECT id, 'paediatrics' FROM memorandum",
}


@dataclass
class Scene:
    """A mentor with an offer and a booked appointment; an open case of the other side."""

    w: Work
    case: tables.Consultation
    ids: dict[str, UUID]

    async def all(self) -> list[Mentor]:
        return (await candidates._reachable(self.w, self.case))[2]

    async def read(self) -> Mentor:
        [mentor] = await self.all()
        return mentor

    async def kept(self) -> list[tuple[mentor_cache.CachedMentor, mentor_cache.Met]]:
        await self.all()
        ground = candidates._grounds[self.case.institution_id, self.case.programme_id]
        _, seen = await candidates._look(self.w, self.case, ground)
        return await mentor_cache.of_institutions(self.w, seen)

    async def ground(self) -> object:
        """Give what is kept of the registry, as a ranking of this moment finds it."""
        await candidates._reachable(self.w, self.case)
        kept = candidates._grounds[self.case.institution_id, self.case.programme_id]
        return comparing.numbers(kept.books), kept.agreed

    async def change(self, statement: str) -> None:
        used = {name: value for name, value in self.ids.items() if f":{name}" in statement}
        await self.w.sql(sa.text(statement), used)


@pytest.fixture
async def scene(w: Work) -> Scene:
    asking, partner = await build.institution(w), await build.partner(w)
    memorandum = await build.memorandum(w, asking, partner)
    clinician, mentor = await build.clinician(w, asking), await build.mentor(w, partner)
    other = await build.consultation(w, clinician, asking)
    await build.offer(w, other, mentor, memorandum)
    visit = await build.appointment(w, other, mentor, memorandum)
    case = await build.consultation(w, clinician, asking)
    elsewhere = await build.institution(w)
    return Scene(w, case, {"mentor": mentor.id, "partner": partner.id, "visit": visit.id, "other": elsewhere.id})


@pytest.mark.parametrize("table", CHANGES)
async def test_what_changed_is_read_again(scene: Scene, table: str) -> None:
    before = await scene.read()
    await scene.change(CHANGES[table])
    assert await scene.read() != before


@pytest.mark.parametrize("table", OF_THE_REGISTRY)
async def test_what_changed_in_the_registry_is_read_again(scene: Scene, table: str) -> None:
    before = await scene.ground()
    assert await scene.ground() == before
    await scene.change(OF_THE_REGISTRY[table])
    assert await scene.ground() != before


async def test_the_load_counts_what_was_asked_in_half_a_year_for_others_whatever_became_of_it(scene: Scene) -> None:
    w, states = scene.w, ("pending", "declined", "withdrawn", "expired")
    memorandum = (await w.sql(sa.select(tables.Memorandum))).scalars().one()
    person = await w.find(tables.Person, scene.ids["mentor"])
    clinician = await w.find(tables.Person, scene.case.clinician_id)
    hospital = await w.find(tables.Institution, scene.case.institution_id)
    assert person
    assert clinician
    assert hospital
    before = (await scene.read()).asked_180d
    for number, state in enumerate(states):
        other = await build.consultation(w, clinician, hospital)
        sent_at = w.now - timedelta(days=179 - number)
        await build.offer(w, other, person, memorandum, state=state, sent_at=sent_at)
    await build.offer(w, scene.case, person, memorandum, state="declined")  # one of its own does not count
    long_ago = await build.consultation(w, clinician, hospital)
    await build.offer(w, long_ago, person, memorandum, state="declined", sent_at=w.now - timedelta(days=181))
    undelivered = await build.consultation(w, clinician, hospital)
    await build.offer(w, undelivered, person, memorandum, state="expired", is_undelivered=True)
    assert (await scene.read()).asked_180d == before + len(states)


async def test_a_registry_that_changed_without_a_mark_would_be_noticed_by_every_test(scene: Scene) -> None:
    await scene.ground()
    await scene.w.sql(sa.text("SET LOCAL session_replication_role = replica"))  # what only an administrator can
    await scene.change(OF_THE_REGISTRY["memorandum"])
    with pytest.raises(AssertionError, match="registry was kept too long"):
        await scene.ground()


async def test_what_is_kept_of_hospitals_makes_room(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MOST_GROUNDS", 1)
    await scene.ground()
    elsewhere = await build.institution(scene.w)
    clinician = await build.clinician(scene.w, elsewhere)
    await candidates._reachable(scene.w, await build.consultation(scene.w, clinician, elsewhere))
    assert len(candidates._grounds) == 1
    assert await scene.read()


async def test_what_did_not_change_is_kept(scene: Scene) -> None:
    ((one, _),) = await scene.kept()
    ((other, _),) = await scene.kept()
    assert other is one


async def test_a_change_without_a_mark_would_be_noticed_by_every_test(scene: Scene) -> None:
    await scene.read()
    await scene.w.sql(sa.text("SET LOCAL session_replication_role = replica"))  # what only an administrator can
    await scene.change(CHANGES["weekly_hours"])
    with pytest.raises(AssertionError, match="kept too long"):
        await scene.read()


async def test_a_mentor_who_is_no_longer_active_is_not_ranked(scene: Scene) -> None:
    await scene.read()
    person = await scene.w.read(tables.Person, scene.ids["mentor"])
    person.state = "disabled"
    assert await scene.all() == []


async def test_a_kept_mentor_does_not_know_what_was_over_at_a_later_time(scene: Scene) -> None:
    now = scene.w.now
    scene.w.now = now + timedelta(days=60)
    assert (await scene.read()).busy == ()
    scene.w.now = now  # a manual clock was set back
    assert (await scene.read()).busy != ()


async def test_nobody_is_missing_when_more_mentors_are_ranked_than_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    partner = await scene.w.read(tables.Institution, scene.ids["partner"])
    await build.mentor(scene.w, partner)
    monkeypatch.setattr(mentor_cache, "MOST_KEPT", 1)
    for _ in range(3):
        assert len(await scene.kept()) == 2


@dataclass
class Places:
    """Two institutions that a case reaches, with a mentor each."""

    world: World
    case: tables.Consultation
    one: UUID
    other: UUID
    mentor: UUID  # of the one

    async def do(self, statement: str, **values: object) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            await w.sql(sa.text(statement), values)

    async def ranked(self) -> list[Mentor]:
        async with self.world.database.work(actor.TIMER) as w:
            return (await candidates._reachable(w, self.case))[2]


@pytest.fixture
async def places(world: World) -> Places:
    async with world.database.work(actor.TIMER) as w:
        asking, one, other = await build.institution(w), await build.partner(w), await build.partner(w)
        for partner in (one, other):
            await build.memorandum(w, asking, partner)
            await build.mentor(w, partner)
        mentor = await build.mentor(w, one)
        case = await build.consultation(w, await build.clinician(w, asking), asking)
    made = Places(world, case, one.id, other.id, mentor.id)
    await made.ranked()
    return made


@pytest.mark.parametrize(("most", "at_once", "loaded"), [(100, 1, 3), (100, 100, 3), (2, 1, 2), (0, 1, 0)])
async def test_after_a_start_the_mentors_are_loaded_in_lots_and_no_more_than_are_kept(
    places: Places, monkeypatch: pytest.MonkeyPatch, most: int, at_once: int, loaded: int
) -> None:
    monkeypatch.setattr(mentor_cache, "MOST_KEPT", most)
    monkeypatch.setattr(mentor_cache, "WARMED_AT_ONCE", at_once)
    async with places.world.database.work(actor.TIMER) as w:
        unlinked = await build.partner(w)
        await build.mentor(w, unlinked)
    mentor_cache._cache.clear()
    assert await mentor_cache.warm(places.world.database, lambda: False) == loaded
    kept = [cached for place in mentor_cache._cache.values() for cached in place.mentors]
    assert len(kept) == loaded
    assert len(await places.ranked()) == 3


async def test_mentors_that_were_loaded_after_a_start_are_not_read_again(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    mentor_cache._cache.clear()
    await mentor_cache.warm(places.world.database, lambda: False)
    read: list[object] = []
    reread = mentor_cache._reread

    async def noted(w: Work, own_marks: Mapping[UUID, int | None]) -> object:
        read.append(own_marks)
        return await reread(w, own_marks)

    monkeypatch.setattr(mentor_cache, "_reread", noted)
    assert (len(await places.ranked()), read) == (3, [])
    await places.do(
        "UPDATE mentor_profile SET notice_minutes = notice_minutes + 5 WHERE person_id = :m", m=places.mentor
    )
    assert (len(await places.ranked()), len(read)) == (3, 1)


async def test_loading_after_a_start_ends_with_the_process(places: Places) -> None:
    assert await mentor_cache.warm(places.world.database, lambda: True) == 0


_MOVE = "UPDATE mentor_profile SET institution_id = :place WHERE person_id = :mentor"


@pytest.mark.races
async def test_a_mentor_who_moves_to_an_institution_while_it_changes_is_read_as_it_is_then(places: Places) -> None:
    async with places.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE institution SET country = 'US' WHERE id = :place"), {"place": places.other})
        await places.do(_MOVE, place=places.other, mentor=places.mentor)
        await places.ranked()
    assert {m.country for m in await places.ranked() if m.institution_id == places.other} == {"US"}


@pytest.mark.races
async def test_who_is_disabled_while_becoming_a_mentor_is_not_ranked(places: Places) -> None:
    async with places.world.database.work(actor.TIMER) as w:
        person = await build.clinician(w, await w.read(tables.Institution, places.other))
    async with places.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE person SET state = 'disabled' WHERE id = :id"), {"id": person.id})
        await places.do(
            "INSERT INTO mentor_profile (person_id, institution_id, availability_zone, created_at)"
            " VALUES (:id, :place, 'Europe/Paris', now())",
            id=person.id,
            place=places.other,
        )
        assert person.id in {m.person_id for m in await places.ranked()}
    assert person.id not in {m.person_id for m in await places.ranked()}


@pytest.mark.races
async def test_a_mentor_who_moves_between_two_looks_is_ranked_once(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with places.world.database.work(actor.TIMER) as w:
        await build.mentor(w, await w.read(tables.Institution, places.other))  # so that it is read again
    read = mentor_cache._reread

    async def after_the_move(w: Work, own_marks: Mapping[UUID, int | None]) -> object:
        await places.do(_MOVE, place=places.other, mentor=places.mentor)
        return await read(w, own_marks)

    monkeypatch.setattr(mentor_cache, "_reread", after_the_move)
    assert [m.person_id for m in await places.ranked()].count(places.mentor) == 1


async def test_many_marks_become_one_that_says_the_same(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        mentor = await build.mentor(w)
        for _ in range(5):
            await w.sql(sa.text("INSERT INTO ranking_mark (subject_id) VALUES (:id)"), {"id": mentor.id})
        before = await _marks(w, mentor.id)
    await housekeeping.run(world.database, housekeeping.Kept(1))
    async with world.database.work(actor.TIMER) as w:
        after = await _marks(w, mentor.id)
    assert len(before) > len(after) == 1
    assert _together(before) == _together(after)


async def _marks(w: Work, person_id: UUID) -> list[int]:
    found = await w.sql(sa.text("SELECT value FROM ranking_mark WHERE subject_id = :id"), {"id": person_id})
    return list(found.scalars())


def _together(marks: list[int]) -> int:
    return reduce(xor, marks)


_SENT = st.sampled_from([timedelta(days=days) for days in (0, 6, 7, 29, 30, 179, 180)])
_OFFERS = st.lists(
    st.tuples(
        st.tuples(_SENT, st.integers(-1, 1)).map(lambda age: MONDAY - age[0] - timedelta(microseconds=age[1])),
        st.sampled_from(vocabulary.STORED_OFFER_STATES),
        st.sampled_from([UUID(int=number) for number in range(1, 4)]),
        st.booleans(),
    ),
    max_size=6,
)
_LATER = st.tuples(st.sampled_from([-1, 0, 1, 7, 23, 30, 151, 173, 180]), st.integers(-1, 1)).map(
    lambda passed: MONDAY + timedelta(days=passed[0], microseconds=passed[1])
)


@settings(deadline=None)
@given(_OFFERS, st.lists(st.tuples(_LATER, st.integers(1, 5)), min_size=1, max_size=6))
def test_counts_that_are_kept_are_those_that_are_counted_anew(
    offers: list[tuple[datetime, str, UUID, bool]], questions: list[tuple[datetime, int]]
) -> None:
    def cached() -> mentor_cache.CachedMentor:
        nobody = (UUID(int=0),) * 18
        cases = frozenset(case for _, _, case, _ in offers)
        return mentor_cache.CachedMentor(1, MONDAY, True, UUID(int=9), nobody, (), (), tuple(offers), cases, [])

    kept = cached()
    for now, case in questions:
        asked: Any = [(), now, [UUID(int=case)]]
        fresh = mentor_cache._offers(offers, now, UUID(int=case))
        assert mentor_cache.mentor(kept, *asked) == mentor_cache.mentor(cached(), *asked)
        counted = mentor_cache.mentor(kept, *asked)
        assert (counted.offers_7d, counted.offers_30d, counted.asked_180d) == fresh[:3]
        assert (counted.offers_180d, counted.answered_in_time_180d, counted.answered_late_180d) == fresh[3:]
