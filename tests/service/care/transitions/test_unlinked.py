"""A memorandum that no longer links two hospitals, and a person's zone: what is open or agreed follows (FT-01)."""

from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import build
import flow
from flow import Scene
from leaving import patch
from service import tables
from service.care import unlinked
from service.kernel import actor, clock
from service.rules.time import availability

OTHER_ZONE = "Asia/Tokyo"


async def suspend(scene: Scene) -> None:
    await scene.look()
    body = {"to": "suspended", "on": scene.clock.now().date().isoformat()}
    await scene.post("admin", f"/v1/memoranda/{scene.memorandum.id}/transitions", body)


async def by_membership(scene: Scene) -> str:
    """Let the memorandum be a network's, to which the asking hospital belongs; give the membership's id."""
    async with scene.world.database.work(actor.TIMER) as w:
        network = await build.institution(w, kind="network")
        membership = tables.Membership(
            id=clock.new_id(), institution_id=scene.asking.id, network_id=network.id, from_on=date(2026, 1, 1)
        )
        await build.add(w, membership)
    await scene.rows(
        "UPDATE memorandum_party SET institution_id = :network WHERE institution_id = :asking RETURNING 1",
        network=network.id,
        asking=scene.asking.id,
    )
    return str(membership.id)


async def leave_network(scene: Scene, membership: str) -> None:
    path = f"/v1/institutions/{scene.asking.id}/memberships/{membership}/end"
    await scene.post("admin", path, {"until": scene.clock.now().date().isoformat()})


async def another_memorandum(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await build.memorandum(w, scene.asking, scene.lille)


@pytest.mark.parametrize("state", ["pending", "countered"])
@pytest.mark.parametrize("via", ["memorandum", "membership"])
async def test_ft_01_open_offers_that_no_memorandum_reaches_are_withdrawn(scene: Scene, via: str, state: str) -> None:
    membership = await by_membership(scene) if via == "membership" else None
    await scene.request()
    offer = await scene.offer()
    if state == "countered":
        start = await scene.later_start({"starts_at": offer["starts"][0]})
        await scene.post("mentor", f"/v1/offers/{offer['id']}/counter", {"starts": [start]})
    await (leave_network(scene, membership) if membership else suspend(scene))
    await scene.look()
    await scene.sweep()
    await scene.sweep()
    change = await scene.change()
    assert {("offer.withdrawn", "mentor"), ("offer.withdrawn", "rival")} <= set(change.events)
    assert ("offer_closed", "mentor") in change.mails
    assert ("unmatched", "coordinator") in change.mails
    links = "SELECT 1 FROM link WHERE purpose LIKE 'offer.%' AND used_at IS NULL AND expires_at > :now"
    assert await scene.rows(links, now=scene.clock.now()) == []
    assert (await scene.get("mentor", "/v1/offers?state=pending"))["items"] == []


@pytest.mark.parametrize(
    ("zone", "at", "is_over"),
    [
        ("Europe/Kyiv", "2026-11-16T21:59:59Z", False),
        ("Europe/Kyiv", "2026-11-16T22:00:00Z", True),  # midnight there
        ("America/New_York", "2026-11-17T04:59:59Z", False),
        ("America/New_York", "2026-11-17T05:00:00Z", True),
    ],
)
async def test_ft_01_a_membership_ends_with_the_day_of_the_programme(
    scene: Scene, zone: str, at: str, *, is_over: bool
) -> None:
    membership = await by_membership(scene)
    await scene.rows("UPDATE programme SET zone = :zone RETURNING 1", zone=zone)
    case = await scene.request()
    path = f"/v1/institutions/{scene.asking.id}/memberships/{membership}/end"
    await scene.post("admin", path, {"until": "2026-11-17"})
    await scene.rows("UPDATE offer SET answer_by = answer_by + interval '3 days' RETURNING 1")
    await scene.rows("UPDATE consultation SET next_wave_at = next_wave_at + interval '3 days' RETURNING 1")
    scene.clock.set(flow.read_instant(at))
    await scene.sweep()
    offers = await scene.rows("SELECT state FROM offer WHERE consultation_id = :case", case=case)
    assert {row.state for row in offers} == {"withdrawn" if is_over else "pending"}
    due = sa.text(unlinked.OFFERS_UNLINKED)
    async with scene.world.database.work(actor.TIMER) as w:
        assert (await w.sql(due, {"now": w.now})).all() == []  # none is found again and again


async def test_ft_01_open_offers_go_on_under_another_memorandum(scene: Scene) -> None:
    await scene.request()
    await another_memorandum(scene)
    await suspend(scene)
    await scene.look()
    await scene.sweep()
    assert (await scene.change()).mails == []
    offer = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})


@pytest.mark.parametrize("via", ["memorandum", "membership"])
@pytest.mark.parametrize("cancels", [False, True])
async def test_ft_01_both_sides_hear_of_promised_advice_that_no_memorandum_reaches(
    scene: Scene, via: str, *, cancels: bool
) -> None:
    if cancels:
        policy = '{"cancels_when_memorandum_ends": true}'
        await scene.rows(f"UPDATE programme SET policy = '{policy}' RETURNING 1")
    membership = await by_membership(scene) if via == "membership" else None
    await scene.request(mode="written")
    offer = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/accept")
    await (leave_network(scene, membership) if membership else suspend(scene))
    await scene.look()
    await scene.sweep()
    mails = (await scene.change()).mails
    assert {("memorandum_ended", "coordinator"), ("memorandum_ended", "partner")} <= set(mails)
    assert (("advice_handed_back", "clinician") in mails) == cancels
    await scene.sweep()
    assert "memorandum_ended" not in {name for name, _ in (await scene.change()).mails}


@pytest.mark.parametrize("cancels", [False, True])
async def test_ft_01_both_sides_hear_of_a_booked_time_that_a_membership_no_longer_reaches(
    scene: Scene, *, cancels: bool
) -> None:
    if cancels:
        policy = '{"cancels_when_memorandum_ends": true}'
        await scene.rows(f"UPDATE programme SET policy = '{policy}' RETURNING 1")
    membership = await by_membership(scene)
    await scene.booked()
    await leave_network(scene, membership)
    await scene.look()
    await scene.sweep()
    mails = (await scene.change()).mails
    assert {("memorandum_ended", "coordinator"), ("memorandum_ended", "partner")} <= set(mails)
    assert (("cancelled", "mentor") in mails) == cancels
    assert (await scene.state()).appointment == ("cancelled" if cancels else "booked")
    reminders = await scene.rows("SELECT 1 FROM appointment WHERE remind_at IS NOT NULL")
    assert bool(reminders) != cancels
    await scene.sweep()
    assert "memorandum_ended" not in {name for name, _ in (await scene.change()).mails}


async def test_ft_01_a_booked_time_goes_on_under_another_memorandum(scene: Scene) -> None:
    membership = await by_membership(scene)
    await scene.booked()
    await another_memorandum(scene)
    await leave_network(scene, membership)
    await scene.look()
    await scene.sweep()
    assert (await scene.change()).mails == []
    (row,) = await scene.rows("SELECT route FROM appointment")
    assert row.route == "direct"


@pytest.mark.parametrize("who", ["clinician", "mentor"])
async def test_ft_01_who_lives_in_another_zone_is_told_when_the_call_is_on_their_clock(scene: Scene, who: str) -> None:
    booked = await scene.booked()
    await patch(scene, who, {"zone": OTHER_ZONE})
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    assert (change.events, change.mails, change.calendars) == ([], [("zone_changed", who)], [])
    (row,) = await scene.rows("SELECT zone, wall FROM participant WHERE person_id = :id", id=scene.people[who].id)
    assert (row.zone, row.wall) == (
        OTHER_ZONE,
        availability.to_wall(flow.read_instant(booked["starts_at"]), OTHER_ZONE),
    )
    await scene.sweep()
    assert (await scene.change()).mails == []
    assert (await scene.get(who, "/v1/me"))["zone"] == OTHER_ZONE
    assert (await reminder(scene, who))["values"]["zone"] == OTHER_ZONE


async def reminder(scene: Scene, who: str) -> Any:  # noqa: ANN401 - a mail is JSON
    """Go on to the next reminder, and give what it says to them."""
    (row,) = await scene.rows("SELECT remind_at FROM appointment WHERE remind_at IS NOT NULL")
    scene.clock.set(row.remind_at)
    await scene.sweep()
    (mail,) = await scene.rows(
        "SELECT payload FROM delivery WHERE person_id = :id AND payload->>'template' = 'reminder'",
        id=scene.people[who].id,
    )
    return mail.payload


async def test_ft_01_mails_after_a_change_of_language_and_name_are_in_it(scene: Scene) -> None:
    booked = await scene.booked()
    await patch(scene, "mentor", {"locale": "uk", "display_name": "Anne Martin"})
    await scene.sweep()
    assert (await scene.get("mentor", "/v1/me"))["display_name"] == "Anne Martin"
    await scene.look()
    start = flow.instant(flow.read_instant(booked["starts_at"]) + timedelta(minutes=15))
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": start})
    (mail,) = await scene.rows(
        "SELECT payload FROM delivery WHERE person_id = :id AND payload->>'template' = 'moved'",
        id=scene.people["mentor"].id,
    )
    assert (mail.payload["locale"], mail.payload["calendar"]["method"]) == ("uk", "REQUEST")
    assert (await reminder(scene, "mentor"))["locale"] == "uk"
    assert ("reminder", "mentor") in (await scene.change()).mails


async def test_ft_01_what_is_held_goes_with_the_offer_that_no_memorandum_reaches(scene: Scene) -> None:
    await flow.held(scene)
    await suspend(scene)
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    assert ("appointment.hold_expired", "appointment") in change.events
    assert (await scene.state()).seats == []
