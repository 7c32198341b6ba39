"""Faults that a review of security and privacy found, each as the scene that shows it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
import sqlalchemy as sa

import build
import flow
from api.edge import plain_json, problems
from flow import Scene
from integrations.runtime.world import World
from service.kernel import actor
from service.people import logins
from service.registry import agreements
from world import TestClock

Step = Callable[[Scene], Awaitable[tuple[str, str, object]]]


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    return made


def test_brackets_in_an_unclosed_text_are_no_depth() -> None:
    # Found by time: 33 brackets, then an unclosed text of 500,000 escaped quotes kept a process busy for hours.
    with pytest.raises(problems.BadBody, match="is not JSON"):
        plain_json.check(b'["' + b"[" * 40 + b'\\"' * 40)


def session_now(scene: Scene, outcome: str) -> dict[str, str]:
    began = scene.clock.now() - timedelta(minutes=20)
    return {"started_at": flow.instant(began), "ended_at": flow.instant(scene.clock.now()), "outcome": outcome}


@pytest.mark.parametrize(("who", "outcome"), [("mentor", "no_show_clinician"), ("clinician", "no_show_mentor")])
async def test_nobody_is_logged_as_missing_before_the_start(scene: Scene, who: str, outcome: str) -> None:
    booked = await scene.booked()
    scene.clock.forward(hours=1)
    await scene.post(who, f"/v1/appointments/{booked['id']}/session", session_now(scene, outcome), 409)
    assert (await scene.state()).consultation == "scheduled"


async def test_a_session_held_earlier_than_planned_frees_the_planned_time(scene: Scene) -> None:
    booked = await scene.booked()
    scene.clock.forward(hours=1)
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", session_now(scene, "advice_given"), 201)
    assert (await scene.state()).seats == []


async def test_a_mentor_does_not_agree_to_what_their_own_coordinator_proposed(scene: Scene) -> None:
    booked = await scene.booked()
    night = flow.read_instant(booked["starts_at"]).replace(hour=1) + timedelta(days=1)
    path, body = f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": flow.instant(night)}
    await scene.post("partner", path, body)
    again = await scene.post("mentor", path, body)
    assert again["starts_at"] == booked["starts_at"]
    moved = await scene.post("clinician", path, body)
    assert moved["starts_at"] == flow.instant(night)


@pytest.mark.parametrize("is_countered", [False, True])
async def test_a_mentor_asked_to_take_over_reads_nothing_once_the_session_is_logged(
    scene: Scene, *, is_countered: bool
) -> None:
    booked = await scene.booked()
    case = f"/v1/consultations/{booked['consultation_id']}"
    await scene.post("coordinator", f"{case}/offers", {"mentor_id": str(scene.people["rival"].id)}, 201)
    offer = await scene.offer("rival")
    if is_countered:
        starts = {"starts": [await scene.later_start(booked, 24 * 60)]}
        await scene.post("rival", f"/v1/offers/{offer['id']}/counter", starts)
    assert (await scene.get("rival", case))["question"] == flow.QUESTION
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", session_now(scene, "advice_given"), 201)
    assert (await scene.get("rival", case))["question"] is None
    assert (await scene.get("rival", f"/v1/offers/{offer['id']}"))["state"] == "withdrawn"


async def without_roles(scene: Scene, who: str) -> None:
    await scene.rows("DELETE FROM role_grant WHERE person_id = :p RETURNING 1", p=scene.people[who].id)


async def test_a_mentor_without_the_role_reads_no_case_text(scene: Scene) -> None:
    case = f"/v1/consultations/{await scene.request()}"
    assert (await scene.get("mentor", case))["question"] == flow.QUESTION
    await without_roles(scene, "mentor")
    await scene.call("mentor", "GET", case, status=404)


async def test_a_clinician_who_has_left_the_hospital_has_left_its_cases(scene: Scene) -> None:
    case = f"/v1/consultations/{await scene.request()}"
    await without_roles(scene, "clinician")
    await scene.call("clinician", "GET", case, status=404)
    await scene.call("clinician", "POST", f"{case}/cancel", {"reason": "other"}, status=404)


async def test_the_mentor_of_a_case_cannot_become_its_clinician(scene: Scene) -> None:
    booked = await scene.booked()
    async with scene.world.database.work(actor.TIMER) as w:
        await build.grant(w, scene.people["mentor"], "clinician", scene.asking)
    path = f"/v1/consultations/{booked['consultation_id']}/assign"
    await scene.post("coordinator", path, {"clinician_id": str(scene.people["mentor"].id)}, 422)


async def test_advice_that_was_handed_back_is_no_longer_counted_against_the_budget(scene: Scene) -> None:
    await scene.rows("UPDATE memorandum SET budget_minutes = 300, budget_per = 'total' RETURNING 1")
    await scene.request(mode="written")
    for mentor in ("mentor", "rival"):
        offer = (await scene.get(mentor, "/v1/offers"))["items"][0]
        if offer["state"] != "pending":
            await scene.rows("UPDATE mentor_profile SET verified_until = '2028-01-01' RETURNING 1")
            await scene.post(
                "coordinator",
                f"/v1/consultations/{offer['consultation_id']}/offers",
                {"mentor_id": str(scene.people[mentor].id)},
                201,
            )
            offer = await scene.offer(mentor)
        await scene.post(mentor, f"/v1/offers/{offer['id']}/accept", {})
        if mentor == "mentor":
            await scene.post(mentor, f"/v1/offers/{offer['id']}/decline", {"reason": "busy"})
    found = await scene.get("admin", f"/v1/memoranda/{scene.memorandum.id}")
    assert found["budget"]["minutes_left"] == 270


async def test_what_was_booked_over_a_spent_budget_can_be_moved(scene: Scene) -> None:
    await scene.rows("UPDATE memorandum SET budget_minutes = 0, budget_per = 'total' RETURNING 1")
    override = {"rule": "budget_spent", "reason": "Agreed with the programme"}
    body = {"mentor_id": str(scene.people["mentor"].id), "override": override}
    await scene.post("coordinator", f"/v1/consultations/{await scene.request()}/offers", body, 201)
    offer = await scene.offer()
    booked = await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]})
    later = await scene.later_start(booked)
    moved = await scene.post("clinician", f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": later})
    assert moved["starts_at"] == later


async def until_it_waits(world: World, task: asyncio.Task[object]) -> None:
    """Go on once the task waits for a lock, or is done."""
    waiting = sa.text(  # in this test's database: other tests use the same server
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    while not task.done():
        async with world.database.work(actor.TIMER) as w:
            if (await w.sql(waiting)).first():
                return
        await asyncio.sleep(0.01)


async def hold(scene: Scene) -> tuple[str, str, object]:
    asked, offer = await scene.request(), await scene.offer()
    body = {"mentor_id": offer["mentor_id"], "starts_at": offer["starts"][0]}
    return "coordinator", f"/v1/consultations/{asked}/holds", body


async def take_over(scene: Scene) -> tuple[str, str, object]:
    booked = await scene.booked("rival")
    body = {"mentor_id": str(scene.people["mentor"].id)}
    await scene.post("coordinator", f"/v1/consultations/{booked['consultation_id']}/offers", body, 201)
    offer = await scene.offer()
    return "mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": offer["starts"][0]}


async def move(scene: Scene) -> tuple[str, str, object]:
    booked = await scene.booked()
    return "clinician", f"/v1/appointments/{booked['id']}/reschedule", {"starts_at": await scene.later_start(booked)}


@pytest.mark.races
@pytest.mark.parametrize("step", [hold, take_over, move])
async def test_whoever_books_holds_the_people_before_they_wait_for_the_memorandum(scene: Scene, step: Step) -> None:
    await scene.rows("UPDATE memorandum SET budget_minutes = 300, budget_per = 'total' RETURNING 1")
    who, path, body = await step(scene)
    database = scene.world.database
    async with database.work(actor.TIMER) as other:
        await agreements.lock_budget(other, scene.memorandum.id)
        calling = asyncio.create_task(scene.call(who, "POST", path, body))
        await until_it_waits(scene.world, calling)
        key = int.from_bytes(scene.people["mentor"].id.bytes[8:], signed=True)
        (found,) = await scene.rows("SELECT pg_try_advisory_xact_lock(:key) AS is_free", key=key)
        assert (calling.done(), found.is_free) == (False, False)
    assert (await calling).status_code in {200, 201}


@pytest.mark.races
async def test_a_refresh_that_runs_while_its_family_ends_leaves_no_token_behind(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        person = await build.clinician(w, await build.institution(w))
        link = await logins.link_token(w, person.email, logins.LINK_LIFE)
    first = await world.database.run(actor.STRANGER, lambda w: logins.exchange(w, link))
    second = await world.database.run(actor.STRANGER, lambda w: logins.refresh(w, first.refresh_token))
    assert second is not None
    async with world.database.work(actor.STRANGER) as w:
        third = await logins.refresh(w, second.refresh_token)
        await w.flush()
        thief = world.database.run(actor.STRANGER, lambda w: logins.refresh(w, first.refresh_token))
        stealing = asyncio.create_task(thief)
        await until_it_waits(world, stealing)
    assert await stealing is None
    assert third is not None
    assert await world.database.run(actor.STRANGER, lambda w: logins.refresh(w, third.refresh_token)) is None
