"""A server that hangs keeps none of its own timeouts: ours ends the wait."""

import asyncio

import pytest
import sqlalchemy as sa

from integrations.runtime import health, job_queue, worker
from integrations.runtime.world import World
from service.kernel import actor, errors, work

pytestmark = pytest.mark.races  # the connection is given up, so it must not be the shared one


async def test_a_unit_of_work_beyond_its_deadline_is_unavailable_and_gives_its_connection_up(world: World) -> None:
    world.database.deadline_seconds = 0.1
    with pytest.raises(errors.Unavailable):
        async with world.database.work(actor.TIMER) as w:
            await w.sql(sa.text("SELECT pg_sleep(4)"))
    assert world.engine.pool.status().endswith("Current Checked out connections: 0")


async def test_a_database_that_does_not_answer_is_unreachable(world: World) -> None:
    world.presence.answer_seconds = 0
    assert await health.faults(world) == ["database_unreachable"]


async def test_ops_03_after_a_deadline_no_other_connection_to_the_server_is_trusted(world: World) -> None:
    async def backends() -> set[int]:
        async with world.database.work(actor.TIMER) as one, world.database.work(actor.TIMER) as other:
            return {(await w.sql(sa.text("SELECT pg_backend_pid()"))).scalar_one() for w in (one, other)}

    before = await backends()
    assert await backends() == before
    hanging = work.Database(world.engine, world.clock, world.keys, deadline_seconds=0.1)
    with pytest.raises(errors.Unavailable):
        async with hanging.work(actor.TIMER) as w:
            await w.sql(sa.text("SELECT pg_sleep(4)"))
    assert not await backends() & before


async def test_ops_03_a_server_that_the_queue_does_not_hear_is_given_up_by_every_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hears_nothing(_: object) -> None:
        raise TimeoutError

    async def wait_for_ever() -> None:
        async with world.database.work(actor.TIMER) as w:
            began.set()
            await w.sql(sa.text("SELECT pg_sleep(50)"))

    began, stop = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(job_queue._Watched, "look", hears_nothing)
    waiting = asyncio.create_task(wait_for_ever())
    await began.wait()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run(world, stop))
        with pytest.raises(errors.Unavailable):
            await waiting
        stop.set()
