"""The events in one order without gaps: whoever asks has the same as whoever is told, however late."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

import build
import flow
from api.edge import event_schemas
from integrations.runtime.world import World
from receiver import tell
from service import housekeeping, timers, vocabulary
from service.kernel import actor
from service.outbox import subscriptions
from world import TestClock

Json = Any


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def asked(scene: flow.Scene, who: str, cursor: str | None = None, limit: int = 200) -> tuple[list[Json], str]:
    """Ask for everything behind the cursor; gives it and the next cursor."""
    found: list[Json] = []
    while True:
        after = f"&after={cursor}" if cursor else ""
        page = await scene.get(who, f"/v1/events?limit={limit}{after}")
        found += page["items"]
        cursor = page["cursor"]
        if page["next"] is None:
            return found, page["cursor"]


async def test_wh_13_who_asks_has_what_the_webhooks_say_byte_for_byte_and_under_the_same_ids(
    scene: flow.Scene,
) -> None:
    made = await scene.post("coordinator", "/v1/webhook-endpoints", {"url": "https://hospital.example/in"}, 201)
    await flow.logged(scene)
    await timers.place_events(scene.world.database)
    found, _ = await asked(scene, "coordinator", limit=3)
    sent = await scene.rows("SELECT event_id, body FROM delivery WHERE endpoint_id = :id", id=made["id"])
    assert {item.pop("id"): item for item in found} == {str(row.event_id): json.loads(row.body) for row in sent}


async def test_wh_13_a_consumer_that_was_away_for_ten_days_catches_up_to_equality(scene: flow.Scene) -> None:
    _, cursor = await asked(scene, "coordinator")
    wanted = []
    for _ in range(10):
        scene.clock.forward(days=1)
        async with scene.world.database.work(actor.TIMER) as w:
            wanted += [tell(w, scene) for _ in range(7)]
        await timers.place_events(scene.world.database)
        await housekeeping.run(scene.world.database, housekeeping.Kept(365))
    found, cursor = await asked(scene, "coordinator", cursor, limit=20)
    assert [item["id"] for item in found] == wanted
    assert await asked(scene, "coordinator", cursor) == ([], cursor)


@pytest.mark.races
async def test_wh_13_nothing_is_ever_put_before_what_was_given_however_long_its_transaction_took(
    scene: flow.Scene,
) -> None:
    """Forty writers commit in another order than they began, sequencers run all the time, one reader goes on."""
    made: list[str] = []

    async def write(number: int) -> None:
        async with scene.world.database.work(actor.TIMER) as w:
            made.append(tell(w, scene))
            await w.flush()
            await asyncio.sleep(0.01 * (number * 7 % 11))

    async def sequence() -> None:
        while len(found) < 40:
            await timers.place_events(scene.world.database)
            await asyncio.sleep(0.005)

    found: list[str] = []
    cursor = None
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for number in range(40):
            tasks.create_task(write(number))
        for _ in range(2):
            tasks.create_task(sequence())
        while len(found) < 40:
            items, cursor = await asked(scene, "coordinator", cursor, limit=3)
            found += [item["id"] for item in items]
            await asyncio.sleep(0.005)
    positions = await scene.rows("SELECT position FROM event ORDER BY position")
    assert sorted(found) == sorted(made)
    assert [row.position for row in positions] == list(range(1, 41))


async def test_wh_13_an_event_is_kept_for_thirty_days_and_the_order_goes_on_behind_those_that_are_not(
    scene: flow.Scene,
) -> None:
    async def told() -> str:
        async with scene.world.database.work(actor.TIMER) as w:
            made = tell(w, scene)
        await timers.place_events(scene.world.database)
        return made

    async def kept() -> dict[str, int]:
        await housekeeping.run(scene.world.database, housekeeping.Kept(365))
        return {str(row.id): row.position for row in await scene.rows("SELECT id, position FROM event")}

    first, second = await told(), await told()
    scene.clock.forward(days=30)
    assert (await kept()).keys() == {first, second}
    scene.clock.forward(seconds=1)
    assert await kept() == {second: 2}
    third = await told()
    assert await kept() == {third: 3}


async def test_an_event_stays_while_a_delivery_of_it_is_kept(scene: flow.Scene) -> None:
    await scene.post("coordinator", "/v1/webhook-endpoints", {"url": "https://hospital.example/in"}, 201)
    async with scene.world.database.work(actor.TIMER) as w:
        tell(w, scene)
        await w.flush()
        tell(w, scene)
    await timers.place_events(scene.world.database)
    scene.clock.forward(days=40)
    await housekeeping.run(scene.world.database, housekeeping.Kept(365))
    assert len(await scene.rows("SELECT 1 FROM event")) == 2
    await scene.rows(
        "UPDATE delivery SET state = 'dead', next_attempt_at = NULL, settled_at = :at RETURNING 1",
        at=scene.clock.now() - timedelta(days=31),
    )
    await housekeeping.run(scene.world.database, housekeeping.Kept(365))
    assert await scene.rows("SELECT 1 FROM delivery") == []
    assert len(await scene.rows("SELECT 1 FROM event")) == 1


async def test_everybody_has_what_concerns_them_and_nothing_else(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["stranger"] = await build.clinician(w, await build.institution(w))
    await scene.booked()
    await timers.place_events(scene.world.database)
    found = {who: {item["type"] for item in (await asked(scene, who))[0]} for who in scene.people}
    assert found["clinician"] == found["coordinator"] == found["admin"] >= {"consultation.opened", "offer.sent"}
    assert found["mentor"] >= {"offer.sent", "offer.accepted", "appointment.booked"}
    assert "consultation.opened" not in found["mentor"] | found["partner"]
    assert found["colleague"] == found["stranger"] == set()


async def test_types_and_memorandum_narrow_what_is_given(scene: flow.Scene) -> None:
    await scene.request()
    await timers.place_events(scene.world.database)
    some = await scene.get("coordinator", "/v1/events?types=offer.sent,consultation.opened")
    under = await scene.get("coordinator", f"/v1/events?memorandum={scene.memorandum.id}")
    assert {item["type"] for item in some["items"]} == {"offer.sent", "consultation.opened"}
    assert {item["type"] for item in under["items"]} == {"offer.sent", "consultation.offered"}
    for query in ("types=offer.eaten", "types=,", "after=x", "after=WyJhIl0"):
        assert (await scene.call("coordinator", "GET", f"/v1/events?{query}")).status_code == 422


async def test_wh_05_every_type_has_a_schema_that_anybody_may_read(scene: flow.Scene) -> None:
    for type_ in (*vocabulary.EVENT_TYPES, subscriptions.TEST_EVENT):
        answer = await scene.client.get(f"/schemas/events/{type_}.json")
        assert answer.headers["content-type"] == event_schemas.MEDIA_TYPE
        assert answer.json()["properties"]["type"] == {"const": type_}
    assert (await scene.client.get("/schemas/events/offer.eaten.json")).status_code == 404


async def test_the_description_has_a_webhook_for_each_type(scene: flow.Scene) -> None:
    described = (await scene.client.get("/openapi.json")).json()["webhooks"]
    assert described.keys() == {*vocabulary.EVENT_TYPES, subscriptions.TEST_EVENT}
