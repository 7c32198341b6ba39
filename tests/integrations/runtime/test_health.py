"""What an installation says of itself, to whoever watches it."""

import dataclasses

import httpx
import pytest

import build
import flow
from integrations.runtime import database_address, health, presence
from integrations.runtime import world as worlds
from integrations.runtime.connector import Connector
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock, work
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    """A scene seen from a process that serves, and does no worker's job."""
    world.presence.identity = dataclasses.replace(world.presence.identity, kind="api")
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def test_an_event_that_gets_no_position_says_that_no_worker_runs(world: World, test_clock: TestClock) -> None:
    async with world.database.work(actor.TIMER) as w:
        await build.memorandum(w, await build.institution(w), await build.partner(w))
        await build.add(
            w,
            tables.Event(
                id=clock.new_id(), type="memorandum.activated", subject_id=clock.new_id(), subject_version=1, body="{}",
                occurred_at=w.now,
            ),
        )  # fmt: skip
    assert await health.faults(world) == []
    test_clock.forward(minutes=16)
    assert (await health.faults(world), await health.notices(world)) == ([], ["deliveries_late"])


@pytest.mark.races
async def test_ops_07_a_worker_that_is_gone_is_named_within_a_minute(scene: flow.Scene) -> None:
    assert await health.notices(scene.world) == []  # nothing waits, and none was ever heard of
    here = scene.world.presence
    here.identity = dataclasses.replace(here.identity, kind="worker", id=clock.new_id())
    await here.beat(scene.world.database)
    assert await health.notices(scene.world) == []

    await scene.rows("UPDATE process SET beat_at = beat_at - interval '61 seconds' RETURNING id")
    assert await health.notices(scene.world) == ["no_worker"]

    here.identity = dataclasses.replace(here.identity, kind="api", id=clock.new_id())
    await here.beat(scene.world.database)
    assert await health.notices(scene.world) == ["no_worker"]
    here.identity = dataclasses.replace(here.identity, kind="api_with_worker", id=clock.new_id())
    await here.beat(scene.world.database)
    assert await health.notices(scene.world) == []


async def test_ops_07_mail_that_waits_for_a_minute_misses_a_worker(scene: flow.Scene) -> None:
    await scene.booked()
    assert await health.notices(scene.world) == []
    scene.clock.forward(seconds=61)
    assert await health.notices(scene.world) == ["no_worker"]


@pytest.mark.races
async def test_ops_07_ready_believes_the_database_for_no_longer_than_a_second(
    scene: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = scene.world.presence
    here.probe_seconds = presence.PROBE_SECONDS
    assert await health.faults(scene.world) == []
    stopwatch = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: stopwatch + 1.01)

    nobody = Connector(database_address.parse("postgresql://u@127.0.0.1:1/d"), usual_seconds=60)
    engine = worlds.engine_of(scene.world.settings, nobody, purpose="api", size=1)
    scene.world.watching = work.Database(engine, scene.world.clock, scene.world.keys)
    assert await health.faults(scene.world) == ["database_unreachable"]
