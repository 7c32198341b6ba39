"""One table of transitions: each row of it, over each path that can cause it, leaves the same behind.

The rows of people and times, the mails with their readers and calendar parts, exactly one event for each subject whose
state changed, its version one higher (`Scene.change` checks that).
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

import flow
from flow import Scene
from integrations.world import World
from service import sweep
from world import TestClock

Path = Callable[[Scene], Awaitable[None]]
BOTH = ["clinician", "mentor"]


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    return made


async def alone(scene: Scene) -> None:
    """Leave one mentor: a wave is that one, and after it nobody is left."""
    await scene.rows(
        "UPDATE mentor_profile SET verified_until = NULL WHERE person_id = :p RETURNING 1", p=scene.people["rival"].id
    )


async def nobody(scene: Scene) -> None:
    await scene.rows("UPDATE mentor_profile SET verified_until = NULL RETURNING 1")


async def consultation_id(scene: Scene) -> str:
    (row,) = await scene.rows("SELECT id FROM consultation")
    return str(row.id)


# --- filed, asked ------------------------------------------------------------------------------------------------


async def file_with_consent(scene: Scene) -> None:
    await scene.request()


async def file_and_consent_later(scene: Scene) -> None:
    drafted = await scene.request(consent=None)
    await scene.look()
    await scene.post("clinician", f"/v1/consultations/{drafted}/consent", flow.given_today(scene))


async def coordinator_files(scene: Scene) -> None:
    body = scene.wish(clinician_id=str(scene.people["clinician"].id))
    await scene.post("coordinator", "/v1/consultations", body, 201)


@pytest.mark.parametrize("path", [file_with_consent, file_and_consent_later, coordinator_files])
async def test_a_request_filed_with_consent_is_opened_and_its_first_wave_asked(scene: Scene, path: Path) -> None:
    await path(scene)
    change = await scene.change()
    assert change.events == [
        ("consultation.offered", "consultation"),
        ("consultation.opened", "consultation"),
        ("offer.sent", "mentor"),
        ("offer.sent", "rival"),
    ]
    assert change.mails == [("offer", "mentor"), ("offer", "rival"), ("receipt", "clinician")]
    assert change.calendars == []
    assert await scene.state() == flow.State("offered", None, {}, [])


async def test_the_opened_event_says_open_and_the_offered_event_says_offered(scene: Scene) -> None:
    await scene.request()
    told = await scene.rows("SELECT type, data->>'state' AS state FROM event WHERE type LIKE 'consultation.%'")
    assert {(row.type, row.state) for row in told} == {
        ("consultation.opened", "open"),
        ("consultation.offered", "offered"),
    }


async def test_without_consent_a_request_is_a_draft_that_nobody_hears_of(scene: Scene) -> None:
    await scene.request(consent=None)
    change = await scene.change()
    assert (change.events, change.mails) == ([], [])
    assert await scene.state() == flow.State("draft", None, {}, [])


async def wave_of_the_timer(scene: Scene) -> None:
    await scene.booked()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    (booked,) = await scene.rows("SELECT id FROM appointment")
    await scene.post("mentor", f"/v1/appointments/{booked.id}/cancel", {"reason": "illness"})
    await scene.look()
    await scene.sweep()


async def choice_by_hand(scene: Scene) -> None:
    await nobody(scene)
    asked = await scene.request()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    await scene.look()
    await scene.post(
        "coordinator", f"/v1/consultations/{asked}/offers", {"mentor_id": str(scene.people["rival"].id)}, 201
    )


@pytest.mark.parametrize("path", [wave_of_the_timer, choice_by_hand])
async def test_a_mentor_asked_later_makes_the_consultation_offered_again(scene: Scene, path: Path) -> None:
    if path is wave_of_the_timer:
        await alone(scene)
    await path(scene)
    change = await scene.change()
    assert change.events == [("consultation.offered", "consultation"), ("offer.sent", "rival")]
    assert change.mails == [("offer", "rival")]
    assert change.calendars == []
    assert (await scene.state()).consultation == "offered"


async def test_a_second_wave_sends_offers_and_no_second_offered_event(scene: Scene) -> None:
    await scene.request(priority="routine")
    await scene.look()
    await scene.next_wave()
    change = await scene.change()
    assert [type_ for type_, _ in change.events] == ["offer.expired", "offer.sent"]
    assert sorted(template for template, _ in change.mails) == ["offer", "offer_closed"]
    assert (await scene.state()).consultation == "offered"


async def unmatched_at_once(scene: Scene) -> None:
    await nobody(scene)
    drafted = await scene.request(consent=None)
    await scene.look()
    await scene.post("clinician", f"/v1/consultations/{drafted}/consent", flow.given_today(scene))


async def unmatched_by_the_timer(scene: Scene) -> None:
    await alone(scene)
    await scene.request()
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})
    await scene.look()
    await scene.sweep()


@pytest.mark.parametrize("path", [unmatched_at_once, unmatched_by_the_timer])
async def test_with_nobody_left_to_ask_the_coordinator_hears_why(scene: Scene, path: Path) -> None:
    await path(scene)
    change = await scene.change()
    assert ("consultation.unmatched", "consultation") in change.events
    assert set(change.events) <= {("consultation.unmatched", "consultation"), ("consultation.opened", "consultation")}
    assert ("unmatched", "coordinator") in change.mails
    assert set(change.mails) <= {("unmatched", "coordinator"), ("receipt", "clinician")}
    (told,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'unmatched'")
    assert sum(told.payload["values"]["counts"].values()) >= 1
    assert await scene.state() == flow.State("unmatched", None, {}, [])


# --- held --------------------------------------------------------------------------------------------------------


async def held(scene: Scene) -> Any:  # noqa: ANN401 - what the API answers
    """Have a time held that the mentor was offered."""
    asked = await scene.request()
    mine = await scene.offer()
    await scene.look()
    body = {"mentor_id": mine["mentor_id"], "starts_at": mine["starts"][0]}
    return await scene.post("coordinator", f"/v1/consultations/{asked}/holds", body, 201)


async def test_a_held_time_is_tentative_for_both(scene: Scene) -> None:
    await held(scene)
    change = await scene.change()
    assert change.events == [("appointment.held", "appointment")]
    assert change.mails == [("held", "clinician"), ("held", "mentor")]
    assert change.calendars == [(who, "REQUEST", "TENTATIVE", 0) for who in BOTH]
    assert await scene.state() == flow.State("offered", "pending", dict.fromkeys(BOTH, "tentative"), BOTH)


async def test_holding_a_time_of_somebody_not_asked_asks_them(scene: Scene) -> None:
    asked = await scene.request(priority="routine")
    (first,) = await scene.rows("SELECT mentor_id, starts FROM offer")
    other = "rival" if scene.name(first.mentor_id) == "mentor" else "mentor"
    await scene.look()
    body = {"mentor_id": str(scene.people[other].id), "starts_at": flow.instant(first.starts[0])}
    await scene.post("coordinator", f"/v1/consultations/{asked}/holds", body, 201)
    change = await scene.change()
    assert change.events == [("appointment.held", "appointment"), ("offer.sent", other)]
    assert ("offer", other) in change.mails


async def hold_expires(scene: Scene, _appointment: str) -> None:
    scene.clock.forward(minutes=15)
    await scene.sweep()


async def hold_is_released(scene: Scene, appointment: str) -> None:
    await scene.call("coordinator", "DELETE", f"/v1/appointments/{appointment}/hold", status=200)


async def hold_is_cancelled(scene: Scene, appointment: str) -> None:
    await scene.post("clinician", f"/v1/appointments/{appointment}/cancel", {"reason": "no_longer_needed"})


@pytest.mark.parametrize("path", [hold_expires, hold_is_released, hold_is_cancelled])
async def test_a_hold_that_ends_frees_the_time_and_takes_it_out_of_calendars(
    scene: Scene, path: Callable[[Scene, str], Awaitable[None]]
) -> None:
    appointment = await held(scene)
    await scene.look()
    await path(scene, appointment["id"])
    change = await scene.change()
    assert change.events == [("appointment.hold_expired", "appointment")]
    assert change.mails == [("hold_released", "clinician"), ("hold_released", "mentor")]
    assert change.calendars == [(who, "CANCEL", "CANCELLED", 1) for who in BOTH]
    assert await scene.state() == flow.State("offered", "cancelled", dict.fromkeys(BOTH, "tentative"), [])


# --- answered ----------------------------------------------------------------------------------------------------


async def mentor_accepts(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})


async def mentor_accepts_what_is_held(scene: Scene) -> None:
    appointment = await held(scene)
    mine = await scene.offer()
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": appointment["starts_at"]})


async def their_coordinator_accepts(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    await scene.look()
    await scene.post("partner", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})


async def clinician_takes_a_counter(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    start = flow.instant(flow.read_instant(mine["starts"][0]) + timedelta(minutes=45))
    await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": [start]})
    await scene.look()
    await scene.post("clinician", f"/v1/offers/{mine['id']}/counter/accept", {"starts_at": start})


@pytest.mark.parametrize(
    ("path", "sequence", "clinician"),
    [
        (mentor_accepts, 0, "needs-action"),
        (mentor_accepts_what_is_held, 1, "needs-action"),
        (their_coordinator_accepts, 0, "needs-action"),
        (clinician_takes_a_counter, 0, "accepted"),
    ],
)
async def test_an_acceptance_books_and_withdraws_the_rivals(
    scene: Scene, path: Path, sequence: int, clinician: str
) -> None:
    await path(scene)
    change = await scene.change()
    assert change.events == [
        ("appointment.booked", "appointment"),
        ("consultation.scheduled", "consultation"),
        ("offer.accepted", "mentor"),
        ("offer.withdrawn", "rival"),
    ]
    assert change.mails == [("booked", "clinician"), ("booked", "mentor"), ("offer_closed", "rival")]
    assert change.calendars == [(who, "REQUEST", "CONFIRMED", sequence) for who in BOTH]
    assert await scene.state() == flow.State(
        "scheduled", "booked", {"clinician": clinician, "mentor": "accepted"}, BOTH
    )


async def test_accepting_another_time_than_the_held_one_lets_the_held_one_go(scene: Scene) -> None:
    await held(scene)
    mine = await scene.offer()
    await scene.look()
    start = flow.instant(flow.read_instant(mine["starts"][0]) + timedelta(hours=1))
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": start})
    change = await scene.change()
    assert [type_ for type_, _ in change.events if type_.startswith("appointment")] == [
        "appointment.booked",
        "appointment.hold_expired",
    ]
    assert (await scene.state()).seats == BOTH


async def test_accepting_twice_is_accepting_once(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    body = {"starts_at": mine["starts"][0]}
    first = await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", body)
    await scene.look()
    assert await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", body) == first
    change = await scene.change()
    assert (change.events, change.mails) == ([], [])


async def test_a_decline_is_thanked_for(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})
    change = await scene.change()
    assert (change.events, change.mails) == ([("offer.declined", "mentor")], [("offer_thanks", "mentor")])
    assert await scene.state() == flow.State("offered", None, {}, [])


async def test_after_the_last_decline_of_a_wave_the_next_goes_out_with_the_next_sweep(scene: Scene) -> None:
    await scene.request(priority="routine")
    (first,) = await scene.rows("SELECT id, mentor_id FROM offer")
    mentor = scene.name(first.mentor_id)
    await scene.post(mentor, f"/v1/offers/{first.id}/decline", {"reason": "language"})
    await scene.look()
    await scene.sweep()
    other = "rival" if mentor == "mentor" else "mentor"
    change = await scene.change()
    assert (change.events, change.mails) == ([("offer.sent", other)], [("offer", other)])


async def test_a_decline_by_another_mentor_is_refused(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    await scene.look()
    await scene.call("rival", "POST", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"}, status=404)
    change = await scene.change()
    assert (change.events, change.mails) == ([], [])


async def test_a_counter_goes_to_the_clinician_with_links_and_changes_nothing_else(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    before = await scene.state()
    await scene.look()
    start = flow.instant(flow.read_instant(mine["starts"][0]) + timedelta(minutes=45))
    await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": [start]})
    change = await scene.change()
    assert (change.events, change.mails) == ([("offer.countered", "mentor")], [("countered", "clinician")])
    (told,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'countered'")
    assert set(told.payload["links"]) == {"take_1", "decline"}
    assert await scene.state() == before


@pytest.mark.parametrize(("hours", "state"), [(1, "pending"), (5, "expired")])
async def test_a_declined_counter_leaves_the_offer_pending_until_its_time(scene: Scene, hours: int, state: str) -> None:
    await scene.request()
    mine = await scene.offer()
    start = flow.instant(flow.read_instant(mine["starts"][0]) + timedelta(hours=8))
    await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": [start]})
    await scene.look()
    scene.clock.forward(hours=hours)
    await scene.post("clinician", f"/v1/offers/{mine['id']}/counter/decline")
    change = await scene.change()
    assert (change.events, change.mails) == ([("offer.counter_declined", "mentor")], [("counter_declined", "mentor")])
    (row,) = await scene.rows("SELECT state FROM offer WHERE id = :id", id=mine["id"])
    assert row.state == state


async def test_an_offer_without_an_answer_expires_and_the_next_wave_goes_out(scene: Scene) -> None:
    await alone(scene)
    await scene.request()
    mine = await scene.offer()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    await scene.look()
    scene.clock.set(flow.read_instant(mine["answer_by"]))
    await scene.sweep()
    change = await scene.change()
    assert change.events == [("offer.expired", "mentor"), ("offer.sent", "rival")]
    assert change.mails == [("offer", "rival"), ("offer_closed", "mentor")]
    assert await scene.state() == flow.State("offered", None, {}, [])


async def test_an_answer_after_its_time_is_refused_before_any_sweep(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    scene.clock.set(flow.read_instant(mine["answer_by"]))
    body = {"starts_at": mine["starts"][-1]}
    refused = await scene.call("mentor", "POST", f"/v1/offers/{mine['id']}/accept", body, status=409)
    assert refused.json()["type"] == "/problems/offer-expired"


# --- booked ------------------------------------------------------------------------------------------------------


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
    assert change.calendars == [(reader, "REQUEST", "CONFIRMED", 1) for reader in BOTH]
    assert await scene.state() == flow.State("scheduled", "booked", dict.fromkeys(BOTH, "needs-action"), BOTH)


async def test_a_time_that_is_not_bookable_is_proposed_and_moves_once_the_other_side_agrees(scene: Scene) -> None:
    await alone(scene)
    booked = await scene.booked(priority="routine")
    night = flow.instant(flow.read_instant(booked["starts_at"]).replace(hour=19) + timedelta(days=1))
    before = await scene.state()
    await scene.look()
    move = f"/v1/appointments/{booked['id']}/reschedule"
    await scene.post("clinician", move, {"starts_at": night})
    proposed = await scene.change()
    assert (proposed.events, proposed.mails) == ([], [("move_proposed", "mentor")])
    assert await scene.state() == before
    agreed = await scene.post("mentor", move, {"starts_at": night})
    assert agreed["starts_at"] == night
    assert (await scene.change()).events == [("appointment.rescheduled", "appointment")]


@pytest.mark.parametrize("verb", ["accept", "move"])
async def test_a_mentor_who_was_asked_enough_this_week_may_still_take_and_move_what_is_theirs(
    scene: Scene, verb: str
) -> None:
    await scene.rows("UPDATE mentor_profile SET offers_per_week = 1 RETURNING 1")
    await scene.request()
    mine = await scene.offer()
    await scene.rows(
        "INSERT INTO consultation SELECT (jsonb_populate_record(c, jsonb_build_object("
        "'id', gen_random_uuid(), 'state', 'cancelled'))).* FROM consultation c RETURNING 1"
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
    await alone(scene)
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
    await alone(scene)
    booked = await scene.booked()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    body = {"mentor_id": str(scene.people["rival"].id)}
    offer = await scene.post("coordinator", f"/v1/consultations/{booked['consultation_id']}/offers", body, 201)
    await scene.look()
    taken = await scene.post("rival", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    change = await scene.change()
    assert taken["id"] == booked["id"]
    assert change.events == [("appointment.mentor_replaced", "appointment"), ("offer.accepted", "rival")]
    assert change.mails == [("booked", "clinician"), ("booked", "rival"), ("replaced_out", "mentor")]
    assert change.calendars == [
        ("clinician", "REQUEST", "CONFIRMED", 1),
        ("mentor", "CANCEL", None, 1),
        ("rival", "REQUEST", "CONFIRMED", 1),
    ]
    assert await scene.state() == flow.State(
        "scheduled", "booked", {"clinician": "needs-action", "rival": "accepted"}, ["clinician", "rival"]
    )


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
    assert change.calendars == [(reader, "CANCEL", "CANCELLED", 1) for reader in BOTH]
    assert await scene.state() == flow.State(state, "cancelled", dict.fromkeys(BOTH, "declined"), [])


async def test_a_finished_appointment_is_not_cancelled(scene: Scene) -> None:
    booked = await logged(scene)
    await scene.look()
    await scene.call("mentor", "POST", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"}, status=409)
    assert (await scene.change()).events == []


# --- happened ----------------------------------------------------------------------------------------------------


def happened(booked: Any, outcome: str = "advice_given") -> dict[str, str]:  # noqa: ANN401 - what the API answers
    start = flow.read_instant(booked["starts_at"])
    return {
        "started_at": flow.instant(start),
        "ended_at": flow.instant(start + timedelta(minutes=20)),
        "outcome": outcome,
    }


async def logged(scene: Scene, who: str = "mentor") -> Any:  # noqa: ANN401 - what the API answers
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await scene.look()
    await scene.post(who, f"/v1/appointments/{booked['id']}/session", happened(booked), 201)
    return booked


@pytest.mark.parametrize("who", ["mentor", "clinician", "coordinator", "partner"])
async def test_a_logged_session_completes_the_consultation(scene: Scene, who: str) -> None:
    await logged(scene, who)
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
    booked = await logged(scene)
    (old,) = await scene.rows("SELECT id, hash FROM log_entry")
    await scene.look()
    await scene.post("mentor", f"/v1/sessions/{old.id}/corrections", happened(booked, "plan_changed"), 201)
    change = await scene.change()
    assert (change.events, change.mails) == ([("session.corrected", "session")], [])
    entries = await scene.rows("SELECT id, hash, corrects FROM log_entry ORDER BY position")
    assert [(row.id, row.hash) for row in entries[:1]] == [(old.id, old.hash)]
    assert [row.corrects for row in entries] == [None, old.id]


async def test_written_advice_completes_the_consultation_and_its_mail_holds_no_text(scene: Scene) -> None:
    await alone(scene)
    asked = await scene.request(mode="written")
    mine = await scene.offer()
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept")
    accepted = await scene.change()
    assert accepted.events == [("consultation.scheduled", "consultation"), ("offer.accepted", "mentor")]
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


async def report_no_show(scene: Scene, booked: Any, who: str) -> None:  # noqa: ANN401 - what the API answers
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/no-show", {"who": who})


async def log_no_show(scene: Scene, booked: Any, who: str) -> None:  # noqa: ANN401 - what the API answers
    body = happened(booked, f"no_show_{who}")
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
    now = await scene.state()
    assert (now.consultation, now.appointment, now.seats) == (state, "noshow", [])


async def test_nobody_has_missed_it_before_it_starts(scene: Scene) -> None:
    booked = await scene.booked()
    await scene.look()
    await scene.call("coordinator", "POST", f"/v1/appointments/{booked['id']}/no-show", {"who": "mentor"}, status=409)
    assert (await scene.change()).events == []


# --- ended -------------------------------------------------------------------------------------------------------


async def admin_suspends(scene: Scene) -> None:
    body = {"to": "suspended", "on": scene.clock.now().date().isoformat(), "reason": "talks"}
    await scene.post("admin", f"/v1/memoranda/{scene.memorandum.id}/transitions", body)


async def its_time_is_over(scene: Scene) -> None:
    await scene.rows("UPDATE memorandum SET valid_until = '2026-11-16' RETURNING 1")
    await sweep.once(scene.world.database)


@pytest.mark.parametrize(
    ("path", "event"), [(admin_suspends, "memorandum.suspended"), (its_time_is_over, "memorandum.expired")]
)
async def test_a_memorandum_that_ends_is_told_to_the_coordinators_of_both_sides_once(
    scene: Scene, path: Path, event: str
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
    assert await scene.state() == before


async def test_a_day_after_its_answer_was_due_a_consultation_expires(scene: Scene) -> None:
    await nobody(scene)
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
    assert change.calendars == [(reader, "CANCEL", "CANCELLED", 1) for reader in BOTH]
    assert await scene.state() == flow.State("cancelled", "cancelled", dict.fromkeys(BOTH, "declined"), [])


async def test_a_request_withdrawn_while_a_time_is_held_lets_it_go(scene: Scene) -> None:
    appointment = await held(scene)
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
    assert await scene.state() == flow.State("cancelled", "cancelled", dict.fromkeys(BOTH, "tentative"), [])
