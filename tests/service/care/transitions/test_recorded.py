"""What stays on record of a step: who did it, when the case ended, when a mentor answered, who stands how."""

from datetime import timedelta
from typing import Any

import pytest

import build
import flow
from flow import Scene
from service.kernel import actor

Audited = tuple[str, str, dict[str, Any]]


async def moved(scene: Scene) -> Audited:
    booked = await scene.booked()
    body = {"starts_at": await scene.later_start(booked)}
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", body)
    return "moved", "clinician", {}


async def proposed(scene: Scene) -> Audited:
    booked = await scene.booked()
    night = flow.read_instant(booked["starts_at"]).replace(hour=1) + timedelta(days=1)
    path = f"/v1/appointments/{booked['id']}/reschedule"
    await scene.post("partner", path, {"starts_at": flow.instant(night)})
    return "proposed", "partner", {}


async def cancelled(scene: Scene) -> Audited:
    booked = await scene.booked()
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    return "cancelled", "mentor", {"side": "partner"}


async def cancelled_by_the_asking_side(scene: Scene) -> Audited:
    booked = await scene.booked()
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    return "cancelled", "coordinator", {"side": "requesting"}


async def missed(scene: Scene) -> Audited:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/no-show", {"who": "mentor"})
    return "missed", "coordinator", {"who": "mentor"}


async def overridden(scene: Scene) -> Audited:
    await scene.rows("UPDATE memorandum SET budget_minutes = 0, budget_per = 'total' RETURNING 1")
    override = {"rule": "budget_spent", "reason": "Agreed with the programme"}
    body = {"mentor_id": str(scene.people["mentor"].id), "override": override}
    await scene.post("coordinator", f"/v1/consultations/{await scene.request()}/offers", body, 201)
    return "override_rule", "coordinator", {"rule": "budget_spent"}


@pytest.mark.parametrize("step", [moved, proposed, cancelled, cancelled_by_the_asking_side, missed, overridden])
async def test_the_audit_names_who_changed_what_was_agreed(scene: Scene, step: Any) -> None:  # noqa: ANN401 - one of these
    action, who, details = await step(scene)
    rows = await scene.rows("SELECT person_id, details FROM audit WHERE action = :action", action=action)
    assert [(scene.name(row.person_id), row.details) for row in rows] == [(who, details)]


async def withdrawn(scene: Scene) -> str:
    asked = await scene.request()
    await scene.post("clinician", f"/v1/consultations/{asked}/cancel", {"reason": "resolved_locally"})
    return "cancelled resolved_locally"


async def not_needed(scene: Scene) -> str:
    booked = await scene.booked()
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/cancel", {"reason": "no_longer_needed"})
    return "cancelled no_longer_needed"


async def ill(scene: Scene) -> str:
    booked = await scene.booked()
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    return "cancelled other"


async def held_and_logged(scene: Scene) -> str:
    await flow.logged(scene)
    return "completed None"


async def advised(scene: Scene) -> str:
    asked = await scene.request(mode="written")
    await scene.post("mentor", f"/v1/offers/{(await scene.offer())['id']}/accept")
    await scene.post("mentor", f"/v1/consultations/{asked}/advice", {"text": "Half the dose.", "minutes": 20}, 201)
    return "completed None"


async def too_late(scene: Scene) -> str:
    await flow.nobody(scene)
    await scene.request()
    scene.clock.forward(hours=48)
    await scene.sweep()
    return "expired None"


@pytest.mark.parametrize("end", [withdrawn, not_needed, ill, held_and_logged, advised, too_late])
async def test_a_consultation_that_ends_has_the_time_and_the_reason_of_it_and_no_timers(
    scene: Scene,
    end: Any,  # noqa: ANN401 - one of these
) -> None:
    scene.clock.forward(minutes=1)
    ended = await end(scene)
    (row,) = await scene.rows("SELECT state, cancel_reason, closed_at, next_wave_at, alert_at FROM consultation")
    assert f"{row.state} {row.cancel_reason}" == ended
    assert (row.closed_at, row.next_wave_at, row.alert_at) == (scene.clock.now(), None, None)


@pytest.mark.parametrize(
    ("verb", "body"),
    [("accept", {}), ("decline", {"reason": "busy"}), ("counter", {"starts": ["2026-11-17T14:00:00Z"]})],
)
async def test_an_answer_is_dated(scene: Scene, verb: str, body: dict[str, Any]) -> None:
    await scene.request()
    mine = await scene.offer()
    scene.clock.forward(minutes=7)
    await scene.post("mentor", f"/v1/offers/{mine['id']}/{verb}", body or {"starts_at": mine["starts"][0]})
    (row,) = await scene.rows("SELECT answered_at FROM offer WHERE id = :id", id=mine["id"])
    assert row.answered_at == scene.clock.now()


async def test_a_held_time_that_is_taken_is_accepted_by_the_mentor_and_new_to_the_clinician(scene: Scene) -> None:
    held = await flow.held(scene)
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": held["starts_at"]})
    stands = {"clinician": "needs-action", "mentor": "accepted"}
    assert await scene.state() == flow.State("scheduled", "booked", stands, flow.BOTH)
    await scene.post("mentor", f"/v1/appointments/{held['id']}/cancel", {"reason": "illness"})
    shown = await scene.get("mentor", f"/v1/consultations/{held['consultation_id']}")
    assert shown["question"] is None  # what was held came by an offer, which has ended


@pytest.mark.parametrize(
    ("is_held", "mails"),
    [
        (True, [("handed_over", "clinician"), ("held", "colleague"), ("held", "mentor")]),
        (False, [("booked", "colleague"), ("clinician_replaced", "mentor"), ("handed_over", "clinician")]),
    ],
)
async def test_a_colleague_stands_as_somebody_newly_invited(
    scene: Scene, is_held: bool, mails: list[tuple[str, str]]
) -> None:
    agreed = await (flow.held(scene) if is_held else scene.booked())
    await scene.look()
    path = f"/v1/consultations/{agreed['consultation_id']}/assign"
    await scene.post("coordinator", path, {"clinician_id": str(scene.people["colleague"].id)})
    assert (await scene.change()).mails == mails
    state = await scene.state()
    assert state.participants == {"colleague": "needs-action", "mentor": "needs-action" if is_held else "accepted"}
    assert state.seats == ["colleague", "mentor"]


async def test_an_offer_that_was_taken_live_is_not_declined_afterwards(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})
    before = await scene.state()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"}, 409)
    assert await scene.state() == before


async def test_when_a_late_counter_is_declined_the_next_mentor_is_looked_for_at_once(scene: Scene) -> None:
    await flow.alone(scene)
    await scene.request()
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": ["2026-11-17T14:00:00Z"]})
    await scene.next_wave()
    assert (await scene.state()).consultation == "offered"  # the counter still waits
    await scene.post("clinician", f"/v1/offers/{mine['id']}/counter/decline")
    await scene.look()
    await scene.sweep()
    assert ("consultation.unmatched", "consultation") in (await scene.change()).events


@pytest.mark.parametrize("who", ["mentor", "elsewhere"])
async def test_what_came_to_nothing_is_told_under_the_memorandum_of_who_had_taken_it(scene: Scene, who: str) -> None:
    await flow.alone(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        vilnius = await build.partner(w)
        scene.people["elsewhere"] = await build.mentor(w, vilnius)
        other = await build.memorandum(w, scene.asking, vilnius)
    memoranda = {"mentor": scene.memorandum.id, "elsewhere": other.id}
    booked = await scene.booked(who)
    await scene.post(who, f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    told = await scene.rows(
        "SELECT memorandum_id, institution_ids FROM event WHERE type = 'consultation.opened' ORDER BY id"
    )
    assert [row.memorandum_id for row in told] == [None, memoranda[who]]
    assert set(told[1].institution_ids) == {scene.asking.id, scene.lille.id, vilnius.id}


async def test_who_promises_advice_closes_the_other_offers(scene: Scene) -> None:
    await scene.request(mode="written")
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{(await scene.offer())['id']}/accept")
    assert ("offer.withdrawn", "rival") in (await scene.change()).events
    assert (await scene.get("rival", "/v1/offers?state=pending"))["items"] == []


async def test_who_handed_advice_back_gives_none_while_another_writes_it(scene: Scene) -> None:
    asked = await scene.request(mode="written")
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept")
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})
    body = {"mentor_id": str(scene.people["rival"].id)}
    theirs = await scene.post("coordinator", f"/v1/consultations/{asked}/offers", body, 201)
    await scene.post("rival", f"/v1/offers/{theirs['id']}/accept")
    text = {"text": "Half the dose.", "minutes": 20}
    await scene.post("mentor", f"/v1/consultations/{asked}/advice", text, 403)
    await scene.post("rival", f"/v1/consultations/{asked}/advice", text, 201)


async def test_an_answer_with_another_time_than_was_proposed_is_a_proposal_and_no_agreement(scene: Scene) -> None:
    booked = await scene.booked_by_the_mentor()
    night = flow.read_instant(booked["starts_at"]).replace(hour=1, minute=0) + timedelta(days=1)
    path = f"/v1/appointments/{booked['id']}/reschedule"
    await scene.post("mentor", path, {"starts_at": flow.instant(night)})
    other = flow.instant(night + timedelta(hours=1))
    answered = await scene.post("clinician", path, {"starts_at": other})
    assert (answered["starts_at"], answered["proposed_starts"]) == (booked["starts_at"], [other])
