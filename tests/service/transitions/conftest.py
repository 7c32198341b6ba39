"""One table of transitions: each row of it, over each path that can cause it, leaves the same behind.

The rows of people and times, the mails with their readers and calendar parts, exactly one event for each subject whose
state changed, its version one higher (`Scene.change` checks that).
"""

import httpx
import pytest

from flow import Scene
from integrations.world import World
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    return made
