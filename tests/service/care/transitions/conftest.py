"""One table of transitions: each row of it, over each path that can cause it, leaves the same behind.

The rows of people and times, the mails with their readers and calendar parts, exactly one event for each subject whose
state changed, its version one higher, its body as its schema has it, and one webhook of it to each hospital concerned
(`Scene.change` checks that; WH-08).
"""

import httpx
import pytest

from flow import Scene
from integrations.runtime.world import World
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    await made.listen()
    return made
