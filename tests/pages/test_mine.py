"""A mentor's consultations, with what became of each; and that the mentor is told of the answer at once."""

import re
from datetime import timedelta
from typing import Any

import pytest

import build
from pages.scene import Scene
from service import tables
from service.care import answers, sessions
from service.care.sessions import SessionEntry
from service.kernel import actor, clock, errors
from service.kernel.work import Work
from service.worklists import mentor_consultations

NOTE = "The child of five is well again: CANARY-OF-THE-ANSWER"


async def logged(scene: Scene, outcome: str = "advice_given") -> tables.Session:
    """A consultation that took place, 25 minutes long."""
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer WHERE consultation_id = :id", id=asked.id)
    accepted = await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    start = accepted.appointment.starts_at
    scene.clock.set(start + timedelta(hours=1))
    entry = SessionEntry(started_at=start, ended_at=start + timedelta(minutes=25), outcome=outcome)
    session: tables.Session = await scene.act(scene.clinician, sessions.log, accepted.appointment.id, entry)
    return session


async def answered(scene: Scene, session: tables.Session, who: tables.Person, **changes: Any) -> None:  # noqa: ANN401 - what it takes
    values = {"is_useful": True, "patient_outcome": "better", "note": None} | changes
    await scene.act(who, sessions.give_feedback, session.id, **values)


async def mails(scene: Scene) -> list[Any]:
    return await scene.rows(
        "SELECT person_id, payload, next_attempt_at, CAST(payload AS text) AS text FROM delivery"
        " WHERE payload->>'template' = 'followed_up'"
    )


async def test_the_mentor_is_mailed_with_the_answer_and_no_word_of_it(scene: Scene) -> None:
    session = await logged(scene)
    await answered(scene, session, scene.clinician, note=NOTE)

    (mail,) = await mails(scene)
    assert mail.person_id == scene.mentor.id
    assert mail.next_attempt_at == scene.clock.now(), "due at once"
    assert mail.payload["values"]["page"] == f"/consultations/{session.consultation_id}"
    for word in ("CANARY", "better", "useful", scene.clinician.display_name):
        assert word not in mail.text


async def test_the_mail_and_the_answer_are_one_transaction(scene: Scene) -> None:
    session = await logged(scene)

    async def answer_and_fail(w: Work) -> None:
        await sessions.give_feedback(w, session.id, is_useful=True, patient_outcome=None, note=None)
        raise errors.Conflict

    with pytest.raises(errors.Conflict):
        await scene.act(scene.clinician, answer_and_fail)
    assert await mails(scene) == []
    assert await scene.rows("SELECT 1 FROM feedback") == []


async def test_the_mentors_own_answer_is_no_news_to_them_and_a_second_answer_is_none(scene: Scene) -> None:
    session = await logged(scene)
    await answered(scene, session, scene.mentor)
    assert await mails(scene) == []
    await answered(scene, session, scene.clinician)
    with pytest.raises(errors.Exists):
        await answered(scene, session, scene.clinician)
    assert len(await mails(scene)) == 1


async def test_the_answer_by_the_link_of_a_mail_tells_the_mentor_too(scene: Scene) -> None:
    await logged(scene)
    path, _ = await scene.link("feedback", scene.clinician)
    async with scene.browser() as browser:
        looked = await browser.get(path)
        assert await mails(scene) == []
        pressed = [await browser.post(path, data={"useful": "yes", "outcome": "same"}) for _ in range(2)]
    assert [looked.status_code, *(answer.status_code for answer in pressed)] == [200, 303, 303]
    assert len(await mails(scene)) == 1


async def test_each_consultation_stands_with_its_minutes_its_outcome_and_what_became_of_it(scene: Scene) -> None:
    session = await logged(scene)
    async with scene.browser(scene.mentor) as browser:
        before = await browser.get("/mine")
        await answered(scene, session, scene.clinician, note=NOTE)
        after = await browser.get("/mine")
        paper = await browser.get(f"/sessions/{session.id}/certificate")
        whole_year = await browser.get("/mine/certificates/2026")

    assert (before.status_code, after.status_code) == (200, 200)
    assert "has not answered yet" in before.text
    for words in ("This year: 1 consultation.", "25 min", "Of 1 you know", "useful, better", "What became of it:"):
        assert words in after.text, words
    assert f"/consultations/{session.consultation_id}" in after.text
    assert "CANARY" not in after.text
    for file in (paper, whole_year):
        assert (file.status_code, file.headers["content-type"]) == (200, "application/pdf")
        assert file.content.startswith(b"%PDF")
        assert file.headers["content-disposition"].startswith('attachment; filename="certificate')


async def test_what_was_missed_or_only_agreed_is_listed_without_a_certificate(scene: Scene) -> None:
    await logged(scene, "cancelled_late")
    await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer WHERE state = 'pending'")
    await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get("/mine")
    assert page.text.count('class="what"') == 2
    assert "/certificate" not in page.text
    assert "This year: 0 consultations." in page.text


async def test_many_are_listed_page_by_page_each_once(scene: Scene) -> None:
    count = 2 * mentor_consultations.MOST + 3
    async with scene.world.database.work(actor.TIMER) as w:
        for _ in range(count):
            case = await build.consultation(w, scene.clinician, scene.asking, state="completed")
            await build.offer(w, case, scene.mentor, scene.memorandum, state="accepted")
    seen, path = [], "/mine"
    async with scene.browser(scene.mentor) as browser:
        for _ in range(3):
            page = await browser.get(path)
            seen += re.findall(r'class="what" href="/consultations/([0-9a-f-]+)"', page.text)
            older = re.search(r'href="(/mine\?before=[0-9a-f-]+)"', page.text)
            path = older[1] if older else ""
        odd = await browser.get("/mine?before=nonsense")
    assert len(seen) == len(set(seen)) == count
    assert path == ""
    assert odd.status_code == 200


async def test_nobody_elses_consultations_or_certificates_are_shown(scene: Scene) -> None:
    session = await logged(scene)
    rival = await scene.another_mentor()
    async with scene.world.database.work(actor.TIMER) as w:
        others = [scene.clinician, scene.coordinator, await build.admin(w), await build.coordinator(w, scene.lille)]
    async with scene.browser(rival) as browser:
        page = await browser.get("/mine")
        assert page.status_code == 200
        assert str(session.consultation_id) not in page.text
        assert (await browser.get(f"/sessions/{session.id}/certificate")).status_code == 404
    for who in others:
        async with scene.browser(who) as browser:
            assert (await browser.get("/mine")).status_code == 403
            status = (await browser.get(f"/sessions/{session.id}/certificate")).status_code
            assert status == (200 if who == scene.clinician else 403), who.display_name
            assert (await browser.get(f"/sessions/{clock.new_id()}/certificate")).status_code == 404
    async with scene.browser() as browser:
        for path in ("/mine", "/mine/certificates/2026", f"/sessions/{session.id}/certificate"):
            assert (await browser.get(path)).status_code == 401, path


@pytest.mark.parametrize("year", ["1999", "2300", "-1", "now", "99999999999999999999"])
async def test_the_certificate_of_a_year_that_is_none_is_missing(scene: Scene, year: str) -> None:
    async with scene.browser(scene.mentor) as browser:
        assert (await browser.get(f"/mine/certificates/{year}")).status_code == 404


async def test_the_certificate_stands_on_the_case_for_whoever_took_part(scene: Scene) -> None:
    session = await logged(scene)
    seen = {}
    for who in (scene.mentor, scene.clinician, scene.coordinator):
        async with scene.browser(who) as browser:
            page = await browser.get(f"/consultations/{session.consultation_id}")
            seen[who.id] = f'href="/sessions/{session.id}/certificate"' in page.text
    assert seen == {scene.mentor.id: True, scene.clinician.id: True, scene.coordinator.id: False}


async def test_an_offer_follows_what_becomes_of_its_case(scene: Scene) -> None:
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer")
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get(f"/offers/{offer.id}")
    assert f'data-live="{asked.id}" data-stream="/live"' in page.text
    assert "data-part" in page.text
