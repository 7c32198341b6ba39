"""A mentor far away is shown, booked and invited at the right instant in every window in which the distance differs.

What is right is told by the fixture of offsets and by Kyiv's own rule (two hours ahead of UTC, three in summer), not by
the zone data that the program reads.
"""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

import build
import flow
import letterbox
import postoffice
from flow import Scene
from integrations.runtime import mail_delivery
from integrations.runtime.world import World
from service.kernel import actor, outcomes
from world import MONDAY, TestClock

WINDOWS = json.loads(
    (Path(__file__).parent.parent / "rules" / "time" / "data" / "kyiv_offset_windows.json").read_text()
)
COUNTRIES = {"America/Winnipeg": "CA", "America/Toronto": "CA", "Asia/Jerusalem": "IL", "Europe/Istanbul": "TR"}
SUMMER = (datetime(2027, 3, 28, 1, tzinfo=UTC), datetime(2027, 10, 31, 1, tzinfo=UTC))
BEHIND = timedelta(hours=20)
EVERY = 1 if os.environ.get("DRILLS") == "1" else 5


def ahead() -> list[tuple[str, datetime, timedelta]]:
    """Give a full hour in the middle of each window that lies ahead: the zone, the instant, how far Kyiv is ahead."""
    found = []
    for zone in COUNTRIES:
        for since, until, hours in WINDOWS["zones"][zone]:
            start, end = (datetime.fromisoformat(text) for text in (since, until))
            start = max(start, MONDAY + BEHIND)
            if start < end:
                middle = (start + (end - start) / 2).replace(minute=0, second=0, microsecond=0)
                found.append((zone, middle, timedelta(hours=hours)))
    return found


def kyiv_wall(instant: datetime) -> datetime:
    """Give what clocks in Kyiv show."""
    is_summer = SUMMER[0] <= instant < SUMMER[1]
    return (instant + timedelta(hours=3 if is_summer else 2)).replace(tzinfo=None)


class Shelf(postoffice.Reachable):
    """An outbox that keeps what it is given, by reader."""

    def __init__(self) -> None:
        self.mails: dict[str, bytes] = {}

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        self.mails[recipient] = message
        return outcomes.Delivered(None)


async def far_away(world: World, clock: TestClock, client: httpx.AsyncClient, zone: str, wall: datetime) -> Scene:
    """Have a mentor in that zone, at hand on that day from that hour on, for one hour."""
    scene = Scene(world, clock, client)
    await scene.set_up(mentors=())
    async with world.database.work(actor.TIMER) as w:
        place = await build.partner(w, country=COUNTRIES[zone], zone=zone)
        from_minute = wall.hour * 60
        scene.people["mentor"] = await build.mentor(
            w,
            place,
            weekly=[(wall.weekday(), from_minute, from_minute + 60)],
            profile={"opt_ins": ["routine", "urgent"]},
            zone=zone,
        )
        await build.memorandum(w, scene.asking, place)
    return scene


@pytest.mark.load
@pytest.mark.parametrize(
    ("zone", "instant", "ahead_by"), ahead()[::EVERY], ids=lambda value: str(value).replace(" ", "T")
)
async def test_a_mentor_is_shown_booked_and_invited_at_the_right_instant(
    world: World, test_clock: TestClock, client: httpx.AsyncClient, zone: str, instant: datetime, ahead_by: timedelta
) -> None:
    mentor_wall = kyiv_wall(instant) - ahead_by
    test_clock.set(instant - BEHIND)
    scene = await far_away(world, test_clock, client, zone, mentor_wall)
    starts = [flow.instant(instant + timedelta(minutes=minutes)) for minutes in (0, 15, 30)]
    await shown_as_slots(scene, instant, mentor_wall, starts)
    asked = await scene.request(
        windows=[{"from": flow.instant(instant), "until": flow.instant(instant + timedelta(hours=2))}],
        consent={
            "scope": "countries",
            "countries": [COUNTRIES[zone]],
            "given_on": test_clock.now().date().isoformat(),
        },
    )
    ranking = await scene.get("clinician", f"/v1/consultations/{asked}/candidates")
    assert [one["mentor"] for one in ranking["excluded"]] == []
    offer = await scene.offer()
    assert offer["starts"][0] in starts
    booked = await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": starts[0]})
    assert {part["role"]: part["local"] for part in booked["participants"]} == {
        "clinician": kyiv_wall(instant).strftime("%Y-%m-%dT%H:%M"),
        "mentor": mentor_wall.strftime("%Y-%m-%dT%H:%M"),
    }
    await invited(scene, instant, kyiv_wall(instant), mentor_wall)


async def shown_as_slots(scene: Scene, instant: datetime, mentor_wall: datetime, starts: list[str]) -> None:
    around = [flow.instant(instant + timedelta(hours=hours)) for hours in (-12, 12)]
    mentor = scene.people["mentor"].id
    path = f"/v1/mentors/{mentor}/slots?from={around[0]}&until={around[1]}"
    slots = (await scene.get("clinician", path))["items"]
    assert [slot["starts_at"] for slot in slots] == starts
    assert slots[0]["mentor_local"] == mentor_wall.strftime("%Y-%m-%dT%H:%M")


async def invited(scene: Scene, instant: datetime, *walls: datetime) -> None:
    shelf = Shelf()
    scene.world.outbox = shelf
    for row in await scene.rows("SELECT id FROM delivery WHERE payload->>'template' = 'booked'"):
        await mail_delivery.deliver(scene.world, row.id)
    assert len(shelf.mails) == 2
    for message in shelf.mails.values():
        (ics, _) = letterbox.calendar_octets(message)
        assert letterbox.values(ics, "DTSTART") == [instant.strftime("%Y%m%dT%H%M%SZ")]
        assert all(wall.strftime("%H:%M") in letterbox.body(message, "plain") for wall in walls)


@pytest.mark.parametrize(
    ("zone", "gone"),
    [
        ("Europe/Kyiv", "2027-03-28T03:30"),
        ("America/Toronto", "2027-03-14T02:30"),
        ("Asia/Jerusalem", "2027-03-26T02:30"),
        ("Europe/Paris", "2027-03-28T02:30"),
    ],
)
async def test_inv_23_a_time_that_does_not_exist_is_refused_when_it_is_typed(
    world: World, test_clock: TestClock, client: httpx.AsyncClient, zone: str, gone: str
) -> None:
    scene = Scene(world, test_clock, client)
    await scene.set_up()
    path = f"/v1/mentors/{scene.people['mentor'].id}/availability"
    present = await scene.call("mentor", "GET", path, status=200)
    body = {"zone": zone, "weekly": [], "exceptions": [{"from": gone, "until": gone[:11] + "18:00", "kind": "away"}]}
    refused = await scene.call("mentor", "PUT", path, body, status=422, headers={"If-Match": present.headers["ETag"]})
    assert refused.json()["errors"][0]["pointer"] == "/exceptions/0/from"


async def test_a_time_that_exists_twice_means_the_first(
    world: World, test_clock: TestClock, client: httpx.AsyncClient
) -> None:
    test_clock.set(datetime(2027, 10, 29, 12, tzinfo=UTC))
    scene = Scene(world, test_clock, client)
    await scene.set_up()
    path = f"/v1/mentors/{scene.people['mentor'].id}/availability"
    present = await scene.call("mentor", "GET", path, status=200)
    twice = {"from": "2027-10-31T03:00", "until": "2027-10-31T03:45", "kind": "extra"}
    body = {"zone": "Europe/Kyiv", "weekly": [], "exceptions": [twice]}
    await scene.call("mentor", "PUT", path, body, status=200, headers={"If-Match": present.headers["ETag"]})
    await scene.rows("UPDATE mentor_profile SET opt_ins = '{routine}' RETURNING 1")
    mentor = scene.people["mentor"].id
    slots = await scene.get(
        "clinician", f"/v1/mentors/{mentor}/slots?from=2027-10-30T12:00:00Z&until=2027-10-31T12:00:00Z"
    )
    assert [slot["starts_at"] for slot in slots["items"]] == ["2027-10-31T00:00:00Z", "2027-10-31T00:15:00Z"]
