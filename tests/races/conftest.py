"""Races run on a database of their own, with time enough to queue; every one of them must end without a deadlock."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import URL

import crowd
import flow
import world as simulated
from integrations.settings import Settings
from integrations.world import World
from service import clock


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "provoked: provokes the deadlock that the others must not have")


@pytest.fixture
async def world(
    server_url: URL, template: str, the_settings: Settings, test_clock: simulated.TestClock
) -> AsyncIterator[World]:
    """Everything a process holds, on a copy of the database; patient, because the machine may be slow."""
    patient = the_settings.model_copy(
        update={"pool_size": 16, "pool_timeout_ms": 120_000, "lock_timeout_ms": 60_000, "statement_timeout_ms": 60_000}
    )
    async with simulated.database(server_url, f"pobratym_{clock.new_id().hex}", template) as url:
        engine = simulated.engine(patient, url)
        yield simulated.made(patient, engine, test_clock)
        await engine.dispose()


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
