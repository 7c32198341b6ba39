"""What stands around every page: sections by role, the language, the summary of what is wrong, the files it names."""

import re

import httpx
import pytest

import build
from pages.scene import Scene
from service import vocabulary
from service.kernel import actor


def hrefs(html: str) -> list[str]:
    return re.findall(r'href="([^"]*)"', html)


async def test_a_page_leads_to_the_sections_of_its_readers_roles(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        admin = await build.admin(w)
    seen = {}
    for who in (scene.clinician, scene.coordinator, scene.mentor, admin):
        async with scene.browser(who) as browser:
            page = (await browser.get("/")).text
        nav = page.split("<nav")[1].split("</nav>")[0]
        assert nav.count('aria-current="page"') == 1
        assert '<a href="/" aria-current="page">' in nav
        assert '<a class="skip" href="#main">' in page
        assert 'href="/profile"' in page
        seen[who.id] = hrefs(nav)
    assert "/people" not in seen[scene.clinician.id]
    assert "/operations" not in seen[scene.coordinator.id]
    assert "/people" in seen[scene.coordinator.id]
    assert {"/people", "/operations"} <= set(seen[admin.id])


async def test_strangers_and_pages_of_links_have_no_sections_and_name_nobody(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.accept")
    for page in (await client.get("/"), await client.get(path)):
        assert "<nav" not in page.text
        assert scene.mentor.display_name not in page.text


async def test_a_file_that_a_page_names_is_kept_for_good_under_an_address_of_its_own(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    files = [each for each in hrefs(page) if each.startswith("/pages/")]
    assert {each.rpartition(".")[2] for each in files} >= {"css", "svg"}
    for path in files:
        assert re.fullmatch(r"/pages/[a-z0-9-]+-[0-9a-f]{12}\.(css|js|svg|png|webmanifest)", path)
        answer = await client.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (await client.get("/pages/style-000000000000.css")).status_code == 404


async def test_what_is_wrong_stands_first_in_the_order_of_the_page_and_leads_to_the_fields(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        page = (await browser.post("/consultations/new", data={"department": "x" * 999})).text
    assert re.search("<title>(Error|Помилка): ", page)
    main = page.split('<main id="main">')[1]
    assert main.strip().startswith('<div class="faults" role="alert" tabindex="-1" autofocus')
    named = re.findall(r'<a href="#([^"]+)">', main.split("</ul>")[0])
    places = [page.index(f'id="{name}"') for name in named]
    assert len(named) == page.count('class="err"')
    assert places == sorted(places)
    for name in named:
        tag = re.search(rf'<(input|select|textarea)[^>]* id="{name}"[^>]*>', page)
        assert tag, name
        assert f'id="fault-{name}"' in page


async def test_no_id_stands_twice_on_a_page_of_several_forms(scene: Scene) -> None:
    asked = await scene.ask()
    async with scene.browser(scene.clinician) as browser:
        page = await browser.post(f"/consultations/{asked.id}/cancel", data={})
    ids = re.findall(r' id="([^"]+)"', page.text)
    assert page.status_code == 422
    assert sorted(ids) == sorted(set(ids))
    assert 'href="#cancel-reason"' in page.text


async def test_a_stranger_switches_the_language_of_this_browser(client: httpx.AsyncClient) -> None:
    answer = await client.post("/language", data={"locale": "uk", "back": "/sign-in/x"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in/x")
    assert '<html lang="uk"' in (await client.get("/", headers={"Accept-Language": "en"})).text


async def test_who_is_signed_in_switches_the_language_of_their_mails_too(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser, scene.browser(scene.mentor) as elsewhere:
        for locale in (*vocabulary.LOCALES, *vocabulary.LOCALES):
            await browser.post("/language", data={"locale": locale, "back": "/"})
            assert f'<html lang="{locale}"' in (await elsewhere.get("/")).text
            assert await scene.rows("SELECT locale FROM person WHERE id = :id", id=scene.mentor.id) == [(locale,)]


async def test_a_browser_that_was_switched_reads_the_page_of_a_link_in_its_language(scene: Scene) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.accept")
    async with scene.browser() as browser:
        for locale in vocabulary.LOCALES:
            await browser.post("/language", data={"locale": locale, "back": path})
            assert f'<html lang="{locale}"' in (await browser.get(path)).text
    assert await scene.rows("SELECT locale FROM person WHERE id = :id", id=scene.mentor.id) == [(scene.mentor.locale,)]


@pytest.mark.parametrize(
    "back", ["", "//evil.example", "https://evil.example/", "/\\evil.example", "/a?b=c", "/a\r\nX: y"]
)
async def test_the_switch_leads_back_to_a_page_of_ours_only(client: httpx.AsyncClient, back: str) -> None:
    answer = await client.post("/language", data={"locale": "uk", "back": back})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize("locale", ["", "xx", "EN", "<b>", "uk\x00"])
async def test_a_language_without_words_changes_nothing(client: httpx.AsyncClient, locale: str) -> None:
    answer = await client.post("/language", data={"locale": locale, "back": "/"})
    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers
