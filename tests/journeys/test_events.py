"""Every type of event, brought about as users bring it about: what is told is as its served schema has it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
import sqlalchemy as sa

import flow
import telling
from flow import Scene
from integrations.runtime.world import World
from service import tables, vocabulary
from service.kernel import actor, installation
from service.outbox import webhooks
from service.registry import restores
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    return made


async def a_session_is_logged_and_corrected(scene: Scene) -> None:
    booked = await flow.logged(scene)
    (session,) = await scene.rows("SELECT id FROM session")
    await scene.post("mentor", f"/v1/sessions/{session.id}/corrections", flow.happened(booked, "plan_changed"), 201)


async def advice_is_given(scene: Scene) -> None:
    await flow.alone(scene)
    asked = await scene.request(mode="written")
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept")
    await scene.post("mentor", f"/v1/consultations/{asked}/advice", {"text": "Half the dose.", "minutes": 20}, 201)


async def times_are_proposed_and_nobody_is_left(scene: Scene) -> None:
    await scene.request()
    mine = await scene.offer()
    start = flow.instant(flow.read_instant(mine["starts"][0]) + timedelta(minutes=45))
    await scene.post("mentor", f"/v1/offers/{mine['id']}/counter", {"starts": [start]})
    await scene.post("clinician", f"/v1/offers/{mine['id']}/counter/decline")
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy"})
    scene.clock.set(flow.read_instant(mine["answer_by"]))
    await scene.sweep()
    (row,) = await scene.rows("SELECT answer_due_at FROM consultation")
    scene.clock.set(row.answer_due_at + timedelta(hours=24))
    await scene.sweep()


async def a_hold_is_let_go_and_the_request_withdrawn(scene: Scene) -> None:
    held = await flow.held(scene)
    await scene.call("coordinator", "DELETE", f"/v1/appointments/{held['id']}/hold", status=200)
    await scene.post("clinician", f"/v1/consultations/{held['consultation_id']}/cancel", {"reason": "transferred"})


async def an_appointment_is_moved_taken_over_and_called_off(scene: Scene) -> None:
    await flow.alone(scene)
    booked = await scene.booked()
    move = {"starts_at": await scene.later_start(booked)}
    await scene.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", move)
    await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
    body = {"mentor_id": str(scene.people["rival"].id)}
    offer = await scene.post("coordinator", f"/v1/consultations/{booked['consultation_id']}/offers", body, 201)
    await scene.post("rival", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    await scene.post("rival", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})


async def both_leave_what_is_booked(scene: Scene) -> None:
    await scene.booked()
    for who in ("clinician", "mentor"):
        await scene.rows("UPDATE person SET state = 'disabled' WHERE id = :id RETURNING 1", id=scene.people[who].id)
        await scene.sweep()


async def nobody_comes(scene: Scene) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/no-show", {"who": "mentor"})


async def a_memorandum_is_spent_suspended_and_over(scene: Scene) -> None:
    await scene.rows("UPDATE memorandum SET budget_minutes = 30, budget_per = 'year' RETURNING 1")
    await scene.booked()
    await scene.sweep()
    path, today = f"/v1/memoranda/{scene.memorandum.id}", scene.clock.now().date().isoformat()
    for to in ("suspended", "active", "expired"):
        await scene.post("admin", f"{path}/transitions", {"to": to, "on": today})
    await scene.post("partner", f"{path}/activities", {"kind": "visit", "on": today}, 201)


async def a_mentor_and_a_partner_system_change(scene: Scene) -> None:
    path = f"/v1/mentors/{scene.people['mentor'].id}/availability"
    seen = await scene.call("mentor", "GET", path)
    await scene.call("mentor", "PUT", path, seen.json(), status=200, headers={"If-Match": seen.headers["etag"]})
    await scene.listen()
    async with scene.world.database.work(actor.TIMER) as w:
        endpoint = await w.read(tables.WebhookEndpoint, scene.endpoints[scene.asking.id])
        await webhooks._disable(w, endpoint, "gone")


async def the_database_is_restored(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await installation.look(w, remembered=None, holds_on_promotion=False)
        await w.sql(sa.text("UPDATE installation SET system_identifier = system_identifier + 1"))
        await installation.look(w, remembered=None, holds_on_promotion=False)
        await restores.release(w, drop_mails_before=None, drop_webhooks=False)


async def the_numbers_of_a_programme_change(scene: Scene) -> None:
    path, body = f"/v1/programmes/{scene.programme.id}", {"policy": {"hold_minutes": 30}}
    await scene.call("admin", "PATCH", path, body, status=200, headers={"If-Match": "*"})


STORIES: dict[flow.Step, set[str]] = {
    a_session_is_logged_and_corrected: {
        "consultation.opened", "consultation.offered", "consultation.scheduled", "consultation.completed",
        "offer.sent", "offer.accepted", "offer.withdrawn", "appointment.booked", "appointment.fulfilled",
        "session.logged", "session.corrected",
    },
    advice_is_given: {"advice.given", "session.logged"},
    times_are_proposed_and_nobody_is_left: {
        "offer.countered", "offer.counter_declined", "offer.declined", "offer.late", "offer.expired",
        "consultation.unmatched", "consultation.expired",
    },
    a_hold_is_let_go_and_the_request_withdrawn: {
        "appointment.held", "appointment.hold_expired", "consultation.cancelled",
    },
    an_appointment_is_moved_taken_over_and_called_off: {
        "appointment.rescheduled", "appointment.mentor_replaced", "appointment.cancelled",
    },
    both_leave_what_is_booked: {
        "consultation.clinician_left", "appointment.clinician_left", "appointment.mentor_left",
    },
    nobody_comes: {"appointment.noshow"},
    a_memorandum_is_spent_suspended_and_over: {
        "memorandum.budget_low", "memorandum.suspended", "memorandum.activated", "memorandum.expired",
        "activity.logged",
    },
    a_mentor_and_a_partner_system_change: {"mentor.availability_changed", "webhook_endpoint.disabled"},
    the_numbers_of_a_programme_change: {"policy.changed"},
    the_database_is_restored: {"installation.restored"},
}  # fmt: skip


@pytest.mark.load
@pytest.mark.parametrize("story", STORIES)
async def test_wh_05_wh_06_what_is_told_is_as_its_served_schema_has_it_with_a_state_and_a_link_that_answers(
    scene: Scene, story: flow.Step
) -> None:
    await story(scene)

    assert await telling.types(scene) >= STORIES[story]
    assert await telling.faults(scene) == []


def test_every_type_of_event_has_its_story() -> None:
    assert set().union(*STORIES.values()) == set(vocabulary.EVENT_TYPES)


async def cancelled_when_booked(scene: Scene) -> None:
    booked = await scene.booked()
    await scene.post("clinician", f"/v1/consultations/{booked['consultation_id']}/cancel", {"reason": "transferred"})


async def given_up_by_the_mentor_and_answered_by_nobody(scene: Scene) -> None:
    booked = await scene.booked()
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/cancel", {"reason": "illness"})
    for _ in range(3):
        await scene.next_wave()
    (row,) = await scene.rows("SELECT answer_due_at FROM consultation")
    scene.clock.set(row.answer_due_at + timedelta(hours=24))
    await scene.sweep()


@pytest.mark.parametrize("go", [cancelled_when_booked, given_up_by_the_mentor_and_answered_by_nobody])
async def test_wh_12_whoever_is_told_of_an_offered_request_is_told_how_it_ends(
    scene: Scene, go: Callable[[Scene], Awaitable[None]]
) -> None:
    await scene.listen()
    await go(scene)
    told = await scene.rows(
        "SELECT e.type, e.subject_version FROM delivery d JOIN event e ON e.id = d.event_id"
        " WHERE d.endpoint_id = :lille AND e.type LIKE 'consultation.%' ORDER BY e.subject_version",
        lille=scene.endpoints[scene.lille.id],
    )
    assert told[-1].type in ("consultation.cancelled", "consultation.expired")
    versions = [row.subject_version for row in told]
    assert versions == list(range(versions[0], versions[-1] + 1))
