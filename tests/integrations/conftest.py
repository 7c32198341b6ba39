"""What the tests of webhooks have in common."""

import dataclasses
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import httpx
import pytest

import flow
from integrations import outbound_http
from integrations.runtime.world import World
from world import TestClock

if TYPE_CHECKING:
    from fastapi import FastAPI


@pytest.fixture
async def outbound(
    world: World, test_clock: TestClock, client: httpx.AsyncClient, application: "FastAPI"
) -> AsyncIterator[flow.Scene]:
    """The scene of a flow, with receivers on loopback let through."""
    told = world.settings.model_copy(update={"outbound_allow": ("127.0.0.0/8",)})
    async with outbound_http.client(told) as guarded:
        application.state.world = own = dataclasses.replace(world, settings=told, outbound=guarded)
        made = flow.Scene(own, test_clock, client)
        await made.set_up()
        yield made
