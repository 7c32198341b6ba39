"""Webhooks, from the change to the bytes at the partner: signed, once, under one id."""

import dataclasses
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
import standardwebhooks

import flow
import receiver
from integrations import http, lanes
from integrations.world import World
from service import clock
from world import TestClock

PATH = "/v1/webhook-endpoints"


@pytest.fixture
async def scene(
    world: World,
    test_clock: TestClock,
    client: httpx.AsyncClient,
    application: Any,  # noqa: ANN401 - FastAPI, which most tests do not import
) -> AsyncIterator[flow.Scene]:
    """The scene, with receivers on loopback let through."""
    told = world.settings.model_copy(update={"outbound_allow": ("127.0.0.0/8",)})
    async with http.client(told) as outbound:
        application.state.world = own = dataclasses.replace(world, settings=told, outbound=outbound)
        made = flow.Scene(own, test_clock, client)
        await made.set_up()
        yield made


async def sent(scene: flow.Scene, made: Any, deadline_seconds: float = 5) -> None:  # noqa: ANN401 - JSON
    """Send the endpoint everything that is due now."""
    await lanes.Lanes(scene.world, deadline_seconds).drain(UUID(made["id"]))


async def log(scene: flow.Scene, made: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """Read the endpoint's deliveries, newest first."""
    return list((await scene.get("coordinator", f"{PATH}/{made['id']}/deliveries"))["items"])


async def test_wh_01_every_delivery_has_the_three_headers_and_the_published_library_accepts_it(
    scene: flow.Scene,
) -> None:
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(scene, hospital.url)
        await scene.request()
        await sent(scene, made)
    assert len(hospital.arrivals) == 4
    verifier = standardwebhooks.Webhook(made["secret"])
    for arrival in hospital.arrivals:
        verifier.verify(arrival.body, arrival.headers)
        assert re.fullmatch(r"\d{10}", arrival.headers["webhook-timestamp"])
        assert re.fullmatch(r"v1,[A-Za-z0-9+/]{43}=", arrival.headers["webhook-signature"])
        assert "." not in arrival.headers["webhook-id"]
    assert {json.loads(arrival.body)["type"] for arrival in hospital.arrivals} == {
        "consultation.opened",
        "consultation.offered",
        "offer.sent",
    }


async def test_wh_01_the_id_and_the_body_are_the_same_on_every_retry_and_the_timestamp_is_the_attempts(
    scene: flow.Scene,
) -> None:
    scene.clock.set(datetime(2031, 1, 1, tzinfo=UTC))
    async with receiver.opened() as hospital:
        made = await receiver.endpoint(scene, hospital.url, types=["consultation.opened"])
        await scene.request()
        hospital.status(500)
        await sent(scene, made)
        scene.clock.forward(days=1)
        hospital.status(200)
        await sent(scene, made)
    first, second = hospital.arrivals
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    for arrival in hospital.arrivals:
        assert abs(int(arrival.headers["webhook-timestamp"]) - clock.wall().timestamp()) < 60
        standardwebhooks.Webhook(made["secret"]).verify(arrival.body, arrival.headers)
