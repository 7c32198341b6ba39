"""What each side of a case is shown, and which buttons: only what stands, and only what they may press."""

from typing import Any

import sqlalchemy as sa

from pages.scene import Scene
from service import answers


async def offer_of(scene: Scene) -> sa.Row[Any]:
    return (await scene.rows("SELECT id, starts, state FROM offer ORDER BY id"))[0]


async def test_an_offer_that_came_to_nothing_is_not_shown_as_a_live_one(scene: Scene) -> None:
    asked = await scene.ask()
    offer = await offer_of(scene)
    path, _ = await scene.link("offer.accept")
    async with scene.browser(scene.mentor) as browser:
        await browser.post(path)
        (found,) = await scene.rows("SELECT id FROM appointment")
        await browser.post(f"/appointments/{found.id}/cancel", data={"reason": "illness"})
        linked = await browser.get(path)
        page = await browser.get(f"/offers/{offer.id}")
        own = await browser.get(f"/consultations/{asked.id}")
    async with scene.browser(scene.coordinator) as browser:
        case = await browser.get(f"/consultations/{asked.id}")

    assert (linked.status_code, "It is booked" in linked.text) == (410, False)
    assert "You have taken this consultation" not in page.text
    assert "You took this consultation; that is over." in page.text
    assert '<span class="pill">accepted</span>' not in page.text + own.text
    assert '<span class="pill">прийнято</span>' not in case.text


async def test_a_promise_handed_back_is_not_shown_as_one(scene: Scene) -> None:
    await scene.ask(mode="written")
    offer = await offer_of(scene)
    await scene.act(scene.mentor, answers.accept, offer.id, None)
    accept, _ = await scene.link("offer.accept_written")
    decline, _ = await scene.link("offer.decline")
    async with scene.browser(scene.mentor) as browser:
        before = await browser.get(accept)
        await browser.post(f"/offers/{offer.id}/decline", data={"reason": "busy"})
        after = await browser.get(accept)
        page = await browser.get(f"/offers/{offer.id}")
        declined = await browser.get(decline)

    assert [before.status_code, after.status_code, declined.status_code] == [200, 410, 410]
    assert "You took this consultation; that is over." in page.text
