"""What an installation says of itself, to whoever watches it."""

import build
from integrations.runtime import health
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock
from world import TestClock


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
