"""What held times and answers to offers leave behind."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

import flow
import leaving
from flow import Scene


async def test_a_held_time_is_tentative_and_nobody_has_answered_it(scene: Scene) -> None:
    await flow.held(scene)
    change = await scene.change()
    assert change.events == [("appointment.held", "appointment")]
    assert change.mails == [("held", "clinician"), ("held", "mentor")]
    assert change.calendars == [(who, "REQUEST", "TENTATIVE", 0) for who in flow.BOTH]
    assert await scene.state() == flow.State("offered", "pending", dict.fromkeys(flow.BOTH, "needs-action"), flow.BOTH)


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
    appointment = await flow.held(scene)
    await scene.look()
    await path(scene, appointment["id"])
    change = await scene.change()
    assert change.events == [("appointment.hold_expired", "appointment")]
    assert change.mails == [("hold_released", "clinician"), ("hold_released", "mentor")]
    assert change.calendars == [(who, "CANCEL", "CANCELLED", 1) for who in flow.BOTH]
    assert await scene.state() == flow.State("offered", "cancelled", dict.fromkeys(flow.BOTH, "needs-action"), [])


async def mentor_accepts(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})


async def mentor_presses_accept(scene: Scene) -> None:
    await scene.request()
    await scene.look()
    await scene.press("mentor", "offer.accept")


async def clinician_presses_take(scene: Scene) -> None:
    await scene.request()
    await scene.press("mentor", "offer.counter", time_1="2026-11-16T14:15")
    await scene.look()
    await scene.press("clinician", "counter.accept")


async def mentor_accepts_what_is_held(scene: Scene) -> None:
    appointment = await flow.held(scene)
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
        (mentor_presses_accept, 0, "needs-action"),
        (clinician_presses_take, 0, "accepted"),
        (mentor_accepts_what_is_held, 1, "needs-action"),
        (their_coordinator_accepts, 0, "needs-action"),
        (clinician_takes_a_counter, 0, "accepted"),
    ],
)
async def test_an_acceptance_books_and_withdraws_the_rivals(
    scene: Scene, path: flow.Step, sequence: int, clinician: str
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
    assert change.calendars == [(who, "REQUEST", "CONFIRMED", sequence) for who in flow.BOTH]
    assert await scene.state() == flow.State(
        "scheduled", "booked", {"clinician": clinician, "mentor": "accepted"}, flow.BOTH
    )


AWAY = {
    "a time": ("live", "a time", "booked"),
    "a time of either": ("either", "a time", "booked"),
    "written advice": ("written", "writing", None),
    "advice in place of a time": ("either", "writing", None),
}


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize(("mode", "answer", "appointment"), AWAY.values(), ids=AWAY)
async def test_ft_01_what_was_offered_is_taken_by_a_mentor_who_is_away_by_now(
    scene: Scene, mode: str, answer: str, appointment: str | None, is_late: bool
) -> None:
    await scene.request(mode=mode)
    mine = await scene.offer()
    await leaving.away(scene, "mentor")
    if is_late:
        await scene.mails_leave()
        await scene.rows("UPDATE offer SET answer_by = sent_at + interval '1 s' WHERE id = :id", id=mine["id"])
        scene.clock.forward(seconds=2)
        await scene.sweep()
    await scene.look()
    body = {"starts_at": mine["starts"][-1]} if answer == "a time" else {}
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", body)
    state = await scene.state()
    assert (state.consultation, state.appointment) == ("scheduled", appointment)
    assert ("booked" if appointment else "advice_promised", "clinician") in (await scene.change()).mails


async def test_ft_01_written_advice_is_promised_by_the_mails_button_during_an_absence(scene: Scene) -> None:
    await scene.request(mode="written")
    await leaving.away(scene, "mentor")
    await scene.press("mentor", "offer.accept_written")
    assert (await scene.state()).consultation == "scheduled"


async def test_a_full_week_and_an_ended_verification_refuse_a_promise_of_advice_all_the_same(scene: Scene) -> None:
    await scene.request(mode="written")
    mine = await scene.offer()
    await leaving.away(scene, "mentor")
    await scene.rows("UPDATE mentor_profile SET sessions_per_week = 0, verified_until = now() - interval '9 years'")
    refused = await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", status=403)
    assert refused["reasons"] == ["mentor_unverified", "mentor_full"]


async def test_accepting_another_time_than_the_held_one_lets_the_held_one_go(scene: Scene) -> None:
    await flow.held(scene)
    mine = await scene.offer()
    await scene.look()
    start = flow.instant(flow.read_instant(mine["starts"][0]) + timedelta(hours=1))
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": start})
    change = await scene.change()
    assert [type_ for type_, _ in change.events if type_.startswith("appointment")] == [
        "appointment.booked",
        "appointment.hold_expired",
    ]
    assert (await scene.state()).seats == flow.BOTH


async def test_accepting_twice_is_accepting_once(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    body = {"starts_at": mine["starts"][0]}
    first = await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", body)
    await scene.look()
    assert await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", body) == first
    change = await scene.change()
    assert (change.events, change.mails) == ([], [])


async def mentor_declines(scene: Scene) -> None:
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})


async def mentor_presses_decline(scene: Scene) -> None:
    await scene.press("mentor", "offer.decline", reason="busy")


@pytest.mark.parametrize("path", [mentor_declines, mentor_presses_decline])
async def test_a_decline_is_thanked_for(scene: Scene, path: flow.Step) -> None:
    await scene.request()
    await scene.look()
    await path(scene)
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


async def mentor_counters(scene: Scene) -> None:
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": ["2026-11-16T13:15:00Z"]})


async def mentor_presses_counter(scene: Scene) -> None:
    await scene.press("mentor", "offer.counter", time_1="2026-11-16T14:15")  # by the clock of Paris


@pytest.mark.parametrize("path", [mentor_counters, mentor_presses_counter])
async def test_a_counter_goes_to_the_clinician_with_links_and_changes_nothing_else(
    scene: Scene, path: flow.Step
) -> None:
    await scene.request()
    before = await scene.state()
    await scene.look()
    await path(scene)
    change = await scene.change()
    assert (change.events, change.mails) == ([("offer.countered", "mentor")], [("countered", "clinician")])
    (told,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'countered'")
    assert set(told.payload["links"]) == {"take_1", "decline"}
    assert await scene.state() == before


async def clinician_declines_the_counter(scene: Scene) -> None:
    (offer,) = await scene.rows("SELECT id FROM offer WHERE state = 'countered'")
    await scene.post("clinician", f"/v1/offers/{offer.id}/counter/decline")


async def clinician_presses_decline(scene: Scene) -> None:
    await scene.press("clinician", "counter.decline")


@pytest.mark.parametrize("path", [clinician_declines_the_counter, clinician_presses_decline])
@pytest.mark.parametrize(("hours", "state"), [(1, "pending"), (5, "late")])
async def test_a_declined_counter_leaves_the_offer_pending_until_its_time(
    scene: Scene, path: flow.Step, hours: int, state: str
) -> None:
    await scene.request()
    mine = await scene.offer()
    start = flow.instant(flow.read_instant(mine["starts"][0]) + timedelta(hours=8))
    await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": [start]})
    await scene.look()
    scene.clock.forward(hours=hours)
    await path(scene)
    change = await scene.change()
    assert (change.events, change.mails) == ([("offer.counter_declined", "mentor")], [("counter_declined", "mentor")])
    assert (await scene.get("mentor", f"/v1/offers/{mine['id']}"))["state"] == state


async def test_an_offer_without_an_answer_is_late_and_the_next_wave_goes_out(scene: Scene) -> None:
    await flow.alone(scene)
    await scene.request()
    mine = await scene.offer()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    await scene.look()
    scene.clock.set(flow.read_instant(mine["answer_by"]))
    await scene.sweep()
    change = await scene.change()
    assert change.events == [("offer.late", "mentor"), ("offer.sent", "rival")]
    assert change.mails == [("offer", "rival"), ("offer_late", "mentor")]
    assert await scene.state() == flow.State("offered", None, {}, [])


async def test_an_answer_after_it_is_due_is_refused_before_any_sweep(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    scene.clock.set(flow.read_instant(mine["closes_at"]))
    body = {"starts_at": mine["starts"][-1]}
    refused = await scene.call("mentor", "POST", f"/v1/offers/{mine['id']}/accept", body, status=409)
    assert refused.json()["type"] == "/problems/offer-expired"
