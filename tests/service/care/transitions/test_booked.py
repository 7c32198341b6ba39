"""What moving, taking over and cancelling an appointment leave behind."""

from datetime import datetime, timedelta
from typing import Any

import pytest

import build
import flow
from flow import Scene
from service.kernel import actor


@pytest.mark.parametrize("who", ["clinician", "mentor", "coordinator", "partner"])
async def test_a_move_keeps_the_appointment_and_asks_everybody_again(scene: Scene, who: str) -> None:
    booked = await scene.booked()
    await scene.look()
    start = await scene.later_start(booked)
    moved = await scene.post(who, f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": start})
    change = await scene.change()
    assert (moved["id"], moved["version"]) == (booked["id"], booked["version"] + 1)
    assert change.events == [("appointment.rescheduled", "appointment")]
    assert change.mails == [("moved", "clinician"), ("moved", "mentor")]
    assert change.calendars == [(reader, "REQUEST", "CONFIRMED", 1) for reader in flow.BOTH]
    assert await scene.state() == flow.State("scheduled", "booked", dict.fromkeys(flow.BOTH, "needs-action"), flow.BOTH)


async def mentor_agrees(scene: Scene) -> None:
    (row,) = await scene.rows("SELECT id, proposed_starts FROM appointment")
    body = {"starts_at": flow.instant(row.proposed_starts[0])}
    await scene.post("mentor", f"/v1/appointments/{row.id}/reschedule", body)


async def mentor_presses_agree(scene: Scene) -> None:
    await scene.press("mentor", "move.accept")


@pytest.mark.parametrize("path", [mentor_agrees, mentor_presses_agree])
async def test_a_time_that_is_not_bookable_is_proposed_and_moves_once_the_other_side_agrees(
    scene: Scene, path: flow.Step
) -> None:
    await flow.alone(scene)
    booked = await scene.booked(priority="routine")
    night = flow.instant(flow.read_instant(booked["starts_at"]).replace(hour=19) + timedelta(days=1))
    before = await scene.state()
    await scene.look()
    move = f"/v1/appointments/{booked['id']}/reschedule"
    await scene.post("clinician", move, {"starts_at": night})
    proposed = await scene.change()
    assert (proposed.events, proposed.mails) == ([], [("move_proposed", "mentor")])
    assert await scene.state() == before
    await path(scene)
    change = await scene.change()
    assert change.events == [("appointment.rescheduled", "appointment")]
    assert change.mails == [("moved", "clinician"), ("moved", "mentor")]
    (row,) = await scene.rows("SELECT starts_at FROM appointment")
    assert flow.instant(row.starts_at) == night


@pytest.mark.parametrize("verb", ["accept", "move"])
async def test_a_mentor_who_was_asked_enough_this_week_may_still_take_and_move_what_is_theirs(
    scene: Scene, verb: str
) -> None:
    await scene.rows("UPDATE mentor_profile SET offers_per_week = 1 RETURNING 1")
    await scene.request()
    mine = await scene.offer()
    await scene.rows(
        "INSERT INTO consultation SELECT (jsonb_populate_record(c, jsonb_build_object("
        "'id', gen_random_uuid(), 'state', 'cancelled', 'number', NULL))).* FROM consultation c RETURNING 1"
    )
    await scene.rows(
        "INSERT INTO offer SELECT (jsonb_populate_record(o, jsonb_build_object("
        "'id', gen_random_uuid(), 'state', 'declined', 'consultation_id',"
        " (SELECT id FROM consultation WHERE state = 'cancelled')))).* FROM offer o RETURNING 1"
    )
    start = flow.instant(flow.read_instant(mine["starts"][0]) + timedelta(hours=1))
    first = start if verb == "accept" else mine["starts"][0]
    booked = await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": first})
    if verb == "move":
        booked = await scene.post("mentor", f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": start})
    assert booked["starts_at"] == start


async def test_a_move_that_is_refused_leaves_everything_as_it_was(scene: Scene) -> None:
    await flow.alone(scene)
    booked = await scene.booked(priority="routine")
    night = flow.instant(flow.read_instant(booked["starts_at"]).replace(hour=19) + timedelta(days=1))
    move = f"/v1/appointments/{booked['id']}/reschedule"
    await scene.post("clinician", move, {"starts_at": night})
    await scene.rows("UPDATE memorandum SET status = 'suspended' RETURNING 1")
    await scene.look()
    before = await scene.state(), await scene.rows("SELECT * FROM seat ORDER BY person_id")
    refused = await scene.call("mentor", "POST", move, {"starts_at": night}, status=403)
    assert refused.json()["reasons"] == ["no_memorandum"]
    change = await scene.change()
    assert (change.events, change.mails) == ([], [])
    assert (await scene.state(), await scene.rows("SELECT * FROM seat ORDER BY person_id")) == before


async def test_another_mentor_takes_over_the_same_appointment(scene: Scene) -> None:
    await flow.alone(scene)
    booked = await scene.booked()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    body = {"mentor_id": str(scene.people["rival"].id)}
    offer = await scene.post("coordinator", f"/v1/consultations/{booked['consultation_id']}/offers", body, 201)
    await scene.look()
    taken = await scene.post("rival", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    change = await scene.change()
    shown = (await scene.call("coordinator", "GET", "/v1/offers")).json()["items"]
    assert [(of["state"], of["ended_at"] is None) for of in shown] == [("accepted", False), ("accepted", True)]
    assert taken["id"] == booked["id"]
    assert change.events == [("appointment.mentor_replaced", "appointment"), ("offer.accepted", "rival")]
    assert change.mails == [("booked", "rival"), ("mentor_replaced", "clinician"), ("replaced_out", "mentor")]
    assert change.calendars == [
        ("clinician", "REQUEST", "CONFIRMED", 1),
        ("mentor", "CANCEL", None, 1),
        ("rival", "REQUEST", "CONFIRMED", 1),
    ]
    assert await scene.state() == flow.State(
        "scheduled", "booked", {"clinician": "needs-action", "rival": "accepted"}, ["clinician", "rival"]
    )


async def handed_over(scene: Scene, *, at_another_time: bool = True) -> tuple[datetime, datetime]:
    """Let the rival take over what is booked, and give the time before and after."""
    await flow.alone(scene)
    booked = await scene.booked()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    body = {"mentor_id": str(scene.people["rival"].id)}
    offer = await scene.post("coordinator", f"/v1/consultations/{booked['consultation_id']}/offers", body, 201)
    await scene.look()
    start = await scene.later_start(booked, 60) if at_another_time else booked["starts_at"]
    await scene.post("rival", f"/v1/offers/{offer['id']}/accept", {"starts_at": start})
    return flow.read_instant(booked["starts_at"]), flow.read_instant(start)


async def letter(scene: Scene, template: str, who: str) -> dict[str, Any]:
    """Give what the one letter of this kind to that person is made of."""
    (row,) = await scene.rows(
        "SELECT payload FROM delivery WHERE payload ->> 'template' = :template AND person_id = :person",
        template=template,
        person=scene.people[who].id,
    )
    return dict(row.payload)


async def test_a_mentor_who_is_replaced_has_the_cancel_of_the_time_that_is_in_their_calendar(scene: Scene) -> None:
    before, after = await handed_over(scene)
    assert before != after
    told = await letter(scene, "replaced_out", "mentor")
    ends = flow.instant(before + timedelta(minutes=30))
    assert (told["calendar"]["starts_at"], told["calendar"]["ends_at"]) == (flow.instant(before), ends)
    assert (told["values"]["starts_at"], told["values"]["ends_at"]) == (flow.instant(before), ends)
    assert told["calendar"]["sequence"] == 1
    assert [side["who"] for side in told["values"]["times"]] == ["clinician", "mentor"]


@pytest.mark.parametrize(
    ("who", "state", "event"),
    [
        ("mentor", "open", "consultation.opened"),
        ("partner", "open", "consultation.opened"),
        ("clinician", "cancelled", "consultation.cancelled"),
        ("coordinator", "cancelled", "consultation.cancelled"),
    ],
)
async def test_a_cancel_frees_the_time_and_ends_or_reopens_the_consultation(
    scene: Scene, who: str, state: str, event: str
) -> None:
    booked = await scene.booked()
    await scene.look()
    await scene.post(who, f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    change = await scene.change()
    assert change.events == [("appointment.cancelled", "appointment"), (event, "consultation")]
    assert change.mails == [("cancelled", "clinician"), ("cancelled", "mentor")]
    assert change.calendars == [(reader, "CANCEL", "CANCELLED", 1) for reader in flow.BOTH]
    answers = {"clinician": "needs-action", "mentor": "accepted"}
    answers["mentor" if who in {"mentor", "partner"} else "clinician"] = "declined"  # their side alone (FT-10)
    assert await scene.state() == flow.State(state, "cancelled", answers, [])


async def test_a_finished_appointment_is_not_cancelled(scene: Scene) -> None:
    booked = await flow.logged(scene)
    await scene.look()
    await scene.call("mentor", "POST", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"}, status=409)
    assert (await scene.change()).events == []


async def at_night(scene: Scene) -> tuple[Any, str]:
    """Give a booked appointment, and a time that can only be proposed."""
    await flow.alone(scene)
    booked = await scene.booked(priority="routine")
    night = flow.read_instant(booked["starts_at"]).replace(hour=19) + timedelta(days=1)
    await scene.look()
    return booked, flow.instant(night)


async def test_the_same_time_proposed_again_is_one_proposal(scene: Scene) -> None:
    booked, night = await at_night(scene)
    move = f"/v1/appointments/{booked['id']}/reschedule"
    first = await scene.post("clinician", move, {"starts_at": night})
    again = [await scene.post(who, move, {"starts_at": night}) for who in ("clinician", "coordinator")]
    assert [answer["version"] for answer in again] == [first["version"]] * 2
    assert (await scene.change()).mails == [("move_proposed", "mentor")]
    assert len(await scene.rows("SELECT id FROM audit WHERE action = 'proposed'")) == 1


@pytest.mark.parametrize("status", ["suspended", "expired", "terminated"])
@pytest.mark.parametrize("who", ["clinician", "mentor"])
async def test_no_move_is_proposed_that_could_not_be_agreed_to(scene: Scene, status: str, who: str) -> None:
    booked, night = await at_night(scene)
    move = f"/v1/appointments/{booked['id']}/reschedule"
    await scene.rows("UPDATE memorandum SET status = :status RETURNING 1", status=status)
    refused = await scene.call(who, "POST", move, {"starts_at": night}, status=403)
    assert refused.json()["type"] == "/problems/gate-refused"
    assert refused.json()["reasons"] == ["no_memorandum"]
    assert (await scene.change()).mails == []
    assert (await scene.get(who, f"/v1/appointments/{booked['id']}"))["proposed_starts"] == []
    assert (await scene.state()).appointment == "booked"


async def test_under_another_memorandum_a_booked_time_can_still_be_moved(scene: Scene) -> None:
    booked, night = await at_night(scene)
    move = f"/v1/appointments/{booked['id']}/reschedule"
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.memorandum(w, scene.asking, scene.lille)
    await scene.rows("UPDATE memorandum SET status = 'suspended' WHERE id = :id RETURNING 1", id=scene.memorandum.id)
    await scene.post("clinician", move, {"starts_at": night})
    moved = await scene.post("mentor", move, {"starts_at": night})
    assert (moved["starts_at"], moved["memorandum_id"]) == (night, str(other.id))


async def test_a_colleague_in_the_clinicians_place_is_told_apart_from_another_mentor(scene: Scene) -> None:
    booked = await scene.booked()
    await scene.look()
    path = f"/v1/consultations/{booked['consultation_id']}/assign"
    await scene.post("coordinator", path, {"clinician_id": str(scene.people["colleague"].id)})
    change = await scene.change()
    assert change.mails == [("booked", "colleague"), ("clinician_replaced", "mentor"), ("handed_over", "clinician")]
    assert change.calendars == [
        ("clinician", "CANCEL", None, 1),
        ("colleague", "REQUEST", "CONFIRMED", 1),
        ("mentor", "REQUEST", "CONFIRMED", 1),
    ]


async def test_who_proposed_a_move_is_told_that_it_was_declined(scene: Scene) -> None:
    booked, night = await at_night(scene)
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": night})
    await scene.look()
    await scene.press("mentor", "move.decline")
    change = await scene.change()
    assert (change.events, change.mails) == ([], [("move_declined", "clinician")])
    assert (await letter(scene, "move_declined", "clinician"))["values"]["starts_at"] == booked["starts_at"]
    (row,) = await scene.rows("SELECT person_id FROM audit WHERE action = 'declined'")
    assert scene.name(row.person_id) == "mentor"


async def test_the_letters_of_a_move_say_the_earlier_time(scene: Scene) -> None:
    booked = await scene.booked()
    start = await scene.later_start(booked)
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": start})
    for who in flow.BOTH:
        told = (await letter(scene, "moved", who))["values"]
        assert (told["previous_starts_at"], told["starts_at"]) == (booked["starts_at"], start)


@pytest.mark.parametrize("at_another_time", [True, False])
async def test_the_clinician_is_told_that_the_mentor_was_replaced_and_of_an_earlier_time(
    scene: Scene, at_another_time: bool
) -> None:
    before, after = await handed_over(scene, at_another_time=at_another_time)
    told = (await letter(scene, "mentor_replaced", "clinician"))["values"]
    assert told["starts_at"] == flow.instant(after)
    assert told.get("previous_starts_at") == (flow.instant(before) if at_another_time else None)
    assert "previous_starts_at" not in (await letter(scene, "booked", "rival"))["values"]
