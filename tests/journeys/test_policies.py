"""A programme's numbers change: who goes by which, and what is told of it."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from flow import Scene
from integrations.runtime.world import World
from world import TestClock

SLOWER = {"priorities": {"urgent": {"answer_due_minutes": 2880, "wave_minutes": 120, "per_wave": 1}}}


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up(("mentor", "rival", "third", "fourth"))
    return made


async def _save(scene: Scene, policy: dict[str, Any]) -> None:
    path = f"/v1/programmes/{scene.programme.id}"
    await scene.call("admin", "PATCH", path, {"policy": policy}, status=200, headers={"If-Match": "*"})


async def _asked(scene: Scene, consultation_id: str) -> int:
    statement = "SELECT count(*) AS asked FROM offer WHERE consultation_id = :id AND wave = :wave"
    (row,) = await scene.rows("SELECT waves, next_wave_at FROM consultation WHERE id = :id", id=consultation_id)
    return int((await scene.rows(statement, id=consultation_id, wave=row.waves))[0].asked)


async def test_al_05_a_case_goes_by_the_policy_that_it_opened_under(scene: Scene) -> None:
    running = await scene.request()
    assert await _asked(scene, running) == 2
    scene.clock.forward(minutes=1)
    await _save(scene, SLOWER)
    scene.clock.forward(minutes=1)
    later = await scene.request()
    assert await _asked(scene, later) == 1
    (row,) = await scene.rows("SELECT answer_due_at, opened_at FROM consultation WHERE id = :id", id=later)
    assert row.answer_due_at - row.opened_at == timedelta(days=2)
    scene.clock.forward(hours=4)
    await scene.sweep()  # the mentors asked first have let it pass
    assert await _asked(scene, running) == 2
    assert await _asked(scene, later) == 1


async def test_al_05_a_policy_that_changes_twice_leaves_each_case_its_own(scene: Scene) -> None:
    cases = []
    for count in (1, 3, 2):
        scene.clock.forward(minutes=1)
        await _save(scene, {"priorities": {"urgent": {"per_wave": count}}})
        scene.clock.forward(minutes=1)
        cases.append((await scene.request(), count))
    for consultation_id, count in cases:
        assert await _asked(scene, consultation_id) == count
        await scene.rows("UPDATE offer SET is_undelivered = true, state = 'expired'")
        await scene.rows("UPDATE consultation SET next_wave_at = opened_at WHERE id = :id", id=consultation_id)
        await scene.sweep()
        assert await _asked(scene, consultation_id) == count


async def test_al_05_each_saved_policy_is_a_row_that_stays_and_an_event_says_what_it_was(scene: Scene) -> None:
    first, second = {"hold_minutes": 20}, {"hold_minutes": 30}
    await _save(scene, first)
    scene.clock.forward(minutes=1)
    await _save(scene, second)
    await _save(scene, second)  # no change: nothing to tell
    rows = await scene.rows("SELECT body, by, valid_from FROM policy_version ORDER BY valid_from")
    assert [row.body for row in rows] == [{}, first, second]  # an older program had made the programme
    assert [row.by for row in rows] == [None, *[scene.people["admin"].id] * 2]
    events = await scene.rows("SELECT body, programme_id FROM event WHERE type = 'policy.changed' ORDER BY id")
    told = [json.loads(event.body)["data"] for event in events]
    assert [(each["old"], each["new"]) for each in told] == [({}, first), (first, second)]
    assert {event.programme_id for event in events} == {scene.programme.id}


async def test_al_05_a_change_without_a_version_counts_for_all_as_an_older_program_makes_it(scene: Scene) -> None:
    await _save(scene, {"priorities": {"urgent": {"per_wave": 1}}})
    scene.clock.forward(minutes=1)
    await scene.rows('UPDATE programme SET policy = \'{"priorities": {"urgent": {"per_wave": 3}}}\'')
    assert await _asked(scene, await scene.request()) == 3


async def test_al_05_another_field_of_a_programme_makes_no_version(scene: Scene) -> None:
    path = f"/v1/programmes/{scene.programme.id}"
    await scene.call("admin", "PATCH", path, {"name": "Інша"}, status=200, headers={"If-Match": "*"})
    assert await scene.rows("SELECT 1 FROM policy_version") == []
