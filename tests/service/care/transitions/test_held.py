"""While a time is held its offer can take it: until the hold ends, by mail too, and nobody else is asked meanwhile."""

from datetime import timedelta
from typing import Any

import pytest

import flow
from flow import Scene

Json = dict[str, Any]


async def hold(scene: Scene, asked: str, mentor: str, start: str) -> Any:  # noqa: ANN401 - an answer is JSON
    body = {"mentor_id": str(scene.people[mentor].id), "starts_at": start}
    return await scene.post("coordinator", f"/v1/consultations/{asked}/holds", body, 201)


async def take(scene: Scene, offer: Json, start: str, mentor: str = "mentor") -> Any:  # noqa: ANN401 - as above
    return await scene.post(mentor, f"/v1/offers/{offer['id']}/accept", {"starts_at": start})


async def held_beyond_its_wave(scene: Scene) -> tuple[Json, Json]:
    """Have a time held five minutes before the wave ends; gives the offer as it was, and the hold."""
    asked = await scene.request()
    offer: Json = await scene.offer()
    scene.clock.forward(minutes=235)
    held = await hold(scene, asked, "mentor", offer["starts"][-1])
    await scene.look()
    return offer, held


async def test_a_stat_hold_outlives_the_ten_minutes_of_its_offer(scene: Scene) -> None:
    await flow.alone(scene)
    await scene.rows("UPDATE mentor_profile SET opt_ins = '{stat}' RETURNING 1")
    await scene.rows("""UPDATE programme SET policy = '{"priorities": {"stat": {"answer_due_minutes": 600}}}'""")
    asked = await scene.request(priority="stat")
    offer = await scene.offer()
    start = offer["starts"][-1]
    held = await hold(scene, asked, "mentor", start)
    assert held["held_until"] > offer["answer_by"]
    scene.clock.forward(minutes=12)
    await scene.sweep()
    booked = await take(scene, offer, start)
    assert (booked["id"], booked["status"]) == (held["id"], "booked")


async def test_no_wave_ends_while_a_time_is_held_and_the_mentor_takes_it(scene: Scene) -> None:
    offer, held = await held_beyond_its_wave(scene)
    scene.clock.forward(minutes=6)
    await scene.sweep()
    change = await scene.change()
    assert (change.events, change.mails) == ([("offer.late", "rival")], [("offer_late", "rival")])
    booked = await take(scene, offer, held["starts_at"])
    assert (booked["id"], booked["status"]) == (held["id"], "booked")


async def test_the_wave_ends_with_the_hold_that_nobody_took(scene: Scene) -> None:
    await held_beyond_its_wave(scene)
    scene.clock.forward(minutes=15)
    await scene.sweep()
    events = (await scene.change()).events
    assert ("appointment.hold_expired", "appointment") in events
    assert ("offer.late", "mentor") in events
    assert ("consultation.unmatched", "consultation") in events


async def test_the_buttons_of_the_first_mail_live_as_long_as_the_hold(scene: Scene) -> None:
    _, held = await held_beyond_its_wave(scene)
    (link, *_) = await scene.rows(
        "SELECT id FROM link WHERE purpose = 'offer.accept' AND person_id = :mentor AND starts_at = :start ORDER BY id",
        mentor=scene.people["mentor"].id,
        start=flow.read_instant(held["starts_at"]),
    )
    scene.clock.forward(minutes=12)
    pressed = await scene.client.post(f"/a/{scene.world.keys.link_token(link.id, 'offer.accept')}")
    assert pressed.status_code == 303
    assert (await scene.state()).appointment == "booked"


async def test_a_mentor_whose_offer_lives_longer_now_is_told_so(scene: Scene) -> None:
    asked = await scene.request()
    offer = await scene.offer()
    scene.clock.forward(minutes=235)
    await scene.look()
    held = await hold(scene, asked, "mentor", offer["starts"][-1])
    assert (await scene.change()).mails == [("held", "clinician"), ("held", "mentor"), ("offer", "mentor")]
    assert (await scene.offer())["answer_by"] == held["held_until"]


async def test_a_mentor_asked_for_advice_can_take_the_time_that_is_held(scene: Scene) -> None:
    await flow.alone(scene)
    person = scene.people["mentor"].id
    await scene.rows("DELETE FROM weekly_hours WHERE person_id = :p RETURNING 1", p=person)
    asked = await scene.request(mode="either")
    offer = await scene.offer()
    assert (offer["mode"], offer["starts"]) == ("either", [])
    await scene.rows(
        "INSERT INTO weekly_hours (id, person_id, weekday, from_minute, until_minute)"
        " SELECT gen_random_uuid(), :p, day, 480, 1200 FROM generate_series(0, 6) day RETURNING 1",
        p=person,
    )
    await scene.look()
    start = flow.instant((scene.clock.now() + timedelta(hours=3)).replace(minute=0, second=0))
    held = await hold(scene, asked, "mentor", start)
    assert ("offer", "mentor") in (await scene.change()).mails
    assert (await scene.offer())["starts"] == [start]
    await scene.press("mentor", "offer.accept")
    (row,) = await scene.rows("SELECT id, status FROM appointment")
    assert (str(row.id), row.status) == (held["id"], "booked")


async def test_a_mentor_asked_for_advice_may_still_write_it_while_a_time_is_held(scene: Scene) -> None:
    asked = await scene.request(mode="either")
    offer = await scene.offer()
    await hold(scene, asked, "mentor", offer["starts"][0])
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/accept")
    assert ("appointment.hold_expired", "appointment") in (await scene.change()).events
    assert await scene.rows("SELECT 1 FROM seat") == []


async def test_an_offer_that_is_over_is_not_revived_but_made_anew(scene: Scene) -> None:
    asked = await scene.request()
    offer = await scene.offer()
    scene.clock.forward(hours=4)
    await scene.look()
    held = await hold(scene, asked, "mentor", offer["starts"][-1])
    assert {("offer.expired", "mentor"), ("offer.sent", "mentor")} <= set((await scene.change()).events)
    booked = await take(scene, await scene.offer(), held["starts_at"])
    assert booked["id"] == held["id"]


@pytest.mark.parametrize(
    ("verb", "body"),
    [("decline", {"reason": "busy"}), ("counter", {"starts": ["2026-11-17T14:00:00Z"]})],
)
async def test_any_other_answer_lets_the_held_time_go(scene: Scene, verb: str, body: Json) -> None:
    await flow.held(scene)
    offer = await scene.offer()
    await scene.look()
    await scene.post("mentor", f"/v1/offers/{offer['id']}/{verb}", body)
    assert ("appointment.hold_expired", "appointment") in (await scene.change()).events
    assert await scene.rows("SELECT 1 FROM seat") == []


async def test_another_mentors_decline_leaves_the_held_time(scene: Scene) -> None:
    await flow.held(scene)
    theirs = await scene.offer("rival")
    await scene.post("rival", f"/v1/offers/{theirs['id']}/decline", {"reason": "busy"})
    assert (await scene.state()).appointment == "pending"


async def test_a_narrower_consent_lets_the_held_time_go_with_the_offer(scene: Scene) -> None:
    held = await flow.held(scene)
    consent = flow.given_today(scene) | {"scope": "countries", "countries": ["DE"]}
    await scene.post("coordinator", f"/v1/consultations/{held['consultation_id']}/consent", consent)
    assert (await scene.state()).appointment == "cancelled"
    assert await scene.rows("SELECT 1 FROM seat") == []


async def soon(scene: Scene, minutes: int) -> tuple[str, str]:
    """Have a stat request filed that many minutes before a start; gives it and the start."""
    await flow.alone(scene)
    await scene.rows("UPDATE mentor_profile SET opt_ins = '{stat}' RETURNING 1")
    start = scene.clock.now() + timedelta(minutes=30)
    asked = await scene.request(priority="stat")
    scene.clock.set(start - timedelta(minutes=minutes))
    return asked, flow.instant(start)


async def test_a_hold_ends_with_the_start_of_what_is_held(scene: Scene) -> None:
    asked, start = await soon(scene, 5)
    held = await hold(scene, asked, "mentor", start)
    assert held["held_until"] == start
    scene.clock.forward(minutes=4, seconds=59)
    assert (await take(scene, await scene.offer(), start))["id"] == held["id"]


async def test_a_time_that_begins_now_is_not_held(scene: Scene) -> None:
    asked, start = await soon(scene, 0)
    body = {"mentor_id": str(scene.people["mentor"].id), "starts_at": start}
    await scene.call("coordinator", "POST", f"/v1/consultations/{asked}/holds", body, status=422)


@pytest.mark.parametrize(("before_its_end", "status"), [(timedelta(seconds=1), 200), (timedelta(0), 409)])
async def test_a_held_time_is_taken_until_the_hold_ends_though_nobody_swept(
    scene: Scene, before_its_end: timedelta, status: int
) -> None:
    held = await flow.held(scene)
    offer = await scene.offer()
    scene.clock.set(flow.read_instant(held["held_until"]) - before_its_end)
    body = {"starts_at": held["starts_at"]}
    answer = await scene.call("mentor", "POST", f"/v1/offers/{offer['id']}/accept", body, status=status)
    assert answer.json().get("type") == (None if status == 200 else "/problems/hold-expired")
