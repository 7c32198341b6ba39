"""One's own profile: what is changed there, by whom, and what is given out."""

import json
import re

import httpx
import pytest
import sqlalchemy as sa

import build
from pages.scene import QUESTION, Scene
from service import tables
from service.kernel import actor, clock
from service.people import address_changes


async def version(browser: httpx.AsyncClient) -> str:
    found = re.search(r'name="version" value="(\d+)"', (await browser.get("/profile")).text)
    assert found
    return found[1]


async def person(scene: Scene, who: tables.Person) -> tables.Person:
    async with scene.world.database.work(actor.TIMER) as w:
        found: tables.Person = await w.read(tables.Person, who.id)
        return found


@pytest.mark.parametrize(
    ("typed", "zone"),
    [
        ("Europe/Kiev", "Europe/Kyiv"),
        ("Kyiv", "Europe/Kyiv"),
        ("kiev", "Europe/Kyiv"),
        ("Київ", "Europe/Kyiv"),
        ("FLE Standard Time", "Europe/Kyiv"),
        ("new york", "America/New_York"),
        ("Париж", "Europe/Paris"),
        ("Польща", "Europe/Warsaw"),
        ("UTC", "UTC"),
    ],
)
async def test_a_zone_is_found_by_whatever_name_one_gives_it(scene: Scene, typed: str, zone: str) -> None:
    async with scene.browser(scene.mentor) as browser:
        sent = {"display_name": "Dr Example", "locale": "en", "zone": typed, "version": await version(browser)}
        answer = await browser.post("/profile", data=sent)
    assert answer.status_code == 303, answer.text
    found = await person(scene, scene.mentor)
    assert (found.zone, found.display_name) == (zone, "Dr Example")


async def test_of_several_zones_one_is_chosen_and_of_none_one_is_told(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        sent = {"display_name": "Dr", "locale": "en", "version": await version(browser)}
        several = await browser.post("/profile", data=sent | {"zone": "Spain"})
        none = await browser.post("/profile", data=sent | {"zone": "Nowhereville"})
        offset = await browser.post("/profile", data=sent | {"zone": "Etc/GMT-2"})
        chosen = await browser.post("/profile", data=sent | {"zone": "Atlantic/Canary"})
    assert [several.status_code, none.status_code, offset.status_code, chosen.status_code] == [422, 422, 422, 303]
    for zone in ("Europe/Madrid", "Atlantic/Canary", "Africa/Ceuta"):
        assert f'name="zone" value="{zone}"' in several.text
    assert "No town, country or zone of this name is known" in none.text
    assert (await person(scene, scene.mentor)).zone == "Atlantic/Canary"


async def test_the_language_of_pages_and_mails_is_changed_in_one_go(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        sent = {"display_name": "Dr", "zone": "Europe/Paris", "version": await version(browser)}
        await browser.post("/profile", data=sent | {"locale": "uk"})
        page = await browser.get("/profile")
        odd = await browser.post("/profile", data=sent | {"locale": "fr", "version": await version(browser)})
    assert 'lang="uk"' in page.text
    assert "Мій профіль" in page.text
    assert odd.status_code == 422


async def test_of_two_windows_the_second_is_told(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        sent = {"locale": "en", "zone": "Europe/Paris", "version": await version(browser)}
        first = await browser.post("/profile", data=sent | {"display_name": "First"})
        second = await browser.post("/profile", data=sent | {"display_name": "Second"})
        newer = re.search(r'name="version" value="(\d+)"', second.text)
        assert newer
        third = await browser.post("/profile", data=sent | {"display_name": "Second", "version": newer[1]})
    assert [first.status_code, second.status_code, third.status_code] == [303, 412, 303]
    assert "was changed in another window" in second.text
    assert 'value="Second"' in second.text
    assert (await person(scene, scene.mentor)).display_name == "Second"


async def test_a_mentor_who_moves_is_told_that_their_hours_stay_by_the_old_clock(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        sent = {"display_name": "Dr", "locale": "en", "zone": "Toronto", "version": await version(browser)}
        await browser.post("/profile", data=sent)
        page = await browser.get("/profile")
    assert "Your hours as a mentor are still by another clock" in page.text
    assert [row[0] for row in await scene.rows("SELECT availability_zone FROM mentor_profile")] == ["Europe/Paris"]


async def test_languages_are_those_of_the_mentors_profile_and_anybody_has_some(scene: Scene) -> None:
    for who in (scene.mentor, scene.clinician):
        async with scene.browser(who) as browser:
            sent = {"level_fr": "native", "level_uk": "B2", "version": await version(browser)}
            answer = await browser.post("/profile/languages", data=sent)
            wrong = await browser.post("/profile/languages", data=sent | {"level_pl": "fluent"})
        assert (answer.status_code, wrong.status_code) == (303, 422)
        rows = await scene.rows("SELECT code, level FROM person_language WHERE person_id = :id ORDER BY 1", id=who.id)
        assert [tuple(row) for row in rows] == [("fr", "native"), ("uk", "B2")]
    assert [row[0] for row in await scene.rows("SELECT version FROM mentor_profile")] == [2], "its ETag names them too"


async def test_a_language_that_forms_do_not_list_is_kept(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await build.add(w, tables.PersonLanguage(person_id=scene.mentor.id, code="ka", level="C1"))
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get("/profile")
        levels = dict(re.findall(r'name="(level_[a-z]+)".*?value="([A-Za-z0-9]+)" selected', page.text))
        sent = levels | {"version": await version(browser)}
        assert (await browser.post("/profile/languages", data=sent)).status_code == 303
    rows = await scene.rows("SELECT code FROM person_language ORDER BY 1")
    assert [row[0] for row in rows] == ["en", "ka"]


async def test_one_signs_out_on_another_device_and_everywhere(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as here, scene.browser(scene.mentor) as there:
        page = await here.get("/profile")
        others = re.findall(r'action="(/profile/devices/[0-9a-f-]+)"', page.text)
        ended = await here.post(others[0])
        again = await here.post(others[0])
        statuses = [(await browser.get("/profile")).status_code for browser in (here, there)]
        async with scene.browser(scene.mentor) as third:
            everywhere = await here.post("/profile/devices")
            after = [(await browser.get("/profile")).status_code for browser in (here, third)]
    assert len(others) == 1
    assert "this device" in page.text
    assert [ended.status_code, again.status_code, everywhere.status_code] == [303, 303, 303]
    assert statuses == [200, 401]
    assert after == [401, 401]


async def test_nobody_ends_somebody_elses_sign_in(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as other, scene.browser(scene.mentor) as browser:
        (row,) = await scene.rows("SELECT id FROM refresh_token WHERE person_id = :id", id=scene.clinician.id)
        answers = [await browser.post(f"/profile/devices/{name}") for name in (row.id, clock.new_id(), "x")]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert (await other.get("/profile")).status_code == 200


async def test_ones_data_are_given_out_without_texts_of_cases(scene: Scene) -> None:
    await scene.ask()
    async with scene.browser(scene.clinician) as browser:
        file = await browser.post("/profile/data")
    assert file.status_code == 200
    assert file.headers["content-disposition"] == 'attachment; filename="pobratym-data.json"'
    data = json.loads(file.text)
    assert data["person"]["email"] == scene.clinician.email
    assert len(data["consultations"]) == 1
    assert QUESTION not in file.text
    assert "CANARY" not in file.text
    assert [row[0] for row in await scene.rows("SELECT action FROM audit WHERE action = 'exported'")] == ["exported"]


async def test_data_are_given_out_a_few_times_a_day_and_never_at_an_address_that_waits(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        statuses = [(await browser.post("/profile/data")).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    async with scene.world.database.work(actor.TIMER) as w:
        await address_changes.begin(w, await w.read(tables.Person, scene.mentor.id), "new@hospital.example")
    async with scene.browser(await person(scene, scene.mentor)) as browser:
        assert (await browser.post("/profile/data")).status_code == 403


async def test_the_page_is_everybodys_own_and_nobody_elses(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        people = [scene.mentor, scene.clinician, scene.coordinator, await build.admin(w)]
    for who in people:
        async with scene.browser(who) as browser:
            page = await browser.get("/profile")
            assert page.status_code == 200
            assert who.email in page.text
            assert not [other for other in people if other != who and other.email in page.text]
    async with scene.browser() as browser:
        for path in ("/profile", "/profile/languages", "/profile/devices", "/profile/data"):
            assert (await browser.post(path, data={})).status_code == 401, path


@pytest.mark.parametrize("name", ["<b>x</b>", "x" * 200, "عربي", "👩🏽‍⚕️ Dr"])
async def test_a_hostile_name_is_shown_inert(scene: Scene, name: str) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE person SET display_name = :name"), {"name": name})
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get("/profile")
    assert page.status_code == 200
    assert "<b>x</b>" not in page.text
