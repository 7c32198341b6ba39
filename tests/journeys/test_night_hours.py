"""A time at night is agreed and proposed like any other, but never without a word (FT-11)."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

import flow
from integrations.mail import letters
from integrations.runtime.world import World
from world import TestClock

BOTH_SIDES = ["requesting", "partner"]


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


def at(scene: flow.Scene, hour: int, minute: int = 0) -> datetime:
    """Tomorrow at this hour of UTC: Paris is an hour ahead, Kyiv two."""
    return (scene.clock.now() + timedelta(days=1)).replace(hour=hour, minute=minute, second=0, microsecond=0)


def warned(time: datetime, *sides: str) -> list[dict[str, str]]:
    return [{"code": "night_hours", "at": flow.instant(time), "side": side} for side in sides]


async def told(scene: flow.Scene, template: str, who: str) -> tuple[list[str], str]:
    """The sides named in the values of that mail, and its plain text in English."""
    (row,) = await scene.rows(
        "SELECT payload FROM delivery WHERE payload ->> 'template' = :template AND person_id = :person",
        template=template,
        person=scene.people[who].id,
    )
    values: dict[str, Any] = row.payload["values"]
    links = dict.fromkeys(row.payload["links"], "https://pobratym.example/a/x")
    return values.get("at_night", []), letters.write(template, "en", "Name", values, links).plain


@pytest.mark.parametrize(
    ("hour", "minute", "sides"),
    [
        (2, 0, BOTH_SIDES),  # 03:00 in Paris, 04:00 in Kyiv
        (4, 45, BOTH_SIDES),  # 06:45 in Kyiv
        (5, 0, ["partner"]),  # 07:00 in Kyiv
        (6, 0, []),  # 07:00 in Paris
        (19, 30, []),  # until 22:00 in Kyiv
        (19, 35, ["requesting"]),
        (20, 30, ["requesting"]),  # until 22:00 in Paris
        (20, 31, BOTH_SIDES),
    ],
)
async def test_ft_11_a_counter_at_night_is_proposed_and_taken_with_a_warning_on_both_sides(
    scene: flow.Scene, hour: int, minute: int, sides: list[str]
) -> None:
    await scene.request()
    mine = await scene.offer()
    assert mine["warnings"] == []
    time = at(scene, hour, minute)
    countered = await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": [flow.instant(time)]})
    assert countered["warnings"] == warned(time, *sides)
    assert (await scene.get("clinician", f"/v1/offers/{mine['id']}"))["warnings"] == warned(time, *sides)
    people = {"requesting": "clinician", "partner": "mentor"}
    sides_told, text = await told(scene, "countered", "clinician")
    assert sides_told == [people[side] for side in sides]
    assert ("Please note: this is outside" in text) == bool(sides)
    taken = await scene.post("clinician", f"/v1/offers/{mine['id']}/counter/accept", {"starts_at": flow.instant(time)})
    assert taken["warnings"] == warned(time, *sides)
    for who in flow.BOTH:
        sides_told, text = await told(scene, "booked", who)
        assert sides_told == [people[side] for side in sides]
        assert ("Please note: this is outside" in text) == bool(sides)


async def test_ft_11_a_proposal_at_night_is_warned_of_until_it_is_agreed_and_afterwards(scene: flow.Scene) -> None:
    booked = await scene.booked_by_the_mentor()
    time = at(scene, 2)
    path = f"/v1/appointments/{booked['id']}/reschedule"
    proposed = await scene.post("clinician", path, {"starts_at": flow.instant(time)})
    assert proposed["warnings"] == warned(time, *BOTH_SIDES)
    assert (await told(scene, "move_proposed", "mentor"))[0] == flow.BOTH
    agreed = await scene.post("mentor", path, {"starts_at": flow.instant(time)})
    assert (agreed["starts_at"], agreed["warnings"]) == (flow.instant(time), warned(time, *BOTH_SIDES))
    assert (await told(scene, "moved", "clinician"))[0] == flow.BOTH


@pytest.mark.parametrize("verb", ["offers", "holds"])
async def test_ft_11_a_time_at_night_is_asked_for_or_held_by_hand_with_a_warning(scene: flow.Scene, verb: str) -> None:
    await scene.rows("UPDATE mentor_profile SET quiet_from_minute = 720, quiet_until_minute = 725 RETURNING 1")
    await scene.rows("UPDATE weekly_hours SET from_minute = 0, until_minute = 1440 RETURNING 1")
    until = flow.instant(at(scene, 5))
    windows = [{"from": flow.instant(at(scene, 1)), "until": until}]
    id_ = await scene.request(windows=windows)
    mine = await scene.offer()
    time = at(scene, 2)
    assert {warning["code"] for warning in mine["warnings"]} == {"night_hours"}
    assert (await told(scene, "offer", "mentor"))[0] == flow.BOTH
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})
    rival = str(scene.people["mentor" if verb == "offers" else "rival"].id)
    body: dict[str, Any] = {"mentor_id": rival}
    body |= {"starts": [flow.instant(time)]} if verb == "offers" else {"starts_at": flow.instant(time)}
    made = await scene.post("coordinator", f"/v1/consultations/{id_}/{verb}", body, 201)
    assert made["warnings"] == warned(time, *BOTH_SIDES)


async def test_ft_11_a_time_by_day_is_not_warned_of(scene: flow.Scene) -> None:
    booked = await scene.booked()
    assert booked["warnings"] == []
    assert (await told(scene, "booked", "mentor"))[0] == []
