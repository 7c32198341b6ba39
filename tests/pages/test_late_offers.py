"""An offer whose time is over: its page says that an answer is still welcome, and its buttons work (decision 0096)."""

from datetime import timedelta

import pytest

import flow
from pages.scene import QUESTION, Scene
from service import timers
from service.kernel import actor


@pytest.fixture
async def late(scene: Scene) -> str:
    """Give the path of a late offer; everybody reads English."""
    await scene.rows("UPDATE person SET locale = 'en' RETURNING 1")
    await scene.ask()
    (offer,) = await scene.rows("SELECT id, answer_by FROM offer")
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(flow.OFFERS_LEFT)
    scene.clock.set(offer.answer_by)
    await timers.once(scene.world.database)
    return f"/offers/{offer.id}"


async def test_late_20_the_page_shows_the_question_again_at_one_tap(scene: Scene, late: str) -> None:
    async with scene.browser(scene.mentor) as browser:
        home = (await browser.get("/")).text
        assert (late in home, "an answer is still welcome" in home) == (True, True)
        shown = (await browser.get(late)).text
        assert "your answer is still welcome until" in shown
        assert QUESTION not in shown
        answer = await browser.post(f"{late}/show")
        assert answer.status_code == 303
        again = (await browser.get(late)).text
        assert QUESTION in again
        assert "Show the question again" not in again


async def test_late_21_a_gate_that_no_longer_holds_is_named_and_shows_nothing(scene: Scene, late: str) -> None:
    await scene.rows("UPDATE memorandum SET status = 'suspended' RETURNING 1")
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post(f"{late}/show")
    assert (answer.status_code, QUESTION in answer.text) == (403, False)


async def test_late_22_when_its_times_have_passed_the_mentor_is_asked_to_propose(scene: Scene, late: str) -> None:
    await scene.rows("UPDATE offer SET starts = ARRAY[sent_at] RETURNING 1")
    async with scene.browser(scene.mentor) as browser:
        shown = (await browser.get(late)).text
    assert f'href="{late}/counter">Propose other times' in shown
    assert "The times of this offer are gone." in shown


async def test_late_23_the_buttons_of_both_mails_are_ready_until_the_answer_is_due(scene: Scene, late: str) -> None:
    links = await scene.rows("SELECT id, purpose, expires_at FROM link WHERE purpose = 'offer.decline' ORDER BY id")
    assert len(links) == 2
    (case,) = await scene.rows("SELECT answer_due_at FROM consultation")
    async with scene.browser() as browser:
        for link in links:
            path = f"/a/{scene.world.keys.link_token(link.id, link.purpose)}"
            assert (await browser.get(path)).status_code == 200
        scene.clock.set(case.answer_due_at - timedelta(seconds=1))
        answer = await browser.post(path, data={"reason": "busy"})
        assert answer.status_code == 303
    assert late
    (offer,) = await scene.rows("SELECT state, late_at FROM offer")
    assert (offer.state, offer.late_at is None) == ("declined", False)


async def test_late_24_links_of_an_older_program_live_as_long_as_the_offer_once_it_is_late(scene: Scene) -> None:
    await scene.ask()
    await scene.rows("UPDATE link l SET expires_at = o.answer_by FROM offer o WHERE o.id = l.subject_id RETURNING 1")
    (offer,) = await scene.rows("SELECT answer_by FROM offer")
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(flow.OFFERS_LEFT)
    scene.clock.set(offer.answer_by)
    await timers.once(scene.world.database)
    ends = await scene.rows("SELECT DISTINCT expires_at FROM link WHERE purpose LIKE 'offer.%'")
    (case,) = await scene.rows("SELECT answer_due_at FROM consultation")
    assert [row.expires_at for row in ends] == [case.answer_due_at]
