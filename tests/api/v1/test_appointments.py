"""Appointments over HTTP: when the room may be entered."""

from datetime import timedelta

import httpx
import pytest

import flow
from integrations.runtime.world import World
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    world.settings = world.settings.model_copy(update={"room_url": "https://rooms.example/{appointment_id}"})
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


TEN_MINUTES, ONE_HOUR, ONE_SECOND = timedelta(minutes=10), timedelta(hours=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("edge", "offset", "status"),
    [
        ("starts_at", -TEN_MINUTES - ONE_SECOND, 409),
        ("starts_at", -TEN_MINUTES, 303),
        ("ends_at", ONE_HOUR - ONE_SECOND, 303),
        ("ends_at", ONE_HOUR, 409),
    ],
)
@pytest.mark.parametrize("who", flow.BOTH)
async def test_the_room_is_entered_from_ten_minutes_before_until_an_hour_after(
    scene: flow.Scene, who: str, edge: str, offset: timedelta, status: int
) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked[edge]) + offset)
    await scene.call(who, "GET", f"/v1/appointments/{booked['id']}/join", status=status)


async def test_who_comes_too_early_is_told_when_the_room_opens_and_closes(scene: flow.Scene) -> None:
    booked = await scene.booked()
    refused = (await scene.call("mentor", "GET", f"/v1/appointments/{booked['id']}/join", status=409)).json()
    assert refused["opens_at"] == flow.instant(flow.read_instant(booked["starts_at"]) - TEN_MINUTES)
    assert refused["closes_at"] == flow.instant(flow.read_instant(booked["ends_at"]) + ONE_HOUR)
