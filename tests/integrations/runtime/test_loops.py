"""The loops of a process, when the database is gone."""

import asyncio

from integrations.runtime import loops
from integrations.runtime.world import World


async def test_loops_that_all_see_the_database_go_start_it_one_at_a_time(world: World) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    names = [f"loop {number}" for number in range(8)]
    is_alone = list[bool]()

    def revive() -> bool:  # in a thread, of which there are few
        is_alone.append(world.reviving.locked())
        if len(is_alone) == len(names):
            loop.call_soon_threadsafe(stop.set)
        return False

    async def fails(_: World, __: asyncio.Event) -> None:
        raise ConnectionRefusedError

    world.revive = revive
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(loops.again(world, stop, name, fails))
    assert all(is_alone)
