from collections.abc import AsyncIterator

import httpx
import pytest

import build
import probe
from api import app
from integrations.world import World
from service import actor


@pytest.fixture
async def caller(world: World) -> dict[str, str]:
    """The headers of a coordinator."""
    async with world.database.work(actor.TIMER) as w:
        who = await build.coordinator(w, await build.institution(w))
    return await build.bearer(world, who)


@pytest.fixture
async def probing(world: World, caller: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """The API with the probe resource beside the real ones; calls come from a coordinator."""
    found = app.create(world)
    found.include_router(probe.router)
    transport = httpx.ASGITransport(found, client=("127.0.0.1", 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=caller) as client:
        yield client
