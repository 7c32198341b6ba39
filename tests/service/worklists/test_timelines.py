"""A case in its order: what happened, what it waits for, what comes; as each side sees it, step by step."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

import world as simulated
from integrations.runtime.world import World
from pages.scene import Scene
from service import tables, timers, vocabulary
from service.care import advice, answers, appointments, consultations, sessions
from service.kernel.work import Work
from service.worklists import page_views, timelines


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock) -> Scene:
    made = Scene(world, test_clock)
    await made.set_up()
    return made


async def steps(scene: Scene, who: tables.Person, case: tables.Consultation) -> Sequence[timelines.Step]:
    async def read(w: Work) -> Sequence[timelines.Step]:
        return timelines.steps((await page_views.case(w, case.id)).told, w.now)

    found: Sequence[timelines.Step] = await scene.act(who, read)
    return found


async def told(scene: Scene, who: tables.Person, case: tables.Consultation) -> dict[str, list[str]]:
    found = await steps(scene, who, case)
    assert [step.tense for step in found] == sorted((step.tense for step in found), key=("done", "now", "todo").index)
    return {tense: [step.code for step in found if step.tense == tense] for tense in ("done", "now", "todo")}


async def offer_of(scene: Scene, case: tables.Consultation) -> tables.Offer:
    (row,) = await scene.rows("SELECT id, starts FROM offer WHERE consultation_id = :id", id=case.id)
    return row  # type: ignore[return-value]


async def test_a_call_from_the_request_to_what_became_of_it(scene: Scene) -> None:
    case = await scene.ask()
    first = await told(scene, scene.clinician, case)
    assert first["done"] == ["filed", "asked"]
    assert first["now"] == ["answer_awaited"]
    assert {"next_wave", "answer_due"} <= set(first["todo"])
    assert "next_wave" not in (await told(scene, scene.mentor, case))["todo"]
    offer = await offer_of(scene, case)
    scene.clock.forward(minutes=5)
    await scene.act(scene.mentor, answers.counter, offer.id, [offer.starts[0] + timedelta(days=1)])
    second = await told(scene, scene.clinician, case)
    assert (second["done"], second["now"]) == (["filed", "asked", "offer_countered"], ["counter_waits"])
    scene.clock.forward(minutes=5)
    await scene.act(scene.clinician, answers.accept_counter, offer.id, offer.starts[0] + timedelta(days=1))
    third = await told(scene, scene.clinician, case)
    assert third["done"][:2] == ["filed", "asked"]
    assert third["done"][-1] == "booked"
    assert (third["now"], third["todo"]) == (["call_ahead"], ["call"])
    (call,) = await scene.rows("SELECT id, starts_at, ends_at FROM appointment")
    await scene.act(scene.clinician, appointments.move, call.id, call.starts_at + timedelta(days=7, minutes=7))
    assert (await told(scene, scene.mentor, case))["now"] == ["move_waits"]
    await scene.act(scene.mentor, appointments.decline_move, call.id, call.starts_at + timedelta(days=7, minutes=7))
    seen = []
    for at in (call.starts_at, call.ends_at):
        scene.clock.set(at)
        seen += (await told(scene, scene.mentor, case))["now"]
    assert seen == ["call_on", "log_waits"]
    entry = sessions.SessionEntry(started_at=call.starts_at, ended_at=call.ends_at, outcome="advice_given")
    session = await scene.act(scene.mentor, sessions.log, call.id, entry)
    assert (await told(scene, scene.mentor, case))["now"] == ["follow_up"]
    for who in (scene.clinician, scene.mentor):
        scene.clock.forward(minutes=1)
        answer = {"is_useful": True, "patient_outcome": None, "note": None}
        await scene.act(who, sessions.give_feedback, session.id, **answer)
    last = await told(scene, scene.clinician, case)
    assert last["done"][-4:] == ["met", "request_completed", "answered", "answered"]
    assert (last["now"], last["todo"]) == ([], [])


async def test_written_advice(scene: Scene) -> None:
    case = await scene.ask(mode="written")
    await scene.act(scene.mentor, answers.accept, (await offer_of(scene, case)).id, None)
    promised = await told(scene, scene.clinician, case)
    assert (promised["done"], promised["now"]) == (["filed", "asked", "offer_accepted"], ["advice_awaited"])
    assert promised["todo"] == ["advice_due"]
    scene.clock.forward(hours=1)
    await scene.act(scene.mentor, advice.give, case.id, "Wait and see.", 10)
    given = await told(scene, scene.clinician, case)
    assert "advice_given" in given["done"]
    assert "met" not in given["done"]
    assert given["now"] == ["follow_up"]


async def test_nobody_is_found_and_the_request_is_withdrawn(scene: Scene) -> None:
    case = await scene.ask(languages=("fr",))
    assert (await told(scene, scene.clinician, case))["now"] == ["nobody_found"]
    await scene.act(scene.clinician, consultations.cancel, case.id, "resolved_locally", None, ())
    found = await steps(scene, scene.clinician, case)
    assert [(step.code, step.reason) for step in found] == [("filed", None), ("request_cancelled", "resolved_locally")]


async def test_a_draft_waits_for_the_patients_consent(scene: Scene) -> None:
    case = await scene.ask(consent=None)
    assert await told(scene, scene.clinician, case) == {"done": ["drafted"], "now": ["consent_missing"], "todo": []}


async def test_a_late_mentor_and_one_who_declines_are_named_to_their_side_alone(scene: Scene) -> None:
    other = await scene.another_mentor()
    case = await scene.ask()
    (offer, *_) = await scene.rows("SELECT id, mentor_id, answer_by FROM offer ORDER BY answer_by")
    who = scene.mentor if offer.mentor_id == scene.mentor.id else other
    await scene.rows("UPDATE delivery SET state = 'delivered', next_attempt_at = NULL, settled_at = now() RETURNING 1")
    scene.clock.set(offer.answer_by)
    assert await timers.once(scene.world.database) == []
    found = [step for step in await steps(scene, scene.clinician, case) if step.code == "offer_late"]
    assert who.id in {step.person_id for step in found}
    rival = other if who is scene.mentor else scene.mentor
    assert all(step.person_id in {rival.id, None} for step in await steps(scene, rival, case))


async def test_a_call_that_is_called_off_says_why(scene: Scene) -> None:
    case = await scene.ask()
    offer = await offer_of(scene, case)
    await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    (call,) = await scene.rows("SELECT id FROM appointment")
    scene.clock.forward(minutes=3)
    await scene.act(scene.mentor, appointments.cancel, call.id, "illness")
    found = {step.code: step for step in await steps(scene, scene.clinician, case)}
    assert found["call_cancelled"].reason == "illness"
    assert found["offer_ended"].person_id == scene.mentor.id
    assert found["booked"].at is not None
    assert set(found) <= set(vocabulary.TIMELINE_STEPS)
