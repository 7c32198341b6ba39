"""A request that nobody can take is looked at when what the refusals stand on changes, not by the clock (0108)."""

from datetime import timedelta
from typing import Any
from unittest import mock

import httpx
import pytest

import build
import flow
from integrations.runtime.world import World
from service import tables
from service.care import candidates
from service.kernel import actor, clock
from service.rules.matching import ranking
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up(mentors=("mentor",))
    return made


async def unmatched(scene: flow.Scene, because: str, priority: str = "urgent") -> str:
    await scene.rows(because)
    asked = await scene.request(priority=priority)
    assert await state(scene) == "unmatched"
    return asked


async def state(scene: flow.Scene) -> str:
    ((found,),) = await scene.rows("SELECT state FROM consultation")
    return str(found)


UNVERIFIED = "UPDATE mentor_profile SET verified_until = NULL"
CHANGES = {
    "verified": (UNVERIFIED, "UPDATE mentor_profile SET verified_until = '2099-01-01'"),
    "language": ("UPDATE person_language SET level = 'A1'", "UPDATE person_language SET level = 'C1'"),
    "cap": ("UPDATE mentor_profile SET sessions_per_week = 0", "UPDATE mentor_profile SET sessions_per_week = 5"),
    "memorandum": ("UPDATE memorandum SET status = 'suspended'", "UPDATE memorandum SET status = 'active'"),
    "area": ("INSERT INTO memorandum_area SELECT id, 'other' FROM memorandum", "DELETE FROM memorandum_area"),
    "specialty": ("DELETE FROM mentor_specialty",
                  "INSERT INTO mentor_specialty SELECT person_id, 'paediatrics' FROM mentor_profile"),
    "enabled": ("UPDATE person SET state = 'disabled' WHERE id IN (SELECT person_id FROM mentor_profile)",
                "UPDATE person SET state = 'active'"),
    "children": ("UPDATE mentor_profile SET treats_children = false",
                 "UPDATE mentor_profile SET treats_children = true"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_seen_at_the_next_sweep_and_without_one_nobody_looks(scene: flow.Scene, change: str) -> None:
    if change == "area":
        async with scene.world.database.work(actor.TIMER) as w:
            await build.specialty(w, "other")
    because, then = CHANGES[change]
    await unmatched(scene, because)
    scene.clock.forward(hours=5)
    with mock.patch.object(ranking, "rank", side_effect=AssertionError("nothing has changed")):
        await scene.sweep()
    assert await state(scene) == "unmatched"
    await scene.rows(then)
    await scene.sweep()
    assert await state(scene) == "offered"


async def test_a_new_mentor_is_seen(scene: flow.Scene) -> None:
    await unmatched(scene, UNVERIFIED)
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["new"] = await build.mentor(w, scene.lille)
    await scene.sweep()
    assert await state(scene) == "offered"


@pytest.mark.parametrize("kind", ["bilateral", "of a network"])
async def test_al_08_a_memorandum_that_comes_between_ground_and_mark_is_watched_too(
    scene: flow.Scene, kind: str
) -> None:
    read_mark, came = candidates.ground_mark, False

    async def after_one_came(*what: Any) -> int:  # noqa: ANN401 - handed on
        nonlocal came
        if not came:
            came = True
            await _another_partner(scene, kind)
        return await read_mark(*what)

    with mock.patch.object(candidates, "ground_mark", after_one_came):
        await unmatched(scene, UNVERIFIED)
    assert came
    watched = await scene.rows("SELECT unnest(waits_on) AS id FROM consultation")
    places = await scene.rows("SELECT institution_id AS id FROM mentor_profile")
    assert {row.id for row in places} <= {row.id for row in watched}
    await scene.sweep()
    assert await state(scene) == "unmatched"
    await scene.rows(
        "UPDATE mentor_profile SET verified_until = '2099-01-01' WHERE person_id = :id", id=scene.people["new"].id
    )
    await scene.sweep()
    assert await state(scene) == "offered"


async def _another_partner(scene: flow.Scene, kind: str) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        place = party = await build.partner(w)
        if kind == "of a network":
            party = await build.partner(w)
            since = scene.clock.now().date()
            await build.add(
                w, tables.Membership(id=clock.new_id(), institution_id=place.id, network_id=party.id, from_on=since)
            )
        scene.people["new"] = await build.mentor(w, place, verified_until=None)
        await build.memorandum(w, scene.asking, party)


async def test_the_clock_is_kept_where_the_refusal_may_pass(scene: flow.Scene) -> None:
    away = ("INSERT INTO availability_exception (id, person_id, from_wall, until_wall, kind)"
            " SELECT gen_random_uuid(), person_id, '2020-01-01', '2099-01-01', 'away' FROM mentor_profile")  # fmt: skip
    await unmatched(scene, away)
    (row,) = await scene.rows("SELECT next_wave_at, waits_mark FROM consultation")
    assert (row.waits_mark, row.next_wave_at) == (None, scene.clock.now() + timedelta(hours=4))


async def test_without_a_change_it_is_looked_at_once_a_day_and_ranked_rarely(scene: flow.Scene) -> None:
    with mock.patch.object(ranking, "rank", wraps=ranking.rank) as rank:
        await unmatched(scene, UNVERIFIED, priority="stat")
        for _ in range(150):
            scene.clock.forward(minutes=10)
            await scene.sweep()
    assert await state(scene) == "expired"
    assert rank.call_count <= 8
