"""Whoever may no longer act is followed (FT-01): nothing stays with them, and all whom it concerns hear."""

from datetime import timedelta

import pytest

import flow
from flow import Scene
from leaving import LOSING, Leave, disabled, unverified, verified_until
from service.kernel import actor
from service.outbox import deliveries
from service.people import privacy


async def one_at_a_time(scene: Scene) -> None:
    """A wave is one mentor, and no wave ends for a day."""
    policy = '{"priorities": {"urgent": {"per_wave": 1, "wave_minutes": 1000}}}'
    await scene.rows(f"UPDATE programme SET policy = '{policy}' RETURNING 1")


async def asked_first(scene: Scene) -> str:
    (row,) = await scene.rows("SELECT mentor_id FROM offer WHERE state IN ('pending', 'countered')")
    return scene.name(row.mentor_id)


def other_than(mentor: str) -> str:
    return "rival" if mentor == "mentor" else "mentor"


@pytest.mark.parametrize("leave", LOSING)
@pytest.mark.parametrize("state", ["pending", "countered"])
async def test_ft_01_an_open_offer_of_a_mentor_who_left_is_withdrawn_and_the_next_is_asked(
    scene: Scene, leave: Leave, state: str
) -> None:
    await one_at_a_time(scene)
    await scene.request()
    left = await asked_first(scene)
    offer = await scene.offer(left)
    if state == "countered":
        start = await scene.later_start({"starts_at": offer["starts"][0]})
        await scene.post(left, f"/v1/offers/{offer['id']}/counter", {"starts": [start]})
    await leave(scene, left)
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    assert ("offer.withdrawn", left) in change.events
    assert ("offer.sent", other_than(left)) in change.events
    assert ("offer", other_than(left)) in change.mails
    await scene.sweep()
    assert (await scene.change()).mails == []


@pytest.mark.parametrize("leave", LOSING)
async def test_ft_01_the_place_of_a_booked_mentor_who_left_is_offered_for_the_same_time(
    scene: Scene, leave: Leave
) -> None:
    await one_at_a_time(scene)
    await scene.request()
    left = await asked_first(scene)
    offer = await scene.offer(left)
    booked = await scene.post(left, f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    await leave(scene, left)
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    other = other_than(left)
    assert ("appointment.mentor_left", "appointment") in change.events
    assert {("mentor_left", "clinician"), ("mentor_left", "coordinator"), ("mentor_left", "partner")} <= set(
        change.mails
    )
    assert ("offer", other) in change.mails
    assert (left, "CANCEL", None, 1) in change.calendars
    assert ("clinician", "REQUEST", "TENTATIVE", 1) in change.calendars
    (asked,) = await scene.rows("SELECT id, starts FROM offer WHERE state = 'pending'")
    assert [flow.instant(start) for start in asked.starts] == [booked["starts_at"]]
    shown = await scene.get("clinician", f"/v1/appointments/{booked['id']}")
    assert (booked["needs_mentor"], shown["status"], shown["needs_mentor"]) == (False, "booked", True)
    state = await scene.state()
    assert (state.consultation, state.appointment, state.seats) == ("offered", "booked", ["clinician"])
    taken = await scene.post(other, f"/v1/offers/{asked.id}/accept", {"starts_at": booked["starts_at"]})
    assert (taken["id"], taken["starts_at"], taken["needs_mentor"]) == (booked["id"], booked["starts_at"], False)
    change = await scene.change()
    assert ("mentor_replaced", "clinician") in change.mails
    assert ("booked", other) in change.mails
    state = await scene.state()
    assert (state.consultation, state.appointment, state.seats) == ("scheduled", "booked", sorted(["clinician", other]))
    await scene.sweep()
    assert (await scene.change()).mails == []


async def test_ft_01_who_left_is_neither_reminded_nor_let_into_the_room(scene: Scene) -> None:
    booked = await scene.booked()
    (join,) = await scene.rows(
        "SELECT id FROM link WHERE purpose = 'join' AND person_id = :id", id=scene.people["mentor"].id
    )
    await unverified(scene, "mentor")
    await scene.sweep()
    await scene.look()
    scene.clock.set(flow.read_instant(booked["starts_at"]) - timedelta(minutes=5))
    answer = await scene.client.get(f"/j/{scene.world.keys.link_token(join.id, 'join')}")
    assert answer.status_code == 410
    await scene.sweep()
    assert ("reminder", "mentor") not in (await scene.change()).mails
    await scene.call("mentor", "GET", f"/v1/appointments/{booked['id']}/invite.ics", status=404)


@pytest.mark.parametrize("leave", LOSING)
async def test_ft_01_a_call_that_nobody_has_taken_over_by_its_start_is_called_off(scene: Scene, leave: Leave) -> None:
    await flow.alone(scene)
    booked = await scene.booked()
    await leave(scene, "mentor")
    await scene.sweep()
    await scene.sweep()
    await scene.look()
    scene.clock.set(flow.read_instant(booked["starts_at"]))
    await scene.sweep()
    change = await scene.change()
    assert ("appointment.cancelled", "appointment") in change.events
    assert {("cancelled", "clinician"), ("called_off", "coordinator"), ("called_off", "partner")} <= set(change.mails)
    assert [calendar[:2] for calendar in change.calendars] == [("clinician", "CANCEL")]
    (row,) = await scene.rows("SELECT status, cancel_reason FROM appointment")
    assert (row.status, row.cancel_reason) == ("cancelled", "mentor_left")
    assert (await scene.state()).seats == []
    await scene.sweep()
    assert (await scene.change()).mails == []


async def test_ft_01_a_call_whose_mentor_leaves_while_it_goes_on_is_called_off_at_once(scene: Scene) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["starts_at"]) + timedelta(minutes=1))
    await disabled(scene, "mentor")
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    assert {("cancelled", "clinician"), ("called_off", "coordinator"), ("called_off", "partner")} <= set(change.mails)
    assert (await scene.state()).appointment == "cancelled"


async def test_ft_01_a_session_that_took_place_is_still_logged(scene: Scene) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await disabled(scene, "mentor")
    await scene.sweep()
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/session", flow.happened(booked), 201)


@pytest.mark.parametrize("leave", LOSING)
async def test_ft_01_a_hold_of_a_mentor_who_left_is_let_go(scene: Scene, leave: Leave) -> None:
    await flow.held(scene)
    await leave(scene, "mentor")
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    assert ("appointment.hold_expired", "appointment") in change.events
    assert ("clinician", "CANCEL", "CANCELLED", 1) in change.calendars
    assert (await scene.state()).seats == []


@pytest.mark.parametrize("leave", LOSING)
async def test_ft_01_advice_promised_by_a_mentor_who_left_is_sought_elsewhere(scene: Scene, leave: Leave) -> None:
    await scene.request(mode="written")
    offer = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/accept")
    await leave(scene, "mentor")
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    assert ("consultation.opened", "consultation") in change.events
    told = {("advice_handed_back", who) for who in ("clinician", "coordinator", "partner")}
    assert told <= set(change.mails)
    assert ("offer_written", "rival") in change.mails
    promises = "SELECT 1 FROM offer WHERE state = 'accepted' AND ended_at IS NULL"
    assert await scene.rows(promises) == []


async def test_ft_01_a_verification_that_ends_before_the_booked_start_is_found_when_it_is_shortened(
    scene: Scene,
) -> None:
    booked = await scene.booked()
    start = flow.read_instant(booked["starts_at"])
    await verified_until(scene, "mentor", flow.instant(start + timedelta(minutes=1)))
    await scene.look()
    await scene.sweep()
    assert (await scene.change()).mails == []
    await verified_until(scene, "mentor", flow.instant(start))
    await scene.sweep()
    assert ("mentor_left", "clinician") in (await scene.change()).mails
    assert (await scene.state()).participants.keys() == {"clinician"}


async def test_ft_01_an_offer_whose_times_lie_beyond_the_verification_is_withdrawn(scene: Scene) -> None:
    await scene.request()
    offer = await scene.offer()
    await verified_until(scene, "mentor", offer["starts"][0])
    await scene.look()
    await scene.sweep()
    assert ("offer.withdrawn", "mentor") in (await scene.change()).events


async def test_ft_01_a_vacant_call_can_be_called_off_but_neither_moved_nor_missed_nor_logged(scene: Scene) -> None:
    booked = await scene.booked()
    await unverified(scene, "mentor")
    await scene.sweep()
    path = f"/v1/appointments/{booked['id']}"
    start = await scene.later_start(booked)
    await scene.call("clinician", "POST", f"{path}/reschedule", {"starts_at": start}, status=409)
    await scene.call("clinician", "POST", f"{path}/no-show", {"who": "mentor"}, status=409)
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await scene.call("clinician", "POST", f"{path}/session", flow.happened(booked), status=409)
    await scene.post("clinician", f"{path}/cancel", {"reason": "busy"})
    assert (await scene.state()).consultation == "cancelled"


async def test_ft_01_written_advice_taken_in_place_of_a_vacant_call_calls_it_off(scene: Scene) -> None:
    await one_at_a_time(scene)
    await scene.request(mode="either")
    left = await asked_first(scene)
    offer = await scene.offer(left)
    await scene.post(left, f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    await disabled(scene, left)
    await scene.sweep()
    other = other_than(left)
    offer = await scene.offer(other)
    await scene.look()
    await scene.post(other, f"/v1/offers/{offer['id']}/accept")
    assert ("cancelled", "clinician") in (await scene.change()).mails
    assert (await scene.state()).consultation == "scheduled"
    assert (await scene.state()).seats == []


async def test_ft_01_erasing_waits_until_nothing_is_with_the_person(scene: Scene) -> None:
    await scene.booked()
    await disabled(scene, "mentor")
    await scene.sweep()
    async with scene.world.database.work(actor.TIMER) as w:
        await privacy.erase(w, scene.people["mentor"].email)
    await scene.sweep()
    links = await scene.rows("SELECT 1 FROM link WHERE person_id = :id", id=scene.people["mentor"].id)
    reminders = await scene.rows("SELECT 1 FROM seat WHERE person_id = :id", id=scene.people["mentor"].id)
    assert (links, reminders) == ([], [])
    page = await scene.get("admin", f"/v1/people/{scene.people['mentor'].id}")
    assert page["display_name"] == "-"
    mails = "SELECT 1 FROM delivery WHERE person_id = :id AND state = 'pending'"
    assert await scene.rows(mails, id=scene.people["mentor"].id) == []


async def test_ft_01_a_disabled_person_is_mailed_nothing_that_was_waiting(scene: Scene) -> None:
    await scene.booked()
    await disabled(scene, "mentor")
    await scene.sweep()
    waiting = await scene.rows("SELECT id, payload FROM delivery WHERE person_id = :id", id=scene.people["mentor"].id)
    left = []
    for mail in waiting:
        async with scene.world.database.work(actor.TIMER) as w:
            if await deliveries.claim(w, mail.id):
                left.append(mail.payload["template"])
    assert left == ["taken_out"]


@pytest.mark.parametrize("leave", [unverified])
async def test_ft_01_nothing_waits_for_a_mentor_who_left(scene: Scene, leave: Leave) -> None:
    await scene.booked()
    await leave(scene, "mentor")
    await scene.sweep()
    assert (await scene.get("mentor", "/v1/offers?state=pending"))["items"] == []
    assert (await scene.get("mentor", "/v1/appointments"))["items"] == []
