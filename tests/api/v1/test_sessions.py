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


async def test_a_session_does_not_begin_before_its_request_was_filed(scene: flow.Scene) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    early = moved(flow.happened(booked), -24 * 365)
    refused = await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", early, 422)
    assert refused["errors"][0]["pointer"] == "/started_at"


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
