"""One case for the tests of pages."""

import pytest

import world as simulated
from integrations.runtime.world import World
from pages.scene import Scene


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock) -> Scene:
    made = Scene(world, test_clock)
    await made.set_up()
    return made
