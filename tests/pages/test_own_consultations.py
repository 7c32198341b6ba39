"""The list of all consultations: every one of one's side is met once, none of another's; a number leads to its case."""

import re

import build
from pages.scene import Scene
from service.kernel import actor
from service.worklists import first_page, own_consultations

TITLE = re.compile(r'class="rowlink" href="/consultations/([0-9a-f-]{36})"')
WHAT = re.compile(r'class="what" href="/consultations/([0-9a-f-]{36})"')


async def test_every_consultation_of_ones_side_is_reached_page_by_page_and_once(scene: Scene) -> None:
    count = own_consultations.MOST + 3
    mine = {str((await scene.ask()).id) for _ in range(count)}
    async with scene.browser(scene.clinician) as browser:
        home = await browser.get("/")
        assert 'href="/consultations"' in home.text
        assert len(set(TITLE.findall(home.text))) < count
        seen, path = [], "/consultations"
        while path:
            page = await browser.get(path)
            assert page.status_code == 200
            seen += TITLE.findall(page.text)
            older = re.search(r'href="(/consultations\?before=[0-9a-f-]+)"', page.text)
            path = older[1] if older else ""
        assert len(seen) == len(set(seen))
        assert set(seen) == mine


async def test_what_waits_goes_on_behind_the_first_page(scene: Scene) -> None:
    drafts = {str((await scene.ask(consent=None)).id) for _ in range(first_page.MOST + 3)}
    async with scene.browser(scene.clinician) as browser:
        seen, path = [], "/"
        while path:
            page = await browser.get(path)
            assert page.status_code == 200
            seen += WHAT.findall(page.text)
            following = re.search(r'href="(/\?after=[\w-]+)"', page.text)
            path = following[1] if following else ""
        assert len(seen) == len(drafts)
        assert set(seen) == drafts
        assert (await browser.get("/?after=nonsense")).status_code == 422


async def test_a_number_leads_to_its_case_and_not_to_one_that_is_not_shown(scene: Scene) -> None:
    own = await scene.ask()
    async with scene.world.database.work(actor.TIMER) as w:
        stranger = await build.clinician(w, await build.institution(w))
    typed = f" {own.number.lower().replace('-', ' ')} "
    async with scene.browser(scene.clinician) as browser:
        found = await browser.get("/consultations", params={"number": typed})
        assert (found.status_code, found.headers.get("location")) == (303, f"/consultations/{own.id}")
        for nothing in ("R-ZZZZZ", "<b>&", "R" * 40):
            page = await browser.get("/consultations", params={"number": nothing})
            assert page.status_code == 404
            assert "<b>" not in page.text.partition("<main")[2].partition('role="alert"')[0]
        assert "CANARY" not in page.text
    async with scene.browser(scene.mentor) as browser:  # who was asked sees the case from their side
        found = await browser.get("/consultations", params={"number": own.number})
        assert found.status_code == 303
        assert TITLE.findall((await browser.get("/consultations")).text) == []
    async with scene.browser(stranger) as browser:
        page = await browser.get("/consultations", params={"number": own.number})
        assert page.status_code == 404
        assert str(own.id) not in page.text
        assert TITLE.findall(page.text) == []
