"""Who comes in, and how: a link by mail, a button, a cookie that can be ended."""

from datetime import timedelta

import httpx
import pytest

from integrations.runtime.world import World
from pages.scene import Scene
from service.kernel import actor, installation
from service.people import browser_sessions


async def test_a_stranger_reads_what_this_is_and_may_ask_for_a_link(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers={"Accept-Language": "uk-UA,uk;q=0.9,en;q=0.5"})

    assert answer.status_code == 200
    assert 'lang="uk"' in answer.text
    assert 'action="/sign-in"' in answer.text


@pytest.mark.parametrize(
    ("header", "locale"),
    [("uk", "uk"), ("fr,uk;q=0.2", "uk"), ("fr", "en"), ("en;q=0.1,uk;q=0.9", "uk"), ("", "en"), (";q=x,,uk", "uk")],
)
async def test_strangers_read_in_the_language_of_their_browser(
    client: httpx.AsyncClient, header: str, locale: str
) -> None:
    assert f'lang="{locale}"' in (await client.get("/", headers={"Accept-Language": header})).text


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
    assert 'class="fault"' in answer.text
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
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
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


async def test_a_sign_in_link_ends_with_its_time(scene: Scene, client: httpx.AsyncClient) -> None:
    path = await scene.sign_in_path(scene.mentor)
    scene.clock.forward(minutes=15)

    assert [(await client.get(path)).status_code, (await client.post(path)).status_code] == [410, 410]


async def test_a_visit_ends_after_twelve_hours(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        scene.clock.set(scene.clock.now() + browser_sessions.LIFE - timedelta(seconds=1))
        before = await browser.get("/")
        scene.clock.forward(seconds=1)
        after = await browser.get("/")

    assert "/sign-out" in before.text
    assert "/sign-out" not in after.text


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
    assert len(style.content) < 8_000
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
