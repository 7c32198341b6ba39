"""The verbs behind links: one person, one act, once, whatever comes at the same time."""

import asyncio

import pytest

from pages.scene import Scene
from service.kernel import errors
from service.people import action_links


async def test_a_link_is_used_once(scene: Scene) -> None:
    await scene.ask()
    _, link = await scene.link("offer.accept")

    assert await scene.act(scene.mentor, action_links.use, link.id)
    assert not await scene.act(scene.mentor, action_links.use, link.id)


async def test_a_link_that_is_over_cannot_be_used(scene: Scene) -> None:
    await scene.ask()
    _, link = await scene.link("offer.accept")
    scene.clock.set(link.expires_at)

    with pytest.raises(errors.LinkInvalid):
        await scene.act(scene.mentor, action_links.use, link.id)


async def test_somebody_elses_link_cannot_be_used(scene: Scene) -> None:
    await scene.ask()
    _, link = await scene.link("offer.accept")

    with pytest.raises(errors.LinkInvalid):
        await scene.act(scene.clinician, action_links.use, link.id)


@pytest.mark.races
async def test_presses_at_the_same_time_do_it_once_and_show_the_same(scene: Scene) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.accept")
    async with scene.browser() as browser:
        answers = await asyncio.gather(*(browser.post(path) for _ in range(5)))

    assert {(answer.status_code, answer.headers["location"]) for answer in answers} == {(303, path)}
    assert [row.status for row in await scene.rows("SELECT status FROM appointment")] == ["booked"]
    (row,) = await scene.rows("SELECT count(*) AS told FROM event WHERE type = 'appointment.booked'")
    assert row.told == 1


@pytest.mark.races
async def test_a_form_sent_several_times_at_once_files_one_request(scene: Scene) -> None:
    form = {
        "key": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11",
        "specialty": "paediatrics",
        "priority": "routine",
        "mode": "written",
        "question": "Which dose?",
        "languages": "en",
        "age_band": "child",
        "duration": "30",
        "consent": "none",
    }
    async with scene.browser(scene.clinician) as browser:
        answers = await asyncio.gather(*(browser.post("/consultations/new", data=form) for _ in range(5)))

    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(await scene.rows("SELECT id FROM consultation")) == 1
