"""Appointments over HTTP at the edges of their times: the room, no-shows, moves, lists."""

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


@pytest.mark.parametrize("who", ["mentor", "clinician"])
@pytest.mark.parametrize(("offset", "status"), [(TEN_MINUTES - ONE_SECOND, 409), (TEN_MINUTES, 200)])
async def test_ft_07_somebody_can_be_missing_once_they_were_waited_for(
    scene: flow.Scene, who: str, offset: timedelta, status: int
) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["starts_at"]) + offset)
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/no-show", {"who": who}, status)


@pytest.mark.parametrize("verb", ["reschedule", "counter", "accept"])
async def test_no_time_is_agreed_or_proposed_that_begins_now(scene: flow.Scene, verb: str) -> None:
    await scene.request()
    mine = await scene.offer()
    start, later = mine["starts"][0], mine["starts"][-1]
    assert start < later
    path, body = f"/v1/offers/{mine['id']}/{verb}", {"starts_at": start}
    if verb == "counter":
        body = {"starts": [start]}
    elif verb == "reschedule":
        booked = await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": later})
        path = f"/v1/appointments/{booked['id']}/reschedule"
    scene.clock.set(flow.read_instant(start))
    refused = await scene.post("mentor", path, body, 422)
    assert refused["type"] == "/problems/time-not-bookable"


@pytest.mark.parametrize("fraction", ["00:30Z", "00:00.5Z"])
@pytest.mark.parametrize("verb", ["reschedule", "counter"])
async def test_a_time_is_on_a_whole_minute(scene: flow.Scene, verb: str, fraction: str) -> None:
    start = f"2026-11-17T14:{fraction}"
    if verb == "counter":
        await scene.request()
        path, body = f"/v1/offers/{(await scene.offer())['id']}/counter", {"starts": [start]}
        await scene.post("mentor", path, body, 422)
    else:
        booked = await scene.booked()
        await scene.post("mentor", f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": start}, 422)


async def test_the_times_of_a_counter_are_in_order_and_each_once(scene: flow.Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    starts = [f"2026-11-17T{hour}:00:00Z" for hour in (15, 14, 15)]
    countered = await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": starts})
    assert countered["counter_starts"] == ["2026-11-17T14:00:00Z", "2026-11-17T15:00:00Z"]


async def test_another_time_is_held_as_soon_as_the_hold_before_is_over_though_nobody_swept(scene: flow.Scene) -> None:
    booked = await flow.held(scene)
    mine = await scene.offer()
    path = f"/v1/consultations/{booked['consultation_id']}/holds"
    body = {"mentor_id": mine["mentor_id"], "starts_at": mine["starts"][-1]}
    held_until = flow.read_instant(booked["held_until"])
    scene.clock.set(held_until - ONE_SECOND)
    await scene.post("coordinator", path, body, 409)
    scene.clock.set(held_until)
    await scene.post("coordinator", path, body, 201)
    states = await scene.rows("SELECT status, cancel_reason FROM appointment ORDER BY id")
    assert [tuple(row) for row in states] == [("cancelled", "hold_expired"), ("pending", None)]


async def test_the_same_cancel_twice_is_one_and_with_another_reason_refused(scene: flow.Scene) -> None:
    booked = await scene.booked()
    path = f"/v1/appointments/{booked['id']}/cancel"
    first = await scene.post("mentor", path, {"reason": "illness"})
    again = await scene.post("mentor", path, {"reason": "illness"})
    assert (first["version"], first["sequence"]) == (again["version"], again["sequence"])
    await scene.post("mentor", path, {"reason": "emergency"}, 409)


@pytest.mark.parametrize(
    ("from_offset", "until_offset", "is_listed"),
    [(timedelta(0), ONE_SECOND, True), (ONE_SECOND, ONE_HOUR, False), (-ONE_HOUR, timedelta(0), False)],
)
async def test_appointments_are_listed_by_their_start_from_an_instant_until_before_another(
    scene: flow.Scene, from_offset: timedelta, until_offset: timedelta, is_listed: bool
) -> None:
    booked = await scene.booked()
    start = flow.read_instant(booked["starts_at"])
    path = f"/v1/appointments?from={flow.instant(start + from_offset)}&until={flow.instant(start + until_offset)}"
    listed = (await scene.get("mentor", path))["items"]
    assert [each["id"] for each in listed] == ([booked["id"]] if is_listed else [])
