"""Every race must end without a deadlock."""

from collections.abc import AsyncIterator

import httpx
import pytest

import crowd
import flow
import world as simulated
from integrations.runtime.world import World


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "provoked: provokes the deadlock that the others must not have")


@pytest.fixture(autouse=True)
async def no_deadlock(world: World, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Look at the server's own count when the race is over."""
    yield
    if request.node.get_closest_marker("provoked") is None:
        assert await crowd.deadlocks(world) == 0


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made
