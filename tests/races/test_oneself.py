"""A browser that is subscribed twice at once, and what somebody stores of themself while they are erased."""

import asyncio
import json

import pytest

import build
from api.edge import push_receivers
from integrations.runtime.world import World
from journeys.test_address_stops import until_it_waits
from pages.scene import Scene
from service.kernel import actor
from service.kernel.actor import Actor
from service.outbox import push_subscriptions
from service.people import privacy
from world import TestClock

MADE = {
    "endpoint": "https://push.example/p/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
    "keys": {"p256dh": push_receivers.EXAMPLE_POINT, "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
}
pytestmark = pytest.mark.races


@pytest.fixture
async def scene(world: World, test_clock: TestClock) -> Scene:
    made = Scene(world, test_clock)
    await made.set_up()
    return made


@pytest.mark.parametrize("other", ["mentor", "clinician"])
async def test_sec_10_who_subscribes_a_browser_at_the_same_time_is_no_fault_of_ours(scene: Scene, other: str) -> None:
    """The one who was later has it, as if they had come a second later."""
    receiver = push_receivers.read(scene.world, json.dumps(MADE))
    later = getattr(scene, other)
    async with scene.browser(later) as browser:
        async with scene.world.database.work(await _actor(scene)) as w:
            await push_subscriptions.subscribe(w, receiver, None, None)
            await w.flush()
            second = asyncio.create_task(browser.post("/profile/push", data={"made": json.dumps(MADE)}))
            await until_it_waits(scene.world, second)
        answer = await second
    assert answer.status_code == 303, answer.text
    assert [row.person_id for row in await scene.rows("SELECT person_id FROM push_subscription")] == [later.id]


async def test_sec_10_nothing_is_pushed_to_a_browser_of_whoever_is_erased_meanwhile(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        async with scene.world.database.work(actor.TIMER) as w:
            await privacy.erase(w, scene.mentor.email)
            await w.flush()
            second = asyncio.create_task(browser.post("/profile/push", data={"made": json.dumps(MADE)}))
            await until_it_waits(scene.world, second)
        await second
    assert await scene.rows("SELECT 1 FROM push_subscription") == []


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/profile", {"display_name": "CANARY", "locale": "en", "zone": "Europe/Paris"}),
        ("/profile/notices", {"notices": "digest.mail", "phone": "+380441234567", "shows_phone": "yes"}),
    ],
)
async def test_sec_10_whoever_is_erased_meanwhile_gets_no_name_and_no_telephone_back(
    scene: Scene, path: str, sent: dict[str, str]
) -> None:
    (before,) = await scene.rows("SELECT version FROM person WHERE id = :id", id=scene.mentor.id)
    async with scene.browser(scene.mentor) as browser:
        async with scene.world.database.work(actor.TIMER) as w:
            await privacy.erase(w, scene.mentor.email)
            await w.flush()
            versions = [str(before.version + 1), str(before.version)]
            late = [asyncio.create_task(browser.post(path, data=sent | {"version": each})) for each in versions]
            for task in late:
                await until_it_waits(scene.world, task)
        for task in late:
            await task
    left = "SELECT display_name, phone, notices FROM person WHERE id = :id"
    assert [tuple(row) for row in await scene.rows(left, id=scene.mentor.id)] == [("-", None, [])]
    assert await scene.rows("SELECT 1 FROM digest") == []


async def _actor(scene: Scene) -> Actor:
    async with scene.world.database.work(actor.TIMER) as w:
        return await build.actor(w, scene.clinician)
