"""Sessions over HTTP at the edges: hours that change, memoranda that ended meanwhile, answers given before."""

from datetime import date, timedelta
from typing import Any

import httpx
import pytest

import build
import flow
from integrations.runtime.world import World
from service.kernel import actor
from service.registry import memorandum_log
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def session_of(scene: flow.Scene) -> Any:  # noqa: ANN401 - JSON
    (row,) = await scene.rows("SELECT id FROM session")
    return await scene.get("coordinator", f"/v1/sessions/{row.id}")


def moved(session: Any, hours: float) -> dict[str, str]:  # noqa: ANN401 - JSON
    """Say of the session that it was so much later, and nothing else new."""
    times = {
        name: flow.instant(flow.read_instant(session[name]) + timedelta(hours=hours))
        for name in ("started_at", "ended_at")
    }
    return times | {"outcome": session["outcome"]}


async def test_a_corrected_hour_is_civil_or_not_by_the_new_one(scene: flow.Scene) -> None:
    await flow.logged(scene)
    session = await session_of(scene)
    scene.clock.forward(days=2)
    await scene.post("mentor", f"/v1/sessions/{session['id']}/corrections", moved(session, 13), 201)
    rows = await scene.rows("SELECT is_civil_for_requester, is_civil_for_mentor FROM session ORDER BY id")
    assert [tuple(row) for row in rows] == [(True, True), (False, False)]


HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("ended_before_now", "lasted", "fault"),
    [
        (timedelta(0), HOUR, None),
        (timedelta(0), timedelta(0), None),
        (-SECOND, HOUR, "/ended_at"),
        (-HOUR - SECOND, HOUR, "/started_at"),
        (HOUR, timedelta(0), None),
        (HOUR, -SECOND, "/ended_at"),
        (HOUR, 12 * HOUR, None),
        (HOUR, 12 * HOUR + SECOND, "/ended_at"),
    ],
)
async def test_a_session_lies_behind_us_ends_after_its_start_and_lasts_twelve_hours_at_most(
    scene: flow.Scene, ended_before_now: timedelta, lasted: timedelta, fault: str | None
) -> None:
    booked = await scene.booked()
    scene.clock.forward(days=2)
    ended_at = scene.clock.now() - ended_before_now
    body = {
        "started_at": flow.instant(ended_at - lasted),
        "ended_at": flow.instant(ended_at),
        "outcome": "advice_given",
    }
    path = f"/v1/appointments/{booked['id']}/session"
    answer = await scene.post("mentor", path, body, 422 if fault else 201)
    if fault:
        assert [each["pointer"] for each in answer["errors"]] == [fault]
        assert await scene.rows("SELECT 1 FROM session") == []
    else:
        assert answer["minutes"] == lasted / timedelta(minutes=1)


@pytest.mark.parametrize(
    ("seconds", "minutes"),
    [(29, 0), (31, 1), (20 * 60 + 29, 20), (20 * 60 + 31, 21), (20 * 60 + 30, 20), (21 * 60 + 30, 22)],
)
async def test_minutes_are_rounded_to_the_nearest_and_halves_to_the_even_one(
    scene: flow.Scene, seconds: int, minutes: int
) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    ended_at = flow.read_instant(booked["starts_at"]) + timedelta(seconds=seconds)
    body = flow.happened(booked) | {"ended_at": flow.instant(ended_at)}
    made = await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", body, 201)
    assert made["minutes"] == minutes


async def test_a_session_does_not_begin_before_its_request_was_filed(scene: flow.Scene) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    early = moved(flow.happened(booked), -24 * 365)
    refused = await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", early, 422)
    assert refused["errors"][0]["pointer"] == "/started_at"


async def test_a_session_may_begin_in_the_second_in_which_its_request_was_filed(scene: flow.Scene) -> None:
    scene.clock.forward(microseconds=500_000)
    booked = await scene.booked()
    opened_at = flow.instant(scene.clock.now())
    scene.clock.forward(hours=1)
    body = {"started_at": opened_at, "ended_at": flow.instant(scene.clock.now()), "outcome": "advice_given"}
    made = await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", body, 201)
    assert made["started_at"] == opened_at


async def test_a_session_stays_under_a_memorandum_that_ended_before_it_was_logged(scene: flow.Scene) -> None:
    booked = await scene.booked()
    async with scene.world.database.work(actor.TIMER) as w:
        await build.memorandum(w, scene.asking, scene.lille, programme_id=scene.programme.id)
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    ended: date = scene.clock.now().date() + timedelta(days=1)
    await scene.rows(
        "UPDATE memorandum SET valid_until = :ended WHERE id = :id RETURNING 1", ended=ended, id=scene.memorandum.id
    )
    scene.clock.forward(days=2)
    await scene.sweep()
    (row,) = await scene.rows("SELECT status FROM memorandum WHERE id = :id", id=scene.memorandum.id)
    assert row.status == "expired"
    made = await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", flow.happened(booked), 201)
    assert made["memorandum_id"] == str(scene.memorandum.id)


async def test_an_answer_that_was_given_counts_for_the_corrected_session(scene: flow.Scene) -> None:
    await flow.logged(scene)
    session = await session_of(scene)
    answer = {"is_useful": True, "patient_outcome": "better"}
    await scene.post("clinician", f"/v1/sessions/{session['id']}/feedback", answer, 201)
    scene.clock.forward(hours=1)
    newer = await scene.post("mentor", f"/v1/sessions/{session['id']}/corrections", moved(session, 0.25), 201)
    await scene.post("clinician", f"/v1/sessions/{newer['id']}/feedback", answer, 409)
    given = await scene.get("clinician", f"/v1/sessions/{newer['id']}/feedback")
    assert [each["side"] for each in given["items"]] == ["requesting"]


async def test_a_session_that_is_logged_while_its_log_is_verified_is_no_tampering(
    scene: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, others = memorandum_log.links_of, [flow.logged]

    async def slowly(*given: Any) -> Any:  # noqa: ANN401 - as it is called
        found = await read(*given)
        while others:
            await others.pop()(scene)
        return found

    monkeypatch.setattr(memorandum_log, "links_of", slowly)
    async with scene.world.database.work(actor.TIMER) as w:
        found = await memorandum_log.verify(w, scene.memorandum.id)
    assert (found.ok, found.entries) == (True, 1)


async def test_a_session_under_a_memorandum_that_had_ended_by_then_is_under_another(scene: flow.Scene) -> None:
    booked = await scene.booked()
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.memorandum(w, scene.asking, scene.lille, programme_id=scene.programme.id)
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    ended: date = scene.clock.now().date() - timedelta(days=1)
    await scene.rows(
        "UPDATE memorandum SET valid_until = :ended WHERE id = :id RETURNING 1", ended=ended, id=scene.memorandum.id
    )
    scene.clock.forward(days=9)  # the answer was due long ago
    made = await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", flow.happened(booked), 201)
    assert (made["memorandum_id"], made["is_memorandum_chosen_anew"]) == (str(other.id), True)


async def test_who_could_have_answered_can_be_asked_long_after_the_answer_was_due(scene: flow.Scene) -> None:
    asked = await scene.request()
    scene.clock.forward(days=30)
    found = await scene.get("coordinator", f"/v1/consultations/{asked}/candidates")
    assert found["candidates"] == []
    assert {reason for each in found["excluded"] for reason in each["reasons"]} >= {"deadline_unreachable"}
