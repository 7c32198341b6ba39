"""What happens at the end of an appointment, a consultation or a memorandum, and what it leaves behind."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

import build
import flow
from flow import Scene
from service import timers
from service.kernel import actor


@pytest.mark.parametrize("who", ["mentor", "clinician", "coordinator", "partner"])
async def test_a_logged_session_completes_the_consultation(scene: Scene, who: str) -> None:
    await flow.logged(scene, who)
    change = await scene.change()
    assert change.events == [
        ("appointment.fulfilled", "appointment"),
        ("consultation.completed", "consultation"),
        ("session.logged", "session"),
    ]
    assert change.mails == [("feedback", "clinician"), ("feedback", "mentor")]
    assert change.calendars == []
    state = await scene.state()
    assert (state.consultation, state.appointment) == ("completed", "fulfilled")


async def test_a_correction_is_a_new_entry_and_the_old_one_stays(scene: Scene) -> None:
    booked = await flow.logged(scene)
    (old,) = await scene.rows("SELECT id, hash FROM log_entry")
    await scene.look()
    await scene.post("mentor", f"/v1/sessions/{old.id}/corrections", flow.happened(booked, "plan_changed"), 201)
    change = await scene.change()
    assert (change.events, change.mails) == ([("session.corrected", "session")], [])
    entries = await scene.rows("SELECT id, hash, corrects FROM log_entry ORDER BY position")
    assert [(row.id, row.hash) for row in entries[:1]] == [(old.id, old.hash)]
    assert [row.corrects for row in entries] == [None, old.id]


async def test_written_advice_completes_the_consultation_and_its_mail_holds_no_text(scene: Scene) -> None:
    await flow.alone(scene)
    asked = await scene.request(mode="written")
    mine = await scene.offer()
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept")
    accepted = await scene.change()
    assert accepted.events == [("consultation.scheduled", "consultation"), ("offer.accepted", "mentor")]
    assert accepted.mails == [("advice_promised", "clinician")]
    (told,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'advice_promised'")
    (case,) = await scene.rows("SELECT advice_due_at FROM consultation")
    assert told.payload["values"]["advice_due_at"] == flow.instant(case.advice_due_at)
    await scene.post("mentor", f"/v1/consultations/{asked}/advice", {"text": "Half the dose.", "minutes": 20}, 201)
    change = await scene.change()
    assert change.events == [
        ("advice.given", "advice"),
        ("consultation.completed", "consultation"),
        ("session.logged", "session"),
    ]
    assert change.mails == [("advice_ready", "clinician"), ("feedback", "clinician"), ("feedback", "mentor")]
    held_text = await scene.rows("SELECT 1 FROM delivery WHERE CAST(payload AS text) LIKE '%Half the dose%'")
    assert held_text == []
    assert (await scene.state()).consultation == "completed"


async def test_written_advice_handed_back_is_told_to_the_clinician_and_thanked_for(scene: Scene) -> None:
    await scene.request(mode="written")
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept")
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})
    change = await scene.change()
    assert change.events == [("consultation.opened", "consultation")]
    assert change.mails == [("advice_handed_back", "clinician"), ("offer_thanks", "mentor")]
    (told,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'advice_handed_back'")
    (case,) = await scene.rows("SELECT answer_due_at FROM consultation")
    assert told.payload["values"]["answer_due_at"] == flow.instant(case.answer_due_at)


async def report_no_show(scene: Scene, booked: Any, who: str) -> None:  # noqa: ANN401 - what the API answers
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/no-show", {"who": who})


async def log_no_show(scene: Scene, booked: Any, who: str) -> None:  # noqa: ANN401 - what the API answers
    body = flow.happened(booked, f"no_show_{who}")
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/session", body, 201)


@pytest.mark.parametrize("path", [report_no_show, log_no_show])
@pytest.mark.parametrize(
    ("who", "state", "event"),
    [("mentor", "open", "consultation.opened"), ("clinician", "cancelled", "consultation.cancelled")],
)
async def test_a_no_show_counts_as_a_cancel_by_that_side(
    scene: Scene, path: Callable[[Scene, Any, str], Awaitable[None]], who: str, state: str, event: str
) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await scene.look()
    await path(scene, booked, who)
    change = await scene.change()
    logged_too = [("session.logged", "session")] if path is log_no_show else []
    assert change.events == [("appointment.noshow", "appointment"), (event, "consultation"), *logged_too]
    assert change.mails == [("noshow", "clinician"), ("noshow", "mentor")]
    told = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'noshow'")
    assert [row.payload["values"]["reason"] for row in told] == [who, who]
    now = await scene.state()
    assert (now.consultation, now.appointment, now.seats) == (state, "noshow", [])


async def test_nobody_has_missed_it_before_it_starts(scene: Scene) -> None:
    booked = await scene.booked()
    await scene.look()
    await scene.call("coordinator", "POST", f"/v1/appointments/{booked['id']}/no-show", {"who": "mentor"}, status=409)
    assert (await scene.change()).events == []


async def admin_suspends(scene: Scene) -> None:
    body = {"to": "suspended", "on": scene.clock.now().date().isoformat(), "reason": "talks"}
    await scene.post("admin", f"/v1/memoranda/{scene.memorandum.id}/transitions", body)


async def its_time_is_over(scene: Scene) -> None:
    await scene.rows("UPDATE memorandum SET valid_until = '2026-11-16' RETURNING 1")
    await timers.once(scene.world.database)


@pytest.mark.parametrize(
    ("path", "event"), [(admin_suspends, "memorandum.suspended"), (its_time_is_over, "memorandum.expired")]
)
async def test_a_memorandum_that_ends_is_told_to_the_coordinators_of_both_sides_once(
    scene: Scene, path: flow.Step, event: str
) -> None:
    await scene.booked()
    before = await scene.state()
    await scene.look()
    await path(scene)
    await scene.sweep()
    await scene.sweep()
    change = await scene.change()
    assert change.events == [(event, "memorandum")]
    assert change.mails == [("memorandum_ended", "coordinator"), ("memorandum_ended", "partner")]
    assert change.calendars == []
    assert await scene.state() == before
    assert await scene.rows("SELECT 1 FROM appointment WHERE remind_at IS NOT NULL")


async def test_where_the_programme_says_so_what_was_booked_under_it_is_called_off_and_seeks_again(scene: Scene) -> None:
    await scene.rows("""UPDATE programme SET policy = '{"cancels_when_memorandum_ends": true}' RETURNING 1""")
    await scene.booked()
    await scene.look()
    await admin_suspends(scene)
    await scene.sweep()
    change = await scene.change()
    assert ("appointment.cancelled", "appointment") in change.events
    assert ("consultation.opened", "consultation") in change.events
    assert {("memorandum_ended", "coordinator"), ("cancelled", "clinician"), ("cancelled", "mentor")} <= set(
        change.mails
    )
    (row,) = await scene.rows("SELECT status, cancel_reason FROM appointment")
    assert (row.status, row.cancel_reason) == ("cancelled", "memorandum_ended")


async def steps(scene: Scene, *path: str, memorandum: UUID | None = None) -> None:
    await scene.look()
    for to in path:
        body = {"to": to, "on": scene.clock.now().date().isoformat()}
        await scene.post("admin", f"/v1/memoranda/{memorandum or scene.memorandum.id}/transitions", body)


TOLD = [("memorandum_ended", "coordinator"), ("memorandum_ended", "partner")]


async def test_a_memorandum_that_is_suspended_again_or_ends_is_told_again_each_time(scene: Scene) -> None:
    await scene.booked()
    told = []
    for path in (("suspended",), ("active",), ("suspended",), ("active", "suspended"), ("terminated",)):
        await steps(scene, *path)
        await scene.sweep()
        await scene.sweep()
        told.append((await scene.change()).mails)
    assert told == [TOLD, [], TOLD, TOLD, TOLD]


async def test_what_was_kept_at_a_first_suspension_is_called_off_at_a_second_if_the_programme_says_so_by_then(
    scene: Scene,
) -> None:
    await scene.booked()
    await steps(scene, "suspended")
    await scene.sweep()
    await scene.rows("""UPDATE programme SET policy = '{"cancels_when_memorandum_ends": true}' RETURNING 1""")
    await steps(scene, "active", "suspended")
    await scene.look()
    await scene.sweep()
    assert ("appointment.cancelled", "appointment") in (await scene.change()).events


async def test_what_was_moved_under_another_memorandum_is_told_of_when_that_one_ends(scene: Scene) -> None:
    booked = await scene.booked()
    await steps(scene, "suspended")
    await scene.sweep()
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.memorandum(w, scene.asking, scene.lille)
    await scene.look()
    body = {"starts_at": await scene.later_start(booked)}
    moved = await scene.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", body)
    assert moved["memorandum_id"] == str(other.id)
    await scene.sweep()
    await steps(scene, "suspended", memorandum=other.id)
    await scene.sweep()
    assert (await scene.change()).mails == TOLD


async def test_a_memorandum_that_holds_again_before_anybody_was_told_ends_nothing(scene: Scene) -> None:
    await scene.rows("""UPDATE programme SET policy = '{"cancels_when_memorandum_ends": true}' RETURNING 1""")
    booked = await scene.booked()
    await steps(scene, "suspended", "active")
    before = await scene.state()
    await scene.look()
    (timer,) = [timer for timer in timers.TIMERS if timer.name == "memorandum_ended"]
    async with scene.world.database.work(actor.TIMER) as w:  # as a sweep that had found it due just before
        await timer.act(w, UUID(booked["id"]))
    change = await scene.change()
    assert (change.events, change.mails, await scene.state()) == ([], [], before)


async def test_a_time_that_was_only_held_under_it_is_released(scene: Scene) -> None:
    await scene.rows("""UPDATE programme SET policy = '{"cancels_when_memorandum_ends": true}' RETURNING 1""")
    asked = await scene.request()
    offered = await scene.offer()
    body = {"mentor_id": str(scene.people["mentor"].id), "starts_at": offered["starts"][0]}
    await scene.post("coordinator", f"/v1/consultations/{asked}/holds", body, 201)
    await admin_suspends(scene)
    await scene.sweep()
    (row,) = await scene.rows("SELECT status, cancel_reason FROM appointment")
    assert (row.status, row.cancel_reason) == ("cancelled", "memorandum_ended")


async def test_a_day_after_its_answer_was_due_a_consultation_expires(scene: Scene) -> None:
    await flow.nobody(scene)
    await scene.request()
    (row,) = await scene.rows("SELECT answer_due_at FROM consultation")
    await scene.look()
    scene.clock.set(row.answer_due_at + timedelta(hours=24) - timedelta(seconds=1))
    await scene.sweep()
    assert (await scene.change()).events == []
    scene.clock.forward(seconds=1)
    await scene.sweep()
    change = await scene.change()
    assert change.events == [("consultation.expired", "consultation")]
    assert change.mails == [("expired", "clinician"), ("expired", "coordinator")]
    assert await scene.state() == flow.State("expired", None, {}, [])


async def test_a_request_withdrawn_is_told_to_the_mentors_asked(scene: Scene) -> None:
    asked = await scene.request()
    await scene.look()
    await scene.post("clinician", f"/v1/consultations/{asked}/cancel", {"reason": "resolved_locally"})
    change = await scene.change()
    assert change.events == [
        ("consultation.cancelled", "consultation"),
        ("offer.withdrawn", "mentor"),
        ("offer.withdrawn", "rival"),
    ]
    assert change.mails == [("offer_closed", "mentor"), ("offer_closed", "rival")]
    assert await scene.state() == flow.State("cancelled", None, {}, [])


async def test_a_request_withdrawn_after_booking_cancels_the_appointment_too(scene: Scene) -> None:
    booked = await scene.booked()
    await scene.look()
    await scene.post(
        "clinician", f"/v1/consultations/{booked['consultation_id']}/cancel", {"reason": "patient_withdrew"}
    )
    change = await scene.change()
    assert change.events == [("appointment.cancelled", "appointment"), ("consultation.cancelled", "consultation")]
    assert change.calendars == [(reader, "CANCEL", "CANCELLED", 1) for reader in flow.BOTH]
    assert await scene.state() == flow.State(
        "cancelled", "cancelled", {"clinician": "declined", "mentor": "accepted"}, []
    )


async def test_a_request_withdrawn_while_a_time_is_held_lets_it_go(scene: Scene) -> None:
    appointment = await flow.held(scene)
    await scene.look()
    await scene.post(
        "clinician", f"/v1/consultations/{appointment['consultation_id']}/cancel", {"reason": "transferred"}
    )
    change = await scene.change()
    assert change.events == [
        ("appointment.hold_expired", "appointment"),
        ("consultation.cancelled", "consultation"),
        ("offer.withdrawn", "mentor"),
        ("offer.withdrawn", "rival"),
    ]
    assert await scene.state() == flow.State("cancelled", "cancelled", dict.fromkeys(flow.BOTH, "needs-action"), [])
