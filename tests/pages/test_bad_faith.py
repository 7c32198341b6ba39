"""What pages are sent in bad faith, or by a script, costs nobody else their time, their texts or their name."""

import asyncio
import re
from datetime import timedelta

import httpx
import pytest

import build
from api import app
from api.pages import frame
from journeys.test_address_stops import until_it_waits
from pages.scene import QUESTION, Scene
from pages.test_hours import FORM, version_of
from pages.test_kept import NEW, ended, form, resumed
from service.kernel import actor, clock
from service.people import browser_sessions, kept_posts, privacy

BY_A_SCRIPT = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}


@pytest.mark.parametrize("number", ["0001" + "9" * 5000, "0001" + "0" * 12, "00001", "1e9", "\u0661", "101", "1" * 40])
async def test_sec_07_a_row_is_counted_up_to_only_as_far_as_the_page_has_rows(scene: Scene, number: str) -> None:
    """Its number came from the name of a field: one of a million rows held the process for as long."""
    async with scene.browser(scene.mentor) as browser:
        sent = FORM | {"version": await version_of(browser), f"from_{number}": "9"}
        answers = [await browser.post(path, data=sent) for path in ("/hours/preview", "/hours")]
    assert [answer.status_code for answer in answers] == [200, 303]


async def test_sec_08_what_a_script_asks_after_the_visit_takes_the_place_of_no_text(scene: Scene) -> None:
    """The page of the hours asks what a week would offer while somebody types."""
    advice = f"/consultations/{clock.new_id()}/advice"
    async with scene.browser(scene.mentor) as browser:
        ended(scene)
        await browser.post(advice, data={"text": QUESTION, "minutes": "15"})
        for hour in range(kept_posts.MOST):
            asked = FORM | {"day_1": "mon", "from_1": str(hour), "until_1": "23"}
            assert (await browser.post("/hours/preview", data=asked, headers=BY_A_SCRIPT)).status_code == 401
    assert [row.path for row in await scene.rows("SELECT path FROM kept_post")] == [advice]


@pytest.mark.parametrize("own", [{}, {"own_device": "yes"}])
async def test_sec_08_a_cookie_that_every_browser_has_forgotten_keeps_nothing_and_tells_nobody(
    scene: Scene, own: dict[str, str]
) -> None:
    longest = browser_sessions.LONGEST_ON_OWN_DEVICE if own else browser_sessions.LONGEST
    async with scene.browser() as browser:
        await browser.post(await scene.sign_in_path(scene.clinician), data=own)
        scene.clock.set(scene.clock.now() + longest + browser_sessions.REMEMBERED - timedelta(seconds=1))
        kept = await browser.post(NEW, data=form())
        scene.clock.forward(seconds=1)
        forgotten = await browser.post(NEW, data=form())
    assert [("@" in answer.text.split("<main")[1]) for answer in (kept, forgotten)] == [True, False]
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(1,)]


async def test_sec_08_whoever_sends_a_kept_form_reads_first_what_it_does(scene: Scene) -> None:
    """At a computer of many, somebody else may have sent it in a visit that had ended: a choice has no text to read."""
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer")
    forms = {
        f"/consultations/{asked.id}/cancel": ("Withdraw the request", f"/consultations/{asked.id}"),
        f"/offers/{offer.id}/decline": ("Decline", f"/offers/{offer.id}"),
        "/profile/devices": ("Sign out everywhere", "/profile"),
    }
    async with scene.browser(scene.clinician) as browser:
        await browser.post("/language", data={"locale": "en"})
        ended(scene)
        for path in forms:
            await browser.post(path, data={"reason": "other"})
        await resumed(scene, browser)
        page = (await browser.get("/kept")).text
    shown = {re.search(r'action="([^"]+)"', part)[1]: part for part in page.split('<section class="card">')[1:]}  # type: ignore[index]
    assert shown.keys() == forms.keys()
    for path, (said, leads_to) in forms.items():
        assert said in shown[path].split("</h2>")[0]
        assert f'href="{leads_to}"' in shown[path]


@pytest.mark.races
async def test_sec_08_nothing_is_kept_of_whoever_is_erased_meanwhile(scene: Scene) -> None:
    """The text would have outlived its writer by a day."""
    async with scene.world.database.work(actor.TIMER) as w:
        leaving = await build.clinician(w, scene.asking)
    async with scene.browser(leaving) as browser:
        ended(scene)
        async with scene.world.database.work(actor.TIMER) as w:
            await privacy.erase(w, leaving.email)
            await w.flush()
            late = asyncio.create_task(browser.post(NEW, data=form()))
            await until_it_waits(scene.world, late)
        assert (await late).status_code == 401
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(0,)]


async def test_sec_08_every_form_by_which_a_visit_ends_here_takes_the_drafts_with_it(scene: Scene) -> None:
    """They are texts of cases in the clear, on the device (decision 0114); the script asks for this mark."""
    ending: set[str] = set()
    async with scene.browser(scene.clinician) as browser:
        page = (await browser.get("/profile")).text
        for action, mark in re.findall(r'<form method="post" action="([^"]+)"([^>]*)>', page):
            if not action.startswith("/language") and await _ends_the_visit(scene, action):
                ending.add(action)
                assert "data-ends-visit" in mark, action
        script = await browser.get(re.search(r'src="([^"]+/page-[^"]+)"', page)[1])  # type: ignore[index]
    assert ending == {"/sign-out", "/profile/devices"}
    assert "form[data-ends-visit]" in script.text


async def _ends_the_visit(scene: Scene, action: str) -> bool:
    async with scene.browser(scene.clinician) as browser:
        answer: httpx.Response = await browser.post(action)
    return any("session=" in cookie and "Max-Age=0" in cookie for cookie in answer.headers.get_list("set-cookie"))


def routes(scene: Scene, method: str) -> list[str]:
    """Every address of a page to which this method is sent, also those that come later."""
    pages = (route for route in app.create(scene.world).routes if isinstance(route, frame.PageRoute))
    return sorted({route.path for route in pages if method in (route.methods or ())})


async def paths(scene: Scene, method: str) -> list[str]:
    """The same with the ids of a case and an offer, and one of nothing for the rest."""
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer")
    given = {"/consultations/{id}": asked.id, "/offers/{id}": offer.id}
    found = []
    for path in routes(scene, method):
        for start, row_id in given.items():
            path = path.replace(start, start.replace("{id}", str(row_id)))  # noqa: PLW2901 - as one reads it
        found.append(re.sub(r"\{\w+\}", str(clock.new_id()), path))
    return found


async def test_sec_09_no_form_of_another_site_is_taken_at_any_address(scene: Scene) -> None:
    addresses = await paths(scene, "POST")
    before = await scene.state()
    async with scene.browser(scene.clinician) as browser:
        signed_in = await scene.state()
        told = {path: await browser.post(path, headers={"Sec-Fetch-Site": "cross-site"}) for path in addresses}
    assert {path: answer.status_code for path, answer in told.items() if answer.status_code != 403} == {}
    assert (len(addresses) > 30, before != signed_in, await scene.state() == signed_in) == (True, True, True)


@pytest.mark.parametrize("who", [None, "clinician", "mentor"])
async def test_sec_09_looking_at_any_address_changes_nothing_and_no_page_is_kept(scene: Scene, who: str | None) -> None:
    """Mail scanners look, and so do browsers that guess where somebody goes next; a ward's computer has one cache."""
    addresses = [path for path in await paths(scene, "GET") if path != "/live"]
    async with scene.browser(getattr(scene, who) if who else None) as browser:
        before = await scene.counts()
        for path in addresses:
            answer = await browser.head(path)  # which does all that GET does
            assert answer.status_code < 500, path
            names_nobody = path in {"/sw.js", "/manifest.webmanifest"}
            assert answer.headers["cache-control"] == ("no-cache" if names_nobody else "no-store"), path
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["referrer-policy"] == "no-referrer"
        assert {**await scene.counts(), "audit": 0} == {**before, "audit": 0}
