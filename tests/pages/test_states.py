"""Each state has its page: whatever goes wrong is a page to a browser and a document to a program, at any address."""

import re

import httpx
import pytest
from fastapi import FastAPI

from api.edge import browsers
from api.pages import frame
from integrations.runtime.world import World
from pages.scene import Scene
from service import vocabulary
from service.kernel import clock

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
NAVIGATES = {"Accept": HTML, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
PAGE, DOCUMENT = "text/html; charset=utf-8", "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (HTML, True),
        ("text/html", True),
        ("application/json, text/html", False),
        ("text/html, application/json", True),
        ("text/html;q=0.5, application/json", False),
        ("application/json;q=0.5, text/html;q=0.9", True),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
        ("TEXT/HTML", True),
        ("*/*", False),
        ("", False),
        ("application/problem+json, text/html;q=0.1", False),
        ("," * 500 + "text/html", False),
    ],
)
def test_who_prefers_pages_is_told_by_accept(accept: str, is_page: bool) -> None:
    assert browsers.prefers_page(accept) is is_page


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/pages/nothing.css", 404),
        ("GET", "/problems/nothing", 404),
        ("POST", "/docs", 405),
        ("DELETE", "/", 405),
        ("GET", "/" + "x" * 9000, 414),
    ],
)
async def test_a_browser_gets_a_page_and_a_program_a_document(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    page = await client.request(method, path, headers={"Accept": HTML})
    assert (page.status_code, page.headers["content-type"]) == (status, PAGE)
    assert page.headers["content-security-policy"] == frame.HEADERS["Content-Security-Policy"]
    assert 'href="/"' in page.text
    document = await client.request(method, path)
    assert (document.status_code, document.headers["content-type"]) == (status, DOCUMENT)
    assert document.headers.get("allow") == page.headers.get("allow")


async def test_at_the_api_a_page_goes_only_to_a_browser_that_navigates(client: httpx.AsyncClient) -> None:
    for path, status in (("/v1/me", 401), ("/v1/nowhere", 404), (f"/v1/people/{clock.new_id()}", 401)):
        asked = await client.get(path, headers={"Accept": HTML})
        fetched = await client.get(path, headers=NAVIGATES | {"Sec-Fetch-Mode": "cors"})
        navigated = await client.get(path, headers=NAVIGATES)
        assert [each.status_code for each in (asked, fetched, navigated)] == [status] * 3
        assert [each.headers["content-type"] for each in (asked, fetched, navigated)] == [DOCUMENT, DOCUMENT, PAGE]
        assert navigated.headers.get("www-authenticate") == asked.headers.get("www-authenticate")


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
async def test_a_page_of_a_problem_speaks_the_language_of_the_browser(client: httpx.AsyncClient, locale: str) -> None:
    by_wish = await client.get("/nowhere", headers={"Accept": HTML, "Accept-Language": locale})
    assert f'<html lang="{locale}"' in by_wish.text
    by_switch = await client.get("/nowhere", headers={"Accept": HTML, "Cookie": f"language={locale}"})
    assert f'<html lang="{locale}"' in by_switch.text


async def test_what_went_wrong_with_us_is_a_page_with_a_number_and_asks_the_database_nothing(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "database", None)
    headers = {"Accept": HTML, "X-Request-Id": "event-1"}
    for path in ("/", "/consultations/new"):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (500, PAGE)
        assert "event-1" in answer.text


async def test_looking_where_a_form_is_sent_to_leads_to_the_page_of_the_form(scene: Scene) -> None:
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer")
    expected = {
        "/sign-in": "/",
        "/sign-out": "/",
        "/language": "/",
        f"/consultations/{asked.id}/cancel": f"/consultations/{asked.id}",
        f"/consultations/{asked.id}/advice": f"/consultations/{asked.id}",
        f"/offers/{offer.id}/accept": f"/offers/{offer.id}",
        f"/offers/{offer.id}/counter/decline": f"/offers/{offer.id}/counter",
        f"/people/{clock.new_id()}/address": "/people",
    }
    async with scene.browser(scene.mentor) as browser:
        for path, page in expected.items():
            answer = await browser.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, page), path


async def test_every_address_that_forms_are_sent_to_shows_a_page_to_who_looks(
    application: FastAPI, client: httpx.AsyncClient
) -> None:
    forms = [
        route.path
        for route in application.routes
        if isinstance(route, frame.PageRoute) and "POST" in (route.methods or ())
    ]
    assert len(forms) > 20
    for path in forms:
        answer = await client.get(re.sub(r"\{\w+\}", str(clock.new_id()), path), headers={"Accept": HTML})
        assert answer.status_code != 405, path
        if answer.status_code == 303:
            shown = await client.get(answer.headers["location"])
            assert shown.status_code in {200, 401, 404, 410}, path


async def test_an_appointment_leads_to_its_consultation(scene: Scene) -> None:
    asked = await scene.ask()
    path, _ = await scene.link("offer.accept")
    async with scene.browser(scene.mentor) as browser:
        await browser.post(path)
        (booked,) = await scene.rows("SELECT id FROM appointment")
        answer = await browser.get(f"/appointments/{booked.id}/move")
        assert answer.headers["location"] == f"/appointments/{booked.id}"
        assert (await browser.get(answer.headers["location"])).headers["location"] == f"/consultations/{asked.id}"
        assert (await browser.get(f"/appointments/{clock.new_id()}")).status_code == 404
