"""A clinician leaves the hospital: it hears at once which cases need one, and nothing goes to the one who left."""

from datetime import timedelta
from typing import Any

import pytest

import build
import flow
from flow import Scene
from leaving import LEAVING, Leave, disabled, moved, patch
from service.kernel import actor

CANCEL = ("clinician", "CANCEL", None, 1)


async def department_colleague(scene: Scene) -> None:
    """The clinician and another one are of the same department."""
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["next_door"] = await build.clinician(w, scene.asking, department="ward 3")
    await scene.rows(
        "UPDATE role_grant SET department = 'ward 3' WHERE person_id = :id RETURNING 1",
        id=scene.people["clinician"].id,
    )


async def left_with(scene: Scene, leave: Leave) -> flow.Change:
    await leave(scene, "clinician")
    await scene.look()
    await scene.sweep()
    change = await scene.change()
    await scene.sweep()
    assert (await scene.change()).mails == [], "told once"
    return change


@pytest.mark.parametrize("leave", LEAVING)
async def test_ft_02_one_mail_lists_the_cases_that_need_a_clinician(scene: Scene, leave: Leave) -> None:
    asked = [await scene.request(), await scene.request(mode="written"), await scene.request(consent=None)]
    change = await left_with(scene, leave)
    assert [mail for mail in change.mails if mail[0] == "clinician_left"] == [("clinician_left", "coordinator")]
    assert change.events.count(("consultation.clinician_left", "consultation")) == 3
    (mail,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'clinician_left'")
    assert [case["consultation_id"] for case in mail.payload["values"]["cases"]] == sorted(asked)
    for consultation in asked:
        assert (await scene.get("coordinator", f"/v1/consultations/{consultation}"))["needs_clinician"]


async def take_counter(scene: Scene) -> str:
    """A request whose offer the mentor counters."""
    consultation = await scene.request()
    offer = await scene.offer()
    start = await scene.later_start({"starts_at": offer["starts"][0]})
    await scene.post("mentor", f"/v1/offers/{offer['id']}/counter", {"starts": [start]})
    return consultation


@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("sweeps", [True, False], ids=["swept", "not yet swept"])
async def test_ft_02_mails_of_the_case_go_to_a_colleague_of_the_department(
    scene: Scene, leave: Leave, *, sweeps: bool
) -> None:
    await department_colleague(scene)
    await scene.request()
    await leave(scene, "clinician")
    if sweeps:
        await scene.sweep()
    await scene.look()
    offer = await scene.offer()
    start = await scene.later_start({"starts_at": offer["starts"][0]})
    await scene.post("mentor", f"/v1/offers/{offer['id']}/counter", {"starts": [start]})
    assert ("countered", "next_door") in (await scene.change()).mails
    await scene.press("next_door", "counter.accept")
    change = await scene.change()
    assert ("unattended", "next_door") in change.mails
    assert "clinician" not in {who for _, who in change.mails}
    assert ("mentor", "REQUEST", "CONFIRMED", 0) in change.calendars


async def test_ft_02_without_a_colleague_the_coordinators_have_the_mails(scene: Scene) -> None:
    await scene.request()
    await left_with(scene, disabled)
    offer = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    change = await scene.change()
    assert ("unattended", "coordinator") in change.mails
    assert "clinician" not in {who for _, who in change.mails}


async def test_ft_02_without_a_coordinator_an_admin_hears(scene: Scene) -> None:
    await scene.request()
    await disabled(scene, "coordinator")
    change = await left_with(scene, disabled)
    assert ("clinician_left", "admin") in change.mails
    scene.clock.forward(hours=9)
    await scene.sweep()
    assert ("alert", "admin") in (await scene.change()).mails
    assert (await scene.get("admin", "/v1/consultations"))["items"] != []


@pytest.mark.parametrize("leave", LEAVING)
async def test_ft_02_a_booked_time_stays_and_is_taken_out_of_the_calendar_of_the_one_who_left(
    scene: Scene, leave: Leave
) -> None:
    booked = await scene.booked()
    change = await left_with(scene, leave)
    assert change.calendars == [CANCEL]
    assert ("taken_out", "clinician") in change.mails
    assert ("clinician_left", "coordinator") in change.mails
    assert ("appointment.clinician_left", "appointment") in change.events
    state = await scene.state()
    assert (state.consultation, state.appointment, state.seats) == ("scheduled", "booked", ["mentor"])
    scene.clock.set(flow.read_instant(booked["starts_at"]) - timedelta(hours=1))
    await scene.sweep()
    mails = (await scene.change()).mails
    assert ("reminder", "mentor") in mails
    assert ("unattended", "coordinator") in mails
    assert "clinician" not in {who for _, who in mails}


@pytest.mark.parametrize("who", ["colleague", "clinician"])
async def test_ft_02_who_is_assigned_has_the_case_and_its_time(scene: Scene, who: str) -> None:
    booked = await scene.booked()
    await left_with(scene, disabled)
    await patch(scene, "clinician", {"state": "active"})
    consultation = (await scene.rows("SELECT id FROM consultation"))[0].id
    body = {"clinician_id": str(scene.people[who].id)}
    shown = await scene.post("coordinator", f"/v1/consultations/{consultation}/assign", body)
    assert (shown["clinician_id"], shown["needs_clinician"]) == (body["clinician_id"], False)
    change = await scene.change()
    assert ("booked", who) in change.mails
    assert ("clinician_replaced", "mentor") in change.mails
    assert (who, "REQUEST") in {(reader, method) for reader, method, *_ in change.calendars}
    assert change.events == []
    links = "SELECT 1 FROM link WHERE person_id = :id AND purpose = 'join' AND expires_at > :now"
    assert await scene.rows(links, id=scene.people[who].id, now=scene.clock.now())
    assert await scene.rows("SELECT 1 FROM appointment WHERE remind_at IS NOT NULL")
    assert (await scene.get("mentor", f"/v1/appointments/{booked['id']}"))["status"] == "booked"
    assert (await scene.state()).seats == sorted([who, "mentor"])
    await scene.sweep()
    assert (await scene.change()).mails == []


async def test_ft_02_a_call_without_a_clinician_at_its_start_is_called_off_and_both_sides_know(scene: Scene) -> None:
    booked = await scene.booked()
    await left_with(scene, disabled)
    scene.clock.set(flow.read_instant(booked["starts_at"]))
    await scene.rows("UPDATE appointment SET remind_at = NULL RETURNING 1")
    await scene.sweep()
    change = await scene.change()
    assert {("cancelled", "mentor"), ("called_off", "coordinator"), ("called_off", "partner")} <= set(change.mails)
    (row,) = await scene.rows("SELECT status, cancel_reason FROM appointment")
    assert (row.status, row.cancel_reason) == ("cancelled", "clinician_left")
    assert (await scene.state()).seats == []


async def test_ft_02_both_have_left_and_the_case_is_still_told_of(scene: Scene) -> None:
    booked = await scene.booked()
    await disabled(scene, "mentor")
    change = await left_with(scene, disabled)
    assert {("mentor_left", "coordinator"), ("mentor_left", "partner"), ("clinician_left", "coordinator")} <= set(
        change.mails
    )
    scene.clock.set(flow.read_instant(booked["starts_at"]))
    await scene.sweep()
    assert ("called_off", "coordinator") in (await scene.change()).mails
    assert (await scene.state()).seats == []


async def test_ft_02_advice_that_was_promised_is_read_by_who_stands_in(scene: Scene) -> None:
    await department_colleague(scene)
    consultation = await scene.request(mode="written")
    offer = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/accept")
    await left_with(scene, disabled)
    body = {"text": "Wait.", "minutes": 5}
    await scene.post("mentor", f"/v1/consultations/{consultation}/advice", body, 201)
    mails = (await scene.change()).mails
    assert ("advice_ready", "next_door") in mails
    assert "clinician" not in {who for _, who in mails}


@pytest.mark.parametrize(("leave", "status"), [(disabled, 401), (moved, 404)])
async def test_ft_02_who_left_opens_nothing_of_the_case(scene: Scene, leave: Leave, status: int) -> None:
    consultation = await take_counter(scene)
    (link, *_) = await scene.rows("SELECT id FROM link WHERE purpose = 'counter.accept'")
    await left_with(scene, leave)
    answer = await scene.client.get(f"/a/{scene.world.keys.link_token(link.id, 'counter.accept')}")
    assert (answer.status_code, "No longer yours" in answer.text or "Уже не ваше" in answer.text) == (410, True)
    await scene.call("clinician", "GET", f"/v1/consultations/{consultation}", status=status)
    assert await open_links(scene, "clinician") == []


async def open_links(scene: Scene, who: str) -> list[Any]:
    statement = "SELECT purpose FROM link WHERE person_id = :id AND used_at IS NULL AND expires_at > :now"
    return await scene.rows(statement, id=scene.people[who].id, now=scene.clock.now())


async def test_ft_02_back_before_anybody_was_assigned_the_case_is_theirs_again(scene: Scene) -> None:
    consultation = await scene.request()
    await left_with(scene, disabled)
    await patch(scene, "clinician", {"state": "active"})
    await scene.sweep()
    assert not (await scene.get("clinician", f"/v1/consultations/{consultation}"))["needs_clinician"]
    await left_with(scene, disabled)
    told = await scene.rows("SELECT 1 FROM delivery WHERE payload->>'template' = 'clinician_left'")
    assert len(told) == 2


async def test_ft_02_a_held_time_stays_without_the_clinician_who_left(scene: Scene) -> None:
    held = await flow.held(scene)
    change = await left_with(scene, disabled)
    assert change.calendars == [CANCEL]
    assert (await scene.state()).seats == ["mentor"]
    offer = await scene.offer()
    taken = await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": held["starts_at"]})
    assert taken["id"] == held["id"]
    mails = (await scene.change()).mails
    assert {("booked", "mentor"), ("unattended", "coordinator")} <= set(mails)
    assert "clinician" not in {who for _, who in mails}
