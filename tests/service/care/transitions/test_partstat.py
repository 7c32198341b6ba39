"""What the calendar says that somebody answered is what they answered, at every step (FT-10)."""

from typing import Any

import flow
from flow import Scene

Json = dict[str, Any]


async def told(scene: Scene, method: str) -> dict[str, str]:
    """Give what the newest calendar of that method says of each attendee."""
    (row, *_) = await scene.rows(
        "SELECT payload -> 'calendar' -> 'attendees' AS attendees FROM delivery"
        " WHERE payload -> 'calendar' ->> 'method' = :method ORDER BY id DESC",
        method=method,
    )
    return {attendee["role"]: attendee["partstat"] for attendee in row.attendees}


async def api_says(scene: Scene, appointment: Json) -> dict[str, str]:
    now = await scene.get("clinician", f"/v1/appointments/{appointment['id']}")
    return {row["role"]: row["status"] for row in now["participants"]}


async def test_ft_10_nobody_has_answered_a_hold(scene: Scene) -> None:
    held = await flow.held(scene)
    assert await told(scene, "REQUEST") == {"clinician": "NEEDS-ACTION", "mentor": "NEEDS-ACTION"}
    assert await api_says(scene, held) == {"clinician": "needs-action", "mentor": "needs-action"}


async def test_ft_10_a_hold_that_ran_out_says_that_nobody_answered(scene: Scene) -> None:
    await flow.held(scene)
    scene.clock.forward(minutes=16)
    await scene.sweep()
    assert await told(scene, "CANCEL") == {"clinician": "NEEDS-ACTION", "mentor": "NEEDS-ACTION"}


async def test_ft_10_a_mentor_who_declines_what_was_held_is_the_only_one_who_declined(scene: Scene) -> None:
    await flow.held(scene)
    offer = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/decline", {"reason": "busy"})
    assert await told(scene, "CANCEL") == {"clinician": "NEEDS-ACTION", "mentor": "DECLINED"}


async def test_ft_10_what_is_taken_out_of_a_hold_is_accepted_by_the_mentor_alone(scene: Scene) -> None:
    held = await flow.held(scene)
    offer = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": held["starts_at"]})
    assert await told(scene, "REQUEST") == {"clinician": "NEEDS-ACTION", "mentor": "ACCEPTED"}


async def test_ft_10_the_mentor_who_accepted_is_the_one_who_accepted(scene: Scene) -> None:
    booked = await scene.booked()
    assert await told(scene, "REQUEST") == {"clinician": "NEEDS-ACTION", "mentor": "ACCEPTED"}
    assert await api_says(scene, booked) == {"clinician": "needs-action", "mentor": "accepted"}


async def test_ft_10_the_clinician_who_takes_a_counter_has_accepted(scene: Scene) -> None:
    await scene.request()
    offer = await scene.offer()
    start = offer["starts"][0]
    await scene.post("mentor", f"/v1/offers/{offer['id']}/counter", {"starts": [start]})
    await scene.post("clinician", f"/v1/offers/{offer['id']}/counter/accept", {"starts_at": start})
    assert await told(scene, "REQUEST") == {"clinician": "ACCEPTED", "mentor": "ACCEPTED"}


async def test_ft_10_a_move_that_one_side_made_asks_everybody_again(scene: Scene) -> None:
    booked = await scene.booked()
    move = f"/v1/appointments/{booked['id']}/reschedule"
    await scene.post("clinician", move, {"starts_at": await scene.later_start(booked)})
    assert await told(scene, "REQUEST") == {"clinician": "NEEDS-ACTION", "mentor": "NEEDS-ACTION"}


async def test_ft_10_a_time_that_was_proposed_and_agreed_to_is_accepted_by_both(scene: Scene) -> None:
    booked = await scene.booked()
    proposed = await scene.later_start(booked, 20 * 60)
    move = f"/v1/appointments/{booked['id']}/reschedule"
    assert (await scene.post("mentor", move, {"starts_at": proposed}))["starts_at"] == booked["starts_at"]
    assert (await scene.post("clinician", move, {"starts_at": proposed}))["starts_at"] == proposed
    assert await told(scene, "REQUEST") == {"clinician": "ACCEPTED", "mentor": "ACCEPTED"}


async def test_ft_10_a_cancellation_says_declined_of_the_side_that_cancelled_alone(scene: Scene) -> None:
    booked = await scene.booked()
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    assert await told(scene, "CANCEL") == {"clinician": "DECLINED", "mentor": "ACCEPTED"}
    assert await api_says(scene, booked) == {"clinician": "declined", "mentor": "accepted"}


async def test_ft_10_a_mentor_who_cancels_has_declined_and_the_clinician_has_not(scene: Scene) -> None:
    booked = await scene.booked_by_the_mentor()
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/cancel", {"reason": "busy"})
    assert await told(scene, "CANCEL") == {"clinician": "NEEDS-ACTION", "mentor": "DECLINED"}


async def test_ft_10_a_request_that_is_withdrawn_was_declined_by_its_side(scene: Scene) -> None:
    booked = await scene.booked()
    path = f"/v1/consultations/{booked['consultation_id']}/cancel"
    await scene.post("clinician", path, {"reason": "no_longer_needed"})
    assert await told(scene, "CANCEL") == {"clinician": "DECLINED", "mentor": "ACCEPTED"}


async def test_ft_10_a_replaced_mentor_keeps_their_answer_and_the_new_one_has_theirs(scene: Scene) -> None:
    await flow.alone(scene)
    booked = await scene.booked()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    body = {"mentor_id": str(scene.people["rival"].id)}
    offer = await scene.post("coordinator", f"/v1/consultations/{booked['consultation_id']}/offers", body, 201)
    await scene.post("rival", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    assert await told(scene, "CANCEL") == {"mentor": "ACCEPTED"}
    assert await told(scene, "REQUEST") == {"clinician": "NEEDS-ACTION", "mentor": "ACCEPTED"}
