"""An answer after an offer's time is taken while the case seeks somebody and has time (decision 0096)."""

from datetime import timedelta
from typing import Any

import pytest

import flow
from flow import Scene

TICK = timedelta(microseconds=1)


async def late(scene: Scene, **wish: Any) -> Any:  # noqa: ANN401 - JSON
    """Have the mentor's offer late, with the rival asked after them."""
    await flow.alone(scene)
    await scene.request(**wish)
    mine = await scene.offer()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    scene.clock.set(flow.read_instant(mine["answer_by"]))
    await scene.sweep()
    await scene.look()
    return await scene.get("mentor", f"/v1/offers/{mine['id']}")


async def case_due_at(scene: Scene) -> Any:  # noqa: ANN401 - a column
    (row,) = await scene.rows("SELECT answer_due_at FROM consultation")
    return row.answer_due_at


async def question(scene: Scene, offer: Any) -> str | None:  # noqa: ANN401 - JSON
    shown: str | None = (await scene.get("mentor", f"/v1/consultations/{offer['consultation_id']}"))["question"]
    return shown


async def test_late_01_a_late_offer_says_so_and_until_when_it_is_taken(scene: Scene) -> None:
    offer = await late(scene)
    assert (offer["state"], offer["closes_at"]) == ("late", flow.instant(await case_due_at(scene)))
    listed = {
        state: [row["id"] for row in (await scene.get("mentor", f"/v1/offers?state={state}"))["items"]]
        for state in ("pending", "late", "expired")
    }
    assert listed == {"pending": [], "late": [offer["id"]], "expired": []}


async def test_late_02_a_late_acceptance_books_and_the_one_asked_since_is_thanked(scene: Scene) -> None:
    offer = await late(scene)
    booked = await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][-1]})
    assert booked["status"] == "booked"
    change = await scene.change()
    assert set(change.events) == {
        ("offer.accepted", "mentor"),
        ("appointment.booked", "appointment"),
        ("consultation.scheduled", "consultation"),
        ("offer.withdrawn", "rival"),
    }
    assert set(change.mails) == {("booked", "clinician"), ("booked", "mentor"), ("offer_closed", "rival")}


async def test_late_03_the_first_acceptance_wins_and_who_was_late_is_thanked(scene: Scene) -> None:
    offer = await late(scene)
    theirs = await scene.offer("rival")
    await scene.post("rival", f"/v1/offers/{theirs['id']}/accept", {"starts_at": theirs["starts"][-1]})
    change = await scene.change()
    assert ("offer.withdrawn", "mentor") in change.events
    assert ("offer_closed", "mentor") in change.mails
    refused = await scene.call("mentor", "POST", f"/v1/offers/{offer['id']}/decline", {"reason": "busy"}, status=409)
    assert refused.json()["type"] == "/problems/offer-closed"


@pytest.mark.parametrize(("verb", "state"), [("decline", "declined"), ("counter", "countered")])
async def test_late_04_a_late_offer_is_declined_and_countered_too(scene: Scene, verb: str, state: str) -> None:
    offer = await late(scene)
    other = flow.instant(flow.read_instant(offer["starts"][-1]) + timedelta(hours=1))
    body = {"reason": "busy"} if verb == "decline" else {"starts": [other]}
    answered = await scene.post("mentor", f"/v1/offers/{offer['id']}/{verb}", body)
    assert (answered["state"], answered["closes_at"]) == (state, None)
    assert (f"offer.{state}", "mentor") in (await scene.change()).events
    assert await question(scene, offer) if verb == "counter" else not await question(scene, offer)


async def test_late_05_the_question_is_hidden_until_one_tap(scene: Scene) -> None:
    offer = await late(scene)
    assert await question(scene, offer) is None
    shown = await scene.post("mentor", f"/v1/offers/{offer['id']}/show")
    assert (shown["state"], shown["shown_again_at"]) == ("late", flow.instant(scene.clock.now()))
    assert await question(scene, offer)
    scene.clock.forward(minutes=1)
    again = await scene.post("mentor", f"/v1/offers/{offer['id']}/show")
    assert again["shown_again_at"] == shown["shown_again_at"]
    assert (await scene.change()).events == []


async def test_late_06_only_the_mentors_side_shows_it(scene: Scene) -> None:
    offer = await late(scene)
    await scene.call("rival", "POST", f"/v1/offers/{offer['id']}/show", status=404)
    await scene.call("clinician", "POST", f"/v1/offers/{offer['id']}/show", status=403)


@pytest.mark.parametrize("act", ["show", "accept", "counter"])
async def test_late_07_nothing_of_a_late_offer_passes_a_gate_that_no_longer_holds(scene: Scene, act: str) -> None:
    offer = await late(scene)
    await scene.rows("UPDATE memorandum SET status = 'suspended' RETURNING 1")
    other = flow.instant(flow.read_instant(offer["starts"][-1]) + timedelta(hours=1))
    bodies = {"show": None, "accept": {"starts_at": offer["starts"][-1]}, "counter": {"starts": [other]}}
    refused = await scene.call("mentor", "POST", f"/v1/offers/{offer['id']}/{act}", bodies[act], status=403)
    assert refused.json()["type"] == "/problems/gate-refused"
    assert await question(scene, offer) is None
    await scene.sweep()
    assert ("offer.withdrawn", "mentor") in (await scene.change()).events


@pytest.mark.parametrize("before", [TICK, timedelta(0)])
async def test_late_08_an_answer_is_taken_to_the_very_instant_that_it_is_due(scene: Scene, before: timedelta) -> None:
    offer = await late(scene, mode="either")
    scene.clock.set(await case_due_at(scene) - before)
    status = 200 if before else 409
    answer = await scene.call("mentor", "POST", f"/v1/offers/{offer['id']}/accept", {}, status=status)
    if not before:
        assert answer.json()["type"] == "/problems/offer-expired"


async def test_late_09_it_is_over_when_the_answer_is_due_without_another_mail(scene: Scene) -> None:
    offer = await late(scene)
    scene.clock.set(await case_due_at(scene))
    await scene.sweep()
    change = await scene.change()
    assert ("offer.expired", "mentor") in change.events
    assert [mail for mail in change.mails if mail[1] == "mentor"] == []
    assert (await scene.get("mentor", f"/v1/offers/{offer['id']}"))["state"] == "expired"


async def test_late_10_whoever_cancels_the_request_thanks_them(scene: Scene) -> None:
    offer = await late(scene)
    path = f"/v1/consultations/{offer['consultation_id']}/cancel"
    await scene.post("clinician", path, {"reason": "no_longer_needed"})
    change = await scene.change()
    assert {("offer.withdrawn", "mentor"), ("offer.withdrawn", "rival")} <= set(change.events)
    assert {("offer_closed", "mentor"), ("offer_closed", "rival")} <= set(change.mails)


async def test_late_11_what_an_older_program_left_late_in_a_closed_case_is_withdrawn(scene: Scene) -> None:
    offer = await late(scene)
    await scene.rows("UPDATE consultation SET state = 'cancelled', next_wave_at = NULL, alert_at = NULL RETURNING 1")
    await scene.sweep()
    assert (await scene.get("mentor", f"/v1/offers/{offer['id']}"))["state"] == "withdrawn"


async def test_late_12_if_nobody_else_is_left_the_case_is_unmatched_and_a_late_acceptance_mends_it(
    scene: Scene,
) -> None:
    await flow.alone(scene)
    await scene.request()
    mine = await scene.offer()
    scene.clock.set(flow.read_instant(mine["answer_by"]))
    await scene.sweep()
    assert (await scene.state()).consultation == "unmatched"
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][-1]})
    assert (await scene.state()).consultation == "scheduled"


@pytest.mark.parametrize("swept", [True, False])
async def test_late_13_a_late_answer_repairs_half_of_the_reliability(scene: Scene, swept: bool) -> None:
    await flow.alone(scene)
    asked = await scene.request()
    mine = await scene.offer()
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    scene.clock.set(flow.read_instant(mine["answer_by"]))
    if swept:
        await scene.sweep()
        assert await reliability(scene, asked) == pytest.approx(1 / 3)
    else:
        await scene.mails_leave()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})
    assert await reliability(scene, asked) == pytest.approx(1.5 / 3)


async def reliability(scene: Scene, asked: str) -> float:
    ranked = (await scene.get("coordinator", f"/v1/consultations/{asked}/candidates"))["candidates"]
    (terms,) = [row["terms"] for row in ranked if row["mentor"] == str(scene.people["mentor"].id)]
    return float(terms["reliability"])


async def test_late_14_a_miss_is_not_forgotten_when_somebody_else_accepts(scene: Scene) -> None:
    await late(scene)
    theirs = await scene.offer("rival")
    await scene.post("rival", f"/v1/offers/{theirs['id']}/accept", {"starts_at": theirs["starts"][-1]})
    other = await scene.request()
    assert await reliability(scene, other) == pytest.approx(1 / 3)


async def test_late_15_the_buttons_of_the_first_mail_still_work(scene: Scene) -> None:
    await late(scene)
    await scene.press("mentor", "offer.decline", reason="busy")
    assert ("offer.declined", "mentor") in (await scene.change()).events


async def test_late_16_the_mail_names_what_can_still_be_taken_and_else_offers_to_propose(scene: Scene) -> None:
    await late(scene)
    (mail,) = await scene.rows("SELECT payload FROM delivery WHERE payload->>'template' = 'offer_late'")
    (offer,) = await scene.rows("SELECT starts, answer_by FROM offer WHERE is_late")
    ahead = [start for start in offer.starts if start > offer.answer_by]
    assert mail.payload["values"]["starts"] == [flow.instant(start) for start in ahead]
    assert set(mail.payload["links"]) == {*(f"accept_{n}" for n in range(1, len(ahead) + 1)), "counter", "decline"}
    assert "answer_by" not in mail.payload["values"]


async def test_late_17_asked_again_by_hand_the_late_offer_is_over(scene: Scene) -> None:
    offer = await late(scene)
    chosen = {"mentor_id": str(scene.people["mentor"].id)}
    await scene.post("coordinator", f"/v1/consultations/{offer['consultation_id']}/offers", chosen, 201)
    assert {("offer.expired", "mentor"), ("offer.sent", "mentor")} <= set((await scene.change()).events)
    assert (await scene.get("mentor", f"/v1/offers/{offer['id']}"))["state"] == "expired"


async def date_passed(scene: Scene, *mentors: str, mail_left: bool = True) -> Any:  # noqa: ANN401 - JSON
    """Have the date of the first mentor's offer pass, and that of the others' ahead; no sweep has come to it."""
    if mentors == ("mentor",):
        await flow.alone(scene)
    await scene.request()
    if "rival" not in mentors:
        await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    if mail_left:
        await scene.mails_leave()
    mine = await scene.offer()
    await scene.rows(
        "UPDATE offer SET answer_by = answer_by + interval '1 hour' WHERE mentor_id = :rival",
        rival=scene.people["rival"].id,
    )
    scene.clock.set(flow.read_instant(mine["answer_by"]))
    await scene.look()
    return mine


async def accept(scene: Scene, mine: Any) -> None:  # noqa: ANN401 - JSON
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][-1]})


async def decline(scene: Scene, mine: Any) -> None:  # noqa: ANN401 - JSON
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})


async def counter(scene: Scene, mine: Any) -> None:  # noqa: ANN401 - JSON
    other = flow.instant(flow.read_instant(mine["starts"][-1]) + timedelta(hours=1))
    await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": [other]})


async def accept_by_link(scene: Scene, mine: Any) -> None:  # noqa: ANN401 - JSON
    await scene.rows("DELETE FROM link WHERE starts_at < :last", last=flow.read_instant(mine["starts"][-1]))
    await scene.press("mentor", "offer.accept")


async def decline_by_link(scene: Scene, _: Any) -> None:  # noqa: ANN401 - JSON
    await scene.press("mentor", "offer.decline", reason="busy")


async def cancel(scene: Scene, mine: Any) -> None:  # noqa: ANN401 - JSON
    await scene.post("clinician", f"/v1/consultations/{mine['consultation_id']}/cancel", {"reason": "no_longer_needed"})


async def ask_by_hand(scene: Scene, mine: Any) -> None:  # noqa: ANN401 - JSON
    chosen = {"mentor_id": str(scene.people["mentor"].id)}
    await scene.post("coordinator", f"/v1/consultations/{mine['consultation_id']}/offers", chosen, 201)


async def hold(scene: Scene, mine: Any) -> None:  # noqa: ANN401 - JSON
    held = {"mentor_id": str(scene.people["mentor"].id), "starts_at": mine["starts"][-1]}
    await scene.post("coordinator", f"/v1/consultations/{mine['consultation_id']}/holds", held, 201)


BEFORE_A_SWEEP = {
    accept: "accepted",
    accept_by_link: "accepted",
    decline: "declined",
    decline_by_link: "declined",
    counter: "countered",
    cancel: "withdrawn",
    ask_by_hand: "expired",
    hold: "expired",
}


@pytest.mark.parametrize("act", BEFORE_A_SWEEP, ids=lambda act: act.__name__)
async def test_late_18_whatever_ends_it_before_a_sweep_tells_first_that_it_was_late(scene: Scene, act: Any) -> None:  # noqa: ANN401
    mine = await date_passed(scene, "mentor")
    await act(scene, mine)
    told = await scene.rows("SELECT type FROM event WHERE subject_id = :id ORDER BY id", id=mine["id"])
    assert [row.type for row in told] == ["offer.sent", "offer.late", f"offer.{BEFORE_A_SWEEP[act]}"]
    assert ("offer.late", "mentor") in (await scene.change()).events
    (row,) = await scene.rows("SELECT late_at, is_undelivered FROM offer WHERE id = :id", id=mine["id"])
    assert (row.late_at, row.is_undelivered) == (scene.clock.now(), False)


@pytest.mark.parametrize("act", BEFORE_A_SWEEP, ids=lambda act: act.__name__)
async def test_late_19_who_never_got_the_mail_is_not_late_whatever_ends_it(scene: Scene, act: Any) -> None:  # noqa: ANN401
    mine = await date_passed(scene, "mentor", mail_left=False)
    await act(scene, mine)
    assert "offer.late" not in {event for event, _ in (await scene.change()).events}
    assert await scene.rows("SELECT 1 FROM offer WHERE late_at IS NOT NULL") == []


async def test_late_26_a_miss_counts_although_somebody_else_accepted_before_the_sweep(scene: Scene) -> None:
    await date_passed(scene, "mentor", "rival")
    theirs = await scene.offer("rival")
    await scene.post("rival", f"/v1/offers/{theirs['id']}/accept", {"starts_at": theirs["starts"][-1]})
    events = (await scene.change()).events
    assert {("offer.late", "mentor"), ("offer.withdrawn", "mentor")} <= set(events)
    assert ("offer.late", "rival") not in events
    other = await scene.request()
    assert await reliability(scene, other) == pytest.approx(1 / 3)


@pytest.mark.parametrize("act", [decline, counter], ids=lambda act: act.__name__)
async def test_late_25_others_are_asked_at_the_next_sweep_if_an_answer_was_late_before_one(
    scene: Scene,
    act: Any,  # noqa: ANN401
) -> None:
    mine = await date_passed(scene, "mentor")
    await scene.rows("UPDATE consultation SET next_wave_at = next_wave_at + interval '1 hour' RETURNING 1")
    await act(scene, mine)
    await scene.sweep()
    assert ("offer.sent", "rival") in (await scene.change()).events
