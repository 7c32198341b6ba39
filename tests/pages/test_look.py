"""What every page has in common for whoever looks: where they are, short times, numbers, whose words are whose."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

import build
from api import pages
from pages import screens
from pages.scene import Scene
from pages.screens import booked
from service.care import answers
from service.kernel import actor

TEMPLATES = {file.name: file.read_text("utf-8") for file in (Path(pages.__file__).parent / "templates").glob("*.html")}
CURRENT = re.compile(r'<a href="([^"]*)" aria-current="(page|true)">')


def test_a_template_imports_what_it_uses() -> None:
    of_others = {"meeting.html", "remedies.html", "request_1.html", "request_2.html", "request_3.html"}
    assert {name for name, text in TEMPLATES.items() if "parts." in text and '"parts.html"' not in text} == of_others
    assert [name for name, text in TEMPLATES.items() if "{% block width" in text] == []


def test_times_are_short_but_on_pages_of_links_which_name_no_clock() -> None:
    assert [name for name, text in TEMPLATES.items() if "words.moment(" in text or "words.both(" in text] == [
        "action.html"
    ]


async def test_the_section_of_a_page_is_marked_and_a_profile_is_of_none(scene: Scene) -> None:
    asked = await scene.ask()
    async with scene.world.database.work(actor.TIMER) as w:
        admin, programme = await build.admin(w), await build.programme(w)
    seen = {}
    for who, path in (
        (scene.clinician, "/"),
        (scene.clinician, f"/consultations/{asked.id}"),
        (scene.clinician, "/profile"),
        (scene.mentor, "/hours"),
        (admin, f"/programmes/{programme.id}/policy"),
    ):
        async with scene.browser(who) as browser:
            seen[path] = CURRENT.findall((await browser.get(path)).text)
    assert list(seen.values()) == [
        [("/", "page")], [("/consultations", "true")], [("/profile", "page")], [("/hours", "page")],
        [("/policy", "true")],
    ]  # fmt: skip


async def test_each_case_is_named_by_its_number_wherever_it_is_listed(scene: Scene) -> None:
    case, _ = await booked(scene)
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer WHERE consultation_id = :id", id=asked.id)
    later = (scene.clock.now() + timedelta(days=1)).replace(hour=11, minute=0)
    await scene.act(scene.mentor, answers.counter, offer.id, [later])
    async with scene.browser(scene.clinician) as browser:
        home = (await browser.get("/")).text
        page = (await browser.get(f"/consultations/{asked.id}")).text
        listed = (await browser.get("/")).text
    async with scene.browser(scene.mentor) as browser:
        mentors = (await browser.get("/")).text
        mine = (await browser.get("/mine")).text
        offered = (await browser.get(f"/offers/{offer.id}")).text
        week = (await browser.get(f"/offers/{offer.id}/counter")).text
    assert [each.number in home for each in (case, asked)] == [True, True]
    assert [each.number in mentors for each in (case, asked)] == [True, True]
    assert (case.number in mine, asked.number in mine) == (True, False)
    assert [asked.number in text for text in (page, offered, week, listed)] == [True] * 4
    titles = [re.findall("<title>(.*?)</title>", text)[0] for text in (page, offered)]
    assert len(set(titles)) == 2


async def test_ft_11_a_time_at_night_is_marked_before_it_is_taken(scene: Scene) -> None:
    await scene.rows("UPDATE person SET locale = 'en' RETURNING 1")
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer")
    night = (scene.clock.now() + timedelta(days=1)).replace(hour=2, minute=0)
    await scene.rows("UPDATE offer SET starts = ARRAY[CAST(:at AS timestamptz)] RETURNING 1", at=night)
    async with scene.browser(scene.mentor) as browser:
        assert (await browser.get(f"/offers/{offer.id}")).text.count("outside 07\u201322") == 1
    await scene.act(scene.mentor, answers.counter, offer.id, [night, night + timedelta(hours=9)])
    async with scene.browser(scene.clinician) as browser:
        assert (await browser.get(f"/consultations/{asked.id}")).text.count("outside 07\u201322") == 1


@pytest.mark.parametrize("name", ["כהן אברהם", "<b>x</b>"])
async def test_names_keep_their_direction_and_are_no_markup(scene: Scene, name: str) -> None:
    await scene.rows("UPDATE person SET display_name = :name RETURNING 1", name=name)
    asked = await scene.ask()
    async with scene.browser(scene.clinician) as browser:
        text = (await browser.get(f"/consultations/{asked.id}")).text
    shown = name.replace("<", "&lt;").replace(">", "&gt;")
    assert text.count(shown) == text.count(f"<bdi>{shown}</bdi>") > 2


async def test_a_decline_and_a_withdrawal_may_say_more_in_words(scene: Scene) -> None:
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer")
    async with scene.browser(scene.mentor) as browser:
        refused = await browser.post(
            f"/offers/{offer.id}/decline", data={"reason": "busy", "note": "+380 44 123 45 67"}
        )
        assert (refused.status_code, "<mark>" in refused.text) == (422, True)
        done = await browser.post(f"/offers/{offer.id}/decline", data={"reason": "busy", "note": "Not this week."})
        assert done.status_code == 303
    async with scene.browser(scene.clinician) as browser:
        assert "Not this week." in (await browser.get(f"/consultations/{asked.id}")).text
        gone = {"reason": "resolved_locally", "note": "The child is well."}
        assert (await browser.post(f"/consultations/{asked.id}/cancel", data=gone)).status_code == 303
        assert "The child is well." in (await browser.get(f"/consultations/{asked.id}")).text


NO_PAGES = {
    "/pages/{name}", "/sw.js", "/manifest.webmanifest", "/live", "/appointments/{id}/invite.ics",
    "/mine/certificates/{year}", "/sessions/{id}/certificate", "/appointments/{id}", "/kept/{id}",
    "/specialties",
}  # fmt: skip
"""What browsers ask for that shows no page of its own: files, streams, papers; and what leads to a page."""


async def test_every_page_is_among_the_screens_and_answers(scene: Scene) -> None:
    listed = await screens.staged(scene)
    paths = [route for part in pages.ROUTERS for route in part.routes if isinstance(route, APIRoute)]
    shown = [route for route in paths if "GET" in (route.methods or ()) and route.path not in NO_PAGES]
    looked_at = [each.path for each in listed if each.form is None]
    assert {route.path for route in shown if not any(route.path_regex.match(path) for path in looked_at)} == set()
    refused = {}
    for screen in listed:
        async with scene.browser(getattr(scene, screen.who) if screen.who else None) as browser:
            browser.headers["Accept"] = "text/html"
            method = "GET" if screen.form is None else "POST"
            answer = await browser.request(method, screen.path, data=screen.form)
            if answer.status_code >= 500 or "text/html" not in answer.headers.get("content-type", ""):
                refused[screen.name] = answer.status_code, answer.text[:200]
    assert refused == {}
