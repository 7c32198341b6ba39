"""Who comes in, and how: a link by mail, a button, a cookie that can be ended."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest

from api.pages import devices
from integrations.runtime.world import World
from pages.scene import Scene
from service.kernel import actor, installation
from service.people import browser_sessions


async def test_a_stranger_reads_what_this_is_and_may_ask_for_a_link(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers={"Accept-Language": "uk-UA,uk;q=0.9,en;q=0.5"})

    assert answer.status_code == 200
    assert '<html lang="uk"' in answer.text
    assert 'action="/sign-in"' in answer.text


@pytest.mark.parametrize(
    ("header", "locale"),
    [("uk", "uk"), ("fr,uk;q=0.2", "uk"), ("fr", "en"), ("en;q=0.1,uk;q=0.9", "uk"), ("", "en"), (";q=x,,uk", "uk")],
)
async def test_strangers_read_in_the_language_of_their_browser(
    client: httpx.AsyncClient, header: str, locale: str
) -> None:
    assert f'<html lang="{locale}"' in (await client.get("/", headers={"Accept-Language": header})).text


async def test_asking_for_a_link_answers_everybody_the_same(scene: Scene, client: httpx.AsyncClient) -> None:
    known = await client.post("/sign-in", data={"email": scene.mentor.email})
    unknown = await client.post("/sign-in", data={"email": "nobody@hospital.example"})

    assert (known.status_code, unknown.status_code) == (202, 202)
    assert known.text.replace(scene.mentor.email, "") == unknown.text.replace("nobody@hospital.example", "")
    assert (await scene.rows("SELECT count(*) FROM link WHERE purpose = 'sign_in'"))[0][0] == 1


@pytest.mark.parametrize(
    "email", ["", "x", "a@b", "a b@c.de", "<b>@x.example", "ї@x.example", "x" * 300 + "@x.example"]
)
async def test_an_address_that_is_none_is_refused_beside_its_field(client: httpx.AsyncClient, email: str) -> None:
    answer = await client.post("/sign-in", data={"email": email})

    assert answer.status_code == 422
    assert 'class="err"' in answer.text
    assert "<b>" not in answer.text


async def test_ft_20_the_letter_at_fault_and_its_place_are_named_beside_the_field(client: httpx.AsyncClient) -> None:
    form, language = {"email": "\N{CYRILLIC SMALL LETTER O}.koval@hospital.ua"}, {"Accept-Language": "uk"}
    answer = await client.post("/sign-in", data=form, headers=language)
    assert "Символ 1" in answer.text
    assert "U+043E, CYRILLIC SMALL LETTER O" in answer.text
    not_carried = await client.post("/sign-in", data={"email": "лікар@hospital.ua"}, headers=language)
    assert (not_carried.status_code, "U+043B" in not_carried.text) == (422, True)


async def test_ft_21_a_domain_in_letters_is_shown_in_them(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sign-in", data={"email": "likar@xn--80atcko5gyb.xn--j1amh"})
    assert "likar@лікарня.укр" in answer.text
    assert "xn--" not in answer.text


async def test_looking_at_a_sign_in_link_signs_nobody_in(scene: Scene, client: httpx.AsyncClient) -> None:
    path = await scene.sign_in_path(scene.mentor)
    before = await scene.state()
    answer = await client.get(path)

    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert await scene.state() == before


async def test_the_button_signs_in_with_a_cookie_hidden_from_scripts(scene: Scene, client: httpx.AsyncClient) -> None:
    answer = await client.post(await scene.sign_in_path(scene.mentor))
    cookie = answer.headers.get_list("set-cookie")[0]

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert cookie.startswith("session=")
    assert {"HttpOnly", "SameSite=lax", "Path=/", f"Max-Age={2 * 24 * 3600}"} <= set(cookie.split("; "))
    assert scene.mentor.display_name in (await client.get("/")).text


async def test_under_https_the_cookie_belongs_to_this_host_alone(scene: Scene, world: World) -> None:
    world.settings = world.settings.model_copy(update={"base_url": "https://pobratym.example"})
    async with scene.browser() as browser:
        answer = await browser.post(await scene.sign_in_path(scene.mentor))
    cookie = answer.headers.get_list("set-cookie")[0]

    assert cookie.startswith("__Host-session=")
    assert "Secure" in cookie


async def test_a_sign_in_link_works_once(scene: Scene) -> None:
    path = await scene.sign_in_path(scene.mentor)
    async with scene.browser() as first, scene.browser() as second:
        await first.post(path)
        again, other = await first.post(path), await second.post(path)
        shown = await second.get(path)

    assert (again.status_code, again.headers["location"]) == (303, "/")
    assert (other.status_code, shown.status_code) == (410, 410)
    assert "used already" in other.text
    assert f'name="again" value="{path.rpartition("/")[2]}"' in shown.text


async def test_a_sign_in_link_ends_with_its_time(scene: Scene, client: httpx.AsyncClient) -> None:
    path = await scene.sign_in_path(scene.mentor)
    scene.clock.forward(minutes=15)

    assert [(await client.get(path)).status_code, (await client.post(path)).status_code] == [410, 410]


async def test_an_old_link_mails_a_new_one_to_its_person_and_names_nobody(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    path = await scene.sign_in_path(scene.mentor)
    scene.clock.forward(minutes=15)
    page = await client.get(path)
    answer = await client.post("/sign-in", data={"again": path.rpartition("/")[2]})

    assert scene.mentor.email not in page.text + answer.text
    assert answer.status_code == 202
    assert await scene.rows(
        "SELECT count(*) FROM link WHERE purpose = 'sign_in' AND person_id = :id AND expires_at > :now",
        id=scene.mentor.id,
        now=scene.clock.now(),
    ) == [(1,)]


@pytest.mark.parametrize("token", ["x", "A" * 48, "%00", "a" * 5000])
async def test_what_is_no_link_of_ours_mails_nobody(scene: Scene, client: httpx.AsyncClient, token: str) -> None:
    answers = [await client.post("/sign-in", data={name: token}) for name in ("again", "resume")]
    assert [answer.status_code for answer in answers] == [410, 410]
    assert await scene.rows("SELECT count(*) FROM link WHERE purpose = 'sign_in'") == [(0,)]


async def is_in(browser: httpx.AsyncClient) -> bool:
    return "/sign-out" in (await browser.get("/")).text


@asynccontextmanager
async def signed_in(scene: Scene, form: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with scene.browser() as browser:
        await browser.post(await scene.sign_in_path(scene.mentor), data=form)
        yield browser


@pytest.mark.parametrize("form", [{}, {"own_device": "yes"}])
async def test_a_visit_that_is_not_made_use_of_ends_after_twelve_hours(scene: Scene, form: dict[str, str]) -> None:
    async with signed_in(scene, form) as browser:
        scene.clock.set(scene.clock.now() + browser_sessions.IDLE - timedelta(seconds=1))
        assert await is_in(browser)
        scene.clock.set(scene.clock.now() + browser_sessions.IDLE - timedelta(seconds=1))
        assert await is_in(browser)
        scene.clock.set(scene.clock.now() + browser_sessions.IDLE)
        assert not await is_in(browser)


@pytest.mark.parametrize(
    ("form", "longest"),
    [
        ({}, browser_sessions.LONGEST),
        ({"own_device": "no"}, browser_sessions.LONGEST),
        ({"own_device": "yes"}, browser_sessions.LONGEST_ON_OWN_DEVICE),
    ],
)
async def test_a_visit_that_is_made_use_of_ends_by_whose_device_it_is_on(
    scene: Scene, form: dict[str, str], longest: timedelta
) -> None:
    async with signed_in(scene, form) as browser:
        began = scene.clock.now()
        while scene.clock.now() + timedelta(hours=11) < began + longest:
            scene.clock.forward(hours=11)
            assert await is_in(browser)
        scene.clock.set(began + longest - timedelta(seconds=1))
        assert await is_in(browser)
        scene.clock.set(began + longest)
        assert not await is_in(browser)


async def test_the_use_of_a_visit_is_noted_every_few_minutes_only(scene: Scene) -> None:
    seen = "SELECT seen_at, is_own_device, device FROM refresh_token"
    async with scene.browser() as browser:
        browser.headers["User-Agent"] = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"
        await browser.post(await scene.sign_in_path(scene.mentor), data={"own_device": "yes"})
        began = scene.clock.now()
        assert await scene.rows(seen) == [(began, True, "Firefox, Android")]
        scene.clock.set(began + browser_sessions.NOTED_EVERY - timedelta(seconds=1))
        await browser.get("/")
        assert (await scene.rows(seen))[0].seen_at == began
        scene.clock.forward(seconds=1)
        await browser.get("/")
        assert (await scene.rows(seen))[0].seen_at == scene.clock.now()


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome, Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge, Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile Safari/604.1", "Safari, iPhone"),
        ("curl/8.5", None),
        ("", None),
    ],
)
def test_a_device_is_named_by_its_browser_and_its_system(user_agent: str, device: str | None) -> None:
    assert devices.named(user_agent) == device


async def test_signing_out_ends_the_visit_on_the_server_too(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        cookie = browser.cookies["session"]
        await browser.post("/sign-out")
        browser.cookies.set("session", cookie)

        assert "/sign-out" not in (await browser.get("/")).text


async def test_a_visit_ends_when_the_person_is_disabled(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        await scene.rows("UPDATE person SET state = 'disabled' WHERE id = :id RETURNING id", id=scene.mentor.id)

        assert "/sign-out" not in (await browser.get("/")).text


async def test_the_cookie_is_no_token_of_the_api(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        cookie = browser.cookies["session"]
        bearer = await browser.get("/v1/me", headers={"Authorization": f"Bearer {cookie}"})
        refreshed = await browser.post("/v1/auth/tokens/refresh", json={"refresh_token": cookie})
        alone = await browser.get("/v1/me")

    assert [bearer.status_code, refreshed.status_code, alone.status_code] == [401, 401, 401]


@pytest.mark.parametrize("value", ["", "x", "A" * 48, "%00", '"quoted"', "a" * 5000])
async def test_a_strange_cookie_makes_a_stranger(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.get("/", headers={"Cookie": f"session={value}"})

    assert answer.status_code == 200
    assert "/sign-out" not in answer.text


async def test_whoever_must_sign_in_first_comes_to_the_page_they_wanted(scene: Scene) -> None:
    asked = await scene.ask()
    path = f"/consultations/{asked.id}"
    async with scene.browser() as browser:
        first = await browser.get(path)
        signed_in = await browser.post(await scene.sign_in_path(scene.clinician))
        again = await browser.post(await scene.sign_in_path(scene.clinician))

    assert first.status_code == 401
    assert signed_in.headers["location"] == path
    assert again.headers["location"] == "/"


async def test_the_page_wanted_is_never_another_site(scene: Scene, client: httpx.AsyncClient) -> None:
    client.cookies.set("wanted", "Ly9ldmlsLmV4YW1wbGU=")  # //evil.example
    answer = await client.post(await scene.sign_in_path(scene.clinician))

    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, 403),
        ({"Origin": "http://testserver"}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
    ],
)
async def test_only_our_own_forms_are_read(scene: Scene, headers: dict[str, str], status: int) -> None:
    async with scene.browser(scene.mentor) as browser:
        assert (await browser.post("/sign-out", headers=headers)).status_code == status


async def test_the_stylesheet_is_small_and_ours(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    path = page.split('<link rel="stylesheet" href="')[1].split('"')[0]
    style = await client.get(path)

    assert (style.status_code, style.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert len(gzip.compress(style.content)) < 6_500
    assert "http" not in style.text


@pytest.mark.usefixtures("stopped_wall")
async def test_too_many_requests_are_told_in_words(client: httpx.AsyncClient, world: World) -> None:
    world.settings = world.settings.model_copy(update={"sign_ins_per_minute": 1})
    answers = [await client.post("/sign-in", data={"email": "x@y.example"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 429]
    assert "retry-after" in answers[1].headers
    assert "Too many tries" in answers[1].text


async def test_ops_10_every_page_of_somebody_signed_in_says_that_the_database_is_held(scene: Scene) -> None:
    title = "Restored, held."
    async with scene.world.database.work(actor.TIMER) as w:
        await installation.look(w, remembered=None, holds_on_promotion=False)
    async with scene.browser(scene.mentor) as browser, scene.browser() as stranger:
        assert title not in (await browser.get("/")).text
        await scene.rows("UPDATE installation SET held_since = now(), held_reason = 'other_system' RETURNING 1")
        assert title in (await browser.get("/")).text
        assert title not in (await stranger.get("/")).text
