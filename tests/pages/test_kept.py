"""What was sent after the visit had ended: kept sealed for whoever's it is, and sent once after the next sign-in."""

import html
import re
from datetime import timedelta

import httpx
import pytest

import build
from pages.scene import QUESTION, Scene
from service.kernel import actor, clock
from service.people import browser_sessions, kept_posts, privacy

NEW = "/consultations/new"


def form(**changes: object) -> dict[str, object]:
    return {
        "specialty": "paediatrics",
        "priority": "urgent",
        "question": QUESTION,
        "age_band": "child",
        "mode": "live",
        "duration": "30",
        "languages": ["en", "uk"],
        "consent": "general",
        "given_on": "2026-11-16",
        "key": str(clock.new_id()),
    } | changes


def ended(scene: Scene) -> None:
    """End every visit, as twelve hours do."""
    scene.clock.set(scene.clock.now() + browser_sessions.IDLE)


def pairs(page: str) -> list[tuple[str, str]]:
    """The fields of the first form that is sent again."""
    sent_again = page.split("<form")[2]
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', sent_again.split("</form>")[0])
    return [(name, html.unescape(value)) for name, value in found]


async def resumed(scene: Scene, browser: httpx.AsyncClient, who: object = None) -> httpx.Response:
    """Sign in again, and go where that leads."""
    answer = await browser.post(await scene.sign_in_path(who or scene.clinician))  # type: ignore[arg-type]
    return await browser.get(answer.headers["location"])


async def send(browser: httpx.AsyncClient, page: str) -> httpx.Response:
    named: dict[str, list[str]] = {}
    for name, value in pairs(page):
        named.setdefault(name, []).append(value)
    return await browser.post(NEW, data=named)


async def test_a_form_that_comes_after_the_visit_goes_on_after_the_sign_in(scene: Scene) -> None:
    sent = form(question=QUESTION + "\r\n\r\n<b>\"quoted\"</b> & 'more'")
    async with scene.browser(scene.clinician) as browser:
        ended(scene)
        answer = await browser.post(NEW, data=sent)
        assert answer.status_code == 401
        assert "What you typed is kept" in answer.text or "Ваш текст збережено" in answer.text
        assert QUESTION not in answer.text
        assert scene.clinician.email not in answer.text
        assert await scene.rows("SELECT count(*) FROM consultation") == [(0,)]

        check = await resumed(scene, browser)
        assert check.status_code == 200
        assert QUESTION in check.text
        assert "<b>" not in check.text.split("<main")[1]
        filed = await send(browser, check.text)
        assert filed.status_code == 303
        assert await scene.rows("SELECT count(*) FROM consultation") == [(1,)]
        assert await scene.rows("SELECT count(*) FROM kept_post") == [(0,)]
        again = await send(browser, check.text)  # the same form once more: the same request
        assert again.headers["location"] == filed.headers["location"]
        assert (await browser.get(check.url.path)).status_code == 404


async def test_the_button_mails_a_link_to_whose_it_is(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        ended(scene)
        page = (await browser.post(NEW, data=form())).text
        token = re.search(r'name="resume" value="([^"]+)"', page)
        assert token
        answer = await browser.post("/sign-in", data={"resume": token[1]})
    assert answer.status_code == 202
    assert scene.clinician.email not in answer.text
    mailed = "SELECT person_id FROM link WHERE purpose = 'sign_in' AND used_at IS NULL"
    assert await scene.rows(mailed) == [(scene.clinician.id,)]


async def test_nobody_else_sees_what_was_kept(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        ended(scene)
        await browser.post(NEW, data=form())
        (kept,) = await scene.rows("SELECT id, body FROM kept_post")
        assert QUESTION.encode() not in kept.body
        answer = await resumed(scene, browser, scene.coordinator)
        assert QUESTION not in answer.text
        for path in (f"/kept/{kept.id}", f"/kept/{clock.new_id()}"):
            seen = await browser.get(path)
            assert (seen.status_code, QUESTION in seen.text) == (404, False)
        assert QUESTION not in (await browser.get("/kept")).text
        await browser.post(f"/kept/{kept.id}/drop")
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(1,)]


async def test_what_was_kept_waits_on_every_page_until_it_is_thrown_away(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        ended(scene)
        await browser.post(NEW, data=form())
        check = await resumed(scene, browser)
        assert 'href="/kept"' in (await browser.get("/")).text
        assert QUESTION in (await browser.get("/kept")).text
        await browser.post(f"{check.url.path}/drop")
        assert 'href="/kept"' not in (await browser.get("/")).text
        assert (await browser.get(check.url.path)).status_code == 404


async def test_after_a_day_the_form_is_empty_and_says_why_once(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        ended(scene)
        await browser.post(NEW, data=form())
        check = await resumed(scene, browser)
        scene.clock.set(scene.clock.now() + kept_posts.KEPT - timedelta(seconds=1))
        check = await resumed(scene, browser)
        assert QUESTION in check.text
        scene.clock.forward(seconds=1)
        over = await browser.get(check.url.path)
        assert (over.status_code, over.headers["location"]) == (303, NEW)
        first, second = await browser.get(NEW), await browser.get(NEW)
    said = "was kept for a day"
    if scene.clinician.locale == "uk":
        said = "зберігалося добу"
    assert (said in first.text, said in second.text) == (True, False)
    assert QUESTION not in first.text


async def test_of_many_the_newest_five_are_kept_and_the_same_one_once(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        ended(scene)
        forms = [form(question=f"{QUESTION} {number}") for number in range(7)]
        for each in (*forms, forms[-1]):
            assert (await browser.post(NEW, data=each)).status_code == 401
        page = (await resumed(scene, browser)).text
        listed = (await browser.get("/kept")).text
    assert f"{QUESTION} 6" in page
    assert [f"{QUESTION} {number}" in listed for number in range(7)] == [False, False, True, True, True, True, True]
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(kept_posts.MOST,)]


async def test_what_is_sent_in_the_end_is_dropped_and_no_other(scene: Scene) -> None:
    first, second = form(), form(question=f"{QUESTION} zwei")
    async with scene.browser(scene.clinician) as browser:
        ended(scene)
        await browser.post(NEW, data=first)
        await browser.post(NEW, data=second)
        await resumed(scene, browser)
        assert (await browser.post(NEW, data=first | {"age_band": ""})).status_code == 422
        assert await scene.rows("SELECT count(*) FROM kept_post WHERE NOT is_unfinished") == [(2,)]
        assert (await browser.post(NEW, data=first)).status_code == 303
        (left,) = await scene.rows("SELECT form_key FROM kept_post")
    assert str(left.form_key) == second["key"]


@pytest.mark.parametrize("cookie", [None, "", "x", "A" * 48])
async def test_of_somebody_whom_nobody_knows_nothing_is_kept(
    scene: Scene, client: httpx.AsyncClient, cookie: str | None
) -> None:
    headers = {"Cookie": f"session={cookie}"} if cookie is not None else {}
    answer = await client.post(NEW, data=form(), headers=headers)
    assert answer.status_code == 401
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(0,)]


async def test_of_somebody_who_may_not_sign_in_nothing_is_kept(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        await scene.rows("UPDATE person SET state = 'disabled' WHERE id = :id RETURNING id", id=scene.clinician.id)
        assert (await browser.post(NEW, data=form())).status_code == 401
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(0,)]


@pytest.mark.parametrize(
    ("headers", "status"), [({"Origin": "https://evil.example"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403)]
)
async def test_a_foreign_form_is_not_kept(scene: Scene, headers: dict[str, str], status: int) -> None:
    async with scene.browser(scene.clinician) as browser:
        ended(scene)
        assert (await browser.post(NEW, data=form(), headers=headers)).status_code == status
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(0,)]


async def test_what_is_no_form_of_ours_is_not_kept(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        ended(scene)
        wrong = await browser.post(NEW, content=b"{}", headers={"Content-Type": "application/json"})
        large = await browser.post(NEW, data=form(question="x" * 70_000))
    assert (wrong.status_code, large.status_code) == (422, 413)
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(0,)]


async def test_it_is_given_out_and_erased_with_its_person(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        leaving = await build.clinician(w, scene.asking)
    async with scene.browser(leaving) as browser:
        ended(scene)
        await browser.post(NEW, data=form())
    async with scene.world.database.work(actor.TIMER) as w:
        dossier = await privacy.dossier(w, leaving.email)
        await privacy.erase(w, leaving.email)
    (given,) = dossier["forms_kept"]
    assert (given["path"], "CANARY-OF-THE-CASE" in given["body"]) == (NEW, True)
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(0,)]
