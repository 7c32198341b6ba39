"""A year that the service decided is rehearsed: by the policy in force every choice is made again exactly.

The year is the lab's, lived through by the service (`twins`). And a worker that is really killed at a
rehearsal leaves it to the next one.
"""

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

import build
import postoffice
import twins
from drills import site
from flow import Scene, instant
from integrations.runtime import rehearsing
from integrations.runtime.world import World
from lab.registry import BEGINS, Size
from service.kernel import actor
from world import TestClock

pytestmark = pytest.mark.drill
SIZE = Size(hospitals=6, partners=6, memoranda=12, clinicians=24, mentors=40)
DAYS, CASES = 364, 300
OTHERS = {"priorities": {name: {"per_wave": 4} for name in ("routine", "urgent")}}


async def rehearse(scene: Scene, policy: object) -> dict[str, object]:
    """Have the whole year rehearsed under these numbers, without an estimate."""

    async def silent(_: object) -> dict[str, object]:
        raise rehearsing.NotEstimated("not asked")

    body = {"policy": policy, "from": instant(BEGINS), "until": instant(scene.clock.now())}
    path = f"/v1/programmes/{scene.programme.id}/rehearsals"
    sent = await scene.call("admin", "POST", path, body, status=202)
    assert await rehearsing.once(scene.world, asyncio.Event(), silent)
    done = await scene.get("admin", sent.headers["location"])
    assert (done["state"], done["decisions_done"]) == ("done", done["decisions"])
    return dict(done)


async def test_al_07_a_year_is_made_again_exactly_and_one_changed_row_is_named(
    world: World, test_clock: TestClock, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await twins.both(world, test_clock, monkeypatch, 7, SIZE, DAYS, CASES)
    test_clock.forward(days=1)
    scene = Scene(world, test_clock, client)
    async with world.database.work(actor.TIMER) as w:
        scene.programme = await build.programme(w)
        scene.people["admin"] = await build.admin(w, scene.programme)
    exact = (await rehearse(scene, {}))["exact"]
    decisions = len(await scene.rows("SELECT 1 FROM decision"))
    assert decisions > CASES
    assert exact == {"decisions": decisions, "same": decisions, "no_longer_exact": 0, "differing": 0, "examples": []}
    others = await rehearse(scene, OTHERS)
    assert others["exact"] == exact  # what is made again does not ask for the other numbers
    assert others["one_step"]["others_asked"] > CASES / 10  # type: ignore[index]
    print(f"{decisions} choices: the same; {others['one_step']}")  # noqa: T201 - for `make drills`
    rows = await scene.rows("SELECT id FROM decision ORDER BY id")
    changed = random.Random(1).choice(rows).id
    await scene.rows("UPDATE decision SET at = at + interval '1 millisecond' WHERE id = :id", id=changed)
    again = (await rehearse(scene, {}))["exact"]
    assert (again["same"], again["differing"]) == (decisions - 1, 1)  # type: ignore[index]
    assert [each["decision_id"] for each in again["examples"]] == [str(changed)]  # type: ignore[index]


async def test_al_07_a_rehearsal_whose_worker_was_killed_is_ended_by_the_next_one(folder: Path) -> None:
    async with site.opened(folder) as running:
        scene = running.scene
        now = running.world.clock.now()
        async with running.world.database.work(actor.TIMER) as w:
            until = {"from_at": now - timedelta(days=1), "until_at": now}
            await build.rehearsal(w, scene.programme, state="waiting", settled_at=None, **until)

        async def is_in(state: str) -> bool:
            return [row.state for row in await scene.rows("SELECT state FROM rehearsal")] == [state]

        await postoffice.until(lambda: is_in("running"))
        await running.kill("worker")
        assert await is_in("running")
        await scene.rows("UPDATE rehearsal SET lease_until = clock_timestamp() RETURNING 1")
        await running.revive("worker")
        await postoffice.until(lambda: is_in("done"), rehearsing.LONGEST_SECONDS)
        (row,) = await scene.rows("SELECT attempts, result FROM rehearsal")
        assert (row.attempts, row.result["estimated"]["shape"]) == (2, "published")
