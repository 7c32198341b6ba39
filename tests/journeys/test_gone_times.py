"""A time that is gone is listed nowhere, and whoever comes too late for it is told the next best (FT-14)."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

import flow
from integrations.runtime.world import World
from world import TestClock

ANSWER = '<button class="big'
"""What answers on the page of a link."""

Offer = dict[str, Any]


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up(("mentor",))
    return made


async def two_offers(scene: flow.Scene, *, same: str) -> tuple[Offer, Offer]:
    """Two offers that name the same times: of one mentor for two clinicians' cases, or of two for one clinician."""
    asking = "colleague" if same == "mentor" else "clinician"
    first, second = [
        (await scene.post(who, "/v1/consultations", scene.wish(priority="urgent"), 201))["id"]
        for who in ("clinician", asking)
    ]
    listed = {row["consultation_id"]: row for row in (await scene.get("mentor", "/v1/offers?state=pending"))["items"]}
    return listed[first], listed[second]


async def page(scene: flow.Scene, purpose: str, offer: Offer, start: str) -> httpx.Response:
    (link,) = await scene.rows(
        "SELECT id FROM link WHERE purpose = :purpose AND subject_id = :offer AND starts_at = :start",
        purpose=purpose,
        offer=offer["id"],
        start=flow.read_instant(start),
    )
    return await scene.client.get(f"/a/{scene.world.keys.link_token(link.id, purpose)}")


@pytest.mark.parametrize("same", ["mentor", "clinician"])
async def test_ft_14_a_time_taken_by_one_offer_is_listed_by_no_other(scene: flow.Scene, same: str) -> None:
    one, other = await two_offers(scene, same=same)
    start = one["starts"][0]
    assert start in other["starts"]
    await scene.post("mentor", f"/v1/offers/{one['id']}/accept", {"starts_at": start})
    shown = await scene.get("mentor", f"/v1/offers/{other['id']}")
    listed = (await scene.get("mentor", "/v1/offers?state=pending"))["items"]
    assert start not in shown["starts"]
    assert [row["starts"] for row in listed] == [shown["starts"]]
    refused = await scene.call("mentor", "POST", f"/v1/offers/{other['id']}/accept", {"starts_at": start}, status=409)
    problem = refused.json()
    assert problem["type"] == "/problems/slot-taken"
    assert problem["next_starts"]
    assert start not in problem["next_starts"]
    taken = await scene.post("mentor", f"/v1/offers/{other['id']}/accept", {"starts_at": problem["next_starts"][0]})
    assert taken["status"] == "booked"


async def test_ft_14_the_page_of_a_link_whose_time_is_gone_says_so_and_names_the_next_best(scene: flow.Scene) -> None:
    await scene.rows("UPDATE person SET locale = 'en' RETURNING 1")
    one, other = await two_offers(scene, same="mentor")
    start = one["starts"][0]
    assert ANSWER in (await page(scene, "offer.accept", other, start)).text
    await scene.post("mentor", f"/v1/offers/{one['id']}/accept", {"starts_at": start})
    gone = await page(scene, "offer.accept", other, start)
    assert (gone.status_code, ANSWER in gone.text, "Free instead" in gone.text) == (200, False, True)


async def test_ft_14_a_time_that_has_passed_is_not_listed(scene: flow.Scene) -> None:
    await scene.request(priority="urgent")
    mine = await scene.offer()
    assert len(mine["starts"]) > 1
    scene.clock.set(flow.read_instant(mine["starts"][0]) - timedelta(seconds=1))
    await scene.rows("UPDATE offer SET answer_by = answer_by + interval '10 hours' RETURNING 1")
    assert (await scene.offer())["starts"] == mine["starts"]
    scene.clock.forward(seconds=1)
    assert (await scene.offer())["starts"] == mine["starts"][1:]


async def test_ft_14_countered_times_that_are_gone_are_not_listed_for_the_requesting_side(scene: flow.Scene) -> None:
    one, other = await two_offers(scene, same="mentor")
    start, later = one["starts"][0], flow.instant(flow.read_instant(one["starts"][0]) + timedelta(hours=26))
    await scene.post("mentor", f"/v1/offers/{other['id']}/counter", {"starts": [start, later]})
    await scene.post("mentor", f"/v1/offers/{one['id']}/accept", {"starts_at": start})
    assert (await scene.get("colleague", f"/v1/offers/{other['id']}"))["counter_starts"] == [later]
    path = f"/v1/offers/{other['id']}/counter/accept"
    refused = await scene.call("colleague", "POST", path, {"starts_at": start}, status=409)
    assert (refused.json()["type"], refused.json()["next_starts"]) == ("/problems/slot-taken", [later])
    gone = await page(scene, "counter.accept", other, start)
    assert (gone.status_code, ANSWER in gone.text) == (200, False)
    assert (await scene.post("colleague", path, {"starts_at": later}))["starts_at"] == later


async def test_ft_14_what_the_case_itself_holds_for_an_offer_is_listed(scene: flow.Scene) -> None:
    held = await flow.held(scene)
    assert held["starts_at"] in (await scene.offer())["starts"]
    scene.clock.set(flow.read_instant(held["held_until"]))
    assert held["starts_at"] in (await scene.offer())["starts"]


async def test_ft_14_an_answered_offer_shows_what_was_offered(scene: flow.Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})
    assert (await scene.get("mentor", f"/v1/offers/{mine['id']}"))["starts"] == mine["starts"]
