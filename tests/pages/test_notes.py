"""The notes of a case on its page: for the people of the case, and nobody else."""

from datetime import timedelta

import build
from pages.scene import Scene
from pages.test_cases import agreed, appointment_of
from service.care import answers, appointments, consultations, sessions
from service.kernel import actor


async def test_notes_are_read_by_the_people_of_the_case(scene: Scene) -> None:
    rival = await scene.another_mentor()
    asked = await scene.ask()
    offers = {row.mentor_id: row.id for row in await scene.rows("SELECT id, mentor_id FROM offer")}
    await scene.act(rival, answers.decline, offers[rival.id], "conflict", "DECLINED-SO")
    (mine,) = await scene.rows("SELECT starts FROM offer WHERE id = :id", id=offers[scene.mentor.id])
    await scene.act(scene.mentor, answers.accept, offers[scene.mentor.id], mine.starts[0])
    await scene.act(scene.mentor, appointments.cancel, (await appointment_of(scene)).id, "busy", "CALLED-OFF-SO")
    await scene.act(scene.coordinator, consultations.cancel, asked.id, "other", "WITHDRAWN-SO")
    notes = ("DECLINED-SO", "CALLED-OFF-SO", "WITHDRAWN-SO")
    async with scene.world.database.work(actor.TIMER) as w:
        admin = await build.admin(w, await build.programme(w))
    found = {}
    for who in (scene.clinician, scene.coordinator, admin, scene.mentor, rival):
        async with scene.browser(who) as browser:
            page = (await browser.get(f"/consultations/{asked.id}")).text
        found[who.id] = [note in page for note in notes]
    assert found == {
        scene.clinician.id: [True, True, True],
        scene.coordinator.id: [True, True, True],
        admin.id: [False, False, False],
        scene.mentor.id: [False, False, False],
        rival.id: [False, False, False],
    }


async def test_the_mentor_reads_what_the_clinician_wrote_in_answer(scene: Scene) -> None:
    asked = await agreed(scene)
    found = await appointment_of(scene)
    scene.clock.set(found.ends_at + timedelta(minutes=5))
    happened = sessions.SessionEntry(started_at=found.starts_at, ended_at=found.ends_at, outcome="advice_given")
    logged = await scene.act(scene.mentor, sessions.log, found.id, happened)
    said = {"is_useful": True, "patient_outcome": "better", "note": "IT-HELPED-SO"}
    await scene.act(scene.clinician, sessions.give_feedback, logged.id, **said)
    async with scene.browser(scene.mentor) as browser:
        assert "IT-HELPED-SO" in (await browser.get(f"/consultations/{asked.id}")).text
